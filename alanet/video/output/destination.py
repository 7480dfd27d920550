"""Where the result goes: which container, which name, and whether it may be written there at all.

The input's own container is kept where it can hold the codec and the other streams; else MKV (MOV for ProRes), and a
note says so. Pictures and animations, which have no container of their own, become MP4.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from alanet.errors import OutputError
from alanet.files import LONGEST_NAME, sweep
from alanet.frames.frame import VideoInfo
from alanet.notes import Notes
from alanet.video.output.codecs import CODECS, CONTAINERS, Codec, Container
from alanet.video.output.streams import Source, lacking

__all__ = ["STDOUT", "TIMES", "beside", "check_target", "container_for", "ending_of", "only_pictures", "work_folder"]

STDOUT = Path("-")
TIMES = "times.txt"  # beside numbered pictures


def container_for(info: VideoInfo, given: Path | None, codec: Codec, source: Source, notes: Notes) -> Container:
    """The container of a named output; else the input's own where it holds codec and streams, else MKV or MOV."""
    if given is not None:
        for container in CONTAINERS.values():
            if given.suffix.lower() in container.endings:
                return _holding(container, codec, given)
        endings = ", ".join(ending for container in CONTAINERS.values() for ending in container.endings)
        raise OutputError(f"{given.name}: cannot write '{given.suffix}' files; choose one of {endings}")
    own = _own_container(info)
    choices = [own] if own is not None and codec.name in own.codecs else []
    choices += [CONTAINERS[name] for name in _others_for(codec, source) if CONTAINERS[name] not in choices]
    missing = [lacking(source, container) for container in choices]
    best = min(range(len(choices)), key=lambda i: len(missing[i]))
    if choices[best] is not own and own is not None:
        lacks = codec.name if codec.name not in own.codecs else ", ".join(missing[0])
        notes.warn(f"container: {choices[best].name} instead of {own.name}, which cannot hold {lacks}")
    elif own is None and info.path != STDOUT and source.streams:
        notes.warn(f"container: {choices[best].name}, as {info.container} is not written")
    return choices[best]


def _others_for(codec: Codec, source: Source) -> tuple[str, ...]:
    """Containers to fall back on; pictures and animations (no streams) have none of their own and become MP4."""
    if codec.name == "prores":
        return ("MOV", "MKV")
    return ("MP4",) if not source.streams and codec.name in CONTAINERS["MP4"].codecs else ("MKV",)


def _holding(container: Container, codec: Codec, given: Path) -> Container:
    if codec.name in container.codecs:
        return container
    software = [name for name in container.codecs if not CODECS[name].hardware]
    able = [other.endings[0] for other in CONTAINERS.values() if codec.name in other.codecs]
    raise OutputError(
        f"{given.name}: {container.name} cannot hold {codec.name}; "
        f"choose --codec {' or '.join(software)}, or a name ending in {' or '.join(able)}"
    )


def _own_container(info: VideoInfo) -> Container | None:
    """The input's container, if it is one that is written."""
    formats = info.container.split(",")
    ending = info.path.suffix.lower()
    if "mp4" in formats or "mov" in formats:
        return CONTAINERS["MOV" if ending in CONTAINERS["MOV"].endings else "MP4"]
    if "matroska" in formats or "webm" in formats:
        return CONTAINERS["WebM" if ending == ".webm" else "MKV"]
    if "mpegts" in formats:
        return CONTAINERS["MPEG-TS"]
    return None


def ending_of(info: VideoInfo, container: Container) -> str:
    own = info.path.suffix.lower()
    return own if own in container.endings else container.endings[0]


def beside(info: VideoInfo, suffix: str, ending: str, folder: Path | None = None) -> Path:
    """NAME_x2.EXT in the input's folder; in the current one for standard input.

    In another `folder` the input's own name, with the ending added where it is not that: no two inputs share it.
    """
    if folder is not None:
        return folder / (info.path.name + ("" if info.path.suffix.lower() == ending else ending))
    if info.path == STDOUT:
        return Path.cwd() / f"stdin{suffix}{ending}"
    name = info.path.name if info.path.is_dir() else info.path.stem
    return info.path.with_name(f"{name}{suffix}{ending}")


def work_folder(path: Path) -> Path:
    """The hidden folder beside the target that holds everything until it is complete; a long name is abbreviated."""
    name = f".{path.name}.alanet-part"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}.alanet-part"
    return path.with_name(name)


def check_target(path: Path, kind: str, source: Path, *, overwrite: bool) -> None:
    """Refuse an output that is the input, exists, or cannot be written."""
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        short = f"{path.name[:40]}..."
        raise OutputError(f"{short}: the name is longer than {LONGEST_NAME} bytes; give a shorter one with -o")
    if source != STDOUT and path.exists() and source.exists() and os.path.samefile(path, source):
        raise OutputError(f"{path.name}: the output is the input; give another name with -o")
    if path.exists() or path.is_symlink():
        _check_existing(path, kind, overwrite)
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{folder}: there is no such folder; make it, or give another with -o")
    probe = folder / f".alanet-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: cannot write there ({error.strerror}); give another folder with -o") from None


def _check_existing(path: Path, kind: str, overwrite: bool) -> None:
    if kind == "video" and path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file name with -o")
    if kind == "pictures" and not path.is_dir():
        raise OutputError(f"{path}: is a file; PNG pictures need a folder, give its name with -o")
    if kind == "pictures" and not any(path.iterdir()):
        return
    if not overwrite:
        sweep(work_folder(path), path)
        if any(work_folder(path).glob("*.json")):
            raise OutputError(
                f"{path}: exists already, and the finished part of an interrupted run of it is kept; the same command "
                "with --overwrite resumes that run and replaces the file"
            )
        raise OutputError(f"{path}: exists already; --overwrite replaces it")
    if kind == "pictures" and not only_pictures(path):
        raise OutputError(f"{path}: holds other files than numbered PNG pictures, so it is not replaced; give another")


def only_pictures(folder: Path) -> bool:
    """Whether a folder holds nothing but numbered PNG pictures and their times, and so may be replaced."""
    return all((file.suffix == ".png" and file.stem.isdecimal()) or file.name == TIMES for file in folder.iterdir())
