"""A network as one picture (SVG), to open in a browser or put on a slide.

Left to right, in several rows where it is long: boxes as high as their maps are wide
(by the square root, so that small ones stay visible) and wider the more channels
there are (by the logarithm). A residual block is its main branch with the shortcut
as an arc; an inception module is a frame with its branches; equal neighbours are
drawn once with their number.

Nothing here knows any network: all comes from the graph of one pass.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nunbit.errors import StorageError
from nunbit.networks import Description
from nunbit.report.architecture_page import FILL, LETTER, MARK, QUIET, TEXT, Page
from nunbit.report.architecture_parts import Block, Box, Item, boxes_of, make_parts
from nunbit.storage import write_atomic

__all__ = ["check_drawing_place", "draw_architecture", "write_drawing"]

SMALL, NORMAL, LARGE = 11.0, 12.0, 20.0
LINE = 14.0
TALLEST, LEAST = 150.0, 14.0
"""Heights of the picture's box and of the smallest, in SVG units."""
GAP = 20.0
"""Between boxes: room for an arrow."""
ROW_WIDTH = 1500.0
"""About how wide a row may be, in SVG units; longer networks go on below."""
MINI, MINI_GAP = 22.0, 8.0
"""Height of a box in a frame, and what lies between two."""
MARGIN = 24.0


def draw_architecture(description: Description, *, title: str = "") -> str:
    """Return the picture of a network as SVG text.

    Args:
        description: From :func:`nunbit.networks.describe`.
        title: One line for people, after the name.
    """
    items, folded = make_parts(description)
    cells = [_cell(item, description.input[1]) for item in items]
    rows = _rows(cells)
    heading = f"{description.name}: {title}" if title else description.name
    facts = (
        f"{'×'.join(map(str, description.input))} → {description.outputs:,}, "
        f"{description.parameters:,} parameters, {description.multiply_adds:,} multiply-adds"
    )
    footer = _footer(folded)
    widths = [sum(cell.width for cell in row) for row in rows]
    inner = max(
        *widths,
        _wide(heading, LARGE),
        _wide(facts, NORMAL),
        _legend_width(items),
        *(_wide(line, SMALL) for line in footer),
    )
    page = Page(inner + 2 * MARGIN)
    page.text(MARGIN, MARGIN + LARGE, heading, size=LARGE, bold=True)
    page.text(MARGIN, MARGIN + LARGE + 22, facts, size=NORMAL, fill=QUIET)
    top = MARGIN + LARGE + 40
    previous: tuple[float, float, float] | None = None
    for row, width in zip(rows, widths, strict=True):
        half, above = max(cell.half for cell in row), max(cell.above for cell in row)
        below = half + max(cell.labels for cell in row)
        middle = top + above
        left = MARGIN + (inner - width) / 2 if len(rows) == 1 else MARGIN
        if previous is not None:
            page.turn(previous, (left, middle), top - 12)
        for k, cell in enumerate(row):
            is_first = k == 0 and previous is None
            _draw(page, cell, left, middle, half, is_first)
            left += cell.width
        previous = (left, middle, middle + below)
        top += above + below + 28
    _legend(page, items, top)
    for k, line in enumerate(footer):
        page.text(MARGIN, top + 26 + LINE * (k + 1), line, size=SMALL, fill=QUIET)
    page.close(top + 40 + LINE * len(footer))
    label = f"{heading}. {facts}."
    return page.write(label)


def check_drawing_place(path: str | os.PathLike[str]) -> None:
    """Refuse a place where something lies that is no drawing of ours.

    Raises:
        StorageError: There is such a thing.
    """
    if not os.path.lexists(path):
        return
    try:
        with open(path, "rb") as file:
            is_drawing = MARK.encode() in file.read(200)
    except OSError:
        is_drawing = False
    if not is_drawing:
        raise StorageError(
            f"`{path}` is there already and is no drawing of `nunbit networks`; it is not "
            "overwritten. Give another name, or remove it first."
        )


def write_drawing(
    description: Description, path: str | os.PathLike[str], *, title: str = ""
) -> None:
    """Write the picture to a file, whole or not at all; an older drawing is replaced.

    Raises:
        StorageError: It cannot be written, or something else lies there.
    """
    check_drawing_place(path)
    write_atomic(Path(path), draw_architecture(description, title=title))


@dataclass(frozen=True)
class _Cell:
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
    cells: tuple[_Cell, ...] = ()
    high: float = 0.0
    wide: float = 0.0


def _cell(item: Item, whole: int) -> _Cell:
    if isinstance(item, Box):
        return _box_cell(item, whole)
    if item.join == "concat" or not _is_residual(item):
        return _frame_cell(item)
    return _residual_cell(item, whole)


def _box_cell(box: Box, whole: int) -> _Cell:
    if box.side:
        high = LEAST + (TALLEST - LEAST) * min(1.0, math.sqrt(box.side / whole))
        wide = 8 + 3.6 * math.log2(max(2, box.channels))
    else:
        high, wide = 20 + 8 * math.log2(max(2, box.channels)), 14.0
    high = min(high, TALLEST)
    lines = _lines(box)
    text = max(_wide(line, SMALL) for line in lines)
    half = high / 2
    return _Cell(
        box,
        width=max(wide, text) + GAP + 4,
        half=half,
        above=half + (20 if box.repeat > 1 else 4),
        labels=14 + LINE * len(lines),
        high=high,
        wide=wide,
    )


def _residual_cell(block: Block, whole: int) -> _Cell:
    cells = tuple(_cell(each, whole) for each in block.branches[0])
    half = max(cell.half for cell in cells)
    label = _shortcut_text(block)
    width = max(sum(cell.width for cell in cells) + 34, _wide(label, SMALL) + 50)
    return _Cell(
        block,
        width=width + 26,
        half=half,
        above=max(cell.above for cell in cells) + 34 + (20 if block.repeat > 1 else 0),
        labels=max(cell.labels for cell in cells) + 2,
        cells=cells,
    )


def _frame_cell(block: Block) -> _Cell:
    rows = [[_mini_width(box) for box in boxes_of(branch)] for branch in block.branches]
    wide = max(sum(row) + 14 * (len(row) - 1) if row else 30.0 for row in rows)
    high = len(rows) * (MINI + MINI_GAP) + MINI_GAP
    lines = _frame_lines(block)
    text = max(_wide(line, SMALL) for line in (*lines, _frame_title(block)))
    return _Cell(
        block,
        width=max(wide + 52, text) + GAP,
        half=high / 2,
        above=high / 2 + 22,
        labels=14 + LINE * len(lines),
        high=high,
        wide=wide + 52,
    )


def _is_residual(block: Block) -> bool:
    """Whether the branches are one that is drawn and one short enough for an arc's label."""
    return (
        len(block.branches) == 2
        and len(block.branches[1]) <= 2
        and bool(block.branches[0])
        and all(isinstance(item, Box) for item in block.branches[1])
    )


def _lines(box: Box) -> list[str]:
    return [line for line in (box.label, *box.notes, box.size) if line]


def _frame_lines(block: Block) -> list[str]:
    joined = f"{block.channels:,} {'channels' if block.size else 'neurons'}"
    return [line for line in (joined, *block.notes, block.size) if line]


def _frame_title(block: Block) -> str:
    repeat = f"×{block.repeat}" if block.repeat > 1 else ""
    return " ".join(each for each in (block.title, repeat) if each)


def _shortcut_text(block: Block) -> str:
    return ", then ".join(
        " ".join(each for each in (box.label, *box.notes) if each)
        for box in boxes_of(block.branches[1])
    )


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


def _mini_width(box: Box) -> float:
    return _wide(_mini_text(box), SMALL) + 12


def _wide(text: str, size: float) -> float:
    return len(text) * size * LETTER


def _rows(cells: Sequence[_Cell]) -> list[list[_Cell]]:
    """Break a long network into rows of about equal width."""
    whole = sum(cell.width for cell in cells)
    count = max(1, math.ceil(whole / ROW_WIDTH))
    rows: list[list[_Cell]] = [[]]
    done = 0.0
    for cell in cells:
        if rows[-1] and done + cell.width / 2 > whole * len(rows) / count:
            rows.append([])
        rows[-1].append(cell)
        done += cell.width
    return rows


def _draw(page: Page, cell: _Cell, left: float, middle: float, half: float, is_first: bool) -> None:
    page.follow()
    if isinstance(cell.item, Box):
        _draw_box(page, cell, cell.item, left, middle, half, is_first)
    elif cell.cells:
        _draw_residual(page, cell, cell.item, left, middle, half)
    else:
        _draw_frame(page, cell, cell.item, left, middle, half)


def _draw_box(
    page: Page, cell: _Cell, box: Box, left: float, middle: float, half: float, is_first: bool
) -> None:
    centre = left + (cell.width + GAP) / 2 - 2
    x, y = centre - cell.wide / 2, middle - cell.high / 2
    if not is_first:
        page.arrow(left, middle, x, middle)
    page.way_on(x + cell.wide, middle, left + cell.width)
    if box.repeat > 1:
        page.box(x + 4, y - 4, cell.wide, cell.high, box.kind)
        page.text(centre, y - 9, f"×{box.repeat}", size=SMALL, anchor="middle", bold=True)
    piece = (cell.high - 4 * (box.pieces - 1)) / box.pieces
    for k in range(box.pieces):
        page.box(x, y + k * (piece + 4), cell.wide, piece, box.kind)
    for k, line in enumerate(_lines(box)):
        place = middle + half + 6 + LINE * (k + 1)
        quiet = QUIET if k else TEXT
        page.text(centre, place, line, size=SMALL, anchor="middle", bold=k == 0, fill=quiet)


def _draw_residual(
    page: Page, cell: _Cell, block: Block, left: float, middle: float, half: float
) -> None:
    start, end = left + 13, left + cell.width - 13
    arc = middle - max(each.above for each in cell.cells) - 10
    if block.repeat > 1:
        top = arc - 18
        bottom = middle + half + cell.labels
        page.frame(left + 5, top, cell.width - 10, bottom - top)
        page.text(end, top - 5, f"×{block.repeat}", size=NORMAL, anchor="end", bold=True)
    page.line(left, middle, start, middle)
    x = start
    for each in cell.cells:
        _draw(page, each, x, middle, half, False)
        x += each.width
    sign = end - 12
    page.follow()
    page.arrow(x, middle, sign - 9, middle)
    page.path(
        f"M{start:.1f} {middle:.1f}V{arc + 10:.1f}Q{start:.1f} {arc:.1f} {start + 10:.1f} {arc:.1f}"
        f"H{sign - 10:.1f}Q{sign:.1f} {arc:.1f} {sign:.1f} {arc + 10:.1f}V{middle - 10:.1f}",
        FILL["conv"][1],
    )
    page.circle(sign, middle, 9)
    page.text(sign, middle + 4.5, block.join, size=14, anchor="middle", bold=True)
    page.way_on(sign + 9, middle, left + cell.width)
    text = _shortcut_text(block)
    if text:
        page.text((start + sign) / 2, arc - 4, text, size=SMALL, anchor="middle")


def _draw_frame(
    page: Page, cell: _Cell, block: Block, left: float, middle: float, half: float
) -> None:
    centre = left + (cell.width + GAP) / 2
    x, y = centre - cell.wide / 2, middle - cell.high / 2
    page.arrow(left, middle, x, middle)
    page.way_on(x + cell.wide, middle, left + cell.width)
    page.frame(x, y, cell.wide, cell.high)
    title = _frame_title(block)
    if title:
        page.text(centre, y - 7, title, size=SMALL, anchor="middle", bold=True)
    fork, join = x + 8, x + cell.wide - 8
    places = [y + MINI_GAP + MINI / 2 + k * (MINI + MINI_GAP) for k in range(len(block.branches))]
    for post in (fork, join):
        page.line(post, min(places), post, max(places))
    page.line(x, middle, fork, middle)
    page.line(join, middle, x + cell.wide, middle)
    for place, branch in zip(places, block.branches, strict=True):
        boxes = list(boxes_of(branch))
        wide = sum(map(_mini_width, boxes)) + 14 * max(0, len(boxes) - 1)
        at = x + 26 + (cell.wide - 52 - wide) / 2
        page.line(fork, place, at, place)
        for k, box in enumerate(boxes):
            if k:
                page.line(at - 14, place, at, place)
            page.box(at, place - MINI / 2, _mini_width(box), MINI, box.kind, pale=True)
            text = _mini_text(box)
            page.text(at + _mini_width(box) / 2, place + 4, text, size=SMALL, anchor="middle")
            at += _mini_width(box) + 14
        page.line(at if not boxes else at - 14, place, join, place)
    for k, line in enumerate(_frame_lines(block)):
        place = middle + half + 6 + LINE * (k + 1)
        quiet = QUIET if k else TEXT
        page.text(centre, place, line, size=SMALL, anchor="middle", bold=k == 0, fill=quiet)


def _drawn(items: Sequence[Item]) -> Iterator[Item]:
    """Yield what is drawn as boxes: all but the shortcuts that are arcs."""
    for item in items:
        if isinstance(item, Block) and item.join != "concat" and _is_residual(item):
            yield from _drawn(item.branches[0])
        else:
            yield item


def _legend_kinds(items: Sequence[Item]) -> list[str]:
    found = {box.kind for box in boxes_of(_drawn(items))}
    return [kind for kind in FILL if kind in found]


def _legend_width(items: Sequence[Item]) -> float:
    return sum(_wide(FILL[kind][2], SMALL) + 40 for kind in _legend_kinds(items))


def _legend(page: Page, items: Sequence[Item], top: float) -> None:
    x = MARGIN
    for kind in _legend_kinds(items):
        page.box(x, top, 14, 14, kind)
        page.text(x + 20, top + 11, FILL[kind][2], size=SMALL)
        x += _wide(FILL[kind][2], SMALL) + 40


def _footer(folded: dict[str, int]) -> list[str]:
    drawn = "Height: side of the map (or neurons). Width: channels."
    if not folded:
        return [drawn]
    listed = ", ".join(f"{count} {kind}" for kind, count in folded.items())
    return [drawn, f"Not drawn: {listed}."]
