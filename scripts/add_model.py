#!/usr/bin/env python3
"""Put trained weights into the package: copies the file, and writes its digest, size and cost into the catalogue.

python scripts/add_model.py runs/mine/last.safetensors --name alanet-mine --purpose "a first try" \\
    --score "held-out scenes, deblurred=+0.3 dB over copy" --default
"""

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from alanet.errors import AlanetError
from alanet.model.cost import count_parameters
from alanet.model.weights import ModelCard, available_models, file_sha256, load_model

FOLDER = Path(__file__).parent.parent / "alanet" / "weights"
LARGEST = 24 << 20  # bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--purpose", required=True, help="one line: what to use it for")
    parser.add_argument("--license", default="MIT")
    parser.add_argument("--score", action="append", default=[], metavar="WHAT=SCORE")
    parser.add_argument("--default", action="store_true")
    given = parser.parse_args()
    try:
        model = load_model(given.weights.resolve())
    except AlanetError as error:
        print(f"add_model: {error}", file=sys.stderr)
        return error.exit_code
    if given.weights.stat().st_size > LARGEST:
        print(f"add_model: {given.weights} is larger than {LARGEST >> 20} MiB; ship fp16 weights", file=sys.stderr)
        return 2
    shipped = FOLDER / f"{given.name}.safetensors"
    if given.weights.resolve() != shipped.resolve():
        shutil.copyfile(given.weights, shipped)
    card = ModelCard(
        name=given.name,
        file=shipped.name,
        sha256=file_sha256(shipped),
        purpose=given.purpose,
        parameters=count_parameters(model),
        gmacs=round(model.cost().output, 3),
        scores=dict(score.split("=", 1) for score in given.score),
        license=given.license,
        default=given.default,
    )
    cards = {**available_models(), card.name: card}
    entries = [{**asdict(c), "default": c.default and (c is card or not card.default)} for c in cards.values()]
    (FOLDER / "catalogue.json").write_text(json.dumps(entries, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{shipped.name}: {card.parameters} parameters, {card.gmacs} GMACs, sha256 {card.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
