"""A picture as 64 bits that survive rescaling and recompression, and pairs that are near.

The bits are the signs of the lowest frequencies of a 32×32 grey thumbnail. Pairs
are found without comparing every picture with every other: a pair that differs in
few bits is nearly alike in one of four bands of 16 bits, so only pictures that
share such a band are compared.

Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash
functions", section 3.2.1 (pHash); Norouzi, Punjani and Fleet 2012, "Fast search in
Hamming space with multi-index hashing".
Departs: the constant and the axes' frequencies are treated alike (the 64 lowest by
u + v, without the constant), so that every bit carries something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHUNK",
    "MAX_DISTANCE",
    "SIDE",
    "NearPairs",
    "hash_thumbnails",
    "hashed_pairs",
    "likeness",
]

SIDE = 32
"""Side of the thumbnails, in pixels."""

MAX_DISTANCE = 7
"""Bits in which near pictures may differ; every pair up to here is found."""

BANDS = 4
BAND_BITS = 16
BUCKET = 64
"""Pictures of one bucket that each picture is compared with: alike without end (the
same form scanned a thousand times) would otherwise cost the square of their number."""
PAIRS = 32
"""Pairs kept for each picture before the search ends."""
CHUNK = 4096
"""Pictures or lookups worked on at a time."""


def _lowest_frequencies() -> list[tuple[int, int]]:
    every = [(u, v) for u in range(SIDE) for v in range(SIDE)]
    return sorted(every, key=lambda at: (at[0] + at[1], at))[1:65]


FREQUENCIES = _lowest_frequencies()
"""(vertical, horizontal) of each bit; neighbours go to different bands."""
_ROWS = np.array([u for u, _ in FREQUENCIES])
_COLUMNS = np.array([v for _, v in FREQUENCIES])
_WAVES = np.cos(
    np.pi * np.arange(_COLUMNS.max() + 1)[:, None] * (2 * np.arange(SIDE)[None, :] + 1) / (2 * SIDE)
).astype(np.float32)  # DCT-II, without its scale where only signs count
_WAVES[0] /= np.sqrt(2)


def hash_thumbnails(thumbnails: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the perceptual hash of each thumbnail.

    Shape:
        thumbnails: uint8 (N, 32, 32) grey.
        returns: uint64 (N,).
    """
    hashes = np.empty(len(thumbnails), dtype=np.uint64)
    # Bit k lies in band k % 4, so that each band has low and high frequencies.
    order = np.argsort(np.arange(64) % BANDS, kind="stable")
    for start in range(0, len(thumbnails), CHUNK):
        grey = thumbnails[start : start + CHUNK].astype(np.float32)
        waves = _WAVES @ grey @ _WAVES.T  # (n, frequencies, frequencies)
        lowest = waves[:, _ROWS, _COLUMNS][:, order]
        bits = lowest > np.median(lowest, axis=1, keepdims=True)
        hashes[start : start + CHUNK] = np.packbits(np.ascontiguousarray(bits), axis=1).view(
            np.uint64
        )[:, 0]
    return hashes


@dataclass(frozen=True)
class NearPairs:
    """Pairs of positions, each once, the smaller first.

    Shape:
        first, second: int64 (P,).
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    is_capped: bool
    """Whether some buckets were so full that not all of their pairs were compared."""

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)


def hashed_pairs(hashes: NDArray[np.uint64]) -> NearPairs:
    """Find the pairs of hashes that differ in at most ``MAX_DISTANCE`` bits.

    The time grows with the number of pictures, not with its square: a picture looks
    into 4 × 17 buckets (its own in each band, and those with one bit turned), and at
    no more than ``BUCKET`` pictures of each. Where everything is alike by nature the
    search ends at ``PAIRS`` pairs for each picture, those with an equal band first.
    """
    tables = [_Band(hashes, band) for band in range(BANDS)]
    is_capped = any(int(table.counts.max(initial=0)) > BUCKET for table in tables)
    found, count = [np.zeros(0, np.int64)], 0
    for turned in (None, *range(BAND_BITS)):
        for table in tables:
            for first, second in table.candidates(turned):
                if count > PAIRS * len(hashes):
                    is_capped = True
                    break
                near = np.bitwise_count(hashes[first] ^ hashes[second]) <= MAX_DISTANCE
                low = np.minimum(first[near], second[near])
                found.append(low * len(hashes) + np.maximum(first[near], second[near]))
                count += len(low)
    pairs = np.unique(np.concatenate(found))
    return NearPairs(*np.divmod(pairs, max(len(hashes), 1)), is_capped)


class _Band:
    """The pictures sorted by one band of their hashes."""

    def __init__(self, hashes: NDArray[np.uint64], band: int) -> None:
        keys = ((hashes >> np.uint64(BAND_BITS * band)) & np.uint64(0xFFFF)).astype(np.int64)
        self.order = np.lexsort((hashes, keys))  # equal hashes stand side by side
        self.keys = keys[self.order]
        self.counts = np.bincount(keys, minlength=1 << BAND_BITS)
        self.starts = np.cumsum(self.counts) - self.counts

    def candidates(
        self, turned: int | None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield pairs of pictures with an equal band, or with one bit of it turned."""
        if turned is None:
            asking = np.arange(len(self.keys))
            starts = asking + 1
            ends = (self.starts + self.counts)[self.keys]
        else:
            asking = np.flatnonzero((self.keys >> turned) & 1 == 0)  # each pair once
            there = self.keys[asking] | (1 << turned)
            starts, ends = self.starts[there], (self.starts + self.counts)[there]
        number = np.minimum(ends - starts, BUCKET)
        some = np.flatnonzero(number > 0)
        for begin in range(0, len(some), CHUNK):
            chosen = some[begin : begin + CHUNK]
            times = number[chosen]
            within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
            places = np.repeat(starts[chosen], times) + within
            yield self.order[np.repeat(asking[chosen], times)], self.order[places]


def likeness(
    thumbnails: NDArray[np.uint8], first: NDArray[np.int64], second: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compare thumbnails pair by pair.

    Shape:
        thumbnails: uint8 (N, 32, 32).
        first, second: int64 (P,) positions in ``thumbnails``.
        returns: float32 (P,), -1..1 each: correlation of the pictures, and of their
            fine parts (what a blur over 3×3 pixels takes away).
    """
    whole = np.empty(len(first), dtype=np.float32)
    fine = np.empty_like(whole)
    for start in range(0, len(first), CHUNK):
        part = slice(start, start + CHUNK)
        one = thumbnails[first[part]].astype(np.float32)
        other = thumbnails[second[part]].astype(np.float32)
        whole[part] = _correlation(one, other)
        fine[part] = _correlation(_fine(one), _fine(other))
    return whole, fine


def _fine(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = pictures[:, :-2] + pictures[:, 1:-1] + pictures[:, 2:]
    blurred = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    return np.asarray(pictures[:, 1:-1, 1:-1] - blurred)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    one = one - one.mean(axis=(1, 2), keepdims=True)
    other = other - other.mean(axis=(1, 2), keepdims=True)
    size = np.sqrt((one**2).sum(axis=(1, 2)) * (other**2).sum(axis=(1, 2)))
    return np.asarray((one * other).sum(axis=(1, 2)) / np.maximum(size, 1e-6))
