"""``Standardizer`` against Keras' numbers and the fact that whitened pixels are white."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nunbit.augment
from nunbit.augment import Augment
from nunbit.augment.standardize import Standardizer
from nunbit.augment.statistics import zca_matrix
from nunbit.errors import OptionError, ShapeError

GOLDENS = json.loads((Path(__file__).parents[1] / "files" / "keras-goldens.json").read_text())


def fitted(pictures: np.ndarray, **options: Any) -> Standardizer:
    made = Standardizer(Augment(dtype="float64", **options))
    made.fit(pictures)
    return made


def noise(count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 5, 4, 3), dtype=np.uint8)


def test_fit_is_keras() -> None:
    golden = GOLDENS["fit"]
    pictures = np.array(golden["x"])
    made = fitted(
        pictures,
        rescale=golden["rescale"],
        featurewise_center=True,
        featurewise_std_normalization=True,
    )
    assert np.ravel(made.mean) == pytest.approx(golden["mean"])
    assert np.ravel(made.std) == pytest.approx(golden["std"])
    assert made.mean is not None
    assert made.mean.shape == (1, 1, 1)
    assert np.allclose(made.standardize(pictures[0]), golden["standardize_first"])


@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_zca_is_keras(epsilon: float) -> None:
    golden = GOLDENS["zca"]
    pictures = np.array(golden["x"])
    made = fitted(pictures, zca_whitening=True, zca_epsilon=epsilon)
    name = "matrix" if epsilon == 1e-6 else "matrix_eps_0.5"
    assert np.allclose(made.zca_whitening_matrix, golden[name])
    assert np.ravel(made.mean) == pytest.approx(golden["mean"])
    if epsilon == 1e-6:
        assert np.allclose(made.standardize(pictures[0]), golden["standardize_first"])


def test_sums_are_made_in_64_bits() -> None:
    """300 × 200 × 200 times 177 is more than a float32 sum can count to."""
    pictures = np.full((300, 200, 200, 3), 177, np.uint8)
    pictures[::2] += 10
    made = Standardizer(Augment(featurewise_std_normalization=True))
    made.fit(pictures)
    assert np.ravel(made.mean) == pytest.approx([182] * 3, abs=1e-3)
    assert np.ravel(made.std) == pytest.approx([5] * 3, abs=1e-3)


@pytest.mark.parametrize("count", [20, 59, 60, 61, 300])
def test_the_matrix_is_that_of_the_singular_values(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nunbit.augment.statistics.CHUNK_VALUES", 7 * 60)
    flat = noise(count).reshape(count, -1)
    mean = np.linspace(100, 150, 60)
    centred = (flat - mean) / 255
    vectors, lengths, _ = np.linalg.svd(centred.T, full_matrices=False)
    expected = (vectors * (np.sqrt(count) / (lengths + 0.1))) @ vectors.T
    found = zca_matrix(flat, epsilon=0.1, mean=mean, factor=1 / 255)
    assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_it_has_a_public_name() -> None:
    assert nunbit.augment.Standardizer is Standardizer
    with pytest.raises(AttributeError, match="has no 'Standardiser'"):
        _ = nunbit.augment.Standardiser


def test_whitened_pixels_are_white() -> None:
    pictures = noise(200)
    white = fitted(pictures, zca_whitening=True, rescale=1 / 255).standardize(pictures)
    flat = white.reshape(200, -1)
    assert np.allclose(flat.T @ flat / 200, np.eye(flat.shape[1]), atol=1e-6)


def test_zca_switches_the_spread_off_and_both_centre() -> None:
    made = fitted(noise(), zca_whitening=True, featurewise_std_normalization=True)
    assert made.std is None
    assert made.mean is not None
    assert fitted(noise(), featurewise_std_normalization=True).mean is not None


def test_samplewise_numbers_are_each_pictures_own() -> None:
    pictures = noise()
    found = Standardizer(Augment(samplewise_std_normalization=True, dtype="float64")).standardize(
        pictures
    )
    assert np.allclose(found.mean((1, 2, 3)), 0, atol=1e-12)
    assert np.allclose(found.std((1, 2, 3)), 1, atol=1e-6)
    centred = Standardizer(Augment(samplewise_center=True, dtype="float64")).standardize(pictures)
    assert np.allclose(centred[3], pictures[3] - pictures[3].mean())


def test_the_order_is_function_rescale_sample_feature() -> None:
    pictures = noise()
    seen = []

    def double(picture: np.ndarray) -> np.ndarray:
        seen.append(picture.max())
        return 2 * picture

    made = fitted(
        pictures,
        preprocessing_function=double,
        rescale=0.1,
        samplewise_center=True,
        featurewise_center=True,
    )
    assert not seen, "fit does not call it"
    mean = (0.1 * pictures).mean((0, 1, 2))
    found = made.standardize(pictures[0])
    scaled = 0.2 * pictures[0]
    assert np.allclose(found, scaled - scaled.mean() - mean)
    assert seen == [pictures[0].max()]


def test_channels_first_has_its_numbers_by_channel() -> None:
    pictures = noise()
    last = fitted(pictures, featurewise_std_normalization=True)
    first = fitted(
        pictures.transpose(0, 3, 1, 2),
        featurewise_std_normalization=True,
        data_format="channels_first",
    )
    assert first.mean is not None
    assert first.mean.shape == (3, 1, 1)
    found = first.standardize(pictures.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert np.allclose(found, last.standardize(pictures))


def test_the_array_given_stays_and_the_dtype_is_the_one_asked_for() -> None:
    pictures = noise().astype(np.float32)
    before = pictures.copy()
    for dtype in ("float16", "float32", "float64"):
        made = Standardizer(Augment(rescale=1 / 255, featurewise_center=True, dtype=dtype))
        made.fit(pictures)
        assert made.standardize(pictures).dtype == dtype
        assert made.standardize(pictures[:0]).shape == (0, 5, 4, 3)
    assert np.array_equal(pictures, before)


def test_what_is_missing_or_misshapen_is_said() -> None:
    for name in ("featurewise_center", "featurewise_std_normalization", "zca_whitening"):
        with pytest.raises(OptionError, match=rf"`{name}` needs numbers .*Call `fit\(pictures\)`"):
            Standardizer(Augment(**{name: True})).standardize(noise()[0])
    plain = Standardizer(Augment())
    with pytest.raises(ShapeError, match=r"shape \(5, 4, 3\), expected four axes"):
        plain.fit(noise()[0])
    with pytest.raises(ShapeError, match=r"shape \(5, 4\), expected three or four axes"):
        plain.standardize(noise()[0, :, :, 0])
