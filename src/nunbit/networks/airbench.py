"""Airbench's network for CIFAR-10 (2024): made to learn in ten passes over the pictures.

Jordan: 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, arXiv:2404.00498, section 3.
The body goes back to Page 2018 (How to train your ResNet) without its shortcuts.

What was new: nothing that is learnt slowly. The first layer is not learnt but worked
out from the training pictures (their 2×2 patches are whitened), the convolutions start
as the identity, and the norms have no gain.

    group: x ─► conv 3×3 ─► max-pool /2 ─► norm ─► GELU ─┬► conv 3×3 ─► norm ─► + ─► GELU
                                                         └──── if shortcut ────┘

    32×32×3 → conv 2×2×24, no padding, fixed; GELU → 31×31×24
            → group of 64                          → 15×15×64
            → group of 256                         → 7×7×256
            → group of 256                         → 3×3×256
            → global max-pool → dense K, no bias, × 1/9

    1,972,792 parameters for 10 classes, 118 million multiply-adds, nearly all of them in
    convolutions that fill a processor.

``airbench-photo`` is ours: the same for photographs of 64 to 96 pixels. It whitens 4×4
patches in steps of 2, has ReLU, which costs a processor less, and a shortcut over the
second convolution of each group (as the paper's larger networks, section 5).

    64×64×3 → conv 4×4×96, stride 2, fixed; ReLU → 31×31×96
            → groups of 64, 128, 256             → 15×15, 7×7, 3×3
            → global max-pool → dense K, no bias, × 1/16

Departs: the last pool takes the maximum of whatever is left, so that other picture
sizes work.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["Airbench"]

EPSILON = 5e-4
"""Added to the variances before whitening; the paper's value."""

SEEN_AT_ONCE = 64
"""Pictures whose patches lie in memory together: 64 of 96×96 with 4×4 patches take 100 MB."""


class Norm(nn.BatchNorm2d):
    """Batch norm that shifts but has no gain of its own, and forgets fast.

    Source: the paper, section 3.1 and its code.
    """

    def __init__(self, filters: int, *, momentum: float = 0.4) -> None:
        super().__init__(filters, momentum=momentum)
        self.weight.requires_grad_(False)


class Group(nn.Module):
    """Two convolutions; the map is halved after the first.

    Shape:
        input: (B, before, H, W).
        output: (B, filters, H // 2, W // 2).
    """

    def __init__(
        self, before: int, filters: int, *, activation: type[nn.Module], shortcut: bool
    ) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.conv1 = nn.Conv2d(before, filters, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = Norm(filters)
        self.act1 = activation()
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.norm2 = Norm(filters)
        self.act2 = activation()
        for conv in (self.conv1, self.conv2):  # the first filters pass their input on
            nn.init.dirac_(conv.weight.data[: conv.in_channels])

    def forward(self, x: Tensor) -> Tensor:
        y = self.act1(self.norm1(self.pool(self.conv1(x))))
        z = self.norm2(self.conv2(y))
        return self.act2(z + y if self.shortcut else z)  # type: ignore[no-any-return]


@register(
    NetworkInfo(
        name="airbench",
        title="learns CIFAR-10 in ten passes: whitened patches, identity start, Muon",
        source="Jordan 2024, arXiv:2404.00498",
        image_size=32,
        channels=3,
        reported="CIFAR-10: 94.0 % after 9.9 epochs (with test-time flips and shifts)",
        year=2024,
        aliases=("airbench94",),
    ),
    NetworkInfo(
        name="airbench-photo",
        title="the same for small sets of photographs, 64 to 96 pixels",
        source="ours, after Jordan 2024, arXiv:2404.00498",
        image_size=64,
        channels=3,
        fixed={
            "middle": 128,
            "patch": 4,
            "patch_stride": 2,
            "activation": "relu",
            "shortcut": True,
            "divisor": 16.0,
        },
    ),
)
class Airbench(nn.Module):
    """A whitening layer, three groups, global max-pool, one dense layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 9.
        width: Filters of the first group.
        middle: Filters of the second group.
        wide: Filters of the third group.
        patch: Side of the whitened patches, in pixels.
        patch_stride: Step from patch to patch, in pixels.
        activation: ``gelu`` as in the paper, or ``relu``.
        shortcut: Whether each group has a shortcut over its second convolution.
        divisor: What the logits are divided by.
    Raises:
        ShapeError: The picture is too small.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        width: Annotated[int, Option("Filters of the first group.", low=1, high=1024)] = 64,
        middle: Annotated[int, Option("Filters of the second group.", low=1, high=4096)] = 256,
        wide: Annotated[int, Option("Filters of the third group.", low=1, high=4096)] = 256,
        patch: Annotated[int, Option("Side of the whitened patches.", low=1, high=8)] = 2,
        patch_stride: Annotated[int, Option("Step between patches.", low=1, high=8)] = 1,
        activation: Annotated[Literal["gelu", "relu"], Option("After each norm.")] = "gelu",
        shortcut: Annotated[bool, Option("A shortcut over each second convolution.")] = False,
        divisor: Annotated[float, Option("Logits are divided by it.", low=0.01, high=1000.0)] = 9.0,
    ) -> None:
        super().__init__()
        need_size("airbench", image_size, patch + 7 * patch_stride)
        values = channels * patch * patch
        self.whiten = nn.Conv2d(channels, 2 * values, patch, stride=patch_stride)
        self.whiten.weight.requires_grad_(False)
        nn.init.orthogonal_(self.whiten.weight)  # until it has seen pictures
        if self.whiten.bias is not None:
            nn.init.zeros_(self.whiten.bias)
        kind: type[nn.Module] = nn.GELU if activation == "gelu" else nn.ReLU
        self.act = kind()
        self.group1 = Group(2 * values, width, activation=kind, shortcut=shortcut)
        self.group2 = Group(width, middle, activation=kind, shortcut=shortcut)
        self.group3 = Group(middle, wide, activation=kind, shortcut=shortcut)
        self.divisor = divisor
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(wide, outputs, bias=False)

    @torch.no_grad()
    def see(self, images: Tensor) -> None:
        """Work out the first layer from some thousand training pictures.

        Its filters are the principal directions of the patches, each divided by its
        spread, and the same with the other sign.

        Shape:
            images: (N, channels, image_size, image_size), float, normalised.
        """
        conv, count = self.whiten, 0
        total = torch.zeros((), dtype=torch.float64, device=images.device)
        for part in torch.split(images.float(), SEEN_AT_ONCE):
            patches = nn.functional.unfold(part, conv.kernel_size, stride=conv.stride)
            flat = patches.transpose(1, 2).flatten(0, 1).double()  # (patches, values)
            total = total + flat.T @ flat
            count += len(flat)
        spread, directions = torch.linalg.eigh(total / count)
        filters = (directions / (spread + EPSILON).sqrt()).T.flip(0)
        whole = torch.cat([filters, -filters]).view_as(conv.weight)
        conv.weight.copy_(whole)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the maps after the whitening and after each group."""
        maps = [self.act(self.whiten(images))]
        for group in (self.group1, self.group2, self.group3):
            maps.append(group(maps[-1]))
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map; the divisor keeps fresh logits small."""
        return self.head(self.flatten(self.pool(maps))) / self.divisor  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])
