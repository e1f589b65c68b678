"""Zip and tar archives, read in place: nothing in them is ever written to a folder.

Names that lead out of an archive are left out and noted. Limits on the number of
members, on what they unpack to, and on a single one stand against archives that are
made to fill memory or disk.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, cast

from nunbit.data.sources.flat import flat_labels
from nunbit.data.sources.labels import clip, count
from nunbit.data.sources.stores import (
    MAX_MEMBER_BYTES,
    ZIP_ERRORS,
    FileParts,
    PartsStore,
    ZipStore,
)
from nunbit.data.sources.tars import PartsTape, Spool, StreamTape, Tape, walk_tar
from nunbit.data.sources.tree import SPLIT_FOLDERS, is_hidden, is_picture
from nunbit.data.table import PictureStore
from nunbit.errors import DataError, StorageError

__all__ = ["ARCHIVE_SUFFIXES", "Archive", "ArchiveLimits", "is_archive", "open_archive"]

ARCHIVE_SUFFIXES = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
)

_NOT_READ = re.compile(r"\.(zip|tar|gz|tgz|bz2|tbz2?|xz|txz|zst|7z|rar)$", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_MAYBE_HIDDEN = re.compile(r"(?:^|/)(?:\.|__MACOSX)")
_UTF8_NAME = 0x800
_ENCRYPTED = 0x1

PACKED_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class ArchiveLimits:
    """How much an archive may hold.

    Args:
        members: Files and folders in all.
        unpacked_bytes: Pictures and tables unpacked; of a packed tar, all of it.
        member_bytes: One picture or table unpacked.
        memory_bytes: What a packed tar may take in memory; above, it goes to a
            temporary file without a name.
    """

    members: int = 2_000_000
    unpacked_bytes: int = 256 << 30
    member_bytes: int = MAX_MEMBER_BYTES
    memory_bytes: int = 256 << 20


@dataclass(frozen=True)
class Archive:
    """What an archive holds, by names below its common top folder.

    Args:
        names: Files, sorted; only pictures and CSV files can be read.
        folders: Folders, so that empty ones can be named.
        notes: What was left out.
        make_store: Makes a store of pictures and CSV files among ``names``; any other
            is a DataError: it was not weighed, and of a packed tar not kept.
    """

    names: list[str]
    folders: list[str]
    notes: tuple[str, ...]
    make_store: Callable[[Sequence[str]], PictureStore]

    def read(self, name: str) -> bytes:
        """Return the bytes of one file.

        Raises:
            PictureError: It is damaged.
        """
        return cast(bytes, self.make_store([name]).read(0))


def is_archive(name: str) -> bool:
    """Return whether a file is an archive by its name."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def open_archive(path: Path, *, where: str, limits: ArchiveLimits | None = None) -> Archive:
    """Read the directory of a zip or tar; a packed tar is read to its end.

    Raises:
        DataError: It is damaged, encrypted or above a limit.
        StorageError: A packed tar finds no room.
    """
    index = _Index(where, limits or ArchiveLimits())
    opener = _open_zip if path.suffix.lower() == ".zip" else _open_tar
    return index.finish(opener(path, index))


Place = zipfile.ZipInfo | tuple[int, int]
"""Where a member is: its entry in a zip, its offset and size in a tar."""

MakeStore = Callable[[Sequence[Place], Sequence[str]], PictureStore]


@dataclass
class _Index:
    """Gathers the members of an archive and what is wrong with them."""

    where: str
    limits: ArchiveLimits
    files: dict[str, Place] = field(default_factory=dict)
    folders: dict[str, None] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)
    """Names whose letters are not known."""
    members: int = 0
    unpacked_bytes: int = 0

    def count(self) -> None:
        """Count one more member of any kind."""
        self.members += 1
        if self.members > self.limits.members:
            raise DataError(
                f"{self.where} has more than {self.limits.members:,} members, the limit. Unpack it "
                "and give the folder, or make several archives of it."
            )

    def add(
        self,
        raw: str,
        kind: Literal["file", "folder", "link", "other"],
        *,
        size: int,
        place: Place,
        windows: bool = False,
    ) -> bool:
        """Take a member; return whether its bytes are wanted."""
        name = _safe_name(raw, windows=windows)
        if name is None:
            self.leave(raw, "names that lead out of the archive")
            return False
        if _MAYBE_HIDDEN.search(name) and any(map(is_hidden, name.split("/"))):
            return False
        if kind == "folder":
            self.folders[name] = None
            return False
        if kind != "file":
            self.leave(name, "links" if kind == "link" else "no plain files")
            return False
        if _NOT_READ.search(name):
            self.leave(name, "archives themselves")
            return False
        if name in self.files:
            self.leave(name, "their names occur once more later")
        self.files[name] = place
        if not _is_wanted(name):
            return False
        self._weigh(name, size)
        return True

    def leave(self, name: str, why: str) -> None:
        """Leave a member out."""
        self.left_out.setdefault(why, []).append(name)

    def _weigh(self, name: str, size: int) -> None:
        most = self.limits.member_bytes
        if size > most:
            raise DataError(
                f"{self.where}: `{clip(name)}` unpacks to {_megabytes(size)}, expected at most "
                f"{_megabytes(most)} for one file. Take it out of the archive, or unpack the "
                "archive and give the folder."
            )
        self.unpacked_bytes += size
        self.check_size(self.unpacked_bytes)

    def check_size(self, unpacked_bytes: int) -> None:
        """Refuse an archive that unpacks to more than the limit."""
        if unpacked_bytes > self.limits.unpacked_bytes:
            raise DataError(
                f"{self.where} unpacks to more than {_megabytes(self.limits.unpacked_bytes)}, the "
                "limit. If that is meant, unpack it and give the folder."
            )

    def finish(self, make_store: MakeStore) -> Archive:
        """Return the archive, with names below its common top folder."""
        top = _common_top(self.files)
        files = {name.removeprefix(top): place for name, place in sorted(self.files.items())}
        folders = [f.removeprefix(top) for f in self.folders if f.startswith(top) and f != top]
        notes = [
            f"left out: {count(len(names), 'member')} ({why}; first: {clip(names[0])})"
            for why, names in self.left_out.items()
        ]
        if self.strange:
            notes.append(
                f"{count(len(self.strange), 'name')} in the zip not in UTF-8 (first: "
                f"{clip(self.strange[0])}): letters may be wrong. Make the zip with UTF-8 names"
            )

        def store_of(names: Sequence[str]) -> PictureStore:
            unwanted = next((name for name in names if not _is_wanted(name)), None)
            if unwanted is not None:
                raise DataError(
                    f"{self.where}: `{clip(unwanted)}` is not read: its name does not end as that "
                    "of a picture. Rename it, or unpack the archive and give the folder."
                )
            return make_store([files[name] for name in names], names)

        return Archive(names=list(files), folders=folders, notes=tuple(notes), make_store=store_of)


def _is_wanted(name: str) -> bool:
    return is_picture(name) or name.lower().endswith((".csv", ".tsv"))


def _megabytes(size: int) -> str:
    return f"{size:,} bytes" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"


def _safe_name(raw: str, *, windows: bool) -> str | None:
    """Return a relative name with slashes and without dots, or None where it leads out."""
    text = raw.replace("\\", "/") if windows else raw
    parts = text.split("/")
    if "" in parts or "." in parts:
        parts = [part for part in parts if part not in ("", ".")]
    if not parts or text.startswith("/") or ".." in parts or _DRIVE.match(text):
        return None
    return "/".join(parts)


def _common_top(names: Iterable[str]) -> str:
    """Return the folder, with a slash, that everything readable lies in, or nothing.

    A folder of class folders keeps its name where it could be a class or a split.
    """
    wanted = [name.split("/") for name in names if _is_wanted(name)]
    tops = {parts[0] for parts in wanted}
    if len(tops) != 1 or any(len(parts) < 2 for parts in wanted):
        return ""
    top = next(iter(tops))
    if top.lower() in SPLIT_FOLDERS:
        return ""
    pictures = ["/".join(parts) for parts in wanted if is_picture(parts[-1])]
    has_table = len(pictures) < len(wanted)
    is_deep = all(len(parts) > 2 for parts in wanted)
    is_flat = all(len(parts) == 2 for parts in wanted) and bool(flat_labels(pictures)[0])
    return f"{top}/" if has_table or is_deep or is_flat else ""


# --- Zip ----------------------------------------------------------------------


def _open_zip(path: Path, index: _Index) -> MakeStore:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except ZIP_ERRORS as error:
        raise DataError(
            f"{index.where} cannot be read as a zip: {error}. Fetch it again."
        ) from error
    encrypted = []
    for info in members:
        index.count()
        mode = info.external_attr >> 16
        kind: Literal["file", "folder", "link"] = "folder" if info.is_dir() else "file"
        if stat.S_ISLNK(mode):
            kind = "link"
        name, is_known = _zip_name(info)
        if not is_known:
            index.strange.append(name)
        wanted = index.add(name, kind, size=info.file_size, place=info, windows=True)
        if wanted and info.flag_bits & _ENCRYPTED:
            encrypted.append(name)
    if encrypted:
        raise DataError(
            f"{index.where} is encrypted ({count(len(encrypted), 'member')}, first: "
            f"`{clip(encrypted[0])}`). Unpack it with its password and give the folder."
        )
    most = index.limits.member_bytes
    return lambda places, names: ZipStore(
        path, cast("list[zipfile.ZipInfo]", places), names, member_bytes=most
    )


def _zip_name(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """Return the name of a member, and whether its letters are known.

    Without the flag for UTF-8 the format means code page 437, but many programs write
    UTF-8 all the same, and others the code page of their country.
    """
    if info.flag_bits & _UTF8_NAME or info.filename.isascii():
        return info.filename, True
    try:
        return info.filename.encode("cp437").decode("utf-8"), True
    except UnicodeError:
        return info.filename, False


# --- Tar ----------------------------------------------------------------------


def _open_tar(path: Path, index: _Index) -> MakeStore:
    tape: Tape
    try:
        with open(path, "rb") as file:
            start = file.read(6)
        if unpack := _unpacker(start):
            with unpack(path) as stream:
                tape = StreamTape(stream.read, index.check_size)
                spool = Spool(index.limits.memory_bytes)
                _walk(tape, index, keep=lambda size: spool.write(tape.read(size)))
                while tape.read(1 << 20):
                    pass  # to its end, where the checksum is
            parts = spool.finish()
        else:
            parts = FileParts(path)
            tape = PartsTape(parts, parts.size)
            _walk(tape, index, keep=None)
    except (*PACKED_ERRORS, tarfile.TarError) as error:
        if isinstance(error, StorageError):
            raise
        raise DataError(
            f"{index.where} cannot be read as a tar: {error or 'it is damaged'} (after "
            f"{count(index.members, 'member')}). It is truncated or damaged: fetch it again."
        ) from error
    return lambda places, names: PartsStore(
        parts, cast("list[tuple[int, int]]", places), names, archive=path
    )


def _unpacker(start: bytes) -> Callable[[Path], BinaryIO] | None:
    if start[:2] == b"\x1f\x8b":
        return lambda path: cast(BinaryIO, gzip.open(path))
    if start[:3] == b"BZh":
        return lambda path: cast(BinaryIO, bz2.open(path))
    if start == b"\xfd7zXZ\x00":
        return lambda path: cast(BinaryIO, lzma.open(path))
    return None


def _walk(tape: Tape, index: _Index, *, keep: Callable[[int], int] | None) -> None:
    """Index a tar.

    Args:
        keep: Takes the next bytes from the tape to where they can be read from, and
            returns their offset there; None where the tape itself can be read from.
    """
    for member in walk_tar(tape):
        index.count()
        place = (member.offset, member.size)
        if index.add(member.name, member.kind, size=member.size, place=place) and keep:
            name = cast(str, _safe_name(member.name, windows=False))
            index.files[name] = (keep(member.size), member.size)
