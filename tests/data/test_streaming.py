"""Training pictures read anew each epoch: the same pictures, once each, from anywhere."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from nunbit.augment import Augment
from nunbit.create import create_model_for
from nunbit.data import reading
from nunbit.data.batches import Batch, Batches
from nunbit.data.options import DataOptions
from nunbit.data.pictures import Pictures, load
from nunbit.data.streaming import StreamedPixels
from nunbit.errors import DataError
from nunbit.evaluation.evaluate import evaluate
from nunbit.training.fit import fit
from nunbit.training.options import TrainOptions

WriteFolder = Callable[..., Path]
STREAM = DataOptions(image_size=8, validation=0.2, stream=True, shuffle_buffer=6)
WHOLE = DataOptions(image_size=8, validation=0.2)


@pytest.fixture
def folder(write_folder: WriteFolder) -> Path:
    return write_folder({"a": 20, "b": 20})


@pytest.fixture
def shards(folder: Path, tmp_path: Path) -> Path:
    """The same pictures in four tars."""
    root = tmp_path / "shards"
    root.mkdir()
    files = sorted(folder.glob("*/*.png"))
    for number in range(4):
        with tarfile.open(root / f"train-{number}.tar", "w") as archive:
            for k, path in enumerate(files[number::4]):
                for suffix, data in (
                    ("png", path.read_bytes()),
                    ("cls", path.parent.name.encode()),
                ):
                    info = tarfile.TarInfo(f"{k:03d}.{suffix}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    return root


@pytest.fixture(params=["folder", "shards"])
def source(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def batches(pictures: Pictures, *, augmented: bool = False, size: int = 7) -> Batches:
    augment = Augment(horizontal_flip=True, rotation_range=20.0)

    def move(pixels: object, ids: np.ndarray, epoch: int, out: np.ndarray) -> None:
        augment.apply(pixels, ids=ids, seed=0, epoch=epoch, out=out)  # type: ignore[arg-type]  # a sequence

    targets = torch.from_numpy(pictures.train.labels)
    return Batches(
        pictures.train,
        targets,
        batch_size=size,
        seed=0,
        move=move if augmented else None,
        threads=2,
    )


def by_id(found: Iterator[Batch]) -> dict[int, tuple[bytes, int]]:
    pairs: dict[int, tuple[bytes, int]] = {}
    for batch in found:
        assert batch.ids is not None
        for number, image, target in zip(batch.ids, batch.images, batch.targets, strict=True):
            assert int(number) not in pairs, "each picture once"
            pairs[int(number)] = (image.numpy().tobytes(), int(target))
    return pairs


@pytest.mark.parametrize("augmented", [False, True])
def test_an_epoch_has_the_pictures_of_the_decoded_set(source: Path, augmented: bool) -> None:
    streamed, whole = load(source, options=STREAM), load(source, options=WHOLE)
    assert isinstance(streamed.train.pixels, StreamedPixels)
    assert streamed.train.ids.tolist() == whole.train.ids.tolist()
    for epoch in (0, 3):
        expected = by_id(batches(whole, augmented=augmented).of_epoch(epoch))
        assert by_id(batches(streamed, augmented=augmented).of_epoch(epoch)) == expected
        assert len(expected) == 32


def test_what_validates_is_decoded_and_the_same(source: Path) -> None:
    streamed, whole = load(source, options=STREAM), load(source, options=WHOLE)
    assert streamed.validation is not None
    assert whole.validation is not None
    assert streamed.validation.names == whole.validation.names
    assert np.array_equal(streamed.validation.take(slice(None)), whole.validation.take(slice(None)))
    assert streamed.preprocessing.mean == pytest.approx(whole.preprocessing.mean, abs=1e-6)


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_an_epoch_is_entered_at_any_step(source: Path, start: int) -> None:
    pictures = load(source, options=STREAM)
    whole = list(batches(pictures, augmented=True).of_epoch(2))
    tail = list(batches(pictures, augmented=True).of_epoch(2, start=start))
    assert len(tail) == len(whole) - start
    for one, two in zip(whole[start:], tail, strict=True):
        assert np.array_equal(one.ids, two.ids)
        assert torch.equal(one.images, two.images)


def test_epochs_are_shuffled_differently(source: Path) -> None:
    made = batches(load(source, options=STREAM))
    orders = [made.order(epoch).tolist() for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert all(sorted(order) == list(range(32)) for order in orders)


def test_leaving_an_epoch_early_leaves_nothing_running(source: Path) -> None:
    before = threading.active_count()
    for _ in batches(load(source, options=STREAM)).of_epoch(0):
        break
    assert threading.active_count() <= before


def test_unreadable_pictures_are_left_out_and_listed(
    write_folder: WriteFolder, truncated_png: bytes
) -> None:
    root = write_folder({"a": 20, "a/bad.png": truncated_png, "b": 20})
    pictures = load(root, options=DataOptions(image_size=8, validation=0.0, stream=True))
    assert len(pictures.train) == 41
    for epoch in range(2):
        assert len(by_id(batches(pictures).of_epoch(epoch))) == 40
    assert [item.name for item in pictures.left_out] == ["a/bad.png"]
    assert "1 unreadable picture left out: a/bad.png" in pictures.notes[0]
    with pytest.raises(DataError, match=r"a/bad.png cannot be read.*--exclude-file"):
        pictures.train.take(slice(None))


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_training_goes_on_where_pictures_of_a_stream_cannot_be_read(
    write_folder: WriteFolder, truncated_png: bytes, tmp_path: Path, mixup: float
) -> None:
    """Also where a whole batch, or the partner that a picture is mixed with, is lost."""
    files = {f"{kind}/bad{k}.png": truncated_png for kind in "ab" for k in range(4)}
    root = write_folder({"a": 4, "b": 4, **files})
    options = DataOptions(image_size=8, channels="grey", validation=0.0, stream=True)
    pictures = load(root, options=options)
    model = create_model_for(pictures, network="mlp")
    history = fit(
        model,
        pictures,
        options=TrainOptions(epochs=3, batch_size=1),
        augment=Augment(mixup=mixup, horizontal_flip=True),
        out=tmp_path / "run",
        progress=False,
    )
    assert np.isfinite(history["loss"]).all()
    assert len(pictures.left_out) == 8
    sizes = [len(batch) for batch in batches(pictures, size=1).of_epoch(0)]
    assert sorted(sizes) == [0] * 8 + [1] * 8


def test_where_nothing_can_be_read(write_folder: WriteFolder, truncated_png: bytes) -> None:
    root = write_folder({f"{kind}/{k}.png": truncated_png for kind in "ab" for k in range(2)})
    options = DataOptions(image_size=8, channels="grey", validation=0.0, stream=True)
    with pytest.raises(DataError, match="none of the 4 training pictures looked at can be read"):
        load(root, options=options)


def test_training_on_a_stream_gives_the_same_bits_twice(source: Path, tmp_path: Path) -> None:
    def train(name: str) -> list[np.ndarray]:
        pictures = load(source, options=STREAM)
        model = create_model_for(pictures, network="mlp")
        options = TrainOptions(epochs=2, batch_size=7, augment="light")
        fit(model, pictures, options=options, out=tmp_path / name, progress=False)
        assert evaluate(model, pictures.validation).count == 8
        return [w.detach().numpy().copy() for w in model.network.parameters()]

    pairs = zip(train("one"), train("two"), strict=True)
    assert all(np.array_equal(one, two) for one, two in pairs)


def test_only_a_stream_leaves_the_training_pictures_undecoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    whole = reading.decode_table

    def count(table: object, *rest: object, **more: object) -> object:
        decoded.append(len(table))  # type: ignore[arg-type]
        return whole(table, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "decode_table", count)
    load(folder, options=STREAM)
    load(folder, options=DataOptions(image_size=8, validation=0.0, stream=True))
    assert decoded == [8]
