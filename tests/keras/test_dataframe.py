"""`flow_from_dataframe`, with dictionaries of columns and, where it is there, pandas."""

from __future__ import annotations

import numpy as np
import pytest

from nunbit.errors import NunbitError
from nunbit.keras import ImageDataGenerator


@pytest.fixture
def folder(write_folder):
    return write_folder({"p": 5}, channels=3)


@pytest.fixture
def table():
    return {
        "filename": [f"p/{k}.png" for k in range(5)],
        "class": ["b", "a", "b", "a", "c"],
        "two": ["x", "y", "x", "y", "x"],
        "many": [["b", "a"], ["b"], ("c",), ["a"], ["a", "b", "c"]],
        "value": [0.5, 1.5, 2.5, 3.5, 4.5],
        "weight": [2, 5, 2, 5, 2],
    }


def flow(table, folder, like=None, **how):
    given = {"shuffle": False, "target_size": (12, 10), **how}
    return ImageDataGenerator(like=like).flow_from_dataframe(table, folder, **given)


def test_classes_are_sorted(table, folder, capsys, paint, like):
    found = flow(table, folder, like)
    x, y = next(found)
    assert found.class_indices == {"a": 0, "b": 1, "c": 2}
    assert found.classes == found.labels == [1, 0, 1, 0, 2]
    assert y.argmax(1).tolist() == [1, 0, 1, 0, 2]
    assert (x[4] == paint("p/4.png", channels=3)).all()
    assert capsys.readouterr().out == (
        "Found 5 validated image filenames belonging to 3 classes.\n"
    )


def test_given_classes_choose_rows_and_numbers(table, folder, like):
    found = flow(table, folder, like, classes=["c", "a", "c"], class_mode="sparse")
    assert found.class_indices == {"c": 0, "a": 1}
    assert found.filenames == ["p/1.png", "p/3.png", "p/4.png"]
    assert next(found)[1].tolist() == [1, 1, 0]
    many = flow(table, folder, like, y_col="many", classes=["c", "a"])
    assert next(many)[1].tolist() == [[0, 1], [1, 0], [0, 1], [1, 1]]


def test_lists_give_several_ones(table, folder, like):
    y = next(flow(table, folder, like, y_col="many"))[1]
    assert y.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1]]


def test_targets_as_they_are(table, folder, like):
    one = next(flow(table, folder, like, y_col="value", class_mode="raw"))[1]
    assert one.tolist() == table["value"]
    two = next(flow(table, folder, like, y_col=["value", "weight"], class_mode="raw"))[1]
    assert two.tolist() == [[0.5, 2], [1.5, 5], [2.5, 2], [3.5, 5], [4.5, 2]]
    with pytest.warns(DeprecationWarning, match='use `class_mode="raw"`'):
        other = flow(table, folder, like, y_col="value", class_mode="other")
    assert next(other)[1].tolist() == table["value"]


def test_several_outputs(table, folder, like):
    found = flow(table, folder, like, y_col=["value", "weight"], class_mode="multi_output")
    y = next(found)[1]
    assert [each.tolist() for each in y] == [table["value"], table["weight"]]
    assert not hasattr(found, "class_indices")


def test_weights_come_third(table, folder, like):
    found = flow(table, folder, like, weight_col="weight", batch_size=3)
    assert next(found)[2].tolist() == [2, 5, 2]
    assert isinstance(next(flow(table, folder, class_mode=None, weight_col="weight")), np.ndarray)


def test_rows_without_a_picture_are_left_out(table, folder, capsys, like):
    table["filename"][1:3] = ["p/none.png", "p/2.gif"]
    with pytest.warns(
        UserWarning, match=r'Found 2 invalid image filename\(s\) in x_col="filename"'
    ):
        found = flow(table, folder, like, class_mode="sparse", weight_col="weight")
    assert next(found)[1].tolist() == [1, 0, 2]
    assert next(found)[2].tolist() == [2, 5, 2]
    unchecked = flow(table, folder, like, validate_filenames=False)
    assert unchecked.samples == 5
    assert "5 non-validated" in capsys.readouterr().out


def test_the_split_is_by_rows(table, folder, like):
    generator = ImageDataGenerator(validation_split=0.4, like=like)
    parts = {
        subset: generator.flow_from_dataframe(table, folder, subset=subset, weight_col="weight")
        for subset in ("training", "validation")
    }
    assert parts["validation"].filenames == ["p/0.png", "p/1.png"]
    assert parts["training"].filenames == ["p/2.png", "p/3.png", "p/4.png"]
    assert parts["training"].sample_weight.tolist() == [2, 5, 2]
    assert parts["training"].classes == [1, 0, 2]
    assert parts["validation"].class_indices == {"a": 0, "b": 1, "c": 2}


def test_absolute_names(table, folder, like):
    table["filename"] = [str(folder / name) for name in table["filename"]]
    assert next(flow(table, None, like))[0].shape == (5, 12, 10, 3)


@pytest.mark.parametrize(
    ("change", "how", "kind", "text"),
    [
        ({}, {"class_mode": "foo"}, ValueError, "Invalid class_mode: 'foo'"),
        ({}, {"class_mode": "multi_output"}, TypeError, r"y_col must be a list.*\['class'\]"),
        ({"filename": [1] * 5}, {}, TypeError, "x_col=filename must be strings"),
        ({}, {"class_mode": "sparse", "y_col": "value"}, TypeError, "values must be strings"),
        ({"class": ["a", None] + ["b"] * 3}, {"class_mode": "binary"}, TypeError, "be strings"),
        ({}, {"y_col": "value"}, TypeError, "type string, list or tuple"),
        ({}, {"class_mode": "binary"}, ValueError, "there must be 2 classes. Found 3"),
        ({}, {"class_mode": "binary", "classes": ["a"]}, ValueError, "Found 1"),
        ({}, {"weight_col": "two"}, TypeError, "weight_col=two must be numeric"),
        ({}, {"x_col": "path"}, KeyError, "no column 'path'; it has: filename, class"),
        ({}, {"subset": "foo"}, ValueError, "Invalid subset name"),
    ],
)
def test_mistakes_are_told(table, folder, change, how, kind, text):
    with pytest.raises(kind, match=text) as caught:
        flow({**table, **change}, folder, **how)
    assert isinstance(caught.value, NunbitError)


@pytest.mark.parametrize("name", ["has_ext", "sort", "drop_duplicates"])
def test_old_arguments_warn(table, folder, name, like):
    with pytest.warns(DeprecationWarning, match=f"`{name}` is deprecated"):
        flow(table, folder, like, **{name: True})


def test_classes_that_are_not_used_warn(table, folder):
    with pytest.warns(UserWarning, match="`classes` will be ignored given the class_mode=None"):
        flow(table, folder, class_mode=None, classes=["a"])


def test_pandas_with_any_index(table, folder, like):
    pandas = pytest.importorskip("pandas")
    plain = next(flow(table, folder, like, weight_col="weight", seed=1, shuffle=True))
    for index in (range(5), range(9, 4, -1), list("vwxyz")):
        frame = pandas.DataFrame(table, index=index)
        found = next(flow(frame, folder, like, weight_col="weight", seed=1, shuffle=True))
        for one, two in zip(plain, found, strict=True):
            np.testing.assert_array_equal(one, two)
