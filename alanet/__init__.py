"""alanet deblurs video and interpolates frames.

    import alanet

    alanet.restore("holiday.mp4")                          # writes holiday_x2.mp4
    alanet.restore("holiday.mp4", "slow.mp4", slow=4, crf=16, device="cuda")

    restorer = alanet.Restorer()                           # loads the network once, for several videos
    restorer.restore("holiday.mp4")
    for frame in restorer.frames("holiday.mp4"):           # frames with exact times
        ...
    restored = restorer.arrays(frames)                     # NumPy arrays or torch tensors in, the same out
    middle = restorer.interpolate(frames[0], frames[1], 0.5)

Importing this module is cheap: torch and the rest are imported with the first use of a name.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from alanet.version import __version__ as __version__

if TYPE_CHECKING:
    from alanet.engine.threads import configure_threads as configure_threads
    from alanet.errors import AlanetError as AlanetError
    from alanet.errors import CancelledError as CancelledError
    from alanet.errors import DataError as DataError
    from alanet.errors import IncompleteError as IncompleteError
    from alanet.errors import InputError as InputError
    from alanet.errors import MediaError as MediaError
    from alanet.errors import OptionError as OptionError
    from alanet.errors import OutputError as OutputError
    from alanet.errors import ResourceError as ResourceError
    from alanet.errors import TimeError as TimeError
    from alanet.errors import WeightsError as WeightsError
    from alanet.frames.frame import Frame as Frame
    from alanet.frames.timing import Factor as Factor
    from alanet.frames.timing import Schedule as Schedule
    from alanet.frames.timing import TargetRate as TargetRate
    from alanet.frames.timing import slow_motion as slow_motion
    from alanet.model.alanet import ALANet as ALANet
    from alanet.model.alanet import ALANetConfig as ALANetConfig
    from alanet.model.alanet_plus import ALANetPlus as ALANetPlus
    from alanet.model.alanet_plus import ALANetPlusConfig as ALANetPlusConfig
    from alanet.model.weights import ModelCard as ModelCard
    from alanet.model.weights import available_models as available_models
    from alanet.model.weights import load_model as load_model
    from alanet.model.weights import save_weights as save_weights
    from alanet.notes import Notes as Notes
    from alanet.restoration.functions import interpolate as interpolate
    from alanet.restoration.functions import restore as restore
    from alanet.restoration.options import EncodeOptions as EncodeOptions
    from alanet.restoration.options import NetworkOptions as NetworkOptions
    from alanet.restoration.options import RestoreOptions as RestoreOptions
    from alanet.restoration.plan import RestorePlan as RestorePlan
    from alanet.restoration.plan import RestoreReport as RestoreReport
    from alanet.restoration.progress import RestoreProgress as RestoreProgress
    from alanet.restoration.restorer import CancelToken as CancelToken
    from alanet.restoration.restorer import Restorer as Restorer

_NAMES = {
    "alanet.engine.threads": ("configure_threads",),
    "alanet.errors": (
        "AlanetError",
        "CancelledError",
        "DataError",
        "IncompleteError",
        "InputError",
        "MediaError",
        "OptionError",
        "OutputError",
        "ResourceError",
        "TimeError",
        "WeightsError",
    ),
    "alanet.frames.frame": ("Frame",),
    "alanet.frames.timing": ("Factor", "Schedule", "TargetRate", "slow_motion"),
    "alanet.model.alanet": ("ALANet", "ALANetConfig"),
    "alanet.model.alanet_plus": ("ALANetPlus", "ALANetPlusConfig"),
    "alanet.model.weights": ("ModelCard", "available_models", "load_model", "save_weights"),
    "alanet.notes": ("Notes",),
    "alanet.restoration.functions": ("interpolate", "restore"),
    "alanet.restoration.options": ("EncodeOptions", "NetworkOptions", "RestoreOptions"),
    "alanet.restoration.plan": ("RestorePlan", "RestoreReport"),
    "alanet.restoration.progress": ("RestoreProgress",),
    "alanet.restoration.restorer": ("CancelToken", "Restorer"),
}
logging.getLogger("alanet").addHandler(logging.NullHandler())  # it logs, and prints nothing by itself
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = ["__version__", *_HOME]


if not TYPE_CHECKING:  # type checkers see the imports above, and refuse other names

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'alanet' has no attribute {name!r}")
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
