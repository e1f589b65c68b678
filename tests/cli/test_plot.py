"""Curves in a terminal: the right dots, within the width, in signs that can be written."""

from __future__ import annotations

import io
import math

from hypothesis import given
from hypothesis import strategies as st

from nunbit.cli._plot import can_show, draw_curve, side_by_side


def test_a_straight_line_is_drawn_in_dots() -> None:
    lines = draw_curve([(0, 0.0), (1, 1.0)], title="up", columns=7, rows=2, value="{:.0f}".format)
    assert [line.rstrip() for line in lines] == ["   up", "1 │  ⡠⠊", "0 │⡠⠊", "   0  1"]


def test_plain_signs_where_there_are_no_others() -> None:
    lines = draw_curve(
        [(1, 3.0), (2, 1.0), (3, 1.0)], title="loss", columns=12, rows=3, braille=False
    )
    assert [line.rstrip() for line in lines] == [
        "   loss", "3 |**", "  |  *", "1 |   ******", "   1       3",
    ]  # fmt: skip
    assert all(line.isascii() for line in lines)


def test_a_flat_curve_lies_in_the_middle() -> None:
    lines = draw_curve([(1, 2.0), (3, 2.0)], title="", columns=9, rows=3, braille=False)
    assert "***" in lines[2]
    assert "*" not in lines[1] + lines[3]


def test_what_is_no_number_is_left_out_and_nothing_is_no_curve() -> None:
    points = [(1, 1.0), (2, math.nan), (3, math.inf), (4, 0.0)]
    assert draw_curve(points, title="t", columns=20) == draw_curve(
        [(1, 1.0), (4, 0.0)], title="t", columns=20
    )
    assert draw_curve([(1, math.nan)], title="t", columns=20) == []


def test_a_stream_says_whether_it_can_show_dots() -> None:
    assert can_show(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert not can_show(io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert not can_show(io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))


@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=50),
    st.integers(10, 120),
    st.integers(2, 12),
    st.booleans(),
)
def test_any_curve_fits_its_place(
    values: list[float], columns: int, rows: int, braille: bool
) -> None:
    points = [(float(x), y) for x, y in enumerate(values)]
    lines = draw_curve(points, title="t", columns=columns, rows=rows, braille=braille)
    assert len(lines) == rows + 2
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= max(columns, 30)
    middle = "".join(lines[1:-1])
    assert "*" in middle if not braille else any("⠀" < c <= "⣿" for c in middle)
    both = side_by_side(lines, lines)
    assert all(len(line) == 2 * len(lines[0]) + 3 for line in both)
