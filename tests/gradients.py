"""Gradients of a layer against differences, for its input and for every weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

__all__ = ["check_gradients"]


def check_gradients(
    layer: nn.Module, shape: tuple[int, ...], *, call: Callable[..., Tensor] | None = None
) -> None:
    """Check them in float64, in training and outside; dropout has to be off.

    Args:
        shape: Of the input.
        call: Another way to use the layer than to call it.
    """
    draw = torch.Generator().manual_seed(0)
    use = _Use(layer.double(), call)

    def fresh(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_()

    weights = dict(use.named_parameters())

    def outputs(images: Tensor, *values: Tensor) -> Tensor:
        made = dict(zip(weights, values, strict=True))
        return torch.func.functional_call(use, made, (images,))

    inputs = (fresh(shape), *(fresh(tuple(each.shape)) for each in weights.values()))
    for training in (False, True):
        use.train(training)
        assert gradcheck(outputs, inputs, fast_mode=True)


class _Use(nn.Module):
    def __init__(self, layer: nn.Module, call: Callable[..., Tensor] | None) -> None:
        super().__init__()
        self.layer = layer
        self.call = call or layer

    def forward(self, images: Tensor) -> Tensor:
        return self.call(images)
