"""What an evaluation found: one score a restored frame, and the means that go into tables.

A frame that is restored exactly has an infinite PSNR. Such frames are counted apart and left out of every mean, so that
one lucky frame cannot decide a table. A mean is taken over images and, separately, as the mean over videos of each
video's mean; *joint* is the mean of the deblurred and the interpolated mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from alanet.errors import DataError
from alanet.evaluation.detail import BINS, Errors

__all__ = ["Mean", "Result", "Score", "Subject", "load_results", "mean_of", "to_json"]

Kind = Literal["deblurred", "interpolated"]
FORMAT = "alanet evaluation 1"


@dataclass(frozen=True, slots=True)
class Score:
    """One restored frame against the ground truth."""

    method: str
    video: str
    time: Fraction  # periods from the video's first input
    blurry_inputs: int  # of the input it restores (0 or 1), or of the two it lies between (0, 1 or 2)
    psnr: float  # dB, infinite where exact
    ssim: float | None = None
    lpips: float | None = None
    sharpness: float | None = None  # mean |Laplacian| over that of the ground truth
    stability: float | None = None  # dB against the frame before where nothing moves; infinite where nothing changes
    errors: Errors | None = None  # by blur extent (`detail.BINS`)

    @property
    def kind(self) -> Kind:
        return "interpolated" if self.time.denominator > 1 else "deblurred"

    @property
    def exact(self) -> bool:
        return math.isinf(self.psnr)


@dataclass(frozen=True, slots=True)
class Subject:
    """A video that was evaluated."""

    name: str
    width: int  # as scored
    height: int
    frames: int  # sharp frames
    rate: str | None  # frames a second, where known
    file: str | None  # SHA-256 of the file, None for a folder
    pixels: str  # SHA-256 of the sharp frames as scored, h w 3 after h w 3


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of some scores. `images` were averaged, `exact` were counted apart; None where there is nothing."""

    psnr: float | None
    ssim: float | None
    lpips: float | None
    images: int
    exact: int


@dataclass(frozen=True)
class Result:
    """Everything an evaluation under one protocol found, and what it takes to repeat it."""

    protocol: str  # its name
    description: str  # and its whole definition in a line
    seed: int
    subjects: tuple[Subject, ...]
    methods: tuple[tuple[str, str | None], ...]  # name, SHA-256 of the weights
    scores: tuple[Score, ...]
    versions: tuple[tuple[str, str], ...] = ()  # package, version
    refused: tuple[tuple[str, str], ...] = ()  # method, why it could not be evaluated

    def of(self, method: str, kind: Kind | None = None, video: str | None = None) -> list[Score]:
        """The scores of one method, in the order of videos and times."""
        return [
            score
            for score in self.scores
            if score.method == method and kind in (None, score.kind) and video in (None, score.video)
        ]

    def over_images(self, method: str, kind: Kind) -> Mean:
        return mean_of(self.of(method, kind))

    def over_videos(self, method: str, kind: Kind) -> Mean:
        """The mean of the videos' means; `images` and `exact` are those of all of them."""
        means = [mean_of(self.of(method, kind, subject.name)) for subject in self.subjects]
        return _average(means, images=sum(mean.images for mean in means), exact=sum(mean.exact for mean in means))

    def joint(self, method: str, over: Callable[[str, Kind], Mean] | None = None) -> Mean:
        """The mean of both kinds' means; without a value where one of them has none."""
        both = [(over or self.over_images)(method, kind) for kind in ("deblurred", "interpolated")]
        known = both if all(mean.images for mean in both) else []
        return _average(known, images=sum(mean.images for mean in both), exact=sum(mean.exact for mean in both))

    def by_inputs(self, method: str, kind: Kind) -> dict[int, Mean]:
        """The number of blurry inputs a frame was restored from -> its mean."""
        found = self.of(method, kind)
        return {n: mean_of(s for s in found if s.blurry_inputs == n) for n in sorted({s.blurry_inputs for s in found})}

    def by_phase(self, method: str) -> dict[Fraction, Mean]:
        """The part of the period that has passed -> mean; 0 is deblurred. Videos in which nothing moves are left out.

        Their frames differ from the ground truth by rounding or not at all: at 70 dB or infinity, a few of them would
        decide which time is best.
        """
        still = self._still()
        found = [score for score in self.of(method) if score.video not in still]
        return {p: mean_of(s for s in found if s.time % 1 == p) for p in sorted({s.time % 1 for s in found})}

    def _still(self) -> set[str]:
        """Videos in which nothing moves: one of the methods restores all of their frames exactly."""
        of: dict[tuple[str, str], bool] = {}
        for score in self.scores:
            of[score.method, score.video] = of.get((score.method, score.video), True) and score.exact
        return {video for (_, video), exact in of.items() if exact}

    def gain(self, method: str, over: str, kind: Kind) -> Mean:
        """Mean gain in dB of one method over another, image by image, over those that neither restores exactly.

        Only this compares two methods fairly where one restores many images exactly: their own means leave out other
        images. `exact` counts those left out here.
        """
        theirs = {(score.video, score.time): score.psnr for score in self.of(over, kind)}
        pairs = [(s.psnr, theirs[s.video, s.time]) for s in self.of(method, kind) if (s.video, s.time) in theirs]
        gains = [a - b for a, b in pairs if not math.isinf(a) and not math.isinf(b)]
        return Mean(_mean(gains), None, None, len(gains), len(pairs) - len(gains))

    def sharpness(self, method: str, kind: Kind) -> float | None:
        """Mean sharpness ratio: 1 is as sharp as the ground truth."""
        return _mean(score.sharpness for score in self.of(method, kind))

    def stability(self, method: str) -> float | None:
        """Mean stability in dB, of frames that change at all."""
        return _mean(s.stability for s in self.of(method) if s.stability is not None and not math.isinf(s.stability))

    def by_extent(self, method: str, kind: Kind) -> list[float | None]:
        """PSNR in dB over all places of a blur extent, a value a bin of `detail.BINS`; None where there are none."""
        found = [score.errors for score in self.of(method, kind) if score.errors is not None]
        values: list[float | None] = []
        for k in range(len(BINS)):
            total, count = sum(errors[k][0] for errors in found), sum(errors[k][1] for errors in found)
            values.append(10 * math.log10(255**2 * count / total) if total and count else None)
        return values

    def spread(self, method: str) -> float | None:
        """Best less worst mean PSNR over the times in between, in dB: how flat a method is between its inputs."""
        means = [m.psnr for phase, m in self.by_phase(method).items() if phase and m.psnr is not None]
        return max(means) - min(means) if len(means) > 1 else None


def mean_of(scores: Iterable[Score]) -> Mean:
    """The mean over images; those restored exactly are left out and counted."""
    scores = list(scores)
    rest = [score for score in scores if not score.exact]
    return _average(rest, images=len(rest), exact=len(scores) - len(rest))


def _average(parts: Sequence[Score] | Sequence[Mean], *, images: int, exact: int) -> Mean:
    psnr, ssim, lpips = ([getattr(part, field) for part in parts] for field in ("psnr", "ssim", "lpips"))
    return Mean(_mean(psnr), _mean(ssim), _mean(lpips), images, exact)


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None


# --- to JSON and back, nothing lost -----------------------------------------------------------------------------------


def to_json(results: Iterable[Result]) -> str:
    """Times as "3/2"; the PSNR of an exact frame as null, for JSON has no infinity."""
    return json.dumps({"format": FORMAT, "results": [_plain(result) for result in results]}, indent=1) + "\n"


def _plain(result: Result) -> dict[str, Any]:
    plain = asdict(result)
    for score in plain["scores"]:
        score["time"] = str(score["time"])
        score["psnr"] = None if math.isinf(score["psnr"]) else score["psnr"]
        if score["stability"] is not None and math.isinf(score["stability"]):
            score["stability"] = "infinite"
    return plain


def load_results(path: str | Path) -> tuple[Result, ...]:
    """What `report.write_report` has written as JSON. Raises DataError for anything else."""
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
        if tree["format"] != FORMAT:
            raise ValueError(f"its format is {tree['format']!r}")
        return tuple(_result(plain) for plain in tree["results"])
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give the JSON that an evaluation wrote") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: holds no results of an evaluation ({error}); give the JSON it wrote") from error


def _result(plain: dict[str, Any]) -> Result:
    scores = []
    for score in plain["scores"]:
        psnr = math.inf if score["psnr"] is None else float(score["psnr"])
        steady = math.inf if score.get("stability") == "infinite" else score.get("stability")
        errors = score.get("errors")
        bins = None if errors is None else tuple((float(total), int(count)) for total, count in errors)
        read = {"time": Fraction(score["time"]), "psnr": psnr, "stability": steady, "errors": bins}
        scores.append(Score(**{**score, **read}))
    return Result(
        **{
            **plain,
            "scores": tuple(scores),
            "subjects": tuple(Subject(**subject) for subject in plain["subjects"]),
            **{name: tuple((a, b) for a, b in plain[name]) for name in ("methods", "versions", "refused")},
        }
    )
