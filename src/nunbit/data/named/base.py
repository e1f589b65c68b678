"""What a named set is, and where its files are looked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nunbit.data.table import PictureTable
from nunbit.errors import DataError

__all__ = ["NamedSet", "find_set", "places"]

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
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [*found, SYSTEM_FOLDER / name, cache / "nunbit" / "datasets" / name]


def find_set(known: NamedSet) -> Path | None:
    """Return the first place that has the set; None for an embedded one.

    Raises:
        DataError: No place has it; the message names them all.
    """
    if known.is_embedded:
        return None
    for place in places(known.name):
        if place.exists():
            return place
    looked = ", ".join(f"`{place}`" for place in places(known.name))
    raise DataError(
        f"the set `{known.name}` is not on this machine; looked in {looked}. "
        f"Put {known.files} into one of these folders, or set NUNBIT_DATA to the folder that "
        f"holds `{known.name}`. Sets that need no files: `digits`, `shapes`."
    )
