"""What the verbs of `alanet evaluate` share: which methods restore the videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from alanet.cli.options import flag
from alanet.errors import OptionError, WeightsError

if TYPE_CHECKING:
    from alanet.evaluation.baselines import Method
    from alanet.restoration.restorer import Restorer

__all__ = ["Methods", "weights_in"]

METHODS = Group("Methods", sort_key=1)


@Parameter(name="*", group=METHODS)
@dataclass(frozen=True)
class Methods:
    """Which methods restore them."""

    model: Annotated[
        list[str] | None,
        Parameter(
            metavar="NAME|PATH",
            negative="",
            help="A name of `alanet models`, a weights file or a training folder. Repeatable.",
        ),
    ] = None
    no_model: Annotated[bool, flag(["--no-model"], "No network, only baselines and other programs.")] = False
    without: Annotated[
        list[Literal["copy", "blend", "minterpolate"]] | None,
        Parameter(negative="", metavar="NAME", help="Leave out a baseline. Repeatable."),
    ] = None
    frames: Annotated[
        list[str] | None,
        Parameter(
            metavar="NAME=FOLDER",
            negative="",
            help="Frames restored by another program: FOLDER/VIDEO/000000.png ..., one per time. Repeatable.",
        ),
    ] = None
    rife_module: Annotated[
        Path | None,
        Parameter(
            metavar="FILE", help="Python file of RIFE's network. Its code is executed: use only a file you trust."
        ),
    ] = None
    rife_weights: Annotated[Path | None, Parameter(metavar="FILE", help="Weights of RIFE.")] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps", "xpu"], Parameter(help="Device that runs the networks.")
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Parameter(help="Number format. fp32 gives nearly the same scores on every machine."),
    ] = "fp32"
    threads: Annotated[int | None, Parameter(metavar="N", help="CPU threads. The default is all physical cores.")] = (
        None
    )

    def networks(self) -> list[tuple[str, Restorer, str]]:
        """(name, network, SHA-256 of its weights) of every model that is asked for."""
        from alanet.model.weights import available_models, default_model, file_sha256
        from alanet.restoration.restorer import Restorer

        if self.no_model:
            if self.model:
                raise OptionError("--model and --no-model contradict each other; leave one out")
            return []
        cards = available_models()
        given = list(dict.fromkeys(self.model or [default_model()]))
        short = [name if name in cards else _short(Path(name)) for name in given]
        found = []
        for name, brief in zip(given, short, strict=True):
            path = cards[name].path if name in cards else weights_in(Path(name))
            one = name if name in cards else path
            restorer = Restorer(one, device=self.device, precision=self.precision, threads=self.threads)
            found.append((brief if short.count(brief) == 1 else name, restorer, file_sha256(path)))
        return found

    def machine(self) -> tuple[tuple[str, str], ...]:
        """On what networks run, for the foot of a table."""
        from alanet.engine.runner import pick_device

        return (("device", str(pick_device(self.device))), ("precision", self.precision))

    def others(self) -> list[Method]:
        """The baselines, and RIFE where it is given."""
        from alanet.engine.runner import pick_device
        from alanet.evaluation.baselines import BASELINES, load_rife

        chosen = [method for method in BASELINES if method.name not in (self.without or [])]
        if (self.rife_module is None) != (self.rife_weights is None):
            raise OptionError("RIFE needs both its network and its weights; give --rife-module and --rife-weights")
        if self.rife_module is not None and self.rife_weights is not None:
            device = str(pick_device(self.device))
            chosen.append(load_rife(self.rife_module, self.rife_weights, device=device))
        return chosen + [_saved(text) for text in self.frames or []]

    def all(self) -> list[Method]:
        """Baselines first, as the rows of a table."""
        from alanet.evaluation.evaluate import of_restorer

        ours = [of_restorer(restorer, name, weights=digest) for name, restorer, digest in self.networks()]
        if not (methods := [*self.others(), *ours]):
            raise OptionError("nothing to evaluate; give --model, or leave out a --without")
        return methods


def _saved(text: str) -> Method:
    from alanet.evaluation.saved import saved_frames

    name, sign, folder = text.partition("=")
    if not name or not sign:
        raise OptionError(f"--frames {text}: give NAME=FOLDER, such as --frames today=frames/today")
    return saved_frames(name, folder)


def _short(path: Path) -> str:
    return path.name if path.is_dir() else path.stem


def weights_in(path: Path) -> Path:
    """The weights of a run's folder; a file is itself."""
    if not path.is_dir():
        return path
    found = path / "last.safetensors"
    if not found.is_file():
        raise WeightsError(f"{path} holds no last.safetensors; give the folder of a training run or a weights file")
    return found
