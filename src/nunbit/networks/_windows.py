"""Shapes that operations make, worked out without running them.

PyTorch's meta device can tell them too, but its kernels are Python and load half of
PyTorch's compiler: seconds before the first layer of a table. What is known here is
answered at once; everything else, and every mistake, is left to the meta device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Window", "quick_output", "spread"]

SAME_SHAPE = frozenset(
    {
        *("relu", "tanh", "sigmoid", "gelu", "silu", "elu", "leaky_relu", "softmax"),
        *("log_softmax", "batch_norm", "local_response_norm", "sqrt", "rsqrt", "clone"),
        *("square", "exp", "neg", "abs", "index_copy"),
    }
)
DROPOUTS = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"})
BOTH = frozenset({"add", "sub", "mul", "div", "pow"})


@dataclass(frozen=True)
class Window:
    """What slides over the last dimensions of a tensor; one number for each of them.

    Args:
        padding: Cells added before and after, together.
        rounds_up: Whether a window that is not full counts too (``ceil_mode``).
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]
    rounds_up: bool = False

    @classmethod
    def of_call(cls, name: str, args: Any, named: dict[str, Any], images: Tensor) -> Window:
        """Read the window of a convolution or a pooling from the arguments of a call."""

        def argument(key: str, place: int, default: Any) -> Any:
            return named.get(key, args[place] if len(args) > place else default)

        if name.startswith("conv"):
            size = tuple(argument("weight", 1, None).shape[2:])
            at = 7 if "transpose" in name else 5
            stride, dilation = argument("stride", 3, 1), argument("dilation", at, 1)
            padding, rounds_up = argument("padding", 4, 0), False
        else:
            at = 2 if name.startswith("lp") else 1
            size = spread(argument("kernel_size", at, 1), int(name[name.index("pool") + 4]))
            stride = argument("stride", at + 1, None) or size
            is_max, is_lp = name.startswith("max"), name.startswith("lp")
            padding = 0 if is_lp else argument("padding", 3, 0)
            dilation = argument("dilation", 4, 1) if is_max else 1
            rounds_up = argument("ceil_mode", 5 if is_max else 4, False)
        rank = len(size)
        dilation = spread(dilation, rank)
        if isinstance(padding, str):
            same = tuple(d * (k - 1) for d, k in zip(dilation, size, strict=True))
            around = same if padding == "same" else (0,) * rank
        else:
            around = tuple(2 * each for each in spread(padding, rank))
        return cls(size, spread(stride, rank), dilation, around, bool(rounds_up))

    def cells(self, before: Sequence[int]) -> tuple[int, ...]:
        """Return how many places the window has along each dimension."""
        made = []
        for k, n in enumerate(before):
            step = self.stride[k]
            room = n + self.padding[k] - self.dilation[k] * (self.size[k] - 1) - 1
            count = room // step + 1
            # A window that is not full has to begin within the picture or the padding before it.
            if self.rounds_up and room % step and count * step < n + self.padding[k] // 2:
                count += 1
            made.append(count)
        return tuple(made)


def quick_output(name: str, args: Any, named: dict[str, Any]) -> Tensor | None:
    """Return an empty tensor of the right shape; None where the operation has to be asked."""
    if not args or (name != "cat" and not isinstance(args[0], Tensor)):
        return None
    if name in SAME_SHAPE and not named.get("inplace", False):
        return _empty(args[0].shape)
    if name in DROPOUTS and not named.get("training", args[2] if len(args) > 2 else True):
        taken: Tensor = args[0]
        return taken
    shape: Sequence[int] | None = None
    if name.removesuffix("_") in BOTH and len(args) == 2:
        shape = _together(args[0], args[1])
        if name.endswith("_"):  # in place: the tensor itself
            return args[0] if shape == tuple(args[0].shape) else None
    elif name == "cat":
        shape = _joined(*args, **named)
    elif name == "linear" and args[0].shape[-1] == args[1].shape[1]:
        shape = (*args[0].shape[:-1], args[1].shape[0])
    elif name in ("conv1d", "conv2d"):
        shape = _convolved(name, args, named)
    elif name in ("max_pool2d", "avg_pool2d", "max_pool1d") and not named.get("return_indices"):
        window = Window.of_call(name, args, named, args[0])
        rank = len(window.size)
        shape = (*args[0].shape[:-rank], *window.cells(args[0].shape[-rank:]))
    elif name in ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d"):
        rank = int(name[-2])
        if None not in _listed(args[1]) and not named.get("return_indices"):
            shape = (*args[0].shape[:-rank], *spread(args[1], rank))
    elif name == "pad" and len(args) > 1:
        shape = _padded(args[0].shape, args[1])
    return None if shape is None or min(shape) < 1 else _empty(shape)


def spread(value: Any, count: int) -> tuple[int, ...]:
    """Return one number for each of ``count`` dimensions."""
    given = tuple(int(each) for each in _listed(value))
    return given * count if len(given) == 1 else given


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _empty(shape: Sequence[int]) -> Tensor:
    return torch.empty(tuple(shape), device="meta")


def _padded(shape: Sequence[int], around: Sequence[int]) -> tuple[int, ...]:
    """Add what is given in pairs, of the last dimension first."""
    sides = list(shape)
    for k, count in enumerate(around):
        sides[-1 - k // 2] += count
    return tuple(sides)


def _together(one: Tensor, other: Any) -> tuple[int, ...] | None:
    if not isinstance(other, Tensor):
        return tuple(one.shape)
    rank = max(one.ndim, other.ndim)
    pairs = zip(*((*(1,) * (rank - x.ndim), *x.shape) for x in (one, other)), strict=True)
    sides = [max(pair) if 1 in pair or pair[0] == pair[1] else 0 for pair in pairs]
    return None if 0 in sides else tuple(sides)


def _joined(parts: Sequence[Tensor], dim: int = 0) -> tuple[int, ...] | None:
    first = list(parts[0].shape)
    dim %= len(first)
    for each in parts[1:]:
        rest = list(each.shape)
        if len(rest) != len(first) or rest[:dim] + rest[dim + 1 :] != (
            first[:dim] + first[dim + 1 :]
        ):
            return None
    first[dim] = sum(each.shape[dim] for each in parts)
    return tuple(first)


def _convolved(name: str, args: Any, named: dict[str, Any]) -> tuple[int, ...] | None:
    images, weight = args[0], args[1]
    groups = named.get("groups", args[6] if len(args) > 6 else 1)
    if images.ndim != weight.ndim or images.shape[1] != weight.shape[1] * groups:
        return None
    window = Window.of_call(name, args, named, images)
    return (images.shape[0], weight.shape[0], *window.cells(images.shape[2:]))
