"""``Standardizer``: what ``ImageDataGenerator`` does with values, after all movements.

In this order: preprocessing_function, rescale, the picture's own mean and spread,
mean and spread of each channel over the fitted pictures, ZCA.

Source: Keras 3 ``ImageDataGenerator.fit`` and ``standardize``. Both as there:
``fit`` rescales, but calls no preprocessing_function; ZCA adds its epsilon to the
singular values.
Departs: a batch is treated picture by picture (there, the "samplewise" numbers of a
batch are one number for all of it); sums are float64; the array given is never
changed; what has not been fitted is an error, not a warning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nunbit.augment.options import Augment
from nunbit.augment.statistics import STD_FLOOR, fit_statistics
from nunbit.errors import OptionError, ShapeError

__all__ = ["Standardizer"]


class Standardizer:
    """Brings the values of pictures where a network wants them.

    Args:
        augment: Its options rescale, featurewise, samplewise and ZCA,
            preprocessing_function, data_format and dtype are used.

    Example:
        >>> import numpy as np
        >>> plain = Standardizer(Augment(rescale=0.5))
        >>> plain.standardize(np.full((1, 2, 1), 51, np.uint8)).ravel()
        array([25.5, 25.5], dtype=float32)
    """

    def __init__(self, augment: Augment) -> None:
        self.augment = augment
        self.mean: NDArray[Any] | None = None
        """(1, 1, C), or (C, 1, 1) for channels first."""
        self.std: NDArray[Any] | None = None
        self.zca_whitening_matrix: NDArray[Any] | None = None
        self._spreads = augment.featurewise_std_normalization and not augment.zca_whitening
        self._centres = augment.featurewise_center or self._spreads or augment.zca_whitening

    def fit(self, pictures: NDArray[Any]) -> None:
        """Find mean, spread and ZCA matrix, as far as the options ask for them.

        Shape:
            pictures: (N, H, W, C), or (N, C, H, W) for channels first; not changed.
        Raises:
            ShapeError: The array has another rank.
        """
        if pictures.ndim != 4:
            raise ShapeError(f"pictures have shape {pictures.shape}, expected four axes.")
        values = np.array(pictures, dtype=self.augment.dtype)
        if self.augment.rescale:
            values *= self.augment.rescale
        found = fit_statistics(
            values,
            center=self._centres,
            std=self._spreads,
            zca_epsilon=self.augment.zca_epsilon if self.augment.zca_whitening else None,
            channels_first=self.augment.data_format == "channels_first",
        )
        self.mean, self.std = found.mean, found.std
        self.zca_whitening_matrix = found.zca_matrix

    def standardize(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Return one picture, or a batch, with the values that the options ask for.

        Shape:
            pictures: (H, W, C) or (N, H, W, C), any number; not changed.
            returns: the same shape, of the options' dtype.
        Raises:
            OptionError: Something asked for has not been fitted.
            ShapeError: The array has another rank.
        """
        if pictures.ndim not in (3, 4):
            raise ShapeError(f"pictures have shape {pictures.shape}, expected three or four axes.")
        if pictures.ndim == 3:
            return self._one(pictures)
        found = [self._one(picture) for picture in pictures]
        return np.stack(found) if found else pictures.astype(self.augment.dtype)

    def _one(self, picture: NDArray[Any]) -> NDArray[Any]:
        options = self.augment
        values = np.array(picture, dtype=options.dtype)
        if options.preprocessing_function is not None:
            values = np.array(options.preprocessing_function(values), dtype=options.dtype)
        if options.rescale:
            values *= options.rescale
        if options.samplewise_center or options.samplewise_std_normalization:
            values -= values.mean()
        if options.samplewise_std_normalization:
            values /= values.std() + STD_FLOOR
        if self._centres:
            values -= self._fitted("mean")
        if self._spreads:
            values /= self._fitted("std") + STD_FLOOR
        if options.zca_whitening:
            matrix = self._fitted("zca_whitening_matrix")
            values = (values.reshape(1, -1) @ matrix).reshape(values.shape)
        return values

    def _fitted(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] | None = getattr(self, name)
        if found is None:
            asked = [n for n in self.augment.standardizes if n.startswith(("feature", "zca"))]
            raise OptionError(
                f"`{asked[0]}` needs numbers of the training pictures. Call `fit(pictures)` first."
            )
        return found
