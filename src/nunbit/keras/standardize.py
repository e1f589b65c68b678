"""Normalisation of pictures, sample by sample or by the statistics of a data set.

Order, as in Keras: preprocessing function, rescale, then sample by sample, then by
the statistics of the whole set: mean, standard deviation, ZCA.

Departs: a batch is centred picture by picture, as the documentation says; Keras' code
takes one mean for the whole batch (``by_picture=False``).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nunbit.augment.statistics import STD_FLOOR, Statistics

__all__ = ["Normalisation"]

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Normalisation:
    """The steps of ``standardize`` that are on."""

    preprocessing_function: Callable[[Any], Any] | None
    rescale: float | None
    samplewise_center: bool
    samplewise_std: bool
    featurewise_center: bool
    featurewise_std: bool
    zca_whitening: bool
    statistics: Statistics

    @property
    def early_scale(self) -> float | None:
        """The factor that may be applied while pictures are moved; None = use ``scale``."""
        return None if self.preprocessing_function else self.rescale or 1.0

    def scale(self, x: Pixels) -> Pixels:
        """Preprocess and rescale, in place where the values allow it."""
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        if self.rescale:
            x *= self.rescale
        return x

    def normalise(self, x: Pixels, *, by_picture: bool) -> Pixels:
        """Take the remaining steps, in place where the values allow it.

        Shape:
            x: (..., H, W, C) or (..., C, H, W), floating point.
        Args:
            by_picture: Whether samplewise steps take each picture of a batch by itself.
        """
        axes = (-3, -2, -1) if by_picture else None
        if self.samplewise_center:
            x -= np.mean(x, axis=axes, keepdims=True)
        if self.samplewise_std:
            x /= np.std(x, axis=axes, keepdims=True) + STD_FLOOR
        found = self.statistics
        if self.featurewise_center and self._is_fitted(found.mean, "featurewise_center"):
            x -= found.mean
        if self.featurewise_std and self._is_fitted(found.std, "featurewise_std_normalization"):
            x /= found.std + STD_FLOOR  # type: ignore[operator]  # not None: it is fitted
        if self.zca_whitening and self._is_fitted(found.zca_matrix, "zca_whitening"):
            flat = x.reshape(-1, math.prod(x.shape[-3:]))
            x = (flat @ found.zca_matrix).reshape(x.shape)
        return x

    def _is_fitted(self, value: Pixels | None, option: str) -> bool:
        if value is None:
            warnings.warn(
                f"`{option}` is on, but the statistics of the data are not known, so this step "
                "is left out. Call `.fit(x)` with training pictures first.",
                stacklevel=4,
            )
        return value is not None
