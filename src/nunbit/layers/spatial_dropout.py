"""Spatial dropout: whole maps are dropped, because neighbours in a map say the same.

Dropping single values of a convolution's output takes little away: the value beside
it carries almost the same. Tompson et al. 2014 (arXiv:1411.4280) drop maps instead.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from nunbit.errors import ShapeError
from nunbit.layers._checks import refuse, want_number

__all__ = ["SpatialDropout1D", "SpatialDropout2D"]

DataFormat = Literal["channels_first", "channels_last"]
FORMATS = ("channels_first", "channels_last")


class _SpatialDropout(nn.Module):
    """Drop each channel of each sample as a whole; the others grow by 1 / (1 - rate)."""

    shapes: ClassVar[dict[str, str]]
    axes: ClassVar[int]

    def __init__(self, rate: float, *, data_format: DataFormat = "channels_first") -> None:
        super().__init__()
        wrong = want_number("rate", rate, low=0, high=1)
        if data_format not in FORMATS:
            wrong.append(f"data_format is {data_format!r}, expected {' or '.join(FORMATS)}")
        refuse(type(self).__name__, wrong)
        self.rate = rate
        self.data_format = data_format

    @property
    def kind(self) -> str:
        """As the layer table calls it."""
        return f"spatial dropout {self.rate:g}"

    def extra_repr(self) -> str:
        return f"rate={self.rate}, data_format={self.data_format!r}"

    def forward(self, values: Tensor) -> Tensor:
        if values.dim() != self.axes:
            raise ShapeError(
                f"{type(self).__name__} takes {self.shapes[self.data_format]}, got "
                f"{tuple(values.shape)}. Add the missing axes with `unsqueeze`."
            )
        if not self.training or self.rate == 0:
            return values
        inner = (1,) * (self.axes - 2)
        batch = values.shape[0]
        if self.data_format == "channels_first":
            mask = values.new_empty((batch, values.shape[1], *inner))
        else:
            mask = values.new_empty((batch, *inner, values.shape[-1]))
        mask.bernoulli_(1 - self.rate)
        return values * (mask if self.rate == 1 else mask.div_(1 - self.rate))


class SpatialDropout1D(_SpatialDropout):
    """Drop whole channels of a sequence while training.

    Shape:
        input: (B, C, T), floating point; (B, T, C) with ``channels_last``, as in Keras.
        output: the same.
    Args:
        rate: Share of channels that become 0, from 0 to 1; the others grow by 1 / (1 - rate).
        data_format: ``channels_first`` or ``channels_last``.
    Raises:
        OptionError: A rate outside its range (Keras' ValueError; its TypeError for a text
            too), or an unknown format.
        ShapeError: The input has not three axes.
    Source: Tompson et al. 2014, arXiv:1411.4280; Keras 3.
    Departs: Keras takes (B, T, C) only.
    """

    axes = 3
    shapes: ClassVar[dict[str, str]] = {"channels_first": "(B, C, T)", "channels_last": "(B, T, C)"}


class SpatialDropout2D(_SpatialDropout):
    """Drop whole maps of a picture while training.

    Shape:
        input: (B, C, H, W), floating point; (B, H, W, C) with ``channels_last``.
        output: the same.
    Args:
        rate: Share of maps that become 0, from 0 to 1; the others grow by 1 / (1 - rate).
        data_format: ``channels_first`` or ``channels_last``.
    Raises:
        OptionError: A rate outside its range (Keras' ValueError; its TypeError for a text
            too), or an unknown format.
        ShapeError: The input has not four axes. PyTorch's ``Dropout2d`` takes three and
            then drops rows of a single picture.
    Source: Tompson et al. 2014, arXiv:1411.4280; Keras 3.

    Example:
        >>> import torch
        >>> maps = SpatialDropout2D(0.75)(torch.ones(1, 400, 2, 2))
        >>> maps.mean((2, 3)).unique()
        tensor([0., 4.])
    """

    axes = 4
    shapes: ClassVar[dict[str, str]] = {
        "channels_first": "(B, C, H, W)",
        "channels_last": "(B, H, W, C)",
    }
