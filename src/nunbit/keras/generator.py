"""``ImageDataGenerator`` with the arguments, batches and random numbers of Keras' own.

Source: Keras 3.15, documentation and code.
Departs: see ``docs/keras.md``; in short, what the documentation says is done, and
pictures are decoded once and moved by OpenCV in threads.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nunbit.augment.statistics import Statistics, fit_statistics
from nunbit.errors import DataError, OptionError
from nunbit.keras._bridge import setting
from nunbit.keras._checks import check_choices, overridden, zoom_pair
from nunbit.keras.batches import fill_batch
from nunbit.keras.draw import Parameters, Ranges, Shift, global_draws
from nunbit.keras.flows import Flows
from nunbit.keras.standardize import Normalisation
from nunbit.keras.transform import Transform

__all__ = ["ImageDataGenerator"]

Pixels = NDArray[Any]
Like = Literal["documentation", "keras-3"] | None


class ImageDataGenerator(Flows):
    """Batches of pictures, moved about at random and normalised.

    The arguments, their order and their defaults are Keras', hence their number.

    Args:
        featurewise_center: Subtract the mean of each channel over the set given to ``fit``.
        samplewise_center: Subtract the mean of each picture.
        featurewise_std_normalization: Divide by the standard deviation of each channel.
        samplewise_std_normalization: Divide by the standard deviation of each picture.
        zca_whitening: Multiply by the matrix that ``fit`` found.
        zca_epsilon: Added to the singular values.
        rotation_range: Turned by up to this, either way, in degrees.
        width_shift_range: Moved sideways: a float below 1 is a share of the width, another
            one pixels; a whole number n gives whole pixels below n, either way; a list, one of
            its elements.
        height_shift_range: Moved up or down, likewise.
        brightness_range: Pair of factors; 1 changes nothing.
        shear_range: Sheared by up to this, either way, in degrees.
        zoom_range: z for factors 1-z..1+z, or a pair; below 1 magnifies.
        channel_shift_range: Added to all channels: up to this, either way.
        fill_mode: What lies beyond the border: nearest, constant, reflect or wrap.
        cval: Value beyond the border for ``constant``.
        horizontal_flip: Mirrored left to right, half of them.
        vertical_flip: Mirrored top to bottom, half of them.
        rescale: Factor applied after the picture was moved; None or 0 = off.
        preprocessing_function: Takes and returns one picture (rank 3), before rescale.
        data_format: ``channels_last`` or ``channels_first``; None = as Keras is set.
        validation_split: Share of the samples kept for ``subset="validation"``.
        interpolation_order: Of the spline, 0 to 5.
        dtype: Of the batches; None = as Keras is set, float32.
        like: None or ``documentation`` for what Keras documents; ``keras-3`` for what the
            code of Keras 3 does.
    Raises:
        OptionError: A value lies outside what the argument takes.

    Example:
        >>> generator = ImageDataGenerator(horizontal_flip=True, rescale=1 / 255)
        >>> batches = generator.flow(np.zeros((10, 8, 8, 3)), batch_size=4)
        >>> len(batches), next(batches).shape
        (3, (4, 8, 8, 3))
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: Shift = 0.0,
        height_shift_range: Shift = 0.0,
        brightness_range: Sequence[float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[Any], Any] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
        like: Like = None,
    ) -> None:
        self.featurewise_center = featurewise_center
        self.samplewise_center = samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening = zca_whitening
        self.zca_epsilon = zca_epsilon
        self.rotation_range = rotation_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.brightness_range = brightness_range
        self.shear_range = shear_range
        self.zoom_range = zoom_pair(zoom_range, strict=like == "keras-3")
        self.channel_shift_range = channel_shift_range
        self.fill_mode = fill_mode
        self.cval = cval
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rescale = rescale
        self.preprocessing_function = preprocessing_function
        self.data_format = data_format or setting("image_data_format", "channels_last")
        self._validation_split = validation_split
        self.interpolation_order = interpolation_order
        self.dtype = dtype or setting("floatx", "float32")
        self.like = like
        check_choices({**vars(self), "validation_split": validation_split})
        first = self.data_format == "channels_first"
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if first else (3, 1, 2)
        self.mean: Pixels | None = None
        self.std: Pixels | None = None
        self.zca_whitening_matrix: Pixels | None = None
        self._settle_overrides()

    def _settle_overrides(self) -> None:
        if self.zca_whitening:
            if not self.featurewise_center:
                self.featurewise_center = True
                overridden("featurewise_center", by="zca_whitening")
            if self.featurewise_std_normalization:
                self.featurewise_std_normalization = False
                overridden("featurewise_std_normalization", by="zca_whitening")
        if self.featurewise_std_normalization and not self.featurewise_center:
            self.featurewise_center = True
            overridden("featurewise_center", by="featurewise_std_normalization")
        if self.samplewise_std_normalization and not self.samplewise_center:
            self.samplewise_center = True
            overridden("samplewise_center", by="samplewise_std_normalization")

    @property
    def ranges(self) -> Ranges:
        """How far pictures are moved, as it is set now."""
        return Ranges(
            rotation_range=self.rotation_range,
            width_shift_range=self.width_shift_range,
            height_shift_range=self.height_shift_range,
            brightness_range=self.brightness_range,
            shear_range=self.shear_range,
            zoom_range=self.zoom_range,
            channel_shift_range=self.channel_shift_range,
            horizontal_flip=self.horizontal_flip,
            vertical_flip=self.vertical_flip,
            like_code=self.like == "keras-3",
        )

    @property
    def transform(self) -> Transform:
        """How parameters are applied to pictures, as it is set now."""
        return Transform(
            fill_mode=self.fill_mode,  # type: ignore[arg-type]  # checked when it was made
            cval=self.cval,
            order=self.interpolation_order,
            keras_code=self.like == "keras-3",
            channels_first=self.data_format == "channels_first",
        )

    @property
    def normalisation(self) -> Normalisation:
        """The steps of ``standardize``, as they are set now."""
        return Normalisation(
            preprocessing_function=self.preprocessing_function,
            rescale=self.rescale,
            samplewise_center=self.samplewise_center,
            samplewise_std=self.samplewise_std_normalization,
            featurewise_center=self.featurewise_center,
            featurewise_std=self.featurewise_std_normalization,
            zca_whitening=self.zca_whitening,
            statistics=Statistics(self.mean, self.std, self.zca_whitening_matrix),
        )

    def validation_part(self, subset: str, count: int) -> slice:
        """Return which of ``count`` samples belong to a subset: validation is the first part.

        Raises:
            OptionError: ``subset`` is neither ``training`` nor ``validation``.
        """
        cut = int(count * self._validation_split)
        parts = {"training": slice(cut, None), "validation": slice(0, cut)}
        if subset not in parts:
            raise OptionError(
                f'Invalid subset name: {subset!r}; expected "training" or "validation".'
            )
        return parts[subset]

    def standardize(self, x: Pixels) -> Pixels:
        """Normalise a picture or a batch, in place where it holds floating point numbers."""
        keras_code = self.like == "keras-3"
        if not keras_code and not np.issubdtype(x.dtype, np.floating):
            x = x.astype(self.dtype)
        steps = self.normalisation
        return steps.normalise(steps.scale(x), by_picture=x.ndim == 4 and not keras_code)

    def get_random_transform(self, img_shape: Sequence[int], seed: int | None = None) -> Parameters:
        """Draw the parameters of one picture of this shape.

        ``tx`` is drawn from ``height_shift_range`` and ``ty`` from ``width_shift_range``.
        """
        height, width = img_shape[self.row_axis - 1], img_shape[self.col_axis - 1]
        return self.ranges.draw(height=height, width=width, rng=self._draws(seed))

    def _draws(self, seed: int | None) -> np.random.RandomState:
        if seed is not None and self.like != "keras-3":
            return np.random.RandomState(seed)
        if seed is not None:
            global_draws().seed(seed)
        return global_draws()

    def apply_transform(self, x: Pixels, transform_parameters: Parameters) -> Pixels:
        """Return the picture moved as the parameters say; keys that are missing move nothing.

        Shape:
            x: (H, W, C) or (C, H, W); not changed.
            returns: the same; whole numbers stay so unless brightness or channels shift.
        """
        first = self.data_format == "channels_first"
        picture = np.moveaxis(x, 0, -1) if first else x
        transform = self.transform
        height, width = picture.shape[:2]
        matrix = transform.matrices([transform_parameters], height=height, width=width)[0]
        moved: Pixels = transform.apply(picture, transform_parameters, matrix)
        changes = ("channel_shift_intensity", "brightness")
        if x.dtype.kind in "iu" and all(transform_parameters.get(each) is None for each in changes):
            limits = np.iinfo(x.dtype)
            moved = np.clip(np.rint(moved), limits.min, limits.max).astype(x.dtype)
        return np.moveaxis(moved, -1, 0) if first else moved

    def random_transform(self, x: Pixels, seed: int | None = None) -> Pixels:
        """Return the picture moved at random."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Find the mean, the standard deviation and the ZCA matrix of training pictures.

        Args:
            augment: Whether to find those of moved pictures, as training will see them.
            rounds: Times that each picture is moved.
        """
        pixels = np.asarray(x, dtype=self.dtype)
        if pixels.ndim != 4:
            raise DataError(
                "Input to `.fit()` should have rank 4. Got array with shape: "
                f"{pixels.shape}. For grey pictures pass `x[..., None]`."
            )
        if pixels.shape[self.channel_axis] not in (1, 3, 4):
            warnings.warn(
                f'with data format "{self.data_format}" the channels are on axis '
                f"{self.channel_axis}, expected 1, 3 or 4 of them, got shape {pixels.shape}.",
                stacklevel=2,
            )
        rng = self._draws(seed)
        scale = self.rescale or 1.0
        if self.like == "keras-3":  # which rescales before it moves
            pixels, scale = pixels * np.asarray(scale, pixels.dtype), 1.0
        if augment:
            pixels = self._moved(pixels, rounds, rng)
        elif scale == 1.0:
            pixels = pixels.copy()
        if scale != 1.0:
            pixels = pixels * np.asarray(scale, pixels.dtype)
        found = fit_statistics(
            pixels,
            center=self.featurewise_center,
            std=self.featurewise_std_normalization,
            zca_epsilon=self.zca_epsilon if self.zca_whitening else None,
            channels_first=self.data_format == "channels_first",
            keras_code=self.like == "keras-3",
        )
        self.mean = found.mean if self.featurewise_center else self.mean
        self.std = found.std if self.featurewise_std_normalization else self.std
        if self.zca_whitening:
            self.zca_whitening_matrix = found.zca_matrix

    def _moved(self, pixels: Pixels, rounds: int, rng: np.random.RandomState) -> Pixels:
        height, width = pixels.shape[self.row_axis], pixels.shape[self.col_axis]
        count = rounds * len(pixels)
        ranges = self.ranges
        parameters = [ranges.draw(height=height, width=width, rng=rng) for _ in range(count)]
        moved = np.zeros((count, *pixels.shape[1:]), pixels.dtype)
        first = self.data_format == "channels_first"
        source = np.moveaxis(pixels, 1, -1) if first else pixels
        fill_batch(
            moved,
            lambda k: source[k % len(source)],
            parameters,
            transform=self.transform,
            normalisation=None,
            top=None,
        )
        return moved
