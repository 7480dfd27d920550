"""Plots show the values that they are given, with units on every axis."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from alanet.errors import OutputError
from alanet.evaluation import plots
from alanet.evaluation.result import Result, Score, Subject
from alanet.training.runlog import Journal

ERRORS = ((100.0, 30), (0.0, 0), (900.0, 30), (0.0, 0), (0.0, 0))


def result(*methods: tuple[str, float, float]) -> Result:
    """Of methods with their PSNR of the first time and a factor on their squared errors."""
    methods = methods or (("copy", 20.0, 1.0), ("ours", 25.0, 1.0))
    scores = [
        Score(name, "v", Fraction(k, 2), 1, base + k, None, None, 0.9, 40.0, tuple((part * a, b) for a, b in ERRORS))
        for name, base, part in methods
        for k in range(5)
    ]
    subject = Subject("v", 64, 48, 40, None, None, "hash")
    return Result("all-blurry", "d", 0, (subject,), tuple((name, None) for name, _, _ in methods), tuple(scores))


def test_by_blur_extent_the_gain_over_both_baselines_is_shown():
    made = result(("copy", 20.0, 2.0), ("blend", 22.0, 1.0), ("ours", 25.0, 0.1))
    deblurred, interpolated = plots.by_extent(made).axes
    lines = [
        {line.get_label(): np.asarray(line.get_ydata())[0] for line in axes.lines} for axes in (deblurred, interpolated)
    ]
    assert lines[0]["ours"] == pytest.approx(10 * np.log10(2 / 0.1)), "over copy"
    assert lines[1] == pytest.approx({"copy": 10 * np.log10(1 / 2), "blend": 0, "ours": 10}), "over blend"


def test_by_time_images_that_are_restored_exactly_are_left_out():
    made = result(("blend", 22.0, 1.0), ("ours", 25.0, 1.0))
    exact = tuple(replace(s, psnr=math.inf) if (s.method, s.time) == ("blend", Fraction(2)) else s for s in made.scores)
    (axes,) = plots.per_time(replace(made, scores=exact)).axes
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == {"blend": [0, 0], "ours": [3, 3]}


def test_equal_methods_without_a_cost_are_one_line():
    first, _ = plots.quality_against_cost(
        result(("a", 20.0, 1.0), ("b", 20.0, 1.0), ("ours", 25.0, 1.0)), {"ours": 5.2}
    ).axes
    assert [text.get_text() for text in first.texts] == ["ours", "a, b"]


def test_lines_are_the_means():
    (axes,) = plots.per_time(result()).axes
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == {"copy": [22, 22], "ours": [27, 27]}
    deblurred, interpolated = plots.per_frame(result()).axes
    assert list(deblurred.lines[1].get_ydata()) == [25, 27, 29]
    assert list(interpolated.lines[1].get_xdata()) == [0.5, 1.5]
    values = np.asarray(plots.by_extent(result()).axes[0].lines[0].get_ydata())
    assert values[0] == pytest.approx(10 * np.log10(255**2 * 30 / 100))
    assert np.isnan(values[1])
    first, _ = plots.quality_against_cost(result(), {"ours": 5.2}, "ms a restored frame").axes
    assert first.get_xlabel() == "ms a restored frame"
    assert [tuple(np.asarray(line.get_xydata())[0]) for line in first.lines if line.get_marker() == "s"] == [(5.2, 27)]


@pytest.mark.parametrize("figure", plots.plots_of(result(), {"ours": 5.2}).values())
def test_every_axis_has_a_label_with_its_unit(figure):
    for axes in figure.axes:
        assert "(" in axes.get_xlabel()
        assert "dB" in axes.get_ylabel()


def test_a_timeline_marks_cuts():
    figure = plots.timeline([0.0, 0.5, 1.0], [0.2, None, 0.4], [0.5], [0.1, 0.1, 0.9], title="a.mp4")
    blur, exposure = figure.axes
    assert list(blur.lines[0].get_xdata()) == [0.0, 1.0]
    assert list(blur.lines[1].get_xdata()) == [0.5, 0.5]
    assert (exposure.get_ylabel(), exposure.get_xlabel()) == ("exposure (frame periods)", "time (s)")


def test_a_run_draws_its_curves(tmp_path):
    journal = Journal(tmp_path, step=0)
    for step in range(1, 5):
        journal.write(step, {"loss": 1 / step, "lr": 1e-3})
    journal.write(4, {"validation/deblurred gain": 0.5})
    journal.draw()
    journal.close()
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 600
    loss, rate, gain = plots.training_curves([{"step": 1, "loss": 0.5, "lr": 0.1}, {"step": 2, "loss": "nan"}]).axes
    assert list(loss.lines[0].get_xdata()) == [1]
    assert not gain.lines
    assert rate.get_ylabel() == "learning rate"


def test_a_plot_is_a_png_and_replaces_nothing(tmp_path):
    figure = plots.per_time(result())
    path = plots.save(figure, tmp_path / "a.png")
    with Image.open(path) as opened:
        picture = np.asarray(opened.convert("L"))
    assert 0.01 < (picture < 128).mean() < 0.3  # ink on white
    with pytest.raises(OutputError, match="exists already"):
        plots.save(figure, path, overwrite=False)
    with pytest.raises(OutputError, match="written as PNG"):
        plots.save(figure, tmp_path / "a.jpg")
