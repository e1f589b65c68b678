"""``FileIterator``: what the iterators over folders and tables of files share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nunbit.errors import OptionError
from nunbit.keras._bridge import setting
from nunbit.keras._checks import number_type
from nunbit.keras._errors import OptionTypeError
from nunbit.keras.draw import Parameters
from nunbit.keras.iterators import Indices, Iterator
from nunbit.keras.reading import CHANNELS, PictureCache, PictureReader
from nunbit.keras.saving import Saving

if TYPE_CHECKING:
    from nunbit.keras.generator import ImageDataGenerator

__all__ = ["FileIterator", "FileOptions"]


@dataclass(frozen=True)
class FileOptions:
    """How files become pictures, under the names of ``flow_from_directory``."""

    target_size: tuple[int, int]
    color_mode: str
    interpolation: str
    keep_aspect_ratio: bool
    subset: str | None
    data_format: str | None
    dtype: Any
    save_to_dir: str | None
    save_prefix: str
    save_format: str


class FileIterator(Iterator):
    """Batches of pictures that are read from files once, and kept while memory lasts."""

    class_mode: str | None
    class_indices: dict[str, int]
    classes: Any
    filenames: list[str]
    _filepaths: list[str]

    def _set_options(self, generator: ImageDataGenerator, options: FileOptions) -> None:
        """Check and keep the options; the first thing that a constructor does."""
        self.image_data_generator = generator
        self.target_size = _height_and_width(options.target_size)
        self.color_mode = options.color_mode
        self.interpolation = options.interpolation
        self.keep_aspect_ratio = options.keep_aspect_ratio
        keras_code = generator.like == "keras-3"
        reader = PictureReader(
            target_size=self.target_size,
            color_mode=self.color_mode,
            interpolation=self.interpolation,
            keep_aspect_ratio=self.keep_aspect_ratio,
            keras_code=keras_code,
        )
        self._cache = PictureCache(reader.read)
        self.data_format = options.data_format or setting("image_data_format", "channels_last")
        channels = (CHANNELS[self.color_mode],)
        first = self.data_format == "channels_first"
        self.image_shape = channels + self.target_size if first else self.target_size + channels
        self.dtype = number_type(options.dtype or setting("floatx", "float32"))
        self.save_to_dir = options.save_to_dir
        self.save_prefix = options.save_prefix
        self.save_format = options.save_format
        self._saving = Saving(
            options.save_to_dir, options.save_prefix, options.save_format, largest_hash=10_000_000
        )
        self.subset = options.subset
        if self.subset is not None:
            generator.validation_part(self.subset, 0)
        self._augments = keras_code or self.subset != "validation"

    @property
    def _endings(self) -> tuple[str, ...]:
        """Endings of picture files, with their dot; Keras' code asks for none."""
        if self.image_data_generator.like == "keras-3":
            return self.white_list_formats
        return tuple(f".{ending}" for ending in self.white_list_formats)

    def _part(self, count: int) -> slice:
        """Return which of ``count`` files belong to the subset."""
        if self.subset is None:
            return slice(None)
        return self.image_data_generator.validation_part(self.subset, count)

    def _check_class_mode(self, allowed: Sequence[str | None]) -> None:
        if self.class_mode not in allowed:
            raise OptionError(
                f"Invalid class_mode: {self.class_mode!r}; expected one of: "
                f"{', '.join(map(repr, allowed))}."
            )

    @property
    def filepaths(self) -> list[str]:
        """The path of each file."""
        return self._filepaths

    @property
    def labels(self) -> Any:
        """The label of each file."""
        return self.classes

    @property
    def sample_weight(self) -> Any:
        """The weight of each file, or None."""
        return None

    def _picture_size(self) -> tuple[int, int]:
        return self.target_size

    def _make_batch(
        self, indices: Indices, parameters: Sequence[Parameters], rng: np.random.RandomState
    ) -> Any:
        paths = self.filepaths
        batch = self._make_pictures(
            lambda k: self._cache.get(paths[indices[k]]),
            parameters,
            shape=self.image_shape,
            top=255.0,
        )
        self._save(batch, indices, rng)
        if self.class_mode is None:
            return batch
        y = self._targets_of(indices, batch)
        if self.sample_weight is None:
            return batch, y
        return batch, y, self.sample_weight[indices]

    def _targets_of(self, indices: Indices, batch: NDArray[Any]) -> Any:
        if self.class_mode == "input":
            return batch.copy()
        if self.class_mode == "multi_output":
            return [each[indices] for each in self.labels]
        if self.class_mode == "raw":
            return self.labels[indices]
        if self.class_mode != "categorical":  # binary and sparse: numbers of dtype, as in Keras
            return np.array([self.classes[k] for k in indices], dtype=self.dtype)
        y = np.zeros((len(indices), len(self.class_indices)), dtype=self.dtype)
        for row, k in zip(y, indices, strict=True):
            row[self.classes[k]] = 1.0  # a number, or a list of them
        return y


def _height_and_width(target_size: Any) -> tuple[int, int]:
    try:
        height, width = target_size
        return int(height), int(width)
    except (TypeError, ValueError) as error:
        raise OptionTypeError(
            f"`target_size` is {target_size!r}, expected height and width in pixels, such as "
            "(256, 256)."
        ) from error
