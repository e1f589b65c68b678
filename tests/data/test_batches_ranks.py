"""Batches of many ranks: together each picture once, in equally many steps, from own shards."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import encode_png, paint
from tests.distributed.start import together

from nunbit.data.batches import Batch, Batches
from nunbit.data.options import DataOptions
from nunbit.data.parting import part_sizes
from nunbit.data.pictures import Pictures, PictureSet, load
from nunbit.data.sources.shards import ShardStore
from nunbit.data.streaming import StreamedPixels
from nunbit.errors import OptionError

WriteFolder = Callable[..., Path]
OPTIONS = DataOptions(image_size=8, validation=0.0, stream=True, shuffle_buffer=6)
COUNTS = (9, 12, 8, 11, 10, 6)
"""Pictures of the shards."""


def write_shards(root: Path, counts: tuple[int, ...], *, bad: tuple[str, ...] = ()) -> Path:
    """Write tars of pictures; those named ``shard/number`` cannot be read."""
    root.mkdir()
    for number, count in enumerate(counts):
        with tarfile.open(root / f"train-{number}.tar", "w") as archive:
            for k in range(count):
                data = encode_png(paint(f"{number}/{k}"))
                if f"{number}/{k}" in bad:
                    data = data[: len(data) // 2]
                for suffix, content in (("png", data), ("cls", b"ab"[k % 2 : k % 2 + 1])):
                    info = tarfile.TarInfo(f"{k:03d}.{suffix}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return root


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", COUNTS)


def batches(pictures: Pictures | PictureSet, *, size: int = 8, **how: Any) -> Batches:
    part = pictures.train if isinstance(pictures, Pictures) else pictures
    return Batches(part, torch.from_numpy(part.labels), batch_size=size, seed=0, threads=2, **how)


def of_ranks(pictures: Pictures, ranks: int, epoch: int, **how: Any) -> list[list[Batch]]:
    return [
        list(batches(pictures, share=(rank, ranks), **how).of_epoch(epoch)) for rank in range(ranks)
    ]


def ids(found: list[Batch]) -> list[int]:
    return [int(each) for batch in found if batch.ids is not None for each in batch.ids]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(1, 20))
def test_parts_of_steps(counts: list[int], steps: int) -> None:
    sizes = part_sizes(counts, steps)
    assert sizes.shape == (len(counts), steps)
    assert sizes.sum(axis=1).tolist() == counts
    assert (np.ptp(sizes, axis=1) <= 1).all(), "of a rank, nearly equal"
    assert np.ptp(sizes.sum(axis=0)) <= 1, "of all together, too: no batch is larger than asked for"
    assert sizes[0].tolist() == [len(p) for p in np.array_split(np.arange(counts[0]), steps)]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_rank_reads_its_own_shards(shards: Path, ranks: int) -> None:
    pictures = load(shards, options=OPTIONS)
    store = pictures.table.store
    assert isinstance(store, ShardStore)
    dealt = []
    for epoch in range(4):
        found = of_ranks(pictures, ranks, epoch)
        assert sorted(itertools.chain(*map(ids, found))) == sorted(pictures.train.ids.tolist())
        assert {len(each) for each in found} == {7}, "56 pictures, at most 8 a step"
        for step in zip(*found, strict=True):
            whole = sum(map(len, step))
            assert whole == 8
            assert {batch.whole for batch in step} == {whole}
            assert {batch.least for batch in step} == {min(map(len, step))}
        own = [{int(store.shard_of[each]) for each in ids(mine)} for mine in found]
        assert sum(map(len, own)) == len(COUNTS), "no shard is read by two"
        dealt.append(own)
    assert ranks == 1 or any(own != dealt[0] for own in dealt), "dealt anew for each epoch"


def test_one_rank_has_the_order_of_the_stream(shards: Path) -> None:
    pictures = load(shards, options=OPTIONS)
    made = batches(pictures)
    (found,) = of_ranks(pictures, 1, 2)
    assert ids(found) == pictures.train.ids[made.order(2)].tolist()


def test_the_shards_of_other_ranks_are_not_opened(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nunbit.data.sources import shard_stream

    opened: list[str] = []
    real = shard_stream.open_shard

    def note(where: str) -> Any:
        opened.append(Path(where).name)
        return real(where)

    pictures = load(shards, options=OPTIONS)
    monkeypatch.setattr(shard_stream, "open_shard", note)
    seen = []
    for rank in range(3):
        list(batches(pictures, share=(rank, 3)).of_epoch(0))
        seen.append(opened.copy())
        opened.clear()
    assert sorted(itertools.chain(*seen)) == [f"train-{k}.tar" for k in range(6)]
    assert all(seen)


@pytest.mark.parametrize("counts", [(40, 3), (20, 20), (43,)])
def test_too_few_or_too_uneven_shards_are_dealt_by_pictures(
    tmp_path: Path, counts: tuple[int, ...]
) -> None:
    """With 3 ranks; the batches are those that one process has."""
    pictures = load(write_shards(tmp_path / "few", counts), options=OPTIONS)
    (alone,) = of_ranks(pictures, 1, 1)
    together_ = of_ranks(pictures, 3, 1)
    for k, whole in enumerate(alone):
        parts = [mine[k] for mine in together_]
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
        assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)
        assert {part.whole for part in parts} == {len(whole)}


@pytest.mark.parametrize("ranks", [2, 3])
def test_files_are_dealt_by_pictures(
    write_folder: WriteFolder, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank decodes its own alone, and the batches are those of one process."""
    pictures = load(write_folder({"a": 15, "b": 16}), options=OPTIONS)
    (alone,) = of_ranks(pictures, 1, 3)
    decoded: list[int] = []
    real = StreamedPixels._decode_row

    def note(self: StreamedPixels, row: int) -> Any:
        decoded.append(row)
        return real(self, row)

    monkeypatch.setattr(StreamedPixels, "_decode_row", note)
    found = of_ranks(pictures, ranks, 3)
    assert sorted(decoded) == list(range(31))
    for k, whole in enumerate(alone):
        parts = [mine[k] for mine in found]
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)


@pytest.mark.parametrize("kind", ["shards", "folder"])
@pytest.mark.parametrize("start", [1, 4, 6])
def test_an_epoch_is_entered_at_any_step(
    request: pytest.FixtureRequest, write_folder: WriteFolder, kind: str, start: int
) -> None:
    source = (
        request.getfixturevalue("shards") if kind == "shards" else write_folder({"a": 28, "b": 28})
    )
    pictures = load(source, options=OPTIONS)
    for rank in range(3):
        whole = list(batches(pictures, share=(rank, 3)).of_epoch(2))
        tail = list(batches(pictures, share=(rank, 3)).of_epoch(2, start=start))
        assert len(tail) == len(whole) - start
        for one, two in zip(whole[start:], tail, strict=True):
            assert torch.equal(one.images, two.images)
            assert (one.whole, one.least) == (two.whole, two.least)


def test_true_numbers_where_pictures_cannot_be_read(tmp_path: Path) -> None:
    """Another rank says that it has two, then none: then nobody has anything to learn."""
    root = write_shards(tmp_path / "bad", COUNTS, bad=("0/1", "2/3", "5/0"))
    pictures = load(root, options=OPTIONS)
    told: list[Any] = []

    def gather(mine: Any) -> list[Any]:
        told.append(mine)
        if isinstance(mine, dict):
            return [mine, {99: "of the other"}]
        return [mine, 0 if len(told) == 3 else 2]

    made = batches(pictures, share=(0, 2), gather=gather)
    found = list(made.of_epoch(0))
    lengths = [len(batch) for batch in found]
    assert told == [*lengths, told[-1]]
    expected = [0 if k == 2 or n == 0 else n + 2 for k, n in enumerate(lengths)]
    assert [batch.whole for batch in found] == expected
    assert [batch.least for batch in found] == [
        0 if k == 2 else min(n, 2) for k, n in enumerate(lengths)
    ]
    assert isinstance(pictures.train.pixels, StreamedPixels)
    assert pictures.train.pixels.unreadable[99] == "of the other"


def test_one_rank_needs_nobody(shards: Path) -> None:
    def gather(mine: Any) -> list[Any]:
        raise AssertionError("not called")

    assert len(list(batches(load(shards, options=OPTIONS), gather=gather).of_epoch(0))) == 7


def test_parts_of_a_batch_are_as_many_on_every_rank() -> None:
    images, targets = torch.zeros(5, 1, 2, 2), torch.arange(5)
    batch = Batch(images, targets, whole=9, least=2)
    assert [len(part) for part in batch.parts(4)] == [3, 2]
    assert [(part.whole, part.least) for part in batch.parts(4)] == [(9, 2)] * 2
    assert len(Batch(images, targets).parts(4)) == 4


def test_smallest_part_of_a_rank(shards: Path, tmp_path: Path) -> None:
    pictures = load(shards, options=OPTIONS)
    for ranks in (2, 3):
        made = batches(pictures, share=(0, ranks))
        found = [len(b) for e in range(5) for mine in of_ranks(pictures, ranks, e) for b in mine]
        assert 1 <= made.smallest <= min(found)


@pytest.mark.parametrize("ranks", [9, 12])
def test_more_ranks_than_pictures_in_a_batch(shards: Path, ranks: int) -> None:
    pictures = load(shards, options=OPTIONS)
    with pytest.raises(
        OptionError,
        match=f"of 8 pictures cannot be shared by {ranks} processes.*--batch-size {2 * ranks}",
    ):
        batches(pictures, share=(0, ranks))


# --- With processes ------------------------------------------------------------------------


def train_on(root: Path, folder: Path) -> tuple[list[float], list[str], int]:
    """Train on shards, of which some pictures cannot be read."""
    import nunbit

    pictures = load(root, options=OPTIONS)
    model = nunbit.create_model_for(pictures, network="mlp", seed=0)
    options = nunbit.TrainOptions(epochs=3, batch_size=8, precision="float32")
    history = nunbit.fit(model, pictures, options=options, out=folder, progress=False)
    weights = float(next(model.network.parameters()).sum())
    lost = sorted(each.name for each in pictures.left_out)
    return [float(x) for x in history["loss"]], lost, hash(weights)


def test_two_processes_train_on_shards_with_unreadable_pictures(tmp_path: Path) -> None:
    bad = ("0/1", "2/3", "5/0", "5/1", "5/2")
    root = write_shards(tmp_path / "bad", COUNTS, bad=bad)
    ended = together(2, train_on, root, tmp_path / "run")
    assert [each.error for each in ended] == [None, None]
    (losses, lost, weights), other = (each.value for each in ended)
    assert other == (losses, lost, weights), "all ranks know the same and have the same weights"
    assert len(lost) == 5
    assert losses[-1] < losses[0]
