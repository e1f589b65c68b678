"""Bytes of shards, from disk or from any URL that fsspec knows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from typing import IO, Any

from nunbit.data.sources.labels import clip
from nunbit.data.sources.tars import Tape
from nunbit.errors import DataError, MissingExtraError, PictureError

__all__ = [
    "FileTape",
    "filesystem",
    "gives_parts",
    "is_url",
    "local_size",
    "open_shard",
    "read_part",
    "reason",
    "show",
]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")
SEEK_BYTES = 4 << 20
"""Shorter gaps are read: cheaper than a new request where files are far away."""
READ_BYTES = 1 << 20


def is_url(text: str) -> bool:
    """Return whether a text is a URL, and not a path (nor a drive such as ``C:``)."""
    return _URL.match(text) is not None


def show(where: str) -> str:
    """Return a path or URL for messages, without what may be secret in it."""
    if is_url(where):
        where = re.sub(r"://[^/@]*@", "://", where.split("?")[0])
    return clip(where, 200)


def reason(error: BaseException) -> str:
    """Return why something failed, in a few words; no secrets of a URL are in it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, FileNotFoundError):
        return "not there"
    text = re.sub(r"(://[^\s?]*)\?\S*", r"\1", str(error))
    return clip(re.sub(r"://[^/@\s]*@", "://", text), 200) or type(error).__name__


def filesystem(url: str) -> tuple[Any, str]:
    """Return what reads a URL, and the path within it.

    Raises:
        MissingExtraError: fsspec, or what it needs for this URL, is not installed.
        DataError: No file system is known for it.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(
            f"reading `{show(url)}` needs fsspec: `pip install 'nunbit[shards]'`."
        ) from error
    try:
        files, path = url_to_fs(url)
    except ImportError as error:
        raise MissingExtraError(
            f"reading `{show(url)}` needs a package that is not installed ({error}): "
            "`pip install 'nunbit[shards]'` for https, `pip install s3fs` for s3, "
            "`pip install gcsfs` for gs."
        ) from error
    except (ValueError, OSError) as error:
        raise DataError(
            f"`{show(url)}` cannot be read: {reason(error)}. Expected a URL such as "
            "`https://host/train-{000..012}.tar` or `s3://bucket/train-000.tar`."
        ) from error
    return files, str(path)


@contextlib.contextmanager
def open_shard(where: str) -> Iterator[IO[bytes]]:
    """Open a shard to be read from its start to its end."""
    if not is_url(where):
        with open(where, "rb", buffering=1 << 16) as file:
            yield file
        return
    files, path = filesystem(where)
    with files.open(path, "rb") as remote:
        yield remote


def gives_parts(url: str) -> bool:
    """Return whether a web server gives parts of a file; true for all that is no web server.

    One byte is asked for; a server that sends more does not know ranges. Where nothing
    can be read, whoever reads it says why.
    """
    if not url.lower().startswith(("http://", "https://")):
        return True
    files, path = filesystem(url)
    try:
        with files.open(path, "rb", block_size=0, headers={"Range": "bytes=0-0"}) as remote:
            return len(remote.read(2)) < 2
    except Exception:  # each file system has errors of its own
        return True


def read_part(where: str, offset: int, size_bytes: int) -> bytes:
    """Return a part of a shard.

    Raises:
        PictureError: It is not there, or not whole; the message is the reason.
    """
    try:
        if is_url(where):
            files, path = filesystem(where)
            data = bytes(files.cat_file(path, start=offset, end=offset + size_bytes))
        else:
            with open(where, "rb", buffering=0) as file:
                file.seek(offset)
                data = _read_all(file, size_bytes)
    except Exception as error:  # each file system has errors of its own
        raise PictureError(f"cannot be read from its shard: {reason(error)}") from error
    if len(data) > size_bytes:
        raise PictureError("the server gives whole files only, expected one that knows ranges")
    if len(data) < size_bytes:
        raise PictureError("its shard has become shorter")
    return data


def _read_all(file: IO[bytes] | io.RawIOBase, size_bytes: int) -> bytes:
    parts = []
    while size_bytes:
        part = file.read(size_bytes)
        if not part:
            break
        parts.append(part)
        size_bytes -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class FileTape(Tape):
    """A tape over a file that is read forwards; long gaps are jumped over.

    Args:
        size_bytes: Length of the file, where it is known without reading to its end.
    """

    def __init__(self, file: IO[bytes], *, size_bytes: int | None = None) -> None:
        self._file = file
        self._size = size_bytes

    def read(self, size: int) -> bytes:
        # A header may claim any size: what is not there is not asked for in one go.
        if size > READ_BYTES and self._size is not None:
            size = min(size, max(self._size - self.offset, 0))
        data = _read_all(self._file, size)
        self.offset += len(data)
        return data

    def skip(self, size: int) -> None:
        end = self.offset + size
        if self._size is not None:
            if end > self._size:
                raise tarfile.ReadError("the end is missing")
            self._file.seek(end)
            self.offset = end
            return
        if size > SEEK_BYTES:
            with contextlib.suppress(OSError, ValueError):  # a stream: its bytes are read below
                self._file.seek(end - 1)
                self.offset = end - 1
        while self.offset < end:
            if not self.read(min(end - self.offset, READ_BYTES)):
                raise tarfile.ReadError("the end is missing")


def local_size(where: str) -> int | None:
    """Return the length of a local file; None for a URL."""
    return None if is_url(where) else os.stat(where).st_size
