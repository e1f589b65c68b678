"""From numbers to places on the page: round marks, scales, and interval bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["BAR_WIDTH", "Bar", "Scale", "make_bar", "make_scale", "round_marks"]

BAR_WIDTH = 120.0
"""Width of an interval bar in SVG units, without its margin."""
BAR_MARGIN = 6.0
"""Room at both ends for the dot, in SVG units."""
HUGE = 1e100
"""What lies beyond is treated as not finite: spans of it would overflow."""
STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Scale:
    """A straight line from values to places; places are rounded to a tenth.

    Args:
        marks: Round numbers to label, rising; the scale spans all of them.
        start: Place of the first mark.
        end: Place of the last mark; it may lie before ``start``.
    """

    marks: tuple[float, ...]
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        low, high = self.marks[0], self.marks[-1]
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)


@dataclass(frozen=True)
class Bar:
    """Places of an interval and of the value in it."""

    low: float
    high: float
    value: float


def is_drawable(value: object) -> bool:
    """Tell whether a value is a number that can have a place on the page."""
    return isinstance(value, (int, float)) and math.isfinite(value) and abs(value) < HUGE


def round_marks(
    low: float, high: float, *, count: int = 5, steps: Sequence[float] = STEPS
) -> tuple[float, ...]:
    """Return about ``count`` round numbers that enclose a range.

    Args:
        low: Finite.
        high: Finite, above ``low``.
        count: Wanted number of steps; the result may have up to two more.
        steps: Allowed steps, times any power of ten; rising, the last one is 10.

    Example:
        >>> round_marks(0.921, 0.998)
        (0.92, 0.94, 0.96, 0.98, 1.0)
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in steps if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return tuple(round(k * step, digits) for k in range(first, max(last, first + 1) + 1))


def make_scale(
    values: Iterable[float], *, start: float, end: float, is_fraction: bool, count: int = 4
) -> Scale:
    """Return a scale that holds all values, not wider than it has to be.

    A fraction is shown where it lies, since good networks differ near 100 %.
    Another number is shown from zero, unless that would flatten it.

    Args:
        values: Finite; at least one.
        start: Place of the low end.
        end: Place of the high end.
        is_fraction: Whether values are meant to lie in 0..1.
        count: Wanted number of steps.
    """
    values = list(values)
    low, high = min(values), max(values)
    is_flat = high - low <= 1e-9 * max(abs(low), abs(high))
    if is_fraction and max(abs(low), abs(high)) <= 10:
        if is_flat or high - low < 1e-3:
            low, high = low - 5e-3, high + 5e-3
        if min(values) >= 0 and max(values) <= 1:
            low, high = max(low, 0.0), min(high, 1.0)
    elif low >= 0 and (is_flat or low <= high / 2):
        low = 0.0
    elif is_flat:
        low, high = low - abs(low) / 2, high + abs(high) / 2
    if high - low < 1 / HUGE:
        high = low + 1.0
    return Scale(round_marks(low, high, count=count), start, end)


def make_bar(scale: Scale, value: float, low: float, high: float) -> Bar:
    """Place an interval and its value on a scale."""
    return Bar(scale(low), scale(high), scale(value))
