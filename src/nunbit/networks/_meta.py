"""Networks on the meta device: shapes without values, made without taking memory."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["WithoutValues", "ghost_of"]

SETTERS = frozenset(
    {
        *("normal", "uniform", "trunc_normal", "constant", "zero", "zeros", "ones", "fill"),
        *("kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal"),
        *("copy", "mul", "add", "div", "sub", "clamp", "erfinv"),
    }
)
"""Operations that set a tensor's values in place, without the underscore at the end."""


class WithoutValues(TorchFunctionMode):
    """Tensors on the meta device have no values to set: initialising them does nothing.

    The device would find that out too, but slowly: see ``_windows.py``.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        sets_values = name.endswith("_") and name.removesuffix("_") in SETTERS
        named = kwargs or {}
        set_one = args[0] if args else named.get("tensor")  # torch.nn.init passes it by name
        if sets_values and isinstance(set_one, Tensor) and set_one.is_meta:
            return set_one
        return func(*args, **named)


def ghost_of(network: nn.Module) -> nn.Module:
    """Copy a network to the meta device without copying a weight; shared weights stay shared."""
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        empty = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, memo)
