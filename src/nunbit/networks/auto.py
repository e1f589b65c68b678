"""``auto``: a small residual network whose depth and strides follow the picture size.

It is what a folder of pictures gets where nobody asked for a paper's network. The
body is ResNet's: two 3×3 convolutions and a shortcut. Larger pictures are halved
more often before the first block, so that the work stays within what two
processor cores do in minutes, and the last map is about 4×4 whatever came in.

     8 →       8, 4                    (digits)
    28 → 14:  14, 7, 4                 (MNIST)
    32 → 16:  16, 8, 4                 (CIFAR-10)
   128 → 64 → 32: 32, 16, 8, 4         (photographs)
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from nunbit.layers import StochasticDepth, depth_rates
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["Auto"]

LAST_SIDE = 5
"""Blocks are added until the map is at most this wide, in cells."""


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    Shape:
        input: (B, before, H, W).
        output: (B, filters, ceil(H / stride), ceil(W / stride)).
    Source: He et al. 2015, arXiv:1512.03385, figure 2.
    Departs: where the size halves, the shortcut averages before its 1×1
        convolution, so that it sees every cell and not one in four (He et al.
        2018, arXiv:1812.01187, ResNet-D).
    """

    def __init__(self, before: int, filters: int, *, stride: int, drop: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, filters, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.drop = StochasticDepth(drop) if drop else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != filters:
            pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
            mix = nn.Conv2d(before, filters, 1, bias=False)
            self.shortcut = nn.Sequential(pool, mix, nn.BatchNorm2d(filters))
        self.relu2 = nn.ReLU()
        nn.init.zeros_(self.norm2.weight)  # a block starts as its shortcut: trains faster

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.drop(self.norm2(self.conv2(y)))
        return self.relu2(y + self.shortcut(x))  # type: ignore[no-any-return]


@register(
    NetworkInfo(
        name="auto",
        title="small fast residual network, shaped by the picture size",
        source="ours, after He et al. 2015 (ResNet)",
        image_size=128,
        channels=3,
    )
)
class Auto(nn.Module):
    """A stem, blocks that double filters and halve size, average pooling, one dense layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 4.
    Raises:
        ShapeError: The picture is too small.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        width: Annotated[
            int,
            Option(
                "Filters of the first block; 0 chooses 16 for grey and 32 for colour.",
                low=0,
                high=1024,
            ),
        ] = 0,
        drop_path: Annotated[
            float,
            Option(
                "Stochastic depth: chance that the last block is left out for a picture in "
                "training; earlier ones have less, in a straight line.",
                low=0.0,
                high=0.9,
            ),
        ] = 0.0,
    ) -> None:
        super().__init__()
        need_size("auto", image_size, 4)
        width = width or (16 if channels == 1 else 32)
        stride = 2 if image_size >= 24 else 1
        stem: list[nn.Module] = [
            nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        side = -(-image_size // stride)
        while side > 40:
            stem.append(nn.MaxPool2d(3, stride=2, padding=1))
            side = -(-side // 2)
        self.stem = nn.Sequential(*stem)
        sides = [side]
        while sides[-1] > LAST_SIDE:
            sides.append(-(-sides[-1] // 2))
        filters, rates = width, depth_rates(drop_path, len(sides))
        blocks: list[nn.Module] = [Block(width, width, stride=1, drop=rates[0])]
        for rate in rates[1:]:
            blocks.append(Block(filters, 2 * filters, stride=2, drop=rate))
            filters *= 2
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(filters, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the map after the stem and after each block; the last one is about 4x4."""
        maps = [self.stem(images)]  # (B, width, side, side)
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        return self.head(self.flatten(self.pool(maps)))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])
