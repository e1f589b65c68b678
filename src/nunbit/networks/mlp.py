"""``mlp``: the dense baseline, a picture as one long row of numbers.

What it shows: without convolution, a network must learn each place of the picture
anew. It reads MNIST well all the same, because the digits stand in the middle.

    28×28×1 → flatten 784 → dense 512, ReLU → dense K
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from torch import Tensor, nn

from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["MLP"]


@register(
    NetworkInfo(
        name="mlp",
        title="dense baseline: 784-512-K",
        source="Keras' MNIST example; the course's first network",
        image_size=28,
        channels=1,
        lr=0.002,
        reported="97.86 % on MNIST (course)",
    )
)
class MLP(nn.Module):
    """Flatten, one hidden dense layer, one output layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 1.
    Raises:
        ShapeError: The picture is too small.
    Source: the course; 407,050 parameters for 28x28 grey and 10 classes.
    """

    stems: ClassVar[tuple[str, ...]] = ("hidden",)
    """The layers that see the picture."""

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        width: Annotated[int, Option("Neurons of the hidden layer.", low=1, high=65536)] = 512,
    ) -> None:
        super().__init__()
        need_size("mlp", image_size, 1)
        self.flatten = nn.Flatten()
        self.hidden = nn.Linear(channels * image_size * image_size, width)
        self.relu = nn.ReLU()
        self.head = nn.Linear(width, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the picture: a dense network makes no maps."""
        return [images]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(images)

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the picture."""
        x = self.flatten(maps)  # (B, C*H*W)
        x = self.relu(self.hidden(x))  # (B, width)
        return self.head(x)  # type: ignore[no-any-return]  # nn.Module.__call__ is untyped
