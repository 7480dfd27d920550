"""Plots of evaluations, training runs and videos, as PNG files. Needs matplotlib (extra `plots`).

White ground, few lines, units on every axis, direct labels where a legend would hide data; methods keep their colour
and line style in all plots, so that lines differ in print without colour.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alanet.errors import OutputError, ResourceError
from alanet.evaluation.detail import BINS
from alanet.evaluation.result import Kind, Result
from alanet.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "available",
    "by_extent",
    "check_available",
    "per_frame",
    "per_time",
    "quality_against_cost",
    "save",
    "timeline",
]
__all__ += ["plots_of", "training_curves"]

COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7F7F7F", "#56B4E9", "#E69F00")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "figure.dpi": 150,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
}
KINDS: tuple[Kind, Kind] = ("deblurred", "interpolated")


def available() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def check_available() -> None:
    """Raises ResourceError without matplotlib."""
    if not available():
        raise ResourceError('plots need matplotlib; install it: pip install "alanet[plots]"')


def per_time(result: Result) -> Figure:
    """Mean gain over blend by the part of the period that has passed, image by image; 0 is deblurred.

    Images that either restores exactly are left out, so all methods are compared on the same ones. Without blend in the
    result the plot shows the mean PSNR.
    """
    gains = any(name == "blend" for name, _ in result.methods)
    title = f"{'Gain over blend' if gains else 'PSNR'} by time, {result.protocol}"
    figure, (axes,) = _figure(1, title=title)
    for number, (name, _) in enumerate(result.methods):
        found = _gain_by_phase(result, name) if gains else _psnr_by_phase(result, name)
        axes.plot(list(found), list(found.values()), label=name, **_look(number))
    axes.set(
        xlabel="time after an input frame (frame periods)",
        ylabel="gain (dB), mean over images" if gains else "PSNR (dB), mean over images",
    )
    _legend(figure, axes)
    return figure


def _psnr_by_phase(result: Result, name: str) -> dict[float, float]:
    return {float(phase): mean.psnr for phase, mean in result.by_phase(name).items() if mean.psnr is not None}


def _gain_by_phase(result: Result, name: str) -> dict[float, float]:
    """Phase -> mean difference from blend over the images that neither restores exactly."""
    blend = {(score.video, score.time): score.psnr for score in result.of("blend")}
    gains: dict[float, list[float]] = {}
    for score in result.of(name):
        gain = score.psnr - blend[score.video, score.time]
        if math.isfinite(gain):
            gains.setdefault(float(score.time % 1), []).append(gain)
    return {phase: sum(values) / len(values) for phase, values in sorted(gains.items())}


def per_frame(result: Result, video: str | None = None) -> Figure:
    """PSNR of each restored frame of one video, deblurred and interpolated apart."""
    video = video or result.subjects[0].name
    figure, panes = _figure(2, title=f"PSNR by frame, {video}, {result.protocol}")
    for axes, kind in zip(panes, KINDS, strict=True):
        for number, (name, _) in enumerate(result.methods):
            scores = [score for score in result.of(name, kind, video) if not score.exact]
            axes.plot([float(s.time) for s in scores], [s.psnr for s in scores], label=name, **_look(number))
        axes.set_title(kind, fontsize=9, loc="left")
        axes.set(xlabel="time (frame periods)", ylabel="PSNR (dB)")
    _legend(figure, panes[0])
    return figure


def by_extent(result: Result) -> Figure:
    """Gain over places of a blur extent: deblurred frames over copy, interpolated ones over blend.

    Without that baseline in the result the plot shows PSNR.
    """
    names = [name for name, _ in result.methods]
    gains = {"copy", "blend"} <= set(names)
    figure, panes = _figure(2, title=f"{'Gain' if gains else 'PSNR'} by blur extent, {result.protocol}")
    labels = [f"{low:g}–{high:g}" for low, high in BINS]
    for axes, kind, baseline in zip(panes, KINDS, ("copy", "blend"), strict=True):
        zero = _of_extent(result, baseline, kind) if gains else [0.0] * len(labels)
        for number, name in enumerate(names):
            values = [a - b for a, b in zip(_of_extent(result, name, kind), zero, strict=True)]
            if not gains or kind == "interpolated" or any(abs(value) > 1e-9 for value in values) or name == baseline:
                axes.plot(range(len(labels)), values, label=name, **_look(number))
        axes.set_xticks(range(len(labels)), labels)
        axes.set_title(f"{kind}, over {baseline}" if gains else kind, fontsize=9, loc="left")
        axes.set(xlabel="blur extent of a place (pixels)", ylabel="gain (dB)" if gains else "PSNR (dB)")
    _legend(figure, panes[1])
    return figure


def _of_extent(result: Result, name: str, kind: Kind) -> list[float]:
    """PSNR of a method by blur extent; NaN where there are no such places."""
    return [math.nan if value is None else value for value in result.by_extent(name, kind)]


def quality_against_cost(
    result: Result, costs: Mapping[str, float], unit: str = "GMACs a restored frame (640x352)"
) -> Figure:
    """Mean PSNR of deblurred and interpolated frames over the cost of a restored frame.

    costs: of a restored frame, by method, in `unit`; methods without one are lines across, equal ones one line.
    """
    figure, panes = _figure(2, title=f"Quality and cost, {result.protocol}")
    for axes, kind in zip(panes, KINDS, strict=True):
        lines: dict[float, list[int]] = {}
        for number, (name, _) in enumerate(result.methods):
            value = result.over_images(name, kind).psnr
            if value is not None and name in costs:
                axes.plot([costs[name]], [value], **{**_look(number), "linestyle": "none", "markersize": 6})
                axes.annotate(name, (costs[name], value), xytext=(6, 3), textcoords="offset points")
            elif value is not None:
                lines.setdefault(round(value, 2), []).append(number)
        for value, numbers in lines.items():
            look, names = _look(numbers[0]), ", ".join(result.methods[number][0] for number in numbers)
            axes.axhline(value, color=look["color"], linestyle=look["linestyle"], linewidth=1)
            axes.annotate(names, (0, value), xycoords=("axes fraction", "data"), xytext=(3, -2),
                          textcoords="offset points", va="top", fontsize=8)  # fmt: skip
        axes.set_title(kind, fontsize=9, loc="left")
        axes.set(xlabel=unit, ylabel="PSNR (dB), mean over images")
        axes.margins(x=0.4, y=0.12)
        axes.set_xlim(left=0)
    return figure


def training_curves(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss, learning rate and validation of a training run, from the lines of its metrics."""
    figure, panes = _figure(3, title="Training", wide=False)
    for axes, wanted, label in zip(
        panes,
        ({"loss": "loss"}, {"lr": "learning rate"}, VALIDATION),
        ("loss", "learning rate", "gain (dB)"),
        strict=True,
    ):
        for number, (key, name) in enumerate(wanted.items()):
            points = [(line["step"], line[key]) for line in lines if _finite(line.get(key))]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, **{**_look(number), "marker": _mark(points, number)})
        axes.set(ylabel=label)
        if len(wanted) > 1 and axes.lines:
            axes.legend(fontsize=8, frameon=False)
    losses = [line["loss"] for line in lines if _finite(line.get("loss"))]
    if losses and min(losses) > 0:
        panes[0].set_yscale("log")
    panes[-1].set(xlabel="steps")
    return figure


VALIDATION = {
    "validation/deblurred gain": "deblurred, over the input",
    "validation/interpolated gain": "interpolated, over the blend",
}


def timeline(
    times: Sequence[float],
    blurs: Sequence[float | None],
    cuts: Sequence[float],
    exposures: Sequence[float | None] = (),
    *,
    title: str = "",
) -> Figure:
    """Blur and, where a network estimated it, exposure over a video's time; cuts are vertical lines.

    times, blurs, exposures: a frame each, seconds, 0 to 1 (higher is blurrier), frame periods. cuts: seconds.
    """
    figure, panes = _figure(2 if exposures else 1, title=title, wide=False)
    known = [(time, blur) for time, blur in zip(times, blurs, strict=False) if blur is not None]
    panes[0].plot([time for time, _ in known], [blur for _, blur in known], color=COLORS[1], linewidth=1)
    panes[0].set(ylabel="blur (0 sharp, 1 blurry)")
    if exposures:
        shown = [math.nan if each is None else each for each in exposures]  # NaN: a gap in the line
        panes[1].plot(times[: len(shown)], shown, color=COLORS[2], linewidth=1, drawstyle="steps-post")
        panes[1].set(ylabel="exposure (frame periods)", ylim=(0, 1.05))
    for axes in panes:
        for cut in cuts:
            axes.axvline(cut, color="#7f7f7f", linewidth=0.8, linestyle="--")
    if cuts:
        panes[0].annotate("cut", (cuts[0], 1), xycoords=("data", "axes fraction"), xytext=(3, -3),
                          textcoords="offset points", va="top", color="#7f7f7f")  # fmt: skip
    panes[-1].set(xlabel="time (s)")
    return figure


def plots_of(result: Result, costs: Mapping[str, float] | None = None) -> dict[str, Figure]:
    """Every plot of an evaluation, by the ending of its file name."""
    made = {"time": per_time(result), "frame": per_frame(result)}
    if any(score.errors for score in result.scores):
        made["extent"] = by_extent(result)
    if costs:
        made["cost"] = quality_against_cost(result, costs)
    return made


def save(figure: Figure, path: str | Path, *, overwrite: bool = True) -> Path:
    """Write a plot as PNG, atomically. Raises OutputError for another ending or an existing file."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OutputError(f"{path.name}: plots are written as PNG; give a name that ends in .png")
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; --overwrite replaces it")
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_whole(path, data.getvalue())
    return path


def _figure(count: int, *, title: str, wide: bool = True) -> tuple[Figure, list[Axes]]:
    """Panes beside each other (wide), or above each other with one time axis."""
    check_available()
    import matplotlib
    from matplotlib.figure import Figure

    rc: Any = STYLE
    with matplotlib.rc_context(rc):
        size = (3.9 * max(count, 1.3), 3.2) if wide else (6.4, 1.2 + 1.6 * count)
        figure = Figure(figsize=size, layout="constrained")
        shape = (1, count) if wide else (count, 1)
        panes = list(figure.subplots(*shape, squeeze=False, sharex=not wide).flat)
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure, panes


def _legend(figure: Figure, axes: Axes) -> None:
    """Beside the panes, where it hides nothing."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)


def _look(number: int) -> dict[str, Any]:
    k = number % len(COLORS)
    return {"color": COLORS[k], "linestyle": DASHES[k], "marker": MARKS[k], "linewidth": 1.4, "markersize": 4}


def _mark(points: Sequence[Any], number: int) -> str:
    """Marks where there are few points."""
    return MARKS[number] if len(points) < 60 else ""


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
