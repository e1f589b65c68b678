"""A network as one picture (SVG), to open in a browser or put on a slide.

Left to right, in several rows where it is long: boxes as high as their maps are wide
(by the square root, so that small ones stay visible) and wider the more channels
there are (by the logarithm). A residual block is its main branch with the shortcut
as an arc; an inception module is a frame with its branches; equal neighbours are
drawn once with their number.

Nothing here knows any network: all comes from the graph of one pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from nunbit.errors import StorageError
from nunbit.networks import Description, Layer
from nunbit.report.architecture_layout import (
    GAP,
    LARGE,
    LINE,
    MARGIN,
    MINI,
    MINI_GAP,
    NORMAL,
    ROW_GAP,
    SMALL,
    Cell,
    break_rows,
    frame_lines,
    frame_title,
    is_residual,
    lines_of,
    make_cell,
    mini_texts,
    mini_width,
    shortcut_text,
    wide_of,
)
from nunbit.report.architecture_page import FILL, MARK, QUIET, TEXT, Page
from nunbit.report.architecture_parts import Block, Box, Item, boxes_of, make_parts
from nunbit.storage import is_free_for, write_atomic

__all__ = ["check_drawing_place", "draw_architecture", "write_drawing"]


def draw_architecture(description: Description, *, title: str = "") -> str:
    """Return the picture of a network as SVG text.

    Args:
        description: From :func:`nunbit.networks.describe`.
        title: One line for people, after the name.
    """
    items, folded = make_parts(description)
    cells = [make_cell(item, description.input[1]) for item in items]
    heading = f"{description.name}: {title}" if title else description.name
    facts = (
        f"{'×'.join(map(str, description.input))} → {description.outputs:,}, "
        f"{description.parameters:,} parameters, {description.multiply_adds:,} multiply-adds"
    )
    footer = _footer(items, folded, description.layers)
    least = max(
        wide_of(heading, LARGE),
        wide_of(facts, NORMAL),
        _legend_width(items),
        *(wide_of(line, SMALL) for line in footer),
    )
    rows = break_rows(cells, least)
    widths = [sum(cell.width for cell in row) for row in rows]
    inner = max(least, *widths)
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
        top += above + below + ROW_GAP
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
    if not is_free_for(path, MARK, within=200):
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


def _draw(page: Page, cell: Cell, left: float, middle: float, half: float, is_first: bool) -> None:
    page.follow()
    if isinstance(cell.item, Box):
        _draw_box(page, cell, cell.item, left, middle, half, is_first)
    elif cell.cells:
        _draw_residual(page, cell, cell.item, left, middle, half)
    else:
        _draw_frame(page, cell, cell.item, left, middle, half)


def _draw_box(
    page: Page, cell: Cell, box: Box, left: float, middle: float, half: float, is_first: bool
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
    for k, line in enumerate(lines_of(box)):
        place = middle + half + 6 + LINE * (k + 1)
        quiet = QUIET if k else TEXT
        page.text(centre, place, line, size=SMALL, anchor="middle", bold=k == 0, fill=quiet)


def _draw_residual(
    page: Page, cell: Cell, block: Block, left: float, middle: float, half: float
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
    text = shortcut_text(block)
    if text:
        page.text((start + sign) / 2, arc - 6, text, size=SMALL, anchor="middle")


def _draw_frame(
    page: Page, cell: Cell, block: Block, left: float, middle: float, half: float
) -> None:
    centre = left + (cell.width + GAP) / 2
    x, y = centre - cell.wide / 2, middle - cell.high / 2
    page.arrow(left, middle, x, middle)
    page.way_on(x + cell.wide, middle, left + cell.width)
    page.frame(x, y, cell.wide, cell.high)
    title = frame_title(block)
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
        texts = mini_texts(branch)
        wide = sum(map(mini_width, texts)) + 14 * max(0, len(boxes) - 1)
        at = x + 26 + (cell.wide - 52 - wide) / 2
        page.line(fork, place, at, place)
        for k, (box, text) in enumerate(zip(boxes, texts, strict=True)):
            if k:
                page.line(at - 14, place, at, place)
            page.box(at, place - MINI / 2, mini_width(text), MINI, box.kind, pale=True)
            page.text(at + mini_width(text) / 2, place + 5, text, size=SMALL, anchor="middle")
            at += mini_width(text) + 14
        page.line(at if not boxes else at - 14, place, join, place)
    for k, line in enumerate(frame_lines(block)):
        place = middle + half + 6 + LINE * (k + 1)
        quiet = QUIET if k else TEXT
        page.text(centre, place, line, size=SMALL, anchor="middle", bold=k == 0, fill=quiet)


def _drawn(items: Sequence[Item]) -> Iterator[Item]:
    """Yield what is drawn as boxes: all but the shortcuts that are arcs."""
    for item in items:
        if isinstance(item, Block) and item.join != "concat" and is_residual(item):
            yield from _drawn(item.branches[0])
        else:
            yield item


def _legend_kinds(items: Sequence[Item]) -> list[str]:
    found = {box.kind for box in boxes_of(_drawn(items))}
    return [kind for kind in FILL if kind in found]


def _legend_width(items: Sequence[Item]) -> float:
    return sum(wide_of(FILL[kind][2], SMALL) + 40 for kind in _legend_kinds(items))


def _legend(page: Page, items: Sequence[Item], top: float) -> None:
    x = MARGIN
    for kind in _legend_kinds(items):
        page.box(x, top, 14, 14, kind)
        page.text(x + 20, top + 11, FILL[kind][2], size=SMALL)
        x += wide_of(FILL[kind][2], SMALL) + 40


def _footer(items: Sequence[Item], folded: dict[str, int], layers: Sequence[Layer]) -> list[str]:
    has_maps = any(box.side for box in boxes_of(items))
    has_dense = any(not box.side for box in boxes_of(items))
    highs = ["side of the map (square root)"] * has_maps
    highs += ["number of neurons (logarithm)"] * has_dense
    lines = [f"Height: {', or '.join(highs)}. Width: channels (logarithm)."]
    names = {
        layer.name.partition(".")[0] for layer in layers if layer.kind.endswith("(training only)")
    }
    listed = [f"{count} {kind}" for kind, count in folded.items()]
    if names:
        listed.append(
            f"{len(names)} auxiliary classifier{'s' * (len(names) > 1)}, used in training"
        )
    return [*lines, f"Not drawn: {', '.join(listed)}."] if listed else lines
