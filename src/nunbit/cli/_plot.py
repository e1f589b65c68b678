"""Curves in a terminal, drawn in Braille signs (2×4 dots each), or in plain ones.

No library: plotext, the one that is kept up, brings 200 files and a compiled part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TextIO

__all__ = ["can_show", "draw_curve", "side_by_side"]

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of a Braille sign by row and column of its dot; the sign without dots is U+2800."""
FLAT = 1e-12
"""A curve that spans less than this share of its value is drawn in the middle."""

Points = Sequence[tuple[float, float]]


def can_show(stream: TextIO) -> bool:
    """Return whether a stream can write Braille signs."""
    try:
        chr(BLANK).encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeError, LookupError):
        return False
    return True


def draw_curve(
    points: Points,
    *,
    title: str,
    columns: int,
    rows: int = 6,
    braille: bool = True,
    value: Callable[[float], str] = "{:.4g}".format,
    ends: tuple[str, str] | None = None,
) -> list[str]:
    r"""Return a curve as lines of text of equal length: title, curve with its range, its ends.

    Args:
        points: x and y, x rising; a y that is no finite number is left out.
        columns: Width of all, with the texts at the left.
        rows: Height of the curve itself.
        value: Turns a y into a text.
        ends: What stands below the first and the last x; default: the numbers.

    Example:
        >>> points = [(1, 0.0), (2, 1.0), (3, 1.0)]
        >>> lines = draw_curve(points, title="score", columns=14, rows=3, braille=False)
        >>> print("\n".join(line.rstrip() for line in lines))
           score
        1 |    *******
          |  **
        0 |**
           1         3
    """
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if not points:
        return []
    low, high = min(y for _, y in points), max(y for _, y in points)
    labels = [value(high), *[""] * (rows - 2), value(low)]
    wide = max(map(len, labels))
    room = max(columns - wide - 2, 4)
    across, down = (2, 4) if braille else (1, 1)
    grid = _dots(points, room * across, rows * down, span=(low, high))
    edge = "│" if braille else "|"
    body = [f"{label:>{wide}} {edge}" for label in labels]
    for row in range(rows):
        for column in range(room):
            body[row] += _sign(grid, row, column) if braille else " *"[grid[row][column]]
    first, last = ends or (f"{points[0][0]:g}", f"{points[-1][0]:g}")
    below = " " * (wide + 2) + first + last.rjust(room - len(first))
    lines = [" " * (wide + 2) + title, *body, below]
    total = max(map(len, lines))
    return [line.ljust(total) for line in lines]


def side_by_side(left: list[str], right: list[str], *, gap: int = 3) -> list[str]:
    """Return two drawings of equal height beside each other."""
    return [a + " " * gap + b for a, b in zip(left, right, strict=True)]


def _dots(
    points: Points, width: int, height: int, *, span: tuple[float, float]
) -> list[list[bool]]:
    """Return which dots of a grid the curve goes through, the top row first."""
    low, high = span
    is_flat = high - low <= FLAT * max(abs(low), abs(high))
    grid = [[False] * width for _ in range(height)]
    first, last = points[0][0], points[-1][0]
    before: int | None = None
    nearest = 0
    for column in range(width):
        x = first + (last - first) * column / max(width - 1, 1)
        while nearest + 2 < len(points) and points[nearest + 1][0] < x:
            nearest += 1
        y = _between(points, nearest, x)
        frac = 0.5 if is_flat else (y - low) / (high - low)
        row = round((1 - frac) * (height - 1))
        grid[row][column] = True
        if before is not None:  # a steep part has no holes
            for filled in range(min(row, before) + 1, max(row, before)):
                grid[filled][column] = True
        before = row
    return grid


def _between(points: Points, number: int, x: float) -> float:
    """Return y at x, on the straight line from this point to the next."""
    if number + 1 >= len(points):
        return points[number][1]
    (x0, y0), (x1, y1) = points[number], points[number + 1]
    frac = (x - x0) / (x1 - x0) if x1 > x0 else 0.0
    return y0 + (y1 - y0) * min(max(frac, 0.0), 1.0)


def _sign(grid: list[list[bool]], row: int, column: int) -> str:
    """Return the Braille sign of a cell."""
    code = BLANK
    for y, bits in enumerate(DOTS):
        for x, bit in enumerate(bits):
            if grid[4 * row + y][2 * column + x]:
                code |= bit
    return " " if code == BLANK else chr(code)
