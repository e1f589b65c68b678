"""From the names of files to classes and splits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nunbit.data.sources.tree import (
    PICTURE_SUFFIXES,
    SPLIT_FOLDERS,
    is_hidden,
    read_tree,
    walk_files,
)


def rows(*names: str) -> set[tuple[str, str, str]]:
    tree = read_tree(names)
    return set(zip(tree.names, tree.labels, tree.splits, strict=True))


def test_the_first_folder_is_the_class_however_deep_a_picture_lies() -> None:
    assert rows("cat/1.jpg", "cat/old/paris/2.png", "dog/3.webp") == {
        ("cat/1.jpg", "cat", "train"),
        ("cat/old/paris/2.png", "cat", "train"),
        ("dog/3.webp", "dog", "train"),
    }


@pytest.mark.parametrize("folder", ["validation", "val", "valid", "Valid", "VAL"])
def test_splits_under_all_their_names(folder: str) -> None:
    assert rows("train/cat/1.jpg", f"{folder}/cat/x/2.jpg", "Test/dog/3.jpg") == {
        ("train/cat/1.jpg", "cat", "train"),
        (f"{folder}/cat/x/2.jpg", "cat", "validation"),
        ("Test/dog/3.jpg", "dog", "test"),
    }
    assert set(SPLIT_FOLDERS.values()) == {"train", "validation", "test"}


def test_training_and_testing_are_splits_too() -> None:
    assert rows("Training/cat/1.jpg", "Testing/cat/2.jpg") == {
        ("Training/cat/1.jpg", "cat", "train"),
        ("Testing/cat/2.jpg", "cat", "test"),
    }


def test_a_folder_of_trains_is_a_class() -> None:
    assert rows("train/1.jpg", "car/2.jpg") == {
        ("train/1.jpg", "train", "train"),
        ("car/2.jpg", "car", "train"),
    }
    mixed = rows("train/1.jpg", "train/steam/2.jpg", "car/3.jpg")
    assert {label for _, label, _ in mixed} == {"train", "car"}
    assert len(mixed) == 3


def test_a_stray_picture_beside_class_folders_does_not_turn_splits_into_classes() -> None:
    tree = read_tree(["train/cat/1.jpg", "train/dog/2.jpg", "train/oops.jpg", "test/cat/3.jpg"])
    assert tree.has_splits
    assert sorted(set(tree.labels)) == ["cat", "dog"]
    assert tree.loose == ["train/oops.jpg"]


def test_what_is_no_picture_in_a_class_is_counted() -> None:
    tree = read_tree(["a/1.JPG", "a/Thumbs.db", "b/notes.txt", "b/more.TXT", "LICENSE", "x.png"])
    assert tree.names == ["a/1.JPG"]
    assert tree.loose == ["x.png"]
    assert tree.others == {".txt": 2, ".db": 1, "no suffix": 1}


def test_outside_the_split_folders_pictures_are_loose() -> None:
    tree = read_tree(["train/cat/1.jpg", "test/cat/2.jpg", "extra/cat/3.jpg", "4.jpg"])
    assert tree.loose == ["extra/cat/3.jpg", "4.jpg"]
    assert len(tree.names) == 2


def test_every_suffix_counts_in_both_cases() -> None:
    for suffix in PICTURE_SUFFIXES:
        assert len(read_tree([f"a/1{suffix}", f"a/2{suffix.upper()}"]).names) == 2


def test_files_are_found_in_an_order_that_does_not_depend_on_the_disk(
    write_folder: Callable[..., Path],
) -> None:
    names = ["b/10.png", "b/2.png", "a/x/1.png", "a/1.png", "0.txt"]
    root = write_folder(dict.fromkeys(names, b"-"))
    assert list(walk_files(root)) == ["0.txt", "a/1.png", "a/x/1.png", "b/10.png", "b/2.png"]


def test_hidden_files_and_folders_are_passed_over(write_folder: Callable[..., Path]) -> None:
    hidden = ["a/.DS_Store", "a/._1.png", ".git/1.png", "__MACOSX/a/1.png", "a/.thumbs/1.png"]
    root = write_folder(dict.fromkeys([*hidden, "a/1.png", "__init__/1.png"], b"-"))
    assert list(walk_files(root)) == ["__init__/1.png", "a/1.png"]
    assert is_hidden(".x")
    assert not is_hidden("__background__")


def test_links_are_followed_and_loops_end(write_folder: Callable[..., Path]) -> None:
    root = write_folder({"a/1.png": b"-", "b/2.png": b"-"})
    elsewhere = write_folder({"3.png": b"-"}, root="elsewhere")
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (root / "b" / "self").symlink_to(root / "b", target_is_directory=True)
    (root / "c").symlink_to(elsewhere, target_is_directory=True)
    (root / "c" / "back").symlink_to(root, target_is_directory=True)
    assert list(walk_files(root)) == ["a/1.png", "b/2.png", "c/3.png"]


def test_names_that_are_no_utf8_survive(write_folder: Callable[..., Path]) -> None:
    root = write_folder({"a/1.png": b"-"})
    strange = os.fsencode(root) + b"/a/caf\xe9.png"
    try:
        Path(os.fsdecode(strange)).write_bytes(b"-")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = list(walk_files(root))
    assert [os.fsencode(name) for name in found] == [b"a/1.png", b"a/caf\xe9.png"]
