"""Classes from the names of files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.sources.flat import flat_label, flat_labels
from nunbit.data.sources.opening import open_source
from nunbit.data.sources.tree import read_tree
from nunbit.errors import DataError

WriteFolder = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cat.0.jpg", "cat"),
        ("train/dog_12.png", "dog"),
        ("cat-3.jpg", "cat"),
        ("great_pyrenees_12.jpg", "great_pyrenees"),
        ("cat (3).jpg", "cat"),
        ("covid-19_003.png", "covid"),
        ("고양이_1.jpg", "고양이"),
        (unicodedata.normalize("NFD", "고양이_1.jpg"), "고양이"),
        ("t-shirt.7.left.png", "t-shirt"),
        ("cat__0007.jpg", "cat"),
        ("1.jpg", None),
        ("cat.jpg", None),
        ("cat2.jpg", None),
        ("cat_2b.jpg", None),
        ("2020-01-02.jpg", None),
        ("IMG_2034.jpg", None),
        ("frame-7.png", None),
        ("_1.jpg", None),
        ("", None),
        ("a" + "_" * 10_000 + ".jpg", None),
    ],
)
def test_the_class_stands_before_the_first_number(name: str, label: str | None) -> None:
    assert flat_label(name) == label


@given(st.text(max_size=30))
def test_any_name_is_taken(name: str) -> None:
    label = flat_label(name)
    assert label is None or (label and label[0].isalpha())


def test_every_file_has_to_fit_and_two_classes_are_needed() -> None:
    assert flat_labels(["cat.0.jpg", "dog.0.jpg"]) == (["cat", "dog"], "")
    assert flat_labels(["cat.0.jpg", "dog.jpg"]) == (
        [],
        "`dog.jpg` does not begin with a class and a number",
    )
    assert flat_labels(["cat.0.jpg", "cat.1.jpg"]) == ([], "all names begin with `cat`")


def of(*names: str) -> list[tuple[str, str, str]]:
    tree = read_tree(names)
    assert tree.is_flat == bool(tree.names)
    return list(zip(tree.names, tree.labels, tree.splits, strict=True))


def test_one_folder_of_files() -> None:
    assert of("cat.0.jpg", "dog.0.jpg", "readme.txt") == [
        ("cat.0.jpg", "cat", "train"),
        ("dog.0.jpg", "dog", "train"),
    ]


def test_as_kaggle_ships_cats_and_dogs() -> None:
    tree = read_tree(["train/cat.0.jpg", "train/dog.0.jpg", "test1/1.jpg", "test1/2.jpg"])
    assert tree.labels == ["cat", "dog"]
    assert tree.splits == ["train", "train"]
    assert tree.loose == ["test1/1.jpg", "test1/2.jpg"], "never guessed"
    tree = read_tree(["train/cat.0.jpg", "train/dog.0.jpg", "test/1.jpg"])
    assert tree.loose == ["test/1.jpg"]


def test_split_folders_of_files() -> None:
    assert of("train/cat.0.jpg", "train/dog.0.jpg", "val/cat.1.jpg", "test/dog.2.jpg") == [
        ("train/cat.0.jpg", "cat", "train"),
        ("train/dog.0.jpg", "dog", "train"),
        ("val/cat.1.jpg", "cat", "validation"),
        ("test/dog.2.jpg", "dog", "test"),
    ]
    assert of("cat.0.jpg", "dog.0.jpg", "test/dog.2.jpg")[2] == ("test/dog.2.jpg", "dog", "test")


def test_class_folders_come_before_names() -> None:
    tree = read_tree(["a/cat.0.jpg", "a/dog.1.jpg", "b/cat.2.jpg", "cat.3.jpg", "dog.4.jpg"])
    assert not tree.is_flat
    assert tree.labels == ["a", "a", "b"]
    assert tree.loose == ["cat.3.jpg", "dog.4.jpg"]
    tree = read_tree(["train/a/cat.0.jpg", "train/cat.1.jpg", "train/dog.1.jpg"])
    assert tree.labels == ["a"]


def test_pictures_without_a_class_in_split_folders_are_no_classes_train_and_test() -> None:
    for names in (["train/1.jpg", "test/2.jpg"], ["train/1.jpg", "test1/2.jpg"]):
        tree = read_tree(names)
        assert (tree.names, tree.loose) == ([], names)


def test_a_split_in_which_some_have_a_class_is_refused() -> None:
    names = ["train/cat.0.jpg", "train/dog.0.jpg", "test/cat.1.jpg", "test/x.jpg"]
    tree = read_tree(names)
    assert tree.names == []
    assert tree.not_flat == "`test/x.jpg` does not begin with a class and a number"


def test_notes_say_what_names_were_taken_for(write_folder: WriteFolder) -> None:
    root = write_folder(
        dict.fromkeys([f"train/{c}.{k}.jpg" for c in ("cat", "dog") for k in range(3)], b"-")
        | {"test1/1.jpg": b"-"}
    )
    table = open_source(root)
    assert table.classes == ("cat", "dog")
    assert table.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert table.notes == (
        "classes are those that file names begin with: train/cat.0.jpg is `cat`",
        "left out: 1 picture without a class (first: test1/1.jpg)",
    )
    table = open_source(root, skip_classes=["dog"])
    assert table.classes == ("cat",)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["cat.0.jpg", "nice.jpg"], "(`nice.jpg` does not begin with a class and a number)"),
        (["cat.0.jpg", "cat.1.jpg"], "(all names begin with `cat`)"),
        (["IMG_1.jpg", "DSC_2.jpg"], "(`DSC_2.jpg` does not begin with a class and a number)"),
    ],
)
def test_the_message_says_why_names_have_no_classes(
    write_folder: WriteFolder, names: list[str], reason: str
) -> None:
    root = write_folder(dict.fromkeys(names, b"-"))
    with pytest.raises(DataError, match=r"begin the name of every file with its class") as caught:
        open_source(root)
    assert re.search(re.escape(f"`cat.0.jpg`, `dog_12.png` {reason}"), str(caught.value))


def test_a_class_that_training_lacks(write_folder: WriteFolder) -> None:
    names = ["train/cat.0.jpg", "train/dog.0.jpg", "test/cat.1.jpg", "test/cow.2.jpg"]
    root = write_folder(dict.fromkeys(names, b"-"))
    with pytest.raises(
        DataError,
        match=r"^`test/cow.2.jpg` is of class `cow`, but training has no class `cow` \(it has: "
        r"cat, dog\). .* Add such pictures to the training pictures, or pass `--skip-class cow`",
    ):
        open_source(root)


def test_names_that_differ_only_in_case(write_folder: WriteFolder) -> None:
    root = write_folder(dict.fromkeys(("Cat.0.jpg", "cat.1.jpg", "cat.2.jpg", "dog.3.jpg"), b"-"))
    with pytest.raises(
        DataError,
        match=r"classes that differ only in case: `Cat` \(1 picture\) and `cat` \(2 pictures\). If "
        "they are one class, name it `cat` everywhere",
    ):
        open_source(root)
