"""Shards as a stream: order by numbers alone, bounded memory, reading forwards."""

from __future__ import annotations

import io
import itertools
import tarfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.sources import shard_stream
from nunbit.data.sources.shard_files import FileTape
from nunbit.data.sources.shard_stream import EpochOrder, ShardStream
from nunbit.data.sources.shards import open_shards
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, OptionError

COUNTS = (30, 1, 45, 24)
"""Pictures of the training shards."""


def tar(tag: str, count: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for k in range(count):
            for suffix, data in (
                ("jpg", f"{tag}/{k} ".encode() * (1 + k % 200)),
                ("cls", str(k % 2).encode()),
            ):
                info = tarfile.TarInfo(f"{k:04d}.{suffix}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream")
    for number, count in enumerate(COUNTS):
        (folder / f"train-{number}.tar").write_bytes(tar(f"train-{number}", count))
    (folder / "test-0.tar").write_bytes(tar("test-0", 9))
    return folder


@pytest.fixture(scope="module")
def table(root: Path) -> PictureTable:
    return open_shards(str(root))


def by_reading_one_by_one(table: PictureTable, order: EpochOrder) -> list[bytes]:
    return [table.store.read(int(table.ids[row])) for row in order.rows]


@pytest.mark.parametrize("buffer_size", [1, 2, 10, 99, 100, 5_000])
def test_an_epoch_has_each_training_picture_once(table: PictureTable, buffer_size: int) -> None:
    stream = ShardStream(table, buffer_size=buffer_size)
    order = stream.order(seed=0, epoch=0)
    assert len(order) == len(stream) == sum(COUNTS)
    assert sorted(order.rows.tolist()) == np.flatnonzero(table.split == "train").tolist()
    assert list(stream.read(order)) == by_reading_one_by_one(table, order)


def test_the_order_is_a_function_of_seed_and_epoch(table: PictureTable) -> None:
    stream = ShardStream(table, buffer_size=20)
    same = ShardStream(table, buffer_size=20).order(seed=3, epoch=5)
    assert np.array_equal(stream.order(seed=3, epoch=5).rows, same.rows)
    others = [stream.order(seed=s, epoch=e).rows.tolist() for s, e in ((3, 6), (4, 5), (5, 3))]
    assert len({tuple(rows) for rows in [same.rows.tolist(), *others]}) == 4


def test_a_large_buffer_shuffles_everything_and_a_buffer_of_one_nothing(
    table: PictureTable,
) -> None:
    order = ShardStream(table, buffer_size=1).order(seed=0, epoch=0)
    assert np.array_equal(order.rows, order.arrivals)
    every = [ShardStream(table, buffer_size=1_000).order(seed=0, epoch=e).rows for e in range(400)]
    first = Counter(int(rows[0]) for rows in every)
    assert len(first) > 90, "any picture may come first"
    assert max(first.values()) < 20


def test_mixing_reaches_as_far_as_the_buffer(table: PictureTable) -> None:
    """A picture is given at the earliest ``buffer_size`` places before it would be read."""
    for size in (2, 10, 50):
        order = ShardStream(table, buffer_size=size).order(seed=1, epoch=1)
        place = {row: k for k, row in enumerate(order.arrivals.tolist())}
        early = max(place[row] - k for k, row in enumerate(order.rows.tolist()))
        assert early <= size - 1
        assert early >= size // 2


@pytest.mark.parametrize("start", [0, 1, 37, 99, 100])
@pytest.mark.parametrize("buffer_size", [1, 8, 64])
def test_starting_in_the_middle_gives_the_rest(
    table: PictureTable, buffer_size: int, start: int
) -> None:
    stream = ShardStream(table, buffer_size=buffer_size)
    order = stream.order(seed=2, epoch=1)
    assert list(stream.read(order, start)) == by_reading_one_by_one(table, order)[start:]


class _Spy(FileTape):
    """Notes what is read from each file, in which order."""

    reads: list[tuple[str, int, int]]

    def __init__(self, file: object, *, size_bytes: int | None = None) -> None:
        super().__init__(file, size_bytes=size_bytes)
        self.name = str(getattr(file, "name", ""))
        self.in_gap = False

    def read(self, size: int) -> bytes:
        if not self.in_gap:
            self.reads.append((self.name, self.offset, size))
        return super().read(size)

    def skip(self, size: int) -> None:
        self.in_gap = True
        super().skip(size)
        self.in_gap = False


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    noted: list[tuple[str, int, int]] = []
    monkeypatch.setattr(shard_stream, "FileTape", type("Spy", (_Spy,), {"reads": noted}))
    return noted


@pytest.mark.parametrize("start", [0, 60])
def test_each_shard_is_opened_once_and_read_forwards(
    table: PictureTable, reads: list[tuple[str, int, int]], start: int
) -> None:
    stream = ShardStream(table, buffer_size=16)
    order = stream.order(seed=0, epoch=3)
    list(stream.read(order, start))
    files = [name for name, _, _ in reads]
    blocks = [name for k, name in enumerate(files) if k == 0 or files[k - 1] != name]
    assert len(blocks) == len(set(blocks)), "one after another, never back to an earlier one"
    for name in blocks:
        offsets = [offset for each, offset, _ in reads if each == name]
        assert offsets == sorted(offsets)
        assert len(set(offsets)) == len(offsets)
    assert len(reads) == sum(COUNTS) - start, "what was given before the start is not read again"


@pytest.fixture(scope="module")
def far(root: Path) -> PictureTable:
    """The same shards behind URLs."""
    files = fsspec.filesystem("memory")
    for path in sorted(root.glob("train-*.tar")):
        files.pipe(f"/stream-test/{path.name}", path.read_bytes())
    return open_shards("memory://stream-test/train-{0..3}.tar")


@pytest.mark.parametrize("buffer_size", [1, 5, 40])
@pytest.mark.parametrize("ahead", [0, 1])
def test_no_more_is_held_than_the_buffer_and_one(
    table: PictureTable,
    far: PictureTable,
    reads: list[tuple[str, int, int]],
    buffer_size: int,
    ahead: int,
) -> None:
    stream = ShardStream(far if ahead else table, buffer_size=buffer_size)
    order = stream.order(seed=7, epoch=0)
    place = {row: k for k, row in enumerate(order.arrivals.tolist())}
    needed = np.maximum.accumulate([place[row] for row in order.rows.tolist()]) + 1
    most = 0
    for done, _ in enumerate(stream.read(order), start=1):
        expected = min(int(needed[done - 1]) + ahead, len(order))
        _wait_for(reads, expected)
        assert len(reads) == expected, "nothing is read before it is needed, but for one"
        most = max(most, len(reads) - (done - 1))
    assert most <= buffer_size + ahead


def _wait_for(reads: list[tuple[str, int, int]], expected: int) -> None:
    """Let the thread that reads ahead come to its end."""
    tick = threading.Event()
    for _ in range(5_000):
        if len(reads) >= expected:
            return
        tick.wait(0.001)


@pytest.mark.parametrize("which", ["table", "far"])
def test_leaving_in_the_middle_leaves_nothing_open(
    request: pytest.FixtureRequest, recwarn: pytest.WarningsRecorder, which: str
) -> None:
    stream = ShardStream(request.getfixturevalue(which), buffer_size=4)
    before = threading.active_count()
    given = stream.read(stream.order(seed=0, epoch=0))
    next(given)
    given.close()
    assert threading.active_count() == before
    assert not recwarn.list


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 6])
def test_shards_are_dealt_out_to_ranks(table: PictureTable, ranks: int) -> None:
    stream = ShardStream(table, buffer_size=10)
    seen = []
    for epoch in range(3):
        orders = [stream.order(0, epoch, share=(rank, ranks)) for rank in range(ranks)]
        assert [len(order) for order in orders] == stream.counts(0, epoch, ranks)
        together = [row for order in orders for row in order.rows.tolist()]
        assert sorted(together) == np.flatnonzero(table.split == "train").tolist()
        assert len(together) == len(stream)
        shards = [set(table.store.shard_of[table.ids[each.rows]].tolist()) for each in orders]
        assert sum(map(len, shards)) == len(COUNTS), "no shard is read by two"
        seen.append(shards)
        counts = stream.counts(0, epoch, ranks)
        assert max(counts) - min(counts) <= max(COUNTS)
    assert ranks in (1, 6) or seen[0] != seen[1] or seen[1] != seen[2], "dealt anew"


def test_some_rows_of_an_order_are_read_as_they_follow(table: PictureTable) -> None:
    stream = ShardStream(table, buffer_size=10)
    order = stream.order(seed=0, epoch=1)
    part = order.only(order.rows[3::2])
    assert list(stream.read(part)) == by_reading_one_by_one(table, part)
    assert list(stream.read(part, 5)) == by_reading_one_by_one(table, part)[5:]


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.integers(1, 70),
    st.integers(0, 3),
    st.integers(0, 5),
)
def test_orders_of_any_shape(counts: list[int], buffer_size: int, seed: int, epoch: int) -> None:
    stream = ShardStream.__new__(ShardStream)  # numbers alone: no files are needed
    starts = np.cumsum([0, *counts])
    stream._groups = [np.arange(a, b) for a, b in itertools.pairwise(starts)]
    stream.buffer_size = buffer_size
    order = stream.order(seed, epoch)
    assert sorted(order.rows.tolist()) == sorted(order.arrivals.tolist()) == list(range(starts[-1]))
    place = np.empty(starts[-1], dtype=int)
    place[order.arrivals] = np.arange(starts[-1])
    assert (place[order.rows] - np.arange(starts[-1])).max() <= buffer_size - 1


def test_rows_of_a_part_of_the_table(table: PictureTable) -> None:
    """Validation rows that were cut from training are not streamed."""
    split = table.split.astype("<U10")
    train = np.flatnonzero(split == "train")
    split[train[::3]] = "validation"
    part = PictureTable(
        store=table.store,
        ids=table.ids[::-1],
        labels=table.labels[::-1],
        classes=table.classes,
        split=split[::-1],
        source="part",
    )
    stream = ShardStream(part, buffer_size=8)
    order = stream.order(seed=0, epoch=0)
    assert sorted(order.rows.tolist()) == np.flatnonzero(part.split == "train").tolist()
    assert list(stream.read(order)) == by_reading_one_by_one(part, order)


def test_urls_are_streamed_too(far: PictureTable) -> None:
    stream = ShardStream(far, buffer_size=12)
    order = stream.order(seed=0, epoch=0)
    assert list(stream.read(order, 20)) == by_reading_one_by_one(far, order)[20:]


def test_a_connection_that_breaks_is_opened_again(
    table: PictureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = shard_stream._next_part, Counter[str]()

    def fails_at_times(tape: FileTape, offset: int, size_bytes: int) -> bytes:
        calls["all"] += 1
        if calls["all"] % 10 in (3, 4):
            raise ConnectionResetError("lost")
        return real(tape, offset, size_bytes)

    monkeypatch.setattr(shard_stream, "_next_part", fails_at_times)
    stream = ShardStream(table, buffer_size=5)
    order = stream.order(seed=0, epoch=0)
    assert list(stream.read(order)) == by_reading_one_by_one(table, order)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "has changed since it was scanned"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:900]),
            "has changed since it was scanned",
        ),
    ],
    ids=["gone", "shorter"],
)
def test_a_shard_that_is_lost_while_reading(
    tmp_path: Path, harm: Callable[[Path], object], message: str
) -> None:
    for number in range(2):
        (tmp_path / f"{number}.tar").write_bytes(tar(str(number), 9))
    table = open_shards(str(tmp_path))
    stream = ShardStream(table, buffer_size=2)
    order = stream.order(seed=0, epoch=0)
    last = table.store.shards[int(table.store.shard_of[order.arrivals[-1]])]
    harm(Path(last.where))
    given = []
    with pytest.raises(
        DataError, match=rf"shard `{last.name}` cannot be read on: its shard {message}"
    ):
        given.extend(stream.read(order))


def test_a_far_shard_that_became_shorter() -> None:
    files = fsspec.filesystem("memory")
    files.pipe("/short-test/0.tar", tar("0", 9))
    table = open_shards("memory://short-test/0.tar")
    files.pipe("/short-test/0.tar", tar("0", 9)[:4_000])
    stream = ShardStream(table, buffer_size=2)
    with pytest.raises(
        DataError, match=r"`0.tar` cannot be read on: (it has become shorter|the end)"
    ):
        list(stream.read(stream.order(seed=0, epoch=0)))


def test_tables_and_options_that_do_not_fit(table: PictureTable) -> None:
    with pytest.raises(OptionError, match=r"`buffer_size` is 0, expected >= 1 \(pictures\)"):
        ShardStream(table, buffer_size=0)
    from nunbit.data.named import open_named

    with pytest.raises(DataError, match="`digits` is not read from shards"):
        ShardStream(open_named("digits"))
