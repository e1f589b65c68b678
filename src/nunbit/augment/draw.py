"""Random numbers by counting: each is a function of (seed, epoch, picture id, column).

There is no generator whose state must be kept in step: a number is found by
hashing its address. A whole batch is drawn in a few array operations, and a
picture gets the same numbers in whatever batch, thread or process it comes.

Source: splitmix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195): the
finaliser twice over key and id gives each picture a stream of its own, of which a
column is one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nunbit.randomness import derive_seed

__all__ = ["Column", "Draws", "uniforms"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: the step of splitmix64."""

MOST_POLICY_OPS = 8
"""Operations that RandAugment may apply to one picture."""


class Column(IntEnum):
    """What each number is for. A column never changes its place: old runs would change."""

    THETA = 0
    SHIFT_COLUMNS = 1
    SHIFT_ROWS = 2
    SHEAR = 3
    ZOOM_COLUMNS = 4
    ZOOM_ROWS = 5
    FLIP_COLUMNS = 6
    FLIP_ROWS = 7
    CHANNEL_SHIFT = 8
    BRIGHTNESS = 9
    CROP_AREA = 10
    CROP_ASPECT = 11
    CROP_COLUMN = 12
    CROP_ROW = 13
    PADDING_COLUMN = 14
    PADDING_ROW = 15
    JITTER_BRIGHTNESS = 16
    JITTER_CONTRAST = 17
    JITTER_SATURATION = 18
    JITTER_HUE = 19
    ERASING = 20
    ERASING_AREA = 21
    ERASING_ASPECT = 22
    ERASING_COLUMN = 23
    ERASING_ROW = 24
    ERASING_NOISE = 25
    CUTOUT_COLUMN = 26
    CUTOUT_ROW = 27
    MIX_PARTNER = 28
    MIX_SHARE = 29
    MIX_KIND = 30
    MIX_COLUMN = 31
    MIX_ROW = 32
    POLICY = 40
    """First of three columns for each operation: which, how strong, which way."""


WIDTH = Column.POLICY + 3 * MOST_POLICY_OPS


class Draws:
    """The numbers of a batch, by column.

    Args:
        ids: The picture ids.
        seed: Of the run.
        epoch: From 0.
    """

    def __init__(self, ids: Sequence[int] | NDArray[np.int64], *, seed: int, epoch: int) -> None:
        self._numbers = uniforms(ids, seed=seed, epoch=epoch, columns=WIDTH)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._numbers)

    def unit(self, column: int) -> NDArray[np.float64]:
        """Return (B,) numbers 0 <= u < 1."""
        return self._numbers[:, column]

    def between(self, column: int, low: float, high: float) -> NDArray[np.float64]:
        """Return (B,) numbers low <= u < high."""
        return low + (high - low) * self._numbers[:, column]

    def chance(self, column: int, probability: float = 0.5) -> NDArray[np.bool_]:
        """Return (B,) booleans that are true with this probability."""
        return np.asarray(self._numbers[:, column] < probability)

    def integers(self, column: int, count: int) -> NDArray[np.int64]:
        """Return (B,) integers 0 <= k < count."""
        return (self._numbers[:, column] * count).astype(np.int64)


def uniforms(
    ids: Sequence[int] | NDArray[np.int64], *, seed: int, epoch: int, columns: int
) -> NDArray[np.float64]:
    """Return numbers 0 <= u < 1 that belong to (seed, epoch, id, column) alone.

    Shape:
        returns: float64 (B, columns), of 53 random bits each.

    Example:
        >>> batch = uniforms([3, 4], seed=0, epoch=1, columns=2)
        >>> bool((batch[1:] == uniforms([4], seed=0, epoch=1, columns=2)).all())
        True
    """
    key = np.uint64(derive_seed(seed, "augment", epoch))
    numbers = np.asarray(ids, dtype=np.int64).astype(np.uint64)
    stream = _mix(_mix(numbers * GOLDEN + key) ^ key)
    steps = np.arange(1, columns + 1, dtype=np.uint64) * GOLDEN
    bits = _mix(stream[:, None] + steps) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
