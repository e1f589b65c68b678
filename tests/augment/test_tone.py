"""Changes of tone against Pillow, Keras' numbers, and each other on the device."""

from __future__ import annotations

import colorsys
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from nunbit.augment.tone import Step, Tone, change
from nunbit.augment.tone_torch import change_batch

GOLDENS = json.loads((Path(__file__).parents[1] / "files" / "keras-goldens.json").read_text())
CHANGING = [kind for kind in Tone if kind != Tone.NONE]
AMOUNTS = {
    Tone.CHANNEL_SHIFT: (-70, 70),
    Tone.BRIGHTNESS: (0, 2),
    Tone.CONTRAST: (0, 2),
    Tone.SATURATION: (0, 2),
    Tone.HUE: (-0.5, 0.5),
    Tone.SHARPNESS: (0, 2),
    Tone.POSTERIZE: (1, 8),
    Tone.SOLARIZE: (0, 255),
    Tone.AUTOCONTRAST: (0, 0),
    Tone.EQUALIZE: (0, 0),
}


def photo(height: int = 24, width: int = 31, channels: int = 3) -> NDArray[np.uint8]:
    """Return a picture with unequal histograms, not all levels used."""
    rng = np.random.default_rng(height + width + channels)
    noise = rng.normal(0, 12, (height, width, channels))
    rows = np.linspace(20, 190, height)[:, None, None]
    return (rows + noise + 15 * np.arange(channels)).clip(0, 255).astype(np.uint8)


def pillow(picture: NDArray[np.uint8], kind: Tone, amount: float) -> NDArray[np.uint8]:
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    if kind == Tone.POSTERIZE:
        image = ImageOps.posterize(image, int(amount))
    elif kind == Tone.SOLARIZE:
        image = ImageOps.solarize(image, int(amount))
    elif kind == Tone.AUTOCONTRAST:
        image = ImageOps.autocontrast(image)
    elif kind == Tone.EQUALIZE:
        image = ImageOps.equalize(image)
    else:
        enhance = {
            Tone.BRIGHTNESS: ImageEnhance.Brightness,
            Tone.CONTRAST: ImageEnhance.Contrast,
            Tone.SATURATION: ImageEnhance.Color,
            Tone.SHARPNESS: ImageEnhance.Sharpness,
        }[kind]
        image = enhance(image).enhance(amount)
    return np.asarray(image).reshape(picture.shape)


def sampled(kind: Tone, count: int = 7) -> list[float]:
    low, high = AMOUNTS[kind]
    values = np.linspace(low, high, count)
    return values.round().tolist() if kind in (Tone.POSTERIZE, Tone.SOLARIZE) else values.tolist()


@pytest.mark.parametrize(
    ("kind", "levels"),
    [
        (Tone.BRIGHTNESS, 0),
        (Tone.CONTRAST, 1),  # these round where Pillow cuts off
        (Tone.SATURATION, 2),
        (Tone.SHARPNESS, 2),
        (Tone.POSTERIZE, 0),
        (Tone.SOLARIZE, 0),
        (Tone.AUTOCONTRAST, 1),
        (Tone.EQUALIZE, 0),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_changes_are_pillows(kind: Tone, levels: int, channels: int) -> None:
    picture = photo(channels=channels)
    before = picture.copy()
    for amount in sampled(kind):
        expected = pillow(picture, kind, amount).astype(int)
        assert abs(change(picture, kind, amount) - expected).max() <= levels
    assert np.array_equal(picture, before)


def test_brightness_is_keras_on_0_to_255() -> None:
    golden = GOLDENS["brightness"]
    picture = np.array(golden["input"], np.uint8)
    for factor, expected in golden["outputs"].items():
        assert np.array_equal(change(picture, Tone.BRIGHTNESS, float(factor)), expected)


def test_channel_shift_stays_within_the_picture_as_in_keras() -> None:
    golden = GOLDENS["channel_shift"]
    picture = np.array(golden["input"], np.uint8)
    for offset in ("+30", "-30"):
        assert np.array_equal(change(picture, Tone.CHANNEL_SHIFT, float(offset)), golden[offset])


def test_hue_is_turned_as_colorsys_does() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    for amount in (-0.5, -0.2, 0.0, 0.1, 0.37):
        got = change(picture, Tone.HUE, amount)
        for value, was in zip(got.reshape(-1, 3), picture.reshape(-1, 3), strict=True):
            hue, saturation, bright = colorsys.rgb_to_hsv(*(was / 255))
            expected = colorsys.hsv_to_rgb((hue + amount) % 1, saturation, bright)
            assert abs(value - 255 * np.array(expected)).max() < 1.01


@pytest.mark.parametrize("kind", [Tone.SATURATION, Tone.HUE])
def test_grey_pictures_have_no_colour_to_change(kind: Tone) -> None:
    picture = photo(channels=1)
    assert np.array_equal(change(picture, kind, 0.3), picture)
    images = torch.from_numpy(picture).permute(2, 0, 1)[None]
    step = Step(np.array([int(kind)]), np.array([0.3]))
    assert change_batch(images, step).equal(images)


@pytest.mark.parametrize("kind", [Tone.AUTOCONTRAST, Tone.EQUALIZE, Tone.SHARPNESS, Tone.CONTRAST])
def test_flat_and_tiny_pictures(kind: Tone) -> None:
    for size in ((1, 1), (2, 5), (9, 9)):
        flat = np.full((*size, 3), 77, np.uint8)
        assert np.array_equal(change(flat, kind, 1.5), flat)
        images = torch.from_numpy(flat).permute(2, 0, 1)[None]
        step = Step(np.array([int(kind)]), np.array([1.5]))
        assert change_batch(images, step).equal(images)


@pytest.mark.parametrize("channels", [1, 3])
@given(data=st.data())
def test_a_mixed_batch_on_the_device_is_its_pictures(channels: int, data: st.DataObject) -> None:
    """Tolerance: one level, where float32 sums come out differently."""
    kinds = data.draw(st.lists(st.sampled_from(list(Tone)), min_size=1, max_size=6))
    amounts = [
        float(np.float32(data.draw(st.sampled_from(sampled(kind, 31))))) if kind else 0.0
        for kind in kinds
    ]
    pictures = np.stack([np.roll(photo(channels=channels), k, 0) for k in range(len(kinds))])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    before = images.clone()
    found = change_batch(images, Step(np.array(kinds, np.int64), np.array(amounts)))
    assert images.equal(before)
    assert found.dtype == torch.uint8
    for got, picture, kind, amount in zip(found, pictures, kinds, amounts, strict=True):
        expected = change(picture, kind, amount).astype(int)
        assert abs(got.permute(1, 2, 0).numpy() - expected).max() <= 1


@pytest.mark.parametrize("kind", CHANGING)
def test_each_change_changes_something(kind: Tone) -> None:
    picture = photo()
    low, _ = AMOUNTS[kind]
    amount = {Tone.SOLARIZE: 128.0, Tone.HUE: 0.25}.get(kind, low)
    assert not np.array_equal(change(picture, kind, amount), picture)
