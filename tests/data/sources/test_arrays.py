"""Sources from Python: columns, dataframes and arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nunbit.data.sources.arrays import table_from_arrays, table_from_columns
from nunbit.data.sources.opening import open_source
from nunbit.errors import DataError

Paint = Callable[..., NDArray[np.uint8]]


class Frame:
    """What this package uses of a dataframe, and no more."""

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        cells = self._columns[name]
        return cells if isinstance(cells, np.ndarray) else np.array(cells, dtype=object)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for each in "abcd":
        (tmp_path / f"{each}.jpg").write_bytes(each.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


PATHS = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]


@pytest.mark.parametrize("kind", [dict, Frame])
def test_columns_with_all_there_is(files: Path, kind: Callable[..., Any]) -> None:
    table = open_source(
        kind(
            {
                "Path": [files / "a.jpg", "b.jpg", b"c.jpg", "d.jpg"],
                "label": ["cat", "dog", "cat", "dog"],
                "split": ["train", "train", "val", "Valid"],
                "group": [1, 1, 2, float("nan")],
                "score": [0, 0, 0, 0],
            }
        )
    )
    assert (table.source, table.kind, table.classes) == ("columns", "class", ("cat", "dog"))
    assert table.labels.tolist() == [0, 1, 0, 1]
    assert table.split.tolist() == ["train", "train", "validation", "validation"]
    assert table.group is not None
    assert table.group.tolist() == ["1", "1", "2", "only d.jpg"]
    assert [table.store.read(k) for k in range(4)] == [b"a", b"b", b"c", b"d"]
    assert table.notes == ("columns that are not used: `score`",)


def test_paths_are_relative_to_root(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    columns = {"path": PATHS[:2], "label": ["x", "y"]}
    assert table_from_columns(columns, root=files).store.read(1) == b"b"
    with pytest.raises(
        DataError,
        match=r"^the table of columns cannot be used: missing files \(2\): row 0: `a.jpg`, row 1",
    ):
        table_from_columns(columns)


@pytest.mark.parametrize(
    ("labels", "classes", "positions"),
    [
        ([10, 9, 10, 2], ("2", "9", "10"), [2, 1, 2, 0]),
        (np.array([10.0, 9.0, np.nan, 2.0]), ("2", "9", "10"), [2, 1, 0]),
        ([True, False, None, True], ("False", "True"), [1, 0, 1]),
    ],
)
def test_labels_that_are_whole_numbers(
    files: Path, labels: Any, classes: tuple[str, ...], positions: list[int]
) -> None:
    table = open_source(Frame({"path": PATHS, "label": labels}))
    assert table.classes == classes
    assert table.labels.tolist() == positions


def test_several_labels_and_targets(files: Path) -> None:
    table = open_source({"path": PATHS, "label": [["x", "y"], {"y"}, "x|z", ()]})
    assert (table.kind, table.classes) == ("multi-label", ("x", "y", "z"))
    assert table.labels.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]]
    table = open_source({"path": PATHS, "target": [1, 2.5, np.float32(3), None]})
    assert (table.kind, table.classes) == ("regression", ("target",))
    assert table.labels.tolist() == [[1.0], [2.5], [3.0]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"file": ["a.jpg"], "label": ["x"]},
            "the table of columns has the columns `file`, `label`.*rename",
        ),
        (
            {"path": PATHS, "label": ["x"]},
            r"columns of different lengths \(path 4, label 1\). Give each",
        ),
        ({"path": [], "label": []}, "the table of columns has no rows"),
        ({"path": PATHS, "label": [0.5, 1, 2, 3]}, "the label 0.5 in row 0, expected texts or who"),
        ({"path": [None, *PATHS[1:]], "label": ["x"] * 4}, r"rows without a path \(1\): row 0"),
        ({"path": ["a.jpg", "a.jpg"], "label": [1, 2]}, "twice in different words"),
        ({"path": ["a\0.jpg"], "label": [1]}, "missing files"),
    ],
)
def test_columns_that_cannot_be_used(files: Path, columns: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(columns)


@pytest.mark.parametrize("source", [3, None, ["a.jpg"], np.zeros((2, 4, 4), np.uint8)])
def test_what_is_no_source(source: Any) -> None:
    with pytest.raises(DataError, match=r"got .* as a source, expected a path, the name of a set"):
        open_source(source)
    with pytest.raises(DataError, match=r"got a tuple of 3, expected a pair \(images, labels\)"):
        open_source((1, 2, 3))  # type: ignore[arg-type]


# --- Arrays -------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("as_list", [False, True])
def test_pixels_pass_through_unchanged(paint: Paint, shape: tuple[int, ...], as_list: bool) -> None:
    pixels = (
        np.stack([paint(str(k), *shape[:2], 3)[..., : shape[2]] for k in range(4)])
        if len(shape) == 3
        else np.stack([paint(str(k), *shape) for k in range(4)])
    )
    table = open_source((list(pixels) if as_list else pixels, ["x", "y", "x", "y"]))
    assert (table.source, table.kind, table.classes) == ("arrays", "class", ("x", "y"))
    expected = pixels[..., 0] if shape[2:] == (1,) else pixels
    for k in range(4):
        assert np.array_equal(table.store.read(k), expected[k])
    assert table.names == ["0", "1", "2", "3"]
    assert table.split.tolist() == ["train"] * 4
    if not as_list:
        assert np.shares_memory(table.store.read(0), pixels), "nothing is copied"


def test_pictures_of_different_sizes(paint: Paint) -> None:
    pictures = [paint("a", 4, 7), paint("b", 9, 3, 3), paint("c", 2, 2)[..., None]]
    table = table_from_arrays(pictures, [0, 1, 0])
    assert [np.asarray(table.store.read(k)).shape for k in range(3)] == [(4, 7), (9, 3, 3), (2, 2)]
    many = np.empty(3, dtype=object)
    many[:] = pictures
    assert np.array_equal(table_from_arrays(many, [0, 1, 0]).store.read(1), pictures[1])


IMAGES = np.zeros((4, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("labels", "kind", "classes", "encoded"),
    [
        (["b", "a", "b", "c"], "class", ("a", "b", "c"), [1, 0, 1, 2]),
        (np.array([7, 10, 7, 7], np.uint8), "class", ("7", "10"), [0, 1, 0, 0]),
        (np.array([True, False, True, True]), "class", ("False", "True"), [1, 0, 1, 1]),
        (
            np.eye(2, dtype=int)[[0, 1, 1, 0]] | [1, 0],
            "multi-label",
            ("0", "1"),
            [[1, 0], [1, 1], [1, 1], [1, 0]],
        ),
        ([0.5, 1.0, -2.0, 3.0], "regression", ("target",), [[0.5], [1.0], [-2.0], [3.0]]),
        (
            np.full((4, 2), 0.25, np.float32),
            "regression",
            ("target_0", "target_1"),
            [[0.25, 0.25]] * 4,
        ),
    ],
    ids=range(6),
)
def test_kinds_of_labels(labels: Any, kind: str, classes: tuple[str, ...], encoded: Any) -> None:
    table = table_from_arrays(IMAGES, labels)
    assert (table.kind, table.classes) == (kind, classes)
    assert table.labels.tolist() == encoded
    types = {"class": np.int64, "multi-label": np.uint8, "regression": np.float64}
    assert table.labels.dtype == types[kind]


def test_one_hot_labels_are_noted() -> None:
    table = table_from_arrays(IMAGES, np.eye(4, dtype=int))
    assert table.kind == "multi-label"
    assert table.notes[0].endswith("if they exclude each other, pass labels.argmax(axis=1)")


def test_classes_get_names() -> None:
    table = table_from_arrays(IMAGES, [2, 0, 2, 0], classes=["cat", "cow", "dog"])
    assert table.classes == ("cat", "cow", "dog")
    assert table.labels.tolist() == [2, 0, 2, 0]
    assert table_from_arrays(IMAGES, np.eye(4, 2, dtype=int), classes=["x", "y"]).classes[1] == "y"
    for labels, classes, message in (
        ([0, 3, 0, 0], ["x", "y"], "needs 4 names, `classes` has 2"),
        ([0, 1, 0, 0], ["x", "x"], "names one twice: x, x"),
        (["a", "b", "a", "b"], ["x", "y"], "labels are names already; leave `classes` away"),
    ):
        with pytest.raises(DataError, match=message):
            table_from_arrays(IMAGES, labels, classes=classes)


def test_skipped_classes() -> None:
    table = open_source((IMAGES, ["b", "a", "b", "c"]), skip_classes=["a"])
    assert (table.classes, table.labels.tolist(), table.ids.tolist()) == (
        ("b", "c"),
        [0, 0, 1],
        [0, 2, 3],
    )
    with pytest.raises(DataError, match=r"`--skip-class d`: the pair of arrays has no such class"):
        open_source((IMAGES, ["b", "a", "b", "c"]), skip_classes=["d"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            IMAGES / 255,
            r"pixels are float64, expected uint8 of 0 to 255. Their largest value is 0; "
            r"pass \(images \* 255\).round\(\).astype\('uint8'\)",
        ),
        (np.full((4, 8, 8), 200.0), r"largest value is 200; pass \(images\).round"),
        (np.full((4, 8, 8), -0.5), "Some are negative: pass the pictures as they were before norm"),
        (
            np.full((4, 8, 8), 65535, np.uint16),
            r"largest value is 65535; pass \(images // 256\).as",
        ),
        (np.zeros((4, 8, 8), bool), "pixels are bool, expected uint8"),
        (np.zeros((4, 3, 8, 8), np.uint8), r"shape \(4, 3, 8, 8\), .* pass np.moveaxis"),
        (
            np.zeros((4, 8, 8, 4), np.uint8),
            r"Leave the fourth channel away: pass images\[..., :3\]",
        ),
        (np.zeros((4, 64), np.uint8), r"the shape \(4, 64\), expected \(N, H, W\), \(N, H, W, 1\)"),
        (np.zeros((4, 0, 8), np.uint8), r"no pixels, the shape is \(4, 0, 8\)"),
        ([], "the pair of arrays has no pictures"),
        (IMAGES[:3], "has 3 pictures, but 4 labels. Give each picture one"),
        ([*IMAGES[:3], np.zeros((8, 8, 2), np.uint8)], r"picture 3: shape \(8, 8, 2\), expected"),
        ([*IMAGES[:3], IMAGES[0] / 1.0], "picture 3: pixels are float64"),
    ],
    ids=range(13),
)
def test_pictures_that_cannot_be_used(images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table_from_arrays(images, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, -1], "label -1, expected 0 or more, or texts"),
        ([0.0, 1.0, float("nan"), 2.0], "label 2 is not finite"),
        (np.full((4, 2), 2), r"shape \(4, 2\) have values that are not 0 or 1"),
        (np.zeros((4, 2, 2), int), r"of shape \(4, 2, 2\), expected N texts or whole numbers"),
        ([[1], [1, 0], [1], [1]], "labels have rows of different lengths"),
        ([object()] * 4, "labels are object of shape"),
        (["a", "", "b", "a"], "label 1 is empty"),
        ([], "expected N texts or whole numbers"),
    ],
    ids=range(8),
)
def test_labels_that_cannot_be_used(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table_from_arrays(IMAGES, labels)
