"""Findings: what is told, how badly, in which words; a clean set gives none."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.checks import check_pictures, fast_findings, printable, scan
from nunbit.data.checks.findings import Finding, Findings
from nunbit.data.checks.labels import class_findings
from nunbit.data.sources.opening import open_source


def checked(table):
    return check_pictures(table, *scan(table))


def smaller(picture):
    return cv2.resize(picture, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)


def kinds(findings):
    return [(item.severity, item.kind) for item in findings.items]


def test_a_clean_set_gives_nothing(make_table, photo):
    findings = checked(make_table([photo(k) for k in range(40)]))
    assert findings.items == ()
    assert findings.lines() == []
    assert findings.counts == {"error": 0, "warning": 0, "note": 0}
    assert findings.exclusions() == []


@pytest.mark.parametrize("name", ["digits", "shapes", "signals"])
def test_clean_named_sets_give_no_errors_or_warnings(name):
    assert checked(open_source(name)).lines() == []


def test_unreadable_pictures_are_an_error_with_reasons(make_table, photo):
    table = make_table([photo(1), b"", photo(2), b"hello"])
    item = checked(table).of_kind("unreadable")
    assert item is not None
    assert item.severity == "error"
    assert item.text == ("2 pictures of 4 cannot be read; the first: 1.png (the file is empty).")
    assert item.rows == (1, 3)
    assert item.remarks == ("the file is empty", "damaged, truncated, or not a picture")


def test_a_jpeg_that_is_grey_at_its_end_is_a_warning(make_table, photo):
    half = photo(1, 128, 96)
    half[64:] = 128
    file = cv2.imencode(".jpg", half)[1].tobytes()
    item = checked(make_table([photo(2), file], names=["a.jpg", "b.jpg"])).of_kind("cut-off")
    assert item is not None
    assert (item.severity, item.rows) == ("warning", (1,))
    assert item.text == (
        "1 JPEG is of one even grey at one edge, as after a broken download: b.jpg."
    )


def test_copies_across_splits_are_errors_and_come_first(make_table, photo):
    pictures = [photo(k) for k in range(24)] + [photo(0), smaller(photo(1)), photo(2)]
    table = make_table(
        pictures,
        labels=[k % 2 for k in range(24)] + [0, 1, 0],
        split=["train"] * 24 + ["test", "test", "train"],
    )
    findings = checked(table)
    assert kinds(findings) == [
        ("error", "exact-across"),
        ("error", "near-across"),
        ("warning", "exact-within"),
    ]
    assert findings.items[0].text == (
        "1 group of identical pictures on both sides of a split (train, test): the scores would "
        "be too good (2 pictures); the first: 0.png, 24.png."
    )
    assert findings.items[0].count == 1
    assert findings.items[1].groups[0].rows == (1, 25)


def test_copies_with_other_labels(make_table, photo):
    pictures = [photo(1), photo(1), photo(2), smaller(photo(2))]
    findings = checked(make_table(pictures))
    assert ("error", "exact-conflict") in kinds(findings)
    assert ("warning", "near-conflict") in kinds(findings)
    assert findings.of_kind("exact-within") is None


def test_outliers_of_size_shape_and_light(make_table, photo):
    usual = [photo(k, 100 + k % 7, 130 + k % 11) for k in range(40)]
    dark = (photo(50) * 0.08).astype(np.uint8)
    pictures = [*usual, photo(51, 900, 1200), photo(52, 50, 300), dark, photo(53, 20, 26)]
    findings = checked(make_table(pictures))
    size, aspect = findings.of_kind("size"), findings.of_kind("aspect")
    brightness = findings.of_kind("brightness")
    assert size is not None
    assert size.rows == (40, 43)  # the farthest first
    assert size.remarks == ("1200×900", "26×20")
    assert aspect is not None
    assert aspect.rows == (41,)
    assert brightness is not None
    assert brightness.rows == (42,)
    assert brightness.remarks[0] == f"brightness {scan(make_table([dark]))[0].brightness[0]:.0f}"


def test_few_pictures_have_no_outliers(make_table, photo):
    findings = checked(make_table([photo(1), photo(2), photo(3, 900, 1200)]))
    assert findings.of_kind("size") is None


def test_a_set_of_many_sizes_has_no_outliers(make_table, photo):
    rng = np.random.default_rng(0)
    sides = np.exp(rng.uniform(np.log(50), np.log(500), 60)).astype(int)
    findings = checked(make_table([photo(k, s, s) for k, s in enumerate(sides)]))
    assert findings.of_kind("size") is None


def test_pictures_of_one_colour(make_table, photo):
    black, white = np.zeros((60, 60), np.uint8), np.full((70, 60, 3), 255, np.uint8)
    findings = checked(make_table([*(photo(k) for k in range(30)), black, white]))
    plain = findings.of_kind("plain")
    assert plain is not None
    assert plain.rows == (30, 31)
    assert plain.remarks == ("brightness 0", "brightness 255")
    assert findings.of_kind("brightness") is None  # told once


def test_odd_files_and_wrong_suffixes(make_table, photo, encode):
    from PIL import Image

    cmyk = encode(Image.fromarray(photo(1)).convert("CMYK"), "JPEG")
    plain = encode(Image.fromarray(photo(2)), "PNG")
    findings = checked(make_table([cmyk, plain], names=["a.jpg", "b.jpg"]))
    odd, lies = findings.of_kind("odd-files"), findings.of_kind("wrong-suffix")
    assert odd is not None
    assert (odd.text, odd.severity) == ("1 file is of an unusual kind: 1 × CMYK.", "note")
    assert lies is not None
    assert lies.rows == (1,)
    assert "the first: b.jpg is PNG" in lies.text


def test_small_pictures_are_said_not_to_be_searched():
    item = checked(open_source("digits")).of_kind("near-not-searched")
    assert item is not None
    assert item.text.startswith("1,797 pictures are smaller than 48 pixels")


def test_notes_of_the_table_are_passed_on(make_table, photo):
    findings = checked(make_table([photo(1), photo(2)], notes=("left out: 3 files",)))
    assert ("note", "source") in kinds(findings)
    assert findings.items[-1].text == "left out: 3 files"


def labelled(make_table, labels, **how):
    return make_table([b""] * len(labels), labels=labels, **how)


def test_tiny_and_uneven_classes(make_table):
    table = labelled(make_table, [0] * 200 + [1] * 3 + [2] * 10, classes=("a", "b", "c"))
    tiny, uneven = class_findings(table)
    assert tiny.text == "1 class has fewer than 10 pictures to train on: `b` (3)."
    assert uneven.text == (
        "the largest class has 67 times as many training pictures as the smallest "
        "(`a`: 200, `b`: 3)."
    )


def test_limits_themselves_are_fine(make_table):
    assert class_findings(labelled(make_table, [0] * 100 + [1] * 10)) == []


def test_classes_missing_in_a_split(make_table):
    labels, split = [0] * 12 + [1] * 12 + [0], ["train"] * 24 + ["test"]
    (item,) = class_findings(labelled(make_table, labels, split=split))
    assert (item.severity, item.text) == ("error", "split `test` has no pictures of `dog`.")


def test_one_class(make_table):
    (item,) = class_findings(labelled(make_table, [0] * 12, classes=("cat",)))
    assert (item.kind, item.severity) == ("one-class", "error")


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("cat", "Cat"), "`cat` / `Cat`"),
        (("big cat", "big_cat"), "`big cat` / `big_cat`"),
        (("dog ", "dog"), "`dog ` / `dog`"),
        (("고양이", "고양이"), "`고양이` / `고양이`"),  # composed, and decomposed as macOS does
        (("cat", "dog"), None),
        (("+", "-"), None),
    ],
)
def test_names_alike(make_table, names, alike):
    found = class_findings(labelled(make_table, [0, 1] * 10, classes=names))
    assert [item.kind for item in found] == (["label-names"] if alike else [])
    if alike:
        assert alike in found[0].text


def test_several_labels_and_numbers(make_table, photo):
    """What does not apply is passed over."""
    many = labelled(make_table, [[1, 0]] * 30 + [[1, 1]] * 2, kind="multi-label")
    assert [item.kind for item in class_findings(many)] == ["tiny-class", "imbalance"]
    numbers = make_table(
        [photo(1), photo(1)], labels=[[1.5], [2.5]], classes=("age",), kind="regression"
    )
    findings = checked(numbers)
    assert kinds(findings) == [("error", "exact-conflict")]
    data = findings.to_dict()["findings"][0]["groups"][0]["pictures"]
    assert [each["label"] for each in data] == ["1.5", "2.5"]


def test_lines_are_few_and_say_how_many_more(make_table):
    items = [Finding(f"k{k}", "warning", f"finding {k}.") for k in range(8)]
    items.append(Finding("n", "note", "a note."))
    findings = Findings(make_table([b""]), tuple(items))
    assert findings.lines(3) == [
        "warning: finding 0.",
        "warning: finding 1.",
        "and 6 findings more; `nunbit check` lists them",
    ]
    assert len(findings.lines(8)) == 8


def test_plain_data_is_json_capped_with_totals(make_table, photo):
    pictures = [photo(k // 2) for k in range(40)] + [b""] * 30
    findings = checked(make_table(pictures, names=[f"{k}-\udcff.png" for k in range(70)]))
    data = json.loads(json.dumps(findings.to_dict(limit=5), ensure_ascii=False).encode("utf-8"))
    unreadable, copies = data["findings"][:2]
    assert (unreadable["count"], len(unreadable["pictures"])) == (30, 5)
    assert (copies["kind"], copies["count"], len(copies["groups"])) == ("exact-conflict", 20, 5)
    assert copies["groups"][0]["pairs"] == [["0-\\udcff.png", "1-\\udcff.png"]]
    assert data["splits"] == {"train": 70}
    assert data["counts"]["error"] == 2


def test_exclusions_keep_one_of_the_split_that_is_scored(make_table, photo):
    pictures = [photo(0), photo(0), photo(0), photo(1), smaller(photo(1)), photo(2), photo(2), b""]
    table = make_table(
        pictures,
        labels=[0, 0, 0, 1, 1, 0, 1, 0],
        split=["train", "test", "validation", "train", "train", "train", "train", "train"],
        names=list("hgfedcba"),
    )
    assert checked(table).exclusions() == [
        ("h", "identical to g"),
        ("f", "identical to g"),
        ("e", "nearly the same as d"),
        ("c", "copies have different labels"),
        ("b", "copies have different labels"),
        ("a", "unreadable: the file is empty"),
    ]


def test_after_exclusion_nothing_is_left_to_exclude(make_table, photo):
    """The list is whole: what it leaves has no copies, whatever the groups looked like."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 12, 60)
    pictures = [smaller(photo(int(k))) if rng.random() < 0.4 else photo(int(k)) for k in numbers]
    labels = np.where(numbers < 3, rng.integers(0, 2, 60), numbers % 2)
    split = rng.choice(["train", "validation", "test"], 60).tolist()
    table = make_table(pictures, labels=labels, split=split)
    gone = {name for name, _ in checked(table).exclusions()}
    rest = table.select(np.array([name not in gone for name in table.names]))
    assert len(rest) == 9  # one of each whose labels agree
    assert checked(rest).exclusions() == []


@given(st.text(max_size=200), st.integers(3, 90))
def test_printable_names_are_one_line_of_that_length(name, limit):
    text = printable(name, limit=limit)
    assert text.isprintable()
    assert len(text) <= limit
    assert printable(text, limit=limit) == text or "\\" in text


def test_fast_part_finds_leaks_and_says_them(photo, make_table):
    pixels = np.stack([cv2.resize(photo(k), (64, 64)) for k in range(40)])
    pixels[31] = pixels[2]
    pixels[30] = np.clip(pixels[3] * 0.9, 0, 255).astype(np.uint8)
    pixels[20] = np.clip(pixels[4] * 0.9, 0, 255).astype(np.uint8)  # near, but within train
    pixels[10] = 0
    table = make_table(list(pixels), split=["train"] * 30 + ["validation"] * 10)
    findings = fast_findings(table, pixels)
    assert kinds(findings) == [
        ("error", "exact-across"),
        ("error", "exact-conflict"),
        ("error", "near-across"),
        ("warning", "near-conflict"),
        ("warning", "plain"),
    ]
    assert findings.items[0].groups[0].rows == (2, 31)
    assert findings.items[2].groups[0].rows == (3, 30)
    assert all(line.startswith(("error: ", "warning: ")) for line in findings.lines())


def test_fast_part_takes_rows_of_a_larger_array(photo, make_table):
    pixels = np.stack([cv2.resize(photo(k % 3), (50, 50)) for k in range(6)])
    rows = np.array([5, 4, 2])
    table = make_table(list(pixels[rows]), labels=[0, 1, 0], split=["train", "train", "test"])
    findings = fast_findings(table, pixels, rows=rows)
    exact = findings.of_kind("exact-across")
    assert exact is not None
    assert exact.groups[0].rows == (0, 2)
    assert findings.of_kind("exact-conflict") is None


def test_fast_part_of_a_clean_set_is_silent(photo, make_table):
    pixels = np.stack([cv2.resize(photo(k), (48, 48)) for k in range(30)])[:, :, :, :1]
    assert fast_findings(make_table(list(pixels[..., 0])), pixels).items == ()


def test_groups_on_both_sides_of_a_split(make_table):
    group = np.array(["p1", "p2", "p1", "p3", "p2", "p3"])
    split = ["train", "train", "test", "train", "validation", "train"]
    table = make_table([None] * 6, group=group, split=split)
    item = next(each for each in class_findings(table) if each.kind == "group-across")
    assert item.severity == "error"
    assert item.text.startswith("2 groups have pictures on both sides of a split: `p1`, `p2`.")
    assert item.rows == (0, 2, 1, 4)
    assert item.remarks == ("p1, train", "p1, test", "p2, train", "p2, validation")
    whole = make_table([None] * 6, group=group, split=["train", "test"] + ["train"] * 4)
    assert [each.values["names"] for each in class_findings(whole) if each.rows] == ["`p2`"]
    alone = make_table([None] * 6, group=group)
    assert not any(each.kind == "group-across" for each in class_findings(alone))


def test_numbers_have_groups_too(make_table):
    labels = np.zeros((2, 1))
    split, group = ["train", "test"], np.array(["g", "g"])
    table = make_table([None] * 2, labels=labels, kind="regression", split=split, group=group)
    assert [item.kind for item in class_findings(table)] == ["group-across"]
