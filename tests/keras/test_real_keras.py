"""Side by side with Keras 3 itself, where it and TensorFlow are installed."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from scipy import ndimage

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras", minversion="3")
    image = pytest.importorskip("keras.src.legacy.preprocessing.image")

from nunbit.keras import ImageDataGenerator  # after the checks above

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Keras calls a namespace that SciPy has deprecated
    pytest.mark.slow,
]

ALL = {
    "rotation_range": 25,
    "width_shift_range": 0.2,
    "height_shift_range": 3,
    "shear_range": 12,
    "zoom_range": 0.3,
    "horizontal_flip": True,
    "vertical_flip": True,
    "channel_shift_range": 20,
}
SETTINGS = [
    {},
    ALL,
    {**ALL, "fill_mode": "reflect"},
    {**ALL, "fill_mode": "constant", "cval": 9},
    {**ALL, "interpolation_order": 3},
    {**ALL, "rescale": 1 / 255, "samplewise_center": True, "samplewise_std_normalization": True},
    {"shear_range": 0.2, "zoom_range": 0.2, "horizontal_flip": True, "rescale": 1 / 255},
]


def photographs(count=12, side=40):
    """Smooth pictures: neighbouring pixels differ little, as in photographs."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (count, 5, 5, 3))
    smooth = ndimage.zoom(coarse, (1, side / 5, side / 5, 1), order=1)
    assert max(abs(np.diff(smooth, axis=axis)).max() for axis in (1, 2)) < 30
    return np.round(smooth).astype(np.float32)


def off_by(ours, theirs):
    """Return the share of pixels that differ by more than a thousandth of the range."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    spread = max(np.ptp(theirs), 1e-9)
    return (np.abs(ours - theirs) > 2e-3 * spread).mean()


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
@pytest.mark.parametrize("by_position", [False, True])
def test_batches_like_keras_3(settings, by_position):
    def two_epochs(generator):  # one after the other: both use NumPy's global generator
        batches = generator.flow(photographs(), np.arange(12), batch_size=5, seed=11)
        for k in range(6):
            if by_position and k == 3:
                batches.on_epoch_end()
            yield batches[k % 3] if by_position else next(batches)

    ours = list(two_epochs(ImageDataGenerator(**settings, like="keras-3")))
    theirs = list(two_epochs(image.ImageDataGenerator(**settings)))
    for (x, y), (u, v) in zip(ours, theirs, strict=True):
        assert y.tolist() == v.tolist()
        assert off_by(x, u) < 2e-3  # jumps at the edge of `constant` fall either way


@pytest.mark.parametrize("settings", SETTINGS[:2] + SETTINGS[5:], ids=range(4))
def test_square_batches_by_default_where_nothing_departs(settings):
    settings = {k: v for k, v in settings.items() if not k.endswith("shift_range")}
    pictures = photographs()
    ours = next(ImageDataGenerator(**settings).flow(pictures, seed=3))
    theirs = next(image.ImageDataGenerator(**settings).flow(pictures, seed=3))
    assert off_by(ours, theirs) < 2e-3


@pytest.mark.parametrize("like", [None, "keras-3"])
@pytest.mark.parametrize("mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_pixels_of_files(write_folder, like, mode, interpolation):
    folder = write_folder({"cat": 3, "dog/x": 2}, channels=3)
    how = {"color_mode": mode, "interpolation": interpolation, "target_size": (9, 7), "seed": 1}
    ours = ImageDataGenerator(like=like).flow_from_directory(folder, **how)
    theirs = image.ImageDataGenerator().flow_from_directory(folder, **how)
    assert ours.filenames == theirs.filenames
    assert ours.class_indices == theirs.class_indices
    for one, two in zip(next(ours), next(theirs), strict=True):
        np.testing.assert_array_equal(one, two)
        assert one.dtype == two.dtype


def test_files_and_data_frames_like_keras_3(write_folder):
    pandas = pytest.importorskip("pandas")
    folder = write_folder({"cat": 5, "dog": 4}, channels=3)
    names = [f"cat/{k}.png" for k in range(5)] + [f"dog/{k}.png" for k in range(4)]
    table = pandas.DataFrame(
        {"filename": names, "class": ["cat"] * 5 + ["dog"] * 4, "w": np.arange(9.0)}
    )
    settings = {**ALL, "validation_split": 0.3}
    how = {"target_size": (11, 11), "batch_size": 4, "seed": 2, "class_mode": "binary"}
    for subset in ("training", "validation", None):
        ours, theirs = (
            (
                each.flow_from_directory(folder, **how, subset=subset),
                each.flow_from_dataframe(table, folder, **how, subset=subset, weight_col="w"),
            )
            for each in (
                ImageDataGenerator(**settings, like="keras-3"),
                image.ImageDataGenerator(**settings),
            )
        )
        for one, two in zip(ours, theirs, strict=True):
            assert one.filenames == two.filenames
            for _ in range(3):
                ours_batch, theirs_batch = next(one), next(two)
                assert off_by(ours_batch[0], theirs_batch[0]) < 2e-3
                for left, right in zip(ours_batch[1:], theirs_batch[1:], strict=True):
                    np.testing.assert_array_equal(left, right)


def test_fit_finds_what_keras_finds():
    pictures = photographs()
    how = {"featurewise_center": True, "rescale": 1 / 255, "rotation_range": 30}
    for more in ({"featurewise_std_normalization": True}, {"zca_whitening": True}):
        small = pictures[:, ::8, ::8]
        ours = ImageDataGenerator(**how, **more, like="keras-3")
        theirs = image.ImageDataGenerator(**how, **more)
        for augment in (False, True):
            ours.fit(small, augment=augment, rounds=2, seed=1)
            theirs.fit(small, augment=augment, rounds=2, seed=1)
            np.testing.assert_allclose(ours.mean, theirs.mean, atol=1e-5)
            given = small[:1].copy()
            np.testing.assert_allclose(
                ours.standardize(given.copy()), theirs.standardize(given), atol=2e-2
            )


def test_a_model_is_fitted_evaluated_and_asked(write_folder):
    folder = write_folder({"cat": 10, "dog": 10}, channels=3)
    generator = ImageDataGenerator(rescale=1 / 255, horizontal_flip=True, validation_split=0.2)
    how = {"target_size": (8, 8), "batch_size": 3, "class_mode": "binary", "seed": 1}
    training = generator.flow_from_directory(folder, **how, subset="training")
    validation = generator.flow_from_directory(folder, **how, subset="validation")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    orders = []
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: orders.append(training.index_array.tolist())
    )
    history = model.fit(training, validation_data=validation, epochs=2, verbose=0, callbacks=[stop])
    assert len(history.history["val_loss"]) == 2
    assert np.isfinite(history.history["loss"]).all()
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == list(range(16))
    assert len(model.evaluate(validation, verbose=0)) == 2
    assert model.predict(validation, verbose=0).shape == (4, 1)
    model.fit(training, steps_per_epoch=2, class_weight={0: 1.0, 1: 2.0}, verbose=0)
