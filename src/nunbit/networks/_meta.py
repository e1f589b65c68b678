"""Networks without values: made on the meta device, copied with empty weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["WithoutValues", "ghost_of", "try_size"]

SETTERS = frozenset(
    {
        *("normal", "uniform", "trunc_normal", "constant", "zero", "zeros", "ones", "fill"),
        *("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal"),
        *("copy", "mul", "add", "div", "sub", "clamp", "erfinv", "dirac"),
    }
)
"""Operations that set a tensor's values in place, without the underscore at the end."""


class WithoutValues(TorchFunctionMode):
    """Tensors on the meta device have no values to set: initialising them does nothing.

    The device would find that out too, but slowly: its kernels are Python and load half
    of PyTorch's compiler.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        sets_values = name.endswith("_") and name.removesuffix("_") in SETTERS
        named = kwargs or {}
        set_one = args[0] if args else named.get("tensor")  # torch.nn.init passes it by name
        if sets_values and isinstance(set_one, Tensor) and set_one.is_meta:
            return set_one
        return func(*args, **named)


def ghost_of(network: nn.Module, device: str) -> nn.Module:
    """Copy a network without its values; shared weights stay shared.

    Weights are float32 whatever they were, and only reserved: memory that is never
    written is never taken. Whole numbers may be places and are 0.
    """
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        empty = _without_values(parameter, device)
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = _without_values(buffer, device)
    return copy.deepcopy(network, memo)


def _without_values(tensor: Tensor, device: str) -> Tensor:
    if tensor.is_floating_point():
        return torch.empty(tensor.shape, device=device)
    return torch.zeros(tensor.shape, device=device, dtype=tensor.dtype)


def try_size(network: nn.Module, *, channels: int, image_size: int) -> None:
    """Pass two pictures of a size through a network as in training, without values.

    Raises:
        RuntimeError: A layer does not take them, as a dense one of another width.
        ShapeError: The network itself says so.
    """
    images = torch.empty(2, channels, image_size, image_size, device="meta")
    with torch.no_grad():
        ghost_of(network, "meta").train()(images)
