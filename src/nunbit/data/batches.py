"""Batches of training pictures: shuffled anew each epoch, augmented, made ahead.

The order is a function of (seed, epoch), what happens to a picture of (seed,
epoch, picture id); so is the picture that it is mixed with. A run that starts in
the middle of an epoch therefore sees what an uninterrupted one would have seen.

Where an epoch has a picture several times (class balance), each time counts as
another picture: its id grows by :data:`TURN`, so that it is augmented anew.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nunbit.data.device_pixels import DevicePixels
from nunbit.data.parting import Parting, part_batches, part_shards
from nunbit.data.pictures import PictureSet
from nunbit.data.sources.shard_stream import EpochOrder
from nunbit.data.streaming import StreamedPixels
from nunbit.data.taking import FromArray, FromStream, Taken, taken_from
from nunbit.errors import OptionError
from nunbit.randomness import make_rng

__all__ = ["Batch", "Batches", "MixPlan", "Mixing", "Mover", "to_images"]

TURN = 1 << 40
"""What a picture's id grows by each time that it comes again in an epoch: more than there are."""

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


@dataclass
class Batch:
    """Some pictures with their targets.

    Shape:
        images: uint8 (B, C, H, W), channels-last in memory.
        targets: (B, ...) as the task has them.
        ids: (B,) picture ids.
    Args:
        partners: The pictures to mix with, where the device mixes.
        whole: Pictures in the batch of all ranks; 0 where there is nothing to learn.
        least: Pictures of the rank that has the fewest; 0: those of this batch.
    """

    images: Tensor
    targets: Tensor
    ids: NDArray[np.int64] | None = None
    epoch: int = 0
    partners: Batch | None = None
    whole: int = 0
    least: int = 0

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    def parts(self, count: int) -> list[Batch]:
        """Return the batch cut into at most ``count`` parts of nearly equal size.

        All ranks cut theirs into as many.
        """
        count = min(count, self.least or len(self))
        if count == 1:
            return [self]
        images = torch.tensor_split(self.images, count)
        targets = torch.tensor_split(self.targets, count)
        ids = [None] * count if self.ids is None else np.array_split(self.ids, count)
        partners = [None] * count if self.partners is None else self.partners.parts(count)
        return [
            Batch(i, t, n, self.epoch, p, self.whole, self.least)
            for i, t, n, p in zip(images, targets, ids, partners, strict=True)
        ]


def times_before(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each number came before in the list.

    Example:
        >>> times_before(np.array([4, 2, 4, 4, 2])).tolist()
        [0, 0, 1, 2, 1]
    """
    together = np.argsort(order, kind="stable")
    ranked = order[together]
    found = np.empty_like(order)
    found[together] = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    return found


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
        gather: Takes a value of this rank and returns those of all; called at each step of a
            stream, where only a rank itself knows how many of its pictures can be read.
        resident: The pictures on the device, which then gathers them; without ``move``.
    Raises:
        OptionError: A batch has fewer pictures than there are ranks.
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
        resident: DevicePixels | None = None,
        share: tuple[int, int] = (0, 1),
        gather: Callable[[Any], list[Any]] | None = None,
    ) -> None:
        self.pictures = pictures
        self.targets = targets
        self.seed = seed
        self.move = move
        self.mixing = mixing
        self.threads = threads
        self.draw = draw
        self.resident = resident
        self.share = share
        self.gather = gather if share[1] > 1 else None
        self.steps_per_epoch = -(-len(pictures) // batch_size)
        if len(pictures) < share[1] * self.steps_per_epoch:
            raise OptionError(
                f"batches of {len(pictures) // self.steps_per_epoch} pictures cannot be shared by "
                f"{share[1]} processes, expected a picture for each. Pass `--batch-size "
                f"{2 * share[1]}` or more, or start fewer processes."
            )
        self.waited_s = 0.0
        """Seconds that went into making batches, or waiting for them, since this was made."""

    @property
    def smallest(self) -> int:
        """Pictures in the smallest batch, of one rank."""
        dealt = isinstance(self.pictures.pixels, StreamedPixels) and self.share[1] > 1
        fewest = self._fewest_dealt if dealt else len(self.pictures) // self.share[1]
        return min(fewest, len(self.pictures) // self.share[1]) // self.steps_per_epoch

    @property
    def _fewest_dealt(self) -> int:
        """Pictures that the shards of each rank must have together, to be dealt out whole.

        Half a fair share: with less the others would wait for one rank all the time.
        """
        return max(self.steps_per_epoch, -(-len(self.pictures) // (2 * self.share[1])))

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

        Of a stream a batch lacks the pictures that cannot be read, and may be empty. With
        many ranks a step where one of them has no picture at all is one for none of them.
        """
        parting = self._parting(epoch)
        skipped = sum(map(len, parting.mine[:start]))
        parts = parting.mine[start:]
        with (
            contextlib.closing(self._reader(parting.order, skipped)) as reader,
            ThreadPoolExecutor(self.threads) as movers,
            ThreadPoolExecutor(1) as maker,
        ):
            ahead: Future[Batch] | None = None
            for k, positions in enumerate(parts):
                began = time.monotonic()
                if ahead is None:
                    batch = self._make(reader.take(positions), epoch, movers)
                else:
                    batch = ahead.result()
                self.waited_s += time.monotonic() - began
                if (self.move or self.mixing) is not None and k + 1 < len(parts):
                    ahead = maker.submit(
                        lambda part: self._make(reader.take(part), epoch, movers), parts[k + 1]
                    )
                else:
                    ahead = None  # a plain copy is quicker than handing it to a thread
                lost = len(positions) - len(batch)  # of a stream: what cannot be read
                yield self._counted(
                    batch, parting.wholes[start + k] - lost, parting.leasts[start + k]
                )
        self._tell_unreadable()

    def _parting(self, epoch: int) -> Parting:
        pixels, steps = self.pictures.pixels, self.steps_per_epoch
        if not isinstance(pixels, StreamedPixels):
            rows = self._entries(epoch)
            return part_batches(EpochOrder(rows, rows), steps, self.share)
        if self.share[1] > 1:
            counts = pixels.counts(self.seed, epoch, self.share[1])
            if counts is not None and min(counts) >= self._fewest_dealt:
                order = pixels.order(self.seed, epoch, share=self.share)
                return part_shards(order, counts, steps, self.share)
        return part_batches(pixels.order(self.seed, epoch), steps, self.share)

    def _entries(self, epoch: int) -> NDArray[np.int64]:
        """Return the order of an epoch as position + N * (times it came before in the epoch)."""
        order = self.order(epoch)
        if self.draw is None:
            return order
        return order + len(self.pictures) * times_before(order)

    def _counted(self, batch: Batch, whole: int, least: int) -> Batch:
        """Return the batch with its true numbers of pictures over all ranks."""
        if isinstance(self.pictures.pixels, StreamedPixels):
            least = min(least, len(batch))
            if self.gather is not None:
                lengths = self.gather(len(batch))
                whole, least = sum(lengths), min(lengths)
            whole = whole if least else 0
        batch.whole, batch.least = whole, least
        return batch

    def _tell_unreadable(self) -> None:
        """Let every rank know what the others could not read."""
        pixels = self.pictures.pixels
        if isinstance(pixels, StreamedPixels) and self.gather is not None:
            for found in self.gather(pixels.unreadable):
                pixels.unreadable.update(found)

    def _reader(self, order: EpochOrder, skipped: int) -> FromArray | FromStream:
        pixels = self.pictures.pixels
        if not isinstance(pixels, StreamedPixels):
            return FromArray(self.pictures, repeats=self.draw is not None)
        return FromStream(pixels.read(order, skipped), pixels.shape[1:])

    def _make(self, taken: Taken, epoch: int, movers: ThreadPoolExecutor) -> Batch:
        positions, ids = taken.positions, self._ids(taken)
        if not len(ids):
            return Batch(to_images(taken.part(slice(None))), self.targets[:0], ids, epoch)
        targets = self.targets.index_select(0, torch.from_numpy(positions))
        if self.mixing is None:
            return Batch(self._images(taken, epoch, movers), targets, ids, epoch)
        plan = self.mixing.plan(ids, epoch)
        partners = self._partners(self._drawn(plan.partners, epoch), taken)
        their = self.targets.index_select(0, torch.from_numpy(partners.positions))
        mixed = self.mixing.targets(targets, their, torch.from_numpy(plan.share))
        if self.mixing.on_device:
            images, others = (self._images(each, epoch, movers) for each in (taken, partners))
            beside = Batch(others, their, self.pictures.ids[partners.positions], epoch)
            return Batch(images, mixed, ids, epoch, beside)
        own, other = (self._moved(each, epoch, movers) for each in (taken, partners))
        return Batch(to_images(plan.mix(own, other)), mixed, ids, epoch)

    def _images(self, taken: Taken, epoch: int, movers: ThreadPoolExecutor) -> Tensor:
        """Return pictures as (B, C, H, W), on the device where they lie there."""
        if self.resident is not None:
            return self.resident.take(taken.positions)
        return to_images(self._moved(taken, epoch, movers))

    def _ids(self, taken: Taken) -> NDArray[np.int64]:
        """Return what augmentation is drawn by: picture ids, others for repeated pictures."""
        ids: NDArray[np.int64] = self.pictures.ids[taken.positions] + TURN * taken.turns
        return ids

    def _drawn(self, places: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        """Return the positions at these places of an epoch that draws; else they are positions.

        So pictures are mixed with others of the same balance as those of the epoch.
        """
        return places if self.draw is None else self.draw(self.seed, epoch)[places]

    def _partners(self, positions: NDArray[np.int64], taken: Taken) -> Taken:
        """Return the pictures to mix with; one that cannot be read is the picture itself."""
        pixels = self.pictures.pixels
        if not isinstance(pixels, StreamedPixels):
            return FromArray(self.pictures, repeats=False).take(positions)
        found = pixels.each(self.pictures.rows[positions])
        lost = np.array([each is None for each in found], dtype=bool)
        own = taken.part(slice(None))
        whole = np.stack([own[k] if each is None else each for k, each in enumerate(found)])
        return taken_from(np.where(lost, taken.positions, positions), whole)

    def _moved(self, taken: Taken, epoch: int, movers: ThreadPoolExecutor) -> NDArray[np.uint8]:
        """Return the pictures, taken and augmented in threads, each thread a part of them."""
        if self.move is None:
            return taken.part(slice(None))
        move, ids = self.move, self._ids(taken)
        moved = np.empty((len(ids), *self.pictures.pixels.shape[1:]), np.uint8)
        cuts = np.linspace(0, len(ids), self.threads + 1).astype(int).tolist()

        def work(start: int, stop: int) -> None:
            part = slice(start, stop)
            move(taken.each(part), ids[part], epoch, moved[part])

        list(movers.map(work, cuts[:-1], cuts[1:]))
        return moved
