"""``DirectoryIterator``: a folder of class folders, found and counted as Keras does."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator as Lines
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nunbit.errors import OptionError
from nunbit.keras._errors import FolderMissingError, UnknownClassError
from nunbit.keras.files import FileIterator, FileOptions

if TYPE_CHECKING:
    from nunbit.keras.generator import ImageDataGenerator

__all__ = ["DirectoryIterator"]


class DirectoryIterator(FileIterator):
    """Yield ``(x, y)`` or ``x`` from the pictures below a folder.

    Arguments, their order and their defaults are those of Keras, hence their number; see
    :meth:`nunbit.keras.ImageDataGenerator.flow_from_directory`.

    Raises:
        OptionError: An option has an unknown value.
        FolderMissingError: ``directory`` is no folder.
    """

    allowed_class_modes = ("categorical", "binary", "sparse", "input", None)

    def __init__(
        self,
        directory: str,
        image_data_generator: ImageDataGenerator,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = None,
    ) -> None:
        options = FileOptions(
            target_size=target_size,
            color_mode=color_mode,
            interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
            subset=subset,
            data_format=data_format,
            dtype=dtype,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
        )
        self._set_options(image_data_generator, options)
        self.class_mode = class_mode
        self._check_class_mode(self.allowed_class_modes)
        self.directory = os.fspath(directory)
        keras_code = image_data_generator.like == "keras-3"
        names = list(classes) if classes else _folders_in(self.directory)
        self.num_classes = len(names)
        self.class_indices = {name: number for number, name in enumerate(names)}
        if class_mode == "binary" and len(names) > 2 and not keras_code:
            raise OptionError(
                f'`class_mode="binary"` takes two classes, `{self.directory}` has {len(names)}. '
                'Pass `class_mode="sparse"` or `class_mode="categorical"`.'
            )
        endings = self._endings
        self.filenames = []
        labels: list[int] = []
        for name in names:
            folder = os.path.join(self.directory, name)
            found = list(_files_below(folder, endings, follow_links, warn_tiff=keras_code))
            if found and keras_code and os.path.basename(folder) not in self.class_indices:
                raise UnknownClassError(
                    f"class `{name}` lies in another folder, which Keras 3 does not take. "
                    "Leave out `like`, or move the folder."
                )
            kept = found[self._part(len(found))]
            self.filenames += [os.path.join(name, file) for file in kept]
            labels += [self.class_indices[name]] * len(kept)
        self.samples = len(self.filenames)
        self.classes = np.array(labels, dtype="int32")
        self._filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        super().__init__(self.samples, batch_size, shuffle, seed)


def _folders_in(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FolderMissingError(
            f"`{directory}` is no folder. Expected a folder that has one folder for each class."
        ) from error


def _files_below(
    folder: str, endings: tuple[str, ...], follow_links: bool, *, warn_tiff: bool
) -> Lines[str]:
    """Yield the picture files below a class folder, relative to it, in Keras' order."""
    below = sorted(_walk(folder, follow_links))
    for root, names in below:
        for name in sorted(names):
            lower = name.lower()
            if warn_tiff and lower.endswith(".tiff"):
                warnings.warn(
                    'Using ".tiff" files with multiple bands will cause distortion. '
                    "Please verify your output.",
                    stacklevel=4,
                )
            if lower.endswith(endings):
                yield os.path.relpath(os.path.join(root, name), folder)


def _walk(folder: str, follow_links: bool) -> Lines[tuple[str, list[str]]]:
    """Yield every folder and its file names; a link into a folder above is not followed."""
    for root, folders, names in os.walk(folder, followlinks=follow_links):
        if follow_links:
            here = os.path.realpath(root)
            folders[:] = [
                each
                for each in folders
                if os.path.commonpath([here, real := os.path.realpath(os.path.join(root, each))])
                != real
            ]
        yield root, names
