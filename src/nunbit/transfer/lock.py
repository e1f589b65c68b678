"""One process at a time in a folder, without ever waiting for a dead one.

The lock is the operating system's: it ends with the process that holds it, however
that ends, so a lock file that was left behind locks nothing.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

__all__ = ["LOCK_NAME", "sole_use", "try_lock"]

LOCK_NAME = ".lock"
STALL_S = 60.0
"""A holder in whose folder nothing has changed for so long is not waited for."""
LOOK_S = 0.2


@contextlib.contextmanager
def sole_use(folder: Path, *, waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold the folder for oneself; other processes wait meanwhile.

    Yields whether it is held: not where the file system knows no locks, or where the
    holder stands still. Then work under names that nobody else uses.

    Args:
        waiting: Called again and again while another process holds the folder.
    """
    with open(folder / LOCK_NAME, "a+b") as file:
        seen, since = _contents(folder), time.monotonic()
        held = try_lock(file)
        while held is False:
            waiting()
            time.sleep(LOOK_S)
            held = try_lock(file)
            now = _contents(folder)
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > STALL_S:
                break
        yield bool(held)  # closing the file ends the lock


def _contents(folder: Path) -> list[tuple[str, int]]:
    """Return names and sizes, which change while a download goes on."""
    found = []
    for each in folder.iterdir():
        with contextlib.suppress(OSError):
            found.append((each.name, each.stat().st_size))
    return sorted(found)


def try_lock(file: IO[bytes]) -> bool | None:
    """Return whether the lock is ours now; None where there are no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True
