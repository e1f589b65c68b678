"""The same bits whatever does not count: when checkpoints are written, who looks on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nunbit
from nunbit import storage

Contents = Callable[[Path], dict[str, Any]]

SHAKEN = nunbit.Augment(rotation_range=20, width_shift_range=1.5, mixup=0.3)


def train(pictures: nunbit.Pictures, out: Path, *, progress: bool = False, **options: Any) -> None:
    nunbit.fit(
        nunbit.create_model_for(pictures, network="cnn-mnist", seed=2),
        pictures,
        epochs=3,
        augment=SHAKEN,
        options=nunbit.TrainOptions(batch_size=20, ema=0.9, **options),
        callbacks=[nunbit.EarlyStopping(patience=9, restore_best_weights=True)],
        out=out,
        progress=progress,
    )


def learnt(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says how often to write, which is all that may differ."""
    record = found["options.json"][0]
    for name in ("checkpoint_minutes", "keep_checkpoints"):
        record["training"].pop(name)
    record.pop("header")
    return found


@pytest.fixture(scope="module")
def usual(
    grey: nunbit.Pictures, contents: Contents, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("usual") / "run"
    train(grey, out)
    return learnt(contents(out))


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_minutes": 1e-9},
        {"checkpoint_minutes": 1e-9, "keep_checkpoints": 1},
        {"checkpoint_minutes": 0.0, "keep_checkpoints": 9},
        {"checkpoint_minutes": 0.0003},
    ],
    ids=str,
)
def test_when_checkpoints_are_written_does_not_count(
    grey: nunbit.Pictures,
    usual: dict[str, Any],
    contents: Contents,
    tmp_path: Path,
    options: dict[str, Any],
) -> None:
    train(grey, tmp_path / "run", **options)
    assert learnt(contents(tmp_path / "run")) == usual


def test_progress_does_not_count(
    grey: nunbit.Pictures, usual: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    train(grey, tmp_path / "run", progress=True)
    assert learnt(contents(tmp_path / "run")) == usual


def test_a_disk_that_is_full_for_a_while_does_not_count(
    grey: nunbit.Pictures,
    usual: dict[str, Any],
    contents: Contents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sync, writes = os.fsync, [0]

    def now_and_then(handle: int) -> None:
        if ".last" in os.readlink(f"/proc/self/fd/{handle}"):
            writes[0] += 1
            if writes[0] % 3 == 0:
                raise OSError(28, os.strerror(28))
        sync(handle)

    monkeypatch.setattr(storage.os, "fsync", now_and_then)
    train(grey, tmp_path / "run", checkpoint_minutes=1e-9)
    assert writes[0] >= 9
    assert learnt(contents(tmp_path / "run")) == usual


def test_another_seed_counts(
    grey: nunbit.Pictures, usual: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    """A test of the tests above: they would see it."""
    train(grey, tmp_path / "run", seed=1)
    found = learnt(contents(tmp_path / "run"))
    weights = [name for name in usual if name.startswith("model.safetensors:")]
    assert weights
    assert all(found[name] != usual[name] for name in weights if "weight" in name)
