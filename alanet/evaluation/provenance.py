"""The text below a table of scores: the protocol, the data, the weights and the versions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from alanet.evaluation.result import Result, Subject

__all__ = ["MANY", "foot"]

MANY = 12  # videos that are listed one by one in Markdown; CSV and JSON list all


def foot(result: Result, *more: Result) -> str:
    """What was measured, on what, of what: a list in Markdown to stand under a table.

    more: results of other protocols, on the same.
    """
    lines = [
        *(f"Protocol: {one.description}." for one in (result, *more)),
        "Numbers: PSNR in dB and SSIM (11x11 Gaussian, sigma 1.5, per channel) on 8-bit RGB; "
        "frames restored exactly are counted and left out of the means.",
        *_data(result.subjects),
    ]
    lines += [f"Weights: {name}, SHA-256 {digest}." for name, digest in result.methods if digest]
    lines += [f"Left out: {name}: {reason}" for name, reason in result.refused]
    lines.append("Made with " + ", ".join(f"{package} {version}" for package, version in result.versions) + ".")
    return "\n".join(f"- {line}" for line in lines)


def _data(subjects: Sequence[Subject]) -> list[str]:
    if len(subjects) > MANY:
        digest = hashlib.sha256("".join(subject.pixels for subject in subjects).encode()).hexdigest()
        kinds = sorted({f"{s.frames} sharp frames of {s.width}x{s.height}{_rate(s)}" for s in subjects})
        ends = f"{subjects[0].name} ... {subjects[-1].name}"
        return [f"Data: {len(subjects)} videos, {ends}: {'; '.join(kinds)}; SHA-256 of their pixels' hashes: {digest}."]
    lines = []
    for subject in subjects:
        file = f", file {subject.file}" if subject.file else ""
        size = f"{subject.frames} sharp frames of {subject.width}x{subject.height}{_rate(subject)}"
        lines.append(f"Data: {subject.name}, {size}; SHA-256: pixels {subject.pixels}{file}.")
    return lines


def _rate(subject: Subject) -> str:
    return f", {subject.rate} fps" if subject.rate else ""
