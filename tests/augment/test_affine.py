"""Matrices of movements against products of textbook matrices and Keras' own numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from nunbit.augment.affine import Movements
from nunbit.augment.warp import warp

GOLDENS = json.loads((Path(__file__).parents[1] / "files" / "keras-goldens.json").read_text())
AFFINE = GOLDENS["affine"]
NAMES = {
    "theta": "theta",
    "shear": "shear",
    "tx": "shift_columns",
    "ty": "shift_rows",
    "zx": "zoom_columns",
    "zy": "zoom_rows",
}


def movement(**given: Any) -> Movements:
    """Return one movement; what is not given is neutral."""
    values = {name: getattr(Movements.none(1), name) for name in Movements.__dataclass_fields__}
    values |= {name: np.array([value]) for name, value in given.items()}
    return Movements(**values)


def textbook(given: dict[str, float], height: int, width: int) -> NDArray[np.float64]:
    """Multiply the matrices as the documentation of Keras writes them."""
    t, s = np.radians(given["theta"]), np.radians(given["shear"])
    rotation = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
    shift = np.array([[1, 0, given["shift_columns"]], [0, 1, given["shift_rows"]], [0, 0, 1]])
    shear = np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
    zoom = np.diag([given["zoom_columns"], given["zoom_rows"], 1])
    flips = np.diag([-1.0 if given["flip_columns"] else 1, -1.0 if given["flip_rows"] else 1, 1])
    back = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    return (back @ rotation @ shift @ shear @ zoom @ flips @ np.linalg.inv(back))[:2]


drawn = st.fixed_dictionaries(
    {
        "theta": st.floats(-180, 180),
        "shear": st.floats(-60, 60),
        "shift_columns": st.floats(-30, 30),
        "shift_rows": st.floats(-30, 30),
        "zoom_columns": st.floats(0.2, 3),
        "zoom_rows": st.floats(0.2, 3),
        "flip_columns": st.booleans(),
        "flip_rows": st.booleans(),
    }
)


@given(drawn, st.integers(1, 60), st.integers(1, 60))
def test_the_closed_form_is_the_product(given: dict[str, Any], height: int, width: int) -> None:
    made = movement(**given).pull_matrices(height=height, width=width)
    assert made.shape == (1, 2, 3)
    assert made.dtype == np.float64
    assert np.allclose(made[0], textbook(given, height, width), atol=1e-10)


def test_each_picture_of_a_batch_has_its_own_matrix() -> None:
    turns = np.array([0.0, 30.0, -75.0])
    none = Movements.none(3)
    values = {name: getattr(none, name) for name in Movements.__dataclass_fields__}
    batch = Movements(**{**values, "theta": turns}).pull_matrices(height=9, width=14)
    for theta, matrix in zip(turns, batch, strict=True):
        alone = movement(theta=theta).pull_matrices(height=9, width=14)[0]
        assert np.array_equal(matrix, alone)
    assert np.array_equal(none.pull_matrices(height=9, width=14)[1], [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("axis", [0, 1])
def test_flips_mirror_the_array_about_any_centre(axis: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 8, 1), dtype=np.uint8)
    name = ("flip_rows", "flip_columns")[axis]
    flip = movement(**{name: True})
    for centre in (None, (0.0, 0.0), (2.5, 3.5)):
        matrix = flip.pull_matrices(height=5, width=8, centre=centre)[0]
        assert np.array_equal(warp(noise, matrix), np.flip(noise, axis))


def test_another_centre_stays_where_it_is() -> None:
    matrix = movement(theta=70, shear=20, zoom_rows=2).pull_matrices(
        height=20, width=30, centre=(4.0, 9.0)
    )[0]
    assert np.allclose(matrix @ [4, 9, 1], [4, 9])


# --- Keras' own numbers -----------------------------------------------------------------


def keras_case(case: dict[str, Any]) -> tuple[NDArray[np.float32], Movements, dict[str, Any]]:
    picture = np.array(GOLDENS["inputs"][case["input"]], np.float32)[:, :, None]
    moves = movement(**{NAMES[name]: value for name, value in case["params"].items()})
    how = {name: case[name] for name in ("fill_mode", "cval", "order")}
    return picture, moves, how


@pytest.mark.parametrize("case", AFFINE, ids=lambda c: f"{c['input']} {c['params']}")
def test_goldens_of_keras_with_its_own_centre_and_edges(case: dict[str, Any]) -> None:
    picture, moves, how = keras_case(case)
    height, width = picture.shape[:2]
    swapped = (height / 2 - 0.5, width / 2 - 0.5)
    matrix = moves.pull_matrices(height=height, width=width, centre=swapped)[0]
    got = warp(picture, matrix, keras_edges=True, **how)[:, :, 0]
    assert np.allclose(got, case["current"], atol=1e-3)


@pytest.mark.parametrize("case", AFFINE, ids=lambda c: f"{c['input']} {c['params']}")
def test_the_true_centre_is_keras_on_squares_and_scipy_elsewhere(case: dict[str, Any]) -> None:
    picture, moves, how = keras_case(case)
    height, width = picture.shape[:2]
    matrix = moves.pull_matrices(height=height, width=width)[0]
    assert np.allclose(
        matrix @ [(width - 1) / 2, (height - 1) / 2, 1],
        textbook_centre(case["params"], height, width),
    )
    expected = ndimage.affine_transform(
        picture[:, :, 0],
        matrix[:, :2][::-1, ::-1],
        matrix[:, 2][::-1],
        order=how["order"],
        mode=how["fill_mode"],
        cval=how["cval"],
    )
    got = warp(picture, matrix, keras_edges=True, **how)[:, :, 0]
    assert np.allclose(got, expected, atol=1e-3)
    if height == width:
        assert np.allclose(got, case["current"], atol=1e-3)


def textbook_centre(params: dict[str, float], height: int, width: int) -> NDArray[np.float64]:
    """Say where the middle of the output comes from: the middle, moved by the turned shift."""
    t = np.radians(params.get("theta", 0))
    tx, ty = params.get("tx", 0), params.get("ty", 0)
    moved = [np.cos(t) * tx - np.sin(t) * ty, np.sin(t) * tx + np.cos(t) * ty]
    return np.array([(width - 1) / 2, (height - 1) / 2]) + moved
