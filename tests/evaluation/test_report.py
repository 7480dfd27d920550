"""Means worked out by hand, tables that can be read back, figures whose pixels are where they should be."""

import csv
import io
import json
import math
import os
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from alanet.errors import DataError, OptionError, OutputError
from alanet.evaluation.baselines import Method, blend, copy
from alanet.evaluation.evaluate import evaluate
from alanet.evaluation.figures import CropBox, busiest_box, crops, error_map, restore_all, save_png, strips
from alanet.evaluation.footage import Footage
from alanet.evaluation.protocols import parse_protocols, trials
from alanet.evaluation.report import ablation, as_csv, as_markdown, table2, table3, write_report
from alanet.evaluation.result import Result, Score, Subject, load_results

HALF = Fraction(1, 2)


def result(*rows, videos=("a", "b")):
    """Rows of (method, video, time, PSNR); SSIM is PSNR / 100, integer times even in number are blurry."""
    scores = tuple(Score(m, v, Fraction(t), 1, p, p / 100 if math.isfinite(p) else 1.0) for m, v, t, p in rows)
    subjects = tuple(Subject(name, 64, 48, 27, "240", None, name * 64) for name in videos)
    methods = tuple((name, "f" * 64 if name == "ours" else None) for name in dict.fromkeys(row[0] for row in rows))
    return Result("all-blurry", "all-blurry: exposure 11, period 8", 0, subjects, methods, scores)


UNEVEN = result(
    ("ours", "a", 0, 30.0),
    ("ours", "a", HALF, 20.0),
    ("ours", "a", 1, 32.0),
    ("ours", "b", 0, 40.0),
    ("ours", "b", HALF, 24.0),
    ("ours", "b", 1, math.inf),
)


def sharp(count=43):
    texture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    frames = np.repeat(texture[None], count, axis=0)
    for i, frame in enumerate(frames):
        frame[10:20, i : i + 12] = (255, 0, 0)  # a red block walks over still ground
    return frames


def measured(text="all-blurry"):
    methods = [Method("copy", copy), Method("ours", blend, "f" * 64)]
    return [evaluate(methods, [Footage.of("v", sharp())], protocol) for protocol in parse_protocols(text)]


def test_means_over_images_and_over_videos_are_what_one_works_out_by_hand():
    images, videos = UNEVEN.over_images("ours", "deblurred"), UNEVEN.over_videos("ours", "deblurred")
    assert images.psnr == pytest.approx(34)  # (30 + 32 + 40) / 3
    assert videos.psnr == pytest.approx(35.5)  # ((30 + 32) / 2 + 40) / 2
    assert (images.images, images.exact) == (videos.images, videos.exact) == (3, 1)
    assert images.ssim == pytest.approx(0.34)  # the exact frame is left out of every mean
    assert UNEVEN.joint("ours").psnr == pytest.approx((34 + 22) / 2)
    assert UNEVEN.joint("ours", UNEVEN.over_videos).psnr == pytest.approx((35.5 + 22) / 2)


def test_gain_is_image_by_image_over_what_neither_restores_exactly():
    """The means alone would say that ours is 12.5 dB better than a copy: the copy's leaves out the still image."""
    found = result(
        ("copy", "a", 0, 30.0), ("copy", "b", 0, math.inf), ("blend", "a", HALF, 25.0), ("blend", "b", HALF, 35.0),
        ("ours", "a", 0, 31.0), ("ours", "b", 0, 54.0), ("ours", "a", HALF, 26.0), ("ours", "b", HALF, 35.5),
    )  # fmt: skip
    deblurred, interpolated = found.gain("ours", "copy", "deblurred"), found.gain("ours", "blend", "interpolated")
    assert (deblurred.psnr, deblurred.images, deblurred.exact) == (pytest.approx(1.0), 1, 1)
    assert (interpolated.psnr, interpolated.images) == (pytest.approx(0.75), 2)
    assert "| ours | +1.00 (1 images) | +0.75 (2 images) |" in as_markdown([found])


def test_the_brief_page_has_all_protocols_side_by_side_and_says_what_was_measured_once():
    rows = [("copy", "a", 0, 30.0), ("blend", "a", HALF, 25.0), ("ours", "a", 0, 31.0), ("ours", "a", HALF, 26.5)]
    first = result(*rows)
    second = Result(**{**vars(first), "protocol": "all-sharp", "description": "all-sharp: no blur"})
    page = as_markdown([first, second], brief=True)
    assert "| method | all-blurry | all-sharp |" in page
    assert "| ours | 31.00 / 26.50 | 31.00 / 26.50 |" in page
    assert "| ours | +1.00 / +1.50 | +1.00 / +1.50 |" in page
    assert (page.count("Protocol:"), page.count("Data: a"), page.count("SHA-256 f")) == (2, 1, 1)
    assert "Means over" not in page


def test_joint_has_no_value_where_one_kind_is_all_exact():
    exact = result(("ours", "a", 0, math.inf), ("ours", "a", HALF, 20.0))
    assert exact.joint("ours").psnr is None
    assert exact.joint("ours").exact == 1


def test_spread_is_over_the_times_in_between_only():
    rows = [("ours", "a", Fraction(k, 8), 60.0 if k == 0 else 20.0 + k) for k in range(8)]
    assert result(*rows).spread("ours") == pytest.approx(6)
    assert list(result(*rows).by_phase("ours")) == [Fraction(k, 8) for k in range(8)]


def test_videos_without_motion_do_not_decide_the_spread():
    times = [Fraction(k, 8) for k in range(8)]
    moving = [(name, "a", time, 20.0 + time) for name in ("copy", "ours") for time in times]
    still = [("copy", "b", time, math.inf) for time in times]
    still += [("ours", "b", time, 90.0 if time == HALF else math.inf) for time in times]
    assert result(*moving, *still).spread("ours") == pytest.approx(0.75)
    assert result(*moving, *still).by_phase("ours")[HALF].psnr == pytest.approx(20.5)


def test_json_loses_nothing(tmp_path):
    results = (*measured("mixed"), UNEVEN)
    _, _, path = write_report(results, tmp_path / "out" / "scores")
    assert load_results(path) == results
    assert "Infinity" not in path.read_text()
    json.loads(path.read_text(), parse_constant=pytest.fail)


def test_csv_has_a_line_a_frame_with_protocol_data_and_weights():
    (one,) = measured()
    rows = list(csv.DictReader(io.StringIO(as_csv([one]))))
    assert len(rows) == len(one.scores) == 2 * 9
    assert {row["weights_sha256"] for row in rows if row["method"] == "ours"} == {"f" * 64}
    assert {row["pixels_sha256"] for row in rows} == {one.subjects[0].pixels}
    assert [row["time"] for row in rows[:3]] == ["0", "1/2", "1"]
    assert float(rows[1]["psnr"]) == one.scores[1].psnr
    assert all(row["definition"].startswith("all-blurry: exposure 11, period 8, mean of sRGB") for row in rows)


def cells(markdown, start):
    return next(line for line in markdown.splitlines() if line.startswith(start)).strip("| ").split(" | ")


def test_markdown_shows_the_means_and_says_what_they_were_made_from():
    page = as_markdown([UNEVEN])
    assert cells(page, "| ours") == [
        "ours",
        "34.00 / 0.3400 (+1 exact)",
        "22.00 / 0.2200",
        "28.00 / 0.2800 (+1 exact)",
    ]
    assert "35.50 / 0.3550 (+1 exact)" in page  # over videos
    assert cells(page, "| b | ours")[2] == "40.00 / 0.4000 (+1 exact)"
    for said in ("exposure 11, period 8", "f" * 64, "a" * 64, "11x11 Gaussian, sigma 1.5"):
        assert said in page


def test_markdown_shows_sharp_and_blurry_inputs_apart_and_times_where_a_protocol_has_them():
    assert "deblurred, sharp input" in as_markdown(measured("mixed"))
    assert "deblurred, sharp input" not in as_markdown(measured("all-blurry"))
    eight = as_markdown(measured("all-blurry x8"))
    assert "t = 7/8 | spread" in eight
    assert len(cells(eight, "| method | t = 0")) == 10
    sweep = as_markdown(measured("sweep"))
    assert len(cells(sweep, "| method | sweep, exposure 1")) == 9


def test_what_a_method_refused_is_on_the_page():
    said = Result(**{**vars(UNEVEN), "refused": (("RIFE", "it has no weights"),)})
    assert "Left out: RIFE: it has no weights" in as_markdown([said])


def test_published_numbers_are_marked_as_published():
    lines = table2(UNEVEN).splitlines()
    assert "as published" not in lines[2]
    assert len(lines) == 3 + 11
    assert all("as published on Adobe240" in line and line.count("*") == 8 for line in lines[3:])
    assert any("33.71 / 0.9429" in line and "which inputs were blurred" in line for line in lines)


def test_ablation_has_mean_and_spread_over_seeds():
    seeds = [result(("ours", "a", 0, p), ("ours", "a", HALF, p - 1)) for p in (30.0, 31.0, 32.0)]
    lines = table3({"both": seeds, "only self": seeds[:1]}).splitlines()
    assert lines[2] == "| both | 31.00 ± 1.00 | 30.00 ± 1.00 | – | – | 3 |"
    assert lines[3] == "| only self | 30.00 | 29.00 | – | – | 1 |"
    assert "| *both, as published on Adobe240* | *33.71* | *32.98* | – | – | – |" in lines


def test_an_ablation_has_gains_image_by_image_and_costs():
    """An image that one of both restores exactly counts for neither, or the mean of the better run could be lower."""
    idle = (("copy", "a", 0, 28.0), ("copy", "a", 1, 20.0), ("blend", "a", HALF, 27.0))
    exact = result(("ours", "a", 0, math.inf), ("ours", "a", 1, 23.0), ("ours", "a", HALF, 28.5), *idle)
    other = result(("ours", "a", 0, 28.5), ("ours", "a", 1, 20.5), ("ours", "a", HALF, 27.5), *idle)
    runs = {"whole": [exact, other], "motion_mask = False": [other]}
    lines = ablation(runs, {"whole": (5_430_000, 53.1), "motion_mask = False": (5_100_000, 50.0)}).splitlines()
    assert lines[2] == "| whole | +1.75 ± 1.77 | +1.00 ± 0.71 | 5.43 M | 53.1 | 2 |"
    assert lines[3] == "| motion_mask = False | +0.50 | +0.50 | 5.10 M | 50.0 | 1 |"


def test_reports_are_not_overwritten_and_other_files_are_not_taken_for_results(tmp_path):
    write_report([UNEVEN], tmp_path / "scores")
    with pytest.raises(OutputError, match=r"scores\.md exists"):
        write_report([UNEVEN], tmp_path / "scores")
    write_report([UNEVEN], tmp_path / "scores", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["scores.csv", "scores.json", "scores.md"]
    (tmp_path / "file").write_text("{}")
    for path, says in (("file", "holds no results"), ("scores.md", "holds no results"), ("none", "cannot be read")):
        with pytest.raises(DataError, match=says):
            load_results(tmp_path / path)
    with pytest.raises(OutputError, match="cannot be made"):
        write_report([UNEVEN], tmp_path / "file" / "scores")


# --- figures ----------------------------------------------------------------------------------------------------------


def restored():
    (trial,) = trials("v", sharp(), parse_protocols("all-blurry")[0])
    return restore_all([Method("copy", copy), Method("blend", blend)], trial)


def test_an_error_map_is_black_where_equal_and_climbs_to_white():
    truth = np.zeros((1, 5, 3), np.uint8)
    ours = np.repeat(np.array([[0, 8, 16, 32, 255]], np.uint8)[..., None], 3, axis=2)
    colours = error_map(ours, truth, top=32)[0]
    assert colours[0].tolist() == [0, 0, 0]
    assert (np.diff(colours.astype(int).sum(1))[:3] > 0).all()
    assert colours[3].tolist() == colours[4].tolist() == [255, 255, 255]


def test_crops_hold_the_pictures_the_maps_and_a_bar():
    made, box = restored(), CropBox(8, 6, 40, 24)
    picture = crops(made, HALF, box, zoom=2, top=32)
    columns = [picture[:, i * 84 : i * 84 + 80] for i in range(3)]  # 40 px twice as large and a gap of 4
    place = made.trial.times.index(HALF)
    shown = [
        made.by_method["copy"][place],
        made.by_method["blend"][place],
        made.trial.truth[place],
    ]
    for column, expected in zip(columns, shown, strict=True):
        assert np.array_equal(column[16:64:2, ::2], box.of(expected))
    errors = error_map(box.of(shown[1]), box.of(shown[2]), 32)
    assert np.array_equal(columns[1][80::2, ::2], errors)
    bar = picture[80:, 3 * 84 :][:, :14]
    assert bar[0].min() == 255
    assert bar[-1].max() == 0
    assert (np.diff(bar[:, 0].astype(int).sum(1)) <= 0).all()
    deblurred = crops(made, Fraction(1), box, errors=False)
    assert np.array_equal(deblurred[16:64:2, :80:2], box.of(made.trial.inputs[1])), "the input of that time is first"


def test_strips_show_inputs_methods_and_truth_at_the_asked_times():
    made = restored()
    picture = strips(made, [Fraction(1), Fraction(3, 2)])
    rows = [picture[i * 68 : i * 68 + 64] for i in range(4)]  # 16 px of text, 48 of picture, a gap of 4
    first, second = slice(94, 158), slice(162, 226)  # after 90 px of names
    assert np.array_equal(rows[0][16:, first], made.trial.inputs[1])
    assert rows[0][16:, second].min() == 255
    assert np.array_equal(rows[2][16:, second], made.by_method["blend"][3])
    assert np.array_equal(rows[3][16:, second], made.trial.truth[3])
    assert rows[1][:16, second].min() < 128  # its score is written there


def test_the_busiest_part_is_where_things_move():
    box = busiest_box(restored().trial, 24, 12)
    assert box.y <= 10
    assert box.y + box.height >= 20


def test_figures_are_saved_whole_and_wrong_wishes_are_refused(tmp_path):
    made = restored()
    path = save_png(tmp_path / "deep" / "figure.png", made.trial.truth[0])
    assert np.array_equal(np.asarray(Image.open(path)), made.trial.truth[0])
    assert os.listdir(path.parent) == ["figure.png"]
    with pytest.raises(OutputError, match="exists"):
        save_png(path, made.trial.truth[0])
    with pytest.raises(OutputError, match="cannot be made"):
        save_png(path / "below.png", made.trial.truth[0])
    with pytest.raises(OptionError, match="40x40 at 30,20 does not lie in a picture of 64x48"):
        crops(made, HALF, CropBox(30, 20, 40, 40))
    with pytest.raises(DataError, match=r"time 1/4 was not restored; choose one from 0 to 4 in steps of 1/2"):
        strips(made, [Fraction(1, 4)])
