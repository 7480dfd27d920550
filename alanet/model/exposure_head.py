"""How long the shutter was open, by a frame alone (`Judge`), and again by its motion (`Shutter`).

Neither a frame nor its motion tells that alone: what looks soft may be soft, and what moves may have been caught in an
instant. Together they do. A shutter that was open for e periods smears an edge over e times its motion; so along the
motion each edge is met again, upside down, e motions further on, and differences of near pixels are small along the
motion and not across it. `curves` gathers both over a frame, apart by how fast things move, and `Shutter` reads them.

Axes: b batch, h w height and width, k curves' values; flows as in `motion.py`, a flow here being the motion of a
frame's content in one period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alanet.model.flow import Motion
from alanet.model.layers import CELL, act, conv, exact, resized

__all__ = ["CURVES", "EVERY", "PLACES", "Judge", "Shutter", "curves", "told_of", "unevenness"]

LAGS = tuple(k / 8 for k in range(1, 17))  # periods: how far along the motion edges are looked for again
APART = (1.0, 2.0, 4.0)  # pixels each way: differences along the motion and across it
PACES = (2.0, 5.0, 10.0, 20.0)  # pixels a period: content is gathered apart by how fast it moves
NEAR = 1.2  # octaves from a pace within which content counts for it
EVERY = 2  # pixels at least from place to place where a frame is looked at, in a row and from row to row
PLACES = 16_384  # so many are enough: of larger frames every fourth, eighth ... in a row
SOME = 0.02  # share of a frame from which on content of a pace is believed
NOISE = 1e-6  # squared grey levels of 1 below which differences say nothing
VALUES = len(LAGS) + 3 * len(APART) + 1  # at a pace
CURVES = len(PACES) * VALUES


class Judge(nn.Module):
    """Exposure, and whether a frame is sharp, by the frame alone: by what each place says and how telling it is.

    Blur evens out what lies near. So the logarithms of energies in several bands go in, which blur changes against each
    other, beside the latent, which knows what is seen there: how much pixels differ that are 1, 2, 4 and 8 apart,
    along, across and aslant. (Where the bands are learned, too, what is sharp takes many hundreds of steps, not tens.)
    """

    bands = 16

    def __init__(self, channels: Sequence[int], cell: int) -> None:
        """channels: of the features at each scale; cell: pixels to a side of the last one's."""
        super().__init__()
        self.cell = cell
        self.context = conv(channels[-1], 32, 1)
        self.mix = conv(self.bands + 32, 48, 3)
        self.say = conv(48, 3, 1)

    def forward(self, frame: Tensor, scales: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """`b 3 h w` and its features -> exposure in periods, and logit of "sharp": b each, at least float32."""
        kind = torch.promote_types(scales[0].dtype, torch.float32)
        bands = unevenness(frame.to(kind), self.cell)
        known = torch.cat((bands, act(self.context(scales[-1])).to(kind)), dim=1)
        said = exact(self.say, act(self.mix(known))).flatten(2)  # b 3 (h w)
        telling = said[:, 2].softmax(-1)  # b (h w)
        exposure, sharp = (said[:, :2] * telling[:, None]).sum(-1).unbind(1)
        return F.softplus(exposure), sharp


def unevenness(frame: Tensor, cell: int) -> Tensor:
    """Logarithms of mean squared differences between pixels 1, 2, 4 and 8 apart, sideways, down and both ways aslant,
    scaled to about -2 to 2: b 3 h w -> b 16 h/cell w/cell."""
    light = frame.mean(1, keepdim=True)
    height, width = light.shape[-2:]
    padded = F.pad(light, (8,) * 4, mode="replicate")
    energies: list[Tensor] = []
    for apart in (1, 2, 4, 8):
        for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
            there = padded[..., 8 + apart * down :, 8 + apart * right :][..., :height, :width]
            energies.append(F.avg_pool2d((there - light).square(), cell))
    return (torch.cat(energies, dim=1) + 4e-6).log() / 2 + 3  # 4e-6: rounding to 8 bits


class Shutter(nn.Module):
    """Exposure, and whether a frame is sharp, from its curves and from what the frame alone made believe.

    Before any training it believes what it was told.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(CURVES + 2, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, known: Tensor, exposure: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor]:
        """Curves b k, exposure in periods and logit of "sharp", b each -> the same two again, better."""
        believed = torch.stack((2 * exposure.detach() - 1, sharp.detach() / 2), dim=-1)
        x = torch.cat((known, believed.to(known.dtype)), dim=-1)
        x = act(exact(self.second, act(exact(self.first, x))))
        longer, sharper = exact(self.last, x).unbind(-1)
        return exposure.detach() * longer.exp(), sharp.detach() + 4 * sharper


def curves(frame: Tensor, motion: Tensor) -> Tensor:
    """frame: b 3 h w; motion: b 2 h/4 w/4, of its content, pixels a period -> b k, about -1 to 3.

    For each pace: how an edge along the motion goes with one `LAGS` further on (a correlation); logarithms of squared
    differences along the motion over those across it, and of themselves; and the share of such content. No gradient.
    """
    with torch.no_grad(), torch.autocast(frame.device.type, enabled=False):
        kind = torch.promote_types(frame.dtype, torch.float32)
        light = frame.to(kind).mean(1, keepdim=True)
        moved = resized(motion.to(kind), CELL, _every(*light.shape[-2:]))
        speed = (moved.square().sum(1, keepdim=True) + 1e-6).sqrt()
        ahead = moved / speed
        aslant = torch.stack((-ahead[:, 1], ahead[:, 0]), dim=1)
        counts = _counts(speed)
        steps = [n * way for way in (ahead, aslant) for n in APART]
        halves = torch.stack([ahead] * len(LAGS) + steps, dim=1)  # b n 2 h w
        away = torch.stack([lag * moved for lag in LAGS] + [0 * moved] * len(steps), dim=1)
        differences = _seen(light, away + halves) - _seen(light, away - halves)  # b n h w
        later, near = differences[:, : len(LAGS)], differences[:, len(LAGS) :]
        again, energies = _gathered(near[:, :1] * later, counts), _gathered(near.square(), counts)  # b paces n
        share = counts.mean(dim=(-2, -1))[..., None]  # b paces 1
        energy = energies + NOISE * share + 1e-9  # b paces 6
        along, across = energy.chunk(2, dim=-1)
        level = (energy / (share + 1e-4)).log() / 4 + 2
        told = torch.cat((again / along[..., :1], (along / across).log()), dim=-1)
        return torch.cat((told * share / (share + SOME), level, share), dim=-1).flatten(1)


def told_of(j: int, relations: Mapping[int, Motion | None]) -> Tensor | None:
    """What its motion tells of the exposure of frame j, the mean over its neighbours: b k; None without any.

    relations[i]: the motion of frames i, i + 1.
    """
    pairs = (relations.get(j), 0), (relations.get(j - 1), 1)
    told = [pair.curves[end] for pair, end in pairs if pair is not None and pair.curves]
    return torch.stack(told).mean(0) if told else None


def _every(height: int, width: int) -> int:
    every = EVERY
    while (height // every) * (width // every) > PLACES:
        every *= 2
    return every


def _counts(speed: Tensor) -> Tensor:
    """Speeds b 1 h w -> how much each place counts for each pace: b paces h w, 0 to 1."""
    octaves = torch.cat([(speed / pace).log2() for pace in PACES], dim=1)
    counts = (1 - octaves.abs() / NEAR).clamp(min=0)
    faster = (octaves[:, -1:] > 0).to(counts.dtype)  # than the last pace
    return torch.cat((counts[:, :-1], torch.maximum(counts[:, -1:], faster)), dim=1)


def _gathered(values: Tensor, counts: Tensor) -> Tensor:
    """Values b n h w -> their means over the frame at each pace, b paces n."""
    return counts.flatten(2) @ values.flatten(2).mT / values[0, 0].numel()


def _seen(light: Tensor, shift: Tensor) -> Tensor:
    """b 1 H W at places in rows and columns, each moved by its shifts (b n 2 h w) -> b n h w."""
    height, width = light.shape[-2:]
    step = _every(height, width) // EVERY
    i, j = (torch.arange(n, device=light.device, dtype=light.dtype) for n in shift.shape[-2:])
    # Where one place of several is taken, it is another one from row to row: the blocks of codecs lie in rows, too.
    columns = (j * step + _one_of(i, step)[:, None] + 0.5) * EVERY
    rows = ((i * step)[:, None] + _one_of(j, step) + 0.5) * EVERY
    u = (columns + shift[:, :, 0]) * (2 / width) - 1
    v = (rows + shift[:, :, 1]) * (2 / height) - 1
    grid = torch.stack((u, v), dim=-1).flatten(1, 2)  # b (n h) w 2
    seen = F.grid_sample(light, grid, "bilinear", "border", align_corners=False)
    return seen.reshape(shift[:, :, 0].shape)


def _one_of(n: Tensor, count: int) -> Tensor:
    """Whole numbers from 0 to count - 1, evenly mixed as n counts on."""
    return ((n * 0.618034) % 1 * count).floor()
