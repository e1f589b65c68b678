"""Cutting validation pictures: seeded, stratified, independent of what it should not depend on."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.sources.stores import ArrayStore
from nunbit.data.splits import split_csv, split_validation, stratified_counts
from nunbit.data.table import PictureTable

NAMES = ("plain", 'with "quotes"', "with, comma", "line\nbreak", "고양이")


def table(labels: list[int], *, classes: int = 5, split: str = "train") -> PictureTable:
    count = len(labels)
    store = ArrayStore(np.zeros((count, 1, 1), np.uint8), lambda i: f"{NAMES[i % 5]}/{i:05d}.png")
    return PictureTable(
        store=store,
        ids=np.arange(count),
        labels=np.array(labels, dtype=np.int64),
        classes=tuple(NAMES[k % 5] + str(k // 5 or "") for k in range(classes)),
        split=np.full(count, split, dtype="<U10"),
        source="made up",
    )


def cut(whole: PictureTable, *, frac: float = 0.2, seed: int = 0) -> set[int]:
    """Return the ids of the pictures that validate."""
    part = split_validation(whole, frac=frac, seed=seed)
    return set(part.of_split("validation").ids.tolist())


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30), st.floats(0.001, 0.9))
def test_shares_add_up_and_no_stratum_is_left_out_or_emptied(sizes: list[int], frac: float) -> None:
    counts = stratified_counts(np.array(sizes, dtype=np.int64), frac)
    total = sum(sizes) * frac
    for size, count in zip(sizes, counts.tolist(), strict=True):
        assert (1 if size >= 2 else 0) <= count <= max(size - 1, 0)
    least, most = sum(s >= 2 for s in sizes), sum(max(s - 1, 0) for s in sizes)
    assert counts.sum() == min(max(round(float(np.sum(np.array(sizes) * frac))), least), most)
    if all(size * frac >= 1 and size - size * frac >= 1 for size in sizes):
        assert abs(counts - np.array(sizes) * frac).max() < 1, "no bound pulls: largest remainder"
        assert abs(counts.sum() - total) <= 0.5 + 1e-6


@given(st.lists(st.integers(0, 9), max_size=9))
def test_nothing_asked_nothing_taken(sizes: list[int]) -> None:
    assert stratified_counts(np.array(sizes, dtype=np.int64), 0.0).tolist() == [0] * len(sizes)


def test_the_share_and_the_strata() -> None:
    whole = table([0] * 100 + [1] * 50 + [2] * 10 + [3] * 2)
    part = split_validation(whole, frac=0.2, seed=0)
    assert np.bincount(part.of_split("validation").labels).tolist() == [19, 10, 2, 1]
    assert np.bincount(part.of_split("train").labels).tolist() == [81, 40, 8, 1]
    numbers = replace(whole, labels=np.zeros((162, 2)), classes=("x", "y"), kind="regression")
    plain = split_validation(numbers, frac=0.5, seed=0)
    assert len(plain.of_split("validation")) == 81


def test_the_seed_decides_and_nothing_else() -> None:
    whole = table([k % 3 for k in range(90)])
    first = cut(whole, seed=5)
    np.random.seed(1)  # global state must not matter
    assert cut(whole, seed=5) == first
    others = [cut(whole, seed=seed) for seed in range(6, 12)]
    assert all(other != first for other in others)
    assert len(set(map(frozenset, others))) == 6


@given(st.permutations(range(60)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    whole = table([k % 3 for k in range(60)])
    assert cut(whole.select(np.array(order))) == cut(whole)


def test_other_classes_do_not_matter() -> None:
    """More pictures of one class leave the validation pictures of the others as they are."""
    small = table([0, 1] * 50)
    large = table([0, 1] * 50 + [2] * 40)
    assert {i for i in cut(large) if i < 100} == cut(small)


def test_chance_is_even() -> None:
    """Over many seeds every picture validates about equally often (binomial, 5 sd)."""
    whole = table([k % 2 for k in range(40)])
    hits = np.zeros(40)
    for seed in range(400):
        hits[list(cut(whole, frac=0.25, seed=seed))] += 1
    assert abs(hits - 100).max() < 5 * np.sqrt(400 * 0.25 * 0.75)


def test_zero_leaves_the_table_as_it_is() -> None:
    whole = table([0, 1] * 10)
    assert split_validation(whole, frac=0.0, seed=0) is whole


def test_validation_that_is_there_stays() -> None:
    whole = table([0, 1] * 10)
    split = whole.split.copy()
    split[3], split[4] = "validation", "test"
    whole = replace(whole, split=split)
    assert split_validation(whole, frac=0.5, seed=0) is whole


def test_test_pictures_are_never_taken() -> None:
    whole = table([0, 1] * 50)
    whole = replace(whole, split=np.where(whole.ids < 60, "test", "train").astype("<U10"))
    part = split_validation(whole, frac=0.5, seed=0)
    assert part.split[:60].tolist() == ["test"] * 60
    assert len(part.of_split("validation")) == 20


@pytest.mark.parametrize("width", [4, 5, 10])
def test_names_of_splits_are_never_cut_short(width: int) -> None:
    """A column of four letters has no room for `validation` unless it is widened."""
    whole = table([0, 1] * 10)
    narrow = replace(whole, split=np.full(20, "test" if width == 4 else "train", f"<U{width}"))
    narrow.split[5:] = "train"[:width]
    part = split_validation(narrow, frac=0.5, seed=0)
    assert set(part.split.tolist()) <= {"test", "train", "validation", "trai"}


def test_the_csv_is_read_back_by_any_reader() -> None:
    whole = table([k % 5 for k in range(25)])
    whole = split_validation(whole, frac=0.4, seed=0)
    rows = list(csv.DictReader(io.StringIO(split_csv(whole), newline="")))
    assert [row["path"] for row in rows] == whole.names
    assert [row["label"] for row in rows] == [whole.classes[k] for k in whole.labels]
    assert [row["split"] for row in rows] == whole.split.tolist()
    assert {row["split"] for row in rows} == {"train", "validation"}


def test_pictures_without_a_label_have_an_empty_one() -> None:
    rows = list(csv.reader(io.StringIO(split_csv(table([0, -1])), newline="")))
    assert [row[1] for row in rows] == ["label", "plain", ""]


def test_pictures_of_one_group_never_part() -> None:
    count = 60
    table = PictureTable(
        store=ArrayStore(np.zeros((count, 2, 2), np.uint8), str),
        ids=np.arange(count),
        labels=np.arange(count) % 2,
        classes=("a", "b"),
        split=np.full(count, "train", dtype="<U10"),
        source="test",
        group=np.array([f"patient {k // 6}" for k in range(count)]),
    )
    cut = split_validation(table, frac=0.3, seed=0)
    sides = {(str(g), str(s)) for g, s in zip(cut.group, cut.split, strict=True)}
    assert len(sides) == 10
    assert sum(side == "validation" for _, side in sides) == 3
    loose = split_validation(replace(table, group=None), frac=0.3, seed=0)
    assert (loose.split == "validation").sum() == 18
