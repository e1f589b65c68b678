"""``cnn-mnist``: the convolutional network that the course trains on MNIST.

What is new against the dense baseline: a filter is learnt once and slid over the
whole picture, so a stroke is a stroke wherever it lies.

    28×28×1 → conv 3×3×32, ReLU → 26×26×32
            → conv 3×3×64, ReLU → 24×24×64
            → max-pool 2        → 12×12×64 → dropout 0.25
            → flatten 9,216 → dense 128, ReLU → dropout 0.5 → dense K
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from nunbit.layers import Dropout
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._renamed import accept_old_name
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["CnnMnist"]


@register(
    NetworkInfo(
        name="cnn-mnist",
        title="the course's MNIST network: two convolutions, one dense layer",
        source="Keras' mnist_cnn example; the course",
        image_size=28,
        channels=1,
        lr=0.002,
        reported="99.01 % on MNIST (course)",
    )
)
class CnnMnist(nn.Module):
    """Two convolutions without padding, one pooling, one dense layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 6.
    Raises:
        ShapeError: The picture is too small.
    Source: the course; 1,199,882 parameters for 28x28 grey and 10 classes.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        dropout: Annotated[
            float, Option("Share of values dropped after pooling.", low=0, high=1)
        ] = 0.25,
        dense_dropout: Annotated[
            float, Option("Share of neurons dropped after the dense layer.", low=0, high=1)
        ] = 0.5,
    ) -> None:
        super().__init__()
        need_size("cnn-mnist", image_size, 6)
        side = (image_size - 4) // 2
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            Dropout(dropout),
        )
        accept_old_name(self, old="features", new="body")
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(64 * side * side, 128)
        self.relu = nn.ReLU()
        self.dropout = Dropout(dense_dropout)
        self.head = nn.Linear(128, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the one map there is, after pooling."""
        return [self.body(images)]  # (B, 64, side, side)

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.body(images))

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the map."""
        x = self.relu(self.dense(self.flatten(maps)))  # (B, 128)
        return self.head(self.dropout(x))  # type: ignore[no-any-return]  # modules are untyped
