"""``load``: real folders, good and bad. Each message of the issue's list is here."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nunbit.data.labelled import load_for_evaluation
from nunbit.data.options import DataOptions
from nunbit.data.pictures import PictureSet, load
from nunbit.data.preprocessing import Preprocessing
from nunbit.errors import DataError, OptionError

WriteFolder = Callable[..., Path]
Paint = Callable[..., NDArray[np.uint8]]


def check_pixels(pictures: PictureSet, classes: tuple[str, ...], paint: Paint) -> None:
    """Every picture is the one its name says, and its label is the folder's name."""
    for position, name in enumerate(pictures.names):
        expected = Preprocessing(12, 1).prepare(paint(name))
        assert np.array_equal(pictures.take(np.array([position]))[0], expected), name
        assert classes[pictures.labels[position]] == name.split("/")[-2]


def test_a_folder_of_class_folders(write_folder: WriteFolder, paint: Paint) -> None:
    root = write_folder({"dog": 20, "cat": 30, "고양이": 10})
    pictures = load(root, image_size=12, validation=0.2, seed=3)
    assert pictures.classes == ("cat", "dog", "고양이")
    assert pictures.source == "pictures"
    assert pictures.validation is not None
    assert pictures.test is None
    assert np.bincount(pictures.train.labels).tolist() == [24, 16, 8]
    assert np.bincount(pictures.validation.labels).tolist() == [6, 4, 2]
    everything = [*pictures.train.names, *pictures.validation.names]
    assert len(set(everything)) == 60
    check_pixels(pictures.train, pictures.classes, paint)
    check_pixels(pictures.validation, pictures.classes, paint)
    assert pictures.notes == []


def test_a_folder_with_splits(write_folder: WriteFolder, paint: Paint) -> None:
    root = write_folder({"train/a": 5, "train/b": 4, "val/a": 3, "val/b": 2, "test/b": 1})
    with pytest.raises(DataError, match=r"split `test` of .* has no pictures of `a`, but training"):
        load(root)
    root = write_folder({"test/a": 2})
    pictures = load(root, image_size=12)
    assert pictures.validation is not None
    assert pictures.test is not None
    assert [len(pictures.train), len(pictures.validation), len(pictures.test)] == [9, 5, 3]
    assert all(name.startswith("val/") for name in pictures.validation.names)
    check_pixels(pictures.test, pictures.classes, paint)


def test_mean_and_spread_are_those_of_the_training_pictures(write_folder: WriteFolder) -> None:
    root = write_folder({"train/a": 6, "train/b": 6, "test/a": 3, "test/b": 3}, channels=3)
    pictures = load(root, image_size=12, validation=0.3)
    seen = pictures.train.take(slice(None)).reshape(-1, 3) / 255
    assert pictures.preprocessing.mean == pytest.approx(seen.mean(axis=0).tolist(), abs=2e-6)
    assert pictures.preprocessing.std == pytest.approx(seen.std(axis=0).tolist(), abs=2e-6)


def test_pictures_of_one_colour_are_not_divided_by_nothing(
    write_folder: WriteFolder, encode_png: Callable[[NDArray[np.uint8]], bytes]
) -> None:
    flat = encode_png(np.full((8, 8), 200, np.uint8))
    root = write_folder({f"{c}/{k}.png": flat for c in "ab" for k in range(3)})
    pictures = load(root)
    assert pictures.preprocessing.std == (1.0,)
    assert pictures.preprocessing.mean == pytest.approx((200 / 255,), abs=1e-6)


def test_size_and_colour_are_chosen_from_the_pictures(
    write_folder: WriteFolder, encode_png: Callable[[NDArray[np.uint8]], bytes], paint: Paint
) -> None:
    def folder(root: str, height: int, width: int, channels: int) -> Path:
        file = encode_png(paint("size", height, width, channels))
        return write_folder({f"{c}/{k}.png": file for c in "ab" for k in range(3)}, root=root)

    chosen = load(folder("large", 300, 200, 3)).preprocessing
    assert (chosen.image_size, chosen.channels) == (128, 3)
    chosen = load(folder("middle", 70, 50, 1)).preprocessing
    assert (chosen.image_size, chosen.channels) == (48, 1)
    chosen = load(folder("tiny", 7, 9, 1)).preprocessing
    assert (chosen.image_size, chosen.channels) == (7, 1)
    grey_in_rgb = encode_png(np.repeat(paint("grey", 16, 16)[:, :, None], 3, axis=2))
    files = {f"{c}/{k}.png": grey_in_rgb for c in "ab" for k in range(3)}
    assert load(write_folder(files, root="grey in RGB")).preprocessing.channels == 1
    files["b/2.png"] = encode_png(paint("one", 16, 16, 3))
    mixed = write_folder(files, root="mixed")
    assert load(mixed).preprocessing.channels == 3
    assert load(mixed, options=DataOptions(channels="grey")).preprocessing.channels == 1


def test_user_files_are_never_written_to(write_folder: WriteFolder, truncated_png: bytes) -> None:
    root = write_folder({"a": 4, "b": 4, "b/bad.png": truncated_png, "notes.txt": b"mine"})

    def look() -> dict[str, tuple[str, int, int]]:
        return {
            str(path): (
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
                path.stat().st_mtime_ns,
                path.stat().st_mode,
            )
            for path in sorted([root, *root.rglob("*")])
        }

    before = look()
    load(root)
    load_for_evaluation(root, preprocessing=Preprocessing(8, 1), classes=("a", "b"))
    assert look() == before


# --- Unreadable pictures -------------------------------------------------------


def test_unreadable_pictures_are_left_out_counted_and_listed_and_never_replaced(
    write_folder: WriteFolder, truncated_png: bytes, paint: Paint
) -> None:
    root = write_folder(
        {"a": 10, "b": 10, "a/3.png": truncated_png, "b/0.png": b"", "b/7.png": b"no picture"}
    )
    (root / "a" / "link.png").symlink_to(root / "nowhere.png")
    pictures = load(root, image_size=12, validation=0.25)
    assert pictures.validation is not None
    assert {each.name: each.reason for each in pictures.unreadable} == {
        "a/3.png": "damaged or truncated",
        "a/link.png": "No such file or directory",
        "b/0.png": "the file is empty",
        "b/7.png": "damaged, truncated, or not a picture",
    }
    assert pictures.notes == [
        "4 unreadable pictures left out: a/3.png (damaged or truncated), a/link.png (No such "
        "file or directory), b/0.png (the file is empty), b/7.png (damaged, truncated, or not "
        "a picture)"
    ]
    names = [*pictures.train.names, *pictures.validation.names]
    good = {f"{c}/{k}.png" for c in "ab" for k in range(10)} - {"a/3.png", "b/0.png", "b/7.png"}
    assert sorted(names) == sorted(good), "each readable picture once, no other"
    assert pictures.table.names == sorted(good, key=lambda n: (n[0], n))
    for part in (pictures.train, pictures.validation):
        check_pixels(part, pictures.classes, paint)
        assert [pictures.table.store.name(int(i)) for i in part.ids] == part.names


def test_unreadable_pictures_in_an_evaluation_are_left_out_too(
    write_folder: WriteFolder, truncated_png: bytes, paint: Paint
) -> None:
    root = write_folder({"a": 3, "b": 3, "a/1.png": truncated_png})
    pictures, notes = load_for_evaluation(
        root, preprocessing=Preprocessing(12, 1), classes=("b", "a")
    )
    assert notes == ["1 unreadable picture left out: a/1.png (damaged or truncated)"]
    assert pictures.names == ["a/0.png", "a/2.png", "b/0.png", "b/1.png", "b/2.png"]
    assert pictures.labels.tolist() == [1, 1, 0, 0, 0]
    check_pixels(pictures, ("b", "a"), paint)


def test_all_pictures_unreadable(write_folder: WriteFolder) -> None:
    root = write_folder({f"{c}/{k}.jpg": b"\xff\xd8\xff junk" for c in "ab" for k in range(3)})
    with pytest.raises(
        DataError,
        match=r"none of the 6 pictures looked at in `.*` can be read; the first: a/0.jpg: damaged",
    ):
        load(root)
    with pytest.raises(
        DataError, match=r"none of the 6 pictures of .* can be read; the first: a/0"
    ):
        load_for_evaluation(root, preprocessing=Preprocessing(8, 1), classes=("a", "b"))


def test_a_class_that_loses_its_pictures_is_named_with_them(
    write_folder: WriteFolder, truncated_png: bytes
) -> None:
    bad = dict.fromkeys(("b/0.png", "b/1.png", "b/2.png"), truncated_png)
    root = write_folder({"a": 5, **bad})
    with pytest.raises(
        DataError,
        match=r"class `b` in `.*` \(3 unreadable pictures left out: b/0.png .* has less than two "
        "pictures to train on, expected at least 2",
    ):
        load(root)
    with pytest.raises(DataError, match=r"has no picture to train on, expected at least 1. Add"):
        load(root, validation=0)


# --- Sources that cannot be used -----------------------------------------------


def test_no_such_folder(write_folder: WriteFolder, no_data: Path) -> None:
    root = write_folder({"a": 1}, root="photographs")
    with pytest.raises(
        DataError,
        match=rf"no such folder or set: `{root.parent}/fotographs`. Did you mean `{root}`\? Give a",
    ):
        load(root.parent / "fotographs")
    with pytest.raises(DataError, match=r"no such folder or set: `mnits`. Did you mean `mnist`\?"):
        load("mnits")
    with pytest.raises(DataError, match=r"no such folder or set: `Digits`. Did you mean `digits`"):
        load("Digits")
    with pytest.raises(DataError) as caught:
        load(root.parent / "zzz")
    assert "Did you mean" not in str(caught.value)
    assert "digits, shapes, signals, mnist" in str(caught.value)


@pytest.mark.parametrize("source", ["", "~nobody-of-this-name/x", "x" * 300, "a\0b"])
def test_a_source_that_cannot_be_a_path(source: str) -> None:
    with pytest.raises(DataError, match="no such folder or set"):
        load(source)


def test_a_source_that_is_a_file(write_folder: WriteFolder) -> None:
    root = write_folder({"cat.jpg": b"-"})
    with pytest.raises(DataError, match=r"cat.jpg` is a file, expected a folder of class folders"):
        load(root / "cat.jpg")


def test_a_folder_without_pictures(write_folder: WriteFolder) -> None:
    root = write_folder({})
    with pytest.raises(DataError, match=r"has no pictures. Expected class folders with files such"):
        load(root)
    root = write_folder({"a/1.txt": b"-", "a/2.txt": b"-", "b/README": b"-"})
    with pytest.raises(DataError, match=r"has no pictures \(found: 2 × .txt, 1 × no suffix\)"):
        load(root)


def test_pictures_without_class_folders(write_folder: WriteFolder) -> None:
    root = write_folder({"1.png": b"-", "2.png": b"-"})
    with pytest.raises(
        DataError, match=r"has 2 pictures but no class folders \(first: 1.png\). Put the pictures"
    ):
        load(root)


def test_one_class_only(write_folder: WriteFolder) -> None:
    with pytest.raises(
        DataError, match=r"has one class only \(`cat`\), expected at least two. Put pictures of"
    ):
        load(write_folder({"cat": 5}))


def test_a_class_with_one_picture(write_folder: WriteFolder) -> None:
    root = write_folder({"cat": 5, "dog": 1})
    with pytest.raises(
        DataError,
        match=r"class `dog` in `.*` has one picture to train on, expected at least 2 \(one to "
        r"learn from, one to validate with\). Add pictures, or pass `--skip-class dog`.",
    ):
        load(root)
    assert len(load(root, validation=0).train) == 6
    root = write_folder({"cow": 1, "val/x.png": b"-"})
    with pytest.raises(DataError, match=r"classes `cow`, `dog`, `val` in .* have one picture"):
        load(root)


def test_a_class_of_one_picture_is_enough_where_validation_exists(
    write_folder: WriteFolder,
) -> None:
    root = write_folder({"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1})
    assert len(load(root).train) == 2


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_class_that_training_lacks(write_folder: WriteFolder, split: str) -> None:
    root = write_folder(
        {"train/bird": 2, "train/cat": 2, f"{split}/bird": 1, f"{split}/cat": 1, f"{split}/dog": 1}
    )
    with pytest.raises(
        DataError,
        match=rf"class folder `{split}/dog` exists, but training has no class `dog` \(it has: "
        r"bird, cat\). Every split needs the same classes. Add pictures to `train/dog`, or pass "
        "`--skip-class dog`.",
    ):
        load(root)
    pictures = load(root, options=DataOptions(skip_class=("dog",)))
    assert pictures.classes == ("bird", "cat")


@pytest.mark.parametrize(("folder", "split"), [("val", "validation"), ("test", "test")])
def test_a_split_that_lacks_a_class_does_not_renumber_the_labels(
    write_folder: WriteFolder, folder: str, split: str
) -> None:
    root = write_folder({"train/a": 2, "train/b": 2, "train/c": 2, f"{folder}/c": 2})
    with pytest.raises(
        DataError,
        match=f"split `{split}` of `.*` has no pictures of `a`, `b`, but training has. .* Add "
        "pictures, or pass `--skip-class a`",
    ):
        load(root)


def test_no_training_pictures(write_folder: WriteFolder) -> None:
    root = write_folder({"test/a": 2, "test/b": 2})
    with pytest.raises(
        DataError, match=r"has no training pictures \(splits that have some: test\). Add class"
    ):
        load(root)


def test_skip_class(write_folder: WriteFolder) -> None:
    root = write_folder({"cat": 3, "dog": 3, "Zebra": 3})
    pictures = load(root, options=DataOptions(skip_class=("dog",)))
    assert pictures.classes == ("Zebra", "cat")
    assert {name.split("/")[0] for name in pictures.table.names} == {"Zebra", "cat"}
    assert pictures.notes == ["classes left out as asked: dog"]
    with pytest.raises(
        DataError, match=r"`--skip-class zebra`: .* has no such class. Did you mean `Zebra`\? It ha"
    ):
        load(root, options=DataOptions(skip_class=("zebra",)))
    with pytest.raises(DataError, match=r"no training pictures \(splits that have some: none\)"):
        load(root, options=DataOptions(skip_class=("dog", "cat", "Zebra")))


def test_what_is_left_out_is_noted(write_folder: WriteFolder) -> None:
    root = write_folder({"a": 3, "b": 3, "1.png": b"-", "a/x.txt": b"-", "b/y.txt": b"-"})
    assert load(root).notes == [
        "left out: 1 picture in no class folder (first: 1.png)",
        "left out: 2 files of other kinds (2 × .txt)",
    ]


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    """A folder with one that may not be opened; root gives up its rights meanwhile."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        root, closed = Path(name), Path(name) / "a" / "closed"
        closed.mkdir(parents=True)
        root.chmod(0o755)
        closed.chmod(0)
        try:
            if user == 0:
                os.seteuid(65534)
            yield root
        finally:
            os.seteuid(user)
            closed.chmod(0o700)


def test_a_folder_that_may_not_be_opened(closed_folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"folder `.*/a/closed` cannot be opened: Permission denied. Give yourself"
    ):
        load(closed_folder)
    with pytest.raises(DataError, match="no such folder or set"):
        load(closed_folder / "a" / "closed" / "within")


# --- Options -------------------------------------------------------------------


def test_values_out_of_range() -> None:
    with pytest.raises(OptionError, match=r"`validation` is 1.0, expected 0 <= value <= 0.9"):
        load("digits", validation=1.0)
    with pytest.raises(OptionError, match=r"`image_size` is 2, expected 4 <= value .* \(pixels\)"):
        load("digits", image_size=2)


def test_no_validation() -> None:
    pictures = load("digits", validation=0)
    assert pictures.validation is None
    assert len(pictures.train) == 1433


def test_progress_counts_every_picture_once(write_folder: WriteFolder) -> None:
    seen: list[tuple[int, int]] = []
    load(write_folder({"a": 70, "b": 70}), on_progress=lambda *each: seen.append(each))
    assert seen == [*((done, 140) for done in range(16, 140, 16)), (140, 140)]
    seen.clear()
    load("digits", on_progress=lambda *each: seen.append(each))
    assert seen == [(1797, 1797)]


# --- Pictures for a network that exists ------------------------------------------


def test_evaluation_takes_the_test_split_else_all(write_folder: WriteFolder, paint: Paint) -> None:
    steps = Preprocessing(12, 1)
    root = write_folder({"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 1}, root="splits")
    pictures, notes = load_for_evaluation(root, preprocessing=steps, classes=("b", "x", "a"))
    assert pictures.split == "test"
    assert pictures.names == ["test/a/0.png", "test/a/1.png", "test/b/0.png"]
    assert pictures.labels.tolist() == [2, 2, 0], "positions in the network's classes"
    assert notes == ["no pictures of x here; their scores say nothing"]
    check_pixels(pictures, ("b", "x", "a"), paint)
    root = write_folder({"a": 2, "b": 1}, root="plain")
    pictures, notes = load_for_evaluation(root, preprocessing=steps, classes=("a", "b"))
    assert (pictures.split, len(pictures), notes) == ("all", 3, [])


def test_evaluation_refuses_classes_that_the_network_does_not_know(
    write_folder: WriteFolder,
) -> None:
    root = write_folder({"a": 2, "lynx": 1})
    with pytest.raises(
        DataError, match=r"has class `lynx`, which the network does not know \(it knows: a, b\)"
    ):
        load_for_evaluation(root, preprocessing=Preprocessing(8, 1), classes=("a", "b"))
