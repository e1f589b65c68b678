"""What LeNet-5 of 1998 is made of and later networks dropped.

Source: LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to
document recognition", section II.B and appendix A.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nunbit.errors import ShapeError
from nunbit.layers._checks import Size, pair, refuse, want_number, want_sizes

__all__ = ["ScaledTanh", "Subsampling", "TableConv2d"]


class ScaledTanh(nn.Module):
    """The squashing function A tanh(S a).

    With the paper's constants f(1) = 1 and f(-1) = -1: targets of ±1 are reached where
    the curve is still steep.

    Shape:
        input: any, floating point.
        output: the same, within ±amplitude.
    Args:
        amplitude: A, above 0.
        slope: S, above 0.
    Raises:
        OptionError: A constant is not above 0.
    Source: LeCun et al. 1998, appendix A.

    Example:
        >>> ScaledTanh()(torch.tensor([-1.0, 0.0, 1.0, 100.0]))
        tensor([-1.0000,  0.0000,  1.0000,  1.7159])
    """

    def __init__(self, amplitude: float = 1.7159, slope: float = 2 / 3) -> None:
        super().__init__()
        wrong = []
        for name, value in (("amplitude", amplitude), ("slope", slope)):
            wrong += want_number(name, value, low=0) or (
                [] if value > 0 else [f"{name} is 0, expected more than 0"]
            )
        refuse("ScaledTanh", wrong)
        self.amplitude, self.slope = amplitude, slope

    @property
    def kind(self) -> str:
        """As the layer table calls it."""
        return "scaled tanh"

    def extra_repr(self) -> str:
        return f"amplitude={self.amplitude:g}, slope={self.slope:g}"

    def forward(self, values: Tensor) -> Tensor:
        return self.amplitude * torch.tanh(self.slope * values)


class Subsampling(nn.Module):
    """The sum of each window, times a learnt coefficient, plus a learnt bias, per map.

    It is pooling with two weights per map. A small coefficient makes the squashing
    function after it nearly linear, so that the layer blurs; a large one makes it a
    noisy OR or AND of the window.

    Shape:
        input: (B, channels, H, W).
        output: (B, channels, H // size, W // size).
    Args:
        channels: Maps, at least 1.
        size: Side of the window and step, at least 1.
    Raises:
        OptionError: A number below 1.
    Source: LeCun et al. 1998, section II.B, layers S2 and S4.
    Departs: fresh, it averages (coefficient 1 / size², bias 0).
    """

    def __init__(self, channels: int, size: int = 2) -> None:
        super().__init__()
        refuse(
            "Subsampling",
            [
                f"{name} is {value!r}, expected a whole number of at least 1"
                for name, value in (("channels", channels), ("size", size))
                if type(value) is not int or value < 1
            ],
        )
        self.size = size
        self.weight = nn.Parameter(torch.full((channels,), 1 / size**2))
        self.bias = nn.Parameter(torch.zeros(channels))

    @property
    def kind(self) -> str:
        """As the layer table calls it."""
        return f"sub-sample {self.size}"

    def extra_repr(self) -> str:
        return f"channels={len(self.weight)}, size={self.size}"

    def forward(self, images: Tensor) -> Tensor:
        total = functional.avg_pool2d(images, self.size, divisor_override=1)
        return total * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class TableConv2d(nn.Module):
    """A convolution in which each output map sees only the input maps that a table names.

    It holds the weights that exist and no others: one kernel per connected pair of
    maps, ordered as the table is read.

    Shape:
        input: (B, in_channels, H, W).
        output: (B, len(table), H - rows + 1, W - columns + 1).
    Args:
        table: For each output map the input maps it sees, numbered from 0, each once.
        kernel_size: Side of the kernels, or (rows, columns), at least 1.
        in_channels: Input maps; default: as many as the table names.
        bias: Whether each output map has one.
    Raises:
        OptionError: An output map sees nothing, twice the same, or a map that is not there.
        ShapeError: The input has another number of maps.
    Source: LeCun et al. 1998, section II.B, table I: "it breaks the symmetry", so that
        maps come to see different things, and it needs fewer weights.
    Departs: fresh weights are uniform in ±1 / sqrt(fan-in), as PyTorch's convolutions have.
    """

    places: Tensor

    def __init__(
        self,
        table: Sequence[Sequence[int]],
        kernel_size: Size,
        *,
        in_channels: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        rows = [tuple(row) for row in table]
        if in_channels is None:
            in_channels = max((one for row in rows for one in row), default=-1) + 1
        refuse("TableConv2d", want_sizes(kernel_size=kernel_size) + _wrong_rows(rows, in_channels))
        self.table, self.in_channels, self.out_channels = rows, in_channels, len(rows)
        self.kernel_size = pair(kernel_size)
        places = [here * in_channels + one for here, row in enumerate(rows) for one in row]
        # Where each kernel stands in the dense weight; known from the table, so not saved.
        self.register_buffer("places", torch.tensor(places), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(places), *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(len(rows))) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights."""
        taps = math.prod(self.kernel_size)
        fans = [taps * len(row) for row in self.table]
        with torch.no_grad():
            limits = torch.tensor(
                [fan**-0.5 for fan, row in zip(fans, self.table, strict=True) for _ in row]
            )
            self.weight.uniform_(-1, 1).mul_(limits.to(self.weight).view(-1, 1, 1))
            if self.bias is not None:
                limits = torch.tensor([fan**-0.5 for fan in fans])
                self.bias.uniform_(-1, 1).mul_(limits.to(self.bias))

    @property
    def kind(self) -> str:
        """As the layer table calls it."""
        return f"conv {'×'.join(map(str, self.kernel_size))} by table"

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"connections={len(self.weight)}"
        )

    def multiply_adds(self, output: Tensor) -> int:
        """Return those of one picture: only the weights that exist are used."""
        return self.weight.numel() * output.shape[-2] * output.shape[-1]

    def dense_weight(self) -> Tensor:
        """Return (out_channels, in_channels, rows, columns), 0 where there is no connection."""
        dense = self.weight.new_zeros(self.out_channels * self.in_channels, *self.kernel_size)
        dense = dense.index_copy(0, self.places, self.weight)
        return dense.view(self.out_channels, self.in_channels, *self.kernel_size)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-3] != self.in_channels:
            raise ShapeError(
                f"TableConv2d has a table of {self.in_channels} input maps, got "
                f"{images.shape[-3]} maps in {tuple(images.shape)}. Pass `in_channels=`, or a "
                "table that names them."
            )
        return functional.conv2d(images, self.dense_weight(), self.bias)


def _wrong_rows(rows: list[tuple[int, ...]], in_channels: int) -> list[str]:
    wrong = [] if rows else ["the table is empty, expected one row per output map"]
    for here, row in enumerate(rows):
        good = len(set(row)) == len(row) > 0 and all(
            type(one) is int and 0 <= one < in_channels for one in row
        )
        if not good:
            wrong.append(
                f"output map {here} sees {row!r}, expected one or more different input maps "
                f"from 0 to {in_channels - 1}"
            )
    return wrong
