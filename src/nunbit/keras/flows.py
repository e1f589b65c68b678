"""``flow``, ``flow_from_directory`` and ``flow_from_dataframe`` of the generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nunbit.keras.arrays import NumpyArrayIterator
from nunbit.keras.dataframe import DataFrameIterator, old_arguments
from nunbit.keras.directory import DirectoryIterator

if TYPE_CHECKING:
    from nunbit.keras.generator import ImageDataGenerator

__all__ = ["Flows"]


class Flows:
    """The three ways to batches; arguments, their order and their defaults are Keras'."""

    data_format: str
    dtype: Any
    like: str | None

    @property
    def _generator(self) -> ImageDataGenerator:
        return self  # type: ignore[return-value]  # the only class that has this base

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> NumpyArrayIterator:
        """Return batches of pictures in memory.

        Shape:
            x: (N, H, W, C) or (N, C, H, W), or a pair of that and one extra input or a
                list of extra inputs, which pass through as they are.
        """
        return NumpyArrayIterator(
            x,
            y,
            self._generator,
            batch_size=batch_size,
            shuffle=shuffle,
            sample_weight=sample_weight,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            ignore_class_split=ignore_class_split,
            subset=subset,
            dtype=self.dtype,
        )

    def flow_from_directory(
        self,
        directory: str,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
    ) -> DirectoryIterator:
        """Return batches of the pictures in a folder that has one folder for each class.

        Args:
            target_size: Height and width of the batches, in pixels.
            color_mode: ``rgb``, ``rgba`` or ``grayscale``.
            classes: Names of the class folders, in the order of their numbers.
            class_mode: ``categorical``, ``binary``, ``sparse``, ``input`` or None.
            interpolation: nearest, bilinear, bicubic, hamming, box or lanczos.
            keep_aspect_ratio: Whether to cut off the sides rather than squash.
        """
        return DirectoryIterator(
            directory,
            self._generator,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            follow_links=follow_links,
            subset=subset,
            interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
            dtype=self.dtype,
        )

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: str | None = None,
        x_col: str = "filename",
        y_col: str | list[str] = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        **kwargs: Any,  # Keras' old arguments, each known by name
    ) -> DataFrameIterator:
        """Return batches of the pictures that a table names.

        Args:
            dataframe: Of pandas or polars, or a dictionary of columns.
            directory: Where relative file names begin.
            class_mode: As for folders, and ``multi_output`` or ``raw``.
            validate_filenames: Whether rows without a picture file are left out.
            kwargs: ``keep_aspect_ratio``, and what Keras no longer uses.
        """
        class_mode, keep_aspect_ratio = old_arguments(kwargs, class_mode, like=self.like)
        return DataFrameIterator(
            dataframe,
            directory,
            self._generator,
            x_col=x_col,
            y_col=y_col,
            weight_col=weight_col,
            target_size=target_size,
            color_mode=color_mode,
            classes=classes,
            class_mode=class_mode,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            data_format=self.data_format,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
            subset=subset,
            interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
            dtype=self.dtype,
            validate_filenames=validate_filenames,
        )
