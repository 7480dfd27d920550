"""The pixels of a scene, on a CPU or a GPU, and the motion they show.

A layer's picture is cut out of its still, brought to the size at which it is seen (low-passed there, so that it never
aliases) and then enlarged twice, so that bilinear sampling at any phase stays sharp. Layers are drawn back to front
with premultiplied alpha. Frames are float RGB in [0, 1], c h w, 8-bit sRGB values as they are; homographies are those
of `scenes.py`.

Motion is sampled at the middles of cells of CELL x CELL pixels, of the visible layer, in pixels (x, y):
    flow[p, 0]   where what is seen in input frame p has gone to in input frame p + 1
    flow[p, 1]   where what is seen in input frame p + 1 has come from in input frame p
    sweep[i]     how far what is seen in input frame i moves from half a period before it to half a period after it;
                 an exposure of e sharp frames blurs it over (e - 1) / period of that
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from alanet.data.synthetic.scenes import Floats, Layer, Mask, Scene
from alanet.errors import DataError
from alanet.frames.exposure import Exposure

__all__ = ["CELL", "SceneMotion", "Stills", "find_stills", "render", "scene_motion"]

CELL = 4  # pixels
FINER = 2  # texture pixels an output pixel
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_stills(folder: Path, *, held_out: bool = False) -> tuple[Path, ...]:
    """The pictures of a folder, sorted by name: those to train on, or the about 10 % held out.

    A still is held out by the hash of its name, so that adding others never moves it. Raises DataError if there are
    none.
    """
    if not folder.is_dir():
        raise DataError(f"no folder of stills at {folder}; give a folder of PNG, JPEG or WebP pictures")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    chosen = tuple(path for path in paths if is_held_out(path.name) == held_out)
    if not chosen:
        kind = "held-out" if held_out else "training"
        raise DataError(
            f"no {kind} stills among the {len(paths)} pictures of {folder}; add pictures (about one of 10 is held out)"
        )
    return chosen


def is_held_out(name: str) -> bool:
    """Whether the still of this file name belongs to validation."""
    return hashlib.sha256(name.encode()).digest()[0] < 26  # of 256


class Stills:
    """Pictures by a fraction in [0, 1), read when first asked for and kept (uint8, c h w, on `device`)."""

    def __init__(self, paths: Sequence[Path], device: torch.device | str = "cpu") -> None:
        self.paths = tuple(paths)
        self.device = torch.device(device)
        self._load = functools.lru_cache(maxsize=None)(self._read)

    def picture(self, fraction: float) -> Tensor:
        """The still at this place of the list: c h w uint8."""
        return self._load(int(fraction * len(self.paths)))

    def _read(self, index: int) -> Tensor:
        path = self.paths[index]
        try:
            with Image.open(path) as image:
                pixels = np.array(image.convert("RGB"))
        except (OSError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} cannot be read as a picture ({error}); remove it from the stills") from None
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().to(self.device)


def render(scene: Scene, stills: Stills) -> Tensor:
    """All sub-frames of a scene: frames 3 h w, float32 in [0, 1], on the device of the stills."""
    options = scene.options
    frame = (options.height, options.width)
    background, *layers = scene.layers
    out = _draw(background, stills, frame, (0, 0, *frame))
    for layer in layers:
        box = _seen(layer, frame)
        if box[0] < box[2] and box[1] < box[3]:
            drawn = _draw(layer, stills, frame, box)  # frames 4 h' w', colour premultiplied
            part = out[:, :, box[0] : box[2], box[1] : box[3]]
            part.mul_(1 - drawn[:, 3:]).add_(drawn[:, :3])
    return out.clamp_(0, 1)


def _draw(layer: Layer, stills: Stills, frame: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    """The layer within a box (top, left, bottom, right) of the frame, at all sub-frames: frames c h' w'."""
    extent = _extent(layer, frame)
    texture = _texture(layer, stills, extent)  # c h w
    x, y = _pixel_centres(frame, box)
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])  # 3 (h' w')
    top, left, bottom, right = extent
    # Frame -> plane, then the plane's extent to grid_sample's [-1, 1].
    to_unit = np.array(
        [
            [2 / (right - left), 0, -(right + left) / (right - left)],
            [0, 2 / (bottom - top), -(bottom + top) / (bottom - top)],
            [0, 0, 1],
        ]
    )
    inverse = to_unit @ np.linalg.inv(layer.homographies)
    device = texture.device
    matrices = torch.from_numpy(inverse).to(device, torch.float32)
    grid = matrices @ torch.from_numpy(points).to(device, torch.float32)  # frames 3 (h' w')
    grid = (grid[:, :2] / grid[:, 2:]).transpose(1, 2)  # frames (h' w') 2
    padding = "border" if layer.mask is None else "zeros"
    drawn = F.grid_sample(texture[None], grid.reshape(1, -1, x.shape[1], 2), "bilinear", padding, align_corners=False)
    frames = len(matrices)
    return drawn[0].reshape(len(texture), frames, *x.shape).transpose(0, 1)


def _pixel_centres(frame: tuple[int, int], box: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    """x and y (h' w') of the middles of the pixels in the box, measured from the middle of the frame."""
    x = np.arange(box[1], box[3]) + 0.5 - frame[1] / 2
    y = np.arange(box[0], box[2]) + 0.5 - frame[0] / 2
    return np.broadcast_to(x[None, :], (len(y), len(x))), np.broadcast_to(y[:, None], (len(y), len(x)))


def _apply(h: Floats, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Points (of any shape) through homographies (... 3 3)."""
    points = np.stack([x, y, np.ones_like(x)])
    moved = np.tensordot(h, points, axes=([-1], [0]))
    axis = h.ndim - 2
    u, v, w = np.moveaxis(moved, axis, 0)
    return u / w, v / w


def _extent(layer: Layer, frame: tuple[int, int]) -> tuple[float, float, float, float]:
    """What of its plane a layer needs: top, left, bottom, right."""
    if layer.mask is not None:
        return _mask_box(layer.mask)
    half_h, half_w = frame[0] / 2, frame[1] / 2
    corners = np.array([-half_w, half_w, -half_w, half_w]), np.array([-half_h, -half_h, half_h, half_h])
    u, v = _apply(np.asarray(np.linalg.inv(layer.homographies), np.float64), *corners)
    return float(v.min()) - 2, float(u.min()) - 2, float(v.max()) + 2, float(u.max()) + 2


def _seen(layer: Layer, frame: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box of the frame in which a layer is ever seen: top, left, bottom, right in whole pixels."""
    top, left, bottom, right = _extent(layer, frame)
    corners = np.array([left, right, left, right]), np.array([top, top, bottom, bottom])
    x, y = _apply(layer.homographies, *corners)
    x, y = x + frame[1] / 2, y + frame[0] / 2
    low = max(0, math.floor(y.min())), max(0, math.floor(x.min()))
    return *low, min(frame[0], math.ceil(y.max())), min(frame[1], math.ceil(x.max()))


def _texture(layer: Layer, stills: Stills, extent: tuple[float, float, float, float]) -> Tensor:
    """The picture over the extent of the plane, FINER pixels an output pixel: 3 h w, or 4 h w premultiplied with its
    mask."""
    top, left, bottom, right = extent
    size = (bottom - top, right - left)
    regions = [_region(stills.picture(still), size, layer.scale, (x, y)) for still, x, y in layer.candidates]
    region = max(regions, key=_detail).float()[None] / 255
    shrink = float(np.linalg.svd(layer.homographies[:, :2, :2], compute_uv=False).min())
    coarse = [max(2, round(length * min(1.0, shrink))) for length in size]
    fine = [max(4, round(length * FINER)) for length in size]
    region = F.interpolate(region, coarse, mode="bicubic", antialias=True, align_corners=False)
    region = F.interpolate(region, fine, mode="bicubic", align_corners=False)
    picture = (region[0] * layer.gain).clamp(0, 1)
    if layer.mask is None:
        return picture
    alpha = _alpha(layer.mask, extent, fine).to(picture.device)
    return torch.cat([picture * alpha, alpha])


def _region(still: Tensor, size: tuple[float, float], scale: float, centre: tuple[float, float]) -> Tensor:
    """The part of a still (c h w) that covers `size` output pixels (height, width).

    A still too small for that is enlarged a little, and mirrored at its edges beyond that.
    """
    scale = min(max(scale, size[0] / still.shape[1], size[1] / still.shape[2]), 1.25)
    rows = _places(still.shape[1], size[0] / scale, centre[1]).to(still.device)
    columns = _places(still.shape[2], size[1] / scale, centre[0]).to(still.device)
    return still[:, rows][:, :, columns]


def _detail(region: Tensor) -> float:
    """How much there is to see (c h w uint8): the mean, over every third pixel, of the logarithm of the steps."""
    green = region[1, ::3, ::3].float()
    return float((green.diff(dim=0).abs() + 1).log().mean() + (green.diff(dim=1).abs() + 1).log().mean())


def _places(length: int, wanted: float, centre: float) -> Tensor:
    """Indices of `wanted` pixels in a row of `length`, placed by the fraction `centre`, mirrored where they leave
    it."""
    count = max(2, round(wanted))
    start = round((length - count) * centre)
    index = torch.arange(start, start + count) % (2 * length)
    return torch.where(index < length, index, 2 * length - 1 - index)


def _outline(mask: Mask) -> tuple[Floats, Floats]:
    """The closed curve of a mask: angle (512) and radius before it is stretched and turned."""
    angle = np.arange(512, dtype=np.float64) * (2 * math.pi / 512)
    waves = [a * np.cos((k + 2) * angle + phase) for k, (a, phase) in enumerate(mask.waves)]
    return angle, np.asarray(mask.radius * np.clip(1 + np.sum(waves, axis=0), 0.15, 2.0))


def _mask_box(mask: Mask) -> tuple[float, float, float, float]:
    """Top, left, bottom, right of a mask on its plane, its soft edge included."""
    angle, radius = _outline(mask)
    stretch, cos, sin = math.sqrt(mask.aspect), math.cos(mask.angle), math.sin(mask.angle)
    a, b = radius * np.cos(angle) * stretch, radius * np.sin(angle) / stretch
    u, v, edge = cos * a - sin * b, sin * a + cos * b, mask.softness + 1
    return float(v.min()) - edge, float(u.min()) - edge, float(v.max()) + edge, float(u.max()) + edge


def coverage(mask: Mask, u: Floats, v: Floats) -> Floats:
    """How much of each point (u, v) of its plane a layer covers, 0 to 1."""
    cos, sin, stretch = math.cos(mask.angle), math.sin(mask.angle), math.sqrt(mask.aspect)
    a, b = (cos * u + sin * v) / stretch, (cos * v - sin * u) * stretch
    radius = np.interp(np.arctan2(b, a), *_outline(mask), period=2 * math.pi)
    inside = (radius - np.hypot(a, b)) * min(stretch, 1 / stretch)
    alpha = np.clip(inside / mask.softness + 0.5, 0, 1)
    if mask.holes:
        # Twelve plane waves add up to smooth noise of unit variance that can be asked at any point.
        rng = np.random.Generator(np.random.Philox(mask.seed))
        direction, phase = rng.random(12) * 2 * math.pi, rng.random(12) * 2 * math.pi
        pitch = 2 * math.pi / (mask.hole_size * rng.uniform(1.5, 4.0, 12))
        waves = [
            np.cos(k * (math.cos(d) * u + math.sin(d) * v) + p) for k, d, p in zip(pitch, direction, phase, strict=True)
        ]
        noise = np.sum(waves, axis=0) / math.sqrt(6)
        alpha = alpha * np.clip((noise + 1.2 * (1 - 2 * mask.holes)) * mask.hole_size / 3 + 0.5, 0, 1)
    return np.asarray(alpha)


def _alpha(mask: Mask, extent: tuple[float, float, float, float], size: list[int]) -> Tensor:
    """The mask over the extent of its plane: 1 h w."""
    top, left, bottom, right = extent
    u = (np.arange(size[1]) + 0.5) * ((right - left) / size[1]) + left
    v = (np.arange(size[0]) + 0.5) * ((bottom - top) / size[0]) + top
    return torch.from_numpy(coverage(mask, *np.meshgrid(u, v)).astype(np.float32))[None]


@dataclass(frozen=True, slots=True)
class SceneMotion:
    """See the head of this file; float32, axis of length 2 behind the first two: (x, y) in pixels."""

    flow: npt.NDArray[np.float32]  # t-1 2 2 h/CELL w/CELL: pair, forward and backward, x and y
    sweep: npt.NDArray[np.float32]  # t 2 h/CELL w/CELL


def scene_motion(scene: Scene, exposure: Exposure) -> SceneMotion:
    """The motion between the input frames of a scene whose first sub-frame is the first of the first exposure."""
    options = scene.options
    t = exposure.available(options.frames)
    half = exposure.period // 2
    flow = np.zeros((t - 1, 2, 2, options.height // CELL, options.width // CELL), np.float32)
    sweep = np.zeros((t, 2, *flow.shape[3:]), np.float32)
    for i in range(t):
        now = exposure.centre(i)
        before, after = max(0, now - half), min(options.frames - 1, now + half)
        then = [exposure.centre(max(0, i - 1)), before, after, exposure.centre(min(t - 1, i + 1))]
        last, start, end, following = _moved(scene, now, then)
        sweep[i] = (end - start) * (exposure.period / max(1, after - before))
        if i > 0:
            flow[i - 1, 1] = last
        if i + 1 < t:
            flow[i, 0] = following
    return SceneMotion(flow, sweep)


def _moved(scene: Scene, now: int, then: list[int]) -> Floats:
    """Displacements (then 2 h/CELL w/CELL) from sub-frame `now` of what is then seen in the middle of each cell."""
    options = scene.options
    x = (np.arange(options.width // CELL) + 0.5) * CELL - options.width / 2
    y = (np.arange(options.height // CELL) + 0.5) * CELL - options.height / 2
    x, y = np.meshgrid(x, y)
    out = np.zeros((len(then), 2, *x.shape))
    for layer in scene.layers:
        u, v = _apply(np.linalg.inv(layer.homographies[now]), x, y)
        seen = np.ones(x.shape, bool) if layer.mask is None else coverage(layer.mask, u, v) > 0.5
        to_x, to_y = _apply(layer.homographies[then], u, v)  # then h/CELL w/CELL
        out = np.where(seen, np.stack([to_x - x, to_y - y], axis=1), out)
    return out
