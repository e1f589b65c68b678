"""Optimizers and schedules: what they say at known steps, and what they must never do."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nunbit
from nunbit.training.defaults import resolve
from nunbit.training.optimizers import LAST_FRAC, make_optimizer, make_schedule
from nunbit.training.options import TrainOptions

STEPS = 10
SCHEDULES = ("one-cycle", "cosine", "step", "constant")


def factors(**options: Any) -> list[float]:
    """Return the factor of each step of a run with ten steps an epoch."""
    chosen = resolve(TrainOptions(**options), pictures=1000, network_lr=0.01)
    schedule = make_schedule(chosen, steps_per_epoch=STEPS)
    return [schedule(step) for step in range((chosen.epochs or 1) * STEPS)]


def rises(values: list[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


def falls(values: list[float]) -> bool:
    return all(a > b for a, b in itertools.pairwise(values))


def test_constant_is_constant() -> None:
    assert factors(schedule="constant", epochs=3) == [1.0] * 30


def test_one_cycle_rises_to_1_after_a_quarter_and_falls_to_the_end() -> None:
    found = factors(schedule="one-cycle", epochs=8)
    assert found[0] == pytest.approx(0.04 + 0.96 / 21)
    assert found[9] == pytest.approx(0.04 + 0.96 * 10 / 21)
    assert found[20] == 1.0 == max(found)
    assert rises(found[:21])
    assert falls(found[20:])
    middle = 20 + 30
    assert found[middle] == pytest.approx((1 + LAST_FRAC) / 2)
    assert LAST_FRAC < found[-1] < LAST_FRAC + 0.01


def test_one_cycle_rises_for_as_long_as_it_is_told() -> None:
    found = factors(schedule="one-cycle", epochs=8, warmup_epochs=0.5)
    assert found[5] == 1.0 == max(found)
    assert factors(schedule="one-cycle", epochs=4, warmup_epochs=0.0)[0] == 1.0


def test_cosine_starts_at_1_and_ends_near_0() -> None:
    found = factors(schedule="cosine", epochs=4)
    assert found[0] == 1.0
    assert found[20] == pytest.approx((1 + LAST_FRAC) / 2)
    assert found[10] == pytest.approx(LAST_FRAC + (1 - LAST_FRAC) * (1 + math.sqrt(0.5)) / 2)
    assert falls(found)
    assert LAST_FRAC < found[-1] < 0.005


def test_step_cuts_at_the_right_epochs() -> None:
    found = factors(schedule="step", epochs=7, step_epochs=3, step_factor=0.5)
    assert found == [1.0] * 30 + [0.5] * 30 + [0.25] * 10
    thirds = factors(schedule="step", epochs=9)
    assert (thirds[29], thirds[30], thirds[60]) == pytest.approx((1, 0.1, 0.01))


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_warm_up_rises_in_a_straight_line_and_leaves_the_rest(schedule: str) -> None:
    found = factors(schedule=schedule, epochs=4, warmup_epochs=0.4)
    assert found[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert found[4] == 1.0


@given(
    schedule=st.sampled_from(SCHEDULES),
    epochs=st.integers(1, 60),
    steps=st.integers(1, 40),
    warmup=st.none() | st.floats(0, 80),
    step_epochs=st.none() | st.integers(1, 80),
)
def test_a_factor_is_never_below_0_nor_above_1(
    schedule: Any, epochs: int, steps: int, warmup: float | None, step_epochs: int | None
) -> None:
    options = TrainOptions(
        epochs=epochs, schedule=schedule, warmup_epochs=warmup, step_epochs=step_epochs
    )
    factor = make_schedule(resolve(options, pictures=1000, network_lr=0.01), steps_per_epoch=steps)
    found = [factor(step) for step in range(epochs * steps)]
    assert all(0 < value <= 1 for value in found)
    peak = found.index(max(found))
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert found[peak:] == sorted(found[peak:], reverse=True)


@pytest.mark.parametrize("network", ["mlp", "auto", "cnn-mnist", "cnn-cats-dogs"])
def test_decay_pulls_on_filters_and_matrices_only(network: str) -> None:
    module = nunbit.create_model(network, classes=3, image_size=32, channels=1).network
    options = TrainOptions(weight_decay=0.1, lr=0.01)
    groups = make_optimizer(module, options).param_groups
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert len(decays) == len(list(module.parameters()))
    for name, parameter in module.named_parameters():
        is_weight = parameter.ndim > 1
        assert decays[id(parameter)] == (0.1 if is_weight else 0.0), name
        assert is_weight == (
            not name.endswith("bias") and "norm" not in name and parameter.ndim > 1
        )


def test_frozen_weights_are_left_alone() -> None:
    module = nunbit.create_model("mlp", classes=3).network
    module.hidden.requires_grad_(False)  # type: ignore[union-attr]
    groups = make_optimizer(module, TrainOptions(weight_decay=0.1, lr=0.01)).param_groups
    assert {id(p) for g in groups for p in g["params"]} == {
        id(p)
        for p in module.head.parameters()  # type: ignore[union-attr]
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_the_optimizer_is_the_one_asked_for(name: Any, kind: type) -> None:
    module = nunbit.create_model("mlp", classes=3).network
    made = make_optimizer(module, TrainOptions(optimizer=name, lr=0.25, momentum=0.5))
    assert type(made) is kind
    assert {group["lr"] for group in made.param_groups} == {0.25}
    if name == "sgd":
        assert {(g["momentum"], g["nesterov"]) for g in made.param_groups} == {(0.5, True)}
