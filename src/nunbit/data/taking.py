"""Taking the pictures of a batch: by row where they are decoded, the next ones of a stream.

What is taken is not copied yet, so that threads can do that, each for a part.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nunbit.data.pictures import PictureSet

__all__ = ["FromArray", "FromStream", "Taken", "taken_from"]


@dataclass(frozen=True)
class Taken:
    """Some pictures: their positions in the set, and how to get a part of them.

    Args:
        part: As one array (B, H, W, C), a copy.
        each: Picture by picture (H, W, C), not to be changed.
        turns: (B,) how often each came before in the epoch, or 0 for all.
    """

    positions: NDArray[np.int64]
    part: Callable[[slice], NDArray[np.uint8]]
    each: Callable[[slice], Sequence[NDArray[np.uint8]]]
    turns: NDArray[np.int64] | int = 0


def taken_from(positions: NDArray[np.int64], whole: NDArray[np.uint8]) -> Taken:
    """Return pictures that lie in memory already, as one array (B, H, W, C)."""
    return Taken(positions, lambda part: whole[part], lambda part: list(whole[part]))


class FromArray:
    """Takes pictures that are decoded.

    Args:
        repeats: Whether pictures come again in an epoch, and so are told by position + N * turn.
    """

    def __init__(self, pictures: PictureSet, *, repeats: bool) -> None:
        self.pictures = pictures
        self.repeats = repeats

    def take(self, entries: NDArray[np.int64]) -> Taken:
        """Return pictures by position, or by position + N * turn."""
        take, each = self.pictures.take, self.pictures.each
        turns, rows = np.divmod(entries, len(self.pictures)) if self.repeats else (0, entries)
        return Taken(rows, lambda p: take(rows[p]), lambda p: each(rows[p]), turns)

    def close(self) -> None:
        """Nothing is open."""


class FromStream:
    """Takes the next pictures of a stream; what cannot be read is left out."""

    def __init__(self, stream: Generator[NDArray[np.uint8] | None], shape: tuple[int, ...]) -> None:
        self.stream, self.shape = stream, shape

    def take(self, positions: NDArray[np.int64]) -> Taken:
        """Return those of the next pictures that can be read; positions as the order has them."""
        found = list(itertools.islice(self.stream, len(positions)))
        kept = np.array([pixels is not None for pixels in found], dtype=bool)
        readable = [pixels for pixels in found if pixels is not None]
        whole = np.stack(readable) if readable else np.empty((0, *self.shape), np.uint8)
        return taken_from(positions[kept], whole)

    def close(self) -> None:
        """Stop reading."""
        self.stream.close()
