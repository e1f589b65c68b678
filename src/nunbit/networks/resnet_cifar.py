"""ResNet and its plain twins for CIFAR-10 (2015): 20 to 110 layers of at most 64 filters.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, arXiv:1512.03385,
section 4.2.

What was new: small networks on small pictures in which depth is the only thing that
changes, so that one can see what it does. Plain networks get worse with depth, in
training too; with shortcuts, which here cost no weight, they get better.

    block:  x ─► conv 3×3, norm, ReLU ─► conv 3×3, norm ─► + ─► ReLU
            └──────────────── shortcut ────────────────────┘

    32×32×3 → conv 3×3×16, norm, ReLU             → 32×32×16
            → stage1: n blocks of 16 filters      → 32×32×16
            → stage2: n blocks of 32, first /2    → 16×16×32
            → stage3: n blocks of 64, first /2    → 8×8×64
            → global average-pool → dense K

    depth 6n + 2; for 3 channels and 10 classes 97,216·n - 21,926 parameters

``resnet-20`` to ``resnet-110`` here and ``resnet-18`` to ``resnet-152`` of ``resnet.py``
share a name and a paper, but not a size: ``resnet-32`` has 0.46 million parameters,
``resnet-34`` has 21.8 million. The plain networks have no arrow below.

Departs: the last norm of a block starts with gains of 0 (``zero_init``; Goyal et al.
2017, arXiv:1706.02677); the paper's start at 1. Its network of 1,202 layers, worse than
that of 110, is left out. Stochastic depth (``drop_path``; Huang et al. 2016,
arXiv:1603.09382) came later and is off by default.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Annotated, Literal

from torch import Tensor, nn

from nunbit.errors import OptionError
from nunbit.layers import StochasticDepth, depth_rates
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["ResnetCifar"]

ERRORS_PERCENT = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.43}
"""Residual networks on CIFAR-10, Table 6 of the paper; 110 is the best of five runs."""


class PaddedShortcut(nn.Module):
    """Shortcut A where the size changes: every second cell, and zeros for the new channels.

    Shape:
        input: (B, before, H, W).
        output: (B, after, ceil(H / 2), ceil(W / 2)).
    Source: the paper, section 3.3, option A.
    """

    kind = "shortcut A, stride 2"

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.extra = after - before

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.extra))


def make_shortcut(option: str, before: int, after: int) -> nn.Module | None:
    """Return what stands beside a block; None for plain networks."""
    if option == "none":
        return None
    if before == after:
        return nn.Identity()
    if option == "A":
        return PaddedShortcut(before, after)
    conv = nn.Conv2d(before, after, 1, stride=2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(after)))


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut; more filters come with half the size.

    Shape:
        input: (B, before, H, W).
        output: (B, filters, H, W), or with ceil(H / 2) and ceil(W / 2).
    Source: the paper, figure 2 and section 4.2.
    """

    def __init__(self, before: int, filters: int, *, shortcut: str, drop: float = 0.0) -> None:
        super().__init__()
        stride = 1 if before == filters else 2
        self.conv1 = nn.Conv2d(before, filters, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.drop = StochasticDepth(drop) if drop else nn.Identity()
        self.shortcut = make_shortcut(shortcut, before, filters)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        if self.shortcut is not None:
            y = self.drop(y) + self.shortcut(x)
        return self.relu2(y)  # type: ignore[no-any-return]  # modules are untyped


def _info(kind: str, depth: int) -> NetworkInfo:
    what, without = ("residual", "") if kind == "resnet" else ("plain", ", without shortcuts,")
    plain = {"shortcut": "none", "zero_init": False, "drop_path": 0.0}
    return NetworkInfo(
        name=f"{kind}-{depth}",
        title=f"{what} network of {depth} layers{without} for CIFAR-10",
        source="He et al. 2015, Deep Residual Learning, section 4.2, arXiv:1512.03385",
        image_size=32,
        channels=3,
        reported=f"{ERRORS_PERCENT[depth]} % error on CIFAR-10" if kind == "resnet" else "",
        year=2015,
        aliases=(f"{kind}{depth}",),
        fixed={"depth": depth, **(plain if kind == "plain" else {})},
    )


@register(
    *[_info("resnet", depth) for depth in ERRORS_PERCENT],
    *[_info("plain", depth) for depth in ERRORS_PERCENT if depth < 110],  # it does not learn
)
class ResnetCifar(nn.Module):
    """A convolution, three stages of residual blocks, average pooling, one dense layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 1.
        depth: Layers with weights on the longest way: 8, 14, 20 and so on.
    Raises:
        ShapeError: The picture is too small.
        OptionError: ``depth`` is none of the family.
    Source: He et al. 2015, section 4.2; convolutions start as in He et al. 2015,
        arXiv:1502.01852, equation 10.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        depth: int = 20,
        shortcut: Annotated[
            Literal["A", "B", "none"],
            Option(
                "Option A (no weights) or B (a projection where the size changes) of the paper; "
                "`none` makes the plain network."
            ),
        ] = "A",
        width: Annotated[
            int, Option("Filters of the first stage; 16 in the paper.", low=1, high=1024)
        ] = 16,
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
        count, rest = divmod(depth - 2, 6)
        if rest or count < 1:
            raise OptionError(f"network `{name}`: depth = {depth}, expected 6n + 2, such as 20.")
        if drop_path and shortcut == "none":
            raise OptionError(
                f"network `{name}`: drop_path = {drop_path:g} needs shortcuts to go by the blocks "
                "that are left out. Pass `drop_path=0`."
            )
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()

        rates = iter(depth_rates(drop_path, 3 * count))

        def stage(before: int, filters: int) -> nn.Sequential:
            make = partial(Block, shortcut=shortcut)
            blocks = [make(before, filters, drop=next(rates))]
            blocks += [make(filters, filters, drop=next(rates)) for _ in range(count - 1)]
            return nn.Sequential(*blocks)

        self.stage1 = stage(width, width)
        self.stage2 = stage(width, 2 * width)
        self.stage3 = stage(2 * width, 4 * width)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(4 * width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, Block) and zero_init and shortcut != "none":
                nn.init.zeros_(module.norm2.weight)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the map after each stage."""
        x = self.relu1(self.norm1(self.conv1(images)))  # (B, width, H, W)
        maps = []
        for stage in (self.stage1, self.stage2, self.stage3):
            x = stage(x)
            maps.append(x)
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the map of the last stage."""
        return self.head(self.flatten(self.pool(maps)))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])
