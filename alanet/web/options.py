"""Options of the server. The metadata of a field describe it to the command line, as in `restoration/options.py`.

Importing this module is cheap: no torch, no Gradio.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from alanet.errors import OptionError
from alanet.restoration.values import parse_memory, parse_moment

__all__ = ["ServerOptions", "default_folder"]

LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """Where the page is served, to whom, and what a visitor may use."""

    host: str = field(
        default="127.0.0.1",
        metadata={"help": "Address to listen on. 0.0.0.0 lets other machines connect.", "metavar": "ADDRESS"},
    )
    port: int = field(default=7860, metadata={"help": "Port to listen on.", "metavar": "N"})
    auth: str | None = field(
        default=None,
        metadata={"help": "Ask visitors for a name and a password.", "metavar": "USER:PASSWORD"},
    )
    folder: Path | None = field(
        default=None,
        metadata={"help": "Folder of the jobs. The default is alanet/web in the user's cache.", "metavar": "PATH"},
    )
    max_size: int = field(
        default=2 << 30,
        metadata={"help": "Largest upload. The default is 2G.", "metavar": "SIZE", "parse": parse_memory},
    )
    max_length: Fraction = field(
        default=Fraction(3600),
        metadata={
            "help": "Longest video: seconds or h:m:s. The default is 1:00:00.",
            "metavar": "TIME",
            "parse": parse_moment,
        },
    )
    keep: float = field(
        default=24.0,
        metadata={"help": "Hours after which an unused video and its result are deleted.", "metavar": "HOURS"},
    )
    disk: int = field(
        default=20 << 30,
        metadata={"help": "Disk space of all jobs. The default is 20G.", "metavar": "SIZE", "parse": parse_memory},
    )

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise OptionError(f"port {self.port} is not a number from 0 to 65535")
        if self.keep <= 0:
            raise OptionError(f"keep {self.keep:g} is not a number of hours above 0")
        if self.max_length <= 0:
            raise OptionError("max-length 0 allows no video; give seconds or h:m:s above 0")
        if self.auth is not None and not all(self.auth.partition(":")[::2]):
            raise OptionError("auth is not USER:PASSWORD; give a name, a colon and a password")

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOCAL


def default_folder() -> Path:
    """`alanet/web` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "alanet" / "web"
