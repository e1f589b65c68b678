"""From a picture of any shape to the square the network takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nunbit.data.options import Fit
from nunbit.data.preprocessing import FITS, PAD_VALUE, Preprocessing, fit_picture
from nunbit.errors import OptionError, PictureError

WIDE = np.concatenate([np.zeros((60, 60), np.uint8), np.full((60, 60), 255, np.uint8)], axis=1)
"""60 rows, 120 columns: the left half black, the right half white."""


def test_the_bars_keep_their_grey() -> None:
    """Model files do not say it, so old ones would be shown other pictures."""
    assert PAD_VALUE == 128


def test_the_fits_are_those_of_the_option() -> None:
    assert set(FITS) == {"crop", "pad", "squash"} == set(get_args(Fit))


@pytest.mark.parametrize("turned", [False, True])
def test_crop_cuts_both_ends_of_the_longer_side(*, turned: bool) -> None:
    got = fit_picture(WIDE.T if turned else WIDE, 60, fit="crop")
    got = got.T if turned else got
    assert np.array_equal(got, WIDE[:, 30:90])
    odd = np.arange(5 * 8, dtype=np.uint8).reshape(5, 8)
    assert np.array_equal(fit_picture(odd, 5, fit="crop"), odd[:, 1:6])


@pytest.mark.parametrize("turned", [False, True])
def test_pad_adds_grey_bars_at_both_ends_of_the_shorter_side(*, turned: bool) -> None:
    got = fit_picture(WIDE.T if turned else WIDE, 120, fit="pad")
    got = got.T if turned else got
    expected = np.full((120, 120), PAD_VALUE, np.uint8)
    expected[30:90] = WIDE
    assert np.array_equal(got, expected)
    odd = np.arange(5 * 8, dtype=np.uint8).reshape(5, 8)
    got = fit_picture(odd, 8, fit="pad")
    assert np.array_equal(got[1:6], odd)
    assert (got[[0, 6, 7]] == PAD_VALUE).all()


@pytest.mark.parametrize("turned", [False, True])
def test_squash_keeps_everything(*, turned: bool) -> None:
    got = fit_picture(WIDE.T if turned else WIDE, 60, fit="squash")
    got = got.T if turned else got
    assert (got[:, :30] == 0).all()
    assert (got[:, 30:] == 255).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_right_size_is_untouched(
    fit: Fit, channels: int, paint: Callable[..., NDArray[np.uint8]]
) -> None:
    picture = paint("native", 17, 17, channels)
    before = picture.copy()
    got = Preprocessing(17, channels, fit=fit).prepare(picture)
    assert np.array_equal(got.squeeze(), before)
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_shrinking_averages_over_the_area(
    channels: int, paint: Callable[..., NDArray[np.uint8]]
) -> None:
    picture = paint("noise", 48, 48, channels)
    blocks = picture.reshape(12, 4, 12, 4, -1).mean(axis=(1, 3))
    got = fit_picture(picture, 12, fit="squash").reshape(12, 12, -1)
    assert abs(got - blocks).max() <= 0.5


def test_shrinking_averages_also_where_the_other_side_grows(
    paint: Callable[..., NDArray[np.uint8]],
) -> None:
    """OpenCV looks at two pixels in sixteen there: fine patterns would alias."""
    picture = paint("flat noise", 16, 512)
    got = fit_picture(picture, 32, fit="squash")
    columns = picture.reshape(16, 32, 16).mean(axis=2).round().astype(np.uint8)
    expected = cv2.resize(columns, (32, 32), interpolation=cv2.INTER_LINEAR)
    assert abs(got - expected.astype(int)).max() <= 1


def test_enlarging_interpolates_linearly() -> None:
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    got = fit_picture(ramp, 64, fit="squash").astype(int)
    assert np.array_equal(got, np.tile(got[0], (64, 1)))
    inner = (np.arange(64) + 0.5) / 4 - 0.5
    assert abs(got[0] - np.clip(inner, 0, 15) * 10).max() <= 0.5


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    size=st.integers(1, 40),
    fit=st.sampled_from(FITS),
    channels=st.sampled_from([1, 3]),
    stored=st.sampled_from([1, 3]),
)
def test_any_picture_becomes_the_square_without_new_values(
    height: int, width: int, size: int, fit: Fit, channels: int, stored: int
) -> None:
    rng = np.random.default_rng(height * 61 + width)
    shape = (height, width) if stored == 1 else (height, width, 3)
    picture = rng.integers(90, 110, shape, dtype=np.uint8)
    got = Preprocessing(size, channels, fit=fit).prepare(picture)
    assert got.shape == (size, size, channels)
    assert got.flags["C_CONTIGUOUS"]
    inside = got[got != PAD_VALUE] if fit == "pad" else got
    assert inside.size
    assert inside.min() >= 90
    assert inside.max() < 110
    flat = Preprocessing(size, channels, fit=fit).prepare(np.full(shape, 100, np.uint8))
    assert set(np.unique(flat)) <= ({100, PAD_VALUE} if fit == "pad" else {100})


def test_grey_becomes_rgb_and_rgb_grey(paint: Callable[..., NDArray[np.uint8]]) -> None:
    grey, rgb = paint("grey", 9, 9), paint("rgb", 9, 9, 3)
    got = Preprocessing(9, 3).prepare(grey)
    assert np.array_equal(got, np.repeat(grey[:, :, None], 3, axis=2))
    got = Preprocessing(9, 1).prepare(rgb)[:, :, 0]
    assert abs(got - rgb @ [0.299, 0.587, 0.114]).max() <= 1  # ITU-R BT.601
    assert np.array_equal(Preprocessing(9, 1).prepare(grey[:, :, None])[:, :, 0], grey)


def test_a_file_and_its_pixels_are_the_same(
    paint: Callable[..., NDArray[np.uint8]], encode_png: Callable[[NDArray[np.uint8]], bytes]
) -> None:
    picture = paint("file", 30, 21, 3)
    steps = Preprocessing(16, 3, fit="pad")
    assert np.array_equal(steps.prepare(encode_png(picture)), steps.prepare(picture))


def test_it_goes_through_json_and_back() -> None:
    steps = Preprocessing(32, 3, fit="pad", mean=(0.1, 0.2, 1 / 3), std=(0.4, 0.5, 1e-3))
    assert Preprocessing.from_dict(json.loads(json.dumps(steps.to_dict()))) == steps
    plain = Preprocessing(28, 1)
    assert (plain.fit, plain.mean, plain.std) == ("squash", (0.5,), (0.25,))
    assert Preprocessing.from_dict(plain.to_dict()) == plain


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fit": "squeeze"}, "`fit` is 'squeeze', expected one of crop, pad, squash"),
        ({"fit": "sqush"}, "Did you mean `squash`"),
        ({"channels": 4}, "`channels` is 4, expected 1 .grey. or 3 .RGB."),
        ({"image_size": 0}, "`image_size` is 0, expected at least 1"),
        ({"mean": (0.5,)}, r"need one number per channel \(3\), got 1 and 3"),
        ({"std": (0.5,) * 4}, r"need one number per channel \(3\), got 3 and 4"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Preprocessing(**({"image_size": 8, "channels": 3} | values))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((9, 9), np.float32),
        np.zeros((9, 9), np.uint16),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 2), np.uint8),
        np.zeros((3, 9, 9), np.uint8),
        np.zeros((0, 9), np.uint8),
        np.zeros(9, np.uint8),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_another_kind_are_refused_and_not_guessed_at(
    pixels: NDArray[Any], channels: int
) -> None:
    with pytest.raises(PictureError, match=rf"pixels are {pixels.dtype} .*, expected uint8"):
        Preprocessing(9, channels).prepare(pixels)
