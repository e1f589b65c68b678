"""It learns: small networks, real and drawn pictures, seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nunbit


@pytest.mark.parametrize(("network", "epochs"), [("mlp", 10), ("auto", 4)])
def test_digits_are_read(run: Any, digits: nunbit.Pictures, network: str, epochs: int) -> None:
    model = nunbit.create_model_for(digits, network=network)
    lr = {"mlp": 0.002, "auto": 0.005}[network]
    history = run(digits, model=model, epochs=epochs, batch_size=32, lr=lr)
    assert nunbit.evaluate(model, digits.test)["accuracy"] > 0.95
    assert history["loss"][-1] < history["loss"][0] / 3
    fresh = nunbit.create_model_for(digits, network=network)
    fresh.preprocessing = model.preprocessing
    assert nunbit.evaluate(fresh, digits.test)["accuracy"] < 0.4  # it was the training


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_two_classes_are_told_apart(
    run: Any, unvalidated: nunbit.Pictures, tmp_path: Path, head: Any
) -> None:
    model = nunbit.create_model_for(unvalidated, network="mlp", head=head)
    run(unvalidated, model=model, epochs=8, lr=0.002)
    other = nunbit.evaluate(nunbit.Model.load(tmp_path / "run"), unvalidated.origin)
    assert other["accuracy"] == 1.0
    assert model.network(model.normalise(_as_tensor(unvalidated))).shape == (
        32,
        1 if head == "sigmoid" else 2,
    )


def _as_tensor(pictures: nunbit.Pictures) -> Tensor:
    return torch.from_numpy(pictures.train.take(slice(None))).permute(0, 3, 1, 2)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "constant"])
def test_32_pictures_are_learnt_by_heart(
    run: Any, unvalidated: nunbit.Pictures, optimizer: str, schedule: str
) -> None:
    lr = 0.02 if optimizer == "sgd" else 0.002
    history = run(
        unvalidated, epochs=12, batch_size=8, lr=lr, optimizer=optimizer, schedule=schedule
    )
    assert history["accuracy"][-1] == 1.0
    assert history["loss"][-1] < 0.1


def test_labels_without_meaning_are_learnt_by_heart(
    run: Any, digits: nunbit.Pictures, tmp_path: Path
) -> None:
    """Only a network that sees each picture with its own label can do it."""
    rng = np.random.default_rng(0)
    few = dataclasses.replace(
        digits.train,
        rows=digits.train.rows[:32],
        ids=digits.train.ids[:32],
        names=digits.train.names[:32],
        labels=rng.integers(0, 10, 32),
    )
    pictures = dataclasses.replace(digits, train=few, validation=None)
    model = nunbit.create_model_for(pictures, network="mlp")
    run(pictures, model=model, epochs=60, batch_size=32, lr=0.005)
    assert nunbit.evaluate(model, few)["accuracy"] == 1.0


def test_the_defaults_learn_digits_in_a_folder_of_runs(
    digits: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but pictures and a network: what the README begins with."""
    monkeypatch.chdir(tmp_path)
    model = nunbit.create_model_for(digits, network="mlp")
    history = nunbit.fit(model, digits, epochs=10, progress=False)
    assert history.run == Path("runs/digits-mlp-1")
    assert nunbit.evaluate(nunbit.Model.load(history.run), digits.test)["accuracy"] > 0.95
