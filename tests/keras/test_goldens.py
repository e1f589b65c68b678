"""The numbers of Keras itself, to the last digit that its own arithmetic gives."""

from __future__ import annotations

import numpy as np
import pytest

from nunbit.keras import ImageDataGenerator

PARAMETERS = {
    "rotation_range": 10,
    "height_shift_range": 0.2,
    "width_shift_range": 0.2,
    "shear_range": 3,
    "zoom_range": 0.1,
    "horizontal_flip": True,
    "vertical_flip": True,
    "channel_shift_range": 9,
    "brightness_range": (0.5, 1.5),
}


def warped(goldens, case, like, parameters):
    picture = np.array(goldens["inputs"][case["input"]])[..., None]
    generator = ImageDataGenerator(
        fill_mode=case["fill_mode"],
        cval=case["cval"],
        interpolation_order=case["order"],
        like=like,
    )
    return generator.apply_transform(picture, parameters)[..., 0]


def test_every_warp_is_the_one_of_keras_3(goldens):
    assert len(goldens["affine"]) > 100
    for case in goldens["affine"]:
        found = warped(goldens, case, "keras-3", case["params"])
        np.testing.assert_allclose(found, case["current"], atol=1e-4, err_msg=str(case))


def test_square_pictures_warp_as_in_keras_but_for_the_shifted_axes_and_two_fill_modes(goldens):
    seen = 0
    for case in goldens["affine"]:
        if case["input"] == "2x3" or case["fill_mode"] in ("wrap", "constant"):
            continue
        given = case["params"]
        swapped = {**given, "tx": given.get("ty", 0), "ty": given.get("tx", 0)}
        found = warped(goldens, case, None, swapped)
        np.testing.assert_allclose(found, case["current"], atol=1e-4, err_msg=str(case))
        seen += 1
    assert seen > 40


def test_shifts_go_the_way_that_they_went_before_keras_2_9(goldens):
    seen = 0
    for case in goldens["affine"]:
        alone = set(case["params"]) <= {"tx", "ty"}
        whole = all(float(value).is_integer() for value in case["params"].values())
        if not (alone and whole and case["fill_mode"] == "nearest" and case["order"] == 1):
            continue
        found = warped(goldens, case, None, case["params"])
        np.testing.assert_allclose(found, case["classic"], atol=1e-4, err_msg=str(case))
        seen += 1
    assert seen


@pytest.mark.parametrize("seed", ["0", "1", "2", "3"])
def test_a_seed_gives_the_parameters_that_it_gives_in_keras(goldens, like, seed):
    generator = ImageDataGenerator(**PARAMETERS, like=like)
    found = generator.get_random_transform((40, 20, 3), seed=int(seed))
    assert found == goldens["random_parameters"]["by_seed"][seed]
    assert list(found) == list(goldens["random_parameters"]["by_seed"][seed])


def test_without_options_parameters_move_nothing(goldens, like):
    found = ImageDataGenerator(like=like).get_random_transform((40, 20, 3), seed=1)
    assert found == goldens["random_parameters"]["defaults_seed_1"]


def test_channels_first_draws_from_rows_and_columns_too(goldens, like):
    generator = ImageDataGenerator(**PARAMETERS, data_format="channels_first", like=like)
    found = generator.get_random_transform((3, 40, 20), seed=2)
    assert found == goldens["random_parameters"]["by_seed"]["2"]


def test_next_shuffles_as_keras_does(goldens, like, numbered):
    batches = numbered(batch_size=4, seed=7, like=like)
    found = [next(batches).ravel().astype(int).tolist() for _ in range(6)]
    assert found == goldens["shuffle_seed_7_batch_4_n_10"]["next_order"]


def test_positions_shuffle_as_keras_does(goldens, like, numbered):
    batches = numbered(batch_size=4, seed=7, like=like)
    found = []
    for _ in range(2):
        found += [batches[k].ravel().astype(int).tolist() for k in range(3)]
        batches.on_epoch_end()
    assert found == goldens["shuffle_seed_7_batch_4_n_10"]["getitem_order_two_epochs"]


def test_brightness(goldens, like):
    golden = goldens["brightness"]
    picture = np.array(golden["input"])
    for factor, expected in golden["outputs"].items():
        found = ImageDataGenerator(like=like).apply_transform(
            picture, {"brightness": float(factor)}
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_brightness_of_values_below_black_is_that_of_keras(goldens):
    golden = goldens["brightness"]
    picture = np.array(golden["input"]) - 100
    found = ImageDataGenerator(like="keras-3").apply_transform(picture, {"brightness": 1})
    np.testing.assert_allclose(found, golden["input_minus_100_factor_1"], atol=1e-4)


def test_channel_shift(goldens, like):
    golden = goldens["channel_shift"]
    for amount in ("+30", "-30"):
        found = ImageDataGenerator(like=like).apply_transform(
            np.array(golden["input"]), {"channel_shift_intensity": float(amount)}
        )
        np.testing.assert_allclose(found, golden[amount])


def test_fit_finds_mean_and_deviation(goldens, like):
    golden = goldens["fit"]
    pictures = np.array(golden["x"])
    generator = ImageDataGenerator(
        featurewise_center=True,
        featurewise_std_normalization=True,
        rescale=golden["rescale"],
        dtype="float64",
        like=like,
    )
    generator.fit(pictures)
    np.testing.assert_allclose(generator.mean.ravel(), golden["mean"])
    np.testing.assert_allclose(generator.std.ravel(), golden["std"])
    assert generator.mean.shape == generator.std.shape == (1, 1, 1)
    found = generator.standardize(pictures[0].copy())
    np.testing.assert_allclose(found, golden["standardize_first"])


def test_zca(goldens, like):
    golden = goldens["zca"]
    pictures = np.array(golden["x"])
    for epsilon, key in ((golden["zca_epsilon"], "matrix"), (0.5, "matrix_eps_0.5")):
        generator = ImageDataGenerator(
            featurewise_center=True,
            zca_whitening=True,
            zca_epsilon=epsilon,
            dtype="float64",
            like=like,
        )
        generator.fit(pictures)
        np.testing.assert_allclose(generator.zca_whitening_matrix, golden[key], rtol=1e-6)
        if key == "matrix":
            np.testing.assert_allclose(generator.mean.ravel(), golden["mean"])
            found = generator.standardize(pictures[0].copy())
            np.testing.assert_allclose(found, golden["standardize_first"], rtol=1e-6)
