"""The learning-rate finder: what it reads off a curve, and that it leaves all as it was."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nunbit
from nunbit.training.find_lr import read_curve


def rates(count: int, low: float = 1e-6, high: float = 10.0) -> list[float]:
    return [low * (high / low) ** (k / (count - 1)) for k in range(count)]


def descent(curvature: float, count: int = 100) -> tuple[list[float], list[float]]:
    """Gradient descent on a parabola: it diverges at rates above 2 / curvature."""
    at, found = 1.0, []
    for rate in rates(count):
        found.append(curvature * at * at / 2)
        at -= rate * curvature * at
    return rates(count)[: len(found)], found


@pytest.mark.parametrize("curvature", [1.0, 30.0, 1000.0])
def test_of_a_parabola_it_suggests_a_rate_that_is_stable(curvature: float) -> None:
    tried, losses = descent(curvature)
    curve = read_curve(tried, losses, planned=100)
    stable = 2 / curvature
    assert stable / 200 < curve.suggestion < stable
    assert curve.steepest < stable
    assert curve.suggestion == tried[int(np.argmin(curve.smoothed))] / 10


def test_smoothing_is_corrected_for_its_beginning() -> None:
    curve = read_curve(rates(40), [3.0 - k / 20 for k in range(40)], planned=40)
    assert curve.smoothed[0] == pytest.approx(3.0)
    assert curve.smoothed[1] == pytest.approx((0.9 * 0.1 * 3.0 + 0.1 * 2.95) / 0.19)
    assert not curve.diverged
    assert curve.suggestion == pytest.approx(1.0)  # it fell to the last rate, 10


def test_a_last_loss_that_is_no_number_ends_the_curve() -> None:
    losses = [*(3.0 - k / 20 for k in range(30)), math.nan]
    curve = read_curve(rates(100)[:31], losses, planned=100)
    assert curve.diverged
    assert len(curve.rates) == len(curve.losses) == len(curve.smoothed) == 30


@given(st.lists(st.floats(0.01, 100), min_size=20, max_size=60))
def test_any_curve_is_read_or_refused(losses: list[float]) -> None:
    tried = rates(len(losses))
    try:
        curve = read_curve(tried, losses, planned=len(losses))
    except nunbit.TrainingError:
        return
    assert tried[0] / 10 <= curve.suggestion <= tried[-1] / 10
    assert tried[0] <= curve.steepest <= tried[-1]


def test_a_loss_that_only_rises_is_refused() -> None:
    with pytest.raises(nunbit.TrainingError, match=r"only rises .* Pass a smaller `lowest`"):
        read_curve(rates(50), [1.0 + k for k in range(50)], planned=50)


def test_a_loss_that_soars_at_once_is_refused() -> None:
    with pytest.raises(nunbit.TrainingError, match="after 3 of 100 steps"):
        read_curve(rates(100)[:3], [1.0, 2.0, math.inf], planned=100)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_on_digits_it_finds_a_rate_that_learns(digits: Any, run: Any, optimizer: str) -> None:
    model = nunbit.create_model_for(digits, network="mlp")
    options = nunbit.TrainOptions(optimizer=optimizer, batch_size=64)
    curve = nunbit.find_lr(model, digits, options=options)
    low, high = {"adamw": (3e-4, 3e-2), "sgd": (3e-3, 1.0)}[optimizer]
    assert low < curve.suggestion < high
    history = run(digits, epochs=3, optimizer=optimizer, batch_size=64, lr=curve.suggestion)
    assert history["val_accuracy"][-1] > 0.85


def test_model_randomness_and_folder_stay_as_they_were(
    tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = nunbit.create_model_for(tiny, network="auto")  # it has batch norm
    model.network.eval()
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    strides = [p.stride() for p in model.network.parameters()]
    facts, made = dict(model.facts), model.preprocessing
    drawn = torch.get_rng_state()
    nunbit.find_lr(model, tiny, options=nunbit.TrainOptions(batch_size=24), steps=30)
    after = model.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert strides == [p.stride() for p in model.network.parameters()]
    assert not model.network.training
    assert all(p.grad is None for p in model.network.parameters())
    assert (model.facts, model.preprocessing) == (facts, made)
    assert torch.equal(drawn, torch.get_rng_state())
    assert list(tmp_path.iterdir()) == []


def test_it_says_the_same_twice_and_sees_augmentation(tiny: nunbit.Pictures) -> None:
    def losses(**given: Any) -> tuple[float, ...]:
        model = nunbit.create_model_for(tiny, network="mlp")
        options = nunbit.TrainOptions(batch_size=24, **given)
        return nunbit.find_lr(model, tiny, options=options, steps=40, lowest=1e-5).losses

    plain = losses()
    assert plain == losses()
    assert plain[:5] != losses(augment="light")[:5]
    assert plain[0] < losses(label_smoothing=0.3)[0] or plain[:5] != losses(label_smoothing=0.3)[:5]


def test_the_first_loss_is_that_of_training(tiny: nunbit.Pictures, run: Any) -> None:
    class First(nunbit.Callback):
        found: float | None = None

        def on_train_batch_end(self, moment: nunbit.Moment) -> None:
            self.found = moment.logs["loss"] if self.found is None else self.found

    first = First()
    run(tiny, epochs=1, augment="light", callbacks=[first])
    model = nunbit.create_model_for(tiny, network="mlp")
    options = nunbit.TrainOptions(batch_size=24, augment="light")
    curve = nunbit.find_lr(model, tiny, options=options, steps=40)
    assert curve.losses[0] == first.found


def test_all_mistakes_are_said_at_once(tmp_path: Path, write_folder: Any) -> None:
    few = nunbit.load(write_folder({"a": 4, "b": 4}), validation=0.0)
    model = nunbit.create_model_for(few, network="mlp")
    with pytest.raises(
        nunbit.OptionError, match=r"0 < lowest < highest; .* at least 20; there are"
    ):
        nunbit.find_lr(model, few, lowest=1.0, highest=0.1, steps=5)
