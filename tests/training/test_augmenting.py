"""Augmentation in training: threads or device, normalising that the model carries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nunbit
from nunbit.augment.standardize import Standardizer
from nunbit.data.batches import Batches
from nunbit.errors import OptionError
from nunbit.tasks import Classification
from nunbit.training.augmenting import make_augmenting

Fit = Callable[..., nunbit.History]
MIXED = nunbit.Augment(rotation_range=20, brightness_range=(0.7, 1.3), mixup=1.0, cutmix=1.0)


def shape(pictures: nunbit.Pictures) -> tuple[int, int, int]:
    return (len(pictures.train), *pictures.train.pixels.shape[1:3])  # type: ignore[return-value]


def test_the_device_gets_what_threads_would_make(tiny: nunbit.Pictures) -> None:
    """The device here is the processor; what matters is the way there."""
    task = Classification(tiny.classes)
    targets = task.targets(tiny.train.labels)
    how: dict[str, Any] = {"task": task, "seed": 3, "shape": shape(tiny)}
    threads = make_augmenting(MIXED, on_device=False, **how)
    device = make_augmenting(MIXED, on_device=True, **how)
    assert threads.on_device is None
    assert device.move is None
    assert device.on_device is not None
    made = [
        Batches(tiny.train, targets, batch_size=20, seed=1, move=each.move, mixing=each.mixing)
        for each in (threads, device)
    ]
    for here, there in zip(made[0].of_epoch(4), made[1].of_epoch(4), strict=True):
        assert here.targets.equal(there.targets)
        images = torch.cat([device.on_device(part, part.images) for part in there.parts(3)])
        assert (images.int() - here.images.int()).abs().max() <= 2
        assert not torch.equal(images, there.images)


def test_splines_stay_with_the_threads(tiny: nunbit.Pictures) -> None:
    smooth = nunbit.Augment(rotation_range=20, interpolation_order=3)
    made = make_augmenting(
        smooth, task=Classification(tiny.classes), seed=0, shape=shape(tiny), on_device=True
    )
    assert made.on_device is None
    assert made.move is not None


def test_nothing_on_is_nothing_done(tiny: nunbit.Pictures) -> None:
    made = make_augmenting(
        nunbit.Augment(rescale=0.1),
        task=Classification(tiny.classes),
        seed=0,
        shape=shape(tiny),
        on_device=True,
    )
    assert (made.move, made.mixing, made.on_device) == (None, None, None)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_mixing_trains(
    unvalidated: nunbit.Pictures, run: Fit, head: Any, options: dict[str, float]
) -> None:
    model = nunbit.create_model_for(unvalidated, network="mlp", head=head)
    history = run(unvalidated, model=model, augment=nunbit.Augment(**options), epochs=3)
    assert all(np.isfinite(history["loss"]))
    assert all(0 <= share <= 1 for share in history["accuracy"])


def test_mixing_does_not_depend_on_accumulation(tiny: nunbit.Pictures, tmp_path: Path) -> None:
    losses = []
    for parts in (1, 3):
        torch.manual_seed(0)
        model = nunbit.create_model_for(tiny, network="mlp")
        options = nunbit.TrainOptions(batch_size=24, lr=0.001, accumulate=parts)
        history = nunbit.fit(
            model, tiny, epochs=1, augment=MIXED, options=options, progress=False,
            out=tmp_path / str(parts),
        )  # fmt: skip
        losses.append(history["loss"][0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_validation_is_never_augmented(tiny: nunbit.Pictures, run: Fit) -> None:
    """Every picture that reaches the network outside of training is one as it was read."""
    model = nunbit.create_model_for(tiny, network="mlp")
    seen: list[Tensor] = []
    model.network.register_forward_pre_hook(
        lambda network, given: None if network.training else seen.append(given[0].clone())
    )
    run(tiny, model=model, epochs=2, augment=nunbit.Augment(rotation_range=90, cutout=4, mixup=1.0))
    assert tiny.validation is not None
    plain = torch.from_numpy(tiny.validation.take(slice(None))).permute(0, 3, 1, 2)
    expected = model.normalise(plain)
    assert len(seen) >= 2
    for batch in seen:
        assert torch.equal(batch, expected)


# --- Normalising -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"rescale": 1 / 255},
        {"featurewise_center": True},
        {"rescale": 1 / 127.5, "featurewise_center": True},
        {"rescale": 1 / 255, "featurewise_center": True, "featurewise_std_normalization": True},
        {"featurewise_std_normalization": True},
        {"samplewise_center": True},
        {"rescale": 1 / 255, "samplewise_center": True},
        {"rescale": 1 / 255, "samplewise_std_normalization": True},
        {"rescale": 1 / 255, "zca_whitening": True, "zca_epsilon": 0.1},
        {"zca_whitening": True, "zca_epsilon": 1.0},
    ],
)
def test_the_model_normalises_as_keras_would(
    tiny: nunbit.Pictures, run: Fit, tmp_path: Path, options: dict[str, Any]
) -> None:
    augment = nunbit.Augment(**options)
    model = nunbit.create_model_for(tiny, network="mlp")
    run(tiny, model=model, epochs=1, augment=augment)
    pictures = tiny.train.take(slice(None))
    keras = Standardizer(augment)
    keras.fit(pictures)
    expected = keras.standardize(pictures).transpose(0, 3, 1, 2)
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    assert np.allclose(model.normalise(images), expected, rtol=1e-4, atol=1e-4)
    again = nunbit.Model.load(tmp_path / "run")
    assert np.allclose(again.normalise(images), expected, rtol=1e-4, atol=1e-4)


def test_without_such_options_normalising_stays(tiny: nunbit.Pictures, run: Fit) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    run(tiny, model=model, epochs=1, augment=nunbit.Augment(horizontal_flip=True))
    assert model.preprocessing == tiny.preprocessing


def test_a_trained_model_keeps_its_own(tiny: nunbit.Pictures, run: Fit, tmp_path: Path) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    run(tiny, model=model, epochs=1)
    with pytest.raises(OptionError, match=r"trained with its own normalisation .*out `rescale`"):
        run(tiny, model=model, epochs=1, augment=nunbit.Augment(rescale=0.5), out=tmp_path / "b")
    fresh = nunbit.create_model_for(tiny, network="mlp")
    for name in ("c", "d"):
        run(tiny, model=fresh, epochs=1, augment=nunbit.Augment(rescale=0.5), out=tmp_path / name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"preprocessing_function": np.sqrt},
            "cannot carry `preprocessing_function`.*nunbit.keras",
        ),
        (
            {"samplewise_center": True, "featurewise_center": True},
            "`featurewise_center`, `samplewise_center` together: expected either",
        ),
        (
            {"samplewise_std_normalization": True, "zca_whitening": True},
            "`samplewise_std_normalization`, `zca_whitening` together",
        ),
        (
            {"validation_split": 0.25},
            r"`validation_split` is 0.25: .*nunbit.DataOptions\(validation=0.25, split=.position",
        ),
        ({"data_format": "channels_first"}, "`data_format` is 'channels_first', expected `cha"),
        ({"dtype": "float64"}, "`dtype` is 'float64': training computes as `precision` says"),
        (
            {"preprocessing_function": np.sqrt, "validation_split": 0.5},
            "`preprocessing_function`.*`validation_split`",
        ),
    ],
)
def test_what_training_cannot_keep_is_refused(
    tiny: nunbit.Pictures, run: Fit, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        run(tiny, epochs=1, augment=nunbit.Augment(**options))
    assert not (tmp_path / "run").exists()


def test_a_whitening_matrix_that_is_too_large_is_refused(
    tiny: nunbit.Pictures, run: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nunbit.training.augmenting.ZCA_VALUES", 10)
    with pytest.raises(OptionError, match=r"needs a matrix of .* at most 10 values a picture"):
        run(tiny, epochs=1, augment=nunbit.Augment(zca_whitening=True))


@pytest.mark.parametrize("options", [{"zca_whitening": True}, {"samplewise_center": True}])
def test_a_trained_model_takes_no_other_normalisation(
    tiny: nunbit.Pictures, run: Fit, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    run(tiny, model=model, epochs=1)
    with pytest.raises(OptionError, match="trained with its own normalisation"):
        run(tiny, model=model, epochs=1, augment=nunbit.Augment(**options), out=tmp_path / "b")


@pytest.mark.parametrize(
    "options", [{"zca_whitening": True, "zca_epsilon": 0.1}, {"samplewise_std_normalization": True}]
)
def test_training_goes_on_with_the_same_normalisation(
    tiny: nunbit.Pictures, run: Fit, tmp_path: Path, options: dict[str, Any]
) -> None:
    same = nunbit.Augment(rescale=1 / 255, **options)
    run(tiny, epochs=1, augment=same)
    model = nunbit.Model.load(tmp_path / "run")
    run(tiny, model=model, epochs=1, augment=same, out=tmp_path / "b")


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({}, {"rescale": 0.5}, r"\(mean \(0\.\d+\), now asked for \(0\); std \(0\.\d+\), now"),
        ({"rescale": 1}, {"rescale": 0.5}, r"\(std \(0.003922\), now asked for \(0.007843\)\)"),
        (
            {"samplewise_center": True},
            {"rescale": 1},
            r"\(samplewise_center on, now asked for off\)",
        ),
        (
            {"zca_whitening": True},
            {"featurewise_center": True},
            r"\(with ZCA, now asked for without\)",
        ),
        (
            {"featurewise_center": True},
            {"zca_whitening": True},
            r"\(without ZCA, now asked for with\)",
        ),
        (
            {"zca_whitening": True},
            {"zca_whitening": True, "zca_epsilon": 1e3},
            r"\(with another ZCA matrix\)",
        ),
    ],
)
def test_what_differs_is_said(
    tiny: nunbit.Pictures,
    run: Fit,
    tmp_path: Path,
    before: dict[str, Any],
    now: dict[str, Any],
    message: str,
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    run(tiny, model=model, epochs=1, augment=nunbit.Augment(**before))
    with pytest.raises(OptionError, match=message):
        run(tiny, model=model, epochs=1, augment=nunbit.Augment(**now), out=tmp_path / "b")


def test_a_matrix_does_not_outlive_a_training_that_failed(
    tiny: nunbit.Pictures, run: Fit, tmp_path: Path
) -> None:
    class Fails(nunbit.Callback):
        def on_train_begin(self, moment: nunbit.Moment) -> None:
            raise RuntimeError("no start")

    model = nunbit.create_model_for(tiny, network="mlp")
    with pytest.raises(RuntimeError, match="no start"):
        run(
            tiny,
            model=model,
            epochs=1,
            augment=nunbit.Augment(zca_whitening=True),
            callbacks=[Fails()],
            out=tmp_path / "a",
        )
    assert model.whitening is not None
    run(tiny, model=model, epochs=1, out=tmp_path / "b")
    assert model.whitening is None
    assert model.preprocessing == tiny.preprocessing


def test_whitening_leaves_out_what_a_stream_cannot_read(
    write_folder: Callable[..., Path], run: Fit
) -> None:
    folder = write_folder({"cat": 12, "dog": 12, "cat/0.png": b"no picture"})
    options = nunbit.DataOptions(image_size=8, validation=0.0, stream=True)
    pictures = nunbit.load(folder, options=options)
    model = nunbit.create_model_for(pictures, network="mlp")
    augment = nunbit.Augment(rescale=1 / 255, zca_whitening=True, zca_epsilon=0.1)
    run(pictures, model=model, epochs=1, augment=augment)
    rows = np.arange(len(pictures.train))
    readable = pictures.train.pixels.readable(pictures.train.rows[rows])  # type: ignore[union-attr]
    assert len(readable) == 23
    keras = Standardizer(augment)
    keras.fit(readable)
    assert model.whitening is not None
    assert keras.zca_whitening_matrix is not None
    assert np.allclose(model.whitening, keras.zca_whitening_matrix, rtol=1e-3, atol=1e-3)


def test_the_matrix_moves_to_the_device_once(tiny: nunbit.Pictures) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    model.whitening = torch.eye(64)
    meta = torch.zeros(2, 1, 8, 8, dtype=torch.uint8, device="meta")
    model.normalise(meta)
    there = model.whitening
    assert there.device.type == "meta"
    model.normalise(meta)
    assert model.whitening is there


@pytest.mark.parametrize(
    "options", [{"zca_whitening": True, "zca_epsilon": 0.1}, {"samplewise_std_normalization": True}]
)
def test_prediction_and_evaluation_meet_the_same_values(
    tiny: nunbit.Pictures, run: Fit, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    run(tiny, model=model, epochs=2, augment=nunbit.Augment(rescale=1 / 255, **options))
    pictures = tiny.train.take(slice(0, 6))
    again = nunbit.Model.load(tmp_path / "run")
    assert np.array_equal(again.outputs(pictures), model.outputs(pictures))
    plain = nunbit.Model.load(tmp_path / "run")
    plain.whitening = None
    plain.preprocessing = tiny.preprocessing
    assert not np.allclose(plain.outputs(pictures), model.outputs(pictures))
