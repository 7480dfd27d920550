"""`python -m alanet.training RECIPE OUT`: training without the video and command-line dependencies."""

import logging
import sys
from pathlib import Path

from alanet.engine.threads import wait_passively
from alanet.errors import AlanetError


def main(recipe: str, out: str, *settings: str) -> int:
    """Train as the file RECIPE says in folder OUT; further words are NAME=VALUE, which override the recipe."""
    wait_passively()  # before torch is imported
    from alanet.training import distributed
    from alanet.training.prepare import prepare
    from alanet.training.recipe import make_recipe, merged, parse_setting, read_values

    logging.basicConfig(format="%(message)s")
    try:
        values = read_values(Path(recipe))
        for setting in settings:
            values = merged(values, parse_setting(setting))
        run = prepare(make_recipe(values))
        report = run.start(Path(out), lambda progress: progress.step % 50 or print(progress, flush=True))
    except AlanetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        distributed.leave()
    return distributed.end(128 + report.interrupted if report.interrupted else 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else "usage: python -m alanet.training RECIPE OUT [NAME=VALUE]")
