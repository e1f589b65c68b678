"""Schedules: closed forms at known steps, PyTorch's own as an oracle, and what must never be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torchs

from nunbit.training.defaults import resolve
from nunbit.training.options import TrainOptions
from nunbit.training.schedules import LAST_FRAC, make_schedule

STEPS = 10
SCHEDULES = ("one-cycle", "cosine", "linear", "restarts", "step", "constant")


def factors(**options: Any) -> list[float]:
    """Return the factor of each step of a run with ten steps an epoch."""
    chosen = resolve(TrainOptions(**options), pictures=1000, network_lr=0.01)
    schedule = make_schedule(chosen, steps_per_epoch=STEPS)
    return [schedule(step) for step in range((chosen.epochs or 1) * STEPS)]


def rises(values: list[float]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


def falls(values: list[float]) -> bool:
    return all(a > b for a, b in itertools.pairwise(values))


def oracle(steps: int, make: Callable[[torch.optim.Optimizer], torchs.LRScheduler]) -> list[float]:
    """Return the learning rate at each step as a scheduler of PyTorch sets it, from 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def warmed(
    warmup: int, first: float, after: Callable[[torch.optim.Optimizer], torchs.LRScheduler]
) -> Callable[[torch.optim.Optimizer], torchs.LRScheduler]:
    """Return a scheduler that rises for so many steps, then does as another says."""

    def make(optimizer: torch.optim.Optimizer) -> torchs.LRScheduler:
        start = first + (1 - first) / (warmup + 1)
        up = torchs.LinearLR(optimizer, start_factor=start, end_factor=1.0, total_iters=warmup)
        return torchs.SequentialLR(optimizer, [up, after(optimizer)], milestones=[warmup])

    return make


def cosine(steps: int) -> Callable[[torch.optim.Optimizer], torchs.LRScheduler]:
    return lambda o: torchs.CosineAnnealingLR(o, T_max=steps, eta_min=LAST_FRAC)


def straight(steps: int) -> Callable[[torch.optim.Optimizer], torchs.LRScheduler]:
    return lambda o: torchs.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=steps)


PYTORCHS: dict[str, tuple[dict[str, Any], Any]] = {
    "constant": ({"epochs": 3}, lambda o: torchs.ConstantLR(o, factor=1.0)),
    "constant, warm-up": (
        {"epochs": 3, "warmup_epochs": 0.7},
        warmed(7, 0.0, lambda o: torchs.ConstantLR(o, factor=1.0)),
    ),
    "step": (
        {"epochs": 7, "step_epochs": 3, "step_factor": 0.5},
        lambda o: torchs.StepLR(o, step_size=30, gamma=0.5),
    ),
    "cosine": ({"epochs": 4}, cosine(40)),
    "cosine, warm-up": ({"epochs": 4, "warmup_epochs": 1.5}, warmed(15, 0.0, cosine(25))),
    "one-cycle": ({"epochs": 8}, warmed(20, 0.04, cosine(60))),
    "linear": ({"epochs": 8, "warmup_epochs": 0.0}, straight(80)),
    "linear, warm-up": ({"epochs": 8}, warmed(20, 0.0, straight(60))),
    "restarts": (
        {"epochs": 14, "restart_epochs": 2},
        lambda o: torchs.CosineAnnealingWarmRestarts(o, T_0=20, T_mult=2, eta_min=LAST_FRAC),
    ),
    "restarts, equal": (
        {"epochs": 6, "restart_epochs": 2, "restart_factor": 1},
        lambda o: torchs.CosineAnnealingWarmRestarts(o, T_0=20, T_mult=1, eta_min=LAST_FRAC),
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter")  # PyTorch's own, in SequentialLR
@pytest.mark.parametrize("case", PYTORCHS)
def test_pytorch_says_the_same(case: str) -> None:
    options, make = PYTORCHS[case]
    found = factors(schedule=case.partition(",")[0], **options)
    assert found == pytest.approx(oracle(len(found), make), abs=1e-9)


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


def test_linear_would_reach_0_at_the_step_after_the_last() -> None:
    found = factors(schedule="linear", epochs=4, warmup_epochs=1.0)
    assert found[:10] == pytest.approx([k / 11 for k in range(1, 11)])
    assert found[10:] == pytest.approx([1 - k / 30 for k in range(30)])


def test_step_cuts_at_the_right_epochs() -> None:
    found = factors(schedule="step", epochs=7, step_epochs=3, step_factor=0.5)
    assert found == [1.0] * 30 + [0.5] * 30 + [0.25] * 10
    thirds = factors(schedule="step", epochs=9)
    assert (thirds[29], thirds[30], thirds[60]) == pytest.approx((1, 0.1, 0.01))


@pytest.mark.parametrize(
    ("epochs", "options", "starts"),
    [
        (14, {}, [0, 20, 60]),  # a seventh of the run, twice and four times as long
        (6, {"restart_epochs": 2, "restart_factor": 1}, [0, 20, 40]),
        (9, {"restart_epochs": 2}, [0, 20]),  # 2 and 4 epochs, and 3 that fit no third
        (3, {"restart_epochs": 5}, [0]),  # not even the first is whole
        (10, {"restart_epochs": 1, "restart_factor": 3, "warmup_epochs": 2.0}, [20, 30]),
    ],
)
def test_restarts_begin_anew_and_the_last_lasts_to_the_end(
    epochs: int, options: dict[str, Any], starts: list[int]
) -> None:
    found = factors(schedule="restarts", epochs=epochs, **options)
    assert [k for k, value in enumerate(found) if value == 1.0] == starts
    for start, stop in itertools.pairwise([*starts, len(found)]):
        assert falls(found[start:stop])
        length = stop - start
        assert found[start + length // 2] == pytest.approx((1 + LAST_FRAC) / 2, abs=0.06)
    assert LAST_FRAC < found[-1] < 0.03


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "one-cycle"])
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
    restart_epochs=st.none() | st.integers(1, 80),
    restart_factor=st.integers(1, 10),
)
def test_a_factor_is_above_0_and_at_most_1(
    schedule: Any,
    epochs: int,
    steps: int,
    warmup: float | None,
    step_epochs: int | None,
    restart_epochs: int | None,
    restart_factor: int,
) -> None:
    options = TrainOptions(
        epochs=epochs,
        schedule=schedule,
        warmup_epochs=warmup,
        step_epochs=step_epochs,
        restart_epochs=restart_epochs,
        restart_factor=restart_factor,
    )
    factor = make_schedule(resolve(options, pictures=1000, network_lr=0.01), steps_per_epoch=steps)
    found = [factor(step) for step in range(epochs * steps)]
    assert all(0 < value <= 1 for value in found)
    if schedule != "restarts":
        peak = found.index(max(found))
        assert found[: peak + 1] == sorted(found[: peak + 1])
        assert found[peak:] == sorted(found[peak:], reverse=True)
    assert found == [factor(step) for step in range(epochs * steps)], "a schedule has no state"
