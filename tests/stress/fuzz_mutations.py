"""Damage of every kind, by a seed: `mutate(data, rng, others)` returns other bytes. Pure; knows a little of formats.

Blind flips seldom get past a checksum or a length, so some edits aim at what readers believe: 32-bit fields near the
ends of a file and behind the names of MP4's boxes; a PNG's checksums are made right again half of the time.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

__all__ = ["KINDS", "mutate"]

TELLING = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NAMES = (b"stts ctts stss stsc stsz stco stsd elst tkhd mdhd mvhd hdlr avcC hvcC esds dref trun tfhd sidx colr pasp "
         b"avih strh strf idx1 LIST fdAT fcTL acTL IHDR VP8X ANMF ANIM").split()  # fmt: skip


def flip_bits(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 4, 16, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_in_header(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 2, 8))):
        data[rng.randrange(min(len(data), 600))] ^= 1 << rng.randrange(8)


def edit_field(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """A 2-, 4- or 8-byte number, of either order, near one of the ends."""
    size, order = rng.choice((2, 4, 4, 8)), rng.choice(("big", "little"))
    near = rng.randrange(min(len(data), 1200))
    at = near if rng.random() < 0.5 else len(data) - 1 - near
    _write(data, at, rng.choice(TELLING), size, order)


def edit_box(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """A number behind, or the size before, a name that readers look for."""
    places = [at for name in NAMES if (at := data.find(name)) >= 0]
    if not places:
        edit_field(data, rng, others)
        return
    at = rng.choice(places)
    offset = rng.choice((-4, 4, 8, 12, 16, 20, 24, 28, 32))
    value = rng.choice((*TELLING, rng.randrange(1 << 16), rng.randrange(1 << 32)))
    _write(data, max(0, at + offset), value, 4, "big" if rng.random() < 0.7 else "little")


def splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """A piece of another file, in place of as much or put in between."""
    other = rng.choice(others)
    begin, length = rng.randrange(len(other)), rng.choice((4, 32, 200, 1500))
    piece = other[begin : begin + length]
    at = rng.randrange(len(data))
    data[at : at + (len(piece) if rng.random() < 0.5 else 0)] = piece


def truncate(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    del data[max(8, int(len(data) * rng.random())) :]


def cut_out(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 3, 16, 188, 1000))]


def repeat(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at, length = rng.randrange(len(data)), rng.choice((4, 64, 188, 1000, len(data)))
    piece = data[at : at + length]
    data[at:at] = piece * rng.choice((1, 1, 3))


def swap_blocks(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    size = min(rng.choice((4, 16, 188, 512)), len(data) // 2)
    a, b = sorted(rng.randrange(len(data) - size + 1) for _ in range(2))
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]


def zeroes(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    at, length = rng.randrange(len(data)), rng.choice((8, 64, 512))
    length = min(length, len(data) - at)
    data[at : at + length] = bytes([rng.choice((0, 0xFF))]) * length


KINDS = (flip_bits, flip_in_header, edit_field, edit_box, splice, truncate, cut_out, repeat, swap_blocks, zeroes)


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes]) -> tuple[bytes, str]:
    """(the bytes after one to three kinds of damage, their names). others: files that pieces are taken from."""
    changed = bytearray(data)
    kinds = [rng.choice(KINDS) for _ in range(rng.choice((1, 1, 2, 3)))]
    for kind in kinds:
        if len(changed) >= 16:
            kind(changed, rng, others)
    if changed.startswith(b"\x89PNG") and rng.random() < 0.5:
        _right_checksums(changed)
    return bytes(changed), "+".join(kind.__name__ for kind in kinds)


def _write(data: bytearray, at: int, value: int, size: int, order: str) -> None:
    written = (value % (1 << 8 * size)).to_bytes(size, order)
    written = written[: max(0, len(data) - at)]
    data[at : at + len(written)] = written


def _right_checksums(data: bytearray) -> None:
    """PNG: every chunk's CRC made that of its content, as far as lengths lead."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
