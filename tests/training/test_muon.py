"""Muon against the polar factor of the SVD, PyTorch's own Muon, and a step by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nunbit.training.muon import POLYNOMIAL, Muon, newton_schulz


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), seed=st.integers(0, 99))
def test_singular_values_go_through_the_polynomial_and_directions_stay(
    rows: int, columns: int, seed: int
) -> None:
    """U S Vᵀ becomes U p(p(p(p(p(S / |S|))))) Vᵀ: computed here with the SVD in float64."""
    matrix = random(rows, columns, seed=seed)
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    a, b, c = POLYNOMIAL
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    assert torch.allclose(newton_schulz(matrix).double(), (u * s) @ vt, atol=2e-3)


@pytest.mark.parametrize("shape", [(64, 256), (256, 64), (32, 288), (10, 64), (1, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_near_the_polar_factor(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrix = random(*shape)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    found = newton_schulz(matrix.to(dtype)).float()
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.65
    assert values.max() < 1.25
    polar = u @ vt
    cosine = float((found * polar).sum() / (found.norm() * polar.norm()))
    assert cosine > 0.98


def test_scale_and_turning_make_no_difference() -> None:
    matrix = random(20, 50)
    plain = newton_schulz(matrix)
    assert torch.allclose(newton_schulz(1e-3 * matrix), plain, atol=1e-4)
    assert torch.allclose(newton_schulz(matrix.T).T, plain, atol=1e-5)
    turn, _ = torch.linalg.qr(random(20, 20, seed=1))
    assert torch.allclose(newton_schulz(turn @ matrix), turn @ plain, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_of_0_stays_0(dtype: torch.dtype) -> None:
    found = newton_schulz(torch.zeros(4, 6, dtype=dtype))
    assert found.dtype == dtype
    assert not found.any()


def steps(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], count: int) -> None:
    for step in range(count):
        for k, weight in enumerate(weights):
            weight.grad = random(*weight.shape, seed=100 * step + k)
        optimizer.step()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has one since 2.9")
def test_pytorchs_own_makes_the_same_steps_of_matrices() -> None:
    """It computes in bfloat16, whose numbers have 8 bits."""
    mine = [nn.Parameter(random(*shape, seed=7)) for shape in ((30, 20), (16, 48), (64, 8))]
    its = copy.deepcopy(mine)
    start = [each.detach().clone() for each in mine]
    how = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}
    steps(Muon(mine, dtype=torch.bfloat16, **how), mine, 4)  # type: ignore[arg-type]
    steps(torch.optim.Muon(its, **how), its, 4)  # type: ignore[arg-type]
    for one, other, before in zip(mine, its, start, strict=True):
        moved, difference = (one - before).norm(), (one - other).norm()
        assert difference < 0.02 * moved


def test_two_steps_of_a_filter_bank_by_hand() -> None:
    """(6, 2, 3, 3) is a matrix (6, 18); its second step looks ahead (Nesterov)."""
    weight = nn.Parameter(random(6, 2, 3, 3))
    wanted, mean = weight.detach().clone().view(6, 18), torch.zeros(6, 18)
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5)
    for seed in (1, 2):
        grad = random(6, 18, seed=seed)
        weight.grad = grad.view(6, 2, 3, 3).clone()
        optimizer.step()
        mean = 0.9 * mean + 0.1 * grad
        step = newton_schulz(0.1 * grad + 0.9 * mean)
        wanted = wanted * (1 - 0.1 * 0.5) - 0.1 * step
    assert torch.allclose(weight.view(6, 18), wanted, atol=1e-5)
    assert torch.allclose(optimizer.state[weight]["momentum_buffer"].view(6, 18), mean, atol=1e-6)


def test_tall_matrices_move_further() -> None:
    weight = nn.Parameter(torch.zeros(64, 4))
    weight.grad = random(64, 4)
    Muon([weight], lr=1.0).step()
    values = torch.linalg.svdvals(weight.detach())
    assert torch.allclose(values / math.sqrt(64 / 4), torch.ones(4), atol=0.35)


def test_the_layout_in_memory_makes_no_difference() -> None:
    one = nn.Parameter(random(8, 4, 3, 3))
    other = nn.Parameter(one.detach().clone(memory_format=torch.channels_last))
    steps(Muon([one], lr=0.1), [one], 3)
    steps(Muon([other], lr=0.1), [other], 3)
    assert other.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(one, other, atol=1e-6)


def test_weights_without_gradient_are_left_alone() -> None:
    used, unused = nn.Parameter(random(3, 3)), nn.Parameter(random(3, 3))
    before = unused.detach().clone()
    optimizer = Muon([used, unused], lr=0.1, weight_decay=0.5)
    used.grad = random(3, 3, seed=1)
    assert optimizer.step(lambda: 2.5) == 2.5
    assert torch.equal(unused, before)
    assert list(optimizer.state) == [used]


def test_a_fixed_length_is_kept_before_each_step() -> None:
    """The step turns the weight; it has the length sqrt(rows) just before, whatever came."""
    weight = nn.Parameter(5 * random(8, 3, 3, 3))
    optimizer = Muon([weight], lr=0.05, momentum=0.6, fixed_length=True, steps=3)
    for seed in (1, 2, 3):
        before = weight.detach().clone()
        grad = weight.grad = random(8, 3, 3, 3, seed=seed)
        mean = optimizer.state[weight].get("momentum_buffer", torch.zeros_like(weight)).clone()
        optimizer.step()
        mean = 0.6 * mean + 0.4 * grad
        step = newton_schulz((0.4 * grad + 0.6 * mean).flatten(1), steps=3).view(8, 3, 3, 3)
        fixed = before * math.sqrt(8) / before.norm()
        assert torch.allclose(weight, fixed - 0.05 * step, atol=1e-5)
    assert float(weight.detach().norm()) == pytest.approx(math.sqrt(8), rel=0.05)
