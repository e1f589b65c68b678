"""``googlenet``: nine inception modules, 22 layers deep with few weights (2014).

Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842. What was new: a
module looks at its input through filters of several sizes at once and stacks what
they find; 1×1 convolutions before the large filters keep that cheap; average pooling
in place of wide dense layers (7 million weights, where AlexNet has 61); and two
auxiliary classifiers that bring the gradient to the middle of the network.

    inception    ┌ conv 1×1 ──────────────────┐      224×224×3
                 ├ conv 1×1 ──── conv 3×3 ────┤      → conv 7×7, stride 2       112×112×64
    before ──────┤                            ├──    → max-pool, LRN             56×56×64
                 ├ conv 1×1 ──── conv 5×5 ────┤      → conv 1×1, conv 3×3, LRN   56×56×192
                 └ max-pool 3 ── conv 1×1 ────┘      → max-pool, 3a 3b           28×28×480
      ReLU after each, stacked along the channels    → max-pool, 4a 4b 4c 4d 4e  14×14×832
                                                     → max-pool, 5a 5b           7×7×1,024
    4a, 4d → average-pool 5, stride 3 → conv 1×1     → average 1,024 → dropout 0.4 → dense K
           → dense 1,024 → dropout 0.7 → dense K     (the auxiliary ones, in training)

What we change: LRN's constants and the initialisation, which the paper does not give,
and how the auxiliary classifiers pool small maps. Everything else is its Table 1.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from nunbit.layers import Dropout, LocalResponseNorm
from nunbit.networks._outputs import WithAuxiliary
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["GoogLeNet"]

MODULES = {
    # conv 1×1; reduce, conv 3×3; reduce, conv 5×5; pool projection
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters of each inception module, from the paper's Table 1."""
AUXILIARY_WEIGHT = 0.3
"""What the loss of each auxiliary classifier counts."""


class Convolution(nn.Module):
    """A convolution that keeps the size (or halves it) and its ReLU.

    Shape:
        input: (B, before, H, W).
        output: (B, filters, ceil(H / stride), ceil(W / stride)).
    Args:
        kernel: Side of the filters in cells; odd.
    """

    def __init__(self, before: int, filters: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, filters, kernel, stride=stride, padding=kernel // 2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))  # type: ignore[no-any-return]  # modules are untyped


class Inception(nn.Module):
    """Four branches on the same map, stacked.

    Shape:
        input: (B, before, H, W).
        output: (B, filters, H, W).
    Args:
        sizes: A row of ``MODULES``, already scaled.
    Source: figure 2b of the paper.
    """

    def __init__(self, before: int, sizes: list[int]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = sizes
        self.filters = one + three + five + pooled
        self.branch1 = Convolution(before, one, 1)
        self.branch2 = nn.Sequential(
            Convolution(before, reduce3, 1), Convolution(reduce3, three, 3)
        )
        self.branch3 = nn.Sequential(Convolution(before, reduce5, 1), Convolution(reduce5, five, 5))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), Convolution(before, pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], dim=1)


class AuxiliaryClassifier(nn.Module):
    """A small classifier on a map in the middle.

    Shape:
        input: (B, before, side, side).
        output: (B, outputs) logits.
    Args:
        side: Of the map, in cells. The average pool 5, stride 3 leaves 4×4 of the
            paper's 14×14 (and of 15 and 16); other maps are averaged to 4×4 cells, so
            that the weights have one shape for all pictures.
        width: Factor on the numbers of filters and neurons.
    Source: section 5 of the paper.
    """

    def __init__(self, before: int, outputs: int, *, side: int, width: float) -> None:
        super().__init__()
        as_paper = (side - 5) // 3 + 1 == 4
        self.pool = nn.AvgPool2d(5, stride=3) if as_paper else nn.AdaptiveAvgPool2d(4)
        filters, neurons = _scaled(128, width), _scaled(1024, width)
        self.conv = Convolution(before, filters, 1)
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(16 * filters, neurons)
        self.relu = nn.ReLU()
        self.dropout = Dropout(0.7)
        self.head = nn.Linear(neurons, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.flatten(self.conv(self.pool(maps)))  # (B, 16 * 128)
        x = self.dropout(self.relu(self.dense(x)))  # (B, 1024)
        return self.head(x)  # type: ignore[no-any-return]  # modules are untyped


@register(
    NetworkInfo(
        name="googlenet",
        title="nine inception modules, two auxiliary classifiers",
        source="Szegedy et al. 2014, arXiv:1409.4842",
        image_size=224,
        channels=3,
        lr=0.001,
        reported="10.07 % top-5 error on ImageNet, one network and one crop (paper)",
        year=2014,
        aliases=("inception-v1",),
    )
)
class GoogLeNet(nn.Module):
    """A stem of three convolutions, nine inception modules, average pooling, one dense layer.

    Shape:
        input: (B, channels, H, W), float, normalised; H and W are ``image_size``, outside
            training also larger or smaller.
        output: (B, outputs) logits; in training with auxiliary classifiers a
            :class:`WithAuxiliary` of three such.
    Args:
        outputs: Width of the last layers.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 31.
    Raises:
        ShapeError: The picture is too small.
    Source: Szegedy et al. 2014, arXiv:1409.4842, Table 1 and section 5; 6,998,552
        parameters for 1,000 classes, 13,378,280 with the auxiliary classifiers.
    Departs: the paper gives neither LRN's constants nor the initialisation. LRN has
        those of Caffe's replica (n 5, alpha 1e-4 over n, beta 0.75, k 1); weights start
        from He's initialisation, the last layers' with standard deviation 0.01, biases
        from 0.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        auxiliary: Annotated[
            bool, Option("Train two more classifiers on 4a and 4d; each counts 0.3 in the loss.")
        ] = True,
        dropout: Annotated[
            float, Option("Share of values dropped before the last layer.", low=0, high=1)
        ] = 0.4,
        width: Annotated[
            float,
            Option("All numbers of filters are multiplied by it.", low=0, high=16, open_low=True),
        ] = 1.0,
    ) -> None:
        super().__init__()
        need_size("googlenet", image_size, 31)
        stem, wide = _scaled(64, width), _scaled(192, width)
        rows = {name: [_scaled(n, width) for n in row] for name, row in MODULES.items()}
        self.conv1 = Convolution(channels, stem, 7, stride=2)
        self.pool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.lrn1 = _lrn()
        self.conv2 = Convolution(stem, stem, 1)
        self.conv3 = Convolution(stem, wide, 3)
        self.lrn2 = _lrn()
        self.pool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(wide, rows["3a"])
        self.inception3b = Inception(self.inception3a.filters, rows["3b"])
        self.pool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(self.inception3b.filters, rows["4a"])
        self.inception4b = Inception(self.inception4a.filters, rows["4b"])
        self.inception4c = Inception(self.inception4b.filters, rows["4c"])
        self.inception4d = Inception(self.inception4c.filters, rows["4d"])
        self.inception4e = Inception(self.inception4d.filters, rows["4e"])
        self.pool4 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception5a = Inception(self.inception4e.filters, rows["5a"])
        self.inception5b = Inception(self.inception5a.filters, rows["5b"])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(self.inception5b.filters, outputs)
        self.heads: tuple[str, ...] = ("head",)
        self.auxiliary1: nn.Module | None = None
        self.auxiliary2: nn.Module | None = None
        if auxiliary:
            side = (image_size + 1) // 2 // 8  # of the maps 4a to 4e, in cells
            filters1, filters2 = self.inception4a.filters, self.inception4d.filters
            self.auxiliary1 = AuxiliaryClassifier(filters1, outputs, side=side, width=width)
            self.auxiliary2 = AuxiliaryClassifier(filters2, outputs, side=side, width=width)
            self.heads = ("head", "auxiliary1.head", "auxiliary2.head")
        for path, module in self.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                if path in self.heads:
                    nn.init.normal_(module.weight, std=0.01)
                else:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # a bias is a tensor

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the maps after conv1, conv3 (with its LRN), 3b, 4e and 5b."""
        return self._stages(images)[0]

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        x = self.dropout(self.flatten(self.pool(maps)))  # (B, 1024)
        return self.head(x)  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor | WithAuxiliary:
        stages, after_4a, after_4d = self._stages(images)
        outputs = self.classify(stages[-1])
        if not self.training or self.auxiliary1 is None or self.auxiliary2 is None:
            return outputs
        auxiliary = (self.auxiliary1(after_4a), self.auxiliary2(after_4d))
        return WithAuxiliary(outputs, auxiliary, AUXILIARY_WEIGHT)

    def _stages(self, images: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the maps of the stages, and those that the auxiliary classifiers take."""
        one = self.conv1(images)  # (B, 64, 112, 112)
        x = self.conv2(self.lrn1(self.pool1(one)))  # (B, 64, 56, 56)
        two = self.lrn2(self.conv3(x))  # (B, 192, 56, 56)
        three = self.inception3b(self.inception3a(self.pool2(two)))  # (B, 480, 28, 28)
        after_4a = self.inception4a(self.pool3(three))  # (B, 512, 14, 14)
        after_4d = self.inception4d(self.inception4c(self.inception4b(after_4a)))
        four = self.inception4e(after_4d)  # (B, 832, 14, 14)
        five = self.inception5b(self.inception5a(self.pool4(four)))  # (B, 1024, 7, 7)
        return [one, two, three, four, five], after_4a, after_4d


def _scaled(filters: int, width: float) -> int:
    return max(1, round(filters * width))


def _lrn() -> LocalResponseNorm:
    return LocalResponseNorm(n=5, k=1.0, alpha=1e-4, beta=0.75, divide_alpha=True)
