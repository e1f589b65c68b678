"""The curve of ``nunbit find-lr`` as an SVG picture: loss by learning rate."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from nunbit.errors import StorageError
from nunbit.report.scales import make_scale
from nunbit.storage import is_free_for, write_atomic

__all__ = ["check_chart_place", "draw_lr_chart", "write_lr_chart"]

MARK = "nunbit find-lr"
"""In every drawing, so that it may be written over."""
WIDTH, HEIGHT = 640.0, 360.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 24.0, 44.0, 48.0
"""Margins of the plot in SVG units."""
INK, QUIET, LINE, FAINT = "#1f2328", "#656d76", "#0969da", "#b6d4f6"

Points = list[tuple[float, float]]


def draw_lr_chart(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    *,
    suggestion: float,
    title: str,
) -> str:
    """Return the curve as SVG: the loss of each step, its average, and the suggested rate.

    Args:
        rates: Learning rates, rising; their axis is logarithmic.
        losses: One a rate, finite.
        smoothed: Likewise.
        suggestion: Drawn as an upright line.
        title: Above all; any text.
    """
    low, high = math.log10(rates[0]), math.log10(rates[-1])
    across = WIDTH - LEFT - RIGHT

    def place(rate: float) -> float:
        return round(LEFT + (math.log10(rate) - low) / (high - low) * across, 1)

    top = max(smoothed[0] * 2, max(smoothed))  # single losses may soar far above
    scale = make_scale([0.0, top], start=HEIGHT - BOTTOM, end=TOP, is_fraction=False)
    parts = [_text(LEFT, 24, title, size=15)]
    for mark in scale.marks:
        y = scale(mark)
        parts.append(
            f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="{QUIET}" stroke-opacity=".25"/>'
        )
        parts.append(_text(LEFT - 8, y + 4, f"{mark:g}", anchor="end"))
    for power in range(math.ceil(low), math.floor(high) + 1):
        parts.append(_text(place(10.0**power), HEIGHT - 26, f"{10.0**power:g}", anchor="middle"))
    parts.append(_text(LEFT + across / 2, HEIGHT - 8, "learning rate", anchor="middle"))
    last = scale.marks[-1]
    for values, colour, width in ((losses, FAINT, 1), (smoothed, LINE, 2.5)):
        path = " ".join(
            f"{place(x)},{scale(min(y, last))}" for x, y in zip(rates, values, strict=True)
        )
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )
    x = place(min(max(suggestion, rates[0]), rates[-1]))
    parts.append(f'<path d="M{x} {TOP}V{HEIGHT - BOTTOM}" stroke="{INK}" stroke-dasharray="4 4"/>')
    parts.append(_text(x + 6, TOP + 12, f"suggested: {suggestion:.2g}", colour=INK))
    label = _escaped(f"{title}. Suggested learning rate: {suggestion:.2g}.")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'aria-label="{label}" font-family="sans-serif"><!-- {MARK} -->'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def check_chart_place(path: str | os.PathLike[str]) -> None:
    """Refuse a place where something lies that is no drawing of ours.

    Raises:
        StorageError: There is such a thing.
    """
    if not is_free_for(path, MARK, within=4096):
        raise StorageError(
            f"`{path}` is there already and is no drawing of `{MARK}`; it is not overwritten. "
            "Give another name, or remove it first."
        )


def write_lr_chart(path: str | os.PathLike[str], svg: str) -> None:
    """Write the picture, whole or not at all; an older drawing is replaced.

    Raises:
        StorageError: It cannot be written, or something else lies there.
    """
    check_chart_place(path)
    write_atomic(Path(path), svg)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = QUIET
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">'
        f"{_escaped(text)}</text>"
    )


def _escaped(text: str) -> str:
    """Return text for SVG; what XML cannot hold is left out."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        clean = clean.replace(sign, name)
    return clean
