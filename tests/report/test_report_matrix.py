"""The confusion matrix: rows are what it is, columns what was read."""

from __future__ import annotations

import base64
import re

import cv2
import numpy as np

from nunbit.report import render_report
from nunbit.report.matrix import RIGHT_STEPS, WRONG_STEPS, make_matrix_view
from nunbit.report.texts import TEXTS
from nunbit.report.words import make_language
from nunbit.tasks.base import Matrix

ENGLISH = make_language("en")


def view(names, counts):
    return make_matrix_view(Matrix(tuple(names), np.asarray(counts, np.int64)), ENGLISH)


def test_table_has_the_counts_in_their_places(run, read_page):
    table = read_page(render_report(run)).one("table", cls="matrix")
    counts = run.evaluations["test"].matrix.counts
    rows = table.table()
    assert [row[0] for row in rows] == [str(digit) for digit in range(10)]
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells[1:]):
            assert text == (f"{counts[row, column]:,}" if counts[row, column] else "")
    cell = table.one("tbody").all("tr")[4].all("td")[9]
    assert cell.attrs["title"].replace("\xa0", " ") == "is 4, read as 9: 40 (4.0 % of the row)"


def test_colours_tell_right_from_wrong_and_much_from_little():
    counts = [[960, 40, 0, 0], [10, 670, 0, 320], [20, 0, 180, 0], [0, 0, 0, 0]]
    rows = view("abcd", counts).rows
    colours = [[cell.colour for cell in cells] for _, cells in rows]
    assert colours == [
        ["right-5", "wrong-3", "", ""],
        ["wrong-1", "right-4", "", "wrong-5"],
        ["wrong-3", "", "right-5", ""],
        ["", "", "", ""],
    ]


def test_the_page_names_the_steps_of_the_colours():
    for about in (texts["matrix_about"] for texts in TEXTS.values()):
        numbers = [float(number) / 100 for number in re.findall(r"\d+", about)]
        assert numbers == [RIGHT_STEPS[0], *WRONG_STEPS]


def test_every_colour_has_a_style(run):
    html = render_report(run)
    for kind in ("right", "wrong"):
        for level in range(1, 6):
            assert f".matrix .{kind}-{level} {{ background: var(--{kind}-{level})" in html
            assert html.count(f"--{kind}-{level}: #") == 2


def test_pairs_are_ordered_by_count_then_by_share():
    pairs = view("abcd", [[10, 2, 0, 0], [0, 90, 5, 2], [0, 0, 5, 0], [2, 0, 0, 3]]).pairs
    assert [(p.expected, p.received, p.count) for p in pairs] == [
        ("b", "c", "5"),
        ("d", "a", "2"),
        ("a", "b", "2"),
        ("b", "d", "2"),
    ]
    assert pairs[1].share.replace("\xa0", " ") == "40.0 %"


def test_many_classes_become_a_picture_with_one_pixel_per_cell(change, evaluate, read_page):
    counts = np.diag([10] * 30)
    counts[2, 2], counts[2, 7] = 6, 4
    counts[5, 5], counts[5, 0] = 9, 1
    names = [f"n{k}" for k in range(30)]
    page = read_page(render_report(change(evaluations={"test": evaluate(names, counts)})))
    image = page.one("figure", cls="matrix-image").one("img")
    assert image.attrs["alt"].startswith("Confusion matrix of 30 classes; 295 of 300 pictures")
    raw = base64.b64decode(image.attrs["src"].partition(",")[2])
    pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels.shape == (30, 30, 4)
    alpha = pixels[..., 3].astype(int)
    np.testing.assert_array_equal(alpha > 0, counts > 0)
    assert alpha[2, 7] == 255
    assert alpha[2, 7] > alpha[5, 0] > 0
    blue, _, red = pixels[2, 7, :3]
    assert red > blue
    blue, _, red = pixels[0, 0, :3]
    assert blue > red
    assert "n2 n7 4 40.0 %" in page.one("div", cls="pairs").text


def test_all_wrong_and_nothing_there():
    assert view("ab", [[0, 3], [2, 0]]).rows[0][1][0].text == ""
    assert view("ab", [[0, 0], [0, 0]]).pairs == ()
    assert view([str(k) for k in range(25)], np.zeros((25, 25))).image
