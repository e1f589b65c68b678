"""``googlenet-bn``: GoogLeNet with batch norm, as the published weights have it.

The form that PyTorch's users know: torchvision's port of a TensorFlow re-training. It is
``googlenet`` (see there for the paper and the picture) with these changes:

    batch norm (eps 0.001) between each convolution and its ReLU, no biases; no LRN
    the "5×5" branch of each module has a 3×3 filter: a known bug of the port, kept
        because the weights were trained with it (pytorch/vision, issue 906)
    pool4 is 2×2 and not 3×3; dropout 0.2 and not 0.4
    auxiliary classifiers average to 4×4 cells, whatever the map

    224×224×3 → conv 7×7, stride 2 → 112×112×64 → max-pool → conv 1×1, conv 3×3 → 56×56×192
              → max-pool → 3a 3b → 28×28×480 → max-pool → 4a 4b 4c 4d 4e → 14×14×832
              → max-pool 2 → 5a 5b → 7×7×1,024 → average 1,024 → dropout 0.2 → dense K

What we change: fresh weights are He's; torchvision draws them from a truncated normal
distribution with standard deviation 0.01.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from nunbit.layers import Dropout
from nunbit.networks._outputs import WithAuxiliary
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["GoogLeNetBn"]

MODULES = {
    # conv 1×1; reduce, conv 3×3; reduce, the other conv 3×3; pool projection
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
"""Filters of each inception module, from Table 1 of the paper."""
AUXILIARY_WEIGHT = 0.3
"""What the loss of each auxiliary classifier counts."""


class Convolution(nn.Module):
    """A convolution that keeps the size (or halves it), its batch norm and its ReLU.

    Shape:
        input: (B, before, H, W).
        output: (B, filters, ceil(H / stride), ceil(W / stride)).
    Args:
        kernel: Side of the filters in cells; odd.
    """

    def __init__(self, before: int, filters: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(before, filters, kernel, stride=stride, padding=padding, bias=False)
        self.norm = nn.BatchNorm2d(filters, eps=0.001)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)))  # type: ignore[no-any-return]


class Inception(nn.Module):
    """Four branches on the same map, stacked.

    Shape:
        input: (B, before, H, W).
        output: (B, filters, H, W).
    Args:
        sizes: A row of ``MODULES``, already scaled.
    Source: figure 2b of the paper.
    Departs: the third branch ends in 3×3, not 5×5, as the published weights want it.
    """

    def __init__(self, before: int, sizes: list[int]) -> None:
        super().__init__()
        one, reduce2, two, reduce3, three, pooled = sizes
        self.filters = one + two + three + pooled
        self.branch1 = Convolution(before, one, 1)
        self.branch2 = nn.Sequential(Convolution(before, reduce2, 1), Convolution(reduce2, two, 3))
        self.branch3 = nn.Sequential(
            Convolution(before, reduce3, 1), Convolution(reduce3, three, 3)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), Convolution(before, pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], dim=1)


class AuxiliaryClassifier(nn.Module):
    """A small classifier on a map in the middle, averaged to 4×4 cells.

    Shape:
        input: (B, before, H, W).
        output: (B, outputs) logits.
    Args:
        width: Factor on the numbers of filters and neurons.
    Source: section 5 of the paper.
    Departs: the average to 4×4 cells; the paper's pool 5, stride 3 leaves as many of 14×14.
    """

    def __init__(self, before: int, outputs: int, *, width: float) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(4)
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
        name="googlenet-bn",
        title="nine inception modules, batch norm",
        source="Szegedy et al. 2014, arXiv:1409.4842, in torchvision's form",
        image_size=224,
        channels=3,
        lr=0.01,
        reported="69.78 % top-1, 89.53 % top-5 on ImageNet (torchvision)",
        year=2014,
    )
)
class GoogLeNetBn(nn.Module):
    """A stem of three convolutions, nine inception modules, average pooling, one dense layer.

    Shape:
        input: (B, channels, H, W), float, normalised, of any size from 15.
        output: (B, outputs) logits; in training with auxiliary classifiers a
            :class:`WithAuxiliary` of three such.
    Args:
        outputs: Width of the last layers.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 15.
    Raises:
        ShapeError: The picture is too small.
    Source: Szegedy et al. 2014, arXiv:1409.4842; torchvision for what differs. 6,624,904
        parameters for 1,000 classes, 13,004,888 with the auxiliary classifiers.
    Departs: weights start from He's initialisation, the last layers' with standard
        deviation 0.01.
    """

    published_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"\.bn\.", ".norm."),
        (r"^fc\.", "head."),
        (r"^aux(\d)\.fc1\.", r"auxiliary\1.dense."),
        (r"^aux(\d)\.fc2\.", r"auxiliary\1.head."),
        (r"^aux(\d)\.", r"auxiliary\1."),
    )
    """torchvision's names of the same tensors."""

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
        ] = 0.2,
        width: Annotated[
            float,
            Option("All numbers of filters are multiplied by it.", low=0, high=16, open_low=True),
        ] = 1.0,
    ) -> None:
        super().__init__()
        need_size("googlenet-bn", image_size, 15)
        stem, wide = _scaled(64, width), _scaled(192, width)
        rows = {name: [_scaled(n, width) for n in row] for name, row in MODULES.items()}
        self.conv1 = Convolution(channels, stem, 7, stride=2)
        self.pool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = Convolution(stem, stem, 1)
        self.conv3 = Convolution(stem, wide, 3)
        self.pool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(wide, rows["3a"])
        self.inception3b = Inception(self.inception3a.filters, rows["3b"])
        self.pool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(self.inception3b.filters, rows["4a"])
        self.inception4b = Inception(self.inception4a.filters, rows["4b"])
        self.inception4c = Inception(self.inception4b.filters, rows["4c"])
        self.inception4d = Inception(self.inception4c.filters, rows["4d"])
        self.inception4e = Inception(self.inception4d.filters, rows["4e"])
        self.pool4 = nn.MaxPool2d(2, ceil_mode=True)
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
            filters1, filters2 = self.inception4a.filters, self.inception4d.filters
            self.auxiliary1 = AuxiliaryClassifier(filters1, outputs, width=width)
            self.auxiliary2 = AuxiliaryClassifier(filters2, outputs, width=width)
            self.heads = ("head", "auxiliary1.head", "auxiliary2.head")
        for path, module in self.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                if path in self.heads:
                    nn.init.normal_(module.weight, std=0.01)
                else:
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the maps after conv1, conv3, 3b, 4e and 5b."""
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
        x = self.conv2(self.pool1(one))  # (B, 64, 56, 56)
        two = self.conv3(x)  # (B, 192, 56, 56)
        three = self.inception3b(self.inception3a(self.pool2(two)))  # (B, 480, 28, 28)
        after_4a = self.inception4a(self.pool3(three))  # (B, 512, 14, 14)
        after_4d = self.inception4d(self.inception4c(self.inception4b(after_4a)))
        four = self.inception4e(after_4d)  # (B, 832, 14, 14)
        five = self.inception5b(self.inception5a(self.pool4(four)))  # (B, 1024, 7, 7)
        return [one, two, three, four, five], after_4a, after_4d


def _scaled(filters: int, width: float) -> int:
    return max(1, round(filters * width))
