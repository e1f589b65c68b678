"""The layer table as lines of text, as wide as the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nunbit.networks import Description, Layer

__all__ = ["layer_lines"]

HEADER = ["layer", "kind", "output", "parameters", "multiply-adds", "sees", "memory"]
SHORT_HEADER = {"parameters": "params", "multiply-adds": "mult-adds"}
LEAST_NAME = 12
"""Characters that stay of a layer's name in the narrowest terminal."""


def layer_lines(shown: Description, width: int) -> list[str]:
    """Return the table with its sums; where it is too wide, its parts are written shorter.

    One after another, as far as needed: short counts, short kinds, no memory column,
    narrow gaps, and names without their beginning.

    Args:
        width: Of the terminal, in characters.
    """
    lines: list[str] = []
    for shortened in range(5):
        lines = _table(shown, shortened, room=None)
        if max(map(len, lines)) <= width:
            break
    else:
        longest = max(len(layer.name) for layer in shown.layers)
        room = longest - (max(map(len, lines)) - width)
        lines = _table(shown, 4, room=max(LEAST_NAME, room))
    if shortened >= 3:
        from nunbit.transfer.meter import size_text

        lines.append(f"memory of all outputs: {size_text(shown.memory_bytes)}")
    if shortened >= 2:
        lines.append("/2 is stride 2; a wider terminal shows padding and more")
    return lines


def _table(shown: Description, shortened: int, *, room: int | None) -> list[str]:
    from nunbit.transfer.meter import size_text

    count: Callable[[int], str] = _brief if shortened >= 1 else "{:,}".format
    header = [SHORT_HEADER.get(each, each) for each in HEADER] if shortened >= 1 else HEADER
    rows = [_row(layer, count, with_short_kind=shortened >= 2) for layer in shown.layers]
    total = count(shown.parameters), count(shown.multiply_adds)
    table = [
        header,
        *rows,
        ["total", "", "", *total, "", size_text(shown.memory_bytes)],
    ]
    if shortened >= 3:
        table = [row[:-1] for row in table]
    if room is not None:
        table = [[_without_beginning(row[0], room), *row[1:]] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    gap = " " if shortened >= 4 else "  "
    return [
        gap.join(
            f"{cell:{'<' if k < 2 else '>'}{widths[k]}}" for k, cell in enumerate(row)
        ).rstrip()
        for row in table
    ]


def _row(layer: Layer, count: Callable[[int], str], *, with_short_kind: bool) -> list[str]:
    from nunbit.transfer.meter import size_text

    sees = layer.receptive_field
    field = sees if isinstance(sees, str) else "×".join(map(str, dict.fromkeys(sees or ())))
    return [
        layer.name,
        _short_kind(layer.kind) if with_short_kind else layer.kind,
        "×".join(map(str, layer.output)),
        count(layer.parameters),
        count(layer.multiply_adds),
        field,
        size_text(layer.memory_bytes) if layer.memory_bytes else "",
    ]


def _short_kind(kind: str) -> str:
    """Return a kind without what matters least.

    Example:
        >>> _short_kind("max-pool 3, stride 2, padding 1")
        'max-pool 3 /2'
    """
    kind = re.sub(r", padding [\w×]+|, rounded up", "", kind)
    kind = kind.replace(", stride ", " /").replace("average", "avg")
    return kind.replace("(training only)", "(training)")


def _brief(count: int) -> str:
    """Return a number with three digits and its unit.

    Example:
        >>> _brief(115_605_504), _brief(999_999), _brief(128)
        ('116M', '1.00M', '128')
    """
    for factor, unit in ((10**3, "k"), (10**6, "M"), (10**9, "G")):
        if 1000 <= count < 999.5 * factor or (count >= 1000 and unit == "G"):
            value = count / factor
            digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f}{unit}"
    return str(count)


def _without_beginning(name: str, room: int) -> str:
    return name if len(name) <= room else "…" + name[len(name) - room + 1 :]
