"""A checkpoint (everything a run needs to go on) -> weights (what others load): the running mean, and nothing else."""

from __future__ import annotations

from pathlib import Path

from alanet.errors import AlanetError, WeightsError
from alanet.model.network import Network
from alanet.model.weights import NETWORKS, build_network, save_weights
from alanet.training.checkpoint import Checkpoint, latest, read_checkpoint

__all__ = ["ship", "trained_model"]


def ship(source: str | Path, path: str | Path, *, half: bool = True) -> str:
    """Write the weights of a checkpoint, or of the newest one in a run's folder, to `path`; returns their SHA-256.

    Raises WeightsError when there is no checkpoint that can be read, OutputError when `path` cannot be written.
    """
    source = Path(source)
    checkpoint = latest(source) if source.is_dir() else read_checkpoint(source)
    if checkpoint is None:
        raise WeightsError(f"{source} holds no checkpoint (step-*.ckpt); give the folder of a training run")
    return save_weights(trained_model(checkpoint), path, half=half)


def trained_model(checkpoint: Checkpoint) -> Network:
    """The network of a checkpoint with the running mean of its weights (the weights themselves if it has none)."""
    about = checkpoint.about.get("model")
    name = about.get("model") if isinstance(about, dict) else None
    if not isinstance(about, dict) or name not in NETWORKS:
        raise WeightsError(
            f"the checkpoint is of {name}, which this version cannot build; allowed: {', '.join(NETWORKS)}"
        )
    try:
        model = build_network(name, about["config"])
        model.load_state_dict(checkpoint.part("ema") or checkpoint.part("model"))
    except (AlanetError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(f"the checkpoint does not fit the network it names ({reason}); use another") from error
    model.eval()
    return model
