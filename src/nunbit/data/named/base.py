"""What a named set is, where its files are looked for, and how they get there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nunbit.data.named.download import (
    NotDownloadedError,
    download,
    is_unfinished,
    set_folder,
)
from nunbit.data.table import PictureTable
from nunbit.errors import DataError
from nunbit.transfer import Meter, Progress

__all__ = ["NamedSet", "download_set", "find_place", "find_set", "places"]

SYSTEM_FOLDER = Path("/usr/share/datasets")
"""Where Debian installs data sets (package ``dataset-fashion-mnist``)."""


@dataclass(frozen=True)
class NamedSet:
    """A set of pictures that people know by name.

    Args:
        name: What the command line takes.
        title: One line for people.
        title_ko: The same in Korean.
        classes: Class names in label order.
        classes_ko: Class names in Korean, or empty where they are digits.
        train_images: Pictures to train on.
        test_images: Pictures to test on.
        image_size: Side to train at, in pixels.
        colour: ``"grey"`` or ``"rgb"``.
        licence: Under which terms the pictures are given.
        files: What has to be in the folder, for the message where it is missing;
            empty for sets that ship with Nunbit.
        open: Makes the table from the place where the files are.
    """

    name: str
    title: str
    title_ko: str
    classes: tuple[str, ...]
    classes_ko: tuple[str, ...]
    train_images: int
    test_images: int
    image_size: int
    colour: str
    licence: str
    files: str
    open: Callable[[Path | None], PictureTable]

    @property
    def is_embedded(self) -> bool:
        """Whether it needs no files."""
        return not self.files


def places(name: str) -> list[Path]:
    """Return where the files of a set are looked for, in order."""
    found = []
    if root := os.environ.get("NUNBIT_DATA"):
        found += [Path(root).expanduser() / name, Path(root).expanduser() / f"{name}.zip"]
    return [*found, SYSTEM_FOLDER / name, set_folder(name)]


def find_place(known: NamedSet) -> Path | None:
    """Return the first place that has the set; None where none has, or none is needed.

    The network is not asked. A folder in the cache that holds a download which is
    not done yet does not count.
    """
    if known.is_embedded:
        return None
    for place in places(known.name):
        unfinished = place == set_folder(known.name) and is_unfinished(known.name, place)
        if place.exists() and not unfinished:
            return place
    return None


def find_set(known: NamedSet) -> Path | None:
    """Return the first place that has the set, downloading it where none has.

    Returns:
        The place; None for an embedded set.
    Raises:
        DataError: No place has it, and it could not be downloaded; the message names
            every place, and every URL with the reason.
        StorageError: The cache cannot take it.
    """
    if known.is_embedded:
        return None
    return find_place(known) or download_set(known)


def download_set(known: NamedSet, *, progress: Progress | None = None) -> Path:
    """Download a set into the cache; files that are there already are checked.

    Args:
        progress: Default: a bar or lines on standard error.
    Raises:
        DataError: It ships with Nunbit, or as :func:`find_set`.
        StorageError: The cache cannot take it.
    """
    if known.is_embedded:
        raise DataError(f"the set `{known.name}` ships with Nunbit; nothing has to be downloaded.")
    try:
        if progress is not None:
            return download(known.name, progress=progress)
        with Meter() as meter:
            return download(known.name, progress=meter)
    except NotDownloadedError as error:
        looked = ", ".join(f"`{place}`" for place in places(known.name))
        raise DataError(
            f"the set `{known.name}` is not on this machine; looked in {looked}. {error} "
            f"Put {known.files} into one of these folders, or set NUNBIT_DATA to the folder that "
            f"holds `{known.name}`. Sets that need no files: `digits`, `shapes`, `signals`."
        ) from error
