"""Networks with stochastic depth: the same weights, a line of rates, nothing in prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nunbit
from nunbit.errors import OptionError
from nunbit.layers import StochasticDepth
from nunbit.networks import create_network, find_network, network_names

FAMILIES: dict[str, dict[str, Any]] = {
    "auto": {"width": 4},
    "resnet-18": {"width": 4},
    "resnet-50": {"width": 4},
    "resnet-20": {"width": 4},
}
BLOCKS = {"auto": 3, "resnet-18": 8, "resnet-50": 16, "resnet-20": 9}
"""At 32 pixels."""


def make(name: str, **options: Any) -> nn.Module:
    chosen = {**FAMILIES.get(name, {}), **options}
    return create_network(name, outputs=3, channels=3, image_size=32, options=chosen)


def pictures(count: int) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def drops(network: nn.Module) -> list[float]:
    return [each.rate for each in network.modules() if isinstance(each, StochasticDepth)]


def grown(network: nn.Module) -> nn.Module:
    """Let the blocks say something: the gains of their last norms start at 0."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return network


@pytest.mark.parametrize("name", FAMILIES)
def test_rates_rise_over_all_blocks_to_the_one_asked_for(name: str) -> None:
    count = BLOCKS[name]
    wanted = [0.6 * (k + 1) / count for k in range(count)]
    assert drops(make(name, drop_path=0.6)) == pytest.approx(wanted)
    assert drops(make(name)) == [], "no layer more where none is asked for"


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_are_the_same_and_so_is_prediction(name: str) -> None:
    plain, deep = make(name).state_dict(), make(name, drop_path=0.5).state_dict()
    assert list(plain) == list(deep)
    assert all(torch.equal(plain[key], deep[key]) for key in plain)
    one, other = grown(make(name)).eval(), grown(make(name, drop_path=0.5)).eval()
    with torch.no_grad():
        assert torch.equal(one(pictures(2)), other(pictures(2)))


@pytest.mark.parametrize("name", FAMILIES)
def test_training_leaves_blocks_out_as_the_seed_says(name: str) -> None:
    network, found = grown(make(name, drop_path=0.5)).train(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(network(pictures(4)))
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


@pytest.mark.parametrize("name", ["resnet-18", "resnet-20"])
def test_a_block_that_is_left_out_is_its_shortcut(name: str) -> None:
    network = grown(make(name, drop_path=0.9)).train()
    block = network.get_submodule("conv2_x.1" if name == "resnet-18" else "stage1.1")
    block.drop = StochasticDepth(0.999999)
    x = torch.rand(3, 4, 8, 8)
    torch.manual_seed(0)
    with torch.no_grad():
        assert torch.equal(block(x), x)


def test_plain_networks_have_no_such_option() -> None:
    """There is no way by a block that is left out."""
    plain = [name for name in network_names() if name.startswith("plain-")]
    assert plain
    assert not [name for name in plain if "drop_path" in find_network(name).options]
    for name in ("resnet-18", "resnet-20"):
        with pytest.raises(OptionError, match=r"drop_path = 0.2 needs shortcuts.*`drop_path=0`"):
            make(name, shortcut="none", drop_path=0.2)
    with pytest.raises(OptionError, match=r"`drop_path` is 0.95, expected 0 <= value <= 0.9"):
        make("auto", drop_path=0.95)


def test_a_run_that_was_broken_off_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    """What is left out is derived from seed and step."""
    digits = nunbit.load("digits")
    options = nunbit.TrainOptions(epochs=2, batch_size=400, augment="none")

    class Halt(nunbit.Callback):
        at: int | None = None

        def on_epoch_begin(self, moment: nunbit.Moment) -> None:
            if moment.epoch == self.at:
                raise RuntimeError("here")

    def fit(at: int | None, **how: Any) -> dict[str, Tensor]:
        model = nunbit.create_model_for(digits, network_options={"width": 4, "drop_path": 0.5})
        halt = Halt()
        halt.at = at
        nunbit.fit(model, digits, options=options, callbacks=[halt], progress=False, **how)
        return model.network.state_dict()

    whole = fit(None, out=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="here"):
        fit(1, out=tmp_path / "part")
    again = fit(None, resume=tmp_path / "part")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
