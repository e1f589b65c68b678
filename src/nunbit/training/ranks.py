"""Many processes that train one network: who is who, and how they agree.

A rank is one process of a training; ``torchrun`` starts them. Each computes a part
of every batch. Rank 0, the first, is the only one that writes files, shows progress
and has callbacks; what callbacks ask for reaches the others from there. A training
in one process is a training of one rank, :data:`ALONE`, by the same code.

Messages between ranks about the run itself (has anyone been interrupted, is every
loss finite, which picture was scored how) go over ``gloo``, on the processor, so that
they wait for no GPU. Gradients go their own way (``training/parallel.py``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist

__all__ = ["ALONE", "Ranks", "current_ranks"]

T = TypeVar("T")


class Ranks:
    """The processes of a training, as one of them sees them. This one is alone.

    Args:
        rank: Number of this process, from 0.
        size: Number of processes.
        local_rank: Number of this process on its machine: which GPU is its own.
    """

    def __init__(self, rank: int = 0, size: int = 1, *, local_rank: int = 0) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = local_rank

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and has callbacks."""
        return self.rank == 0

    def worst(self, state: int) -> int:
        """Return the largest of the numbers that all ranks give."""
        return state

    def of_first(self, value: T) -> T:
        """Return the value that the first rank gives; plain data and tensors."""
        return value

    def gather(self, value: T) -> list[T]:
        """Return the values that all ranks give, in the order of ranks."""
        return [value]

    def wait(self) -> None:
        """Wait until all ranks are here."""


ALONE = Ranks()


class _Together(Ranks):
    """One of several processes."""

    def __init__(self, rank: int, size: int, *, local_rank: int, group: dist.ProcessGroup) -> None:
        super().__init__(rank, size, local_rank=local_rank)
        self.group = group

    def worst(self, state: int) -> int:
        message = torch.tensor(state)
        dist.all_reduce(message, dist.ReduceOp.MAX, group=self.group)
        return int(message)

    def of_first(self, value: T) -> T:
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=self.group)
        return box[0]  # type: ignore[no-any-return]

    def gather(self, value: T) -> list[T]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.group)
        return found

    def wait(self) -> None:
        dist.barrier(group=self.group)


_started: Ranks | None = None


def current_ranks() -> Ranks:
    """Return the processes that ``torchrun`` has started, or :data:`ALONE`.

    The first call connects them; the connection ends with the process.
    """
    global _started
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return ALONE
    if _started is None:
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        group = dist.new_group(backend="gloo")
        _started = _Together(
            dist.get_rank(),
            dist.get_world_size(),
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            group=group,
        )
    return _started


def share_of(count: int, ranks: Ranks) -> slice:
    """Return which of ``count`` things this rank does: parts of nearly equal size, in order."""
    return slice(count * ranks.rank // ranks.size, count * (ranks.rank + 1) // ranks.size)


def in_order(parts: Sequence[Sequence[T]]) -> list[T]:
    """Join what :func:`share_of` has parted."""
    return [each for part in parts for each in part]
