"""One warp by OpenCV, one by PyTorch, both against SciPy's slow truth.

Tolerances: on uint8 half a level for rounding and 0.01 for arithmetic in float32; on
float32 pictures of 0..255, 0.02 (positions carry float32 rounding of about 1e-5 pixel).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from nunbit.augment.affine import Movements
from nunbit.augment.warp import warp, warp_batch, warp_torch
from nunbit.errors import OptionError

MODES = ("nearest", "constant", "reflect", "wrap")
GOLDENS = json.loads((Path(__file__).parents[1] / "files" / "keras-goldens.json").read_text())
TOLERANCE = {np.uint8: 0.51, np.float32: 0.02}


def noise(height: int, width: int, channels: int, kind: Any = np.uint8) -> NDArray[Any]:
    rng = np.random.default_rng(height * 1000 + width * 10 + channels)
    return rng.integers(0, 256, (height, width, channels)).astype(kind)


def truth(
    picture: NDArray[Any], matrix: NDArray[np.float64], *, keras_edges: bool = False, **how: Any
) -> NDArray[np.float64]:
    mode = how["fill_mode"]
    if mode in ("wrap", "constant") and not keras_edges:
        mode = f"grid-{mode}"
    linear, offset = matrix[:, :2][::-1, ::-1], matrix[:, 2][::-1]
    order, cval = how.get("order", 1), how.get("cval", 0.0)
    planes = [
        ndimage.affine_transform(plane, linear, offset, order=order, mode=mode, cval=cval)
        for plane in np.moveaxis(picture.astype(np.float64), 2, 0)
    ]
    moved = np.stack(planes, 2)
    return moved.clip(0, 255) if picture.dtype == np.uint8 else moved


def on_device(picture: NDArray[Any], matrix: NDArray[np.float64], **how: Any) -> NDArray[Any]:
    images = torch.from_numpy(picture).permute(2, 0, 1)[None]
    return warp_torch(images, matrix[None], **how)[0].permute(1, 2, 0).numpy()


def positions(matrix: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.einsum("ij,jhw->ihw", matrix, np.stack([columns, rows, np.ones_like(rows)]))


matrices = st.builds(
    lambda theta, shear, across, down, wide, tall, left, up: Movements(
        *(np.array([v]) for v in (theta, shear, across, down, wide, tall, left, up))
    ),
    st.floats(-180, 180),
    st.floats(-50, 50),
    st.floats(-40, 40),
    st.floats(-40, 40),
    st.floats(0.2, 3),
    st.floats(0.2, 3),
    st.booleans(),
    st.booleans(),
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@given(
    matrices, st.integers(2, 40), st.integers(2, 40), st.integers(1, 6), st.sampled_from([0.0, 77])
)
def test_linear_warps_are_scipys(
    mode: Any, kind: Any, moves: Movements, height: int, width: int, channels: int, cval: float
) -> None:
    picture = noise(height, width, channels, kind)
    matrix = moves.pull_matrices(height=height, width=width)[0]
    expected = truth(picture, matrix, fill_mode=mode, cval=cval)
    for got in (
        warp(picture, matrix, fill_mode=mode, cval=cval),
        on_device(picture, matrix, fill_mode=mode, cval=cval),
    ):
        assert got.dtype == kind
        assert abs(got - expected).max() <= TOLERANCE[kind]


@pytest.mark.parametrize("mode", MODES)
@given(matrices, st.integers(2, 40), st.integers(2, 40), st.sampled_from([1, 3]))
def test_order_0_is_scipys_nearest_pixel(
    mode: Any, moves: Movements, height: int, width: int, channels: int
) -> None:
    matrix = moves.pull_matrices(height=height, width=width)[0]
    at = positions(matrix, height, width)
    clear = (abs(at - np.floor(at) - 0.5) > 1e-4).all(0)  # a tie may go either way
    picture = noise(height, width, channels)
    expected = truth(picture, matrix, fill_mode=mode, cval=7, order=0)
    for got in (
        warp(picture, matrix, fill_mode=mode, cval=7, order=0),
        on_device(picture, matrix, fill_mode=mode, cval=7, order=0),
    ):
        assert np.array_equal(got[clear], expected[clear])
    assert set(np.unique(got)) <= {*np.unique(picture), 7}, "labels stay labels"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_higher_orders_are_scipys(mode: Any, order: int, kind: Any) -> None:
    picture = noise(17, 23, 2, kind)
    matrix = np.array([[0.9, -0.3, 3.2], [0.2, 1.1, -2.7]])
    for edges in (False, True):
        how = {"fill_mode": mode, "order": order, "cval": 5.0, "keras_edges": edges}
        got = warp(picture, matrix, **how)
        assert abs(got - truth(picture, matrix, **how)).max() <= TOLERANCE[kind]


@pytest.mark.parametrize("mode", ["wrap", "constant"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@given(matrices, st.integers(2, 40), st.integers(2, 40), st.integers(1, 5))
def test_the_edges_of_keras_code_are_scipys_own(
    mode: Any, kind: Any, moves: Movements, height: int, width: int, channels: int
) -> None:
    picture = noise(height, width, channels, kind)
    matrix = moves.pull_matrices(height=height, width=width)[0]
    at = positions(matrix, height, width)
    last = np.array([width - 1, height - 1])[:, None, None]
    # Just at the border, rounding in the last place decides between picture and cval.
    clear = ((abs(at) > 1e-6) & (abs(at - last) > 1e-6)).all(0)
    how = {"fill_mode": mode, "cval": 31.0, "keras_edges": True}
    error = abs(warp(picture, matrix, **how) - truth(picture, matrix, **how))
    assert error[clear].max(initial=0) <= TOLERANCE[kind]


@pytest.mark.parametrize("mode", ["wrap", "constant", "nearest", "reflect"])
@pytest.mark.parametrize("keras_edges", [False, True])
def test_borders_are_the_rows_of_the_fact_sheet(mode: Any, keras_edges: bool) -> None:
    sheet = GOLDENS["scipy_modes_1d"]
    name = mode
    if mode in ("wrap", "constant") and not keras_edges:
        name = f"grid-{mode}"
    signal = np.array(sheet["signal"], np.float32)[None, :, None]
    for at, expected in zip(sheet["coords"], sheet["values"][name], strict=True):
        matrix = np.array([[1, 0, at], [0, 1, 0.0]])
        how = {"fill_mode": mode, "cval": sheet["cval"]}
        got = warp(signal, matrix, keras_edges=keras_edges, **how)[0, 0, 0]
        assert got == pytest.approx(expected, abs=1e-4)
        if not keras_edges:
            assert on_device(signal, matrix, **how)[0, 0, 0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@given(matrices)
@settings(max_examples=10)
def test_a_batch_on_the_processor_is_its_pictures(
    mode: Any, order: int, channels: int, moves: Movements
) -> None:
    pictures = np.stack([noise(12, 19, channels)] * 3)
    pictures[-1] = 255 - pictures[-1]
    before = pictures.copy()
    found = np.repeat(moves.pull_matrices(height=12, width=19), 3, axis=0)
    found[1], found[2, 0, 2] = np.eye(3)[:2], found[2, 0, 2] + 2.25
    how = {"fill_mode": mode, "cval": 9.0, "order": order}
    batch = warp_batch(pictures, found, **how)
    assert np.array_equal(pictures, before)
    assert np.array_equal(batch[1], pictures[1])
    for k in (0, 2):
        assert np.array_equal(batch[k], warp(pictures[k], found[k], **how))
    turned = warp_batch(pictures[:, ::-1], found, **how)  # memory that is no plain block
    assert np.array_equal(turned[0], warp(pictures[0, ::-1], found[0], **how))


@pytest.mark.parametrize("mode", MODES)
@given(matrices, st.integers(1, 4))
def test_a_batch_is_its_pictures(mode: Any, moves: Movements, count: int) -> None:
    pictures = np.stack([noise(12, 19, 3)] * count)
    pictures[-1] = 255 - pictures[-1]
    found = np.repeat(moves.pull_matrices(height=12, width=19), count, axis=0)
    found[:, 0, 2] += np.arange(count) * 2.25
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    batch = warp_torch(images, found, fill_mode=mode, cval=9)
    for image, picture, matrix in zip(batch, pictures, found, strict=True):
        alone = warp(picture, matrix, fill_mode=mode, cval=9)
        assert abs(image.permute(1, 2, 0).numpy().astype(int) - alone).max() <= 1


def test_layouts_and_half_floats_stay() -> None:
    images = torch.rand(2, 3, 8, 9).to(memory_format=torch.channels_last)
    same = np.repeat([[[1.0, 0, 0], [0, 1, 0]]], 2, axis=0)
    moved = warp_torch(images, same)
    assert torch.allclose(moved, images, atol=1e-5)
    assert moved.is_contiguous(memory_format=torch.channels_last)
    assert warp_torch(images.half(), same).dtype == torch.float16
    flipped = noise(9, 8, 3)[:, ::-1]
    assert np.array_equal(warp(flipped, same[0]), flipped), "also where memory is no plain block"


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("keras_edges", [False, True])
def test_lines_and_single_pixels(size: tuple[int, int], mode: Any, keras_edges: bool) -> None:
    picture = noise(*size, 1)
    matrix = np.array([[1, 0, 0.4], [0, 1, -0.3]])
    got = warp(picture, matrix, fill_mode=mode, cval=100, keras_edges=keras_edges)
    assert got.shape == picture.shape
    values = [*picture.ravel(), *([100] if mode == "constant" else [])]
    assert min(values) <= got.min()
    assert got.max() <= max(values)


def test_wrong_values() -> None:
    picture, matrix = noise(4, 4, 1), np.eye(3)[:2]
    with pytest.raises(OptionError, match=r"`fill_mode` is 'mirror' .*expected nearest, constant"):
        warp(picture, matrix, fill_mode="mirror")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"`order` is 6, expected .*0 to 5"):
        warp(picture, matrix, order=6)
    with pytest.raises(OptionError, match=r"`order` is 3, expected .*0 or 1"):
        warp_torch(torch.zeros(1, 1, 4, 4), matrix[None], order=3)


def test_the_module_loads_neither_torch_nor_scipy() -> None:
    code = "import sys, nunbit.augment.warp; print('torch' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
