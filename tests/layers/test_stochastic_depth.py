"""Stochastic depth: whole pictures at the given rate, the others grow; not in prediction."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nunbit.errors import OptionError
from nunbit.layers import StochasticDepth, depth_rates


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_a_picture_is_left_out_whole_or_grows(rate: float) -> None:
    torch.manual_seed(0)
    branch = torch.rand(4000, 2, 3, 3) + 0.5
    found = StochasticDepth(rate).train()(branch)
    gone = (found == 0).flatten(1)
    assert torch.equal(gone.all(1), gone.any(1)), "never a part of it"
    stays = ~gone.all(1)
    assert torch.allclose(found[stays], branch[stays] / (1 - rate), rtol=1e-5)
    assert float(gone.all(1).float().mean()) == pytest.approx(rate, abs=0.03)
    assert float(found.mean()) == pytest.approx(float(branch.mean()), rel=0.1)


def test_prediction_and_rate_0_change_nothing() -> None:
    branch = torch.randn(5, 2, 3, 3)
    assert StochasticDepth(0.5).eval()(branch) is branch
    assert StochasticDepth(0.0).train()(branch) is branch


def test_gradients_go_through_what_stays() -> None:
    torch.manual_seed(1)
    branch = torch.randn(8, 3, requires_grad=True)
    found = StochasticDepth(0.5).train()(branch)
    found.sum().backward()
    assert branch.grad is not None
    assert set(branch.grad.flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(branch.grad == 0, found == 0)


def test_the_seed_decides_and_memory_and_numbers_stay() -> None:
    branch = torch.randn(6, 4, 3, 3).to(memory_format=torch.channels_last).bfloat16()
    layer, found = StochasticDepth(0.3).train(), []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        found.append(layer(branch))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert found[0].dtype == torch.bfloat16
    assert found[0].is_contiguous(memory_format=torch.channels_last)


def test_it_has_no_weights_and_says_what_it_is() -> None:
    layer = StochasticDepth(0.25)
    assert layer.state_dict() == {}
    assert layer.kind == "stochastic depth 0.25"
    assert repr(layer) == "StochasticDepth(rate=0.25)"


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan"), "much"])
def test_rates_outside_the_range_are_refused(rate: float) -> None:
    with pytest.raises(OptionError, match="StochasticDepth: rate is"):
        StochasticDepth(rate)


@given(last=st.floats(0, 0.9), count=st.integers(1, 60))
def test_rates_rise_in_a_straight_line(last: float, count: int) -> None:
    rates = depth_rates(last, count)
    assert rates == pytest.approx([last * (k + 1) / count for k in range(count)], abs=1e-9)
    assert rates[-1] == pytest.approx(last, abs=1e-9)
