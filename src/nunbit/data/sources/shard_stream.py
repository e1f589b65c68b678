"""Shards read as a stream, for sets that are not decoded into one array.

The order of an epoch is worked out on numbers alone before anything is read: the
shards in a random order, each from its start to its end, through a buffer out of
which pictures are drawn at random. So it is a function of (seed, epoch), any step
of it can be reached at once, and memory holds no more than the buffer.

Source: the shuffle buffer of ``tf.data.Dataset.shuffle`` and WebDataset.
Departs: both draw while they read, so a run that is resumed sees another order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nunbit.data.sources.shard_files import FileTape, is_url, local_size, open_shard, reason
from nunbit.data.sources.shards import ShardStore
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, OptionError
from nunbit.randomness import make_rng

__all__ = ["BUFFER_PICTURES", "EpochOrder", "ShardStream"]

BUFFER_PICTURES = 2_000
"""Encoded pictures in the buffer: 200 MB where a file has 100 kB."""
_Item = tuple[int, bytes]
"""Place in the order of arrival, and the encoded picture."""
ATTEMPTS = 3
"""How often a shard is opened again where its file system fails."""


@dataclass(frozen=True)
class EpochOrder:
    """The pictures of one epoch, in two orders.

    Args:
        rows: int64 (N,) rows of the table in the order in which they are given.
        arrivals: int64 (N,) the same rows in the order in which they are read.
    """

    rows: NDArray[np.int64]
    arrivals: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.rows)

    def only(self, rows: NDArray[np.int64]) -> EpochOrder:
        """Return the order of some of its rows, given as they follow each other in it."""
        return EpochOrder(rows, self.arrivals[np.isin(self.arrivals, rows)])


class ShardStream:
    """The training pictures of a table of shards, an epoch at a time.

    Args:
        table: From :func:`nunbit.data.sources.shards.open_shards`; any rows of it.
        buffer_size: Encoded pictures held at most, at least 1; the larger, the better
            mixed, up to all (then the order is a plain shuffle of everything).
    Raises:
        OptionError: ``buffer_size`` is below 1.
        DataError: The table is not one of shards.
    """

    def __init__(self, table: PictureTable, *, buffer_size: int = BUFFER_PICTURES) -> None:
        if buffer_size < 1:
            raise OptionError(f"`buffer_size` is {buffer_size}, expected >= 1 (pictures).")
        if not isinstance(table.store, ShardStore):
            raise DataError(
                f"`{table.source}` is not read from shards. Expected what `open_shards` returns."
            )
        self.store = table.store
        self.buffer_size = buffer_size
        self._ids = table.ids
        rows = np.flatnonzero(table.split == "train")
        numbers = self.store.shard_of[table.ids[rows]]
        rows = rows[np.lexsort((self.store.offsets[table.ids[rows]], numbers))]
        numbers = self.store.shard_of[table.ids[rows]]
        cuts = np.flatnonzero(np.diff(numbers)) + 1
        self._groups: list[NDArray[np.int64]] = np.split(rows, cuts) if len(rows) else []

    def __len__(self) -> int:
        """Return the number of pictures of an epoch."""
        return sum(map(len, self._groups))

    def deal(self, seed: int, epoch: int, ranks: int) -> list[list[int]]:
        """Return which shards each rank reads in an epoch, each shard one rank.

        In random order each goes to the rank that has the fewest pictures so far, so
        two ranks differ by the pictures of one shard at most.
        """
        if ranks == 1:
            return [list(range(len(self._groups)))]
        dealt: list[list[int]] = [[] for _ in range(ranks)]
        filled = [0] * ranks
        for shard in make_rng(seed, "deal", epoch, ranks).permutation(len(self._groups)).tolist():
            rank = filled.index(min(filled))
            dealt[rank].append(shard)
            filled[rank] += len(self._groups[shard])
        return dealt

    def counts(self, seed: int, epoch: int, ranks: int) -> list[int]:
        """Return how many pictures each rank reads in an epoch."""
        dealt = self.deal(seed, epoch, ranks)
        return [sum(len(self._groups[shard]) for shard in shards) for shards in dealt]

    def order(self, seed: int, epoch: int, *, share: tuple[int, int] = (0, 1)) -> EpochOrder:
        """Return the order of an epoch; nothing is read.

        Args:
            share: A rank and how many there are: the order of the shards dealt to it.
        """
        rank, ranks = share
        groups = [self._groups[shard] for shard in self.deal(seed, epoch, ranks)[rank]]
        rng = make_rng(seed, "shards", epoch, rank, ranks)
        sequence = rng.permutation(len(groups))
        arrivals = np.concatenate([np.empty(0, np.int64), *(groups[k] for k in sequence)])
        size = min(self.buffer_size, len(arrivals))
        buffer = arrivals[:size].tolist()
        drawn: list[int] = []
        draws = rng.integers(0, max(size, 1), len(arrivals) - size).tolist()
        for row, k in zip(arrivals[size:].tolist(), draws, strict=True):
            drawn.append(buffer[k])
            buffer[k] = row
        rest = np.array(buffer, dtype=np.int64)
        rng.shuffle(rest)
        return EpochOrder(np.concatenate([np.array(drawn, dtype=np.int64), rest]), arrivals)

    def read(self, order: EpochOrder, start: int = 0) -> Iterator[bytes]:
        """Yield the encoded pictures of an order, from its ``start``-th on.

        Each shard is read forwards; what came before ``start`` is passed over. At most
        ``buffer_size`` pictures are held, and one is read ahead where shards are far away.

        Args:
            order: From :meth:`order` of this stream.

        Raises:
            DataError: A shard has vanished, changed or cannot be read.
        """
        count = len(order)
        arrival_of_row = np.empty(int(order.arrivals.max(initial=-1)) + 1, dtype=np.int64)
        arrival_of_row[order.arrivals] = np.arange(count)
        arrival_of = arrival_of_row[order.rows]
        is_wanted = np.ones(count, dtype=bool)
        is_wanted[arrival_of[:start]] = False
        arriving = self._arrive(order.arrivals, is_wanted)
        if any(is_url(shard.where) for shard in self.store.shards):
            arriving = _one_ahead(arriving)  # files on disk are read ahead by the system
        held: dict[int, bytes] = {}
        with contextlib.closing(arriving):
            for wanted in arrival_of[start:].tolist():
                while wanted not in held:
                    place, data = next(arriving)
                    held[place] = data
                yield held.pop(wanted)

    def _arrive(
        self, arrivals: NDArray[np.int64], is_wanted: NDArray[np.bool_]
    ) -> Generator[_Item]:
        """Yield the wanted pictures with their places in ``arrivals``, shard by shard."""
        ids = self._ids[arrivals]
        numbers = self.store.shard_of[ids]
        places = np.flatnonzero(is_wanted)
        for part in np.split(places, np.flatnonzero(np.diff(numbers[places])) + 1):
            if len(part):
                yield from self._of_shard(int(numbers[part[0]]), part, ids[part])

    def _of_shard(
        self, number: int, places: NDArray[np.int64], ids: NDArray[np.int64]
    ) -> Iterator[_Item]:
        shard = self.store.shards[number]
        done = failures = 0
        while done < len(ids):
            try:
                self.store.check_unchanged(number)
                with open_shard(shard.where) as file:
                    tape = FileTape(file, size_bytes=local_size(shard.where))
                    while done < len(ids):
                        data = _next_part(tape, *self._part(int(ids[done])))
                        done, failures = done + 1, 0
                        yield int(places[done - 1]), data
            except Exception as error:  # each file system has errors of its own
                failures += 1
                if failures >= ATTEMPTS or isinstance(error, ValueError):
                    raise DataError(
                        f"shard `{shard.name}` cannot be read on: {reason(error)}. Nothing of the "
                        "run is lost: mend the shard and go on with it."
                    ) from error

    def _part(self, position: int) -> tuple[int, int]:
        return int(self.store.offsets[position]), int(self.store.sizes[position])


def _next_part(tape: FileTape, offset: int, size_bytes: int) -> bytes:
    tape.skip(offset - tape.offset)
    data = tape.read(size_bytes)
    if len(data) < size_bytes:
        raise EOFError("it has become shorter")
    return data


def _one_ahead(items: Generator[_Item]) -> Generator[_Item]:
    """Yield what ``items`` yields, while a thread gets the next one."""
    with contextlib.closing(items), ThreadPoolExecutor(1) as reader:  # the thread ends first
        ahead = reader.submit(next, items, None)
        while (found := ahead.result()) is not None:
            ahead = reader.submit(next, items, None)
            yield found
