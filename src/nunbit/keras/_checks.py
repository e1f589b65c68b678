"""Checks of what ``ImageDataGenerator`` is given; all mistakes are told at once."""

from __future__ import annotations

import numbers
import warnings
from typing import Any, get_args

from nunbit.augment.warp import FillMode
from nunbit.errors import OptionError, did_you_mean
from nunbit.keras._errors import OptionTypeError

__all__ = ["LIKE", "check_choices", "overridden", "zoom_pair"]

LIKE = (None, "documentation", "keras-3")
"""What to be like; None is the documentation."""

FORMATS = ("channels_last", "channels_first")


def zoom_pair(zoom_range: Any, *, strict: bool) -> list[float]:
    """Return the lowest and highest factor of a zoom.

    Args:
        strict: Whether NumPy's smaller floats are refused, as Keras 3 does.
    """

    def is_number(value: Any) -> bool:
        return isinstance(value, (float, int) if strict else numbers.Real)

    if is_number(zoom_range):
        return [1 - zoom_range, 1 + zoom_range]
    try:
        pair = list(zoom_range)
    except TypeError as error:
        raise OptionTypeError(
            f"`zoom_range` is {zoom_range!r}, expected a number z for factors 1-z to 1+z, or a "
            "pair of factors. For no zoom pass 0."
        ) from error
    if len(pair) != 2 or not all(map(is_number, pair)):
        raise OptionError(
            f"`zoom_range` should be a float or a tuple or list of two floats. Received: "
            f"{zoom_range!r}. For factors between 0.8 and 1.2 pass 0.2 or (0.8, 1.2)."
        )
    return pair


def check_choices(given: dict[str, Any]) -> None:
    """Raise one error that tells everything that is wrong.

    Raises:
        OptionError: A name is unknown, or a number lies outside its range.
    """
    wrong = [
        f"`{name}` should be one of {', '.join(map(repr, known))}. Received: {given[name]!r}."
        + (did_you_mean(given[name], map(str, known)) if isinstance(given[name], str) else "")
        for name, known in (
            ("data_format", FORMATS),
            ("fill_mode", get_args(FillMode)),
            ("like", LIKE),
        )
        if given[name] not in known
    ]
    split = given["validation_split"]
    if split and not 0 < split < 1:
        wrong.append(
            f"`validation_split` must be strictly between 0 and 1. Received: {split!r}. "
            "To keep every fifth picture apart pass 0.2."
        )
    bright = given["brightness_range"]
    if bright is not None and not (isinstance(bright, (tuple, list)) and len(bright) == 2):
        wrong.append(
            f"`brightness_range` should be tuple or list of two floats. Received: {bright!r}. "
            "For factors between 0.9 and 1.1 pass (0.9, 1.1)."
        )
    order = given["interpolation_order"]
    if not isinstance(order, numbers.Integral) or int(order) not in range(6):
        wrong.append(
            f"`interpolation_order` should be a whole number from 0 to 5. Received: {order!r}."
        )
    if wrong:
        raise OptionError("\n".join(wrong))


def overridden(option: str, by: str) -> None:
    """Warn that one option changes another, as Keras does."""
    warnings.warn(
        f"This ImageDataGenerator specifies `{by}`, which overrides setting of `{option}`.",
        stacklevel=4,
    )
