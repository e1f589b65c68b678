"""Plots for the recipes as SVG files: lines over epochs, and circles. No dependency.

draw_lines("errors.svg", {"plain-20": [(1, 0.6), (2, 0.5)]}, title="...", x="epoch", y="error")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

__all__ = ["Circle", "draw_circles", "draw_errors", "draw_lines", "over_epochs"]

WIDTH, HEIGHT = 760, 460
"""Of the drawing, in SVG units."""
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 44, 54
"""Room around the axes; the names of the lines stand in the right one."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b", "#000000")
"""Okabe and Ito's: told apart by people who do not see red or green."""

Point = tuple[float, float]
Scale = Callable[[float], float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Circle:
    """One mark of :func:`draw_circles`; its area stands for ``size``, its colour for ``kind``."""

    name: str
    x: float
    y: float
    size: float
    kind: str = ""


def over_epochs(values: Sequence[float], *, factor: float = 1.0) -> list[Point]:
    """Return the points of a score at epochs 1, 2, ..."""
    return [(epoch, factor * value) for epoch, value in enumerate(values, start=1)]


def draw_lines(
    path: str,
    lines: Mapping[str, Sequence[Point]],
    *,
    title: str,
    x: str,
    y: str,
    log_y: bool = False,
    dashed: Sequence[str] = (),
) -> None:
    """Draw one line per name, with its name beside it.

    Args:
        path: The SVG file.
        lines: Points by name; those that are not finite are left out.
        dashed: Names of lines to draw dashed, each in the colour of the line before it.
    """
    points = {
        name: [(a, b) for a, b in line if math.isfinite(b) and (b > 0 or not log_y)]
        for name, line in lines.items()
    }
    everything = [point for line in points.values() for point in line] or [(0.0, 1.0)]
    across, down, parts = _axes(everything, title=title, x=x, y=y, log_y=log_y)
    number = -1
    for row, (name, line) in enumerate(points.items()):
        is_dashed = name in dashed
        number += 0 if is_dashed and number >= 0 else 1
        colour, dash = COLOURS[number % len(COLOURS)], "6 4" if is_dashed else "none"
        path_text = " ".join(f"{across(a):.1f},{down(b):.1f}" for a, b in line)
        style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        parts.append(f'<polyline points="{path_text}" {style}/>')
        height, start = TOP + 14 + 20 * row, WIDTH - RIGHT + 14
        parts.append(f'<path d="M{start} {height - 4}h24" {style}/>')
        parts.append(_label(start + 30, height, name))
    _write(path, parts)


def draw_errors(
    path: str,
    right: Mapping[str, Sequence[float]],
    right_test: Mapping[str, Sequence[float]],
    *,
    title: str,
    log_y: bool = False,
) -> None:
    """Draw the errors over the epochs: each network's on the test, and dashed in training.

    Args:
        path: The SVG file.
        right: Training accuracy of each epoch by network, 0..1.
        right_test: The same on the test pictures.
    """
    lines = {}
    for name in right:
        lines[f"{name}, test"] = over_epochs([100 - 100 * a for a in right_test[name]])
        lines[f"{name}, training"] = over_epochs([100 - 100 * a for a in right[name]])
    dashed = [name for name in lines if name.endswith("training")]
    draw_lines(path, lines, title=title, x="epoch", y="error in %", log_y=log_y, dashed=dashed)


def draw_circles(
    path: str,
    circles: Sequence[Circle],
    *,
    title: str,
    x: str,
    y: str,
    note: str = "",
    log_y: bool = False,
) -> None:
    """Draw circles over a logarithmic x axis, each with its name where there is room.

    Args:
        path: The SVG file.
        note: What the area stands for; without a note all circles are small.
    """
    points = [(circle.x, circle.y) for circle in circles] or [(1.0, 1.0)]
    across, down, parts = _axes(points, title=title, x=x, y=y, log_x=True, log_y=log_y)
    largest = max((circle.size for circle in circles), default=1.0)
    kinds = list(dict.fromkeys(circle.kind for circle in circles))
    taken: list[Box] = []
    for circle in sorted(circles, key=lambda circle: -circle.size):
        radius = max(2.5, 20 * math.sqrt(circle.size / largest)) if note else 4.0
        colour = COLOURS[kinds.index(circle.kind) % len(COLOURS)]
        left, height = across(circle.x), down(circle.y)
        taken.append((left - radius, height - radius, left + radius, height + radius))
        parts.append(
            f'<circle cx="{left:.1f}" cy="{height:.1f}" r="{radius:.1f}" '
            f'fill="{colour}" fill-opacity="0.3" stroke="{colour}"/>'
        )
    for circle in sorted(circles, key=lambda circle: circle.x):
        parts += _name(circle.name, across(circle.x), down(circle.y), taken)
    parts.append(_label(WIDTH - RIGHT + 14, HEIGHT - BOTTOM, note, size=11))
    _write(path, parts)


def _name(name: str, x: float, y: float, taken: list[Box]) -> list[str]:
    """Write a name in the nearest free place, with a line to what it names.

    Args:
        taken: Boxes of circles and names so far; that of the name is added.
    """
    width, height = 6.2 * len(name) + 4, 12  # of 11 px letters, and a little more
    for distance in range(6, 300, 3):
        for turn in range(24):
            angle = turn * math.tau / 24
            near = x + distance * math.cos(angle), y + distance * math.sin(angle)
            is_left = math.cos(angle) < -0.01
            left = near[0] - (width if is_left else 0)
            box = (left, near[1] - height / 2, left + width, near[1] + height / 2)
            inside = box[0] >= LEFT and box[2] <= WIDTH and box[1] >= TOP
            if inside and box[3] <= HEIGHT - BOTTOM and not any(_meet(box, each) for each in taken):
                taken.append(box)
                line = f'<path d="M{x:.1f} {y:.1f}L{near[0]:.1f} {near[1]:.1f}" stroke="#999"/>'
                anchor, start = ("end", near[0] - 2) if is_left else ("start", near[0] + 2)
                return [line, _label(start, box[3] - 2, name, size=11, anchor=anchor)]
    return [_label(x, y, name, size=11)]  # nowhere free: better on a circle than left out


def _meet(one: Box, other: Box) -> bool:
    """Return whether two boxes share a place."""
    beside = one[2] <= other[0] or other[2] <= one[0]
    return not (beside or one[3] <= other[1] or other[3] <= one[1])


def _axes(
    points: Sequence[Point],
    *,
    title: str,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
) -> tuple[Scale, Scale, list[str]]:
    """Return the scales of both axes, and the drawing so far."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    marks_x, across = _scale([a for a, _ in points], LEFT, right, log=log_x)
    marks_y, down = _scale([b for _, b in points], bottom, TOP, log=log_y)
    parts = [_label(LEFT, 24, title, size=16)]
    for mark in marks_x:
        parts.append(f'<path d="M{across(mark):.1f} {TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(_label(across(mark), bottom + 18, _short(mark), anchor="middle"))
    for mark in marks_y:
        parts.append(f'<path d="M{LEFT} {down(mark):.1f}H{right}" stroke="#ddd"/>')
        parts.append(_label(LEFT - 8, down(mark) + 4, _short(mark), anchor="end"))
    parts.append(_label((LEFT + right) / 2, HEIGHT - 12, x, anchor="middle"))
    turned = f'transform="rotate(-90 18 {(TOP + bottom) / 2})"'
    parts.append(_label(18, (TOP + bottom) / 2, y, anchor="middle", extra=turned))
    return across, down, parts


def _scale(
    values: Sequence[float], start: float, end: float, *, log: bool
) -> tuple[list[float], Scale]:
    """Return round marks that enclose the values, and the scale over them."""
    low, high = min(values), max(values)
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        parts = (1, 2, 5) if last - first <= 2 else (1,)
        marks = [m * 10.0**k for k in range(first, last + 1) for m in parts]
        lowest = max([m for m in marks if m <= low], default=marks[0])
        highest = min([m for m in marks if m >= high and m > lowest], default=marks[-1])
        marks = [m for m in marks if lowest <= m <= highest]
        span = (end - start) / math.log(marks[-1] / marks[0])
        return marks, lambda value: start + math.log(value / marks[0]) * span
    rough = (high - low or 1.0) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    span = (end - start) / (last - first)
    return [
        k * step for k in range(first, last + 1)
    ], lambda value: start + (value / step - first) * span


def _short(value: float) -> str:
    """Return a mark as people write it: 0.2, 15, 3M, 1G."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.6g}"


def _label(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, extra: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {extra}>'
        f"{escape(text)}</text>"
    )


def _write(path: str, parts: Sequence[str]) -> None:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" fill="#222"><rect width="{WIDTH}" height="{HEIGHT}" '
        'fill="white"/>'
    )
    Path(path).write_text("\n".join([head, *parts, "</svg>\n"]), encoding="utf-8")
