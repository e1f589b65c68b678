"""Optimizers: who changes which weights, which are pulled to 0, and state that comes back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import nunbit
from nunbit.errors import OptionError
from nunbit.networks import network_heads
from nunbit.training.muon import Muon
from nunbit.training.optimizers import MUON_REST, Joined, make_optimizer
from nunbit.training.options import TrainOptions


def network(name: str, *, channels: int = 1, size: int = 32, **options: Any) -> nn.Module:
    return nunbit.create_model(
        name, classes=3, image_size=size, channels=channels, network_options=options
    ).network


def learn(module: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Make steps with gradients that depend on the number of the step alone."""
    for step in steps:
        rng = torch.Generator().manual_seed(step)
        for weight in module.parameters():
            weight.grad = torch.randn(weight.shape, generator=rng)
        optimizer.step()


@pytest.mark.parametrize("name", ["mlp", "auto", "cnn-mnist", "cnn-cats-dogs", "lenet-5"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_decay_pulls_on_filters_and_matrices_only(name: str, optimizer: Any) -> None:
    module = network(name)
    options = TrainOptions(weight_decay=0.1, lr=0.01, optimizer=optimizer)
    groups = make_optimizer(module, options).param_groups
    decays = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    assert len(decays) == len(list(module.parameters()))
    for name, parameter in module.named_parameters():
        is_weight = parameter.ndim > 1
        assert decays[id(parameter)] == (0.1 if is_weight else 0.0), name
        assert is_weight == (
            not name.endswith("bias") and "norm" not in name and parameter.ndim > 1
        )


def test_decay_spares_what_belongs_to_no_layer() -> None:
    """The places that a transformer learns are (1, N, C), and no filters."""
    module = nn.Module()
    module.places = nn.Parameter(torch.zeros(1, 4, 8))
    module.head = nn.Linear(8, 3)
    options = TrainOptions(weight_decay=0.1, lr=0.01)
    groups = make_optimizer(module, options).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.1), (2, 0.0)]
    assert groups[0]["params"][0] is module.head.weight


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
    theirs = next(each for each in type(made).__mro__ if each.__module__.startswith("torch."))
    assert theirs is kind  # itself, or made lean
    assert {group["lr"] for group in made.param_groups} == {0.25}
    assert {group["lr_factor"] for group in made.param_groups} == {1.0}
    if name == "sgd":
        assert {(g["momentum"], g["nesterov"]) for g in made.param_groups} == {(0.5, True)}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "muon"])
def test_gradients_of_another_layout_in_memory_are_understood(name: Any) -> None:
    """The fused kernels on a processor would mix them up."""
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        module = network("auto", channels=3, width=4).to(memory_format=layout)  # type: ignore[call-overload]
        options = TrainOptions(optimizer=name, lr=0.1, weight_decay=0.01)
        optimizer = make_optimizer(module, options)
        learn(module, optimizer, range(3))
        found.append(module.state_dict())
    for key, value in found[0].items():
        assert torch.allclose(value, found[1][key], atol=1e-5), key


def by_muon(module: nn.Module) -> set[str]:
    """Return the names of the weights that muon changes."""
    made = make_optimizer(module, TrainOptions(optimizer="muon", lr=0.02, weight_decay=0.0))
    assert isinstance(made, Joined)
    names = {id(weight): name for name, weight in module.named_parameters()}
    muon, rest = made.parts
    assert isinstance(muon, Muon)
    assert isinstance(rest, torch.optim.AdamW)
    mine = [names[id(p)] for g in muon.param_groups for p in g["params"]]
    others = [names[id(p)] for g in rest.param_groups for p in g["params"]]
    assert sorted(mine + others) == sorted(names.values()), "each weight once"
    assert {g["lr_factor"] for g in muon.param_groups} == {1.0}
    assert {g["lr_factor"] for g in rest.param_groups} == {MUON_REST}
    return set(mine)


def rates(module: nn.Module, **options: Any) -> dict[str, float]:
    """Return the rate of each weight at the peak, by name."""
    chosen = TrainOptions(**{"weight_decay": 0.01, "lr": 0.2, **options})
    names = {id(weight): name for name, weight in module.named_parameters()}
    groups = make_optimizer(module, chosen).param_groups
    return {names[id(p)]: 0.2 * g["lr_factor"] for g in groups for p in g["params"]}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_biases_and_the_last_layer_may_have_rates_of_their_own(optimizer: Any) -> None:
    module = network("auto", width=4)
    found = rates(module, optimizer=optimizer, bias_lr=0.05, head_lr=0.5)
    assert len(found) == len(list(module.parameters()))
    for name, weight in module.named_parameters():
        wanted = 0.5 if name.startswith("head") else 0.05 if weight.ndim == 1 else 0.2
        if name == "stem.0.weight" and optimizer == "muon":
            wanted = 0.2 * MUON_REST
        assert found[name] == pytest.approx(wanted), name
    plain = rates(module, optimizer=optimizer)
    assert set(plain.values()) == ({0.2, 0.2 * MUON_REST} if optimizer == "muon" else {0.2})


def test_muon_may_leave_the_rest_to_sgd() -> None:
    module = network("auto", width=4)
    options = TrainOptions(
        optimizer="muon", lr=0.24, momentum=0.6, weight_decay=0.008, rest_optimizer="sgd",
        muon_steps=3, fixed_length=True, precision="bfloat16",
    )  # fmt: skip
    made = make_optimizer(module, options)
    assert isinstance(made, Joined)
    muon, rest = made.parts
    assert isinstance(muon, Muon)
    assert (muon.steps, muon.fixed_length, muon.dtype) == (3, True, torch.bfloat16)
    assert {group["momentum"] for group in muon.param_groups} == {0.6}
    assert isinstance(rest, torch.optim.SGD)
    assert {(g["momentum"], g["nesterov"]) for g in rest.param_groups} == {(0.85, True)}
    learn(module, made, range(2))
    assert all(bool(weight.isfinite().all()) for weight in module.parameters())


def test_muon_gets_the_filters_between_the_first_layer_and_the_last() -> None:
    blocks = {f"blocks.{k}.conv{n}.weight" for k in range(3) for n in (1, 2)}
    assert by_muon(network("auto")) == blocks | {f"blocks.{k}.shortcut.1.weight" for k in (1, 2)}
    assert by_muon(network("mlp")) == {"hidden.weight"}, "there is nothing else"


def test_both_towers_of_alexnet_look_at_the_picture() -> None:
    module = network("alexnet", channels=3, size=64, width=0.125)
    found = by_muon(module)
    assert not [name for name in found if "conv1" in name]
    assert {f"tower{k}.maps2.conv2.weight" for k in (0, 1)} <= found


def test_auxiliary_heads_are_last_layers_too() -> None:
    module = network("googlenet-bn", channels=3, width=0.125)
    found = by_muon(module)
    assert not {f"{head}.weight" for head in network_heads(module)} & found
    assert len(network_heads(module)) == 3


def test_a_table_of_kernels_is_no_matrix_of_filters() -> None:
    assert "c3.weight" not in by_muon(network("lenet-5"))


def test_muon_without_hidden_weights_is_refused() -> None:
    module = network("mlp")
    module.hidden.requires_grad_(False)  # type: ignore[union-attr]
    with pytest.raises(OptionError, match=r"only the last layer is trained.*--optimizer adamw"):
        make_optimizer(module, TrainOptions(optimizer="muon", lr=0.02, weight_decay=0.0))


def test_a_joined_optimizer_steps_as_its_parts_do() -> None:
    module = network("auto", size=8, width=4)
    other = copy.deepcopy(module)
    options = TrainOptions(optimizer="muon", lr=0.02, weight_decay=0.01, precision="float32")
    learn(module, make_optimizer(module, options), range(3))
    made = make_optimizer(other, options)
    assert isinstance(made, Joined)
    muon = Muon(made.parts[0].param_groups, lr=0.02, momentum=options.momentum)
    adamw = torch.optim.AdamW(made.parts[1].param_groups)
    for step in range(3):
        learn(other, muon, range(step, step + 1))
        adamw.step()
    for mine, its in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_state_of_muon_comes_back_and_goes_on_bit_for_bit() -> None:
    module = network("auto", size=8, width=4)
    options = TrainOptions(optimizer="muon", lr=0.02, weight_decay=0.01, precision="bfloat16")
    optimizer = make_optimizer(module, options)
    learn(module, optimizer, range(3))
    half, state = copy.deepcopy(module), copy.deepcopy(optimizer.state_dict())
    for values in state["state"].values():
        assert all(v.ndim == 0 or v.ndim >= 1 for v in values.values())
    learn(module, optimizer, range(3, 6))

    resumed = make_optimizer(half, options)
    resumed.load_state_dict(state)
    for group in resumed.param_groups:
        group["lr"] = 0.02
    for group in optimizer.param_groups:
        assert group["lr"] == 0.02
    learn(half, resumed, range(3, 6))
    for mine, its in zip(module.parameters(), half.parameters(), strict=True):
        assert torch.equal(mine, its)


class Breaks(nunbit.Callback):
    """Break off at the first step of an epoch."""

    def __init__(self, epoch: int | None = None) -> None:
        self.epoch = epoch

    def on_epoch_begin(self, moment: nunbit.Moment) -> None:
        if moment.epoch == self.epoch:
            raise RuntimeError("here")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_with_muon_and_average_is_resumed_bit_for_bit(
    digits: nunbit.Pictures, tmp_path: Path, precision: Any
) -> None:
    options = nunbit.TrainOptions(
        epochs=2, optimizer="muon", ema=0.99, batch_size=300, schedule="linear",
        precision=precision, augment="light",
    )  # fmt: skip

    def fit(callback: nunbit.Callback, **how: Any) -> nunbit.Model:
        model = nunbit.create_model_for(digits, network="auto", network_options={"width": 8})
        nunbit.fit(model, digits, options=options, callbacks=[callback], progress=False, **how)
        return model

    whole = fit(Breaks(), out=tmp_path / "whole").network.state_dict()
    with pytest.raises(RuntimeError, match="here"):
        fit(Breaks(1), out=tmp_path / "part")
    again = fit(Breaks(), resume=tmp_path / "part").network.state_dict()
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name


def test_muon_learns_the_digits_in_three_epochs(digits: nunbit.Pictures, tmp_path: Path) -> None:
    model = nunbit.create_model_for(digits, network="auto", network_options={"width": 8})
    options = nunbit.TrainOptions(
        epochs=3, optimizer="muon", lr=0.1, batch_size=64, precision="float32"
    )
    history = nunbit.fit(model, digits, options=options, out=tmp_path / "run", progress=False)
    assert history["val_accuracy"][-1] > 0.9


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_the_loop_gives_each_weight_its_own_rate(
    unvalidated: nunbit.Pictures, tmp_path: Path, optimizer: Any
) -> None:
    """A rate of nearly nothing leaves weights nearly where they were."""
    model = nunbit.create_model_for(unvalidated, network="auto", network_options={"width": 4})
    before = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    options = nunbit.TrainOptions(
        epochs=1, optimizer=optimizer, lr=0.1, bias_lr=1e-9, head_lr=0.02, batch_size=16,
    )  # fmt: skip
    nunbit.fit(model, unvalidated, options=options, out=tmp_path / "run", progress=False)
    for name, weight in model.network.named_parameters():
        moved = float((weight.detach() - before[name]).abs().max())
        stays = weight.ndim == 1 and not name.startswith("head")
        still = "norm2" in name or "conv" in name or "shortcut" in name  # behind gains of 0
        assert (moved < 1e-6) if stays else (moved > 1e-5 or still), name
