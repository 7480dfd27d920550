"""alanet deblurs video and interpolates frames.

    import alanet

    alanet.restore("holiday.mp4")                          # writes holiday_x2.mp4
    alanet.restore("holiday.mp4", "slow.mp4", slow=4, crf=16, device="cuda")

    restorer = alanet.Restorer()                           # loads the network once, for several videos
    restorer.restore("holiday.mp4")
    for frame in restorer.frames("holiday.mp4"):           # frames with exact times
        ...
    restored = restorer.arrays(frames)                     # arrays in, arrays out

Importing this module is cheap: torch and the rest are imported with the first use of a name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from alanet.version import __version__ as __version__

if TYPE_CHECKING:
    from alanet.errors import AlanetError as AlanetError
    from alanet.frames.frame import Frame as Frame
    from alanet.frames.timing import Factor as Factor
    from alanet.frames.timing import Schedule as Schedule
    from alanet.frames.timing import TargetRate as TargetRate
    from alanet.model.alanet import ALANet as ALANet
    from alanet.model.alanet import ALANetConfig as ALANetConfig
    from alanet.model.alanet_plus import ALANetPlus as ALANetPlus
    from alanet.model.alanet_plus import ALANetPlusConfig as ALANetPlusConfig
    from alanet.model.weights import available_models as available_models
    from alanet.model.weights import load_model as load_model
    from alanet.model.weights import save_weights as save_weights
    from alanet.restoration.options import EncodeOptions as EncodeOptions
    from alanet.restoration.options import NetworkOptions as NetworkOptions
    from alanet.restoration.options import RestoreOptions as RestoreOptions
    from alanet.restoration.plan import RestoreReport as RestoreReport
    from alanet.restoration.progress import RestoreProgress as RestoreProgress
    from alanet.restoration.restorer import Restorer as Restorer
    from alanet.restoration.restorer import restore as restore

_HOME = {
    "restore": "alanet.restoration.restorer",
    "Factor": "alanet.frames.timing",
    "Schedule": "alanet.frames.timing",
    "TargetRate": "alanet.frames.timing",
    "NetworkOptions": "alanet.restoration.options",
    "AlanetError": "alanet.errors",
    "Frame": "alanet.frames.frame",
    "ALANet": "alanet.model.alanet",
    "ALANetConfig": "alanet.model.alanet",
    "ALANetPlus": "alanet.model.alanet_plus",
    "ALANetPlusConfig": "alanet.model.alanet_plus",
    "available_models": "alanet.model.weights",
    "load_model": "alanet.model.weights",
    "save_weights": "alanet.model.weights",
    "EncodeOptions": "alanet.restoration.options",
    "RestoreProgress": "alanet.restoration.progress",
    "RestoreOptions": "alanet.restoration.options",
    "RestoreReport": "alanet.restoration.plan",
    "Restorer": "alanet.restoration.restorer",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'alanet' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
