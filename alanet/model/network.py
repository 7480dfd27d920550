"""The contract between a network and what runs it: `Network`, and the `Window` of frames that it restores from.

    frame -> encode -> features ─┐
                                 ├─ Window -> generate(time) -> restored frame
    pair  -> relate -> relation ─┘        └-> estimate(i)    -> exposure, sharp or not

Frames are float32 RGB in [0, 1], b c h w; a clip is b t c h w. Times count input periods from the clip's first frame:
an integer time is a deblurred frame, any other an interpolated one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from numbers import Real
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from alanet.errors import OptionError, TimeError
from alanet.frames.tiles import Box

__all__ = [
    "Cost",
    "FrameEstimate",
    "Memory",
    "Network",
    "Tiling",
    "Window",
    "check_clip",
    "check_config",
    "check_fields",
    "split_features",
]


def check_config(config: object, kind: type) -> None:
    """Raises OptionError for a configuration of another type than a network's own."""
    if not isinstance(config, kind):
        raise OptionError(f"config is of type {type(config).__name__}; give {kind.__name__}")


def check_fields(config: Any) -> None:
    """Raises OptionError for a field of a configuration that is of another type than its default."""
    for one in fields(config):
        value, kind = getattr(config, one.name), type(one.default)
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool) != (kind is bool):
            raise OptionError(f"{one.name} is {value!r}; give a value such as {one.default!r}")


def check_clip(network: Any, clip: Tensor, times: Sequence[float]) -> None:
    """What `forward` of every network demands of its arguments; the clip has the type of its weights.

    Raises OptionError for other axes, types or sizes, TimeError for no times and times outside the clip.
    """
    stride, dtype = network.stride, next(network.parameters()).dtype
    if not isinstance(clip, Tensor) or clip.dtype != dtype:
        kind = f"{clip.dtype} tensor" if isinstance(clip, Tensor) else type(clip).__name__
        raise OptionError(f"clip is a {kind}; give a {dtype} tensor b t 3 h w with values in [0, 1]")
    if clip.ndim != 5 or clip.shape[2] != 3 or not clip.shape[1]:
        raise OptionError(f"clip has the shape {tuple(clip.shape)}; give b t 3 h w, t of 1 or more")
    height, width = clip.shape[-2:]
    if height % stride or width % stride or not height or not width:
        raise OptionError(
            f"clip of {width}x{height} pixels; allowed: multiples of {stride}. Pad it, or use Restorer.arrays, which "
            "takes any size"
        )
    t = clip.shape[1]
    if not isinstance(times, Sequence) or not all(isinstance(time, Real) for time in times):
        raise TimeError(f"times {times!r}; give a list of numbers, in input periods from the clip's first frame")
    if not times or not all(0 <= time <= t - 1 for time in times):
        raise TimeError(f"times {list(times)} of a clip of {t} frames; allowed: one or more, from 0 to {t - 1}")


@dataclass(frozen=True, slots=True)
class Window:
    """What is known of the frames around a time. Frames beyond a cut or an end of the video are not in it."""

    features: Mapping[int, Any]  # of frame i, as `encode` gives them
    relations: Mapping[int, Any] = field(default_factory=dict)  # of frames i and i + 1, as `relate` gives them

    def only(self, indices: Iterable[int]) -> Window:
        """The part of it that holds these frames, and the pairs among them."""
        kept = {i: self.features[i] for i in indices if i in self.features}
        return Window(kept, {i: self.relations[i] for i in kept if i + 1 in kept and i in self.relations})


class FrameEstimate(NamedTuple):
    """What a network estimates of one frame; each b."""

    exposure: Tensor  # fraction of the frame period
    uncertainty: Tensor  # expected error of the exposure's natural logarithm; NaN where it is not estimated
    sharp: Tensor  # logit of the probability that the frame is sharp


class Cost(NamedTuple):
    """Billions of multiply-accumulates at one size."""

    encode: float  # an input frame
    relate: float  # a pair of neighbours
    generate: float  # a restored frame: the mean of a deblurred and an interpolated one

    @property
    def output(self) -> float:
        """A restored frame at twice the rate, in a stream."""
        return (self.encode + self.relate) / 2 + self.generate


class Memory(NamedTuple):
    """Bytes a pixel while a stream is restored."""

    features: float  # a pixel of the frame: what the window holds, whatever the tiles
    work: float  # a pixel of the tile that is generated
    whole: float = 0.0  # a pixel of the frame: the work of `encode` and `relate`, where they take whole frames
    strip: float = 0.0  # a pixel of a strip, where `generate` does its most expensive work in strips
    strip_pixels: int = 0


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a frame can be generated in parts.

    Features are of whole frames and `generate` takes `within`; or, where `mean` and `with_mean` are given, features of
    a tile are made by `encode` of that tile and completed by the mean over the whole frame.
    """

    halo: int  # pixels beyond a part that its result depends on
    mean: Callable[[Any, slice, slice], Tensor] | None = None  # sum over these cells (of stride pixels) -> b c
    with_mean: Callable[[Any, Tensor], Any] | None = None  # features of a tile, with the whole frame's mean


class Network(Protocol):
    """A network that deblurs and interpolates.

    `encode` runs once a frame, `relate` once a pair of neighbours (motion and the like), `generate` once a restored
    frame; `forward` is these three in a row and nothing else. Times are Python numbers, the same for the whole batch.
    Output is b n c h w (of `generate` b c h w), not clamped. h and w are multiples of `stride`.

    A network is an `nn.Module` with these members, a frozen dataclass as `config`, and a line in
    `weights.NETWORKS`. The engine does not depend on the class.
    """

    config: Any
    stride: int
    continuous_time: bool  # whether it restores any time
    sharp_above: float  # probability from which a frame counts as sharp

    @property
    def window(self) -> int:
        """W of eq. 5: a deblurred frame uses W / 2 neighbours on each side."""
        ...

    @property
    def around(self) -> int:
        """Frames beyond an interpolated frame's two, on each side, that it uses."""
        ...

    @property
    def estimates(self) -> bool:
        """Whether `estimate` gives anything."""
        ...

    @property
    def tiling(self) -> Tiling: ...

    def encode(self, frame: Tensor) -> Any: ...

    def relate(self, a: Any, b: Any) -> Any:
        """What is kept of a frame and the next one; None for a network that keeps nothing."""
        ...

    def generate(self, window: Window, time: float, within: Box | None = None) -> Tensor:
        """The frame at `time`, or the part `within` of it (multiples of the stride)."""
        ...

    def between(self, window: Window, i: int, phase: Tensor) -> Tensor:
        """The frame at i + phase, phase in (0, 1) a tensor without axes: what an exported graph computes."""
        ...

    def motion_of(self, relation: Any) -> Tensor | None:
        """The motion from a frame to the next one by their relation, b 2 h/4 w/4, pixels; None: it estimates none."""
        ...

    def estimate(self, window: Window, i: int) -> FrameEstimate | None:
        """Exposure and sharpness of frame i; None for a network that does not estimate them."""
        ...

    def can_restore(self, phase: Fraction) -> bool:
        """Whether the frame at `phase` in [0, 1) between two inputs is supported."""
        ...

    def cost(self, height: int = 352, width: int = 640) -> Cost: ...

    def memory(self, value: int) -> Memory:
        """value: bytes of a number in the compute type."""
        ...

    def objective(self, batch: Any, progress: float) -> Tensor | None:
        """A training loss of the network's own, `progress` of training done (0 to 1); None: the trainer's loss."""
        ...

    # nn.Module's own
    training: bool

    def __call__(self, clip: Tensor, times: Sequence[float]) -> Tensor: ...
    def to(self, *args: Any, **kwargs: Any) -> Any: ...
    def eval(self) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...
    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any: ...


def split_features(features: Any, parts: int) -> list[Any]:
    """Features of `(t b)` frames, a dataclass of tensors and tuples of tensors -> `parts` = t times those of `b`."""

    def split(value: Any) -> Any:
        return value.chunk(parts) if isinstance(value, Tensor) else list(zip(*map(split, value), strict=True))

    each = (split(getattr(features, one.name)) for one in fields(features))
    return [type(features)(*values) for values in zip(*each, strict=True)]
