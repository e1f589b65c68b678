"""Test-time augmentation: the answer for a picture and its mirror image together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import nunbit
from nunbit.errors import ModelFileError, OptionError
from nunbit.storage import load_tensors, save_tensors


def make_model(tta: str) -> nunbit.Model:
    model = nunbit.create_model("cnn-mnist", classes=3, image_size=12, channels=3, seed=0)
    model.tta = tta
    return model


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)


def test_the_answer_is_the_mean_of_both(pixels: np.ndarray) -> None:
    plain = make_model("none")
    mirrored = np.ascontiguousarray(pixels[:, :, ::-1])
    wanted = (plain.outputs(pixels) + plain.outputs(mirrored)) / 2
    assert np.abs(plain.outputs(pixels) - wanted).max() > 1e-3, "else nothing is shown"
    both = make_model("flip")
    np.testing.assert_allclose(both.outputs(pixels), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both.outputs(mirrored), wanted, rtol=1e-5, atol=1e-6)


def test_an_unknown_kind_is_refused_where_it_is_set() -> None:
    with pytest.raises(OptionError, match="tta is 'Flip', expected one of none, flip"):
        make_model("Flip")


def test_it_goes_with_the_model_file(tmp_path: Path, pixels: np.ndarray) -> None:
    both = make_model("flip")
    loaded = nunbit.Model.load(both.save(tmp_path / "both.safetensors"))
    assert loaded.tta == "flip"
    np.testing.assert_array_equal(loaded.outputs(pixels), both.outputs(pixels))
    plain = make_model("none")
    assert "tta" not in plain.header(), "older versions can read it"
    assert nunbit.Model.load(plain.save(tmp_path / "plain.safetensors")).tta == "none"


def test_a_kind_that_only_a_newer_version_knows_is_refused(tmp_path: Path) -> None:
    path = make_model("flip").save(tmp_path / "model.safetensors")
    tensors, header = load_tensors(path, kind="model")
    save_tensors(path, tensors, {**header, "tta": "ten-crops"}, kind="model")
    with pytest.raises(ModelFileError, match=r"`ten-crops`.*knows none, flip.*newer"):
        nunbit.Model.load(path)


def test_training_scores_with_it_and_leaves_it_in_the_model(tmp_path: Path) -> None:
    pictures = nunbit.load("digits")
    model = nunbit.create_model_for(pictures, network="mlp", seed=0)
    options = nunbit.TrainOptions(epochs=1, tta="flip")
    history = nunbit.fit(model, pictures, options=options, out=tmp_path / "run", progress=False)
    assert nunbit.Model.load(tmp_path / "run").tta == "flip"
    assert pictures.validation is not None
    outputs = model.outputs(pictures.validation.take(slice(None)))
    right = (outputs.argmax(1) == pictures.validation.labels).mean()
    assert history["val_accuracy"][-1] == pytest.approx(right)
    record = json.loads((tmp_path / "run" / "options.json").read_text())
    assert record["training"]["tta"] == "flip"
