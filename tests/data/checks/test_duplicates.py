"""Copies are found with the right pairs; what is alike by nature is not called a copy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.checks import facts_of_pixels, find_duplicates, scan
from nunbit.data.checks.duplicates import _roots
from nunbit.data.decode import decode
from nunbit.data.sources.opening import open_source


def recompressed(picture, quality=60):
    bgr = picture[:, :, ::-1]
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def smaller(picture, factor=0.7):
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def search(table):
    return find_duplicates(table, scan(table)[0])


def test_exact_groups_know_their_splits_and_labels(make_table, photo):
    pictures = [photo(k) for k in (0, 1, 0, 2, 1, 3, 3, 0)]
    table = make_table(
        pictures,
        labels=[0, 0, 0, 0, 1, 1, 1, 0],
        split=["train"] * 4 + ["train", "test", "train", "validation"],
    )
    exact = search(table).exact
    assert [group.rows for group in exact] == [(0, 2, 7), (1, 4), (5, 6)]
    assert [group.is_across for group in exact] == [True, False, True]
    assert [group.has_conflict for group in exact] == [False, True, False]
    assert exact[0].pairs == ((0, 2), (0, 7))
    assert {group.likeness for group in exact} == {1.0}


@pytest.mark.parametrize(
    "change",
    [
        recompressed,
        smaller,
        lambda picture: recompressed(smaller(picture), 80),
        lambda picture: smaller(picture, 1.6),
        lambda picture: np.clip(picture * 0.85 + 12, 0, 255).astype(np.uint8),
        lambda picture: cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY),
        lambda picture: cv2.GaussianBlur(picture, (0, 0), 1),
    ],
    ids=["q60", "70 %", "70 % and q80", "160 %", "brighter", "grey", "blurred"],
)
def test_near_copies_are_found(make_table, photo, change):
    originals = [photo(k) for k in range(12)]
    pictures = [*originals, *(change(each) for each in originals)]
    table = make_table(pictures, labels=[0] * 24, split=["train"] * 12 + ["test"] * 12)
    found = search(table)
    assert found.exact == ()
    assert [group.rows for group in found.near] == [(k, k + 12) for k in range(12)]
    assert all(group.is_across and not group.has_conflict for group in found.near)
    assert all(0.92 <= group.likeness < 1 for group in found.near)
    assert not found.is_capped


def test_different_pictures_are_no_copies(make_table, photo):
    found = search(make_table([photo(k) for k in range(150)]))
    assert (found.exact, found.near) == ((), ())


def test_alike_by_nature_is_not_the_same(make_table, photo):
    """One scene or form with other fine parts: the coarse picture alone must not decide."""
    rng = np.random.default_rng(0)
    base = cv2.resize(photo(1), (128, 128)).astype(np.float64)
    pictures = []
    for _ in range(40):
        detail = cv2.resize(rng.normal(0, 30, (40, 40, 3)), (128, 128), interpolation=2)
        pictures.append(np.clip(base + detail, 0, 255).astype(np.uint8))
    assert search(make_table(pictures)).near == ()


def test_plain_pictures_are_set_aside_and_counted(make_table):
    ramp = np.linspace(100, 106, 64).astype(np.uint8)
    pictures = [np.tile(ramp + k, (64, 1)) for k in range(6)]
    found = search(make_table(pictures))
    assert found.near == ()
    assert found.plain == 6


def test_small_pictures_are_searched_for_exact_copies_only(photo):
    digits = open_source("digits")
    found = search(digits)
    assert found.near == ()
    assert found.small == len(digits)


def test_an_exact_copy_of_a_near_copy_belongs_to_its_group(make_table, photo):
    """Row 2 is identical to row 0, and leaks into test by row 1 as row 0 does."""
    picture = photo(5)
    table = make_table([picture, smaller(picture), picture], split=["test", "test", "train"])
    found = search(table)
    assert [group.rows for group in found.exact] == [(0, 2)]
    assert [group.rows for group in found.near] == [(0, 1, 2)]
    assert found.near[0].pairs == ((0, 1),)
    assert found.near[0].is_across


def test_shots_of_one_group_are_no_finding_as_long_as_they_stay_together(make_table, photo):
    """Whoever says that frames belong together need not be told that they are alike."""
    pictures = [photo(1), smaller(photo(1)), photo(2), smaller(photo(2)), photo(3), photo(3)]
    split = ["train", "train", "train", "test", "train", "train"]
    table = make_table(pictures, labels=[0] * 6, split=split, group=np.array(list("aabbcc")))
    found = search(table)
    assert [group.rows for group in found.near] == [(2, 3)]
    assert [group.rows for group in found.exact] == [(4, 5)]


def test_chains_are_one_group(make_table, photo):
    picture = photo(6)
    files = [picture, recompressed(picture), smaller(picture), photo(7)]
    near = search(make_table(files)).near
    assert [group.rows for group in near] == [(0, 1, 2)]


def test_rows_are_those_of_the_table_where_some_cannot_be_read(make_table, photo):
    picture = photo(8)
    found = search(make_table([b"", picture, b"", smaller(picture), picture]))
    assert found.exact[0].rows == (1, 4)
    assert found.near[0].rows == (1, 3, 4)


def test_labels_of_other_kinds(make_table, photo):
    pictures = [photo(1), photo(1), smaller(photo(1))]
    many = make_table(pictures, labels=[[1, 0], [1, 1], [1, 0]], kind="multi-label")
    assert search(many).exact[0].has_conflict
    assert search(many).near[0].has_conflict
    numbers = make_table(pictures, labels=[[1.0], [1.0], [1.1]], kind="regression")
    assert not search(numbers).exact[0].has_conflict
    assert not search(numbers).near[0].has_conflict  # two shots of one thing measure apart
    unlabelled = make_table(pictures[:2], labels=[0, -1])
    assert not search(unlabelled).exact[0].has_conflict


def test_nothing_at_all(make_table):
    found = search(make_table([b""]))
    assert (found.exact, found.near, found.small) == ((), (), 0)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_exact_groups_are_those_of_equal_pixels(numbers):
    """Against the slow truth: pictures painted by number, equal where numbers are."""
    from nunbit.data.checks.duplicates import _identical

    pixels = np.array(numbers, dtype=np.uint8)[:, None, None] * np.ones((1, 5, 4), np.uint8)
    groups = _identical(facts_of_pixels(pixels).content)
    expected = {
        number: [k for k, each in enumerate(numbers) if each == number] for number in set(numbers)
    }
    assert sorted(g.tolist() for g in groups) == sorted(
        rows for rows in expected.values() if len(rows) > 1
    )


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=30))
def test_links_make_groups(pairs):
    root = _roots(pairs)
    reach = {each: {each} for pair in pairs for each in pair}
    for _ in reach:
        for one, other in pairs:
            both = reach[one] | reach[other]
            for each in both:
                reach[each] = reach[each] | both
    for one in reach:
        for other in reach:
            assert (root[one] == root[other]) == (other in reach[one])


@pytest.mark.data
def test_real_photographs_of_cats_and_dogs(real_data, make_table):
    """Two pairs in 4,000 are copies; look-alikes among so many are none."""
    real_data("cats-dogs")
    table = open_source("cats-dogs")
    rows = np.arange(0, len(table), 5)
    pictures = []
    for row in rows[:150]:
        pixels = decode(table.store.read(int(table.ids[row])))
        pictures += [pixels, smaller(pixels)] if min(pixels.shape[:2]) > 75 else []
    near = search(make_table(pictures)).near
    assert [group.rows for group in near] == [(k, k + 1) for k in range(0, len(pictures), 2)]
