"""The SVG elements of an architecture picture, written in order."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

__all__ = ["FILL", "LETTER", "MARK", "QUIET", "TEXT", "Page"]

FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif'
LETTER = 0.63
"""Width of a letter of the widest of these fonts, in parts of its size."""
TEXT, QUIET, PAGE = "#1b1f23", "#5a626a", "#ffffff"
FILL = {
    "input": ("#e8eaed", "#8a9199", "picture"),
    "conv": ("#93bfe6", "#0b5394", "convolution"),
    "pool": ("#f5bb82", "#b85410", "pooling"),
    "dense": ("#b5dba8", "#38761d", "dense"),
    "other": ("#d9d2e9", "#674ea7", "other"),
}
"""Per kind: inside, edge, and its word in the legend."""
SPACE = "http://www.w3.org/2000/svg"
MARK = "nunbit-architecture"
"""Tells our drawings from other files."""


class Page:
    """SVG elements in order; texts are escaped by being set as text."""

    def __init__(self, width: float) -> None:
        self.width = math.ceil(width)
        self.root = ET.Element("svg", {"class": MARK, "xmlns": SPACE, "role": "img"})
        self.title = ET.SubElement(self.root, "title")
        self.before: tuple[float, float, float] | None = None
        self.ground = ET.SubElement(self.root, "rect", {"x": "0", "y": "0", "fill": PAGE})

    def close(self, height: float) -> None:
        whole = math.ceil(height)
        self.root.set("viewBox", f"0 0 {self.width} {whole}")
        for element in (self.root, self.ground):
            element.set("width", str(self.width))
            element.set("height", str(whole))
        self.root.set("font-family", FONT)

    def write(self, label: str) -> str:
        self.title.text = label
        return ET.tostring(self.root, encoding="unicode") + "\n"

    def _add(self, tag: str, **attributes: object) -> ET.Element:
        named = {
            name.replace("_", "-"): f"{value:.1f}" if isinstance(value, float) else str(value)
            for name, value in attributes.items()
        }
        return ET.SubElement(self.root, tag, named)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float,
        anchor: str = "start",
        bold: bool = False,
        fill: str = TEXT,
    ) -> None:
        element = self._add(
            "text",
            x=x,
            y=y,
            font_size=size,
            fill=fill,
            text_anchor=anchor,
            **({"font_weight": 600} if bold else {}),
        )
        element.text = text

    def box(
        self, x: float, y: float, width: float, height: float, kind: str, *, pale: bool = False
    ) -> None:
        fill, edge, _ = FILL[kind]
        self._add(
            "rect",
            x=x,
            y=y,
            width=width,
            height=height,
            rx=3 if pale else 2,
            fill=fill,
            stroke=edge,
            **({"class": kind}),
        )

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        self._add(
            "rect",
            x=x,
            y=y,
            width=width,
            height=height,
            rx=6,
            fill="none",
            stroke=QUIET,
            stroke_dasharray="4 3",
        )

    def way_on(self, x: float, y: float, end: float) -> None:
        """Draw the way out of a cell once something follows it."""
        self.before = (x, y, end)

    def follow(self) -> None:
        """Draw the way out of the cell before."""
        if self.before is not None:
            x, y, end = self.before
            self.line(x, y, end, y)
            self.before = None

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        if abs(x1 - x2) + abs(y1 - y2) > 0.05:
            self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=QUIET, stroke_width=1.2)

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.line(x1, y1, x2, y2)
        self.path(f"M{x2 - 5:.1f} {y2 - 3:.1f}L{x2:.1f} {y2:.1f}L{x2 - 5:.1f} {y2 + 3:.1f}", QUIET)

    def path(self, d: str, colour: str) -> None:
        self._add("path", d=d, fill="none", stroke=colour, stroke_width=1.4)

    def circle(self, x: float, y: float, radius: float) -> None:
        self._add("circle", cx=x, cy=y, r=radius, fill=PAGE, stroke=TEXT, stroke_width=1.2)

    def turn(
        self, end: tuple[float, float, float], start: tuple[float, float], between: float
    ) -> None:
        """Draw the way from the end of a row to the start of the next."""
        x1, y1, _ = end
        x2, y2 = start
        self.path(
            f"M{x1:.1f} {y1:.1f}H{x1 + 8:.1f}V{between:.1f}H{x2 - 8:.1f}V{y2:.1f}H{x2:.1f}", QUIET
        )
