"""From the names of files to classes and splits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nunbit.data.decode import decode
from nunbit.data.sources.opening import open_source
from nunbit.data.sources.tree import (
    PICTURE_SUFFIXES,
    SPLIT_FOLDERS,
    check_table,
    is_hidden,
    list_folder,
    read_tree,
    walk_files,
)
from nunbit.errors import DataError


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


def link(path: Path, to: Path) -> None:
    path.symlink_to(to, target_is_directory=True)


def test_links_are_followed_and_loops_end(write_folder: Callable[..., Path]) -> None:
    root = write_folder({"a/1.png": b"-", "b/2.png": b"-"})
    elsewhere = write_folder({"3.png": b"-"}, root="elsewhere")
    link(root / "a" / "up", root)
    link(root / "b" / "self", root / "b")
    link(root / "c", elsewhere)
    link(root / "c" / "back", root)
    assert list(walk_files(root)) == ["a/1.png", "b/2.png", "c/3.png"]
    assert list_folder(root) == (
        ["a/1.png", "b/2.png", "c/3.png"],
        ["a", "b", "c"],
        ["a/up", "b/self", "c/back"],
    )


def test_a_link_does_not_take_the_place_of_the_folder_it_points_to(
    write_folder: Callable[..., Path],
) -> None:
    root = write_folder({"cat/1.png": b"-", "dog/2.png": b"-", "dog/old/3.png": b"-"})
    link(root / "another", root / "dog")
    link(root / "cat" / "aged", root / "dog" / "old")
    table = open_source(root)
    assert table.classes == ("cat", "dog")
    assert table.names == ["cat/1.png", "dog/2.png", "dog/old/3.png"]
    assert table.notes[-1] == (
        "passed over: 2 links to folders that are in the source already, or that the source or "
        "the link itself lies in: `another`, `cat/aged`"
    )


def test_a_split_that_is_a_link_to_another_is_passed_over(
    write_folder: Callable[..., Path],
) -> None:
    root = write_folder({"train/cat/1.png": b"-", "train/dog/2.png": b"-"})
    link(root / "test", root / "train")
    table = open_source(root)
    assert table.split.tolist() == ["train", "train"]
    assert table.notes == (
        "passed over: 1 link to a folder that is in the source already, or that the source or "
        "the link itself lies in: `test`",
    )


def test_links_to_what_the_source_lies_in_are_not_followed(
    write_folder: Callable[..., Path],
) -> None:
    root = write_folder({"cat/1.png": b"-", "dog/2.png": b"-"}, root="all/set")
    write_folder({"private/9.png": b"-"}, root="all")
    link(root / "cat" / "up", Path("../.."))
    elsewhere = write_folder({"in/3.png": b"-", "4.png": b"-"}, root="elsewhere")
    link(root / "emu", elsewhere / "in")
    link(elsewhere / "in" / "out", elsewhere)
    names, _, passed = list_folder(root)
    assert names == ["cat/1.png", "dog/2.png", "emu/3.png"]
    assert passed == ["cat/up", "emu/out"]


def test_two_links_to_one_folder_elsewhere_count_once(write_folder: Callable[..., Path]) -> None:
    root = write_folder({"a/1.png": b"-"})
    elsewhere = write_folder({"sub/3.png": b"-"}, root="elsewhere")
    for name in ("y", "x"):
        link(root / name, elsewhere)
    link(root / "z", elsewhere / "sub")
    assert list_folder(root) == (["a/1.png", "x/sub/3.png"], ["a", "x", "x/sub"], ["y", "z"])
    link(root / "b", elsewhere / "sub")
    assert list_folder(root) == (
        ["a/1.png", "b/3.png"],
        ["a", "b", "x"],
        ["x/sub", "y", "z"],
    )


def test_heic_counts_as_a_picture(tmp_path: Path) -> None:
    files = Path(__file__).parents[2] / "files"
    for name in ("cat/1.heic", "dog/2.HEIF"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(files / "upright.heic", tmp_path / name)
    table = open_source(tmp_path)
    assert table.classes == ("cat", "dog")
    assert [decode(bytes(table.store.read(k))).shape for k in (0, 1)] == [(40, 64, 3)] * 2


def test_a_csv_in_a_folder_of_one_class_is_pointed_out(write_folder: Callable[..., Path]) -> None:
    """As Kaggle ships: a folder ``images`` and a CSV beside it."""
    root = write_folder({"images": 3, "labels.csv": b"path,label\n", "sample.csv": b"id,p\n"})
    table = open_source(root)
    with pytest.raises(
        DataError, match=r"one class only \(`images`\).* Note: give `.*/labels.csv` if it lists t"
    ):
        check_table(table, where="it")
    (root / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"Note: give `.*/sample.csv` if it lists the pictures"):
        check_table(open_source(root), where="it")
    (root / "sample.csv").unlink()
    with pytest.raises(DataError, match=r"a second label\.$"):
        check_table(open_source(root), where="it")


def test_names_that_are_no_utf8_survive(write_folder: Callable[..., Path]) -> None:
    root = write_folder({"a/1.png": b"-"})
    strange = os.fsencode(root) + b"/a/caf\xe9.png"
    try:
        Path(os.fsdecode(strange)).write_bytes(b"-")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = list(walk_files(root))
    assert [os.fsencode(name) for name in found] == [b"a/1.png", b"a/caf\xe9.png"]
