"""``NumpyArrayIterator``: batches from arrays in memory."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nunbit.errors import DataError
from nunbit.keras._bridge import setting
from nunbit.keras._checks import number_type
from nunbit.keras.draw import Parameters
from nunbit.keras.iterators import Indices, Iterator
from nunbit.keras.saving import Saving

if TYPE_CHECKING:
    from nunbit.keras.generator import ImageDataGenerator

__all__ = ["NumpyArrayIterator"]


class NumpyArrayIterator(Iterator):
    """Yield ``x``, ``(x, y)`` or ``(x, y, sample_weight)`` of moved and normalised pictures.

    Arguments, their order and their defaults are those of Keras, hence their number; see
    :meth:`nunbit.keras.ImageDataGenerator.flow`.

    Raises:
        DataError: Lengths differ, ``x`` is not of rank 4, or a subset lacks a class.
        OptionError: ``subset`` has an unknown name.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        image_data_generator: ImageDataGenerator,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        ignore_class_split: bool = False,
        dtype: Any = None,
    ) -> None:
        self.image_data_generator = image_data_generator
        self.data_format = data_format or setting("image_data_format", "channels_last")
        self.dtype = number_type(dtype or setting("floatx", "float32"))
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        keras_code = image_data_generator.like == "keras-3"
        images, extras = _unpack(x)
        _check_lengths(images, extras, y, sample_weight)
        if subset is not None:
            images, extras, y, kept = _cut(
                (images, extras, y, sample_weight),
                image_data_generator.validation_part(subset, len(images)),
                check_classes=not ignore_class_split,
            )
            sample_weight = sample_weight if keras_code else kept
        pixels = np.asarray(images)
        is_bytes = pixels.dtype == np.uint8  # these become numbers of `dtype` batch by batch
        self._pixels = pixels if is_bytes else np.asarray(pixels, dtype=self.dtype)
        self._check_pictures()
        self.x_misc = extras
        self.y = None if y is None else np.asarray(y)
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)
        self._augments = keras_code or subset != "validation"
        self._saving = Saving(save_to_dir, save_prefix, save_format, largest_hash=10_000)
        super().__init__(len(self._pixels), batch_size, shuffle, seed)
        self._top = self._find_top()

    @property
    def x(self) -> NDArray[Any]:
        """The pictures of this subset as numbers of ``dtype``; made when first asked for."""
        if self._pixels.dtype != self.dtype:
            self._pixels = self._pixels.astype(self.dtype)
        return self._pixels

    def _check_pictures(self) -> None:
        shape = self._pixels.shape
        if len(shape) != 4:
            raise DataError(
                f"pictures should have rank 4, received shape {shape}. "
                "Add the missing axes: `x[..., None]` for grey pictures, `x[None]` for one alone."
            )
        axis = 1 if self.data_format == "channels_first" else 3
        if shape[axis] not in (1, 3, 4):
            warnings.warn(
                f'with data format "{self.data_format}" the channels are on axis {axis}, expected '
                f"1, 3 or 4 of them, received shape {shape}.",
                stacklevel=4,
            )

    def _find_top(self) -> float:
        """Return what is white: 1 where no pixel is above 1, else 255."""
        ranges = self.image_data_generator.ranges
        if ranges.brightness_range is None or self._pixels.dtype == np.uint8 or not self.n:
            return 255.0
        return 1.0 if self._pixels.max() <= 1 else 255.0

    def _picture_size(self) -> tuple[int, int]:
        shape = self._pixels.shape[1:]
        height, width = shape[1:] if self.data_format == "channels_first" else shape[:2]
        return height, width

    def _make_batch(
        self, indices: Indices, parameters: Sequence[Parameters], rng: np.random.RandomState
    ) -> Any:
        first = self.data_format == "channels_first"
        pictures = np.moveaxis(self._pixels, 1, -1) if first else self._pixels
        batch = self._make_pictures(
            lambda k: pictures[indices[k]],
            parameters,
            shape=self._pixels.shape[1:],
            top=self._top,
        )
        self._save(batch, indices, rng)
        inputs = [batch, *(extra[indices] for extra in self.x_misc)] if self.x_misc else batch
        if self.y is None:
            return inputs
        if self.sample_weight is None:
            return inputs, self.y[indices]
        return inputs, self.y[indices], self.sample_weight[indices]


def _unpack(x: Any) -> tuple[Any, list[NDArray[Any]]]:
    """Take ``x`` or ``(x, extra)`` or ``(x, [extra, ...])`` apart."""
    if not isinstance(x, (tuple, list)):
        return x, []
    if len(x) != 2:
        raise DataError(
            f"`x` is a {type(x).__name__} of {len(x)}, expected an array of pictures, or a pair "
            "of pictures and extra inputs. Pass `np.asarray(x)`."
        )
    extras = x[1] if isinstance(x[1], list) else [x[1]]
    return x[0], [np.asarray(extra) for extra in extras]


def _check_lengths(images: Any, extras: list[NDArray[Any]], y: Any, weight: Any) -> None:
    others = {f"extra input {k + 1}": extra for k, extra in enumerate(extras)}
    others |= {"`y`": y, "`sample_weight`": weight}
    wrong = [
        f"{name} has {len(values)}"
        for name, values in others.items()
        if values is not None and len(values) != len(images)
    ]
    if wrong:
        raise DataError(
            f"everything in `flow` should have the same length: `x` has {len(images)} pictures, "
            f"{', '.join(wrong)}."
        )


def _cut(
    data: tuple[Any, list[NDArray[Any]], Any, Any], part: slice, *, check_classes: bool
) -> tuple[Any, list[NDArray[Any]], Any, Any]:
    """Cut everything to one part, which is the first or the last of all samples."""
    images, extras, y, weight = data
    if y is not None and check_classes:
        rest = slice(0, part.start) if part.stop is None else slice(part.stop, None)
        if not np.array_equal(np.unique(y[part]), np.unique(y[rest])):
            raise DataError(
                "training and validation subsets have different number of classes after the "
                "split. Pass `validation_split` to `ImageDataGenerator` where there is none. If "
                "your arrays are sorted by label, shuffle them first; where the labels are no "
                "classes, pass `ignore_class_split=True`."
            )
    return (
        images[part],
        [extra[part] for extra in extras],
        None if y is None else y[part],
        None if weight is None else weight[part],
    )
