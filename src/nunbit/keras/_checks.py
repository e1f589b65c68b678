"""Checks of what ``ImageDataGenerator`` is given; all mistakes are told at once."""

from __future__ import annotations

import math
import numbers
import operator
import warnings
from typing import Any, get_args

import numpy as np

from nunbit.augment.warp import FillMode
from nunbit.errors import OptionError, did_you_mean
from nunbit.keras._errors import OptionTypeError

__all__ = [
    "LIKE",
    "check_choices",
    "check_whole_numbers",
    "number_type",
    "overridden",
    "zoom_pair",
]

LIKE = (None, "documentation", "keras-3")
"""What to be like; None is the documentation."""

FORMATS = ("channels_last", "channels_first")

NUMBERS = ("rotation_range", "shear_range", "channel_shift_range", "zca_epsilon", "rescale")
SHIFTS = ("width_shift_range", "height_shift_range")
PAIRS = ("zoom_range", "brightness_range")


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
        if not any(given[name] is each or given[name] == each for each in known)
    ]
    wrong += _wrong_numbers(given)
    split = given["validation_split"]
    if split and not (_is_finite(split) and 0 < split < 1):
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
    try:
        number_type(given["dtype"])
    except OptionError as error:
        wrong.append(str(error))
    if wrong:
        raise OptionError("\n".join(wrong))


def _wrong_numbers(given: dict[str, Any]) -> list[str]:
    """Tell of what should be finite numbers; what is None or empty is switched off."""

    def told(name: str, expected: str) -> str:
        return f"`{name}` should be {expected}. Received: {given[name]!r}."

    wrong = [
        told(name, "a finite number")
        for name in NUMBERS
        if given[name] is not None and not _is_finite(given[name])
    ]
    for name in SHIFTS:
        amount = given[name]
        several = isinstance(amount, (list, tuple, np.ndarray))
        steps = list(np.ravel(amount)) if several else [0 if amount is None else amount]
        if not all(map(_is_finite, steps)):
            wrong.append(told(name, "a finite number, or a list of such"))
    for name in PAIRS:
        pair = given[name]
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and not all(map(_is_finite, pair)):
            wrong.append(told(name, "a pair of finite numbers"))
    if not isinstance(given["cval"], numbers.Real):
        wrong.append(told("cval", "a number"))
    return wrong


def _is_finite(value: Any) -> bool:
    if isinstance(value, (str, bytes)):
        return False
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def number_type(dtype: Any) -> np.dtype[Any]:
    """Return the type of numbers that a name or a class stands for.

    Raises:
        OptionError: There is no such type, or it holds no numbers.
    """
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if found.kind in "OSUMm":
        raise OptionError(
            f"`dtype` should be a type of numbers, such as 'float32'. Received: {dtype!r}."
        )
    return found


def check_whole_numbers(*, batch_size: Any, seed: Any) -> None:
    """Raise unless batches have a size and a seed is a whole number or None.

    Raises:
        OptionError: One of them is something else.
    """
    wrong = []
    if not _is_whole(batch_size) or batch_size < 0:
        wrong.append(f"`batch_size` should be a whole number. Received: {batch_size!r}.")
    if seed is not None and not _is_whole(seed):
        wrong.append(f"`seed` should be a whole number or None. Received: {seed!r}.")
    if wrong:
        raise OptionError("\n".join(wrong))


def _is_whole(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def overridden(option: str, by: str) -> None:
    """Warn that one option changes another, as Keras does."""
    warnings.warn(
        f"This ImageDataGenerator specifies `{by}`, which overrides setting of `{option}`.",
        stacklevel=4,
    )
