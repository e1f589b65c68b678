"""``Augment`` against slow truth: SciPy, NumPy's own turns and mirrors, Keras' numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from nunbit.augment import PRESETS, Augment
from nunbit.augment.draw import Draws
from nunbit.augment.geometry import pull_matrices
from nunbit.errors import OptionError

HEIGHT, WIDTH = 40, 56
SINGLE: dict[str, dict[str, Any]] = {
    "rotation": {"rotation_range": 60.0},
    "width shift": {"width_shift_range": 0.3},
    "width shift in pixels": {"width_shift_range": 9.5},
    "height shift": {"height_shift_range": 0.3},
    "shear": {"shear_range": 40.0},
    "zoom": {"zoom_range": 0.4},
    "zoom in a pair": {"zoom_range": (0.4, 0.8)},
    "horizontal flip": {"horizontal_flip": True},
    "vertical flip": {"vertical_flip": True},
    "pad and crop": {"crop_padding": 6},
    "random resized crop": {"random_resized_crop": (0.3, 1.0)},
}


def smooth(height: int = HEIGHT, width: int = WIDTH, channels: int = 1) -> NDArray[np.uint8]:
    """Waves without symmetry: what two interpolations may make of it differs little."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [
        127 + 60 * np.sin(x / (5 + c)) + 60 * np.cos(y / 7 + x / 19 + c) for c in range(channels)
    ]
    return np.stack(waves, -1).round().astype(np.uint8)


def matrix(augment: Augment, number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray:
    """Return what is drawn for a picture, as 3×3: from output (x, y, 1) to input."""
    draws = Draws([number], seed=3, epoch=2)
    found = pull_matrices(augment, draws, height=height, width=width)
    assert found is not None
    return np.vstack([found[0], [0, 0, 1]])


def moved(augment: Augment, picture: NDArray[np.uint8], number: int = 0) -> NDArray[np.uint8]:
    return augment.apply(picture[None], ids=[number], seed=3, epoch=2)[0]


def scipy_warp(picture: NDArray, m: NDArray, **how: Any) -> NDArray[np.float64]:
    """Warp by SciPy, which counts (row, column) where OpenCV counts (x, y)."""
    linear, offset = m[:2, :2][::-1, ::-1], m[:2, 2][::-1]
    return np.stack(
        [
            ndimage.affine_transform(picture[:, :, c].astype(float), linear, offset, order=1, **how)
            for c in range(picture.shape[2])
        ],
        -1,
    )


def inside(m: NDArray, height: int, width: int) -> NDArray[np.bool_]:
    """Mark the output pixels that come from within the picture."""
    y, x = np.mgrid[0:height, 0:width]
    from_x, from_y = (m[:2, :2] @ np.stack([x.ravel(), y.ravel()]) + m[:2, 2:]).reshape(2, *x.shape)
    return (from_x >= 0) & (from_x <= width - 1) & (from_y >= 0) & (from_y <= height - 1)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the end of every range, so that a test knows what comes."""

    def last(ids: Any, *, seed: int, epoch: int, columns: int) -> NDArray[np.float64]:
        return np.ones((len(ids), columns))

    monkeypatch.setattr("nunbit.augment.draw.uniforms", last)


# --- Nothing, and each option alone ---------------------------------------------


def test_no_option_changes_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 13, 17, 3), dtype=np.uint8)
    for plain in (Augment(), Augment(fill_mode="wrap", cval=9.0)):
        assert plain.is_identity
        assert np.array_equal(plain.apply(noise, ids=range(4), seed=0, epoch=0), noise)


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_option_alone_warps_as_scipy_does(name: str, channels: int) -> None:
    augment, picture = Augment(**SINGLE[name]), smooth(channels=channels)
    assert not augment.is_identity
    changed = 0
    for number in range(8):
        m = matrix(augment, number)
        got = moved(augment, picture, number)
        within = inside(m, HEIGHT, WIDTH)
        assert within.mean() > 0.2
        assert abs(got - scipy_warp(picture, m, mode="nearest"))[within].max() <= 1.0
        changed += not np.array_equal(got, picture)
    assert changed >= 2


def test_rotation_is_a_turn_about_the_centre_within_its_range() -> None:
    angles = []
    for number in range(200):
        m = matrix(Augment(rotation_range=30.0), number)
        assert np.allclose(m[:2, :2] @ m[:2, :2].T, np.eye(2))
        assert np.linalg.det(m) == pytest.approx(1)
        centre = [(WIDTH - 1) / 2, (HEIGHT - 1) / 2, 1]
        assert np.allclose(m @ centre, centre), "also where the picture is no square"
        angles.append(math.degrees(math.atan2(m[1, 0], m[0, 0])))
    assert -30 <= min(angles) < -25
    assert 25 < max(angles) <= 30
    assert abs(np.mean(angles)) < 4


@pytest.mark.parametrize(
    ("option", "amount", "axis", "reach"),
    [
        ("width_shift_range", 0.25, 0, 0.25 * WIDTH),
        ("width_shift_range", 7.5, 0, 7.5),
        ("height_shift_range", 0.25, 1, 0.25 * HEIGHT),
        ("height_shift_range", 1.0, 1, 1.0),
    ],
)
def test_shifts_move_along_their_own_axis(
    option: str, amount: float, axis: int, reach: float
) -> None:
    """Since 2.9 Keras' own ``height_shift_range`` moves pictures sideways."""
    steps = []
    for number in range(200):
        m = matrix(Augment(**{option: amount}), number)
        assert np.allclose(m[:2, :2], np.eye(2))
        assert m[1 - axis, 2] == 0
        steps.append(m[axis, 2])
    assert -reach <= min(steps) < -0.9 * reach
    assert 0.9 * reach < max(steps) <= reach


def test_height_shift_moves_rows_and_width_shift_moves_columns() -> None:
    dot = np.zeros((31, 31, 1), np.uint8)
    dot[15, 15] = 255
    for number in range(20):
        rows, columns, _ = np.nonzero(moved(Augment(height_shift_range=10.0), dot, number))
        assert set(columns.tolist()) == {15}
        assert set(rows.tolist()) != {15}
        rows, columns, _ = np.nonzero(moved(Augment(width_shift_range=10.0), dot, number))
        assert set(rows.tolist()) == {15}
        assert set(columns.tolist()) != {15}


def test_zoom_draws_rows_and_columns_apart() -> None:
    factors = []
    for number in range(200):
        m = matrix(Augment(zoom_range=0.3), number)
        assert m[0, 1] == m[1, 0] == 0
        factors.append([m[0, 0], m[1, 1]])
    low, high = np.min(factors, axis=0), np.max(factors, axis=0)
    assert (low >= 0.7).all()
    assert (low < 0.75).all()
    assert (high <= 1.3).all()
    assert (high > 1.25).all()
    assert abs(np.corrcoef(np.transpose(factors))[0, 1]) < 0.2


def test_a_zoom_below_1_magnifies() -> None:
    square = np.zeros((41, 41, 1), np.uint8)
    square[15:26, 15:26] = 255
    area = int((square > 127).sum())
    assert (moved(Augment(zoom_range=(0.5, 0.5)), square) > 127).sum() == pytest.approx(4 * area, 2)
    assert (moved(Augment(zoom_range=(2, 2)), square) > 127).sum() < area / 3


def test_shear_is_keras_matrix() -> None:
    for number in range(50):
        m = matrix(Augment(shear_range=35.0), number)
        angle = math.asin(-m[0, 1])
        assert abs(angle) <= math.radians(35)
        assert np.allclose(m[:2, :2], [[1, -math.sin(angle)], [0, math.cos(angle)]])


@pytest.mark.parametrize(
    ("options", "axes"),
    [
        ({"horizontal_flip": True}, [(), (1,)]),
        ({"vertical_flip": True}, [(), (0,)]),
        ({"horizontal_flip": True, "vertical_flip": True}, [(), (0,), (1,), (0, 1)]),
    ],
)
def test_flips_are_numpy_flips_half_the_time(
    options: dict[str, bool], axes: list[tuple[int, ...]]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (14, 17, 3), dtype=np.uint8)
    seen = set()
    for number in range(40):
        got = moved(Augment(**options), noise, number)
        (match,) = [each for each in axes if np.array_equal(got, np.flip(noise, each))]
        seen.add(match)
    assert seen == set(axes)
    signs = [np.sign(np.diag(matrix(Augment(**options), number)))[:2] for number in range(2_000)]
    for sign, option in zip(np.transpose(signs), ("horizontal_flip", "vertical_flip"), strict=True):
        share = 1_000 if option in options else 0
        assert abs((sign < 0).sum() - share) < 4.5 * math.sqrt(500), "half of them"


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize("size", [7, 8, 32])
def test_a_quarter_turn_of_a_square_is_rot90(size: int) -> None:
    """A positive angle turns the content anticlockwise, as Keras does today."""
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    assert np.array_equal(moved(Augment(rotation_range=90), noise), np.rot90(noise))
    assert np.array_equal(moved(Augment(rotation_range=180), noise), np.rot90(noise, 2))


@pytest.mark.usefixtures("ends")
def test_a_positive_shift_moves_the_content_towards_smaller_indices() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 11, 1), dtype=np.uint8)
    got = moved(Augment(height_shift_range=2.0), noise)
    assert np.array_equal(got[:-2], noise[2:])
    got = moved(Augment(width_shift_range=3.0), noise)
    assert np.array_equal(got[:, :-3], noise[:, 3:])


# --- Several options together ----------------------------------------------------


def test_one_option_does_not_change_what_another_draws_and_keras_order_holds() -> None:
    """All on = rotation · shift · shear · zoom · flips, each as it is when alone."""
    parts = [
        {"rotation_range": 25.0},
        {"width_shift_range": 0.2, "height_shift_range": 0.1},
        {"shear_range": 15.0},
        {"zoom_range": (0.6, 1.3)},
        {"horizontal_flip": True, "vertical_flip": True},
    ]
    together: dict[str, Any] = {}
    for options in parts:
        together |= options
    for number in range(40):
        product = np.eye(3)
        for options in parts:
            product = product @ matrix(Augment(**options), number)
        assert np.allclose(matrix(Augment(**together), number), product)


def test_many_movements_are_interpolated_once() -> None:
    augment, picture = PRESETS["any-way-up"], smooth()
    for number in range(6):
        m = matrix(augment, number)
        within = inside(m, HEIGHT, WIDTH)
        expected = scipy_warp(picture, m, mode="nearest")
        assert abs(moved(augment, picture, number) - expected)[within].max() <= 1.0


# --- Beyond the border -------------------------------------------------------------


@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize(
    ("fill_mode", "numpy_mode", "scipy_mode"),
    [
        ("nearest", "edge", "nearest"),
        ("constant", "constant", "grid-constant"),
        ("reflect", "symmetric", "reflect"),
        ("wrap", "wrap", "grid-wrap"),
    ],
)
@pytest.mark.parametrize("step", [1, 5, 13])
def test_fill_modes_are_those_of_the_keras_documentation(
    fill_mode: Any, numpy_mode: str, scipy_mode: str, step: int
) -> None:
    """``wrap`` is abcd|abcd as documented; SciPy calls that ``grid-wrap``."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 6, 1), dtype=np.uint8)
    how = {"constant_values": 77} if numpy_mode == "constant" else {}
    wide = np.pad(noise[:, :, 0], ((0, step), (0, step)), mode=numpy_mode, **how)  # type: ignore[call-overload]
    augment = Augment(
        height_shift_range=float(step),
        width_shift_range=float(step),
        fill_mode=fill_mode,
        cval=77.0,
    )
    assert np.array_equal(moved(augment, noise)[:, :, 0], wide[step:, step:])
    half = Augment(width_shift_range=step + 0.5, fill_mode=fill_mode, cval=77.0)
    expected = scipy_warp(
        noise, np.array([[1, 0, step + 0.5], [0, 1, 0], [0, 0, 1]]), mode=scipy_mode, cval=77.0
    )
    assert abs(moved(half, noise) - expected).max() <= 1.0


# --- Randomness ----------------------------------------------------------------------


def test_what_is_drawn_belongs_to_seed_epoch_and_picture_alone() -> None:
    augment = Augment(rotation_range=40, zoom_range=0.3, horizontal_flip=True)
    batch = np.repeat(smooth(20, 20)[None], 6, axis=0)
    first = augment.apply(batch, ids=[5, 6, 7, 8, 9, 10], seed=1, epoch=0)
    assert len({each.tobytes() for each in first}) == 6
    assert np.array_equal(first[2], augment.apply(batch[:1], ids=[7], seed=1, epoch=0)[0])
    assert not np.array_equal(first[2], augment.apply(batch[:1], ids=[7], seed=2, epoch=0)[0])
    assert not np.array_equal(first[2], augment.apply(batch[:1], ids=[7], seed=1, epoch=1)[0])
    np.random.seed(0)
    assert np.array_equal(augment.apply(batch, ids=range(5, 11), seed=1, epoch=0), first)


def test_the_pictures_given_are_not_changed() -> None:
    batch = smooth(20, 20)[None]
    before = batch.copy()
    PRESETS["any-way-up"].apply(batch, ids=[0], seed=0, epoch=0)
    assert np.array_equal(batch, before)


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 3]),
    st.sampled_from(["nearest", "constant", "reflect", "wrap"]),
)
def test_pictures_of_any_size_stay_within_their_values(
    height: int, width: int, channels: int, fill_mode: Any
) -> None:
    picture = np.random.default_rng(0).integers(90, 110, (height, width, channels), dtype=np.uint8)
    augment = Augment(
        rotation_range=180,
        width_shift_range=0.5,
        shear_range=60,
        zoom_range=(0.2, 3.0),
        fill_mode=fill_mode,
        cval=100.0,
    )
    for number in range(4):
        got = moved(augment, picture, number)
        assert got.shape == picture.shape
        assert got.min() >= 90
        assert got.max() < 110


# --- Values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation_range": 361}, "`rotation_range` is 361, expected 0 <= value <= 360 .degrees"),
        ({"rotation_range": -1}, "`rotation_range` is -1, expected 0 <= value <= 360"),
        ({"width_shift_range": -0.1}, "`width_shift_range` is -0.1, expected >= 0"),
        ({"shear_range": 90.0}, "`shear_range` is 90.0, expected 0 <= value <= 89"),
        ({"zoom_range": 1.0}, "`zoom_range` is 1.0, expected 0 <= z < 1 or a pair"),
        ({"zoom_range": -0.1}, "`zoom_range` is -0.1, expected 0 <= z < 1 or a pair"),
        ({"zoom_range": (0.0, 1.0)}, r"`zoom_range` is \(0.0, 1.0\), expected"),
        ({"zoom_range": (1.2, 0.8)}, r"`zoom_range` is \(1.2, 0.8\), expected"),
        ({"zoom_range": (0.5, math.inf)}, r"`zoom_range` is \(0.5, inf\), expected"),
        ({"zoom_range": (1.0, 1.0, 1.0)}, r"`zoom_range` is \(1.0, 1.0, 1.0\), expected float or"),
        ({"zoom_range": math.nan}, "`zoom_range` is nan, expected a finite number"),
        ({"horizontal_flip": 1}, "`horizontal_flip` is 1, expected bool"),
        ({"fill_mode": "mirror"}, "`fill_mode` is 'mirror', expected one of `nearest`, `constant`"),
        ({"cval": 256}, "`cval` is 256, expected 0 <= value <= 255"),
        (
            {"rotation_range": "10", "cval": -1, "vertical_flip": None},
            "`rotation_range` is '10', .*; `vertical_flip` is None, .*; `cval` is -1",
        ),
    ],
)
def test_wrong_values_are_all_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Augment(**options)
