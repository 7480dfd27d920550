"""Files and folders by path or URL (s3://, gs://, file://): fsspec, with whole results and errors of one line.

    Store(url)      a folder: names below it are read, written, listed and removed
    find_videos     the videos of files and folders that a person names

A file appears under its name whole or not at all: object stores put whole objects, a local file is renamed into place.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from alanet.errors import AlanetError, InputError, OptionError, OutputError, ResourceError
from alanet.files import AtomicFile, move_into_place, unfinished_name, write_whole
from alanet.restoration.batch import VIDEOS

__all__ = ["Store", "find_videos", "is_url", "key_of"]

PARTS = 50 << 20  # bytes of a file from which uploads may be in parts
UNREACHABLE = {"EndpointConnectionError", "ConnectTimeoutError", "ConnectionError", "ClientConnectorError"}


def is_url(text: str) -> bool:
    """Whether a text is a URL rather than a path."""
    return "://" in text


def key_of(name: str) -> str:
    """A folder's name for a video, from the video's name in the batch: short, and different for each."""
    import hashlib

    plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in posixpath.basename(name))[-60:]
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


class Store:
    """A folder by path or URL. kind: the error that what fails here is (InputError or OutputError)."""

    def __init__(self, url: str, kind: type[AlanetError] = OutputError) -> None:
        self.url, self._kind = url.rstrip("/") or "/", kind
        fsspec = _fsspec()
        with self._errors(""):
            self._fs, self._root = fsspec.core.url_to_fs(self.url)
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def path(self, name: str) -> str:
        """The name that messages show."""
        return f"{self.url}/{name}" if name else self.url

    def size(self, name: str) -> int | None:
        """Bytes of a file; None where there is none."""
        with self._errors(name):
            try:
                self._fs.invalidate_cache()
                found = self._fs.info(self._at(name))
            except FileNotFoundError:
                return None
            return int(found["size"]) if found["type"] == "file" else None

    def fingerprint(self, name: str = "") -> dict[str, Any]:
        """Values that change when a file changes: its size, its time of change and, in object stores, its ETag."""
        with self._errors(name):
            found = self._fs.info(self._at(name))
        time = found.get("mtime", found.get("LastModified", found.get("updated")))
        if isinstance(time, str):
            time = datetime.fromisoformat(time)
        seconds = time.timestamp() if isinstance(time, datetime) else time
        return {"size": int(found["size"]), "modified": seconds, "etag": found.get("ETag", found.get("etag"))}

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none."""
        with self._errors(name):
            try:
                return bytes(self._fs.cat_file(self._at(name)))
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """A small file, whole."""
        with self._errors(name):
            if self._local:
                os.makedirs(os.path.dirname(self._at(name)), exist_ok=True)
                write_whole(Path(self._at(name)), content)
            else:
                self._fs.pipe_file(self._at(name), content)

    def download(self, name: str, target: Path) -> None:
        """A file to this machine; it appears there whole."""
        part = unfinished_name(target)
        try:
            with self._errors(name):
                self._fs.get_file(self._at(name), str(part))
            move_into_place(part, target)
        finally:
            part.unlink(missing_ok=True)

    def upload(self, source: Path, name: str) -> None:
        """A file of this machine to a name; it appears there whole."""
        with self._errors(name):
            if self._local:
                os.makedirs(os.path.dirname(self._at(name)), exist_ok=True)
                part = AtomicFile(Path(self._at(name)))
                try:
                    with open(source, "rb") as file:
                        shutil.copyfileobj(file, part.file, 1 << 20)
                except BaseException:
                    part.discard()
                    raise
                part.commit()
            else:
                if source.stat().st_size >= PARTS:
                    self.abort_uploads(name)
                self._fs.put_file(str(source), self._at(name))

    def abort_uploads(self, name: str) -> None:
        """Remove the parts of uploads of this very name that ended machines have left."""
        if not hasattr(self._fs, "list_multipart_uploads"):
            return
        bucket, _, key = self._at(name).partition("/")
        with suppress(Exception):  # not every server has these calls, and nothing depends on them
            for upload in self._fs.list_multipart_uploads(bucket):
                if upload["Key"] == key:
                    self._fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload["UploadId"])

    def names(self, folder: str = "") -> dict[str, int]:
        """Files below a folder, by their names in the store, with their sizes."""
        top = self._at(folder)
        with self._errors(folder):
            self._fs.invalidate_cache()
            try:
                found = self._fs.find(top, detail=True)
            except FileNotFoundError:
                return {}
        prefix = f"{self._root.rstrip('/')}/"
        return {path.removeprefix(prefix): int(entry["size"]) for path, entry in sorted(found.items())}

    def remove(self, name: str) -> None:
        """A file or a folder with all in it; nothing where there is none."""
        with self._errors(name), suppress(FileNotFoundError):
            self._fs.invalidate_cache()
            self._fs.rm(self._at(name), recursive=True)
            if self._local:
                with suppress(OSError):  # object stores have no empty folders
                    os.rmdir(os.path.dirname(self._at(name)))

    def check_writable(self) -> None:
        """Write a file and remove it. Raises OutputError in one line where that fails."""
        name = f".alanet-{os.getpid()}"
        self.write(name, b"")
        self.remove(name)

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except (AlanetError, KeyboardInterrupt):
            raise
        except Exception as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise  # of this machine
            raise self._kind(f"{self.path(name)}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """One line of what went wrong, by the names of errors where they say more than the text."""
    names = {type(each).__name__ for each in (error, error.__cause__, error.__context__) if each is not None}
    text = " ".join(str(error).split()) or type(error).__name__
    if names & UNREACHABLE:
        return f"the storage cannot be reached ({text}); check the network and the endpoint"
    if "NoCredentialsError" in names:
        return "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
    if isinstance(error, PermissionError):
        return f"no permission ({text}); check the credentials and the bucket's policy"
    if isinstance(error, FileNotFoundError):
        return f"there is no such bucket, folder or file ({text})"
    if isinstance(error, ImportError | ValueError):
        return f"cannot be opened ({text}); supported are paths, file://, s3:// and what fsspec's packages add"
    return text


def _fsspec() -> Any:
    try:
        import fsspec.core
    except ImportError:
        raise ResourceError('URLs need fsspec, which is not installed: pip install "alanet[cluster]"') from None
    return fsspec


def find_videos(inputs: Sequence[str], out: str = "") -> tuple[list[tuple[str, str]], int]:
    """(name in the batch, URL) of each video, in the order of inputs and names, and the number of other files.

    A file is a video whatever its name; of a folder, those below it that have the name of one, hidden ones left out.
    What is below `out` is left out. Raises InputError for an input that is not there, OptionError for two of one name,
    and for a folder that is `out`.
    """
    found: list[tuple[str, str]] = []
    others = 0
    for given in inputs:
        url = given if is_url(given) else os.path.abspath(given)
        store = Store(url, InputError)
        if store.url == out:
            raise OptionError(f"{given}: the results would lie among the videos; name another folder with -o")
        if store.size("") is not None:
            found.append((posixpath.basename(store.url), store.url))
            continue
        names = store.names()
        if not names:
            raise InputError(f"{given}: there is no such file, and no files are below it")
        for name in names:
            hidden = any(part.startswith(".") for part in name.split("/"))
            if hidden or (out and store.path(name).startswith(f"{out}/")):
                continue
            if Path(name).suffix.lower() in VIDEOS:
                found.append((name, store.path(name)))
            else:
                others += 1
    seen: dict[str, str] = {}
    for name, url in found:
        if name in seen:
            raise OptionError(f"{url}: its result would be called as that of {seen[name]}; give them in two runs")
        seen[name] = url
    return found, others
