"""Folds, splits by position and from a file, and groups found in names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.options import DataOptions
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.splits import (
    assign_folds,
    check_cut,
    cut_validation,
    group_by_name,
    parse_fold,
    read_split,
    split_as_read,
    split_by_position,
    split_csv,
    split_fold,
    split_validation,
)
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, OptionError
from nunbit.runs import RunFolder


def make(
    labels: list[int], *, names: list[str] | None = None, group: list[str] | None = None
) -> PictureTable:
    count = len(labels)
    shown = names or [f"{k:04d}.png" for k in range(count)]
    return PictureTable(
        store=ArrayStore(np.zeros((count, 1, 1), np.uint8), lambda i: shown[i]),
        ids=np.arange(count),
        labels=np.array(labels, dtype=np.int64),
        classes=tuple("abcdefgh"),
        split=np.full(count, "train", dtype="<U10"),
        source="made up",
        group=None if group is None else np.array(group),
    )


@given(st.lists(st.integers(0, 4), min_size=10, max_size=120), st.integers(2, 10))
def test_folds_are_even_in_size_and_in_every_class(labels: list[int], folds: int) -> None:
    fold_of = assign_folds(make(labels), folds=folds, seed=1)
    sizes = np.bincount(fold_of, minlength=folds)
    assert sizes.sum() == len(labels)
    assert sizes.max() - sizes.min() <= 1
    for kind in set(labels):
        of_class = np.bincount(fold_of[np.array(labels) == kind], minlength=folds)
        assert of_class.max() - of_class.min() <= 1


def test_every_picture_validates_in_exactly_one_fold() -> None:
    table = make([k % 3 for k in range(50)])
    parts = [split_fold(table, fold=k, folds=4, seed=7).split == "validation" for k in range(1, 5)]
    assert np.sum(parts, axis=0).tolist() == [1] * 50


def test_folds_depend_on_the_seed_and_not_on_the_order_of_rows() -> None:
    table = make([k % 3 for k in range(60)])
    first = assign_folds(table, folds=5, seed=0)
    assert (assign_folds(table, folds=5, seed=0) == first).all()
    assert (assign_folds(table, folds=5, seed=1) != first).any()
    order = np.random.default_rng(0).permutation(60)
    assert (assign_folds(table.select(order), folds=5, seed=0) == first[order]).all()


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=8, max_size=80))
def test_groups_stay_whole_and_no_fold_is_empty(rows: list[tuple[int, int]]) -> None:
    groups = [f"patient {g}" for g, _ in rows]
    table = make([label for _, label in rows], group=groups)
    folds = min(3, len(set(groups)))
    if folds < 2:
        return
    fold_of = assign_folds(table, folds=folds, seed=0)
    sides = {(g, int(f)) for g, f in zip(groups, fold_of, strict=True)}
    assert len(sides) == len(set(groups))
    assert set(fold_of.tolist()) == set(range(folds))


def test_groups_are_dealt_so_that_classes_stay_even() -> None:
    """40 patients of 5 pictures, a quarter of them ill: each of 4 folds has about 12 ill ones."""
    groups = [f"p{k // 5}" for k in range(200)]
    labels = [int((k // 5) % 4 == 0) for k in range(200)]
    fold_of = assign_folds(make(labels, group=groups), folds=4, seed=3)
    ill = np.bincount(fold_of[np.array(labels) == 1], minlength=4)
    assert ill.max() - ill.min() <= 5
    assert np.ptp(np.bincount(fold_of)) <= 10


def test_test_pictures_are_in_no_fold() -> None:
    table = make([0, 1] * 10)
    table = replace(table, split=np.where(np.arange(20) < 6, "test", "train").astype("<U10"))
    fold_of = assign_folds(table, folds=2, seed=0)
    assert (fold_of[:6] == -1).all()
    assert np.bincount(fold_of[6:]).tolist() == [7, 7]


def test_too_few_for_the_folds() -> None:
    with pytest.raises(DataError, match="3 training pictures cannot be dealt out to 5 folds"):
        assign_folds(make([0, 1, 0]), folds=5, seed=0)
    grouped = make([0, 1, 0], group=["x", "x", "y"])
    with pytest.raises(DataError, match="2 groups of training pictures cannot be dealt out to 3"):
        assign_folds(grouped, folds=3, seed=0)


def test_a_fold_is_not_cut_where_the_source_has_validation_pictures() -> None:
    table = make([0, 1] * 4)
    table.split[0] = "validation"
    with pytest.raises(DataError, match=r"has validation pictures of its own.*leave `--fold` away"):
        split_fold(table, fold=1, folds=2, seed=0)


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "a/b", "1/5/2", "-1/5", "", "1/1001"])
def test_a_fold_of_another_form(text: str) -> None:
    with pytest.raises(OptionError, match="expected the number of a fold and how many"):
        parse_fold(text)


def test_a_fold_is_read() -> None:
    assert parse_fold("2/5") == (2, 5)


def test_positions_are_those_of_keras() -> None:
    """The first int(v * n) of each class: files of a folder before its subfolders, by bytes."""
    names = ["a/x/0.png", "a/2.png", "a/10.png", "a/B.png", "b/9.png", "b/1.png", "b/5.png"]
    table = make([0, 0, 0, 0, 1, 1, 1], names=names)
    part = split_by_position(table, frac=0.5)
    assert [n for n, s in zip(names, part.split, strict=True) if s == "validation"] == [
        "a/2.png",
        "a/10.png",
        "b/1.png",
    ]


def test_positions_would_part_groups() -> None:
    with pytest.raises(DataError, match="would part pictures of one group"):
        split_by_position(make([0, 1], group=["x", "x"]), frac=0.5)


def test_a_split_is_written_and_reused_by_name(tmp_path: Path) -> None:
    table = split_validation(make([k % 2 for k in range(20)]), frac=0.3, seed=5)
    (tmp_path / "split.csv").write_text(split_csv(table), encoding="utf-8")
    whole = make([k % 2 for k in range(20)]).select(np.arange(20)[::-1].copy())
    again = cut_validation(whole, DataOptions(split=str(tmp_path)))  # the run's folder
    by_name = dict(zip(again.names, again.split.tolist(), strict=True))
    assert by_name == dict(zip(table.names, table.split.tolist(), strict=True))
    assert again.notes == ()


def test_pictures_that_a_split_file_does_not_name_are_left_out_and_said(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("path,split\n0000.png,train\n0001.png,validation\ngone.png,train\n")
    part = split_as_read(make([0, 1, 0]), read_split(file), file="mine.csv")
    assert part.names == ["0000.png", "0001.png"]
    assert part.split.tolist() == ["train", "validation"]
    assert part.notes == (
        "left out: 1 pictures not in `mine.csv` (0002.png)",
        "1 pictures that `mine.csv` names are not there",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no rows, expected columns `path` and `split`"),
        ("path,label\na.png,cat\n", "has no column `split`"),
        ("path,split\na.png,training\n", "names the split `training`, expected train, validation"),
        ("path,split\nother.png,train\n", "names none of the training pictures of `made up`"),
        ('path,split\n"a.png,train\n', "is no CSV"),
    ],
)
def test_split_files_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "split.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        cut_validation(make([0, 1]), DataOptions(split=str(file)))


@pytest.mark.parametrize("mark", [";", "\t"])
def test_split_files_with_other_delimiters_and_dots(tmp_path: Path, mark: str) -> None:
    file = tmp_path / "split.csv"
    file.write_text(f"path{mark}split\n./0000.png{mark}train\n0001.png{mark}train\n")
    part = cut_validation(make([0, 1, 1]), DataOptions(split=str(file)))
    assert part.names == ["0000.png", "0001.png"]


def test_a_picture_in_two_splits_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    file.write_text("path,split\n0.png,train\n1.png,train\n./0.png,test\n1.png,train\n")
    with pytest.raises(DataError, match=r"two splits: `0.png` \(train and test\)\. Name each"):
        read_split(file)


def test_a_split_file_that_parts_groups(tmp_path: Path) -> None:
    table = make([0, 0, 1, 1], group=["p1", "p1", "p2", "p2"])
    file = tmp_path / "split.csv"
    file.write_text("path,split\n0000.png,train\n0001.png,test\n0002.png,train\n0003.png,train\n")
    with pytest.raises(DataError, match=r"pictures of one group into several splits: `p1`\. "):
        cut_validation(table, DataOptions(split=str(file)))
    parted = replace(table, split=np.array(["train", "test", "train", "train"]))
    cut = cut_validation(parted, DataOptions(split=str(file)))  # the source itself parts it
    assert cut.split.tolist() == ["train", "test", "train", "train"]


def test_a_split_file_without_a_class_to_train_on(tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    file.write_text("path,split\n0000.png,train\n0001.png,validation\n")
    with pytest.raises(DataError, match=r"no picture of `b` to train on.*`--skip-class b`"):
        cut_validation(make([0, 1]), DataOptions(split=str(file)))


@pytest.mark.parametrize("options", [DataOptions(fold="1/2"), DataOptions(fold="2/2")])
def test_a_fold_that_takes_a_whole_class(options: DataOptions) -> None:
    table = make([0, 0, 1, 1], group=["x", "x", "y", "y"])
    with pytest.raises(DataError, match=r"`[ab]` has one group only \(`[xy]`\), and groups are"):
        cut_validation(table, options)


def test_a_fold_that_takes_all_groups_of_a_class() -> None:
    """Of two folds, the second pair of groups holds all of class b."""
    table = make([0] * 8 + [1], group=[*"ppqqrrss", "p"])
    taken = [k for k in (1, 2) if (split_fold(table, fold=k, folds=2, seed=0).split[8]) != "train"]
    with pytest.raises(DataError, match=r"all pictures of `b` for validation: `b` has one group"):
        cut_validation(table, DataOptions(fold=f"{taken[0]}/2"))


def test_no_picture_is_left_for_validation() -> None:
    grouped = make([0, 0, 1, 1], group=["x", "x", "y", "y"])
    with pytest.raises(DataError, match=r"`--validation 0.25` would keep no picture.*one group on"):
        cut_validation(grouped, DataOptions(validation=0.25))
    alone = make([0, 0, 1, 1], group=["x"] * 4)
    with pytest.raises(DataError, match="all pictures are of one group"):
        cut_validation(alone, DataOptions(validation=0.25))
    few = make([0, 0, 0, 1, 1])
    options = DataOptions(validation=0.1, split="position")
    with pytest.raises(DataError, match=r"has 3 pictures.*at least `--validation 0.34`, or"):
        cut_validation(few, options)
    assert cut_validation(few, replace(options, validation=0.34)).has_split("validation")
    assert not cut_validation(few, replace(options, validation=0.0)).has_split("validation")
    assert not cut_validation(grouped, DataOptions(validation=0.0)).has_split("validation")


def test_line_ends_in_names_survive(tmp_path: Path) -> None:
    names = ["a\r.png", "b\n.png", "c\r\n.png", 'd,".png', "e.png", "\udcff.png"]
    table = make([0, 1, 0, 1, 0, 1], names=names)
    text = split_csv(split_validation(table, frac=0.4, seed=0))
    (tmp_path / "split.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert list(read_split(tmp_path)) == names
    kept = RunFolder(tmp_path).read_split()
    assert sorted(kept["train"] + kept["validation"]) == sorted(names)


def test_mistakes_are_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="contradict each other"):
        check_cut(DataOptions(fold="1/3", split="position"))
    with pytest.raises(OptionError, match=r"no such file\. Did you mean `position`"):
        check_cut(DataOptions(split="postion"))
    with pytest.raises(DataError, match=r"split file `.*nowhere.csv` cannot be read"):
        check_cut(DataOptions(split=str(tmp_path / "nowhere.csv")))


def test_groups_are_found_in_names() -> None:
    table = make([0, 0, 1], names=["a/p1_x.png", "a/p1_y.png", "b/p2_x.png"])
    assert group_by_name(table, r"(p\d+)_").group.tolist() == ["p1", "p1", "p2"]
    assert group_by_name(table, r"p\d+").group.tolist() == ["p1", "p1", "p2"]


def test_groups_that_are_empty_texts() -> None:
    with pytest.raises(OptionError, match=r"finds an empty text in 2 of 2 names: a/p1.png, b/q"):
        group_by_name(make([0, 1], names=["a/p1.png", "b/q.png"]), "x*")


def test_groups_that_are_not_found() -> None:
    table = make([0, 1], names=["a/p1.png", "b/q.png"])
    with pytest.raises(OptionError, match=r"finds nothing in 1 of 2 names: b/q.png"):
        group_by_name(table, r"p\d")
    with pytest.raises(OptionError, match=r"`--group-by \(` is no regular expression"):
        group_by_name(table, "(")


def test_the_csv_keeps_groups_and_labels_of_every_kind() -> None:
    table = make([0, 1], group=["x", "y"])
    assert split_csv(table).splitlines()[:2] == ["path,label,split,group", "0000.png,a,train,x"]
    many = replace(make([0, 1]), labels=np.array([[1, 1], [0, 0]], np.uint8), classes=("a", "b"),
                   kind="multi-label")  # fmt: skip
    assert split_csv(many).splitlines()[1:] == ["0000.png,a|b,train", "0001.png,,train"]
    numbers = replace(make([0, 1]), labels=np.array([[0.5, 2], [1e-3, -1]]), classes=("x", "y"),
                      kind="regression")  # fmt: skip
    assert split_csv(numbers).splitlines()[1:] == [
        "0000.png,0.5|2,train",
        "0001.png,0.001|-1,train",
    ]
