"""The numbers of a set of pictures that normalising needs: mean, spread, ZCA matrix.

Source: Keras 3 ``ImageDataGenerator.fit``: mean and spread per channel, and the matrix
U diag(sqrt(N) / (s + epsilon)) U' of the left singular vectors U and the singular
values s of the flattened, centred pictures.
Departs: all sums are float64. Keras adds up in the type of the pictures, and a float32
sum stands still at 2^24: 2,000 noisy pictures of 128×128 get a mean of 131 for 177.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STD_FLOOR", "Statistics", "fit_statistics", "zca_matrix"]

STD_FLOOR = 1e-6
"""Added to every standard deviation before dividing, as Keras does."""

CHUNK_VALUES = 1 << 20
"""Values that are turned into float64 at a time, 8 MB of them."""

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Statistics:
    """What was found; None where it is not needed, or not known yet."""

    mean: Pixels | None = None
    """(1, 1, C), or (C, 1, 1) for channels first."""
    std: Pixels | None = None
    zca_matrix: Pixels | None = None


def fit_statistics(
    x: Pixels,
    *,
    center: bool,
    std: bool,
    zca_epsilon: float | None,
    channels_first: bool = False,
    keras_code: bool = False,
) -> Statistics:
    """Compute mean and standard deviation per channel, and the ZCA matrix.

    Shape:
        x: (N, H, W, C) or (N, C, H, W), floating point; changed in place.
    Args:
        zca_epsilon: Added to the singular values; None = no ZCA.
        keras_code: Whether to add up in the type of ``x``, as Keras does.
    """
    axes = (0, 2, 3) if channels_first else (0, 1, 2)
    mean = deviation = matrix = None
    if center:
        sums = None if keras_code else np.float64
        mean = x.mean(axis=axes, keepdims=True, dtype=sums)[0].astype(x.dtype)
        x -= mean
    if std:
        deviation = x.std(axis=axes, keepdims=True)[0] if keras_code else _spread(x, axes)
        x /= deviation + STD_FLOOR
    if zca_epsilon is not None:
        flat = x.reshape(len(x), -1)
        if keras_code:
            matrix = _of_singular_values(flat, zca_epsilon)
        else:
            matrix = zca_matrix(flat, epsilon=zca_epsilon).astype(x.dtype)
    return Statistics(mean, deviation, matrix)


def zca_matrix(
    flat: Pixels, *, epsilon: float, mean: Pixels | float = 0.0, factor: float = 1.0
) -> NDArray[np.float64]:
    """Return the matrix that makes the pixels of centred pictures uncorrelated.

    Where there are more pictures than values, it comes from their second moments, which
    take no more room than the matrix itself.

    Shape:
        flat: (N, D), any number; ``(flat - mean) * factor`` are the centred pictures.
        mean: A number or (D,).
        returns: (D, D).
    Args:
        epsilon: Added to the singular values.
    """
    count, values = flat.shape
    if count < values:
        return _of_singular_values((flat.astype(np.float64) - mean) * factor, epsilon)
    moments, step = np.zeros((values, values)), max(1, CHUNK_VALUES // values)
    for start in range(0, count, step):
        part = (flat[start : start + step].astype(np.float64) - mean) * factor
        moments += part.T @ part
    squares, vectors = np.linalg.eigh(moments)
    return _assemble(vectors, np.sqrt(squares.clip(min=0)), count, epsilon)


def _of_singular_values(flat: Pixels, epsilon: float) -> Pixels:
    vectors, lengths, _ = np.linalg.svd(flat.T, full_matrices=False)
    return _assemble(vectors, lengths, len(flat), epsilon)


def _assemble(vectors: Pixels, lengths: Pixels, count: int, epsilon: float) -> Pixels:
    weights = math.sqrt(count) / (lengths + epsilon)
    return np.asarray((vectors * weights) @ vectors.T)


def _spread(x: Pixels, axes: tuple[int, ...]) -> Pixels:
    """Return the standard deviation per channel, without a float64 copy of all pictures."""
    mean = x.mean(axis=axes, keepdims=True, dtype=np.float64)
    step = max(1, CHUNK_VALUES // max(1, math.prod(x.shape[1:])))
    squares = np.zeros_like(mean)
    for start in range(0, len(x), step):
        squares += np.square(x[start : start + step] - mean).sum(axis=axes, keepdims=True)
    samples = x.size // max(1, mean.size)
    return np.asarray(np.sqrt(squares / samples)[0], dtype=x.dtype)
