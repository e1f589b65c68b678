"""``evaluate``: each picture once, classes by name, the same numbers as counting by hand."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import nunbit
from nunbit.errors import DataError, ShapeError


def by_hand(model: nunbit.Model, pictures: nunbit.PictureSet) -> dict[str, Any]:
    """Count picture by picture, in plain Python."""
    model.network.eval()
    made = model.preprocessing
    losses, right, matrix = [], 0, np.zeros((3, 3), int)
    for position, label in enumerate(pictures.labels):
        pixels = pictures.take(slice(position, position + 1))[0]
        image = (torch.from_numpy(pixels.copy()).permute(2, 0, 1).double() / 255)[None]
        image = (image - made.mean[0]) / made.std[0]
        with torch.no_grad():
            chances = model.network(image.float())[0].double().softmax(0)
        losses.append(-float(chances[label].log()))
        right += int(chances.argmax() == label)
        matrix[label, chances.argmax()] += 1
    return {"accuracy": right / len(losses), "loss": float(np.mean(losses)), "matrix": matrix}


def test_scores_are_those_counted_by_hand(model: nunbit.Model, pictures: nunbit.Pictures) -> None:
    assert pictures.test is not None
    found, slow = nunbit.evaluate(model, pictures.test), by_hand(model, pictures.test)
    assert found.count == 73
    assert found["accuracy"] == slow["accuracy"]
    assert found["loss"] == pytest.approx(slow["loss"], rel=1e-5)
    assert found.matrix is not None
    assert found.matrix.counts.tolist() == slow["matrix"].tolist()
    assert 0.4 < found["accuracy"] < 1  # so that there is something to get wrong


@pytest.mark.parametrize("batch", [1, 7, 72, 73, 1000])
def test_each_picture_counts_once_whatever_the_batch(
    model: nunbit.Model,
    pictures: nunbit.Pictures,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
) -> None:
    assert pictures.test is not None
    usual = nunbit.evaluate(model, pictures.test)
    sizes: list[int] = []
    model.network.register_forward_pre_hook(lambda network, given: sizes.append(len(given[0])))
    monkeypatch.setattr("nunbit.model.EVALUATION_BATCH", batch)
    found = nunbit.evaluate(model, pictures.test)
    assert sum(sizes) == found.count == 73
    assert max(sizes) == min(batch, 73)
    assert found.matrix is not None
    assert usual.matrix is not None
    assert found.matrix.counts.tolist() == usual.matrix.counts.tolist()
    for one, two in zip(found.scores, usual.scores, strict=True):
        assert one.value == pytest.approx(two.value, rel=1e-5), one.name


def test_evaluation_leaves_the_network_as_it_was(
    model: nunbit.Model, pictures: nunbit.Pictures
) -> None:
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    for training in (True, False):
        model.network.train(training)
        nunbit.evaluate(model, pictures.test)
        assert model.network.training is training
    assert all(torch.equal(before[k], v) for k, v in model.network.state_dict().items())


def test_dropout_is_off_and_batch_norm_fixed(pictures: nunbit.Pictures) -> None:
    for network in ("cnn-mnist", "auto"):
        model = nunbit.create_model_for(pictures, network=network)
        model.network.train()
        one, two = (nunbit.evaluate(model, pictures.test) for _ in range(2))
        assert one["loss"] == two["loss"]
        assert pictures.test is not None
        assert one["loss"] == pytest.approx(by_hand(model, pictures.test)["loss"], rel=1e-4)


def test_a_source_gives_its_test_pictures(model: nunbit.Model, pictures: nunbit.Pictures) -> None:
    found = nunbit.evaluate(model, pictures.origin)
    assert found.to_dict() == nunbit.evaluate(model, pictures.test).to_dict()


def test_a_source_without_a_test_split_gives_all_its_pictures(
    model: nunbit.Model, pictures: nunbit.Pictures
) -> None:
    found = nunbit.evaluate(model, Path(pictures.origin) / "test")
    assert found.to_dict() == nunbit.evaluate(model, pictures.test).to_dict()


def test_classes_are_matched_by_name_not_by_position(
    model: nunbit.Model, pictures: nunbit.Pictures, tmp_path: Path
) -> None:
    """Of three classes only the last two are there; sorted alone they would be 0 and 1."""
    for name in "bc":
        shutil.copytree(Path(pictures.origin) / "test" / name, tmp_path / name)
    whole = nunbit.evaluate(model, pictures.test)
    found = nunbit.evaluate(model, tmp_path)
    assert found.count == 43
    assert found.matrix is not None
    assert whole.matrix is not None
    assert found.matrix.counts[1:].tolist() == whole.matrix.counts[1:].tolist()
    assert found.matrix.counts[0].sum() == 0
    assert found.per_class["b"]["recall"] == whole.per_class["b"]["recall"]


def test_classes_in_another_order_than_sorted(
    pictures: nunbit.Pictures, model: nunbit.Model
) -> None:
    """The network's order is its own: turn its outputs round, and nothing changes."""
    turned = nunbit.Model(
        torch.nn.Sequential(model.network, _Reverse()),
        preprocessing=model.preprocessing,
        task=nunbit.create_model("mlp", classes=["c", "b", "a"]).task,
        network_name="mlp",
    )
    usual, found = (nunbit.evaluate(each, pictures.origin) for each in (model, turned))
    assert found.to_dict()["accuracy"] == usual.to_dict()["accuracy"]
    assert {k: dict(v) for k, v in found.per_class.items()} == {
        k: dict(v) for k, v in usual.per_class.items()
    }


class _Reverse(torch.nn.Module):
    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.flip(1)


def test_an_unknown_class_is_an_error(
    model: nunbit.Model, pictures: nunbit.Pictures, tmp_path: Path
) -> None:
    shutil.copytree(Path(pictures.origin) / "test" / "a", tmp_path / "a")
    shutil.copytree(Path(pictures.origin) / "test" / "b", tmp_path / "zebra")
    with pytest.raises(DataError, match=r"has class `zebra`, which the network does not know"):
        nunbit.evaluate(model, tmp_path)


def test_an_unreadable_picture_is_left_out(
    model: nunbit.Model, pictures: nunbit.Pictures, tmp_path: Path
) -> None:
    shutil.copytree(Path(pictures.origin) / "test", tmp_path / "copy")
    (tmp_path / "copy/a/000.png").write_bytes(b"no picture")
    found = nunbit.evaluate(model, tmp_path / "copy")
    assert (found.count, found.per_class["a"]["count"]) == (72, 29)


def test_pictures_of_another_size_and_colour_are_made_to_fit(
    model: nunbit.Model, pictures: nunbit.Pictures, tmp_path: Path
) -> None:
    """A source goes through the preprocessing of the model, whatever it holds."""
    for path in (Path(pictures.origin) / "test").rglob("*.png"):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert grey is not None
        big = cv2.cvtColor(grey.repeat(4, 0).repeat(4, 1), cv2.COLOR_GRAY2BGR)
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / path.parent.name / path.name), big)
    found, usual = nunbit.evaluate(model, tmp_path), nunbit.evaluate(model, pictures.test)
    assert found["loss"] == pytest.approx(usual["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("size", "channels", "message"),
    [(12, 1, r"takes 8×8 pictures with 1 channels, got 12×12 with 1"), (8, 3, "got 8×8 with 3")],
)
def test_decoded_pictures_of_another_size_are_refused(
    model: nunbit.Model, pictures: nunbit.Pictures, size: int, channels: int, message: str
) -> None:
    options = nunbit.DataOptions(image_size=size, channels="grey" if channels == 1 else "rgb")
    other = nunbit.load(pictures.origin, options=options)
    with pytest.raises(ShapeError, match=message):
        nunbit.evaluate(model, other.test)


def test_a_split_that_is_not_there_says_so(
    model: nunbit.Model, pictures: nunbit.Pictures, tmp_path: Path
) -> None:
    shutil.copytree(Path(pictures.origin) / "train", tmp_path / "train")
    without = nunbit.load(tmp_path / "train")
    assert without.test is None
    with pytest.raises(DataError, match=r"has no such split. Pass `pictures.validation`"):
        nunbit.evaluate(model, without.test)


def test_mistakes_name_the_right_pictures(model: nunbit.Model, pictures: nunbit.Pictures) -> None:
    assert pictures.test is not None
    found = nunbit.evaluate(model, pictures.test)
    wrong = round((1 - found["accuracy"]) * found.count)
    assert len(found.mistakes) == wrong > 3
    confidences = [mistake.confidence for mistake in found.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    for mistake in found.mistakes:
        name = pictures.test.names[mistake.position]
        assert Path(name).parent.name == mistake.expected != mistake.received
        again = model.predict([Path(pictures.origin) / name])[0]
        assert again.label == mistake.received
        assert again.probability == pytest.approx(mistake.confidence, rel=1e-4)
