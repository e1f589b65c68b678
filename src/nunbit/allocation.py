"""Memory that a step frees and the next one takes again, kept in the process meanwhile.

The C library gives large blocks back to the system when they are freed. A training step
frees all of its maps, so every step gets fresh pages, which the system fills with zeros one
by one as they are touched: with some networks half of a step's time on a processor
(``docs/speed.md``).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator

__all__ = ["memory_kept", "return_freed"]

# Numbers of glibc's malloc.h. Others, or what is preloaded in its place, do without.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_LARGEST = 2**31 - 1
_MMAPS = 65_536
"""Blocks that have pages of their own, at most: glibc's own number."""
_MMAP_FROM = 32 * 2**20
"""Bytes of such a block: the most that glibc goes up to by itself."""

_lock = threading.Lock()
_holders = 0


@contextlib.contextmanager
def memory_kept() -> Iterator[None]:
    """Keep freed memory in this process, where the C library is glibc.

    The process then stays as large as it once was, until the last one leaves: then it is
    given back. Nothing happens where the environment says how to allocate
    (``GLIBC_TUNABLES``, ``MALLOC_...``) or what (``LD_PRELOAD``).

    Source: mallopt(3).
    """
    set_option = _mallopt()
    if set_option is None:
        yield
        return
    _count(1, set_option)
    try:
        yield
    finally:
        _count(-1, set_option)


def return_freed() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    Threads that decoded leave what they freed in pools of their own, 100 MB and more.
    """
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)


def _count(change: int, set_option: Callable[[int, int], int]) -> None:
    global _holders
    with _lock:
        before, _holders = _holders, _holders + change
        if not before:
            set_option(_MMAP_MAX, 0)
            set_option(_TRIM_THRESHOLD, _LARGEST)
        elif not _holders:
            set_option(_MMAP_MAX, _MMAPS)
            set_option(_MMAP_THRESHOLD, _MMAP_FROM)
            set_option(_TRIM_THRESHOLD, 2 * _MMAP_FROM)
            return_freed()


@functools.cache
def _libc() -> ctypes.CDLL | None:
    """Return glibc, or nothing where the C library is another one."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.gnu_get_libc_version  # noqa: B018  # no other library has it
        return libc
    return None


def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's function, where nobody else has said how to allocate."""
    said = any(name.startswith("MALLOC_") for name in os.environ)
    if said or os.environ.keys() & {"GLIBC_TUNABLES", "LD_PRELOAD"}:
        return None
    libc = _libc()
    return None if libc is None else libc.mallopt
