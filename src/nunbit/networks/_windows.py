"""What slides over a map: windows of convolutions and poolings, read from their calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["Window", "spread"]


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


def spread(value: Any, count: int) -> tuple[int, ...]:
    """Return one number for each of ``count`` dimensions."""
    given = tuple(int(each) for each in _listed(value))
    return given * count if len(given) == 1 else given


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
