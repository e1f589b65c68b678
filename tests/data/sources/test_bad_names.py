"""Folders with strange names, links, gaps and files that go away."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nunbit.data.sources.opening import open_source
from nunbit.data.sources.stores import read_file
from nunbit.data.sources.tree import list_folder
from nunbit.errors import DataError, PictureError

WriteFolder = Callable[..., Path]


def write_bytes_name(root: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"-")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")


def test_file_names_that_are_no_utf8_are_read(write_folder: WriteFolder) -> None:
    root = write_folder({"a/1.png": b"1", "b/1.png": b"2"})
    write_bytes_name(root, b"a/caf\xe9.png")
    table = open_source(root)
    assert [os.fsencode(name) for name in table.names] == [b"a/1.png", b"a/caf\xe9.png", b"b/1.png"]
    assert table.store.read(1) == b"-"


def test_class_names_that_are_no_utf8_are_refused(write_folder: WriteFolder) -> None:
    root = write_folder({"a/1.png": b"1"})
    write_bytes_name(root, b"caf\xe9/1.png")
    with pytest.raises(DataError, match=r"has class names that are not UTF-8: `caf\\xe9`. Rename"):
        open_source(root)


def test_class_folders_that_differ_only_in_case(write_folder: WriteFolder) -> None:
    files = {"Cat/1.png": b"-", "cat/1.png": b"-", "cat/2.png": b"-", "dog/1.png": b"-"}
    root = write_folder(files)
    if len(list(root.iterdir())) == 2:
        pytest.skip("this file system does not tell case apart")
    with pytest.raises(
        DataError,
        match=r"classes that differ only in case: `Cat` \(1 picture\) and `cat` \(2 pictures\). If "
        "they are one class, name it `cat` everywhere; if not, give one of them another name",
    ):
        open_source(root)
    assert open_source(root, skip_classes=["Cat"]).classes == ("cat", "dog")
    root = write_folder({"train/Cat/1.png": b"-", "val/cat/1.png": b"-"}, root="splits")
    with pytest.raises(DataError, match="differ only in case"):
        open_source(root)


def test_decomposed_korean_is_the_same_class(write_folder: WriteFolder) -> None:
    apart = unicodedata.normalize("NFD", "고양이")
    root = write_folder({"train/고양이/1.png": b"-", f"val/{apart}/1.png": b"-"})
    table = open_source(root)
    assert table.classes == ("고양이",)
    assert table.labels.tolist() == [0, 0]


def test_loops_and_dangling_links(write_folder: WriteFolder) -> None:
    root = write_folder({"a/1.png": b"-", "b/2.png": b"-"})
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (root / "b" / "self.png").symlink_to(root / "b" / "self.png")
    (root / "b" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "c").symlink_to(root / "no folder", target_is_directory=True)
    table = open_source(root)
    assert table.names == ["a/1.png", "b/2.png", "b/gone.png", "b/self.png"]
    with pytest.raises(PictureError, match=r"^No such file or directory$"):
        table.store.read(2)
    with pytest.raises(PictureError, match="Too many levels of symbolic links"):
        table.store.read(3)


def test_files_that_vanish_between_scan_and_read(write_folder: WriteFolder) -> None:
    root = write_folder({"a": 2, "b": 2})
    table = open_source(root)
    (root / "a" / "1.png").unlink()
    with pytest.raises(PictureError, match=r"^No such file or directory$"):
        table.store.read(1)
    assert len(table.store.read(0)) > 0


def test_a_folder_that_vanishes_during_the_scan(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder({"a": 1, "b": 1})
    real = os.stat

    def stat(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if str(path).endswith("/b"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr("os.stat", stat)
    with pytest.raises(DataError, match=r"folder `.*/b` cannot be opened: No such file or dir"):
        list_folder(root)


def test_a_folder_without_permission(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder({"a": 1, "b": 1})
    real = os.scandir

    def scandir(path: Any = ".") -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    with pytest.raises(
        DataError, match=r"folder `.*/b` cannot be opened: Permission denied. Give yourself the ri"
    ):
        open_source(root)


def test_a_file_without_permission(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder({"a/1.png": b"-", "list.csv": b"path,label\na/1.png,x\n"})

    def refuse(path: Any, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("nunbit.data.sources.stores.os.open", refuse)
    with pytest.raises(PictureError, match=r"^Permission denied$"):
        read_file(root / "a" / "1.png")
    with pytest.raises(DataError, match=r"list.csv` cannot be read: Permission denied"):
        open_source(root / "list.csv")


@pytest.mark.parametrize("name", ["x" * 10_000, "a\0b"])
def test_names_that_no_file_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"File name too long|it has a zero byte"):
        read_file(tmp_path / name)
    with pytest.raises(DataError, match="no such folder or set") as caught:
        open_source(name)
    assert len(str(caught.value)) < 700


def test_empty_class_folders_are_noted(write_folder: WriteFolder) -> None:
    root = write_folder({"a": 1, "b": 1, "c/notes.txt": b"-"})
    (root / "bird").mkdir()
    (root / "a" / "deeper").mkdir()
    table = open_source(root)
    assert table.classes == ("a", "b")
    assert table.notes == (
        "left out: 1 file of other kinds (1 × .txt)",
        "2 class folders without pictures: `bird`, `c`",
    )
    root = write_folder({"train/a": 1, "train/b": 1, "test/a": 1}, root="splits")
    (root / "test" / "b").mkdir()
    (root / "other").mkdir()
    assert open_source(root).notes == ("1 class folder without pictures: `test/b`",)


def test_nested_class_folders_are_noted(write_folder: WriteFolder) -> None:
    root = write_folder({"a/1.png": b"-", "a/old/2.png": b"-", "a/old/x/3.png": b"-", "b": 1})
    table = open_source(root)
    assert [(n, table.label_text(k)) for k, n in enumerate(table.names)] == [
        ("a/1.png", "a"),
        ("a/old/2.png", "a"),
        ("a/old/x/3.png", "a"),
        ("b/0.png", "b"),
    ]
    assert table.notes == (
        "2 pictures in folders within class folders (first: a/old/2.png, which counts as `a`)",
    )


def test_a_folder_that_is_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_bytes(b"-")
    with pytest.raises(
        DataError, match=r"pictures` is a file, expected a folder of class folders, a CSV \(.csv\)"
    ):
        open_source(tmp_path / "pictures")
    with pytest.raises(DataError, match=r"no such folder or set: `.*/pictures/within`"):
        open_source(tmp_path / "pictures" / "within")
    (tmp_path / "cats.zip").write_bytes(b"-")
    with pytest.raises(DataError, match=r"Did you mean `.*/cats.zip`\?"):
        open_source(tmp_path / "cat.zip")
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(DataError, match=r"pipe.zip` is a file, expected"):
        open_source(tmp_path / "pipe.zip")
