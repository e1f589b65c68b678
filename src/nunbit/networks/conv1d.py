"""``conv1d``: a small convolutional network for sequences, such as time series.

What it shows: a filter may also slide along one axis, the time. It sees a few
neighbouring steps with all their values at once, and finds its pattern whenever it
comes. Pictures are read as sequences, in one of two ways:

    rows     each row is a step with channels·W values: H steps
    pixels   each pixel is a step with its channels, in reading order: H·W steps

The second is how a series of 256 samples comes out of a 16×16 picture of the set
``signals`` as it went in: 256 steps of one value.

    256×1 → conv 5×16 same, ReLU, max-pool 2 → 128×16
          → conv 5×32 same, ReLU, max-pool 2 → 64×32
          → conv 5×64 same, ReLU, max-pool 2 → 32×64
          → global max-pool 64 → dense 64, ReLU → dense K

Maps are shown as pictures of one row: (B, filters, 1, steps).

Source: the course; the convolution along time is that of Waibel et al. 1989, Phoneme
Recognition Using Time-Delay Neural Networks.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from torch import Tensor, nn

from nunbit.errors import OptionError
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["Conv1d"]

STAGES = 3
"""Convolutions, each followed by pooling that halves the steps."""


class ReadRows(nn.Module):
    """Each row of a picture becomes a step of a sequence.

    Shape:
        input: (B, C, H, W).
        output: (B, C * W, H).
    """

    kind = "read rows"

    def forward(self, images: Tensor) -> Tensor:
        return images.transpose(2, 3).flatten(1, 2)


class ReadPixels(nn.Module):
    """Each pixel of a picture becomes a step of a sequence, in reading order.

    Shape:
        input: (B, C, H, W).
        output: (B, C, H * W).
    """

    kind = "read pixels"

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(2)


@register(
    NetworkInfo(
        name="conv1d",
        title="convolutions along time: a picture read as a sequence of rows or pixels",
        source="the course, after Waibel et al. 1989 (time-delay networks)",
        image_size=16,
        channels=1,
        lr=0.004,
        aliases=("conv-1d",),
    )
)
class Conv1d(nn.Module):
    """Three convolutions along the sequence, each with pooling, and a dense layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 8 by rows, 3 by pixels.
    Raises:
        ShapeError: The picture is too small.
        OptionError: ``kernel`` is even.
    Source: the course.
    """

    stems: ClassVar[tuple[str, ...]] = ("body.0",)
    """The layers that see the picture."""

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        read: Annotated[
            Literal["rows", "pixels"], Option("What a step is: a row of the picture, or a pixel.")
        ] = "rows",
        width: Annotated[
            int,
            Option(
                "Filters of the first convolution; each next one has twice as many.",
                low=1,
                high=1024,
            ),
        ] = 16,
        kernel: Annotated[int, Option("Steps that a filter sees; odd.", low=1, high=255)] = 5,
        pool: Annotated[
            Literal["max", "average"], Option("What is kept of each filter over all steps.")
        ] = "max",
    ) -> None:
        super().__init__()
        need_size("conv1d", image_size, 2**STAGES if read == "rows" else 3)
        if kernel % 2 == 0:
            raise OptionError(
                f"network `conv1d`: `kernel` is {kernel}, expected an odd number, such as "
                f"{kernel + 1}."
            )
        self.read = ReadRows() if read == "rows" else ReadPixels()
        before = channels * image_size if read == "rows" else channels
        layers: list[nn.Module] = []
        for stage in range(STAGES):
            filters = width * 2**stage
            conv = nn.Conv1d(before, filters, kernel, padding=kernel // 2)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            layers += [conv, nn.ReLU(), nn.MaxPool1d(2)]
            before = filters
        self.body = nn.Sequential(*layers)
        self.pool = nn.AdaptiveMaxPool1d(1) if pool == "max" else nn.AdaptiveAvgPool1d(1)
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(before, before)
        self.relu = nn.ReLU()
        self.head = nn.Linear(before, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the map after each pooling: (B, filters, 1, steps)."""
        maps, x = [], self.read(images)  # (B, values, steps)
        for layer in self.body:
            x = layer(x)
            if isinstance(layer, nn.MaxPool1d):
                maps.append(x.unsqueeze(2))
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map (B, filters, 1, steps)."""
        x = self.flatten(self.pool(maps.flatten(2)))  # (B, filters)
        return self.head(self.relu(self.dense(x)))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])
