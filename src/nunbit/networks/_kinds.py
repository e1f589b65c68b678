"""What people call a layer: ``conv 3×3, stride 2``, ``max-pool 2``, ``batch norm``."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["TRANSPOSED", "kind_of"]

NAMES: dict[type[nn.Module], str] = {
    nn.Linear: "dense",
    nn.ReLU: "ReLU",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.Flatten: "flatten",
    nn.BatchNorm1d: "batch norm",
    nn.BatchNorm2d: "batch norm",
    nn.BatchNorm3d: "batch norm",
    nn.LayerNorm: "layer norm",
    nn.Embedding: "embedding",
}
DROPOUTS: dict[type[nn.Module], str] = {
    nn.Dropout: "dropout",
    nn.Dropout1d: "spatial dropout",
    nn.Dropout2d: "spatial dropout",
    nn.Dropout3d: "spatial dropout",
    nn.AlphaDropout: "alpha dropout",
}
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVERAGE_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
ADAPTIVE_AVERAGE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
ADAPTIVE_MAX = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)


def kind_of(module: nn.Module) -> str:
    """Return the words for a layer; one that has a property ``kind`` says its own.

    Example:
        >>> kind_of(nn.Conv2d(8, 8, 3, stride=2, groups=2))
        'conv 3×3, stride 2, 2 groups'
    """
    own = getattr(module, "kind", None)
    if isinstance(own, str):
        return own
    if isinstance(module, (*CONVOLUTIONS, *TRANSPOSED)):
        return _convolution(module)
    if isinstance(module, (*MAX_POOLS, *AVERAGE_POOLS)):
        return _pooling(module)
    if isinstance(module, (*ADAPTIVE_AVERAGE, *ADAPTIVE_MAX)):
        what = "average-pool" if isinstance(module, ADAPTIVE_AVERAGE) else "max-pool"
        sides = module.output_size
        several = sides if isinstance(sides, tuple) else (sides,)
        return f"global {what}" if set(several) == {1} else f"{what} to {_side(several)}"
    for kind, word in DROPOUTS.items():
        if type(module) is kind:
            return f"{word} {module.p:g}"
    if isinstance(module, nn.LocalResponseNorm):
        return f"LRN {module.size}"
    if isinstance(module, (nn.Softmax, nn.LogSoftmax)):
        return "softmax" if isinstance(module, nn.Softmax) else "log-softmax"
    return NAMES.get(type(module), type(module).__name__)


def _convolution(module: Any) -> str:
    rank = len(module.kernel_size)
    text = f"conv {_by(module.kernel_size)}" if rank > 1 else f"conv1d {module.kernel_size[0]}"
    text = f"transposed {text}" if isinstance(module, TRANSPOSED) else text
    text += f", stride {_one(module.stride)}" if set(module.stride) != {1} else ""
    padding = module.padding
    padded = padding if isinstance(padding, str) else _one(padding)
    text += f", padding {padded}" if padded not in ("0", "valid") else ""
    text += f", dilation {_one(module.dilation)}" if set(module.dilation) != {1} else ""
    if module.groups == 1:
        return text
    is_depthwise = module.groups == module.in_channels
    return text + (", depthwise" if is_depthwise else f", {module.groups} groups")


def _pooling(module: Any) -> str:
    what = "max-pool" if isinstance(module, MAX_POOLS) else "average-pool"
    size, step = _one(module.kernel_size), _one(module.stride)
    text = f"{what} {size}" + (f", stride {step}" if step != size else "")
    padded = _one(module.padding)
    text += f", padding {padded}" if padded != "0" else ""
    return text + (", rounded up" if module.ceil_mode else "")


def _by(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))


def _side(sides: tuple[int | None, ...]) -> str:
    named = ["same" if each is None else str(each) for each in sides]
    return "×".join(named * (2 if len(named) == 1 else 1))


def _one(value: int | tuple[int, ...]) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else _by(value)
    return str(value)
