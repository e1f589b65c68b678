"""All randomness is derived from the seed: the same seed, the same bits; nobody else's matters."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nunbit
from nunbit.training import prepare as prepare_module
from nunbit.training.callbacks import Callback, Moment
from nunbit.training.callbacks.base import HOOKS

SHAKEN = nunbit.Augment(rotation_range=20, width_shift_range=1.5, zoom_range=0.2)

Contents = Callable[[Path], dict[str, Any]]


def train(
    pictures: nunbit.Pictures,
    out: Path,
    *,
    network: str = "cnn-mnist",
    callbacks: list[Callback] | None = None,
    model_seed: int = 0,
    **options: Any,
) -> nunbit.History:
    """Train with dropout and augmentation, so that there is something random to go wrong."""
    return nunbit.fit(
        nunbit.create_model_for(pictures, network=network, seed=model_seed),
        pictures,
        epochs=2,
        augment=SHAKEN,
        options=nunbit.TrainOptions(**{"batch_size": 20, **options}),
        callbacks=callbacks or [],
        out=out,
        progress=False,
    )


@pytest.fixture(scope="module")
def usual(
    grey: nunbit.Pictures, contents: Contents, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("usual") / "run"
    train(grey, out)
    return contents(out)


def test_the_same_seed_gives_the_same_bits(
    grey: nunbit.Pictures, usual: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    train(grey, tmp_path / "run")
    assert contents(tmp_path / "run") == usual


def test_another_seed_gives_another_run(
    grey: nunbit.Pictures, usual: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    train(grey, tmp_path / "order", seed=1)
    train(grey, tmp_path / "weights", model_seed=1)
    for name in ("order", "weights"):
        found = contents(tmp_path / name)
        assert found["model.safetensors:dense.weight"] != usual["model.safetensors:dense.weight"]
        assert found["history.jsonl"] != usual["history.jsonl"]


@pytest.mark.parametrize(
    ("network", "augment"),
    [("cnn-mnist", nunbit.Augment()), ("mlp", SHAKEN), ("mlp", nunbit.Augment())],
)
def test_order_dropout_and_augmentation_each_depend_on_the_seed(
    grey: nunbit.Pictures, tmp_path: Path, network: str, augment: nunbit.Augment
) -> None:
    """Each alone: with one batch an epoch the order does not matter."""
    whole = 1000 if (network, augment) != ("mlp", nunbit.Augment()) else 20
    losses = []
    for seed in (0, 1):
        history = nunbit.fit(
            nunbit.create_model_for(grey, network=network), grey, epochs=2, augment=augment,
            options=nunbit.TrainOptions(batch_size=whole, seed=seed, precision="float32"),
            out=tmp_path / str(seed), progress=False,
        )  # fmt: skip
        losses.append(history["loss"][1])
    assert abs(losses[0] - losses[1]) > 1e-5


def test_the_state_of_the_caller_does_not_matter(
    grey: nunbit.Pictures, usual: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    torch.manual_seed(12345)
    np.random.seed(54321)
    random.seed(999)
    train(grey, tmp_path / "run")
    assert contents(tmp_path / "run") == usual


def test_the_state_of_the_caller_stays_as_it_was(grey: nunbit.Pictures, tmp_path: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    train(grey, tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert str(np.random.get_state()) == str(before[1])
    assert random.getstate() == before[2]


def test_the_state_of_the_caller_stays_as_it_was_after_an_error(
    grey: nunbit.Pictures, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    with pytest.raises(nunbit.TrainingError):
        train(grey, tmp_path / "run", lr=1e30)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_left_in_evaluation_mode_trains_all_the_same(
    grey: nunbit.Pictures, usual: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    """With dropout: a callback, too, may leave it so."""

    class LeavesIt(Callback):
        def on_epoch_begin(self, moment: Moment) -> None:
            model.network.eval()

    model = nunbit.create_model_for(grey, network="cnn-mnist")
    nunbit.fit(
        model, grey, epochs=2, augment=SHAKEN, callbacks=[LeavesIt()], out=tmp_path / "run",
        options=nunbit.TrainOptions(batch_size=20), progress=False,
    )  # fmt: skip
    assert contents(tmp_path / "run")["history.jsonl"] == usual["history.jsonl"]


class Gambles(Callback):
    """Draws from the global generators in every hook."""


def _draw(self: Gambles, moment: Moment) -> None:
    torch.rand(3)
    np.random.random(3)
    random.random()  # noqa: S311  # the global state is what is tested


for _hook in HOOKS:
    setattr(Gambles, _hook, _draw)


def test_a_callback_that_draws_random_numbers_changes_nothing(
    grey: nunbit.Pictures, usual: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    train(grey, tmp_path / "run", callbacks=[Gambles()])
    found = contents(tmp_path / "run")
    assert {k: v for k, v in found.items() if k.startswith("model.")} == {
        k: v for k, v in usual.items() if k.startswith("model.")
    }
    assert found["history.jsonl"] == usual["history.jsonl"]


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_the_number_of_loader_threads_changes_nothing(
    grey: nunbit.Pictures,
    usual: dict[str, Any],
    contents: Contents,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
) -> None:
    make_plan = prepare_module.make_plan

    def plan_with_threads(*given: Any, **named: Any) -> Any:
        return dataclasses.replace(make_plan(*given, **named), loader_threads=threads)

    monkeypatch.setattr(prepare_module, "make_plan", plan_with_threads)
    train(grey, tmp_path / "run")
    found, expected = contents(tmp_path / "run"), copy.deepcopy(usual)
    for each in (found, expected):
        for name in ("header", "plan"):  # they tell the number
            each["options.json"][0].pop(name)
    assert found == expected


def test_two_computing_threads_give_the_same_bits_twice(
    colour: nunbit.Pictures, contents: Contents, tmp_path: Path
) -> None:
    torch.set_num_threads(2)
    try:
        for name in ("one", "two"):
            train(colour, tmp_path / name, network="auto")
    finally:
        torch.set_num_threads(1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
