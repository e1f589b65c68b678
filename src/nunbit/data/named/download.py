"""Named sets over the network: fetched, checked, and only then put in their place.

A file goes by the name ``x.part`` until the SHA-256 of what it holds is the known
one; a place that gives other bytes is passed over for the next one. So a file under
its own name in the cache is whole and right, whatever was interrupted when.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import secrets
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from nunbit.data.named.remote import BY_HAND, REMOTE, RemoteFile, Unpacked
from nunbit.errors import StorageError
from nunbit.places import cache_folder
from nunbit.transfer import (
    LOCK_NAME,
    OFFLINE,
    NoPlaceError,
    Progress,
    WrongBytesError,
    fetch_from_any,
    is_offline,
    page_hint,
    sole_use,
)

__all__ = [
    "NotDownloadedError",
    "download",
    "is_unfinished",
    "set_folder",
]

SLACK_BYTES = 1 << 20
"""A download may be this much longer than what it holds; packing makes it shorter."""
READ_BYTES = 1 << 20
MAX_MEMBERS = 100
UNREADABLE = (OSError, EOFError, zlib.error, tarfile.TarError, ValueError)


class NotDownloadedError(Exception):
    """A set could not be downloaded; the message says why, in sentences."""


def set_folder(name: str) -> Path:
    """Return where a set is downloaded to."""
    return cache_folder() / "datasets" / name


def is_unfinished(name: str, folder: Path) -> bool:
    """Return whether ``folder`` holds nothing but a download that is not done yet.

    A folder with anything else in it was filled by hand, and is taken as it is.
    """
    if name not in REMOTE or not folder.is_dir():
        return False
    kept = {each for file in REMOTE[name] for each in file.kept}
    passing = {LOCK_NAME, *(file.name for file in REMOTE[name])} - kept
    try:
        there = {each.name for each in folder.iterdir()} - passing
    except OSError:  # whoever reads it says what is wrong with it
        return False
    return {each for each in there if not each.endswith((".part", ".part.json"))} < kept


def download(name: str, *, progress: Progress | None = None) -> Path:
    """Download a set into the cache; files that are there and right stay.

    Returns:
        The folder that has all files of the set.
    Raises:
        NotDownloadedError: No place gave the files; the message names each with the
            reason.
        StorageError: The cache cannot take them.
    """
    if name not in REMOTE:
        raise NotDownloadedError(BY_HAND.get(name, "It is not downloaded."))
    if is_offline():
        raise NotDownloadedError(
            f"{OFFLINE} is set, so nothing was downloaded: unset it to download the set."
        )
    tell = progress or (lambda what, done, total: None)
    folder = set_folder(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with sole_use(
            folder, waiting=lambda: tell(f"waiting for another download of {name}", 0, None)
        ) as alone:
            # Who is not alone works under a name of its own, and the last one wins.
            suffix = ".part" if alone else f".{secrets.token_hex(4)}.part"
            for file in REMOTE[name]:
                if not _is_there(file, folder):
                    _get(file, folder, suffix, tell)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"`{folder}` cannot take the download: {error.strerror or error}. Give yourself the "
            "right to write there, or set NUNBIT_CACHE to another folder."
        ) from error
    return folder


def _is_there(file: RemoteFile, folder: Path) -> bool:
    """Return whether a file is in its place already, and right."""
    if not all((folder / name).is_file() for name in file.kept):
        return False
    try:
        for expected in file.unpacked:
            with open(folder / (expected.name if file.is_archive else file.name), "rb") as raw:
                _check(expected, _plain(raw))
    except (WrongBytesError, *UNREADABLE):  # it stays until there is a better one
        return False
    return True


def _get(file: RemoteFile, folder: Path, suffix: str, tell: Progress) -> None:
    """Fetch one file from the first place that has it right."""
    part = folder / f"{file.name}{suffix}"
    try:
        fetch_from_any(
            file.urls,
            part,
            limit_bytes=sum(each.size_bytes for each in file.unpacked) + SLACK_BYTES,
            accept=lambda: _put(file, part, folder, suffix),
            progress=lambda done, total: tell(file.name, done, total),
        )
    except NoPlaceError as error:
        raise NotDownloadedError(f"Downloading `{file.name}` failed: {error}.") from error


def _put(file: RemoteFile, part: Path, folder: Path, suffix: str) -> None:
    """Check what arrived and give it its name."""
    try:
        if file.is_archive:
            _unpack(file, part, folder, suffix)
            return
        with open(part, "rb") as raw:
            _check(file.unpacked[0], _plain(raw))
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the gzip reader
            raise
        raise WrongBytesError(f"what came is damaged ({error}){page_hint(part)}") from error
    except WrongBytesError as error:
        raise WrongBytesError(f"{error}{page_hint(part)}") from error
    os.replace(part, folder / file.name)


def _plain(raw: IO[bytes]) -> IO[bytes]:
    """Return the unpacked bytes of a gzip file, or the bytes of any other."""
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[return-value]  # both are read alike


def _check(expected: Unpacked, stream: IO[bytes], copy: IO[bytes] | None = None) -> None:
    """Compare what a stream holds with what it should hold, and copy it on the way."""
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := stream.read(READ_BYTES):
        size_bytes += len(chunk)
        digest.update(chunk)
        if size_bytes > expected.size_bytes:
            raise WrongBytesError(
                f"`{expected.name}` has more than {expected.size_bytes:,} bytes unpacked"
            )
        if copy is not None:
            copy.write(chunk)
    if digest.hexdigest() != expected.sha256:
        raise WrongBytesError(
            f"`{expected.name}` has SHA-256 {digest.hexdigest()} unpacked, "
            f"expected {expected.sha256}"
        )


def _unpack(file: RemoteFile, part: Path, folder: Path, suffix: str) -> None:
    """Take the known files out of an archive; nothing else in it is looked at."""
    wanted = {each.name: each for each in file.unpacked}
    made: dict[str, Path] = {}
    try:
        with tarfile.open(part, "r|gz") as archive:
            for count, member in enumerate(archive):
                name = PurePosixPath(member.name).name
                if count >= MAX_MEMBERS or member.size > sum(w.size_bytes for w in wanted.values()):
                    raise WrongBytesError("it is another archive than expected")
                if not member.isreg() or name not in wanted or name in made:
                    continue
                stream = archive.extractfile(member)
                made[name] = folder / f"{name}{suffix}"
                if stream is not None:
                    with open(made[name], "wb") as copy:
                        _check(wanted[name], stream, copy)
                        copy.flush()
                        os.fsync(copy.fileno())
        missing = sorted(set(wanted) - set(made))
        if missing:
            raise WrongBytesError(f"it has no {', '.join(f'`{name}`' for name in missing)}")
        for name, path in made.items():
            os.replace(path, folder / name)
    finally:
        for path in made.values():
            with contextlib.suppress(OSError):
                path.unlink()
