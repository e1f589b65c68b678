"""``cnn-cats-dogs``: the small network that the course trains on cats and dogs.

What it shows: padding keeps the size through a convolution, pooling halves it, and
the number of filters doubles as the map shrinks.

    128×128×3 → conv 3×3×8 same, ReLU, max-pool 2  → 64×64×8
              → conv 3×3×16 same, ReLU, max-pool 2 → 32×32×16
              → conv 3×3×32 same, ReLU, max-pool 2 → 16×16×32
              → conv 3×3×64 same, ReLU, max-pool 2 → 8×8×64
              → flatten 4,096 → dense 32, ReLU → dropout 0.4 → dense K

The course ends in one sigmoid output; here that is ``--head sigmoid``.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from nunbit.layers import Dropout
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._renamed import accept_old_name
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["CnnCatsDogs"]

FILTERS = (8, 16, 32, 64)


@register(
    NetworkInfo(
        name="cnn-cats-dogs",
        title="the course's cats-and-dogs network: four times convolution and pooling",
        source="the course",
        image_size=128,
        channels=3,
        lr=0.003,
    )
)
class CnnCatsDogs(nn.Module):
    """Four convolutions with padding, each followed by pooling, and a dense layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 16.
    Raises:
        ShapeError: The picture is too small.
    Source: the course; 155,665 parameters for 128x128 RGB and one output.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        dropout: Annotated[
            float, Option("Share of neurons dropped after the dense layer.", low=0, high=1)
        ] = 0.4,
    ) -> None:
        super().__init__()
        need_size("cnn-cats-dogs", image_size, 16)
        layers: list[nn.Module] = []
        before = channels
        for filters in FILTERS:
            layers += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            before = filters
        self.body = nn.Sequential(*layers)
        accept_old_name(self, old="features", new="body")
        side = image_size // 2 ** len(FILTERS)
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(FILTERS[-1] * side * side, 32)
        self.relu = nn.ReLU()
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(32, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the map after each pooling."""
        maps, x = [], images
        for layer in self.body:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.body(images))

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map (B, 64, side, side)."""
        x = self.relu(self.dense(self.flatten(maps)))  # (B, 32)
        return self.head(self.dropout(x))  # type: ignore[no-any-return]  # modules are untyped
