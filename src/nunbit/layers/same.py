"""Padding "same" as Keras and TensorFlow count it.

The output has ceil(n / stride) places. What must be added is shared by both sides,
and an odd one goes right and bottom. PyTorch's usual ``padding=(k - 1) // 2`` adds
as much on both sides: with stride 2 and an even size its windows lie one pixel
further left, so weights trained with one padding are a little wrong with the other.

    n = 6, kernel 3, stride 2      TensorFlow          PyTorch, padding 1
    added before and after         0 and 1             1 and 1
    windows start at               0, 2, 4             -1, 1, 3

PyTorch's own ``padding="same"`` is the same thing for stride 1, and refuses others.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from nunbit.layers._checks import Size, pair, refuse, want_sizes

__all__ = ["SameAvgPool2d", "SameConv2d", "SameMaxPool2d", "same_padding"]


def same_padding(size: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Return how many places are added before and after one axis.

    Args:
        size: Of the input along the axis, at least 1.
        kernel: Taps of the window along the axis, at least 1.
        stride: Places from one window to the next, at least 1.
        dilation: Places from one tap to the next, at least 1.
    Raises:
        OptionError: A number below 1.
    Source: TensorFlow, "Notes on padding"; Keras 3.

    Example:
        >>> same_padding(224, 7, stride=2)
        (2, 3)
    """
    given = {"size": size, "kernel": kernel, "stride": stride, "dilation": dilation}
    refuse(
        "same_padding",
        [
            f"{name} is {value!r}, expected a whole number of at least 1"
            for name, value in given.items()
            if type(value) is not int or value < 1
        ],
    )
    return _added(size, kernel, stride, dilation)


def _added(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = dilation * (kernel - 1) + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Conv2d):
    """A convolution with Keras' padding "same".

    Shape:
        input: (B, in_channels, H, W).
        output: (B, out_channels, ceil(H / stride), ceil(W / stride)).
    Args:
        kernel_size: Taps, at least 1; one number or (rows, columns), like the next two.
        stride: At least 1.
        dilation: At least 1.
        groups: Divides both numbers of channels.
        bias: Whether each map has one.
    Raises:
        OptionError: A size below 1.
    Source: TensorFlow, "Notes on padding".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        stride: Size = 1,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        sizes = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation}
        refuse("SameConv2d", want_sizes(**sizes))
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            dilation=dilation,
            groups=groups,
            bias=bias,
        )

    @property
    def kind(self) -> str:
        """As the layer table calls it."""
        step = "" if set(self.stride) == {1} else f", stride {_written(self.stride)}"
        return f"conv {'×'.join(map(str, self.kernel_size))}{step}, padding same"

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, padding=same"  # type: ignore[no-untyped-call]  # torch

    def forward(self, images: Tensor) -> Tensor:
        top, bottom, left, right = _both(images, self.kernel_size, self.stride, self.dilation)
        even = (top, left)
        if (top, left) != (bottom, right):
            images = functional.pad(images, (left, right, top, bottom))
            even = (0, 0)
        return functional.conv2d(
            images, self.weight, self.bias, self.stride, even, self.dilation, self.groups
        )


class SameMaxPool2d(nn.Module):
    """Maximum over windows, with Keras' padding "same": what is added never wins.

    Shape:
        input: (B, C, H, W).
        output: (B, C, ceil(H / stride), ceil(W / stride)).
    Args:
        kernel_size: Side of the window; one number or (rows, columns), like the next.
        stride: At least 1; default: the window's side.
    Raises:
        OptionError: A size below 1.
    Source: Keras 3, ``MaxPooling2D``.
    """

    what = "max-pool"

    def __init__(self, kernel_size: Size, stride: Size | None = None) -> None:
        super().__init__()
        stride = kernel_size if stride is None else stride
        refuse(type(self).__name__, want_sizes(kernel_size=kernel_size, stride=stride))
        self.kernel_size, self.stride = pair(kernel_size), pair(stride)

    @property
    def kind(self) -> str:
        """As the layer table calls it."""
        step = "" if self.stride == self.kernel_size else f", stride {_written(self.stride)}"
        return f"{self.what} {_written(self.kernel_size)}{step}, padding same"

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}"

    def forward(self, images: Tensor) -> Tensor:
        padding, skip = self._native(images)
        made = functional.max_pool2d(images, self.kernel_size, self.stride, padding, ceil_mode=True)
        return made[..., skip[0] :, skip[1] :]

    def _native(self, images: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return PyTorch's padding that gives these windows, and how many first ones to leave out.

        With a stride, a window may reach one place over the end (``ceil_mode``). Without
        one, PyTorch pads one place more on both sides, and the first window is left out.
        """
        top, bottom, left, right = _both(images, self.kernel_size, self.stride, (1, 1))
        rows = (bottom, bottom - top) if self.stride[0] == 1 else (top, 0)
        columns = (right, right - left) if self.stride[1] == 1 else (left, 0)
        return (rows[0], columns[0]), (rows[1], columns[1])


class SameAvgPool2d(SameMaxPool2d):
    """Mean over windows, with Keras' padding "same": what is added does not count.

    Shape:
        input: (B, C, H, W).
        output: (B, C, ceil(H / stride), ceil(W / stride)).
    Args:
        kernel_size: Side of the window; one number or (rows, columns), like the next.
        stride: At least 1; default: the window's side.
    Raises:
        OptionError: A size below 1.
    Source: Keras 3, ``AveragePooling2D``.
    """

    what = "average-pool"

    def forward(self, images: Tensor) -> Tensor:
        padding, skip = self._native(images)
        made = functional.avg_pool2d(
            images,
            self.kernel_size,
            self.stride,
            padding,
            ceil_mode=True,
            count_include_pad=False,
        )
        return made[..., skip[0] :, skip[1] :]


def _both(
    images: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return what is added at the top, the bottom, the left and the right."""
    rows = _added(images.shape[-2], kernel[0], stride[0], dilation[0])
    columns = _added(images.shape[-1], kernel[1], stride[1], dilation[1])
    return (*rows, *columns)


def _written(size: tuple[int, ...]) -> str:
    return str(size[0]) if len(set(size)) == 1 else "×".join(map(str, size))
