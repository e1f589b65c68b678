"""The list of pictures to leave out: what is written is read again, whatever the names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.exclusions import apply_exclusions, read_exclusions, write_exclusions
from nunbit.data.sources.opening import open_source
from nunbit.errors import DataError, StorageError

ODD = [
    "a,b.png",
    'say "x".png',
    "two\nlines.png",
    " blank .png",
    "고양이.png",
    "\udcff.png",
    "#.png",
]


def test_written_lists_are_read_again(tmp_path):
    place = tmp_path / "out" / "leave.csv"
    write_exclusions(place, [(name, "a, reason") for name in ODD])
    assert read_exclusions(place) == ODD
    assert place.read_bytes().startswith(b'path,reason\n"a,b.png","a, reason"\n')
    assert b"\xff.png" in place.read_bytes()


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(
            lambda name: name.strip() != ""
        ),
        unique=True,
    )
)
def test_any_names_survive(tmp_path_factory, names):
    place = tmp_path_factory.mktemp("lists") / "x.csv"
    write_exclusions(place, [(name, "r") for name in names])
    assert read_exclusions(place) == names


def test_an_existing_list_is_not_overwritten(tmp_path):
    place = tmp_path / "leave.csv"
    place.write_text("path,reason\nmine.png,by hand\n")
    with pytest.raises(StorageError, match=r"leave\.csv` is there already and may have been"):
        write_exclusions(place, [("a.png", "x")])
    assert read_exclusions(place) == ["mine.png"]


def test_a_dangling_link_is_not_written_through(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(StorageError, match="there already"):
        write_exclusions(tmp_path / "link.csv", [])
    assert not (tmp_path / "elsewhere.csv").exists()


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"cat/1.png\ndog/2.png\n", ["cat/1.png", "dog/2.png"]),
        (b"cat/1.png\r\n\r\ndog/2.png", ["cat/1.png", "dog/2.png"]),
        (b"\xef\xbb\xbfpath,reason\r\ncat/1.png,x\r\n", ["cat/1.png"]),
        (b"path\ncat/1.png\n", ["cat/1.png"]),
        (b"Path,reason,note\ncat/1.png,x,y\n", ["cat/1.png"]),
        (b"a, b.png\na, b.png\n", ["a, b.png"]),
        (b"\xff.png\n", ["\udcff.png"]),
        (b"path,reason\n", []),
        (b"path;reason\n", []),
        (b"path;reason\r\ncat/1.png;blurred, dark\r\n", ["cat/1.png"]),
        (b"path\treason\ncat/1.png\tx\n", ["cat/1.png"]),
    ],
)
def test_both_forms_are_read(tmp_path, content, names):
    (tmp_path / "list").write_bytes(content)
    assert read_exclusions(tmp_path / "list") == names


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x89PNG\0\0"])
def test_files_that_name_nothing(tmp_path, content):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(DataError, match=r"names no picture\. Expected a CSV with the column"):
        read_exclusions(tmp_path / "list")


def test_broken_csv_and_missing_file(tmp_path):
    (tmp_path / "list").write_bytes(b'path,reason\n"never closed.png,x\n')
    with pytest.raises(DataError, match="is no CSV: unexpected end of data"):
        read_exclusions(tmp_path / "list")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_exclusions(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_exclusions(tmp_path)


def test_named_pictures_go_and_ids_stay(write_folder):
    table = open_source(write_folder({"cat": 3, "dog": 3}))
    left, notes = apply_exclusions(table, ["cat/1.png", "./dog/0.png", "dog/0.png"])
    assert left.names == ["cat/0.png", "cat/2.png", "dog/1.png", "dog/2.png"]
    assert left.ids.tolist() == [0, 2, 4, 5]
    assert notes == ["left out as listed: 2 pictures"]


def test_dots_before_names_do_not_count_on_either_side(tmp_path, write_folder):
    root = write_folder({"cat": 2, "dog": 2})
    rows = [f"./{name},{name.split('/')[0]}" for name in open_source(root).names]
    (root / "all.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    table = open_source(root / "all.csv")
    left, notes = apply_exclusions(table, ["cat/1.png", "./dog/0.png"])
    assert left.names == ["./cat/0.png", "./dog/1.png"]
    assert notes == ["left out as listed: 2 pictures"]


def test_names_that_match_nothing_are_counted(write_folder):
    table = open_source(write_folder({"cat": 1, "dog": 1}))
    left, notes = apply_exclusions(table, ["gone.png", "cat/9.png"])
    assert len(left) == 2
    assert notes == ["2 listed names match no picture: cat/9.png, gone.png"]


def test_leaving_out_all_is_an_error(write_folder):
    table = open_source(write_folder({"cat": 1, "dog": 1}))
    with pytest.raises(DataError, match="leaves out all 2 pictures of pictures"):
        apply_exclusions(table, table.names)


def test_an_empty_list_changes_nothing(write_folder):
    table = open_source(write_folder({"cat": 2}))
    left, notes = apply_exclusions(table, [])
    assert np.array_equal(left.ids, table.ids)
    assert notes == []
