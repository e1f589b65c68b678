"""The sheet of ``nunbit check``: whole, escaped, in both languages, never written over others."""

from __future__ import annotations

import base64
import re
import string

import cv2
import numpy as np
import pytest

from nunbit.data.checks import check_pictures, scan
from nunbit.data.checks.duplicates import Duplicates, Group
from nunbit.data.checks.findings import Finding, Findings
from nunbit.data.checks.rules import duplicate_findings
from nunbit.data.table import PictureTable
from nunbit.errors import OptionError, PictureError, StorageError
from nunbit.report.check_sheet import render_check_sheet, write_check_sheet
from nunbit.report.check_texts import SENTENCES_KO, SUGGESTIONS_KO, TITLES, WORDS

HANGUL = re.compile(r"[가-힣]")


class Store:
    def __init__(self, pictures, names):
        self.pictures, self.names = pictures, names

    def __len__(self):
        return len(self.pictures)

    def name(self, position):
        return self.names[position]

    def read(self, position):
        picture = self.pictures[position]
        if picture is None:
            raise PictureError("gone")
        return picture


def noise(number, height=100, width=130):
    rng = np.random.default_rng(number)
    return cv2.resize(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), (width, height))


def table_of(pictures, *, names=None, labels=None, split=None, classes=("cat", "dog"), **how):
    count = len(pictures)
    return PictureTable(
        store=Store(pictures, names or [f"{k}.png" for k in range(count)]),
        ids=np.arange(count),
        labels=np.array(labels if labels is not None else [k % 2 for k in range(count)]),
        classes=classes,
        split=np.array(split or ["train"] * count),
        source="pets",
        **how,
    )


def findings_of(table):
    return check_pictures(table, *scan(table))


@pytest.fixture
def leaky():
    """One picture in train and test, one with two labels, and a file that is no picture."""
    pictures = [noise(1), noise(1), noise(2), noise(2), b"hello", noise(3)]
    return findings_of(
        table_of(pictures, labels=[0, 0, 0, 1, 1, 1], split=["train", "test"] + ["train"] * 4)
    )


def test_page_shows_pairs_side_by_side(leaky, read_page):
    page = read_page(render_check_sheet(leaky))
    assert page.one("h1").text == "pets: 4 errors and 1 warning in 6 pictures."
    groups = page.all("ul", cls="copies")
    assert len(groups) == 2
    assert len(groups[0].all("img")) == 2
    shown = [node.text for node in groups[0].all("figcaption")]
    assert "test" in shown[1]
    assert "1.png" in shown[1]
    uri = groups[0].all("img")[0].attrs["src"]
    data = base64.b64decode(uri.partition(",")[2])
    thumbnail = cv2.imdecode(np.frombuffer(data, np.uint8), 1)
    expected = cv2.resize(noise(1), (130, 100))[:, :, ::-1]
    assert np.abs(thumbnail.astype(int) - expected).mean() < 3


def test_page_needs_nothing_else(leaky):
    html = render_check_sheet(leaky)
    assert "<script" not in html
    assert re.findall(r"""(?:src|href)="(?!data:)""", html) == []
    assert "default-src 'none'" in html
    assert html == render_check_sheet(leaky)


def test_a_clean_set_is_said_to_be_clean(read_page):
    table = table_of([noise(k) for k in range(24)])
    page = read_page(render_check_sheet(findings_of(table)))
    assert page.one("h1").text == "pets: nothing wrong was found in 24 pictures."
    assert page.all("img") == []
    cells = [[c.text for c in row.all("td")] for row in page.all("tr")[1:]]
    assert cells == [["12"], ["12"], ["24"]]


NASTY = '<img src=x onerror="alert(1)">&amp;'


def test_names_never_become_markup(read_page):
    pictures = [noise(1), noise(1), b"", noise(4)]
    names = [f"{NASTY}.png", "\u202etxt.png", "\udcff.png", "\x1b[0m.png"]
    table = table_of(pictures, names=names, classes=(NASTY, "b"), notes=(NASTY,))
    html = render_check_sheet(findings_of(table))
    html.encode("utf-8")
    assert "<img src=x" not in html
    page = read_page(html)
    assert NASTY in page.text
    assert all("onerror" not in node.attrs for node in page.walk())
    assert "\u202e" not in html
    assert "\x1b" not in html


def test_a_picture_that_is_gone_is_named_without_a_picture(leaky, read_page):
    leaky.table.store.pictures[0] = None
    group = read_page(render_check_sheet(leaky)).all("ul", cls="copies")[0]
    assert len(group.all("img")) == 1
    assert "cannot be shown" in group.text
    assert "0.png" in group.text


def test_long_lists_are_cut_and_it_is_said(read_page):
    pictures = [noise(k // 9) for k in range(9 * 14)] + [b""] * 40
    labels = [k // 9 % 2 for k in range(9 * 14)] + [0] * 40
    page = read_page(render_check_sheet(findings_of(table_of(pictures, labels=labels))))
    assert len(page.all("ul", cls="copies")[0].all("li")) == 12
    assert len(page.all("ul", cls="gallery")[0].all("li")) == 24
    assert "24 of 40 are shown" in page.text
    assert "12 of 14 are shown" in page.text
    assert "6 of 9 copies are shown." in page.text


def test_a_large_group_shows_both_sides_of_the_split(read_page):
    pictures = [noise(1)] * 12
    table = table_of(pictures, labels=[0] * 12, split=["train"] * 11 + ["test"])
    group = read_page(render_check_sheet(findings_of(table))).all("ul", cls="copies")[0]
    assert "11.png" in group.text


def test_many_classes_are_cut(read_page):
    classes = tuple(f"class {k}" for k in range(60))
    table = table_of([noise(1)] * 60, labels=list(range(60)), classes=classes)
    page = read_page(render_check_sheet(Findings(table, ())))
    assert "40 of 60 classes are shown." in page.text
    assert page.all("tr")[-1].all("td")[0].text == "60"


@pytest.mark.parametrize(
    ("kind", "labels"), [("multi-label", [[1, 0], [1, 1]]), ("regression", [[0.5, 1.0]] * 2)]
)
def test_other_kinds_of_labels(read_page, kind, labels):
    table = table_of([noise(1), noise(1)], labels=labels, kind=kind)
    page = read_page(render_check_sheet(findings_of(table)))
    assert ("cat|dog" in page.text) == (kind == "multi-label")
    assert ("0.5|1" in page.text) == (kind == "regression")
    assert bool(page.all("table")) == (kind == "multi-label")


def places(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_languages_say_the_same():
    assert TITLES["en"].keys() == TITLES["ko"].keys()
    assert SENTENCES_KO.keys() == SUGGESTIONS_KO.keys() == TITLES["en"].keys()
    assert WORDS["en"].keys() == WORDS["ko"].keys()
    for key, text in WORDS["en"].items():
        assert places(text) == places(WORDS["ko"][key]), key
        assert not HANGUL.search(text), key
    for table in (TITLES["ko"], WORDS["ko"]):
        assert all(HANGUL.search(text) for key, text in table.items() if key != "title")


def every_finding():
    """Return findings of all kinds but those of labels, as the rules write them."""
    pictures = [noise(k, 90, 110) for k in range(30)]
    pictures += [noise(40, 900, 1100), noise(41, 60, 400), np.zeros((80, 80), np.uint8), b""]
    half = noise(45, 96, 96)
    half[64:] = 128  # as libjpeg fills up what is missing
    pictures += [cv2.imencode(".jpg", half)[1].tobytes()]
    pictures += [(noise(42) * 0.15).astype(np.uint8), noise(43, 20, 25), noise(44)]
    names = [f"{k}.png" for k in range(len(pictures))]
    pictures[-1] = cv2.imencode(".png", np.zeros((90, 90, 4), np.uint8) + 100)[1].tobytes()
    names[-1] = "last.jpg"
    labels = [0] * (len(pictures) - 2) + [1, 2]
    split = ["train"] * (len(pictures) - 1) + ["test"]
    table = table_of(
        pictures, names=names, labels=labels, split=split, classes=("a", "A", "b"), notes=("n",)
    )
    found = list(findings_of(table).items)
    groups = {"is_across": (True, False), "has_conflict": (False, True), "within": (False, False)}
    alike = [Group((0, 1), ((0, 1),), 1.0, *flags) for flags in groups.values()]
    found += duplicate_findings(table, Duplicates(tuple(alike), tuple(alike)))
    one = table_of([noise(1)] * 20, labels=[0] * 20, classes=("x",))
    found += [i for i in findings_of(one).items if i.kind == "one-class"]
    apart = table_of([noise(1)] * 2, split=["train", "test"], group=np.array(["g", "g"]))
    found += [i for i in findings_of(apart).items if i.kind == "group-across"]
    found += [Finding("near-capped", "note", "x.", values={"pictures": 1})]
    return table, found


def test_every_kind_of_finding_has_its_korean_sentence(read_page):
    """All kinds that the rules make are known, and their values fill the sentences."""
    table, found = every_finding()
    kinds = {item.kind for item in found}
    assert kinds == TITLES["en"].keys() - {"label-suspects", "labels-not-judged"}
    page = read_page(render_check_sheet(Findings(table, tuple(found)), lang="ko"))
    sentences = [node.text for node in page.all("p", cls="about")]
    assert len(sentences) == len(found)
    assert [text for text in sentences if not HANGUL.search(text)] == ["N"]  # the table's note
    assert "{" not in "".join(sentences)


def test_unknown_language_is_refused(leaky):
    with pytest.raises(OptionError, match="lang is 'de'"):
        render_check_sheet(leaky, lang="de")


def test_files_that_are_no_sheets_stay(leaky, tmp_path):
    place = tmp_path / "sheet.html"
    write_check_sheet(leaky, place)
    write_check_sheet(leaky, place, lang="ko")
    assert '<html lang="ko">' in place.read_text(encoding="utf-8")
    place.write_text("mine")
    with pytest.raises(StorageError, match=r"is no sheet of `nunbit check`; it is not overwritten"):
        write_check_sheet(leaky, place)
    assert place.read_text() == "mine"
    with pytest.raises(StorageError, match="is there already"):
        write_check_sheet(leaky, tmp_path)
