"""The list of all networks as lines of text, as wide as the terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nunbit.cli._network_facts import other_names, short_count

if TYPE_CHECKING:
    from nunbit.networks import Description, NetworkInfo

    Member = tuple[NetworkInfo, Description]

__all__ = ["left_out_lines", "list_lines"]

GAP = "  "
SHORT_BELOW = 100
"""Narrower terminals get no other names, and parameters written short."""
REPORTED, TITLE = 40, 24
"""Characters: what ``reported`` may take where a title follows, and the least for a title."""
HEADER = ["network", "input", "parameters", "mult-adds", "year", "reported"]
SHORT_HEADER = ["network", "input", "params", "mult-adds", "year", "reported"]
CLOSING = (
    "`nunbit networks NAME` shows one, `nunbit networks --weights` the published weights. "
    "With nunbit[timm], timm/NAME is a network of timm."
)


def list_lines(members: Sequence[Member], width: int) -> list[str]:
    """Return the networks under their sources, oldest first, and footnotes.

    What stands in parentheses after a reported value, such as its crops, is a footnote.

    Args:
        width: Of the terminal, in characters; no line is longer.
    """
    groups: dict[str, list[Member]] = {}
    for info, shown in members:
        groups.setdefault(info.source, []).append((info, shown))
    notes: dict[str, str] = {}
    parts = []
    for source, group in sorted(groups.items(), key=lambda each: each[1][0][0].year):
        common, rows = _rows(group, notes, is_short=width < SHORT_BELOW)
        parts.append((source, common, group, rows))
    header = SHORT_HEADER if width < SHORT_BELOW else HEADER
    every = [row for *_, rows in parts for row in rows]
    last = len(HEADER) - 1
    widths = [max(map(len, column)) for column in zip(header, *every, strict=True)][:last]
    room = max(TITLE, width - sum(widths) - last * len(GAP))
    wanted = max(len(row[last]) for row in [header, *every])
    reported = room if room < REPORTED + TITLE else min(wanted, room - TITLE - len(GAP))
    title = room - reported - len(GAP)
    with_titles = title >= TITLE
    lines = [_line([*header, "what it is"] if with_titles else header, [*widths, reported])]
    for source, common, group, rows in parts:
        heading = source
        if len(group) == 1 and not with_titles:
            heading = f"{source} – {group[0][0].title}"
        heading += f"; reported{common}" if common else ""
        lines += ["", *textwrap.wrap(heading, width, subsequent_indent="    ")]
        for row, (info, _) in zip(rows, group, strict=True):
            cells = [*row, _cut(info.title, title)] if with_titles else row
            lines.append(_line(cells, [*widths, reported]))
    if notes:
        text = "; ".join(f"{mark} {note}" for note, mark in notes.items())
        lines += ["", *textwrap.wrap(text, width)]
    return [*lines, "", *textwrap.wrap(CLOSING, width, break_on_hyphens=False)]


def left_out_lines(left_out: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return which networks need larger pictures, with the least side, in few lines.

    Args:
        left_out: Names, and what was said.
    """
    by_side: dict[int, list[str]] = {}
    lines = []
    for name, said in left_out:
        least = re.search(r"at least (\d+)×", said)
        if least is None:
            lines.append(f"left out: {name}: {said}")
        else:
            by_side.setdefault(int(least[1]), []).append(name)
    if by_side:
        texts = [f"{', '.join(names)} ({side})" for side, names in sorted(by_side.items())]
        text = f"left out, with the least side they need: {', '.join(texts)}"
        lines += textwrap.wrap(text, width, break_on_hyphens=False)
    return lines


def _rows(
    group: Sequence[Member], notes: dict[str, str], *, is_short: bool
) -> tuple[str, list[list[str]]]:
    """Return what all values were reported on, and a row per network."""
    bare = [re.sub(r" *\([^()]*\)", "", info.reported) for info, _ in group]
    own = [re.findall(r"\(([^()]*)\)", info.reported) for info, _ in group]
    found = [re.search(r"( error)? on \S+$", each) for each in bare if each]
    ends = {match[0] if match else "" for match in found}
    common = ends.pop() if len(ends) == 1 and len(group) > 1 else ""
    said = {tuple(each) for each, text in zip(own, bare, strict=True) if text}
    is_shared = bool(common) and len(said) == 1
    rows = []
    for (info, shown), text, words in zip(group, bare, own, strict=True):
        marks = []
        for note in [] if is_shared else words:
            marks.append(notes.setdefault(note, f"[{len(notes) + 1}]"))
        rows.append(
            [
                info.name if is_short else ", ".join([info.name, *other_names(info)]),
                "×".join(map(str, shown.input)),
                short_count(shown.parameters) if is_short else f"{shown.parameters:,}",
                short_count(shown.multiply_adds),
                str(info.year or ""),
                " ".join([text.removesuffix(common), *marks]),
            ]
        )
    shared = [f" ({note})" for note in said.pop()] if is_shared else []
    return "".join([common, *shared]), rows


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = []
    for k, cell in enumerate(cells):
        wide = widths[k] if k < len(widths) else 0
        if k == len(HEADER) - 1:
            text, mark = re.fullmatch(r"(.*?)((?: \[\d+\])*)", cell).groups()  # type: ignore[union-attr]
            cell = _cut(text, wide - len(mark)) + mark
        texts.append(f"{cell:>{wide}}" if k in (2, 3, 4) else f"{cell:{wide}}")
    return GAP.join(texts).rstrip()


def _cut(text: str, width: int) -> str:
    return textwrap.shorten(text, width, placeholder=" …", break_on_hyphens=False)
