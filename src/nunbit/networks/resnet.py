"""ResNet and its plain twins for ImageNet (2015): 18 to 152 layers, with shortcuts or without.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, arXiv:1512.03385.

What was new: a deeper network should be no worse than a shallower one, since its
extra layers could do nothing; yet plain-34 had a higher error than plain-18, in
training too. Nothing is what stacked layers find hard to learn. So each block learns
only what to *add* to its input, and doing nothing takes weights of 0.

    basic block (18, 34)             bottleneck (50, 101, 152)

    x ──────────────┐                x ──────────────┐
    │               │                │               │
    conv 3×3, w     │                conv 1×1, w     │
    norm, ReLU      shortcut         norm, ReLU      shortcut
    conv 3×3, w     │                conv 3×3, w     │
    norm            │                norm, ReLU      │
    │               │                conv 1×1, 4w    │
    + ◄─────────────┘                norm            │
    ReLU                             + ◄─────────────┘
                                     ReLU

    224×224×3 → conv1:   7×7×64, stride 2           → 112×112×64
              → max-pool 3, stride 2                → 56×56×64
              → conv2_x: blocks of w = 64           → 56×56
              → conv3_x: blocks of w = 128, first /2 → 28×28
              → conv4_x: blocks of w = 256, first /2 → 14×14
              → conv5_x: blocks of w = 512, first /2 → 7×7
              → global average-pool → dense K

    blocks in conv2_x to conv5_x: 18: 2 2 2 2 · 34 and 50: 3 4 6 3 · 101: 3 4 23 3 · 152: 3 8 36 3

A plain network is the same without the arrow on the right. Where the size changes, the
shortcut cannot be the input itself, and the paper tries three ways:

    A  every second cell, and zeros for the new channels: no weights at all
    B  a projection (conv 1×1, norm) there, the input itself everywhere else
    C  a projection beside every block

The residual networks of other depths that the paper trains on CIFAR-10 are in
``resnet_cifar.py``.

Departs: bottlenecks halve the size in their 3×3 convolution (``stride_in="v1.5"``), as
the published weights want it; the paper's do so in their first 1×1 (``"v1"``), with the
same weights and up to 6 % fewer multiply-adds. Shortcuts are option B at every depth; the
paper's Table 2 has A for 18 and 34. The last norm of a block starts with gains of 0
(``zero_init``; Goyal et al. 2017, arXiv:1706.02677); the paper's start at 1. Stochastic
depth (``drop_path``; Huang et al. 2016, arXiv:1603.09382) came later and is off by default.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Annotated, ClassVar, Literal

from torch import Tensor, nn

from nunbit.errors import OptionError
from nunbit.layers import StochasticDepth, depth_rates
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["Resnet"]

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Depth to blocks in conv2_x to conv5_x: Table 1 of the paper."""

BOTTLENECK_FROM = 50
"""The least depth whose blocks are bottlenecks."""

ERRORS = {
    "plain-18": "27.94 % top-1 error on ImageNet (10 crops)",
    "plain-34": "28.54 % top-1, 10.02 % top-5 error on ImageNet (10 crops)",
    "resnet-18": "27.88 % top-1 error on ImageNet (10 crops, shortcut A)",
    "resnet-34": "24.52 % top-1, 7.46 % top-5 error on ImageNet (10 crops)",
    "resnet-50": "22.85 % top-1, 6.71 % top-5 error on ImageNet (10 crops, v1)",
    "resnet-101": "21.75 % top-1, 6.05 % top-5 error on ImageNet (10 crops, v1)",
    "resnet-152": "21.43 % top-1, 5.71 % top-5 error on ImageNet (10 crops, v1)",
}
"""Tables 2 and 3 of the paper."""


class PaddedShortcut(nn.Module):
    """Shortcut A where the size changes: the input itself, thinned out, and zeros below.

    Shape:
        input: (B, before, H, W).
        output: (B, after, ceil(H / stride), ceil(W / stride)).
    Source: the paper, section 3.3, option A.
    """

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.extra = after - before
        self.stride = stride

    @property
    def kind(self) -> str:
        """How the layer table calls it."""
        return "shortcut A" + (f", stride {self.stride}" if self.stride > 1 else "")

    def forward(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(kept, (0, 0, 0, 0, 0, self.extra))


def make_shortcut(option: str, before: int, after: int, *, stride: int) -> nn.Module | None:
    """Return what stands beside a block; None for plain networks."""
    if option == "none":
        return None
    changes = stride > 1 or before != after
    if option == "C" or (option == "B" and changes):
        conv = nn.Conv2d(before, after, 1, stride=stride, bias=False)
        return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(after)))
    return PaddedShortcut(before, after, stride=stride) if changes else nn.Identity()


class Basic(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    Shape:
        input: (B, before, H, W).
        output: (B, width, ceil(H / stride), ceil(W / stride)).
    Source: the paper, figure 5, left.
    """

    def __init__(
        self, before: int, width: int, *, stride: int, shortcut: str, drop: float = 0.0
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.drop = StochasticDepth(drop) if drop else nn.Identity()
        self.shortcut = make_shortcut(shortcut, before, width, stride=stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.shortcut is not None:
            y = self.drop(y) + self.shortcut(x)
        return self.relu2(y)  # type: ignore[no-any-return]  # modules are untyped


class Bottleneck(nn.Module):
    """A 3×3 convolution between two of 1×1, the last four times as wide, beside a shortcut.

    Shape:
        input: (B, before, H, W).
        output: (B, 4 * width, ceil(H / stride), ceil(W / stride)).
    Args:
        strides: Of the first 1×1 and of the 3×3 convolution.
    Source: the paper, figure 5, right.
    """

    def __init__(
        self,
        before: int,
        width: int,
        *,
        strides: tuple[int, int],
        shortcut: str,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, stride=strides[0], bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride=strides[1], padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(4 * width)
        self.drop = StochasticDepth(drop) if drop else nn.Identity()
        self.shortcut = make_shortcut(shortcut, before, 4 * width, stride=max(strides))
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.relu2(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        if self.shortcut is not None:
            y = self.drop(y) + self.shortcut(x)
        return self.relu3(y)  # type: ignore[no-any-return]  # modules are untyped


def make_stage(
    number: int, *, depth: int, width: int, shortcut: str, stride_in: str, drop_path: float = 0.0
) -> nn.Sequential:
    """Return conv2_x for ``number`` 0, and so on; all but the first halve the size."""
    here = slice(sum(BLOCKS[depth][:number]), sum(BLOCKS[depth][: number + 1]))
    drops = depth_rates(drop_path, sum(BLOCKS[depth]))[here]
    filters = width * 2**number
    stride = 1 if number == 0 else 2
    blocks: list[nn.Module] = []
    if depth < BOTTLENECK_FROM:
        before = width if number == 0 else filters // 2
        blocks.append(Basic(before, filters, stride=stride, shortcut=shortcut, drop=drops[0]))
        for drop in drops[1:]:
            blocks.append(Basic(filters, filters, stride=1, shortcut=shortcut, drop=drop))
    else:
        before = width if number == 0 else 2 * filters
        strides = (stride, 1) if stride_in == "v1" else (1, stride)
        make = partial(Bottleneck, width=filters, shortcut=shortcut)
        blocks.append(make(before, strides=strides, drop=drops[0]))
        for drop in drops[1:]:
            blocks.append(make(4 * filters, strides=(1, 1), drop=drop))
    return nn.Sequential(*blocks)


def _info(name: str, **fixed: object) -> NetworkInfo:
    kind, _, depth = name.partition("-")
    what, without = ("residual", "") if kind == "resnet" else ("plain", ", without shortcuts,")
    return NetworkInfo(
        name=name,
        title=f"{what} network of {depth} layers{without} for ImageNet",
        source="He et al. 2015, Deep Residual Learning, arXiv:1512.03385",
        image_size=224,
        channels=3,
        reported=ERRORS[name],
        year=2015,
        aliases=(f"{kind}{depth}",),
        fixed={"depth": int(depth), **fixed},
    )


@register(
    *[_info(f"resnet-{depth}", stride_in="v1.5") for depth in (18, 34)],  # basic: no difference
    *[_info(f"resnet-{depth}") for depth in (50, 101, 152)],
    *[
        _info(f"plain-{depth}", stride_in="v1.5", shortcut="none", zero_init=False, drop_path=0.0)
        for depth in (18, 34)
    ],
)
class Resnet(nn.Module):
    """A stem, four stages of residual blocks, average pooling, one dense layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 1.
        depth: Layers with weights on the longest way, of :data:`BLOCKS`.
    Raises:
        ShapeError: The picture is too small.
    Source: He et al. 2015, Table 1; convolutions start as in He et al. 2015,
        arXiv:1502.01852, equation 10; 25,557,032 parameters for depth 50, 1,000 outputs.
    """

    published_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^layer1\.", "conv2_x."),
        (r"^layer2\.", "conv3_x."),
        (r"^layer3\.", "conv4_x."),
        (r"^layer4\.", "conv5_x."),
        (r"(^|\.)bn(\d)\.", r"\1norm\2."),
        (r"\.downsample\.0\.", ".shortcut.conv."),
        (r"\.downsample\.1\.", ".shortcut.norm."),
        (r"^fc\.", "head."),
    )
    """From torchvision's names to ours."""

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        depth: int = 50,
        shortcut: Annotated[
            Literal["A", "B", "C", "none"],
            Option("Option A, B or C of the paper; `none` makes the plain network."),
        ] = "B",
        stride_in: Annotated[
            Literal["v1", "v1.5"],
            Option(
                "Where a bottleneck halves the size: `v1` in its first 1×1 convolution, `v1.5` "
                "in its 3×3."
            ),
        ] = "v1.5",
        width: Annotated[
            int,
            Option("Filters of conv1 and of the first blocks; 64 in the paper.", low=1, high=1024),
        ] = 64,
        zero_init: Annotated[
            bool,
            Option(
                "Whether the last norm of a block that has a shortcut starts with gains of 0, so "
                "that each block starts as its shortcut. With gains of 1 the values grow from "
                "block to block until batch norm has seen some batches."
            ),
        ] = True,
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
        name = f"{'plain' if shortcut == 'none' else 'resnet'}-{depth}"
        need_size(name, image_size, 1)
        if drop_path and shortcut == "none":
            raise OptionError(
                f"network `{name}`: drop_path = {drop_path:g} needs shortcuts to go by the blocks "
                "that are left out. Pass `drop_path=0`."
            )
        self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1)
        make = partial(
            make_stage,
            depth=depth,
            width=width,
            shortcut=shortcut,
            stride_in=stride_in,
            drop_path=drop_path,
        )
        self.conv2_x, self.conv3_x, self.conv4_x, self.conv5_x = map(make, range(4))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(8 * width * (4 if depth >= BOTTLENECK_FROM else 1), outputs)
        self._start(zero_gains=zero_init and shortcut != "none")

    def _start(self, *, zero_gains: bool) -> None:
        """Give convolutions their first weights, and blocks the gains of their last norm."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif zero_gains and isinstance(module, Basic):
                nn.init.zeros_(module.norm2.weight)
            elif zero_gains and isinstance(module, Bottleneck):
                nn.init.zeros_(module.norm3.weight)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the maps after conv1 and after conv2_x to conv5_x, each half as wide."""
        x = self.relu1(self.norm1(self.conv1(images)))  # (B, width, H/2, W/2)
        maps = [x]
        x = self.pool1(x)
        for stage in (self.conv2_x, self.conv3_x, self.conv4_x, self.conv5_x):
            x = stage(x)
            maps.append(x)
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the map of conv5_x."""
        return self.head(self.flatten(self.pool(maps)))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])
