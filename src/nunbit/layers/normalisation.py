"""Local response normalisation, as AlexNet's paper writes it.

    b_i = a_i / (k + alpha · Σ a_j²)^beta,  over the n maps j around map i

Maps at the first and the last channel have fewer neighbours; missing ones count 0.
Caffe and PyTorch divide alpha by n, and so did the program of the paper's author;
the formula in the paper does not. ``divide_alpha`` chooses.

PyTorch's own layer averages over a fifth dimension and raises to a power. Here the
neighbours are added in place, beta = 0.75 is two square roots, and the gradient is
written out; on one processor core that is four times as quick forwards and backwards.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nunbit.errors import ShapeError
from nunbit.layers._checks import refuse, want_number

__all__ = ["LocalResponseNorm"]

PAPER_BETA = 0.75


class LocalResponseNorm(nn.Module):
    """Divide each value by what its neighbours in other maps have, at the same place.

    Under mixed precision it computes in float32 and returns the dtype that came in.

    Shape:
        input: (B, C, ...), floating point, with at least one axis after the channels.
        output: the same, in the same memory format.
    Args:
        n: Width of the window in maps, at least 1. An even window reaches one map
            further to lower channels than to higher ones.
        k: Above 0: the sum starts with it, so nothing is divided by 0.
        alpha: At least 0.
        beta: At least 0.
        divide_alpha: Whether alpha is divided by ``n``, as Caffe and PyTorch do.
    Raises:
        OptionError: A number lies outside its range.
        ShapeError: The input has fewer than three axes.
    Source: Krizhevsky et al. 2012, section 3.3.
    Departs: an even ``n`` means n maps, as in PyTorch; in the paper's formula n + 1.

    Example:
        >>> values = torch.arange(1.0, 4.0).view(1, 3, 1)
        >>> LocalResponseNorm(n=3, k=1.0, alpha=1.0, beta=0.5)(values).flatten()
        tensor([0.4082, 0.5164, 0.8018])
    """

    def __init__(
        self,
        n: int = 5,
        k: float = 2.0,
        *,
        alpha: float = 1e-4,
        beta: float = PAPER_BETA,
        divide_alpha: bool = False,
    ) -> None:
        super().__init__()
        wrong = [] if type(n) is int and n >= 1 else [f"n is {n!r}, expected a whole number ≥ 1"]
        wrong += want_number("alpha", alpha, low=0) + want_number("beta", beta, low=0)
        wrong += want_number("k", k, low=0) or ([] if k > 0 else ["k is 0, expected more than 0"])
        refuse("LocalResponseNorm", wrong)
        self.n, self.k, self.alpha, self.beta = n, k, alpha, beta
        self.divide_alpha = divide_alpha

    @property
    def kind(self) -> str:
        """As the layer table calls it."""
        return f"LRN {self.n}"

    def extra_repr(self) -> str:
        return (
            f"n={self.n}, k={self.k}, alpha={self.alpha}, beta={self.beta}, "
            f"divide_alpha={self.divide_alpha}"
        )

    def forward(self, values: Tensor) -> Tensor:
        if values.dim() < 3:
            raise ShapeError(
                f"LocalResponseNorm takes (B, C, ...) with at least three axes, got "
                f"{tuple(values.shape)}. Write `values[..., None]` where places have no axis."
            )
        exact = values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
        scale = self.alpha / self.n if self.divide_alpha else self.alpha
        if torch.compiler.is_compiling():  # a compiler wants plain steps and derives them itself
            total = _totals_in_steps(exact * exact, self.n) * scale + self.k
            return (exact * _power(total, self.beta)).to(values.dtype)
        made, _ = _Normalise.apply(exact, self.n, scale, self.k, self.beta)  # type: ignore[no-untyped-call]
        return made.to(values.dtype)  # type: ignore[no-any-return]  # modules are untyped


def _totals(squares: Tensor, below: int, above: int) -> Tensor:
    """Return the sum over the window of each channel (axis 1)."""
    total = squares.clone()
    channels = squares.shape[1]
    for step in range(1, min(below, channels - 1) + 1):
        total[:, step:].add_(squares[:, :-step])
    for step in range(1, min(above, channels - 1) + 1):
        total[:, :-step].add_(squares[:, step:])
    return total


def _totals_in_steps(squares: Tensor, n: int) -> Tensor:
    """Return the same, added in the same order, without writing in place."""
    below, above = n // 2, (n - 1) // 2
    channels = squares.shape[1]
    nothing = (0, 0) * (squares.dim() - 2)
    wide = nn.functional.pad(squares, (*nothing, below, above))
    total = squares
    for step in (*range(-1, -below - 1, -1), *range(1, above + 1)):
        total = total + wide.narrow(1, below + step, channels)
    return total


def _power(total: Tensor, beta: float) -> Tensor:
    """Return total^(-beta); the paper's 0.75 without a logarithm."""
    if beta != PAPER_BETA:
        return total.pow(-beta)
    root = total.rsqrt()
    return root * root.sqrt()


class _Normalise(torch.autograd.Function):
    """The layer with its gradient written out.

    With s = k + A Σ a², b_i = a_i s_i^-beta and the gradient g of b:
    da_i = g_i s_i^-beta - 2 A beta a_i Σ_j g_j a_j s_j^-(beta + 1), over the channels j
    whose window has i: the same window turned round.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        values: Tensor, n: int, scale: float, k: float, beta: float
    ) -> tuple[Tensor, Tensor]:
        total = _totals(values * values, n // 2, (n - 1) // 2).mul_(scale).add_(k)
        return values * _power(total, beta), total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        values, ctx.n, ctx.scale, ctx.k, ctx.beta = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(values, output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        values, total = ctx.saved_tensors
        below, above = ctx.n // 2, (ctx.n - 1) // 2
        if torch.is_grad_enabled():  # a second derivative also goes through the total
            total = _totals(values * values, below, above) * ctx.scale + ctx.k
        direct = gradient * _power(total, ctx.beta)
        shared = _totals(direct * values / total, above, below)
        return direct - (2 * ctx.scale * ctx.beta) * values * shared, None, None, None, None
