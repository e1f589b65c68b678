"""Local response normalisation against numbers of other programs, PyTorch and its derivative."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from nunbit.errors import OptionError, ShapeError
from nunbit.layers import LocalResponseNorm

PAPER = {"n": 5, "k": 2.0, "alpha": 0.1, "beta": 0.75}
RUN = [
    # as PyTorch computed them: alpha divided, not divided (also TensorFlow), an even window
    (PAPER | {"divide_alpha": True}, [0.538951, 0.976787, 1.284103, 1.469678, 1.866650, 2.324871]),
    (PAPER, [0.399384, 0.598140, 0.661950, 0.662240, 0.851120, 1.091622]),
    (
        PAPER | {"n": 4, "divide_alpha": True},
        [0.568173, 1.053729, 1.404823, 1.615386, 1.719626, 2.151649],
    ),
    ({}, [0.594292, 1.187871, 1.780140, 2.370419, 2.963466, 3.557354]),
]


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype) * 3


def by_hand(values: Tensor, n: int, k: float, alpha: float, beta: float) -> Tensor:
    """The formula, one channel at a time."""
    made = torch.empty_like(values)
    channels = values.shape[1]
    for here in range(channels):
        window = values[:, max(0, here - n // 2) : min(channels, here + (n - 1) // 2 + 1)]
        made[:, here] = values[:, here] / (k + alpha * window.square().sum(1)) ** beta
    return made


@pytest.mark.parametrize(("options", "expected"), RUN)
def test_the_numbers_of_other_programs(options: dict[str, Any], expected: list[float]) -> None:
    values = torch.arange(1.0, 7.0).view(1, 6, 1)
    made = LocalResponseNorm(**options)(values)
    torch.testing.assert_close(made.flatten(), torch.tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(2, 7, 5), (2, 7, 4, 3), (1, 7, 2, 3, 2), (2, 1, 3, 3)])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 20])
def test_it_is_pytorchs_with_alpha_times_n(n: int, shape: tuple[int, ...]) -> None:
    values = random(*shape)
    theirs = nn.LocalResponseNorm(n, alpha=0.02 * n, beta=0.75, k=2.0)
    expected = theirs(values)
    torch.testing.assert_close(LocalResponseNorm(n, alpha=0.02)(values), expected)
    divided = LocalResponseNorm(n, alpha=0.02 * n, divide_alpha=True)
    torch.testing.assert_close(divided(values), expected)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.75, 1.0, 1.3])
def test_it_is_the_formula_in_float64(beta: float) -> None:
    values = random(2, 9, 3, 2, dtype=torch.float64)
    made = LocalResponseNorm(4, 0.7, alpha=0.3, beta=beta)(values)
    expected = by_hand(values, 4, 0.7, 0.3, beta)
    torch.testing.assert_close(made, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("n", [1, 3, 4, 9])
@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_its_derivatives(n: int, beta: float) -> None:
    layer = LocalResponseNorm(n, 1.3, alpha=0.4, beta=beta)
    values = random(2, 6, 2, 2, dtype=torch.float64).requires_grad_()
    assert gradcheck(layer, (values,))
    assert gradgradcheck(layer, (values,))


def test_the_gradient_per_picture_under_vmap() -> None:
    layer = LocalResponseNorm(3, alpha=0.4)
    values = random(4, 5, 2, 2, dtype=torch.float64)
    made = torch.func.vmap(torch.func.grad(lambda one: layer(one[None]).sum()))(values)
    values.requires_grad_()
    layer(values).sum().backward()
    torch.testing.assert_close(made, values.grad)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_numbers_are_computed_in_float32(dtype: torch.dtype) -> None:
    values = random(2, 8, 3, 3, dtype=dtype) * 300  # squares beyond what float16 holds
    made = LocalResponseNorm(alpha=0.1)(values)
    assert made.dtype == dtype
    assert made.isfinite().all()
    assert made.equal(LocalResponseNorm(alpha=0.1)(values.float()).to(dtype))


def test_autocast_does_not_change_the_answer() -> None:
    values = random(2, 8, 3, 3).bfloat16().requires_grad_()
    expected = LocalResponseNorm(alpha=0.1)(values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = LocalResponseNorm(alpha=0.1)(values)
    assert made.equal(expected)
    made.float().sum().backward()
    assert values.grad is not None
    assert values.grad.dtype == torch.bfloat16


def test_the_memory_format_stays() -> None:
    values = random(2, 8, 4, 3)
    turned = values.contiguous(memory_format=torch.channels_last).requires_grad_()
    made = LocalResponseNorm(alpha=0.1)(turned)
    assert made.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(made, LocalResponseNorm(alpha=0.1)(values))


def test_an_exported_layer_gives_the_same_bits() -> None:
    layer, values = LocalResponseNorm(4, alpha=0.3).eval(), random(2, 7, 3, 3)
    program = torch.export.export(layer, (values,))
    assert program.module()(values).equal(layer(values))
    targets = {str(node.target) for node in program.graph.nodes}
    assert not any(target.startswith("aten.add_.") for target in targets), "no writing in place"


def test_it_has_no_state_and_says_what_it_is() -> None:
    layer = LocalResponseNorm(n=3, divide_alpha=True)
    assert not layer.state_dict()
    assert layer.kind == "LRN 3"
    assert repr(layer) == (
        "LocalResponseNorm(n=3, k=2.0, alpha=0.0001, beta=0.75, divide_alpha=True)"
    )
    assert repr(copy.deepcopy(layer)) == repr(layer)


def test_bad_options_are_named_together() -> None:
    with pytest.raises(
        OptionError,
        match=r"LocalResponseNorm: n is 0, expected a whole number ≥ 1; alpha is -1, expected a "
        r"number of at least 0; beta is nan, .*; k is 0, expected more than 0\.",
    ):
        LocalResponseNorm(0, 0, alpha=-1, beta=math.nan)


def test_too_few_axes() -> None:
    with pytest.raises(ShapeError, match=r"at least three axes, got \(2, 5\)\. Write"):
        LocalResponseNorm()(torch.zeros(2, 5))
