"""``Iterator``: batches in order or shuffled, from a seed or from NumPy's global numbers.

With a seed, batch k (counted since the iterator was made) is drawn from seed + k,
shuffling included, so that two iterators with one seed stay in step. What is random in
a batch is drawn before its pictures are read; those are then read and moved in threads.

Source: Keras 3, whose orders of shuffling and drawing are kept.
Departs: a seed leaves NumPy's global generator alone, and each batch is drawn under the
lock, so that several threads do not share one stream; ``like="keras-3"`` seeds the
global generator.
"""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from collections.abc import Iterator as Batches
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nunbit.data.buffers import ArrayPool
from nunbit.errors import OptionError
from nunbit.keras._bridge import joined_class
from nunbit.keras._checks import check_whole_numbers
from nunbit.keras.batches import fill_batch
from nunbit.keras.draw import Parameters, global_draws
from nunbit.keras.saving import Saving

if TYPE_CHECKING:
    from nunbit.keras.generator import ImageDataGenerator

__all__ = ["Iterator"]

Indices = NDArray[np.int64]

_pool = ArrayPool()


class Iterator(ABC):
    """Batches of ``n`` samples, without end through ``next``, by position through ``[i]``.

    Args:
        n: Samples.
        batch_size: Samples of a batch; the last one of an epoch may be shorter.
        shuffle: Whether each epoch has an order of its own.
        seed: See the head of this file; None draws from NumPy's global generator.
    """

    white_list_formats = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

    workers = 1  # these three are what Keras' fit asks of a data set
    use_multiprocessing = False
    max_queue_size = 10

    image_data_generator: ImageDataGenerator
    data_format: str
    dtype: Any
    _augments: bool
    _saving: Saving

    def __init__(self, n: int, batch_size: int, shuffle: bool, seed: int | None) -> None:
        check_whole_numbers(batch_size=batch_size, seed=seed)
        self.n = n
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.batch_index = 0
        self.total_batches_seen = 0
        self.lock = threading.Lock()
        self.index_array: Indices | None = None
        self.index_generator = _flow_index(weakref.ref(self))
        self._keras_code = self.image_data_generator.like == "keras-3"
        shared = seed is None or self._keras_code
        self._rng = global_draws() if shared else np.random.RandomState(seed)

    @property  # type: ignore[misc]  # see nunbit.keras._bridge
    def __class__(self) -> type:
        return joined_class(type(self))

    def __len__(self) -> int:
        return -(-self.n // self.batch_size) if self.batch_size > 0 else 0

    @property
    def num_batches(self) -> int:
        """Batches of an epoch, under the name that Keras 3 uses."""
        return len(self)

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        with self.lock:
            indices = next(self.index_generator)
            parameters = self._draw(len(indices))
            rng = self._rng
        return self._make_batch(indices, parameters, rng)

    def __getitem__(self, idx: int) -> Any:
        count = len(self)
        if idx >= count or (idx < -count and not self._keras_code):
            lowest = -count if idx < 0 else 0
            raise OptionError(f"asked for batch {idx}, expected {lowest} to {count - 1}.")
        if idx < 0 and not self._keras_code:
            idx += count
        with self.lock:
            self._reseed()
            self.total_batches_seen += 1
            if self.index_array is None:
                self._set_index_array()
            indices = self._order[self.batch_size * idx : self.batch_size * (idx + 1)]
            parameters = self._draw(len(indices))
            rng = self._rng
        return self._make_batch(indices, parameters, rng)

    def reset(self) -> None:
        """Begin with the first batch again."""
        self.batch_index = 0

    def on_epoch_begin(self) -> None:  # noqa: B027  # nothing to do, and nothing to implement
        """Do nothing; Keras calls it."""

    def on_epoch_end(self) -> None:
        """Put the samples in a new order where they are shuffled; Keras calls it."""
        self._set_index_array()

    @property
    def _order(self) -> Indices:
        return self.index_array if self.index_array is not None else np.arange(self.n)

    def _next_indices(self) -> Indices:
        self._reseed()
        if self.batch_index == 0:
            self._set_index_array()
        start = (self.batch_index * self.batch_size) % max(self.n, 1)
        stop = start + self.batch_size
        self.batch_index = self.batch_index + 1 if stop < self.n else 0
        self.total_batches_seen += 1
        return self._order[start:stop]

    def _reseed(self) -> None:
        if self.seed is None:
            return
        if self._keras_code:
            self._rng.seed(self.seed + self.total_batches_seen)
        else:
            self._rng = np.random.RandomState(self.seed + self.total_batches_seen)

    def _set_index_array(self) -> None:
        self.index_array = self._rng.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _draw(self, count: int) -> list[Parameters]:
        """Draw what is random in ``count`` pictures; called under the lock."""
        height, width = self._picture_size()
        ranges = self.image_data_generator.ranges
        return [ranges.draw(height=height, width=width, rng=self._rng) for _ in range(count)]

    @abstractmethod
    def _picture_size(self) -> tuple[int, int]:
        """Return the height and width of the pictures."""

    @abstractmethod
    def _make_batch(
        self, indices: Indices, parameters: Sequence[Parameters], rng: np.random.RandomState
    ) -> Any:
        """Make a batch of the samples at ``indices``."""

    def _make_pictures(
        self,
        pictures: Callable[[int], NDArray[Any]],
        parameters: Sequence[Parameters],
        *,
        shape: tuple[int, ...],
        top: float | None,
    ) -> NDArray[Any]:
        """Move and normalise pictures given by their position in the batch."""
        batch = _pool.empty((len(parameters), *shape), self.dtype)
        chosen = parameters if self._augments else [{} for _ in parameters]
        fill_batch(
            batch,
            pictures,
            chosen,
            transform=self.image_data_generator.transform,
            normalisation=self.image_data_generator.normalisation,
            top=top,
        )
        return batch

    def _save(self, batch: NDArray[Any], indices: Indices, rng: np.random.RandomState) -> None:
        last = np.moveaxis(batch, 1, -1) if self.data_format == "channels_first" else batch
        self._saving.write(last, indices.tolist(), rng)


def _flow_index(ref: weakref.ref[Iterator]) -> Batches[Indices]:
    """Yield the samples of each batch, without keeping the iterator and its pictures alive."""
    while (batches := ref()) is not None:
        indices = batches._next_indices()
        del batches
        yield indices
