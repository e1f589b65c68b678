"""A network that is right about two times in three, and pictures to score it on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import nunbit


@pytest.fixture(scope="module", autouse=True)
def alone(one_thread: None) -> None:
    """Every test here computes in one thread."""


def draw(root: Path, counts: dict[str, int], *, seed: int) -> Path:
    """Write noisy 8×8 pictures: ``a`` is bright above, ``b`` in the middle, ``c`` below."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            picture = rng.integers(0, 200, (8, 8), dtype=np.uint8)
            k = "abc".index(name) if name in "abc" else 0
            picture[2 * k : 2 * k + 2] += 20
            cv2.imwrite(str(root / name / f"{number:03d}.png"), picture)
    return root


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> nunbit.Pictures:
    root = tmp_path_factory.mktemp("split")
    draw(root / "train", {"a": 20, "b": 20, "c": 20}, seed=1)
    draw(root / "test", {"a": 30, "b": 25, "c": 18}, seed=2)
    return nunbit.load(root)


@pytest.fixture(scope="session")
def history(pictures: nunbit.Pictures, tmp_path_factory: pytest.TempPathFactory) -> nunbit.History:
    model = nunbit.create_model_for(pictures, network="mlp")
    out = tmp_path_factory.mktemp("trained") / "run"
    options = nunbit.TrainOptions(epochs=4, batch_size=16, lr=0.002)
    return nunbit.fit(model, pictures, options=options, out=out, progress=False)


@pytest.fixture
def model(history: nunbit.History) -> nunbit.Model:
    return nunbit.Model.load(history.run)
