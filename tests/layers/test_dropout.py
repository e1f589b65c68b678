"""Dropout drawn eight values at a time does what PyTorch's does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nunbit.layers import Dropout


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1 / 256])
def test_the_share_is_dropped_and_the_mean_stays(share: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(share)(torch.ones(2_000, 1_000))
    found = float((dropped == 0).float().mean())
    spread = (share * (1 - share) / dropped.numel()) ** 0.5
    assert abs(found - share) < 5 * spread
    kept = dropped[dropped != 0]
    assert kept.unique().tolist() == [pytest.approx(1 / (1 - share))]


def test_values_are_dropped_independently() -> None:
    torch.manual_seed(1)
    dropped = (Dropout(0.5)(torch.ones(4_000, 64)) == 0).double()
    together = torch.corrcoef(dropped.T) - torch.eye(64)
    assert float(together.abs().max()) < 5 / 4_000**0.5
    rows = torch.corrcoef(dropped[:64]) - torch.eye(64)
    assert float(rows.abs().max()) < 6 / 64**0.5


def test_the_gradient_is_that_of_what_was_kept() -> None:
    torch.manual_seed(2)
    x = torch.randn(3, 5, 7, 2, dtype=torch.float64).to(memory_format=torch.channels_last)
    x.requires_grad_()
    made = Dropout(0.5)(x)
    made.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.where(made == 0, 0.0, 2.0).double())
    assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_seed_decides_and_the_kind_of_number_stays(dtype: torch.dtype) -> None:
    layer, x = Dropout(0.5), torch.ones(33, 3, dtype=dtype)
    torch.manual_seed(3)
    first = layer(x)
    assert first.dtype == dtype
    assert not first.equal(layer(x))
    torch.manual_seed(3)
    assert first.equal(layer(x))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_shares_that_no_byte_meets_go_the_usual_way(share: float) -> None:
    x = torch.rand(100, 100)
    torch.manual_seed(4)
    ours = Dropout(share)(x)
    torch.manual_seed(4)
    assert ours.equal(nn.Dropout(share)(x))


def test_nothing_is_dropped_in_evaluation() -> None:
    x = torch.rand(10, 10)
    assert Dropout(0.5).eval()(x) is x


def test_no_values_at_all() -> None:
    assert Dropout(0.5)(torch.ones(0, 4)).shape == (0, 4)
