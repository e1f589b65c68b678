"""What the layers share: sizes that are one number or a pair, and their refusal."""

from __future__ import annotations

import math

from nunbit.errors import OptionError

__all__ = ["Size", "pair", "refuse", "want_number", "want_sizes"]

Size = int | tuple[int, int]
"""One size for both axes, or one for rows and one for columns."""


def pair(value: Size) -> tuple[int, int]:
    """Return (rows, columns)."""
    return value if isinstance(value, tuple) else (value, value)


def want_sizes(**sizes: Size) -> list[str]:
    """Return what is wrong: each size is a whole number of at least 1, or two of them."""
    wrong = []
    for name, size in sizes.items():
        numbers = size if isinstance(size, tuple) and len(size) == 2 else (size,)
        if not all(type(number) is int and number >= 1 for number in numbers):
            wrong.append(f"{name} is {size!r}, expected a whole number of at least 1, or two")
    return wrong


def want_number(name: str, value: object, *, low: float, high: float = math.inf) -> list[str]:
    """Return what is wrong: a number within ``low``..``high``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            if math.isfinite(value) and low <= value <= high:
                return []
        except OverflowError:  # a whole number beyond the largest float
            pass
    limits = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
    return [f"{name} is {value!r}, expected a number {limits}"]


def refuse(layer: str, wrong: list[str]) -> None:
    """Raise for all mistakes at once.

    Raises:
        OptionError: There is one.
    """
    if wrong:
        raise OptionError(f"{layer}: {'; '.join(wrong)}.")
