"""Every option by itself: processor against device, and what is drawn belongs to the picture."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nunbit.augment import PRESETS, Augment
from nunbit.augment.apply import tone_steps
from nunbit.augment.draw import Draws
from nunbit.augment.options import CHANGING
from nunbit.errors import OptionError

EACH: dict[str, dict[str, Any]] = {
    "rotation_range": {"rotation_range": 60.0},
    "width_shift_range": {"width_shift_range": 0.3},
    "height_shift_range": {"height_shift_range": (-3.0, 0.0, 5.0)},
    "shear_range": {"shear_range": 40.0},
    "zoom_range": {"zoom_range": (0.5, 1.4)},
    "horizontal_flip": {"horizontal_flip": True},
    "vertical_flip": {"vertical_flip": True},
    "brightness_range": {"brightness_range": (0.4, 1.6)},
    "channel_shift_range": {"channel_shift_range": 50.0},
    "random_resized_crop": {"random_resized_crop": (0.2, 0.9)},
    "crop_padding": {"crop_padding": 5},
    "colour_jitter": {"colour_jitter": (0.4, 0.4, 0.4, 0.2)},
    "trivial_augment": {"trivial_augment": True},
    "rand_augment": {"rand_augment": (3, 20)},
    "random_erasing": {"random_erasing": 0.8},
    "cutout": {"cutout": 11},
}
COUNT = 24


def smooth(channels: int = 3) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:33, 0:40].astype(float)
    pictures = []
    for k in range(COUNT):
        waves = [
            127 + 60 * np.sin(columns / (6 + c) + k) + 50 * np.cos(rows / 8 + columns / 19 + c)
            for c in range(channels)
        ]
        pictures.append(np.stack(waves, -1))
    return np.stack(pictures).round().astype(np.uint8)


def on_device(augment: Augment, pictures: NDArray[np.uint8], **how: Any) -> NDArray[np.uint8]:
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    found = augment.apply_torch(images, **how)
    assert found.dtype == torch.uint8
    return found.permute(0, 2, 3, 1).numpy()


def test_every_option_that_changes_pictures_is_here() -> None:
    assert set(EACH) == set(CHANGING)


def test_all_23_options_of_image_data_generator_are_there_with_its_defaults() -> None:
    keras = {
        "featurewise_center": False,
        "samplewise_center": False,
        "featurewise_std_normalization": False,
        "samplewise_std_normalization": False,
        "zca_whitening": False,
        "zca_epsilon": 1e-6,
        "rotation_range": 0,
        "width_shift_range": 0.0,
        "height_shift_range": 0.0,
        "brightness_range": None,
        "shear_range": 0.0,
        "zoom_range": 0.0,
        "channel_shift_range": 0.0,
        "fill_mode": "nearest",
        "cval": 0.0,
        "horizontal_flip": False,
        "vertical_flip": False,
        "rescale": None,
        "preprocessing_function": None,
        "data_format": "channels_last",
        "validation_split": 0.0,
        "interpolation_order": 1,
        "dtype": "float32",
    }
    assert len(keras) == 23
    plain = Augment()
    assert {name: getattr(plain, name) for name in keras} == keras


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_device_does_what_the_processor_does(name: str, channels: int, order: int) -> None:
    """Tolerance: one level for a warp; what follows it may widen that (a stretch of tones)."""
    augment = Augment(**EACH[name], interpolation_order=order, fill_mode="reflect")
    pictures = smooth(channels)
    before = pictures.copy()
    how: dict[str, Any] = {"ids": range(COUNT), "seed": 1, "epoch": 2}
    here = augment.apply(pictures, **how)
    there = on_device(augment, pictures, **how)
    assert np.array_equal(pictures, before)
    error = abs(here.astype(int) - there)
    if order == 0:  # at a tie between two pixels either is right
        assert (error > 1).mean() < 0.01
    else:
        assert (error > 1).mean() < 1e-3
        assert error.max() <= (1 if name not in ("trivial_augment", "rand_augment") else 40)
    if channels == 3 or name != "colour_jitter":
        assert not np.array_equal(here, pictures)


@pytest.mark.parametrize("name", EACH)
def test_a_picture_is_the_same_in_any_batch(name: str) -> None:
    augment, pictures = Augment(**EACH[name]), smooth()
    whole = augment.apply(pictures, ids=range(COUNT), seed=1, epoch=2)
    order = np.random.default_rng(0).permutation(COUNT)
    for part in np.array_split(order, 5):
        alone = augment.apply(pictures[part], ids=part, seed=1, epoch=2)
        assert np.array_equal(alone, whole[part])
    other = augment.apply(pictures, ids=range(COUNT), seed=1, epoch=3)
    assert not np.array_equal(other, whole)


@pytest.mark.parametrize("name", [*EACH, "flip"])
def test_a_list_of_pictures_and_a_place_for_the_result(name: str) -> None:
    augment = Augment(**EACH.get(name, {"horizontal_flip": True}))
    pictures, out = smooth(), np.zeros_like(smooth())
    how: dict[str, Any] = {"ids": range(COUNT), "seed": 1, "epoch": 2}
    assert augment.apply(list(pictures), **how, out=out) is out
    assert np.array_equal(out, augment.apply(pictures, **how))
    assert augment.apply(pictures[:0], ids=[], seed=0, epoch=0).shape == (0, *pictures.shape[1:])


@pytest.mark.parametrize("name", EACH)
def test_every_option_changes_most_pictures_but_not_alike(name: str) -> None:
    same = np.repeat(smooth()[:1], COUNT, axis=0)
    found = Augment(**EACH[name]).apply(same, ids=range(COUNT), seed=0, epoch=0)
    assert len({each.tobytes() for each in found}) > 1
    assert (found != same).any((1, 2, 3)).mean() > 0.3


def test_keras_order_of_tones_and_no_influence_of_one_on_another() -> None:
    draws = Draws(range(9), seed=0, epoch=0)
    alone = {
        name: [step.amounts for step in tone_steps(Augment(**EACH[name]), draws)]
        for name in ("channel_shift_range", "brightness_range", "colour_jitter", "rand_augment")
    }
    together: dict[str, Any] = {}
    for name in alone:
        together |= EACH[name]
    steps = [step.amounts for step in tone_steps(Augment(**together), draws)]
    expected = [amounts for found in alone.values() for amounts in found]
    assert len(steps) == 1 + 1 + 4 + 3
    assert all(np.array_equal(a, b) for a, b in zip(steps, expected, strict=True))


def test_jitter_draws_torchvisions_ranges() -> None:
    draws = Draws(range(4000), seed=0, epoch=0)
    steps = list(tone_steps(Augment(colour_jitter=(0.4, 2.0, 0.0, 0.1)), draws))
    found = [(s.amounts.min(), s.amounts.max()) for s in steps]
    assert found == [
        pytest.approx((0.6, 1.4), abs=0.01),
        pytest.approx((0, 3), abs=0.01),
        pytest.approx((-0.1, 0.1), abs=0.01),
    ]


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(1, {0}), (2, {-1, 0, 1}), (4, {-3, -2, -1, 0, 1, 2, 3}), ((-5.0, 7.0), {-5, 7})],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_whole_and_listed_shifts(amount: Any, expected: set[int], axis: int) -> None:
    """An int n: whole pixels strictly between -n and n; a list: its own elements."""
    from nunbit.augment.geometry import movements

    name = ("width_shift_range", "height_shift_range")[axis]
    moved = movements(
        Augment(**{name: amount}), Draws(range(3000), seed=0, epoch=0), height=50, width=80
    )
    steps = (moved.shift_columns, moved.shift_rows)
    values, counts = np.unique(steps[axis], return_counts=True)
    assert set(values.tolist()) == expected
    assert counts.min() > 0.8 * counts.max(), "each equally often"
    assert not steps[1 - axis].any()


def test_a_list_below_1_holds_shares() -> None:
    from nunbit.augment.geometry import movements

    augment = Augment(width_shift_range=(-0.1, 0.5), height_shift_range=(-0.1, 0.5))
    moved = movements(augment, Draws(range(300), seed=0, epoch=0), height=50, width=80)
    assert set(moved.shift_columns.tolist()) == {-8, 40}
    assert set(moved.shift_rows.tolist()) == {-5, 25}


def test_pad_and_crop_is_numpys() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 9, 12, 3), dtype=np.uint8)
    noise[:] = noise[0]
    augment = Augment(crop_padding=2, fill_mode="constant", cval=7.0)
    wide = np.pad(noise[0], ((2, 2), (2, 2), (0, 0)), constant_values=7)
    views = {wide[r : r + 9, c : c + 12].tobytes() for r in range(5) for c in range(5)}
    found = {p.tobytes() for p in augment.apply(noise, ids=range(60), seed=0, epoch=0)}
    assert found <= views
    assert len(found) > 15


def test_random_resized_crops_lie_inside_with_the_asked_area_and_aspect() -> None:
    from nunbit.augment.geometry import pull_matrices

    height, width = 60, 80
    augment = Augment(random_resized_crop=(0.2, 0.6), crop_aspect=(0.5, 2.0))
    found = pull_matrices(augment, Draws(range(3000), seed=0, epoch=0), height=height, width=width)
    assert found is not None
    corners = np.array([[-0.5, -0.5, 1], [width - 0.5, height - 0.5, 1]]).T
    edges = found @ corners  # (B, 2, 2): columns and rows of the first and last edge
    assert edges.min() > -0.5 - 1e-9
    assert (edges[:, :, 1] <= np.array([width, height]) - 0.5 + 1e-9).all()
    wide, tall = (edges[:, :, 1] - edges[:, :, 0]).T
    area, aspect = wide * tall / (height * width), wide / tall
    cut = np.isclose(wide, width) | np.isclose(tall, height)
    assert cut.mean() < 0.2
    assert area[~cut].min() == pytest.approx(0.2, abs=0.01)
    assert area[~cut].max() == pytest.approx(0.6, abs=0.02)
    assert aspect[~cut].min() == pytest.approx(0.5, abs=0.02)
    assert aspect[~cut].max() == pytest.approx(2, abs=0.1)
    assert abs(np.log(aspect[~cut]).mean()) < 0.1
    places = (edges[:, :, 0] + 0.5) / (np.array([width, height]) - np.stack([wide, tall], 1) + 1e-9)
    assert abs(places[~cut].mean(0) - 0.5).max() < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"brightness_range": (1.5, 0.5)}, r"`brightness_range` is \(1.5, 0.5\), expected a pair"),
        ({"random_resized_crop": (0.0, 1.0)}, r"`random_resized_crop` .*0 < low <= high <= 1"),
        ({"random_resized_crop": (0.5, 1.5)}, r"`random_resized_crop` is \(0.5, 1.5\)"),
        ({"crop_aspect": (0.0, 1.0)}, r"`crop_aspect` is \(0.0, 1.0\), expected a pair 0 < low"),
        ({"erasing_area": (0.5, 1.1)}, r"`erasing_area` is \(0.5, 1.1\)"),
        ({"width_shift_range": ()}, r"`width_shift_range` is \(\), expected at least one"),
        ({"colour_jitter": (0.1, 0.1, 0.1, 0.6)}, r"`colour_jitter` .*the hue at most 0.5"),
        ({"colour_jitter": (0.1, 0.1)}, r"`colour_jitter` is \(0.1, 0.1\), expected tuple"),
        ({"rand_augment": (9, 9)}, r"`rand_augment` is \(9, 9\), expected 1 to 8 operations"),
        ({"rand_augment": (2, 31)}, r"`rand_augment` is \(2, 31\), .*strength of 0 to 30"),
        (
            {"rand_augment": (2, 9), "trivial_augment": True},
            "`trivial_augment` and `rand_augment` are both on",
        ),
        ({"validation_split": 1.0}, "`validation_split` is 1.0, expected below 1"),
        ({"random_erasing": 1.5}, "`random_erasing` is 1.5, expected 0 <= value <= 1"),
        ({"cutout": 1.5}, "`cutout` is 1.5, expected int"),
        ({"interpolation_order": 6}, "`interpolation_order` is 6, expected 0 <= value <= 5"),
        ({"data_format": "first"}, "`data_format` is 'first', expected one of `channels_last`"),
        ({"preprocessing_function": 3}, "`preprocessing_function` is 3, expected"),
        (
            {"zoom_range": 1.0, "erasing_aspect": (2.0, 1.0)},
            r"`zoom_range` is 1.0, .*; `erasing_aspect` is \(2.0, 1.0\)",
        ),
    ],
)
def test_wrong_values_of_the_newer_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Augment(**options)


def test_all_wrong_values_are_told_at_once() -> None:
    with pytest.raises(OptionError) as caught:
        Augment(
            rotation_range=-1,
            zoom_range=1.0,
            cutout=1.5,  # type: ignore[arg-type]
            brightness_range=(2.0, 1.0),
            colour_jitter=(0.1, 0.1),  # type: ignore[arg-type]
        )
    told = str(caught.value)
    for name in ("rotation_range", "zoom_range", "cutout", "brightness_range", "colour_jitter"):
        assert told.count(f"`{name}` is ") == 1, name


def test_lists_and_numbers_of_numpy_are_taken() -> None:
    given = Augment(
        rotation_range=np.float32(10),  # type: ignore[arg-type]
        width_shift_range=np.int64(3),  # type: ignore[arg-type]
        height_shift_range=np.array([-2.0, 2.0]),  # type: ignore[arg-type]
        zoom_range=[0.8, np.float64(1.2)],  # type: ignore[arg-type]
        brightness_range=[0.5, 1.5],  # type: ignore[arg-type]
        horizontal_flip=np.bool_(True),  # type: ignore[arg-type]
        rand_augment=[2, 9],  # type: ignore[arg-type]
    )
    same = Augment(
        rotation_range=10.0,
        width_shift_range=3,
        height_shift_range=(-2.0, 2.0),
        zoom_range=(0.8, 1.2),
        brightness_range=(0.5, 1.5),
        horizontal_flip=True,
        rand_augment=(2, 9),
    )
    assert given == same
    assert hash(given) == hash(same)
    kinds = {name: type(value) for name, value in vars(given).items()}
    assert kinds == {name: type(value) for name, value in vars(same).items()}
    assert type(given.zoom[1]) is float
    with pytest.raises(OptionError, match=r"`zoom_range` is \(1, 2, 3\), expected"):
        Augment(zoom_range=[1, 2, 3])  # type: ignore[arg-type]


def test_what_is_on() -> None:
    still = Augment(fill_mode="wrap", cval=3.0, interpolation_order=3, crop_aspect=(1.0, 2.0))
    assert not still.changes
    assert not still.moves
    assert still.is_identity
    assert Augment(fill_mode="wrap", erasing_area=(0.1, 0.2)).is_identity
    for options in EACH.values():
        assert Augment(**options).changes
    mixed = Augment(mixup=0.2)
    assert (mixed.mixes, mixed.changes, mixed.is_identity) == (True, False, False)
    plain = Augment(rescale=1 / 255, featurewise_center=True)
    assert plain.is_identity
    assert plain.standardizes == ("rescale", "featurewise_center")
    named = Augment(preprocessing_function=np.sqrt)
    assert named.to_dict()["preprocessing_function"] == "sqrt"


def test_options_load_neither_torch_nor_opencv() -> None:
    code = "import sys, nunbit.augment; print('torch' in sys.modules, 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_on_tiny_pictures(name: str) -> None:
    for size in ((1, 1), (2, 3), (8, 8)):
        pictures = np.random.default_rng(0).integers(0, 256, (40, *size, 1), dtype=np.uint8)
        found = PRESETS[name].apply(pictures, ids=range(40), seed=0, epoch=0)
        assert found.shape == pictures.shape
        there = on_device(PRESETS[name], pictures, ids=range(40), seed=0, epoch=0)
        assert (abs(found.astype(int) - there) > 1).mean() < 0.02
