"""Training pictures that are read anew each epoch, for sets that fit nowhere decoded.

Shards are read from start to end through a bounded shuffle buffer, so a slow disk or a
URL is read in order; other sources are read picture by picture in a plain random
order. Either way the order is a function of (seed, epoch) and any step of it can be
reached at once. Decoding runs a few batches ahead in threads.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from nunbit.data.pixels import Unreadable, processors
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sources.shard_stream import EpochOrder, ShardStream
from nunbit.data.sources.shards import ShardStore
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, PictureError
from nunbit.randomness import make_rng

__all__ = ["StreamedPixels"]

AHEAD, AHEAD_BYTES = 256, 64 << 20
"""Decoded pictures that wait at most to be asked for: their number, and their bytes."""


class StreamedPixels:
    """The pixels of a table's rows, decoded whenever they are asked for.

    It stands where :func:`nunbit.data.pixels.decode_table` gives an array.

    Args:
        table: The pictures; rows are counted in it.
        preprocessing: How a file becomes the network's input.
        buffer_size: Encoded pictures that the shuffle buffer of shards holds.
    """

    def __init__(
        self, table: PictureTable, preprocessing: Preprocessing, *, buffer_size: int
    ) -> None:
        self.table = table
        self.preprocessing = preprocessing
        self.unreadable: dict[int, Unreadable] = {}
        """What could not be read so far, by row."""
        self._stream = None
        if isinstance(table.store, ShardStore):
            self._stream = ShardStream(table, buffer_size=buffer_size)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.table)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, S, S, C) as the decoded array would have it."""
        size = self.preprocessing.image_size
        return len(self.table), size, size, self.preprocessing.channels

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures by row: uint8 (B, S, S, C).

        Raises:
            DataError: One of them cannot be read.
        """
        found = self.each(rows)
        lost = [row for row, pixels in zip(rows, found, strict=True) if pixels is None]
        if lost:
            first = self.unreadable[int(lost[0])]
            raise DataError(
                f"{first.name} cannot be read: {first.reason}. Leave it out: `nunbit check SOURCE "
                "--exclude-file LIST` writes the list that `--exclude LIST` takes."
            )
        return np.stack([pixels for pixels in found if pixels is not None])

    def each(self, rows: NDArray[np.int64]) -> list[NDArray[np.uint8] | None]:
        """Return pictures by row, None for those that cannot be read."""
        with ThreadPoolExecutor(processors()) as pool:
            return list(pool.map(self._decode_row, np.atleast_1d(rows).tolist()))

    def readable(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return those pictures that can be read: uint8 (B', S, S, C)."""
        found = [pixels for pixels in self.each(rows) if pixels is not None]
        return np.stack(found) if found else np.empty((0, *self.shape[1:]), np.uint8)

    def counts(self, seed: int, epoch: int, ranks: int) -> list[int] | None:
        """Return how many pictures of whole shards each rank reads; None without shards."""
        return None if self._stream is None else self._stream.counts(seed, epoch, ranks)

    def order(self, seed: int, epoch: int, *, share: tuple[int, int] = (0, 1)) -> EpochOrder:
        """Return the order of an epoch; nothing is read.

        Args:
            share: Of shards only: a rank and how many there are; the order of its own.
        """
        if self._stream is not None:
            return self._stream.order(seed, epoch, share=share)
        rows = make_rng(seed, "order", epoch).permutation(len(self.table))
        return EpochOrder(rows, rows)

    def read(self, order: EpochOrder, start: int = 0) -> Generator[NDArray[np.uint8] | None]:
        """Yield the pictures of an order from its ``start``-th on; None for unreadable ones.

        Raises:
            DataError: A shard has vanished or cannot be read on.
        """
        rows = order.rows[start:].tolist()
        ahead = max(8, min(AHEAD, AHEAD_BYTES // math.prod(self.shape[1:])))
        waiting: deque[Future[NDArray[np.uint8] | None]] = deque()
        with ThreadPoolExecutor(processors()) as pool:
            if self._stream is not None:
                files = self._stream.read(order, start)
                for row, data in zip(rows, files, strict=True):
                    waiting.append(pool.submit(self._decode, row, data))
                    if len(waiting) > ahead:
                        yield waiting.popleft().result()
            else:
                for row in rows:
                    waiting.append(pool.submit(self._decode_row, row))
                    if len(waiting) > ahead:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _decode_row(self, row: int) -> NDArray[np.uint8] | None:
        try:
            return self._decode(row, self.table.store.read(int(self.table.ids[row])))
        except PictureError as error:
            self._note(row, error)
            return None

    def _decode(self, row: int, picture: bytes | NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        try:
            return self.preprocessing.prepare(picture)
        except PictureError as error:
            self._note(row, error)
            return None

    def _note(self, row: int, error: PictureError) -> None:
        name = self.table.store.name(int(self.table.ids[row]))
        self.unreadable[row] = Unreadable(name, str(error))
