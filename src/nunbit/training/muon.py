"""Muon: momentum whose step is made orthogonal, so that all directions of a filter bank learn.

The gradient of a layer's weights is nearly of low rank: a few directions get all of the
step. Muon keeps the momentum's directions and gives each about the same length, which is
what the nearest (half-)orthogonal matrix has. Five steps of a polynomial come close
enough to it, and need only matrix products.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Muon", "newton_schulz"]

POLYNOMIAL = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x³ and x⁵: steep at 0, so that small directions grow fast; after five
steps singular values lie between about 0.7 and 1.2."""

STEPS = 5

LEAST_NORM = 1e-7
"""What a matrix is divided by at least: a gradient of 0 stays 0."""


def newton_schulz(matrix: Tensor, *, steps: int = STEPS) -> Tensor:
    """Return about the nearest matrix with orthogonal rows (or columns, where these are fewer).

    With ``matrix = U S Vᵀ`` the result is about ``U Vᵀ``.

    Shape:
        matrix: (rows, columns), float32 or bfloat16, in which the products are computed.
        returns: the same.
    """
    a, b, c = POLYNOMIAL
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if is_tall else matrix  # the smaller square: fewer products
    x = x / x.float().norm().clamp(min=LEAST_NORM).to(x.dtype)  # singular values <= 1
    for _ in range(steps):
        square = x @ x.mT
        mixed = torch.addmm(square, square, square, beta=b, alpha=c)  # b S + c S S
        x = torch.addmm(x, mixed, x, beta=a)  # a X + (b S + c S S) X
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal; for weights with two dimensions or more.

    A filter bank (out, in, kh, kw) counts as a matrix (out, in * kh * kw). Steps of tall
    matrices are longer by sqrt(rows / columns), so that outputs of all layers change by
    about the same. Weight decay is decoupled, as in AdamW.

    It is computed in one number format on every device: the same products in the same
    order, so that the same seed gives the same weights on the same kind of machine.

    Args:
        params: Weights, or groups of them.
        lr: Learning rate, > 0; 0.02 suits most.
        momentum: Of Nesterov, 0..1.
        weight_decay: Share of a weight that goes per step, times ``lr``.
        steps: Of the polynomial; 3 do for small convolutional networks.
        fixed_length: Whether a weight is brought back to the length sqrt(rows) before each
            step. For layers before a norm, where length means nothing: the step then turns
            it by the same angle all the time, and weight decay has nothing left to do.
            (Jordan's CIFAR-10 runs, https://github.com/KellerJordan/cifar10-airbench.)
        dtype: Number format of the products; bfloat16 is the source's, and twice as quick
            where a processor multiplies in it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        steps: int = STEPS,
        fixed_length: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.steps = steps
        self.fixed_length = fixed_length
        self.dtype = dtype
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._change(weight, group)
        return loss

    def _change(self, weight: Tensor, group: dict[str, Any]) -> None:
        """Make one step of one weight."""
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        mean: Tensor = state["momentum_buffer"]
        mean.lerp_(weight.grad, 1 - group["momentum"])  # type: ignore[arg-type]
        ahead = weight.grad.lerp(mean, group["momentum"])  # type: ignore[union-attr]
        matrix = ahead.flatten(1).to(self.dtype)  # (out, in * kh * kw)
        rows, columns = matrix.shape
        step = newton_schulz(matrix, steps=self.steps).reshape(weight.shape).to(weight.dtype)
        if self.fixed_length:
            weight.mul_(rows**0.5 / weight.norm().clamp(min=LEAST_NORM))
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(step, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)
