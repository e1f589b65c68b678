"""Small pictures for many ranks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.distributed.start import tidy


@pytest.fixture(scope="module", autouse=True)
def alone(one_thread: None) -> None:
    """Every test here computes in one thread, as each rank does."""


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Grey pictures (8×8, three classes): 58 to train on, 14 to validate with.

    58 in batches of 20 are 20, 19 and 19: no number of ranks divides them.
    """
    root = tmp_path_factory.mktemp("grey")
    rng = np.random.default_rng(11)
    for k, name in enumerate("abc"):
        (root / name).mkdir()
        for count in range(24):
            picture = rng.integers(0, 120, (8, 8), dtype=np.uint8)
            picture[2 * k : 2 * k + 2] += 100
            cv2.imwrite(str(root / name / f"{count:03d}.png"), picture)
    return str(root)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where runs go; commands that are still running at the end are ended."""
    yield tmp_path / "runs"
    tidy()
