"""Scenes: stills moved along smooth random paths, which is high-frame-rate video whose motion is known exactly.

A scene is a background still seen by a moving camera and 0 to 4 layers before it, cut out of other stills, each with
its own path. This file draws what a scene *is*, from (seed, index) alone and in float64, the same on any device and
with any number of workers; `render.py` draws its pixels.

Planes and frames. A layer is a picture on a plane whose unit is one output pixel and whose origin is the middle of
what is seen of it halfway through the scene. `homographies[k]` takes a point of the plane (u, v, 1) to the frame (x,
y, w) at sub-frame k, x to the right and y down, (0, 0) the middle of the frame. Time is in input periods, 0 halfway
through the scene.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from alanet.errors import OptionError

__all__ = ["Layer", "Mask", "Scene", "SceneOptions", "draw_scene"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """What scenes are drawn from; saved with a bank of them."""

    height: int = 128  # pixels
    width: int = 128  # pixels
    frames: int = 47  # sub-frames: (t - 1) * period + the longest exposure
    period: int = 8  # sub-frames from one input frame to the next
    max_displacement: float = 24.0  # pixels a period at most (about); half of the paths stay below a third of it
    still: float = 0.15  # share of scenes without any motion
    steady: float = 0.15  # share of the moving scenes whose camera stands still
    layers: tuple[float, ...] = (0.25, 0.25, 0.2, 0.15, 0.15)  # chances of 0, 1, 2 ... layers
    smallest_scale: float = 0.45  # output pixels a pixel of the still

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 16 or self.height % 4 or self.width % 4:
            raise OptionError(f"scenes of {self.width}x{self.height} pixels; allowed: multiples of 4 from 16 on")
        if self.frames < 1 or self.period < 2 or self.max_displacement < 0:
            raise OptionError(
                f"scenes of {self.frames} sub-frames, period {self.period}, displacement {self.max_displacement}; "
                "allowed: 1 or more, 2 or more, 0 or more"
            )
        if not self.layers or min(self.layers) < 0 or sum(self.layers) <= 0:
            raise OptionError(f"chances of layers are {self.layers}; allowed: numbers from 0 on, not all 0")


@dataclass(frozen=True, slots=True)
class Mask:
    """The shape of a layer on its plane, all lengths in pixels.

    A closed curve of radius r(angle) = radius * (1 + sum of waves), stretched by `aspect` and turned by `angle`;
    `holes` > 0 cuts smooth random holes into it (leaves, fences).
    """

    radius: float
    aspect: float
    angle: float
    waves: Floats  # k 2: amplitude and phase of the k-th wave
    softness: float  # width of the edge
    holes: float  # 0 to 1
    hole_size: float
    seed: int  # of the holes


@dataclass(frozen=True, slots=True)
class Layer:
    """A picture and its path.

    `candidates` are places in the photographs: which one, x and y as fractions. The one with most detail is
    taken, as motion cannot be seen in a clear sky.
    """

    candidates: tuple[tuple[float, float, float], ...]
    scale: float  # output pixels a pixel of the still
    gain: float  # brightness
    homographies: Floats  # frames 3 3, plane -> frame
    mask: Mask | None  # None: the background


@dataclass(frozen=True, slots=True)
class Scene:
    """Layers from back to front."""

    options: SceneOptions
    index: int
    layers: tuple[Layer, ...]


def draw_scene(options: SceneOptions, seed: int, index: int) -> Scene:
    """Scene number `index` of the series `seed`."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, index))))
    moving = rng.random() >= options.still
    camera = draw_path(rng, options, moving and rng.random() >= options.steady)
    count = int(rng.choice(len(options.layers), p=np.array(options.layers) / sum(options.layers)))
    layers = [_background(rng, options, camera)]
    layers += [_layer(rng, options, camera, moving) for _ in range(count)]
    return Scene(options, index, tuple(layers))


# A path has six numbers a moment, each measured by how far it moves the edge of the frame, in pixels:
# right, down, turn, zoom, and tilt in two directions (perspective).
WEIGHTS = np.array([1.0, 0.7, 0.3, 0.3, 0.08, 0.08])


def draw_path(rng: np.random.Generator, options: SceneOptions, moving: bool) -> Floats:
    """A smooth random path (frames 6): a drift, slow sways, and shake whose energy falls as 1/f^2.

    Scaled so that the largest displacement in one period is the one drawn for this path: at most `max_displacement`,
    mostly less (its median is a third).
    """
    moment = (np.arange(options.frames) - (options.frames - 1) / 2) / options.period
    kinds = WEIGHTS * rng.lognormal(0.0, 0.7, 6)
    drift = rng.normal(size=6) * moment[:, None]
    sway = _waves(rng, moment, np.array([0.05, 0.1, 0.16])) * 1.5
    shake = _waves(rng, moment, np.linspace(0.1, 0.5, 9)) * rng.random() ** 2 * 1.5
    path = (drift + sway + shake) * kinds
    path = path - path[options.frames // 2]
    wanted = options.max_displacement * rng.random() ** 1.5 if moving else 0.0
    step = min(options.period, options.frames - 1)
    largest = np.abs(path[step:] - path[: options.frames - step])
    # Translation moves all of the frame; turn, zoom and tilt move the mean pixel about half as far as the edge.
    travelled = np.hypot(*largest[:, :2].T) + 0.5 * np.hypot(*largest[:, 2:4].T) + 0.5 * largest[:, 4:].sum(axis=1)
    return np.asarray(path * (wanted / max(float(travelled.max(initial=0.0)), 1e-9)))


def _waves(rng: np.random.Generator, moment: Floats, frequencies: Floats) -> Floats:
    """Sines of random phase, amplitude falling as 1/f: frames 6. Frequencies are in cycles a period."""
    size = rng.normal(size=(len(frequencies), 6)) * (frequencies[0] / frequencies)[:, None]
    phase = rng.random((len(frequencies), 6)) * 2 * math.pi
    angle = 2 * math.pi * frequencies[:, None, None] * moment[None, :, None] + phase[:, None, :]
    return np.asarray((size[:, None, :] * np.sin(angle)).sum(axis=0))


def homographies(path: Floats, reach: float) -> Floats:
    """Plane -> frame (frames 3 3) of a path (frames 6), whose turn, zoom and tilt are the pixels moved at `reach`."""
    right, down, turn, zoom, tilt_x, tilt_y = path.T
    # Zoom stays within a quarter and tilt within a tenth, so that a still is neither minified far nor folded.
    zoom, turn = _limited(zoom / reach, 0.22), turn / reach
    tilt_x, tilt_y = _limited(tilt_x / reach, 0.1), _limited(tilt_y / reach, 0.1)
    grow = np.exp(zoom)
    h = np.zeros((len(path), 3, 3))
    h[:, 0, 0] = h[:, 1, 1] = grow * np.cos(turn)
    h[:, 1, 0] = grow * np.sin(turn)
    h[:, 0, 1] = -h[:, 1, 0]
    h[:, 0, 2], h[:, 1, 2], h[:, 2, 2] = right, down, 1.0
    # The plane's origin moves by (right, down) whatever the tilt: the offset is added after the division.
    tilt = np.zeros_like(h)
    tilt[:, [0, 1, 2], [0, 1, 2]] = 1.0
    tilt[:, 2, 0], tilt[:, 2, 1] = tilt_x / reach, tilt_y / reach
    return h @ tilt


def _limited(values: Floats, limit: float) -> Floats:
    return values * min(1.0, limit / max(float(np.abs(values).max()), 1e-9))


def _background(rng: np.random.Generator, options: SceneOptions, camera: Floats) -> Layer:
    reach = math.hypot(options.height, options.width) / 2
    return Layer(**_picture(rng, options), homographies=homographies(camera, reach), mask=None)


def _layer(rng: np.random.Generator, options: SceneOptions, camera: Floats, moving: bool) -> Layer:
    """A thing in the scene: it goes with the camera (nearer ones more), and by its own path; some ignore the camera."""
    reach = math.hypot(options.height, options.width) / 2
    mask = _mask(rng, min(options.height, options.width))
    place = np.eye(3)
    place[:2, 2] = (rng.random(2) - 0.5) * 0.9 * (options.width, options.height)
    with_camera = rng.random() < 0.8
    depth = rng.uniform(0.9, 1.6)
    own = draw_path(rng, options, moving and rng.random() < 0.7) * (0.8 if with_camera else 1.0)
    h = place @ homographies(own, max(2 * mask.radius * math.sqrt(max(mask.aspect, 1 / mask.aspect)), 8.0))
    if with_camera:
        h = homographies(camera * depth, reach) @ h
    return Layer(**_picture(rng, options), homographies=h, mask=mask)


def _mask(rng: np.random.Generator, size: int) -> Mask:
    long = rng.random() < 0.15  # poles, wires, arms
    radius = size * math.exp(rng.uniform(math.log(0.06), math.log(0.55)))
    aspect = math.exp(rng.uniform(-0.8, 0.8))
    if long:
        aspect = math.exp(rng.uniform(math.log(5.0), math.log(25.0)))
        radius = rng.uniform(1.0, 5.0) * math.sqrt(aspect)  # so half as thick as the first number
    waves = np.stack([rng.normal(size=6) * 0.3 / np.arange(2, 8), rng.random(6) * 2 * math.pi], axis=1)
    return Mask(
        radius=max(radius, 3.0),
        aspect=aspect,
        angle=rng.random() * 2 * math.pi,
        waves=waves * (0.2 if long else 1.0, 1.0),
        softness=rng.uniform(0.8, 1.6) if rng.random() < 0.75 else rng.uniform(1.6, 6.0),
        holes=rng.uniform(0.2, 0.6) if rng.random() < 0.15 else 0.0,
        hole_size=rng.uniform(3.0, 12.0),
        seed=int(rng.integers(1 << 31)),
    )


def _picture(rng: np.random.Generator, options: SceneOptions) -> dict[str, Any]:
    stills = rng.random(2)
    return {
        "candidates": tuple((float(stills[k % 2]), rng.random(), rng.random()) for k in range(4)),
        "scale": math.exp(rng.uniform(math.log(options.smallest_scale), 0.0)),
        "gain": rng.uniform(0.75, 1.1),
    }
