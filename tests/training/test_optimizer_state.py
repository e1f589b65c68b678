"""What an optimizer keeps goes to the weight of the same name, and to no other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nunbit
from nunbit.training.optimizer_state import load_optimizer, optimizer_state, options_of
from nunbit.training.optimizers import make_optimizer
from nunbit.training.parallel import Parallel


def options(**given: Any) -> nunbit.TrainOptions:
    return nunbit.TrainOptions(**{"lr": 0.002, "weight_decay": 0.0, "head_lr": 0.001, **given})


def job(given: nunbit.TrainOptions) -> Any:
    """Return a job whose optimizer has made a step: what it keeps differs from weight to weight."""
    network = nunbit.create_model("cnn-mnist", classes=3, image_size=8, channels=1).network
    optimizer = make_optimizer(network, given)
    for number, weight in enumerate(network.parameters()):
        weight.grad = torch.full_like(weight, 1.0 + number)
    optimizer.step()
    return SimpleNamespace(optimizer=optimizer, parallel=Parallel(network))


def flat(state: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}.{key}": v for name, kept in state.items() for key, v in kept.items()}


RATES = st.sampled_from([None, 0.0005, 0.001, 0.002, 0.004])


@given(lr=RATES.filter(bool), head_lr=RATES, bias_lr=RATES, name=st.sampled_from(["adamw", "muon"]))
def test_whatever_the_rates_each_weight_gets_its_own(
    lr: float, head_lr: float | None, bias_lr: float | None, name: Any
) -> None:
    before = job(options(optimizer=name))
    state = optimizer_state(before)
    assert state.keys() == dict(before.parallel.network.named_parameters()).keys()
    now = options(optimizer=name, lr=lr, head_lr=head_lr, bias_lr=bias_lr)
    after = job(now)
    for kept in after.optimizer.state.values():
        kept.clear()
    assert load_optimizer(after, state, options(optimizer=name)) == []
    named = dict(after.parallel.network.named_parameters())
    for weight_name, kept in state.items():
        found = after.optimizer.state[named[weight_name]]
        assert found.keys() == kept.keys()
        assert all(torch.equal(found[key], value) for key, value in kept.items())


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_older_checkpoints_that_count_weights_are_read_in_their_order(name: Any) -> None:
    written = options(optimizer=name)
    before = job(written)
    counted = {str(k): v for k, v in before.optimizer.state_dict()["state"].items()}
    now = options(optimizer=name, lr=0.0005, bias_lr=0.1)
    after = job(now)
    assert load_optimizer(after, counted, options_of(now, written.to_dict())) == []
    one, two = flat(optimizer_state(before)), flat(optimizer_state(after))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_what_does_not_fit_begins_anew_and_is_named() -> None:
    before = job(options(optimizer="muon", rest_optimizer="sgd"))
    state = optimizer_state(before)
    now = options(optimizer="muon", rest_optimizer="adamw")
    after = job(now)
    anew = load_optimizer(after, state, now)
    theirs = {id(w) for group in after.optimizer.parts[0].param_groups for w in group["params"]}
    named = after.parallel.network.named_parameters()
    assert sorted(anew) == sorted(name for name, weight in named if id(weight) not in theirs)
    assert {id(weight) for weight in after.optimizer.state} == theirs
    after.optimizer.step()  # and the others begin
    assert len(after.optimizer.state) == len(list(after.parallel.network.parameters()))


def test_a_state_of_another_shape_begins_anew() -> None:
    before = job(options(optimizer="adamw"))
    state = optimizer_state(before)
    name = next(iter(state))
    state[name]["exp_avg"] = torch.zeros(7)
    assert load_optimizer(job(options()), state, options()) == [name]


BASE = {"epochs": 2, "schedule": "constant", "batch_size": 24}


def go_on(pictures: nunbit.Pictures, folder: Path, **how: Any) -> nunbit.History:
    model = nunbit.create_model_for(pictures, network="mlp")
    return nunbit.fit(
        model, pictures, resume=folder, override=True, progress=False,
        options=nunbit.TrainOptions(**{**BASE, "epochs": 4, **how}),
    )  # fmt: skip


def test_a_rate_that_crosses_the_heads_goes_on_learning(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = {"lr": 0.002, "head_lr": 0.001}
    first = run(tiny, **{**BASE, **how})
    capsys.readouterr()
    history = go_on(tiny, tmp_path / "run", **{**how, "lr": 0.0005})
    assert max(history["loss"][2:]) < 1.2 * first["loss"][-1]
    assert "begin anew" not in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new"), [("sgd", "adamw"), ("adamw", "sgd")])
def test_another_optimizer_for_what_muon_leaves_begins_anew_and_it_is_said(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    old: str, new: str,
) -> None:  # fmt: skip
    how = {"optimizer": "muon", "lr": 0.02}
    run(tiny, **{**BASE, **how, "rest_optimizer": old})
    capsys.readouterr()
    history = go_on(tiny, tmp_path / "run", **how, rest_optimizer=new)
    assert all(loss < 5 for loss in history["loss"])
    said = capsys.readouterr().err
    assert "nunbit: note: the optimizer's averages of " in said
    assert "begin anew: another optimizer changes them now." in said
