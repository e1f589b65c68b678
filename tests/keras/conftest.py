"""What the tests of the drop-in share: goldens of Keras itself, and both ways to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nunbit.keras import ImageDataGenerator


@pytest.fixture(scope="session")
def goldens() -> dict[str, Any]:
    """Numbers that Keras 3.15.1 and keras-preprocessing 1.1.2 printed."""
    return json.loads(
        (Path(__file__).parents[1] / "files" / "keras-goldens.json").read_text(encoding="utf-8")
    )


@pytest.fixture(params=[None, "keras-3"])
def like(request: pytest.FixtureRequest) -> str | None:
    return request.param


@pytest.fixture
def global_state() -> Callable[[], bytes]:
    """Return a function that gives the state of NumPy's global generator."""
    return lambda: np.random.get_state()[1].tobytes() + bytes([np.random.get_state()[2] % 256])


@pytest.fixture
def noise() -> Callable[..., NDArray[np.uint8]]:
    def make(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture
def dot() -> Callable[..., NDArray[np.float32]]:
    """Return a function that makes a black picture with one white pixel in the middle."""

    def make(height: int = 9, width: int = 9) -> NDArray[np.float32]:
        picture = np.zeros((height, width, 1), np.float32)
        picture[height // 2, width // 2] = 255
        return picture

    return make


@pytest.fixture
def numbered() -> Callable[..., Any]:
    """Return a function that makes batches of one-pixel pictures that hold their number."""

    def make(count: int = 10, *, like: str | None = None, **how: Any) -> Any:
        pictures = np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)
        return ImageDataGenerator(like=like).flow(pictures, **how)

    return make
