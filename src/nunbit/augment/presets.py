"""Augmentation by name, and from a file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from nunbit.augment.options import Augment
from nunbit.errors import OptionError, did_you_mean

__all__ = ["PRESETS", "choose_augment"]

PRESETS: dict[str, Augment] = {
    "none": Augment(),
    "light": Augment(rotation_range=8, width_shift_range=0.08, height_shift_range=0.08),
    "digits": Augment(
        rotation_range=8, width_shift_range=0.06, height_shift_range=0.06, zoom_range=0.08
    ),
    "photo": Augment(
        rotation_range=10,
        width_shift_range=0.1,
        height_shift_range=0.1,
        zoom_range=(0.75, 1.1),
        horizontal_flip=True,
        fill_mode="reflect",
    ),
    "crops": Augment(random_resized_crop=(0.25, 1.0), horizontal_flip=True, trivial_augment=True),
    "objects": Augment(crop_padding=2, horizontal_flip=True, fill_mode="reflect"),
    "garments": Augment(horizontal_flip=True, crop_padding=1),
    "course": Augment(shear_range=0.2, zoom_range=0.2, horizontal_flip=True),
    "any-way-up": Augment(
        rotation_range=180,
        width_shift_range=0.15,
        height_shift_range=0.15,
        shear_range=8,
        zoom_range=(0.8, 1.8),
        horizontal_flip=True,
    ),
    "trivial": Augment(trivial_augment=True, horizontal_flip=True, fill_mode="reflect"),
}
"""``course`` is what the course hands to ``ImageDataGenerator`` for cats and dogs."""


def choose_augment(text: str, *, channels: int) -> tuple[str, Augment]:
    """Return the augmentation that a name or a TOML file stands for, and its name.

    ``auto`` is ``photo`` for colour pictures and ``none`` for grey ones, where a
    mirrored digit or letter would be a wrong one.

    Raises:
        OptionError: No such preset or file, or the file has an unknown option or a wrong
            value.
    """
    name = text
    if text == "auto":
        name = "photo" if channels == 3 else "none"
    if name in PRESETS:
        return name, PRESETS[name]
    path = Path(os.path.expanduser(text))
    if not os.path.isfile(path):
        raise OptionError(
            f"unknown augmentation `{text}`.{did_you_mean(text, PRESETS)} Expected `auto`, one of "
            f"{', '.join(PRESETS)}, or a TOML file with options such as `rotation_range = 10`."
        )
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"`{path}` cannot be read: {error.strerror}.") from error
    except ValueError as error:  # no TOML, or no text at all
        raise OptionError(f"`{path}` is no TOML file: {error}.") from error
    where = f"`{path}`"
    try:
        return path.name, Augment.from_dict(values, where=where)
    except OptionError as error:
        text = str(error)
        raise OptionError(text if text.startswith(where) else f"{where}: {text}") from error
