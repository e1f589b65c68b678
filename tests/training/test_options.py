"""How the options left open are filled in, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.errors import OptionError
from nunbit.training.defaults import resolve
from nunbit.training.options import TrainOptions


def choose(pictures: int = 54_000, network_lr: float = 0.01, **options: Any) -> TrainOptions:
    return resolve(TrainOptions(**options), pictures=pictures, network_lr=network_lr)


@pytest.mark.parametrize(
    ("pictures", "epochs"), [(10, 40), (6_250, 40), (10_000, 25), (50_000, 5), (1_000_000, 5)]
)
def test_epochs_follow_the_number_of_pictures(pictures: int, epochs: int) -> None:
    assert choose(pictures).epochs == epochs


@pytest.mark.parametrize(
    ("pictures", "batch_size"), [(1, 16), (100, 16), (1_280, 32), (5_120, 128), (54_000, 256)]
)
def test_batch_size_is_about_a_fortieth(pictures: int, batch_size: int) -> None:
    assert choose(pictures).batch_size == batch_size


@pytest.mark.parametrize(
    ("options", "lr"),
    [
        ({"batch_size": 256}, 0.01),
        ({"batch_size": 64}, 0.005),
        ({"batch_size": 64, "schedule": "cosine"}, 0.005),
        ({"batch_size": 64, "schedule": "constant"}, 0.001),
        ({"batch_size": 64, "schedule": "step", "optimizer": "adam"}, 0.001),
        ({"batch_size": 256, "optimizer": "sgd"}, 0.1),
        ({"batch_size": 64, "optimizer": "sgd"}, 0.025),
        ({"batch_size": 64, "optimizer": "sgd", "schedule": "constant"}, 0.0025),
        ({"lr": 0.3}, 0.3),
        ({"lr": 1e-12}, 1e-12),
        ({"lr": 0.123456789123}, 0.123456789123),
    ],
)
def test_learning_rate(options: dict[str, Any], lr: float) -> None:
    assert choose(**options).lr == pytest.approx(lr, rel=1e-12)


def test_a_network_with_a_smaller_learning_rate_gets_it() -> None:
    assert choose(network_lr=0.002, batch_size=256).lr == pytest.approx(0.002)
    sgd = choose(network_lr=0.002, batch_size=256, optimizer="sgd")
    assert sgd.lr == pytest.approx(0.02)


def test_the_rest_is_chosen_by_rule() -> None:
    assert choose(epochs=8).warmup_epochs == 2.0
    assert choose(epochs=8, schedule="cosine").warmup_epochs == 0.0
    assert choose(epochs=8).step_epochs == 3
    assert choose(epochs=1).step_epochs == 1
    decays = {name: choose(optimizer=name).weight_decay for name in ("adamw", "adam", "sgd")}
    assert decays == {"adamw": 0.05, "adam": 0.0, "sgd": 5e-4}
    assert choose(weight_decay=0.0).weight_decay == 0.0
    assert choose(warmup_epochs=0.0).warmup_epochs == 0.0


GIVEN = st.fixed_dictionaries(
    {
        "optimizer": st.sampled_from(["adamw", "adam", "sgd"]),
        "schedule": st.sampled_from(["one-cycle", "cosine", "step", "constant"]),
    },
    optional={
        "epochs": st.integers(1, 500),
        "batch_size": st.integers(1, 5000),
        "lr": st.floats(0, 10, exclude_min=True),
        "weight_decay": st.floats(0, 1),
        "warmup_epochs": st.floats(0, 10),
        "step_epochs": st.integers(1, 10),
    },
)


@given(options=GIVEN, pictures=st.integers(1, 10**8))
def test_resolving_twice_is_resolving_once(options: dict[str, Any], pictures: int) -> None:
    chosen = choose(pictures, **options)
    assert resolve(chosen, pictures=pictures, network_lr=0.01) == chosen
    assert resolve(chosen, pictures=pictures + 1000, network_lr=0.5) == chosen
    left_open = {name for name, value in chosen.to_dict().items() if value is None}
    assert left_open == {  # None = off
        "patience", "plateau_patience", "clip_norm", "ema", "first_size", "teacher",
        "bias_lr", "head_lr",
    }  # fmt: skip
    assert {name: chosen.to_dict()[name] for name in options} == options


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step"])
def test_plateau_patience_needs_a_constant_schedule(schedule: Any) -> None:
    with pytest.raises(OptionError, match=f"schedule `{schedule}`. Pass `--schedule constant`"):
        TrainOptions(plateau_patience=3, schedule=schedule)
    assert TrainOptions(plateau_patience=3, schedule="constant").plateau_patience == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, r"`epochs` is 0, expected >= 1"),
        ({"batch_size": -4}, r"`batch_size` is -4, expected >= 1 \(pictures\)"),
        ({"lr": 0.0}, r"`lr` is 0.0, expected > 0"),
        ({"lr": float("nan")}, r"`lr` is nan"),
        ({"momentum": 1.0}, r"`momentum` is 1.0, expected 0 <= value <= 0.9999"),
        ({"optimizer": "adma"}, r"`optimizer` is 'adma', expected one of `adamw`, `adam`, `sgd`"),
        ({"label_smoothing": 1.0}, r"`label_smoothing`"),
        ({"accumulate": 0}, r"`accumulate` is 0"),
        ({"patience": 2.5}, r"`patience` is 2.5"),
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainOptions(**wrong)
