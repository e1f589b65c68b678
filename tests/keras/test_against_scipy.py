"""The warp of the drop-in against SciPy, written out slowly from the documentation's words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from nunbit.keras import ImageDataGenerator

SCIPY = {
    "nearest": "nearest",
    "reflect": "reflect",
    "wrap": "grid-wrap",
    "constant": "grid-constant",
}

PARAMETERS = st.fixed_dictionaries(
    {
        "theta": st.floats(-180, 180),
        "tx": st.floats(-4, 4),
        "ty": st.floats(-4, 4),
        "shear": st.floats(-40, 40),
        "zx": st.floats(0.5, 1.8),
        "zy": st.floats(0.5, 1.8),
    }
)


def matrix_of(parameters, centre_row, centre_column, rows, columns):
    """Return the matrix (3, 3) on (column, row, 1): turn . shift . shear . zoom."""
    t, s = np.radians(parameters["theta"]), np.radians(parameters["shear"])
    turn = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
    shift = np.array([[1, 0, parameters[columns]], [0, 1, parameters[rows]], [0, 0, 1]])
    shear = np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
    zoom = np.diag([parameters["zx"], parameters["zy"], 1])
    there = np.array([[1, 0, centre_column], [0, 1, centre_row], [0, 0, 1]])
    return there @ turn @ shift @ shear @ zoom @ np.linalg.inv(there)


def slow(picture, matrix, mode, cval=0.0, order=1):
    """Look up every pixel by itself."""
    rows, columns = np.indices(picture.shape[:2])
    at = np.einsum("ij,jrc->irc", matrix, np.stack([columns, rows, np.ones_like(rows)]))
    return np.stack(
        [
            ndimage.map_coordinates(channel, [at[1], at[0]], order=order, mode=mode, cval=cval)
            for channel in np.moveaxis(picture, -1, 0)
        ],
        axis=-1,
    )


@pytest.mark.parametrize("fill_mode", list(SCIPY))
@given(
    parameters=PARAMETERS,
    height=st.integers(2, 14),
    width=st.integers(2, 14),
    seed=st.integers(0, 9),
)
def test_documented_behaviour(fill_mode, parameters, height, width, seed):
    picture = np.random.default_rng(seed).uniform(0, 255, (height, width, 2)).astype(np.float32)
    generator = ImageDataGenerator(fill_mode=fill_mode, cval=30)
    matrix = matrix_of(parameters, (height - 1) / 2, (width - 1) / 2, "tx", "ty")
    expected = slow(picture, matrix, SCIPY[fill_mode], cval=30)
    found = generator.apply_transform(picture, parameters)
    np.testing.assert_allclose(found, expected, atol=0.05)
    as_bytes = generator.apply_transform(picture.astype(np.uint8), parameters)
    expected = slow(picture.astype(np.uint8).astype(np.float32), matrix, SCIPY[fill_mode], cval=30)
    np.testing.assert_allclose(as_bytes, expected, atol=0.55)


@pytest.mark.parametrize("fill_mode", list(SCIPY))
@given(
    parameters=PARAMETERS,
    height=st.integers(2, 14),
    width=st.integers(2, 14),
    seed=st.integers(0, 9),
)
def test_behaviour_of_the_code(fill_mode, parameters, height, width, seed):
    picture = np.random.default_rng(seed).uniform(0, 255, (height, width, 2)).astype(np.float32)
    generator = ImageDataGenerator(fill_mode=fill_mode, cval=30, like="keras-3")
    matrix = matrix_of(parameters, width / 2 - 0.5, height / 2 - 0.5, "ty", "tx")
    found = generator.apply_transform(picture, parameters)
    off = np.abs(found - slow(picture, matrix, fill_mode, cval=30)).max(axis=-1)
    if fill_mode in ("wrap", "constant"):  # these jump at the edge, where rounding decides
        rows, columns = np.indices(off.shape)
        x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
        y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
        near = [
            np.abs(v - (n - 1) * np.round(v / (n - 1))) < 1e-3 for v, n in ((x, width), (y, height))
        ]
        off[near[0] | near[1]] = 0
    assert off.max() < 0.05


@given(seed=st.integers(0, 2**31), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_batch_is_its_pictures_one_by_one(seed, shape):
    pictures = np.random.default_rng(seed).integers(0, 256, (6, *shape, 3)).astype(np.float32)
    generator = ImageDataGenerator(
        rotation_range=40,
        width_shift_range=0.3,
        height_shift_range=2,
        shear_range=20,
        zoom_range=0.4,
        horizontal_flip=True,
        vertical_flip=True,
        channel_shift_range=30,
        brightness_range=(0.5, 1.5),
        rescale=1 / 255,
    )
    batch = next(generator.flow(pictures, seed=seed, batch_size=6))
    rng = np.random.RandomState(seed)
    order = rng.permutation(6)
    for found, k in zip(batch, order, strict=True):
        parameters = generator.ranges.draw(height=shape[0], width=shape[1], rng=rng)
        moved = generator.apply_transform(pictures[k], parameters)
        top_decided_by_the_set = pictures[k].max() <= 1 < pictures.max()
        if not top_decided_by_the_set:
            np.testing.assert_allclose(found, generator.standardize(moved.copy()), atol=1e-5)
