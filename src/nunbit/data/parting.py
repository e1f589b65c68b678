"""Which pictures of an epoch each rank takes, step by step.

All ranks work this out alone, from numbers that all of them know, and take the same
number of steps. With one rank it is the whole of every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nunbit.data.sources.shard_stream import EpochOrder

__all__ = ["Parting", "part_batches", "part_shards", "part_sizes"]


@dataclass(frozen=True)
class Parting:
    """What one rank takes of an epoch.

    Args:
        mine: Positions of its pictures at each step.
        wholes: Pictures of each step over all ranks.
        leasts: Pictures of each step of the rank that has the fewest.
        order: How a stream reads ``mine``.
    """

    mine: list[NDArray[np.int64]]
    wholes: list[int]
    leasts: list[int]
    order: EpochOrder


def part_batches(order: EpochOrder, steps: int, share: tuple[int, int]) -> Parting:
    """Cut an order into batches of nearly equal size, and give a rank its part of each.

    So all ranks together have the batches that one process would have.

    Args:
        share: Number of the rank, and how many there are.
    """
    rank, ranks = share
    wholes = np.array_split(order.rows, steps)
    mine = [np.array_split(whole, ranks)[rank] for whole in wholes]
    return Parting(
        mine,
        [len(whole) for whole in wholes],
        [len(whole) // ranks for whole in wholes],
        order if ranks == 1 else order.only(np.concatenate(mine)),
    )


def part_shards(
    order: EpochOrder, counts: Sequence[int], steps: int, share: tuple[int, int]
) -> Parting:
    """Cut a rank's own order, that of the shards dealt to it, into as many steps as the others'.

    Args:
        order: This rank's.
        counts: Pictures of each rank.
    """
    sizes = part_sizes(counts, steps)
    mine = np.split(order.rows, np.cumsum(sizes[share[0]])[:-1])
    return Parting(mine, sizes.sum(axis=0).tolist(), sizes.min(axis=0).tolist(), order)


def part_sizes(counts: Sequence[int], steps: int) -> NDArray[np.int64]:
    """Return how many pictures each rank takes at each step: (ranks, steps).

    A rank's steps differ by one picture at most, and so do the sums over the ranks:
    where one rank's larger steps end, the next one's begin.

    Example:
        >>> part_sizes([7, 5], 3).tolist()
        [[3, 2, 2], [1, 2, 2]]
        >>> part_sizes([7, 5], 3).sum(axis=0).tolist()
        [4, 4, 4]
    """
    sizes = np.empty((len(counts), steps), dtype=np.int64)
    start = 0
    for rank, count in enumerate(counts):
        each, more = divmod(count, steps)
        sizes[rank] = each
        sizes[rank, (start + np.arange(more)) % steps] += 1
        start = (start + more) % steps
    return sizes
