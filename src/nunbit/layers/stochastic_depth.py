"""Stochastic depth: while training, a residual block is left out for some of the pictures.

A network that cannot rely on each block is many shallower ones in one, and its first
blocks get a shorter way for their gradients. Nothing changes outside training.

Source: Huang, Sun, Liu, Sedra, Weinberger 2016, arXiv:1603.09382.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nunbit.layers._checks import refuse, want_number

__all__ = ["StochasticDepth", "depth_rates"]


class StochasticDepth(nn.Module):
    """Put 0 in place of the whole branch of a picture, with a chance; the others grow.

    It has no weights. Random numbers are PyTorch's own, on the device of the values.

    Shape:
        input: (B, ...), any float.
        output: the same.
    Args:
        rate: Chance of a picture's branch to be 0, 0 <= rate < 1.
    Raises:
        OptionError: ``rate`` lies outside its range.
    Source: arXiv:1603.09382, section 3.
    Departs: drawn for each picture; the paper leaves a block out for the whole batch, which
        makes steps of small batches rougher. Values are divided by the chance to stay while
        training, where the paper multiplies by it afterwards.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        wrong = want_number("rate", rate, low=0, high=1)
        if rate == 1:
            wrong.append("rate is 1, expected less: the branch would never be there")
        refuse(type(self).__name__, wrong)
        self.rate = rate

    @property
    def kind(self) -> str:
        """As the layer table calls it."""
        return f"stochastic depth {self.rate:g}"

    def extra_repr(self) -> str:
        return f"rate={self.rate}"

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        shape = (len(branch), *(1,) * (branch.dim() - 1))
        stays = torch.rand(shape, device=branch.device) >= self.rate
        return branch * (stays / (1 - self.rate)).to(branch.dtype)


def depth_rates(last: float, count: int) -> list[float]:
    """Return the rate of each of ``count`` blocks: a straight line from 0 to ``last``.

    The first blocks see edges that all later ones need, so they are seldom left out.

    Source: arXiv:1603.09382, equation 4: the block l of L has ``last * l / L``.

    Example:
        >>> depth_rates(0.2, 4)
        [0.05, 0.1, 0.15, 0.2]
    """
    return [round(last * (block + 1) / count, 12) for block in range(count)]
