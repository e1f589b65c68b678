"""Large arrays that are used again once nobody holds them.

A fresh array of megabytes costs a page fault for every 4 kB when it is first touched:
2,000 pictures of 128×128 as float32 batches cost 0.4 s so, more than all of their
augmentation. An array is free again when nothing refers to it but the pool: a view, a
tensor or a frame that still uses it keeps it from being handed out.
"""

from __future__ import annotations

import math
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["ArrayPool", "Scratch"]

_FREE = 3
"""References to an array that only the pool holds: list, loop variable, argument."""


class ArrayPool:
    """Hands out arrays; safe with several threads.

    Args:
        limit: Arrays that are kept at most; above it, arrays are plain new ones.
    """

    def __init__(self, limit: int = 16) -> None:
        self._limit = limit
        self._kept: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array whose values are undefined, as ``numpy.empty`` does."""
        wanted = math.prod(shape) * np.dtype(dtype).itemsize
        with self._lock:
            for kept in self._kept:
                if kept.nbytes == wanted and sys.getrefcount(kept) == _FREE:
                    return kept.view(dtype).reshape(shape)
            made = np.empty(wanted, np.uint8)
            if len(self._kept) < self._limit:
                self._kept.append(made)
            return made.view(dtype).reshape(shape)


class Scratch(threading.local):
    """Arrays that each thread has for itself, for what does not outlive a picture."""

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return the array of this thread and name; what was in it is lost."""
        kept = self._kept.get(name)
        if kept is None or kept.shape != shape or kept.dtype != dtype:
            kept = self._kept[name] = np.empty(shape, dtype)
        return kept
