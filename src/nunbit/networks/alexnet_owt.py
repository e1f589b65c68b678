"""``alexnet-owt``: AlexNet on one GPU, with the widths of "one weird trick" (2014).

What was new: Krizhevsky asked how to train on many GPUs, and found that batches should
be split in the convolutions and neurons in the dense layers. The network for it has no
towers and no response normalisation. torchvision publishes its weights as ``alexnet``.

    3×224×224 → conv 11×11/4 (2), 64, ReLU → 64×55×55  → max-pool 3/2 → 64×27×27
              → conv 5×5 (2), 192, ReLU    → 192×27×27 → max-pool 3/2 → 192×13×13
              → conv 3×3 (1), 384, ReLU    → 384×13×13
              → conv 3×3 (1), 256, ReLU    → 256×13×13
              → conv 3×3 (1), 256, ReLU    → 256×13×13 → max-pool 3/2 → 256×6×6
              → dropout → dense 4,096, ReLU → dropout → dense 4,096, ReLU → dense K

61,100,840 weights for 1,000 classes. The border of a convolution stands in brackets.

Dropout stands before each of the first two dense layers, as in torchvision; the network
of 2012 has it after them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from torch import Tensor, nn

from nunbit.layers import Dropout
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["AlexNetOWT"]

FILTERS = (64, 192, 384, 256, 256)

LEAST = 63
"""The smallest picture, in pixels: it leaves one place after the last pooling."""


@register(
    NetworkInfo(
        name="alexnet-owt",
        title="AlexNet in one tower, as torchvision publishes it",
        source="Krizhevsky 2014, arXiv:1404.5997",
        year=2014,
        image_size=224,
        channels=3,
        lr=0.001,
        reported="56.52 % top-1, 79.07 % top-5 on ImageNet (torchvision's weights)",
    )
)
class AlexNetOWT(nn.Module):
    """Five convolutions, three poolings, three dense layers.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 63.
    Raises:
        ShapeError: The picture is too small.
    Source: torchvision.models.alexnet; Krizhevsky 2014, arXiv:1404.5997.
    Departs: fresh weights are He's normal with biases of 0, and N(0, 0.01) in the head;
        torchvision leaves PyTorch's defaults, which are less than half as wide.
    """

    published_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^features\.", "body."),
        (r"^classifier\.1\.", "dense1."),
        (r"^classifier\.4\.", "dense2."),
        (r"^classifier\.6\.", "head."),
    )
    """From torchvision's keys to ours."""

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        width: Annotated[
            float, Option("Factor on the number of filters.", low=0, high=16, open_low=True)
        ] = 1.0,
        dense: Annotated[
            int, Option("Neurons of each of the two hidden dense layers.", low=1, high=65536)
        ] = 4096,
        dropout: Annotated[
            float,
            Option(
                "Share of values dropped before each of the hidden dense layers.", low=0, high=1
            ),
        ] = 0.5,
        pool_to: Annotated[
            int,
            Option(
                "Side to which the last map is averaged before the dense layers; 0 leaves it as it "
                "is. Published weights want 6, which changes nothing at 224 pixels.",
                unit="cells",
                low=0,
                high=64,
            ),
        ] = 0,
    ) -> None:
        super().__init__()
        need_size("alexnet-owt", image_size, LEAST)
        one, two, three, four, five = (max(1, round(width * each)) for each in FILTERS)
        side = (image_size + 4 - 11) // 4 + 1
        for _ in range(3):
            side = (side - 3) // 2 + 1
        self.body = nn.Sequential(
            nn.Conv2d(channels, one, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(one, two, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(two, three, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(three, four, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(four, five, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.pool = nn.AdaptiveAvgPool2d(pool_to) if pool_to else nn.Identity()
        self.flatten = nn.Flatten()
        self.dropout1 = Dropout(dropout)
        self.dense1 = nn.Linear(five * (pool_to or side) ** 2, dense)
        self.relu1 = nn.ReLU()
        self.dropout2 = Dropout(dropout)
        self.dense2 = nn.Linear(dense, dense)
        self.relu2 = nn.ReLU()
        self.head = nn.Linear(dense, outputs)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        nn.init.normal_(self.head.weight, std=0.01)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the map after each pooling: 64, 192 and 256 filters; 27, 13 and 6 wide at 224."""
        maps, x = [], images
        for layer in self.body:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        x = self.flatten(self.pool(maps))  # (B, 9216)
        x = self.relu1(self.dense1(self.dropout1(x)))  # (B, 4096)
        x = self.relu2(self.dense2(self.dropout2(x)))
        return self.head(x)  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.body(images))
