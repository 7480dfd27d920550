"""What was wrong with a file that was decoded all the same, counted while it is read and reported in one line each."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from alanet.frames.frame import VideoInfo
from alanet.notes import Notes
from alanet.video.timestamps import Repairs

__all__ = ["Damage", "note_damage", "note_shortfall"]


@dataclass(slots=True)
class Damage:
    """Counts of one reading."""

    packets: int = 0  # refused by the decoder
    concealed: int = 0  # frames with parts made up by the decoder
    passed_over: int = 0  # packets that are no pictures to be shown: empty, or outside an edit list
    reading: str = ""  # why reading ended early
    repairs: Repairs = field(default_factory=Repairs)


def note_damage(info: VideoInfo, damage: Damage, notes: Notes) -> None:
    """Says what was damaged and how its times were repaired."""
    name, repairs = info.path.name, damage.repairs
    if damage.packets:
        notes.warn(f"{name}: damaged, {_count(damage.packets, 'packet')} could not be decoded; the rest is used")
    if damage.concealed:
        notes.warn(f"{name}: damaged, {_count(damage.concealed, 'frame')} patched by the decoder")
    if damage.reading:
        notes.warn(f"{name}: damaged, could not be read to its end ({damage.reading}); what came before is used")
    if repairs.spaced and repairs.spaced == repairs.frames:
        rate = f"{float(info.rate):.3f} a second"
        notes.warn(f"{name}: states no times; its frames follow each other at {rate}, longer where they repeat a field")
    elif repairs.spaced:
        notes.warn(f"{name}: {_count(repairs.spaced, 'frame')} without a usable time, put between the neighbours")
    if repairs.jumps:
        notes.warn(f"{name}: its clock jumps ({_count(repairs.jumps, 'time')}); later parts follow on the earlier")
    if repairs.missing:
        length, time = float(repairs.longest[0]), float(repairs.longest[1] - info.start)
        gaps = _count(repairs.gaps, "gap")
        notes.warn(
            f"{name}: frames are missing, {gaps} in a steady rate, the longest of {length:.2f} s at {time:.2f} s"
        )


def note_shortfall(info: VideoInfo, damage: Damage, end: Fraction, stated: Fraction | None, notes: Notes) -> None:
    """Says when fewer frames were decoded than the file states, or clearly less than `stated` seconds.

    end: when the last one has been shown, seconds from the first one.
    """
    name, frames = info.path.name, damage.repairs.frames
    count = (info.frame_count or 0) - damage.passed_over
    if frames < count:
        notes.warn(f"{name}: states {count} frames, {frames} could be decoded")
    elif stated is not None and stated - end > max(Fraction(1, 2), stated / 50):
        notes.warn(f"{name}: states {float(stated):.2f} s of picture, {float(end):.2f} s are there")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
