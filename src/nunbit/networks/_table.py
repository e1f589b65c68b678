"""The layer table: output shape, parameters and multiply-adds of each layer.

Counting conventions (those of ``nunbit networks`` and of the tests):

* parameters: weights and biases, with BatchNorm's gamma and beta; running
  statistics are not counted;
* multiply-adds: one multiplication with its addition is 1; convolutions and dense
  layers only; batch 1.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Layer", "count_parameters", "layer_table"]


@dataclass(frozen=True)
class Layer:
    """One row of the table."""

    name: str
    """Path within the network, such as ``features.0``."""
    kind: str
    """As people say it: ``conv 3×3``, ``dense``, ``max-pool 2``."""
    output: tuple[int, ...]
    """(C, H, W) or (C,)."""
    parameters: int
    multiply_adds: int


def count_parameters(network: nn.Module) -> int:
    """Return the number of weights and biases that training changes or could change."""
    return sum(parameter.numel() for parameter in network.parameters())


def layer_table(network: nn.Module, *, channels: int, image_size: int) -> list[Layer]:
    """List the layers in the order in which a picture passes them.

    Nothing is computed: the network's copy runs on the meta device.
    """
    ghost = copy.deepcopy(network).to("meta").eval()
    rows: list[Layer] = []
    handles = []

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            parameters = count_parameters(module)
            rows.append(
                Layer(
                    name=name,
                    kind=_kind(module),
                    output=tuple(output.shape[1:]),
                    parameters=parameters,
                    multiply_adds=_multiply_adds(module, output),
                )
            )

        return hook

    for name, module in ghost.named_modules():
        if not any(module.children()) and not isinstance(module, nn.Identity):
            handles.append(module.register_forward_hook(watch(name)))
    with torch.no_grad():
        ghost(torch.empty(1, channels, image_size, image_size, device="meta"))
    for handle in handles:
        handle.remove()
    return rows


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    if isinstance(module, nn.Conv2d):
        rows, columns = module.kernel_size
        per_cell = rows * columns * module.in_channels // module.groups
        return per_cell * output[0].numel()
    if isinstance(module, nn.Linear):
        return module.in_features * output[0].numel()
    return 0


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        text = f"conv {_by(module.kernel_size)}"
        text += f", stride {_one(module.stride)}" if _one(module.stride) != "1" else ""
        padding = module.padding
        padded = padding if isinstance(padding, str) else _one(padding)
        return text + (f", padding {padded}" if padded not in ("0", "valid") else "")
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        what = "max-pool" if isinstance(module, nn.MaxPool2d) else "average-pool"
        size, step = _one(module.kernel_size), _one(module.stride)
        return f"{what} {size}" + (f", stride {step}" if step != size else "")
    if isinstance(module, nn.Dropout):
        return f"dropout {module.p:g}"
    names = {
        nn.Linear: "dense",
        nn.ReLU: "ReLU",
        nn.Flatten: "flatten",
        nn.BatchNorm2d: "batch norm",
        nn.AdaptiveAvgPool2d: "global average-pool",
    }
    return names.get(type(module), type(module).__name__)


def _by(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))


def _one(value: int | tuple[int, ...]) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else _by(value)
    return str(value)
