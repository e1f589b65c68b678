"""Batches of training pictures: shuffled anew each epoch, augmented, made ahead.

The order is a function of (seed, epoch), what happens to a picture of (seed,
epoch, picture id); so is the picture that it is mixed with. A run that starts in
the middle of an epoch therefore sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nunbit.data.pictures import PictureSet
from nunbit.data.streaming import StreamedPixels
from nunbit.randomness import make_rng

__all__ = ["Batch", "Batches", "MixPlan", "Mixing", "Mover", "to_images"]

Mover = Callable[[Sequence[NDArray[np.uint8]], NDArray[np.int64], int, NDArray[np.uint8]], None]
"""Takes B pictures (H, W, C), their ids, the epoch, and (B, H, W, C) to be filled."""


class MixPlan(Protocol):
    """With which pictures those of a batch are mixed, and how."""

    @property
    def partners(self) -> NDArray[np.int64]:
        """(B,) positions in the training set."""
        ...

    @property
    def share(self) -> NDArray[np.float32]:
        """(B,) what stays of a picture's own target."""
        ...

    def mix(self, pictures: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mix pictures (B, H, W, C)."""
        ...


@dataclass(frozen=True)
class Mixing:
    """How pictures are mixed with others of the training set.

    Args:
        plan: Takes picture ids and the epoch.
        targets: Takes targets, those of the partners, and the share (B,) that stays.
        on_device: Whether a batch only carries the partners, for the device to mix.
    """

    plan: Callable[[NDArray[np.int64], int], MixPlan]
    targets: Callable[[Tensor, Tensor, Tensor], Tensor]
    on_device: bool = False


@dataclass(frozen=True)
class Batch:
    """Some pictures with their targets.

    Shape:
        images: uint8 (B, C, H, W), channels-last in memory.
        targets: (B, ...) as the task has them.
        ids: (B,) picture ids.
    Args:
        partners: The pictures to mix with, where the device mixes.
        whole: Pictures in the batch of all ranks; 0 where there is nothing to learn.
    """

    images: Tensor
    targets: Tensor
    ids: NDArray[np.int64] | None = None
    epoch: int = 0
    partners: Batch | None = None
    whole: int = 0

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def parts(self, count: int) -> list[Batch]:
        """Return the batch cut into at most ``count`` parts of nearly equal size."""
        count = min(count, len(self))
        images = torch.tensor_split(self.images, count)
        targets = torch.tensor_split(self.targets, count)
        ids = [None] * count if self.ids is None else np.array_split(self.ids, count)
        partners = [None] * count if self.partners is None else self.partners.parts(count)
        return [
            Batch(i, t, n, self.epoch, p, self.whole)
            for i, t, n, p in zip(images, targets, ids, partners, strict=True)
        ]


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
        mixing: How pictures are mixed with others, or None.
        threads: Threads that augment.
        draw: Takes seed and epoch and returns the positions of an epoch, where it is not
            each picture once.
        share: Number of this rank, and how many there are: each makes its part of every batch.
    """

    def __init__(
        self,
        pictures: PictureSet,
        targets: Tensor,
        *,
        batch_size: int,
        seed: int,
        move: Mover | None = None,
        mixing: Mixing | None = None,
        threads: int = 1,
        draw: Callable[[int, int], NDArray[np.int64]] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.pictures = pictures
        self.targets = targets
        self.seed = seed
        self.move = move
        self.mixing = mixing
        self.threads = threads
        self.draw = draw
        self.share = share
        self.steps_per_epoch = -(-len(pictures) // batch_size)

    @property
    def smallest(self) -> int:
        """Pictures in the smallest batch, of one rank."""
        return len(self.pictures) // self.steps_per_epoch // self.share[1]

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the positions of all pictures in the order of this epoch."""
        pixels = self.pictures.pixels
        if isinstance(pixels, StreamedPixels):
            return pixels.order(self.seed, epoch).rows
        if self.draw is not None:
            return self.draw(self.seed, epoch)
        return make_rng(self.seed, "order", epoch).permutation(len(self.pictures))

    def of_epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from step ``start`` on, each made one ahead.

        Of a stream a batch lacks the pictures that cannot be read, and may be empty.
        """
        wholes = np.array_split(self.order(epoch), self.steps_per_epoch)
        rank, ranks = self.share
        parts = [np.array_split(whole, ranks)[rank] for whole in wholes]
        skipped = sum(map(len, parts[:start]))
        counts = list(map(len, wholes))[start:]
        parts = parts[start:]
        with (
            contextlib.closing(self._reader(epoch, skipped)) as reader,
            ThreadPoolExecutor(self.threads) as movers,
            ThreadPoolExecutor(1) as maker,
        ):
            ahead: Future[Batch] | None = None
            for k, positions in enumerate(parts):
                if ahead is None:
                    batch = self._make(reader.take(positions), epoch, movers)
                else:
                    batch = ahead.result()
                if (self.move or self.mixing) is not None and k + 1 < len(parts):
                    ahead = maker.submit(
                        lambda part: self._make(reader.take(part), epoch, movers), parts[k + 1]
                    )
                else:
                    ahead = None  # a plain copy is quicker than handing it to a thread
                lost = len(positions) - len(batch)  # of a stream: what cannot be read
                yield replace(batch, whole=counts[k] - lost)

    def _reader(self, epoch: int, skipped: int) -> _FromArray | _FromStream:
        pixels = self.pictures.pixels
        if not isinstance(pixels, StreamedPixels):
            return _FromArray(self.pictures)
        stream = pixels.read(pixels.order(self.seed, epoch), skipped)
        return _FromStream(stream, pixels.shape[1:])

    def _make(self, taken: _Taken, epoch: int, movers: ThreadPoolExecutor) -> Batch:
        positions = taken.positions
        ids = self.pictures.ids[positions]
        if not len(ids):
            return Batch(to_images(taken.part(slice(None))), self.targets[:0], ids, epoch)
        pixels = self._moved(taken, epoch, movers)
        targets = self.targets[torch.from_numpy(positions)]
        if self.mixing is None:
            return Batch(to_images(pixels), targets, ids, epoch)
        plan = self.mixing.plan(ids, epoch)
        partners = self._partners(plan.partners, taken)
        others = self._moved(partners, epoch, movers)
        their = self.targets[torch.from_numpy(partners.positions)]
        mixed = self.mixing.targets(targets, their, torch.from_numpy(plan.share))
        if not self.mixing.on_device:
            return Batch(to_images(plan.mix(pixels, others)), mixed, ids, epoch)
        beside = Batch(to_images(others), their, self.pictures.ids[partners.positions], epoch)
        return Batch(to_images(pixels), mixed, ids, epoch, beside)

    def _partners(self, positions: NDArray[np.int64], taken: _Taken) -> _Taken:
        """Return the pictures to mix with; one that cannot be read is the picture itself."""
        pixels = self.pictures.pixels
        if not isinstance(pixels, StreamedPixels):
            return _FromArray(self.pictures).take(positions)
        found = pixels.each(self.pictures.rows[positions])
        lost = np.array([each is None for each in found], dtype=bool)
        own = taken.part(slice(None))
        whole = np.stack([own[k] if each is None else each for k, each in enumerate(found)])
        return _taken(np.where(lost, taken.positions, positions), whole)

    def _moved(self, taken: _Taken, epoch: int, movers: ThreadPoolExecutor) -> NDArray[np.uint8]:
        """Return the pictures, taken and augmented in threads, each thread a part of them."""
        if self.move is None:
            return taken.part(slice(None))
        move, ids = self.move, self.pictures.ids[taken.positions]
        moved = np.empty((len(ids), *self.pictures.pixels.shape[1:]), np.uint8)
        cuts = np.linspace(0, len(ids), self.threads + 1).astype(int).tolist()

        def work(start: int, stop: int) -> None:
            part = slice(start, stop)
            move(taken.each(part), ids[part], epoch, moved[part])

        list(movers.map(work, cuts[:-1], cuts[1:]))
        return moved


@dataclass(frozen=True)
class _Taken:
    """Some pictures: their positions in the set, and how to get a part of them.

    Args:
        part: As one array (B, H, W, C), a copy.
        each: Picture by picture (H, W, C), not to be changed.
    """

    positions: NDArray[np.int64]
    part: Callable[[slice], NDArray[np.uint8]]
    each: Callable[[slice], Sequence[NDArray[np.uint8]]]


def _taken(positions: NDArray[np.int64], whole: NDArray[np.uint8]) -> _Taken:
    return _Taken(positions, lambda part: whole[part], lambda part: list(whole[part]))


class _FromArray:
    """Takes pictures that are decoded."""

    def __init__(self, pictures: PictureSet) -> None:
        self.pictures = pictures

    def take(self, positions: NDArray[np.int64]) -> _Taken:
        take, each = self.pictures.take, self.pictures.each
        return _Taken(positions, lambda p: take(positions[p]), lambda p: each(positions[p]))

    def close(self) -> None:
        """Nothing is open."""


class _FromStream:
    """Takes the next pictures of a stream; what cannot be read is left out."""

    def __init__(self, stream: Generator[NDArray[np.uint8] | None], shape: tuple[int, ...]) -> None:
        self.stream, self.shape = stream, shape

    def take(self, positions: NDArray[np.int64]) -> _Taken:
        found = list(itertools.islice(self.stream, len(positions)))
        kept = np.array([pixels is not None for pixels in found], dtype=bool)
        readable = [pixels for pixels in found if pixels is not None]
        whole = np.stack(readable) if readable else np.empty((0, *self.shape), np.uint8)
        return _taken(positions[kept], whole)

    def close(self) -> None:
        self.stream.close()
