"""A CSV that lists pictures: what it may look like, and what is said where it is wrong."""

from __future__ import annotations

import csv
import io
import os.path
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nunbit.data.sources.columns import table_of
from nunbit.data.sources.csv_source import parse_csv
from nunbit.data.sources.labels import check_table
from nunbit.data.sources.opening import open_source
from nunbit.data.sources.stores import FileStore
from nunbit.data.table import PictureTable
from nunbit.errors import DataError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a CSV and the pictures a.jpg to d.jpg beside it."""

    def write(content: str | bytes, *, name: str = "list.csv", pictures: str = "abcd") -> Path:
        for each in pictures:
            (tmp_path / f"{each}.jpg").write_bytes(each.encode())
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def rows(table: PictureTable) -> list[tuple[str, str, str]]:
    return [(name, table.label_text(k), str(table.split[k])) for k, name in enumerate(table.names)]


PLAIN = "path,label\na.jpg,cat\nb.jpg,dog\nc.jpg,cat\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", " , "),
        PLAIN.replace("path,label", "PATH,Label"),
        PLAIN.rstrip("\n"),
        PLAIN.replace("a.jpg,cat", '"a.jpg","cat"'),
        PLAIN.replace("\n", "\n\n,\n"),
    ],
    ids=range(11),
)
def test_one_table_in_many_spellings(write: Write, content: str) -> None:
    table = open_source(write(content))
    assert rows(table) == [
        ("a.jpg", "cat", "train"),
        ("b.jpg", "dog", "train"),
        ("c.jpg", "cat", "train"),
    ]
    assert table.classes == ("cat", "dog")
    assert table.labels.tolist() == [0, 1, 0]
    assert [table.store.read(int(k)) for k in table.ids] == [b"a", b"b", b"c"]
    assert (table.kind, table.source, table.group, table.notes) == ("class", "list", None, ())


def test_paths_are_relative_to_the_csv_or_absolute(write: Write, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "e.jpg").write_bytes(b"e")
    path = write(f"path,label\ndeep/e.jpg,x\n{tmp_path}/a.jpg,y\n../{tmp_path.name}/b.jpg,x\n")
    table = open_source(path)
    assert [table.store.read(int(k)) for k in table.ids] == [b"e", b"a", b"b"]


def test_splits_groups_and_quoted_cells(write: Write, tmp_path: Path) -> None:
    (tmp_path / "a, b.jpg").write_bytes(b"-")
    path = write(
        'label,split,path,group,who\n"says ""hi""",val,"a, b.jpg",p1,me\ncat,TRAIN,a.jpg,p1,\n'
        '"says ""hi""",training,b.jpg,,me\ncat,Test,c.jpg,p2,me\n'
    )
    table = open_source(path)
    assert rows(table) == [
        ("a, b.jpg", 'says "hi"', "validation"),
        ("a.jpg", "cat", "train"),
        ("b.jpg", 'says "hi"', "train"),
        ("c.jpg", "cat", "test"),
    ]
    assert table.group is not None
    assert table.group.tolist() == ["p1", "p1", "only b.jpg", "p2"]
    assert table.notes == ("columns that are not used: `who`",)


def test_several_labels_make_a_multi_label_table(write: Write) -> None:
    table = open_source(write("path,label\na.jpg,cat|dog\nb.jpg,dog\nc.jpg,\nd.jpg,cow| cat|cat\n"))
    assert table.kind == "multi-label"
    assert table.classes == ("cat", "cow", "dog")
    assert table.labels.dtype == np.uint8
    assert table.labels.tolist() == [[1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 0]]
    assert [table.label_text(k) for k in range(4)] == ["cat|dog", "dog", "", "cat|cow"]
    assert table.notes == ("1 picture without any label: none of the classes",)
    check_table(table, where="it")
    part = open_source(table.store.root / "list.csv", skip_classes=["dog"])
    assert part.classes == ("cat", "cow")
    assert part.names == ["a.jpg", "c.jpg", "d.jpg"], "b.jpg had no other label"
    assert part.labels.tolist() == [[1, 0], [0, 0], [1, 1]]


def test_targets_make_a_table_of_numbers(write: Write) -> None:
    table = open_source(write("path,target_x,target_Y\na.jpg,0.5,-1e3\nb.jpg,3,4\nc.jpg,1,\n"))
    assert table.kind == "regression"
    assert table.classes == ("target_x", "target_y")
    assert table.labels.dtype == np.float64
    assert table.labels.tolist() == [[0.5, -1000.0], [3.0, 4.0]]
    assert table.notes == ("left out: 1 picture without a target (first: line 4: c.jpg)",)
    check_table(table, where="it")
    with pytest.raises(DataError, match=r"`--skip-class x`: .* has numbers to learn, no classes"):
        open_source(table.store.root / "list.csv", skip_classes=["x"])
    one = open_source(write("path;target\na.jpg;1.5\nb.jpg;2\n"))
    assert one.labels.tolist() == [[1.5], [2.0]]
    assert one.label_text(0) == "1.5"
    with pytest.raises(DataError, match=r"has one picture to train on, expected at least 2"):
        check_table(one.select(np.array([0])), where="it")


def test_whole_numbers_are_classes_in_their_order(write: Write) -> None:
    table = open_source(write("path,label\na.jpg,10\nb.jpg,9\nc.jpg,-1\n"))
    assert table.classes == ("-1", "9", "10")
    assert open_source(write("path,label\na.jpg,10\nb.jpg,9\nc.jpg,x\n")).classes[0] == "10"


def test_what_is_said_once_more_counts_once(write: Write) -> None:
    table = open_source(write("path,label\na.jpg,x\nb.jpg,y\n./a.jpg,x\n"))
    assert table.names == ["a.jpg", "b.jpg"]
    assert table.notes == ("1 row named a picture again; it counts once (line 4: ./a.jpg)",)


def test_pictures_without_a_label_are_left_out_and_noted(write: Write) -> None:
    table = open_source(write("path,label\na.jpg,x\nb.jpg,\nc.jpg,y\n"))
    assert rows(table) == [("a.jpg", "x", "train"), ("c.jpg", "y", "train")]
    assert table.ids.tolist() == [0, 1]
    assert table.store.read(1) == b"c"
    assert table.notes == ("left out: 1 picture without a label (first: line 3: b.jpg)",)
    with pytest.raises(DataError, match=r"has no labelled pictures. Add rows, or fill in"):
        open_source(write("path,label\na.jpg,\n"))


@pytest.mark.parametrize(("on_disk", "written"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_are_found_in_both_forms_of_their_letters(
    tmp_path: Path, on_disk: str, written: str
) -> None:
    """Files from macOS are decomposed, a CSV from elsewhere is not."""
    names = [f"고양이/caf\u00e9 {k}.png" for k in range(2)]
    there, listed = ([unicodedata.normalize(f, n) for n in names] for f in (on_disk, written))
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"-")
    cells = dict(zip(("a", "b"), listed, strict=True))
    (tmp_path / "list.csv").write_text(
        "path,label\n" + "".join(f"{path},{label}\n" for label, path in cells.items())
    )
    table = open_source(tmp_path / "list.csv")
    assert table.names == there
    assert table.store.read(0) == b"-"
    columns = {"path": [str(tmp_path / name) for name in listed], "label": ["a", "b"]}
    assert open_source(columns).names == [str(tmp_path / name) for name in there]


def test_decomposed_and_composed_letters_are_one_label(write: Write) -> None:
    apart = unicodedata.normalize("NFD", "고양이")
    table = open_source(write(f"path,label\na.jpg,고양이\nb.jpg,{apart}\nc.jpg,개\n"))
    assert table.classes == ("개", "고양이")
    assert table.labels.tolist() == [1, 1, 0]


# --- What is wrong ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"is empty, expected a first line path,label\[,split\]\[,group\]"),
        (" \n\n", "is empty, expected a first line"),
        ('""\r\n', "is empty, expected a first line"),
        ("path,label\n", "has a first line, but no pictures below it. Add a row for each"),
        (
            "filename,class\na.jpg,x\n",
            r"has the columns `filename`, `class`, expected path,label.*missing: path, label. The "
            "first line names the columns: rename `filename` to `path`; rename `class` to `label`",
        ),
        ("a.jpg,cat\nb.jpg,dog\n", "has the columns `a.jpg`, `cat`, expected path,label"),
        ("path;label,split\n", "has the columns `path;label`, `split`, expected"),
        ("path,label,Label\na.jpg,x,y\n", "has two columns `label`. Keep one"),
        ("path,label,target\na.jpg,x,1\n", "has both `label` and `target`. Keep `label` to learn"),
        (
            "path,label\na.jpg,x\nb.jpg,x,y\nc.jpg\n",
            r"lines that have not 2 cells as the first line has \(2\): line 3: 3 from `b.jpg` on, "
            "line 4: 1 from `c.jpg` on. Put cells that hold a comma in quotes",
        ),
        (
            'path,label\na.jpg,"x\nb.jpg,y\n',
            "line 2: broken quotes .*unexpected end of data.*Close",
        ),
        ('path,label\na.jpg,x\nb.jpg,"y"z\n', "line 3: broken quotes"),
        ("path,label\na.jpg,x\nb.jpg,\0\n", "has a zero byte in line 3, so it is no text"),
        (b"path,label\na.jpg,x\nb.jpg,caf\xe9\n", "is not UTF-8: line 3 has the byte e9. Save it"),
        (b"\xef\xbb\xbfpath,label\n\xff", "is not UTF-8: line 2 has the byte ff"),
        (PLAIN.encode("utf-16"), "is written in UTF-16, expected UTF-8. Save it as `CSV UTF-8`"),
        (
            "path,label,split\na.jpg,x,train\nb.jpg,y,vaild\nc.jpg,y,\n",
            r"unknown splits \(2\): line 3: `vaild`. Did you mean `valid`\?, line 4: ``. Expected "
            r"train, validation \(or val\) or test",
        ),
        (
            "path,label\na.jpg,Cat\nb.jpg,cat\nc.jpg,cat\n",
            r"differ only in case: `Cat` \(1 picture\) and `cat` \(2 pictures\). If they are one "
            "class, name it `cat` everywhere",
        ),
        (
            "path,label\na.jpg,x\na.jpg,y\n",
            r"pictures named twice in different words \(1\): line 3: `a.jpg`, as in line 2. Give "
            r"each picture one row; several labels are written `a\|b`",
        ),
        ("path,label\n,x\n", r"rows without a path \(1\): line 2. Fill it in"),
        ("path,label\na.jpg,x|\n", r"labels with an empty part \(1\): line 2: `x\|`"),
        (
            "path,target\na.jpg,0,5\n",
            "lines that have not 2 cells",
        ),
        (
            'path,target\na.jpg,"0,5"\nb.jpg,nan\nc.jpg,1_0\n',
            r"cells of `target` that are no number \(3\): line 2: `0,5`, line 3: `nan`, line 4: "
            "`1_0`. Write numbers with a point",
        ),
        (
            "path,label,split\na.jpg,x,train\nb.jpg,y,val\n",
            r"line 3: split `validation` has the label `y`, but training has no class `y` \(it "
            r"has: x\). .* Add pictures of it to the split `train`, or pass `--skip-class y`",
        ),
        ("path,label\na\\b.jpg,x\n", r"missing files \(1\).* Write paths with `/`"),
        (
            f"path,label\na.jpg,{'x' * 10_000}\n",
            r"labels of more than 500 characters \(1\): line 2: `x+… \(10,000 characters\)`",
        ),
        (f"path,label\na.jpg,{'x' * 200_000}\n", "line 2: a cell of more than 131,072 characters"),
        (f"path,label\n{'x' * 10_000}.jpg,x\n", r"missing files \(1\): line 2: `x+… \(10,004 char"),
    ],
    ids=range(28),
)
def test_a_csv_that_cannot_be_used(write: Write, content: str | bytes, message: str) -> None:
    path = write(content)
    with pytest.raises(DataError, match=f"(?s)`{path}`.*{message}") as caught:
        open_source(path)
    assert len(str(caught.value)) < 1_500


def test_missing_files_are_all_counted_and_ten_shown(write: Write) -> None:
    lines = "".join(f"no/{k}.jpg,x\n" for k in range(12_345))
    with pytest.raises(
        DataError,
        match=r"missing files \(12,345\): line 2: `no/0.jpg`, .*line 11: `no/9.jpg` and 12335 more",
    ) as caught:
        open_source(write(f"path,label\n{lines}"))
    assert "no/10.jpg" not in str(caught.value)


def test_mistakes_of_all_kinds_are_told_at_once(write: Write) -> None:
    with pytest.raises(DataError) as caught:
        open_source(write("path,label,split\nx.jpg,a,train\na.jpg,b|,no\nb.jpg,c,test\n"))
    text = str(caught.value)
    assert text.count("\n- ") == 3
    for each in ("missing files (1): line 2", "unknown splits (1): line 3", "empty part (1)"):
        assert each in text


def test_a_skipped_class_is_named_as_it_is_written(write: Write) -> None:
    path = write(PLAIN)
    assert open_source(path, skip_classes=["dog"]).names == ["a.jpg", "c.jpg"]
    with pytest.raises(DataError, match=r"`--skip-class dgo`: .* Did you mean `dog`\? It has: cat"):
        open_source(path, skip_classes=["dgo"])


def test_a_csv_that_is_too_large(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nunbit.data.sources.opening.MAX_CSV_BYTES", 20)
    with pytest.raises(DataError, match=r"list.csv` has 0 MB, expected at most 0 MB of paths and"):
        open_source(write(PLAIN))


def test_a_folder_whose_csv_was_meant(write: Write) -> None:
    path = write(PLAIN)
    with pytest.raises(DataError, match=r"\(give `.*list.csv` if it lists the pictures\) has 4 pi"):
        open_source(path.parent)


# --- Anything --------------------------------------------------------------------


def read_any(data: bytes) -> PictureTable | None:
    """Read bytes as a CSV all of whose paths exist; only a DataError may come out."""
    try:
        columns = parse_csv(data, where="it")
        table = table_of(
            columns,
            find=lambda name: name,
            make_store=lambda names: FileStore(Path("/"), names),
            source="it",
            where="it",
        )
    except DataError as error:
        assert len(str(error)) < 20_000  # noqa: PT017  # all raised errors are looked at
        return None
    assert len(table) == len(table.labels) == len(table.split) == len(table.store)
    assert set(table.split.tolist()) <= {"train", "validation", "test"}
    if table.kind == "class":
        assert ((table.labels >= 0) & (table.labels < len(table.classes))).all()
    elif table.kind == "multi-label":
        assert set(np.unique(table.labels).tolist()) <= {0, 1}
        assert table.labels.shape == (len(table), len(table.classes))
    else:
        assert np.isfinite(table.labels).all()
    return table


CELLS = st.one_of(
    st.sampled_from(
        ["a.jpg", "b.jpg", "cat", "dog", "Cat", "a|b", "train", "val", "", "0.5", "1e9"]
    ),
    st.text(max_size=8),
    st.sampled_from(['"', '""', '"a', "\r", "\n", "\0", "\ufeff", "|", "||", "x" * 600]),
)
HEADERS = st.lists(
    st.sampled_from(["path", "label", "split", "group", "target", "target_a", "Path", "", "x"]),
    min_size=1,
    max_size=5,
)


@st.composite
def almost_csv(draw: st.DrawFn) -> bytes:
    """Bytes that are nearly a good CSV: rows of cells, then some bytes changed."""
    header = draw(st.one_of(st.just(["path", "label"]), HEADERS))
    width = len(header)
    lines = draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6))
    delimiter = draw(st.sampled_from([",", ";", "\t"]))
    text = io.StringIO()
    if draw(st.booleans()):
        csv.writer(text, delimiter=delimiter).writerows([header, *lines])
    else:
        text.write("\n".join(delimiter.join(row) for row in [header, *lines]))
    data = bytearray(text.getvalue().encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.integers(0, 2))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(st.binary(max_size=200))
@example(b"path,label\n\xff")
def test_any_bytes_are_a_table_or_a_message(data: bytes) -> None:
    read_any(data)


@given(almost_csv())
def test_any_near_csv_is_a_table_or_a_message(data: bytes) -> None:
    read_any(data)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
            .map(str.strip)
            .filter(bool),
            st.sampled_from(["cat", "dog, small", 'a "b"', "고양이", "1"]),
        ),
        min_size=1,
        unique_by=lambda row: row[0],
    )
)
def test_what_is_written_is_read_back(lines: list[tuple[str, str]]) -> None:
    if len({os.path.normpath(name) for name, _ in lines}) < len(lines):
        return
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([("path", "label"), *lines])
    table = read_any(text.getvalue().encode())
    assert table is not None
    assert [(n, table.label_text(k)) for k, n in enumerate(table.names)] == lines
