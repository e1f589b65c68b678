"""Small pictures that can be learnt in a second, and models for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import nunbit

Fit = Callable[..., nunbit.History]


@pytest.fixture(scope="module", autouse=True)
def alone(one_thread: None) -> None:
    """Every test here computes in one thread."""


def draw_bars(root: Path, *, classes: str, count: int, size: int = 8) -> Path:
    """Write grey pictures: class number k has its k-th pair of rows bright, under noise."""
    rng = np.random.default_rng(7)
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture = rng.integers(0, 120, (size, size), dtype=np.uint8)
            picture[2 * k : 2 * k + 2] += 100
            cv2.imwrite(str(root / name / f"{number:03d}.png"), picture)
    return root


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> nunbit.Pictures:
    """72 to train on, 18 to validate with; three classes, 8×8 grey."""
    return nunbit.load(
        draw_bars(tmp_path_factory.mktemp("bars"), classes="abc", count=30), validation=0.2
    )


@pytest.fixture(scope="session")
def unvalidated(tmp_path_factory: pytest.TempPathFactory) -> nunbit.Pictures:
    """Two classes, 8×8 grey, 32 to train on, none to validate with."""
    return nunbit.load(
        draw_bars(tmp_path_factory.mktemp("two"), classes="ab", count=16), validation=0.0
    )


@pytest.fixture(scope="session")
def digits() -> nunbit.Pictures:
    return nunbit.load("digits")


@pytest.fixture
def run(tmp_path: Path) -> Fit:
    """Train a fresh ``mlp``, or ``model=``, without progress; options by name."""

    def train(pictures: nunbit.Pictures, *, model: nunbit.Model | None = None, **given: Any) -> Any:
        model = model or nunbit.create_model_for(pictures, network="mlp")
        plain = {k: given.pop(k) for k in ("callbacks", "resume", "augment") if k in given}
        if "resume" not in plain:
            plain["out"] = given.pop("out", tmp_path / "run")
        options = nunbit.TrainOptions(**{"batch_size": 24, "lr": 0.001, **given})
        return nunbit.fit(model, pictures, options=options, progress=False, **plain)

    return train
