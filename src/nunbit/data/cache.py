"""Decoded pictures kept on disk, so that the next run never waits for JPEG.

An entry is an array of pixels with what it was made from; it is never changed once
it is there. It is found by what the pictures are (name, size and time of change of
each file, or its checksum in an archive) and by how they were prepared. So:

* a picture that was changed, added or removed is noticed; rows of the others are
  taken over from the older entry, which is then removed;
* several processes may read and write at once: an entry is made under a name of
  its own and renamed when it is whole; the first to want one makes it, the others
  wait for it (ranks of a training on one machine, or two terminals);
* whatever goes wrong with the cache, training goes on without it;
* the folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.data.file_pixels import FilePixels
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.table import PictureTable
from nunbit.places import cache_folder
from nunbit.transfer.lock import try_lock

__all__ = ["CACHE_LIMIT_BYTES", "Entry", "Fingerprint", "PixelCache"]

CACHE_LIMIT_BYTES = 20 << 30
"""Entries that were not used for longest are removed above this, in bytes."""

STALL_S, LOOK_S = 60.0, 0.1
"""A process that makes an entry and has come no further for so long is not waited for; and
seconds between two looks at it."""

DECODER = 3
"""Raised whenever :func:`nunbit.data.decode.decode` or ``fit_picture`` gives other pixels."""


@runtime_checkable
class KeptStore(Protocol):
    """A store that can tell whether its pictures have changed since another run."""

    @property
    def origin(self) -> str:
        """Where it is: an absolute path or URL."""
        ...

    def __len__(self) -> int:
        """Return how many pictures the store has."""
        ...

    def name(self, position: int) -> str:
        """Return the name of a picture."""
        ...

    def stamp(self, position: int) -> str | None:
        """Return a text that changes when the picture does; None where that is not known."""
        ...


@dataclass(frozen=True)
class Fingerprint:
    """What pixels are made from: a source, its pictures, and how they are prepared.

    Args:
        origin: The source with the settings, whatever its pictures are now.
        scan: All pictures of the source as they are now.
        rows: uint64 (N,): each picture of the table as it is now.
    """

    origin: str
    scan: str
    rows: NDArray[np.uint64]

    @property
    def key(self) -> str:
        """Name of the entry."""
        return f"{self.origin}-{_digest(self.rows.tobytes())}"

    @classmethod
    def of(cls, table: PictureTable, preprocessing: Preprocessing) -> Fingerprint | None:
        """Return the fingerprint; None where a store cannot tell whether a picture changed."""
        store = table.store
        if not isinstance(store, KeptStore):
            return None
        stamps = [store.stamp(k) for k in range(len(store))]
        if any(stamp is None for stamp in stamps):
            return None
        settings = {
            "origin": store.origin,
            "size": preprocessing.image_size,
            "channels": preprocessing.channels,
            "fit": preprocessing.fit,
            **({"crop_frac": preprocessing.crop_frac} if preprocessing.crop_frac < 1 else {}),
            "decoder": [DECODER, cv2.__version__],
        }
        every = np.array(
            [_row_digest(store.name(k), str(stamp)) for k, stamp in enumerate(stamps)],
            dtype=np.uint64,
        )
        text = json.dumps(settings, sort_keys=True)
        return cls(
            _digest(text.encode("utf-8", "surrogateescape")),
            _digest(every.tobytes()),
            every[table.ids],
        )


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=10).hexdigest()


def _row_digest(name: str, stamp: str) -> int:
    text = f"{name}\0{stamp}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Entry:
    """Pixels that were found in the cache.

    Args:
        pixels: uint8 (M, S, S, C).
        rows: uint64 (M,) what each row shows.
        failed: Rows that could not be read, and why.
    """

    pixels: FilePixels
    rows: NDArray[np.uint64]
    failed: Mapping[int, str]


@dataclass(frozen=True)
class PixelCache:
    """A folder of entries.

    Args:
        folder: It need not exist.
        limit_bytes: What all entries may take together.
    """

    folder: Path
    limit_bytes: int = CACHE_LIMIT_BYTES

    @classmethod
    def default(cls) -> PixelCache:
        """Return the cache of this user."""
        return cls(cache_folder() / "pixels")

    def find(self, fingerprint: Fingerprint) -> Entry | None:
        """Return the entry of exactly these pictures, or None."""
        entry = self._read(fingerprint.key)
        if entry is None or not np.array_equal(entry.rows, fingerprint.rows):
            return None
        with contextlib.suppress(OSError):
            os.utime(self._file(fingerprint.key, "json"))  # it was used now
        return entry

    def alike(self, fingerprint: Fingerprint) -> Iterator[Entry]:
        """Yield entries of the same source and settings, whose rows may be taken over."""
        for path in self.folder.glob(f"{fingerprint.origin}-*.json"):
            entry = self._read(path.stem)
            if entry is not None:
                yield entry

    def room_for(self, size_bytes: int) -> bool:
        """Return whether an entry of this size may be made."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            return size_bytes <= self.limit_bytes and free > 1.2 * size_bytes + (1 << 30)
        return False

    @contextlib.contextmanager
    def making(self, fingerprint: Fingerprint) -> Iterator[tuple[bool, Callable[[], None]]]:
        """Make an entry alone; others who want the same one wait here until it is there.

        Yields whether another process was waited for, which may have made the entry, and
        what to call now and then, so that others see that this one comes further.
        """
        path = self.folder / f"draft-{fingerprint.key}.lock"
        try:
            file = open(path, "a+b")  # noqa: SIM115  # a folder that takes no file locks nothing
        except OSError:
            yield False, lambda: None
            return

        def come_further() -> None:
            with contextlib.suppress(OSError):
                os.utime(path)

        with file:
            waited, seen, since = False, -1, time.monotonic()
            while try_lock(file) is False:
                waited = True
                time.sleep(LOOK_S)
                changed = os.fstat(file.fileno()).st_mtime_ns
                if changed != seen:
                    seen, since = changed, time.monotonic()
                elif time.monotonic() - since > STALL_S:
                    break
            try:
                yield waited, come_further
            finally:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)  # who waits has it open, and looks for the entry

    def new_draft(self) -> Path:
        """Return the name of a file that no other process uses."""
        return self.folder / f"draft-{os.getpid()}-{uuid.uuid4().hex}.npy"

    def keep(
        self,
        fingerprint: Fingerprint,
        pixels: NDArray[np.uint8] | FilePixels | Path,
        failed: Mapping[int, str],
        about: Mapping[str, Any],
    ) -> None:
        """Make an entry; older ones of the same source that no longer hold are removed.

        Args:
            pixels: The array, or the draft that holds it.
            failed: Rows that could not be read, and why.
            about: What people may want to know, as JSON can hold it.
        Raises:
            OSError: It cannot be written; nothing is left behind.
        """
        key, new = fingerprint.key, uuid.uuid4().hex
        draft = pixels if isinstance(pixels, Path) else self.new_draft()
        rows, facts = self.folder / f"draft-{new}.rows.npy", self.folder / f"draft-{new}.json"
        try:
            if not isinstance(pixels, Path):
                np.save(draft, pixels[:])
            np.save(rows, fingerprint.rows)
            known = {
                **about,
                "scan": fingerprint.scan,
                "failed": [[row, reason] for row, reason in failed.items()],
            }
            facts.write_text(json.dumps(known, ensure_ascii=True), encoding="utf-8")
            draft.replace(self._file(key, "npy"))
            rows.replace(self._file(key, "rows.npy"))
            facts.replace(self._file(key, "json"))  # last: now the entry is there
        except OSError:
            for path in (draft, rows, facts):
                path.unlink(missing_ok=True)
            raise
        self._tidy(fingerprint)

    def _file(self, key: str, suffix: str) -> Path:
        return self.folder / f"{key}.{suffix}"

    def _read(self, key: str) -> Entry | None:
        try:
            facts = json.loads(self._file(key, "json").read_text(encoding="utf-8"))
            # Mapping, unlike loading, never unpickles.
            rows = np.lib.format.open_memmap(self._file(key, "rows.npy"), mode="r")
            pixels = FilePixels.open(self._file(key, "npy"))
            failed = {int(row): str(reason) for row, reason in facts["failed"]}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            self._remove(key)  # damaged
            return None
        if rows.dtype != np.uint64 or rows.ndim != 1 or len(pixels) != len(rows):
            self._remove(key)
            return None
        return Entry(pixels, rows, failed)

    def _remove(self, key: str) -> None:
        for suffix in ("json", "npy", "rows.npy"):
            with contextlib.suppress(OSError):
                self._file(key, suffix).unlink(missing_ok=True)

    def _tidy(self, fingerprint: Fingerprint) -> None:
        """Remove what no longer holds, what was left half-made, and what is too much."""
        entries = []
        for path in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                used = path.stat().st_mtime
                size = self._file(path.stem, "npy").stat().st_size
                scan = json.loads(path.read_text(encoding="utf-8")).get("scan")
                if path.stem.startswith(fingerprint.origin) and scan != fingerprint.scan:
                    self._remove(path.stem)
                else:
                    entries.append((used, size, path.stem))
        total = sum(size for _, size, _ in entries)
        for _, size, key in sorted(entries):
            if total <= self.limit_bytes:
                break
            if key != fingerprint.key:
                self._remove(key)
                total -= size
        self._remove_old_drafts()

    def _remove_old_drafts(self, *, age_s: float = 86_400) -> None:
        newest = self.folder.stat().st_mtime
        for path in self.folder.glob("draft-*"):
            with contextlib.suppress(OSError):
                if newest - path.stat().st_mtime > age_s:  # its process died
                    path.unlink()
