"""``train_size``: training pictures kept larger than the network sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import nunbit
from nunbit.errors import OptionError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            picture = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), picture)
    return tmp_path / "photos"


def load(source: Path, **options: object) -> nunbit.Pictures:
    return nunbit.load(
        source,
        options=nunbit.DataOptions(image_size=16, validation=0.2, **options),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("stream", [False, True])
def test_only_training_pictures_are_kept_larger(source: Path, stream: bool) -> None:
    usual, wide = load(source), load(source, train_size=32, stream=stream)
    assert wide.train.pixels.shape[1:] == (32, 32, 3)
    assert wide.preprocessing.image_size == 16
    assert wide.validation is not None
    assert usual.validation is not None
    assert wide.validation.names == usual.validation.names
    np.testing.assert_array_equal(
        wide.validation.take(slice(None)), usual.validation.take(slice(None))
    )
    assert wide.train.names == usual.train.names


def test_the_network_sees_them_shrunk(source: Path, tmp_path: Path) -> None:
    pictures = load(source, train_size=32)
    seen = []
    model = nunbit.create_model_for(pictures, network="auto", network_options={"width": 4})
    model.network.register_forward_pre_hook(lambda m, x: seen.append((m.training, x[0].shape[-1])))
    nunbit.fit(model, pictures, epochs=1, out=tmp_path / "run", progress=False)
    assert set(seen) == {(True, 16), (False, 16)}
    assert nunbit.Model.load(tmp_path / "run").preprocessing.image_size == 16


def test_a_network_of_one_size_takes_them_too(source: Path, tmp_path: Path) -> None:
    pictures = load(source, train_size=32)
    model = nunbit.create_model_for(pictures, network="mlp", network_options={"width": 4})
    history = nunbit.fit(model, pictures, epochs=1, out=tmp_path / "run", progress=False)
    assert len(history.epochs) == 1


def test_smaller_than_the_network_sees_is_refused(source: Path) -> None:
    with pytest.raises(OptionError, match="`--train-size 8` is smaller than the 16 pixels"):
        load(source, train_size=8)


def test_another_size_is_another_run(
    source: Path, tmp_path: Path, one_thread: Callable[[], None]
) -> None:
    pictures = load(source, train_size=32)
    model = nunbit.create_model_for(pictures, network="mlp", network_options={"width": 4})
    nunbit.fit(model, pictures, epochs=1, out=tmp_path / "run", progress=False)
    other = load(source)
    again = nunbit.create_model_for(other, network="mlp", network_options={"width": 4})
    with pytest.raises(nunbit.CheckpointError, match="train_size was 32, got 16"):
        nunbit.fit(again, other, resume=tmp_path / "run", epochs=2, progress=False)
