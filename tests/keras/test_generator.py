"""What the generator takes, refuses, warns of and computes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from nunbit.augment import Augment
from nunbit.augment.draw import Draws
from nunbit.augment.geometry import movements
from nunbit.errors import NunbitError
from nunbit.keras import ImageDataGenerator


def test_importing_loads_no_framework():
    program = (
        "import sys, nunbit.keras\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(names & {'keras', 'tf_keras', 'tensorflow', 'torch', 'pandas', 'PIL'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_arguments_stand_in_keras_order():
    generator = ImageDataGenerator(
        *(False, True, False, True, False, 0.1, 5, 0.1, 0.2, (0.9, 1.1), 3, 0.2, 4),
        *("reflect", 7, True, True, 0.5, abs, "channels_first", 0.25, 0, "float64"),
    )
    assert generator.samplewise_center
    assert generator.zca_epsilon == 0.1
    assert (generator.width_shift_range, generator.height_shift_range) == (0.1, 0.2)
    assert generator.brightness_range == (0.9, 1.1)
    assert (generator.fill_mode, generator.cval) == ("reflect", 7)
    assert (generator.rescale, generator.preprocessing_function) == (0.5, abs)
    assert (generator.channel_axis, generator.row_axis, generator.col_axis) == (1, 2, 3)
    assert generator._validation_split == 0.25
    assert (generator.interpolation_order, generator.dtype) == (0, "float64")
    assert generator.mean is generator.std is generator.zca_whitening_matrix is None


def test_defaults():
    generator = ImageDataGenerator()
    assert (generator.data_format, generator.dtype) == ("channels_last", "float32")
    assert (generator.row_axis, generator.col_axis, generator.channel_axis) == (1, 2, 3)
    assert generator.zoom_range == [1, 1]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"brightness_range": 0.1}, "`brightness_range` should be tuple or list of two floats"),
        ({"brightness_range": np.array([0.5, 1])}, "Received: array"),
        ({"brightness_range": (1, 2, 3)}, r"pass \(0.9, 1.1\)"),
        ({"zoom_range": (2, 2, 2)}, "`zoom_range` should be a float or a tuple"),
        ({"zoom_range": ("a", 1)}, "Received: "),
        ({"data_format": "chanels_first"}, "Did you mean `channels_first`"),
        ({"validation_split": 5}, "must be strictly between 0 and 1. Received: 5"),
        ({"validation_split": 1.0}, "strictly between"),
        ({"validation_split": True}, "strictly between"),
        ({"validation_split": -0.1}, "strictly between"),
        ({"fill_mode": "mirror"}, "`fill_mode` should be one of 'nearest'"),
        ({"interpolation_order": 9}, "whole number from 0 to 5"),
        ({"rotation_range": "a"}, "`rotation_range` should be a finite number. Received: 'a'"),
        ({"shear_range": float("nan")}, "`shear_range` should be a finite number. Received: nan"),
        ({"channel_shift_range": [1]}, r"`channel_shift_range` should be a finite .*: \[1\]"),
        ({"rescale": "1/255"}, "`rescale` should be a finite number. Received: '1/255'"),
        ({"width_shift_range": "0.1"}, "`width_shift_range` should be a finite number, or a list"),
        ({"height_shift_range": [0.1, "b"]}, r"or a list of such. Received: \[0.1, 'b'\]"),
        ({"zoom_range": float("nan")}, "`zoom_range` should be a pair of finite numbers"),
        ({"brightness_range": (0.5, None)}, r"of finite numbers. Received: \(0.5, None\)"),
        ({"cval": "black"}, "`cval` should be a number. Received: 'black'"),
        ({"validation_split": "a"}, "strictly between 0 and 1. Received: 'a'"),
        ({"dtype": "flot"}, "`dtype` should be a type of numbers, such as 'float32'. .*: 'flot'"),
        ({"dtype": str}, "`dtype` should be a type of numbers"),
        ({"data_format": ["channels_first"]}, "`data_format` should be one of"),
        ({"like": "keras3"}, "Did you mean `keras-3`"),
    ],
)
def test_mistakes_are_told(given, text):
    with pytest.raises(ValueError, match=text) as caught:
        ImageDataGenerator(**given)
    assert isinstance(caught.value, NunbitError)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ValueError, match=r"(?s)fill_mode.*validation_split.*brightness_range"):
        ImageDataGenerator(fill_mode="x", validation_split=2, brightness_range=1)


def test_zoom_of_none_is_a_type_error():
    with pytest.raises(TypeError, match="`zoom_range` is None") as caught:
        ImageDataGenerator(zoom_range=None)
    assert isinstance(caught.value, NunbitError)


@pytest.mark.parametrize(
    ("zoom", "pair"),
    [(0.5, [0.5, 1.5]), (1.5, [-0.5, 2.5]), ((0.5, 2), [0.5, 2]), ([1, 1], [1, 1])],
)
def test_zoom_is_kept_as_a_pair(zoom, pair):
    assert ImageDataGenerator(zoom_range=zoom).zoom_range == pair


def test_options_that_override_others_warn():
    with pytest.warns(UserWarning, match="`zca_whitening`, which overrides") as told:
        generator = ImageDataGenerator(zca_whitening=True, featurewise_std_normalization=True)
    assert len(told) == 2
    assert generator.featurewise_center
    assert not generator.featurewise_std_normalization
    with pytest.warns(UserWarning, match="setting of `featurewise_center`"):
        assert ImageDataGenerator(featurewise_std_normalization=True).featurewise_center
    with pytest.warns(UserWarning, match="setting of `samplewise_center`"):
        assert ImageDataGenerator(samplewise_std_normalization=True).samplewise_center


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (2, {-1, 0, 1}),
        (1, {0}),
        (True, {0}),
        (np.int64(3), {-2, -1, 0, 1, 2}),
        ([-50, 50], {-50, 50}),
        ((-2, 0, 2), {-2, 0, 2}),
        ([-0.5, 0.5], {-10, 10}),  # all below 1: shares of the width, 20
        ([], {0}),
        (0.0, {0}),
    ],
)
def test_whole_shifts_and_lists(given, allowed, like):
    generator = ImageDataGenerator(width_shift_range=given, like=like)
    drawn = [generator.get_random_transform((40, 20, 3), seed=k)["ty"] for k in range(60)]
    assert set(drawn) == allowed


def test_of_whole_shifts_0_is_drawn_twice_as_often(like):
    """As in Keras; ``nunbit.Augment`` draws all steps equally often."""
    generator = ImageDataGenerator(width_shift_range=3, like=like)
    drawn = [generator.get_random_transform((9, 20, 1), seed=k)["ty"] for k in range(1200)]
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    np.testing.assert_allclose(counts / 1200, [1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6], atol=0.05)
    augment = Augment(width_shift_range=3)
    moved = movements(augment, Draws(range(1200), seed=0, epoch=0), height=9, width=20)
    counts = np.unique(moved.shift_columns, return_counts=True)[1]
    np.testing.assert_allclose(counts / 1200, [1 / 5] * 5, atol=0.05)


def test_float_shifts_are_shares_below_1_and_pixels_from_1(like):
    def furthest(amount):
        generator = ImageDataGenerator(height_shift_range=amount, like=like)
        return max(
            abs(generator.get_random_transform((40, 20, 3), seed=k)["tx"]) for k in range(200)
        )

    assert 7.5 < furthest(0.2) <= 8
    assert 0.9 < furthest(1.0) <= 1
    assert 2.7 < furthest(3.0) <= 3


def test_standardize_takes_its_steps_in_order():
    generator = ImageDataGenerator(
        samplewise_center=True,
        samplewise_std_normalization=True,
        rescale=0.5,
        preprocessing_function=lambda x: x + 2,
    )
    picture = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    expected = (picture + 2) * 0.5
    expected -= expected.mean()
    expected /= expected.std() + 1e-6
    np.testing.assert_allclose(generator.standardize(picture.copy()), expected, rtol=1e-6)


def test_standardize_works_in_place_and_returns_what_it_got(like):
    picture = np.full((2, 2, 1), 10, np.float32)
    assert ImageDataGenerator(rescale=0.5, like=like).standardize(picture) is picture
    assert picture[0, 0, 0] == 5


@pytest.mark.parametrize(
    "option", ["featurewise_center", "featurewise_std_normalization", "zca_whitening"]
)
def test_statistics_that_are_not_known_warn_and_leave_the_picture(option):
    first = {} if option == "featurewise_center" else {"featurewise_center": True}
    generator = ImageDataGenerator(**first, **{option: True})
    if option != "featurewise_center":
        generator.mean = np.zeros((1, 1, 1))
    picture = np.ones((2, 2, 1), np.float32)
    with pytest.warns(UserWarning, match=f"`{option}` is on, but the statistics"):
        found = generator.standardize(picture.copy())
    assert (found == picture).all()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_fit_centres_each_channel(noise, data_format):
    pictures = noise(20, 6, 5, 3).astype(np.float64)
    if data_format == "channels_first":
        pictures = np.moveaxis(pictures, -1, 1)
    generator = ImageDataGenerator(
        featurewise_center=True,
        featurewise_std_normalization=True,
        rescale=1 / 255,
        data_format=data_format,
        dtype="float64",
    )
    generator.fit(pictures)
    axes = (0, 2, 3) if data_format == "channels_first" else (0, 1, 2)
    batch = generator.flow(pictures, batch_size=20).__next__()
    np.testing.assert_allclose(batch.mean(axis=axes), 0, atol=1e-9)
    np.testing.assert_allclose(batch.std(axis=axes), 1, atol=1e-4)


def test_zca_makes_the_second_moment_the_identity(noise):
    pictures = noise(64, 2, 3, 1).astype(np.float64)
    generator = ImageDataGenerator(
        featurewise_center=True, zca_whitening=True, rescale=1 / 255, dtype="float64"
    )
    generator.fit(pictures)
    white = next(generator.flow(pictures, batch_size=64)).reshape(64, -1)
    np.testing.assert_allclose(white.T @ white / 64, np.eye(6), atol=1e-4)


def test_fit_on_moved_pictures_sees_each_as_often_as_asked(noise, like):
    pictures = noise(3, 8, 8, 1).astype(np.float32)
    generator = ImageDataGenerator(featurewise_center=True, rotation_range=90, like=like)
    generator.fit(pictures, augment=True, rounds=2, seed=4)
    rng = np.random.RandomState(4)
    by_hand = [
        ImageDataGenerator(like=like).apply_transform(
            pictures[k % 3], {"theta": rng.uniform(-90, 90), "_": rng.uniform(size=2)}
        )
        for k in range(6)
    ]
    np.testing.assert_allclose(generator.mean.item(), np.mean(by_hand), rtol=1e-4)
    assert (pictures == noise(3, 8, 8, 1)).all()


def test_fit_refuses_other_ranks_and_warns_of_odd_channels(noise):
    with pytest.raises(ValueError, match=r"should have rank 4. Got array with shape: \(8, 8, 3\)"):
        ImageDataGenerator().fit(noise(8, 8, 3))
    with pytest.warns(UserWarning, match="expected 1, 3 or 4"):
        ImageDataGenerator(featurewise_center=True).fit(noise(2, 8, 8, 5))


def test_flips_are_exact(noise, like):
    picture = noise(5, 7, 3).astype(np.float32)
    generator = ImageDataGenerator(like=like)
    turned = generator.apply_transform(picture, {"flip_horizontal": True})
    assert (turned == picture[:, ::-1]).all()
    turned = generator.apply_transform(picture, {"flip_vertical": 1})
    assert (turned == picture[::-1]).all()
    turned = generator.apply_transform(picture, {"flip_vertical": 1, "flip_horizontal": 1})
    assert (turned == picture[::-1, ::-1]).all()
    five = noise(5, 7, 5)
    assert (generator.apply_transform(five, {"flip_horizontal": 1}) == five[:, ::-1]).all()


def test_a_turn_by_45_degrees_of_3x3_leaves_a_plus(like):
    generator = ImageDataGenerator(fill_mode="constant", cval=0, like=like)
    found = generator.apply_transform(np.ones((3, 3, 1)), {"theta": 45})[..., 0]
    corner = 0 if like else 2 - 2**0.5  # how much of it lies within, blended by default
    expected = np.array([[corner, 1, corner], [1, 1, 1], [corner, 1, corner]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_order_0_invents_no_value(noise, like):
    labels = (noise(12, 12, 1) % 3 * 100).astype(np.float32)
    generator = ImageDataGenerator(rotation_range=90, interpolation_order=0, like=like)
    moved = generator.random_transform(labels, seed=3)
    assert set(np.unique(moved)) == {0, 100, 200}
    assert (moved != labels).any()


def test_channels_first_is_the_same_picture(noise, like):
    picture = noise(8, 8, 3).astype(np.float32)
    how = {"rotation_range": 30, "zoom_range": 0.2, "channel_shift_range": 9, "like": like}
    last = ImageDataGenerator(**how).random_transform(picture, seed=1)
    first = ImageDataGenerator(**how, data_format="channels_first").random_transform(
        np.moveaxis(picture, -1, 0), seed=1
    )
    np.testing.assert_array_equal(np.moveaxis(first, 0, -1), last)


def test_a_picture_given_to_random_transform_is_not_changed(noise, like):
    picture = noise(8, 8, 3).astype(np.float32)
    before = picture.copy()
    generator = ImageDataGenerator(
        rotation_range=30, brightness_range=(0.5, 0.6), channel_shift_range=50, like=like
    )
    assert (generator.random_transform(picture, seed=1) != before).any()
    assert (picture == before).all()
