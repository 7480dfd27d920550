"""Results as tables for people (Markdown), for spreadsheets (CSV) and for programs (JSON).

All three carry the protocol, the data's hashes and the weights' hashes. In Markdown a cell is "PSNR / SSIM", with LPIPS
as a third number where it was measured; frames restored exactly are left out of the means and shown as "(+n exact)".
Published numbers are rows in italics that say so; they were measured by others on other data.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from alanet.errors import OutputError
from alanet.evaluation.detail import BINS
from alanet.evaluation.provenance import MANY, foot
from alanet.evaluation.published import QUOTED, QUOTED_ABLATION, Quoted
from alanet.evaluation.result import Kind, Mean, Result, mean_of, to_json
from alanet.files import make_folder, write_text

__all__ = ["ablation", "as_csv", "as_markdown", "as_table", "report_paths", "table2", "table3", "write_report"]

NONE = "–"
KINDS: tuple[Kind, Kind] = ("deblurred", "interpolated")
IDLE: tuple[tuple[str, Kind], ...] = (("copy", "deblurred"), ("blend", "interpolated"))  # doing nothing


def report_paths(base: str | Path, *, overwrite: bool = False) -> dict[str, Path]:
    """Where a report goes, by suffix. Raises OutputError where one of the files exists, unless `overwrite`."""
    base = Path(base)
    paths = {suffix: base.with_name(base.name + suffix) for suffix in (".md", ".csv", ".json")}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists; choose another name or say that it may be overwritten (--overwrite)")
    return paths


def write_report(
    results: Sequence[Result], base: str | Path, *, head: str = "", overwrite: bool = False
) -> tuple[Path, Path, Path]:
    """Writes `base`.md (`head` comes first in it), .csv and .json, each whole or not at all, and returns their paths.

    Raises OutputError where one of them exists (unless `overwrite`) or cannot be written.
    """
    texts = {".md": head + as_markdown(results), ".csv": as_csv(results), ".json": to_json(results)}
    paths = report_paths(base, overwrite=overwrite)
    make_folder(paths[".md"].parent)
    for suffix, path in paths.items():
        write_text(path, texts[suffix])
    return paths[".md"], paths[".csv"], paths[".json"]


def as_csv(results: Sequence[Result]) -> str:
    """A line a restored frame; exact frames have a PSNR of `inf`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = ("time", "blurry_inputs", "psnr", "ssim", "lpips", "sharpness", "stability")
    writer.writerow(["protocol", "definition", "method", "weights_sha256", "video", "pixels_sha256", "kind", *fields])
    for result in results:
        weights = dict(result.methods)
        pixels = {subject.name: subject.pixels for subject in result.subjects}
        for score in result.scores:
            front = [result.protocol, result.description, score.method, weights[score.method]]
            values = [getattr(score, field) for field in fields]
            writer.writerow([*front, score.video, pixels[score.video], score.kind, *values])
    return text.getvalue()


def as_markdown(results: Sequence[Result], *, brief: bool = False) -> str:
    """Every result with its tables and what it takes to repeat it; brief: only what has all protocols side by side."""
    if brief:
        return f"{_overview(results)}\n\n{foot(*results)}\n"
    parts = [] if len(results) < 2 else ["## Overview", _overview(results)]
    for result in results:
        parts += [f"## {result.protocol}", *_tables(result), foot(result)]
    return "\n\n".join(parts) + "\n"


def table2(result: Result, quoted: Sequence[Quoted] = QUOTED) -> str:
    """The given methods (means over images), and below them published results."""
    rows = [[name, *_three(result, name)] for name, _ in result.methods]
    for row in quoted:
        values = [_quoted(pair) for pair in (row.deblurred, row.interpolated, row.joint)]
        remark = f" ({row.remark})" if row.remark else ""
        rows.append([f"*{row.name}, as published on Adobe240{remark}*", *(f"*{value}*" for value in values)])
    return as_table(["method", "deblurred", "interpolated", "joint"], rows)


def table3(runs: Mapping[str, Sequence[Result]], method: str = "ours") -> str:
    """The ablation: a row a kind of attention, the mean and the sample standard deviation over its runs (seeds).

    runs: "only self", "only cross", "both" (or any other names) -> one result a seed.
    """
    rows = []
    for name, results in runs.items():
        means = [_over_runs([result.over_images(method, kind) for result in results]) for kind in KINDS]
        rows.append([name, *means, *_gains_over_runs(results, method), str(len(results))])
    for row in QUOTED_ABLATION:
        values = [_quoted(pair) for pair in (row.deblurred, row.interpolated)]
        quoted = [f"*{row.name}, as published on Adobe240*", *(f"*{value}*" for value in values)]
        rows.append([*quoted, NONE, NONE, NONE])
    columns = ["attention", "deblurred, dB", "interpolated, dB", "deblurred, over copy", "interpolated, over blend"]
    return as_table([*columns, "runs"], rows)


def ablation(runs: Mapping[str, Sequence[Result]], costs: Mapping[str, tuple[int, float]], method: str = "ours") -> str:
    """What networks gain over doing nothing, and what they cost: mean and sample standard deviation over runs (seeds).

    runs: the whole first, then what differs from it -> one result a seed. costs: the same names -> parameters, and
    GMACs a restored frame at 640x352.
    """
    rows = []
    for name, results in runs.items():
        parameters, gmacs = costs[name]
        gains = _gains_over_runs(results, method)
        rows.append([name, *gains, f"{parameters / 1e6:.2f} M", f"{gmacs:.1f}", str(len(results))])
    columns = ["network", "deblurred, over copy", "interpolated, over blend", "parameters", "GMACs a restored frame"]
    return as_table([*columns, "runs"], rows)


def _gains_over_runs(results: Sequence[Result], method: str) -> list[str]:
    return [_over_runs([one.gain(method, over, kind) for one in results], "+") for over, kind in IDLE]


def _over_runs(means: Sequence[Mean], sign: str = "") -> str:
    values = [mean.psnr for mean in means if mean.psnr is not None]
    if not values:
        return NONE
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.2f}{spread}"


# --- the parts of a page ----------------------------------------------------------------------------------------------


def _overview(results: Sequence[Result]) -> str:
    """Methods down, protocols across: what an exposure sweep is read from."""
    names = list(dict.fromkeys(name for result in results for name, _ in result.methods))
    columns = ["method", *(result.protocol for result in results)]
    means = [[name, *(_pair([r.over_images(name, kind) for kind in KINDS]) for r in results)] for name in names]
    parts = [f"PSNR in dB, deblurred / interpolated, means over images.\n\n{as_table(columns, means)}"]
    if {"copy", "blend"} <= set(names):
        rows = [[name, *(_pair([r.gain(name, over, kind) for over, kind in IDLE], "+") for r in results)]
                for name in names]  # fmt: skip
        title = "Mean gain in dB, image by image, deblurred over copy / interpolated over blend."
        parts.append(f"{title}\n\n{as_table(columns, rows)}")
    return "\n\n".join(parts)


def _pair(means: Sequence[Mean], sign: str = "") -> str:
    return " / ".join(NONE if mean.psnr is None else f"{mean.psnr:{sign}.2f}" for mean in means)


def _tables(result: Result) -> list[str]:
    methods = [name for name, _ in result.methods]
    columns = ["method", "deblurred", "interpolated", "joint"]
    parts = [f"Means over images.\n\n{as_table(columns, [[name, *_three(result, name)] for name in methods])}"]
    if len(result.subjects) > 1:
        rows = [[name, *_three(result, name, result.over_videos)] for name in methods]
        parts.append(f"Means over videos.\n\n{as_table(columns, rows)}")
        if len(result.subjects) <= MANY:
            parts.append(_per_video(result, methods))
    parts += _gains(result, methods)
    parts += _detail(result, methods) + _by_extent(result, methods)
    parts += _by_inputs(result, methods) + _by_time(result, methods)
    return parts


def _three(result: Result, name: str, over: Callable[[str, Kind], Mean] | None = None) -> list[str]:
    return [*(_cell((over or result.over_images)(name, kind)) for kind in KINDS), _cell(result.joint(name, over))]


def _gains(result: Result, methods: Sequence[str]) -> list[str]:
    """Each method image by image against doing nothing: the fair comparison where some images are restored exactly."""
    if not {"copy", "blend"} <= set(methods):
        return []
    rows = []
    for name in methods:
        gains = [result.gain(name, over, kind) for over, kind in IDLE]
        rows.append([name, *(NONE if g.psnr is None else f"{g.psnr:+.2f} ({g.images} images)" for g in gains)])
    table = as_table(["method", "deblurred, over copy", "interpolated, over blend"], rows)
    return [f"Mean gain in dB, image by image, over those that neither of the two restores exactly.\n\n{table}"]


def _detail(result: Result, methods: Sequence[str]) -> list[str]:
    """Sharpness and stability, where they were measured."""
    rows = []
    for name in methods:
        ratios = [result.sharpness(name, kind) for kind in KINDS]
        steady = result.stability(name)
        cells = [NONE if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        rows.append([name, *cells, NONE if steady is None else f"{steady:.1f} dB"])
    if all(cell == NONE for row in rows for cell in row[1:]):
        return []
    table = as_table(["method", "sharpness, deblurred", "sharpness, interpolated", "stability of static places"], rows)
    return [
        f"Sharpness: mean |Laplacian| over that of the ground truth. Stability: PSNR to the frame before.\n\n{table}"
    ]


def _by_extent(result: Result, methods: Sequence[str]) -> list[str]:
    """PSNR over places apart by blur extent, deblurred / interpolated."""
    values = {name: [result.by_extent(name, kind) for kind in KINDS] for name in methods}
    if all(value is None for both in values.values() for one in both for value in one):
        return []
    rows = [[name, *(" / ".join(NONE if x is None else f"{x:.2f}" for x in pair) for pair in zip(*both, strict=True))]
            for name, both in values.items()]  # fmt: skip
    columns = ["method", *(f"{low:g} to {high:g} px" for low, high in BINS)]
    return [f"PSNR over places by blur extent, deblurred / interpolated.\n\n{as_table(columns, rows)}"]


def _per_video(result: Result, methods: Sequence[str]) -> str:
    rows = []
    for subject in result.subjects:
        for name in methods:
            means = [mean_of(result.of(name, kind, subject.name)) for kind in KINDS]
            rows.append([subject.name, name, *map(_cell, means)])
    return f"Each video.\n\n{as_table(['video', 'method', *KINDS], rows)}"


def _by_inputs(result: Result, methods: Sequence[str]) -> list[str]:
    """Blurry and sharp inputs apart, where a protocol has both."""
    columns: dict[str, tuple[Kind, int]] = {
        "deblurred, sharp input": ("deblurred", 0),
        "deblurred, blurry input": ("deblurred", 1),
        "interpolated, both sharp": ("interpolated", 0),
        "one blurry": ("interpolated", 1),
        "both blurry": ("interpolated", 2),
    }
    present = {(score.kind, score.blurry_inputs) for score in result.scores}
    columns = {title: key for title, key in columns.items() if key in present}
    if len(columns) <= 2:
        return []
    rows = [[name, *(_cell(result.by_inputs(name, kind)[n]) for kind, n in columns.values())] for name in methods]
    return [f"By inputs.\n\n{as_table(['method', *columns], rows)}"]


def _by_time(result: Result, methods: Sequence[str]) -> list[str]:
    """PSNR a time, where more than the midpoint was restored."""
    phases = sorted({score.time % 1 for score in result.scores})
    if len(phases) <= 2:
        return []
    rows = []
    for name in methods:
        means, spread = result.by_phase(name), result.spread(name)
        values = [means[phase].psnr for phase in phases]
        rows.append([name, *(NONE if v is None else f"{v:.2f}" for v in (*values, spread))])
    table = as_table(["method", *(f"t = {phase}" for phase in phases), "spread"], rows)
    return [
        "PSNR in dB by time, of videos in which something moves; the spread is the best less the worst time in "
        f"between.\n\n{table}"
    ]


def _cell(mean: Mean) -> str:
    exact = f"(+{mean.exact} exact)" if mean.exact else ""
    if mean.psnr is None:
        return exact or NONE
    numbers = [f"{mean.psnr:.2f}", *(f"{x:.4f}" for x in (mean.ssim, mean.lpips) if x is not None)]
    return f"{' / '.join(numbers)} {exact}".rstrip()


def _quoted(pair: tuple[float, float | None] | None) -> str:
    if pair is None:
        return NONE
    return f"{pair[0]:.2f}" if pair[1] is None else f"{pair[0]:.2f} / {pair[1]:.4f}"


def as_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
