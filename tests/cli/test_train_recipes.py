"""`nunbit train FOLDER --recipe KIND`: rules for pictures that nobody has tuned for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from nunbit.cli.main import run

Paint = Callable[..., NDArray[Any]]


def train(source: Path, *words: str) -> dict[str, Any]:
    out = source.parent / "run"
    assert run(["train", str(source), *words, "--epochs", "1", "--out", str(out)]) == 0
    found: dict[str, Any] = json.loads((out / "options.json").read_text())
    return found


@pytest.fixture
def photos(
    write_folder: Callable[..., Path], paint: Paint, encode_png: Callable[..., bytes]
) -> Path:
    names = [f"{kind}/{k}.png" for kind in ("cat", "dog") for k in range(6)]
    return write_folder({name: encode_png(paint(name, 150, 200, 3)) for name in names})


def test_photographs_are_trained_as_those_that_were_tuned_for(
    photos: Path, one_thread: None
) -> None:
    found = train(photos, "--recipe", "fast")
    assert found["recipe"] == "fast"
    assert found["network"] == "airbench-photo"
    assert found["pictures"]["image_size"] == 80
    assert found["pictures"]["train_size"] == 128
    training = found["training"]
    assert (training["optimizer"], training["batch_size"]) == ("muon", 32)
    assert (training["first_size"], training["epochs"]) == (64, 1)


def test_sizes_that_are_typed_are_the_users(photos: Path, one_thread: None) -> None:
    found = train(photos, "--recipe", "fast", "--image-size", "64")
    assert found["network"] == "auto"
    assert found["pictures"]["image_size"] == 64
    assert found["pictures"]["train_size"] is None
    assert found["training"]["first_size"] is None


def test_a_network_goes_by_all_its_names(photos: Path, one_thread: None) -> None:
    found = train(photos, "--recipe", "fast", "--network", "AirbenchPhoto")
    assert found["training"]["optimizer"] == "muon"
    assert found["pictures"]["train_size"] == 128


def test_another_network_is_trained_at_its_own_rate(photos: Path, one_thread: None) -> None:
    found = train(photos, "--recipe", "fast", "--network", "cnn-cats-dogs")
    assert found["network"] == "cnn-cats-dogs"
    assert found["training"]["optimizer"] == "adamw"
    assert found["training"]["bias_lr"] is None
    assert found["training"]["label_smoothing"] == 0.1
    assert found["pictures"]["train_size"] is None


def test_small_colour_pictures_are_trained_as_cifar10(
    write_folder: Callable[..., Path],
    paint: Paint,
    encode_png: Callable[..., bytes],
    one_thread: None,
) -> None:
    names = [f"{kind}/{k}.png" for kind in ("cat", "dog") for k in range(6)]
    found = train(
        write_folder({name: encode_png(paint(name, 32, 32, 3)) for name in names}),
        "--recipe",
        "best",
    )
    assert found["network"] == "airbench"
    assert found["training"]["augment"] == "objects"
    assert found["training"]["lr"] == pytest.approx(0.24 * (32 / 500) ** 0.5, abs=1e-5)
