"""Batches of training pictures: shuffled anew each epoch, augmented, made ahead.

The order is a function of (seed, epoch), what happens to a picture of (seed,
epoch, picture id). A run that starts in the middle of an epoch therefore sees
what an uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nunbit.data.pictures import PictureSet
from nunbit.randomness import make_rng

__all__ = ["Batch", "Batches", "to_images"]

Mover = Callable[[NDArray[np.uint8], NDArray[np.int64], int], NDArray[np.uint8]]
"""Takes pictures (B, H, W, C), their ids and the epoch; returns pictures."""


@dataclass(frozen=True)
class Batch:
    """Some pictures with their targets.

    Shape:
        images: uint8 (B, C, H, W), channels-last in memory.
        targets: (B, ...) as the task has them.
    """

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def parts(self, count: int) -> list[Batch]:
        """Return the batch cut into at most ``count`` parts of nearly equal size."""
        count = min(count, len(self))
        images = torch.tensor_split(self.images, count)
        targets = torch.tensor_split(self.targets, count)
        return [Batch(i, t) for i, t in zip(images, targets, strict=True)]


def to_images(pixels: NDArray[np.uint8]) -> Tensor:
    """View uint8 pictures (B, H, W, C) as a tensor (B, C, H, W) without copying."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


class Batches:
    """All training batches of all epochs.

    An epoch is cut into ``ceil(N / batch_size)`` batches of nearly equal size, so
    that no last batch is tiny, and each picture counts once.

    Args:
        pictures: The training pictures.
        targets: (N, ...) from the task, in the order of ``pictures``.
        batch_size: The largest batch; at least 1.
        seed: Start of all randomness.
        move: Augmentation, or None.
        threads: Threads that augment.
    """

    def __init__(
        self,
        pictures: PictureSet,
        targets: Tensor,
        *,
        batch_size: int,
        seed: int,
        move: Mover | None = None,
        threads: int = 1,
    ) -> None:
        self.pictures = pictures
        self.targets = targets
        self.seed = seed
        self.move = move
        self.threads = threads
        self.steps_per_epoch = -(-len(pictures) // batch_size)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the positions of all pictures in the order of this epoch."""
        return make_rng(self.seed, "order", epoch).permutation(len(self.pictures))

    def of_epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from step ``start`` on, each made one ahead."""
        parts = np.array_split(self.order(epoch), self.steps_per_epoch)[start:]
        with ThreadPoolExecutor(self.threads) as movers, ThreadPoolExecutor(1) as maker:
            ahead: Future[Batch] | None = None
            for k, positions in enumerate(parts):
                batch = self._make(positions, epoch, movers) if ahead is None else ahead.result()
                if self.move is not None and k + 1 < len(parts):
                    ahead = maker.submit(self._make, parts[k + 1], epoch, movers)
                else:
                    ahead = None  # a plain copy is quicker than handing it to a thread
                yield batch

    def _make(self, positions: NDArray[np.int64], epoch: int, movers: ThreadPoolExecutor) -> Batch:
        pixels = self.pictures.take(positions)
        if self.move is not None:
            move = self.move
            ids = self.pictures.ids[positions]
            chunks = zip(
                np.array_split(pixels, self.threads),
                np.array_split(ids, self.threads),
                strict=True,
            )
            moved = movers.map(lambda chunk: move(chunk[0], chunk[1], epoch), chunks)
            pixels = np.concatenate(list(moved))
        return Batch(to_images(pixels), self.targets[torch.from_numpy(positions)])
