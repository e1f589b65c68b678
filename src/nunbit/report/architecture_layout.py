"""Where the parts of an architecture picture go: their sizes, and the rows they fill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nunbit.report.architecture_page import LETTER
from nunbit.report.architecture_parts import Block, Box, Item, boxes_of

__all__ = [
    "GAP",
    "LARGE",
    "LINE",
    "MARGIN",
    "MINI",
    "MINI_GAP",
    "NORMAL",
    "ROW_GAP",
    "SMALL",
    "Cell",
    "break_rows",
    "frame_lines",
    "frame_title",
    "is_residual",
    "lines_of",
    "make_cell",
    "mini_texts",
    "mini_width",
    "shortcut_text",
    "wide_of",
]

SMALL, NORMAL, LARGE = 14.0, 14.0, 22.0
LINE = 17.0
TALLEST, LEAST = 120.0, 14.0
"""Heights of the picture's box and of the smallest, in SVG units."""
GAP = 16.0
"""Between boxes: room for an arrow."""
SLIDE = 16 / 9
"""Width to height of what the drawing should fill: rows are broken for the largest labels."""
MINI, MINI_GAP = 26.0, 8.0
"""Height of a box in a frame, and what lies between two."""
MARGIN = 24.0
ROW_GAP, AROUND = 28.0, 150.0
"""Heights: between two rows; of heading and legend together."""


@dataclass(frozen=True)
class Cell:
    """An item with its place taken up: arrow to it included.

    Args:
        half: Half of the height of its tallest box; labels of a row begin below the tallest.
        above: Room above the middle line.
        labels: Height of the text below.
    """

    item: Item
    width: float
    half: float
    above: float
    labels: float
    cells: tuple[Cell, ...] = ()
    high: float = 0.0
    wide: float = 0.0


def make_cell(item: Item, whole: int) -> Cell:
    """Return an item with its place; ``whole`` is the side of the picture, in pixels."""
    if isinstance(item, Box):
        return _box_cell(item, whole)
    if item.join == "concat" or not is_residual(item):
        return _frame_cell(item)
    return _residual_cell(item, whole)


def _box_cell(box: Box, whole: int) -> Cell:
    if box.side:
        high = LEAST + (TALLEST - LEAST) * min(1.0, math.sqrt(box.side / whole))
        wide = 8 + 3.6 * math.log2(max(2, box.channels))
    else:
        high, wide = 20 + 8 * math.log2(max(2, box.channels)), 14.0
    high = min(high, TALLEST)
    lines = lines_of(box)
    text = max(wide_of(line, SMALL) for line in lines)
    half = high / 2
    return Cell(
        box,
        width=max(wide, text) + GAP + 4,
        half=half,
        above=half + (20 if box.repeat > 1 else 4),
        labels=14 + LINE * len(lines),
        high=high,
        wide=wide,
    )


def _residual_cell(block: Block, whole: int) -> Cell:
    cells = tuple(make_cell(each, whole) for each in block.branches[0])
    half = max(cell.half for cell in cells)
    label = shortcut_text(block)
    width = max(sum(cell.width for cell in cells) + 34, wide_of(label, SMALL) + 50)
    return Cell(
        block,
        width=width + 26,
        half=half,
        above=max(cell.above for cell in cells) + 34 + (20 if block.repeat > 1 else 0),
        labels=max(cell.labels for cell in cells) + 2,
        cells=cells,
    )


def _frame_cell(block: Block) -> Cell:
    rows = [[mini_width(text) for text in mini_texts(branch)] for branch in block.branches]
    wide = max(sum(row) + 14 * (len(row) - 1) if row else 30.0 for row in rows)
    high = len(rows) * (MINI + MINI_GAP) + MINI_GAP
    lines = frame_lines(block)
    text = max(wide_of(line, SMALL) for line in (*lines, frame_title(block)))
    return Cell(
        block,
        width=max(wide + 52, text) + GAP,
        half=high / 2,
        above=high / 2 + 22,
        labels=14 + LINE * len(lines),
        high=high,
        wide=wide + 52,
    )


def is_residual(block: Block) -> bool:
    """Whether the branches are one that is drawn and one short enough for an arc's label."""
    return (
        len(block.branches) == 2
        and len(block.branches[1]) <= 2
        and bool(block.branches[0])
        and all(isinstance(item, Box) for item in block.branches[1])
    )


def lines_of(box: Box) -> list[str]:
    """Return the text below a box."""
    return [line for line in (box.label, *box.notes, box.size) if line]


def frame_lines(block: Block) -> list[str]:
    """Return the text below a frame of branches."""
    joined = f"{block.channels:,} {'channels' if block.size else 'neurons'}"
    return [line for line in (joined, *block.notes, block.size) if line]


def frame_title(block: Block) -> str:
    """Return the text above a frame of branches."""
    repeat = f"×{block.repeat}" if block.repeat > 1 else ""
    return " ".join(each for each in (block.title, repeat) if each)


def shortcut_text(block: Block) -> str:
    """Return the text at the arc of a residual block."""
    return ", then ".join(
        " ".join(each for each in (box.label, *box.notes) if each)
        for box in boxes_of(block.branches[1])
    )


def mini_texts(branch: Sequence[Item]) -> list[str]:
    """Return what stands in each box of a branch: with the map's size where that changes."""
    boxes = list(boxes_of(branch))
    texts, before = [], ""
    changes = len({box.size for box in boxes}) > 1
    for box in boxes:
        is_told = changes and box.size and box.size != before
        texts.append(_mini_text(box) + (f" → {box.size}" if is_told else ""))
        before = box.size
    return texts


def _mini_text(box: Box) -> str:
    """Return what stands in a box of a frame: all on one line."""
    text = box.label
    for note in box.notes:
        if note.startswith("stride "):
            text += f" /{note.removeprefix('stride ')}" if note != "stride 1" else ""
        elif box.kind == "dense" and note[0].isdigit():
            text += f" {note}"
        else:
            text += f", {note}"
    return text + (f" ×{box.repeat}" if box.repeat > 1 else "")


def mini_width(text: str) -> float:
    """Return the width of a box in a frame."""
    return wide_of(text, SMALL) + 12


def wide_of(text: str, size: float) -> float:
    """Return the width of a text in the widest of the fonts."""
    return len(text) * size * LETTER


def break_rows(cells: Sequence[Cell], least_width: float) -> list[list[Cell]]:
    """Break a network into the rows with which it is largest on a slide."""
    found: list[tuple[float, list[list[Cell]]]] = []
    for count in range(1, len(cells) + 1):
        rows = _broken(cells, count)
        width = max(least_width, *(sum(cell.width for cell in row) for row in rows))
        height = sum(_row_height(row) for row in rows) + AROUND
        found.append((max(width, SLIDE * height), rows))
    return min(found, key=lambda each: each[0])[1]


def _broken(cells: Sequence[Cell], count: int) -> list[list[Cell]]:
    """Return ``count`` rows of about equal width."""
    whole = sum(cell.width for cell in cells)
    rows: list[list[Cell]] = [[]]
    done = 0.0
    for cell in cells:
        if rows[-1] and done + cell.width / 2 > whole * len(rows) / count:
            rows.append([])
        rows[-1].append(cell)
        done += cell.width
    return rows


def _row_height(row: Sequence[Cell]) -> float:
    half, above = max(cell.half for cell in row), max(cell.above for cell in row)
    return above + half + max(cell.labels for cell in row) + ROW_GAP
