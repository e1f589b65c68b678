"""VGG: ``vgg-a`` … ``vgg-e``, depth from 3×3 convolutions alone (2014).

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", arXiv:1409.1556. What was new: nothing but 3×3 filters. Two of them see
5×5 cells and three see 7×7, with fewer weights and more ReLUs between than one large
filter, so the depth could be the only thing that changes from A to E.

    A        64        M  128         M  256 256          M  512 512          M  512 512          M
    A-LRN    64 LRN    M  128         M  256 256          M  512 512          M  512 512          M
    B        64 64     M  128 128     M  256 256          M  512 512          M  512 512          M
    C        64 64     M  128 128     M  256 256 (256)    M  512 512 (512)    M  512 512 (512)    M
    D, VGG16 64 64     M  128 128     M  256 256 256      M  512 512 512      M  512 512 512      M
    E, VGG19 64 64     M  128 128     M  256 256 256 256  M  512 512 512 512  M  512 512 512 512  M

    number = filters of conv 3×3, padding 1, ReLU;  (number) = of conv 1×1, ReLU;  M = max-pool 2
    224×224×3 → 112×112×64 → 56×56×128 → 28×28×256 → 14×14×512 → 7×7×512
              → dense 4,096, ReLU, dropout → dense 4,096, ReLU, dropout → dense K

A picture larger than the network was made for is taken as section 3.2 has it: the
dense layers slide over the larger map as convolutions, and the class scores of all
places are averaged.

What we change: ``-bn`` puts a batch norm between each convolution and its ReLU, which
came after the paper. Fresh weights are He's; the paper trained A first and began the
deeper ones from its layers.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from nunbit.errors import OptionError, ShapeError, did_you_mean
from nunbit.layers import Dropout, LocalResponseNorm
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["Vgg"]

CONFIGS = {
    "a": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "a-lrn": "64 LRN M 128 M 256 256 M 512 512 M 512 512 M",
    "b": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    "c": "64 64 M 128 128 M 256 256 (256) M 512 512 (512) M 512 512 (512) M",
    "d": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "e": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
"""Table 1 of the paper, in the notation of the picture above."""
WITH_NORM = [f"{config}-bn" for config in CONFIGS if config != "a-lrn"]
"""LRN and batch norm would be two normalisations of the same maps."""
FIRST_FILTERS = 64
"""What the numbers of ``CONFIGS`` are relative to."""

TITLES = {
    "a": ("11 layers", ("vgg11",), "29.6 % top-1, 10.4 % top-5 error"),
    "a-lrn": ("11 layers, with LRN", (), "29.7 % top-1, 10.5 % top-5 error"),
    "b": ("13 layers", ("vgg13",), "28.7 % top-1, 9.9 % top-5 error"),
    "c": ("16 layers, three of them 1×1", (), "27.3 % top-1, 8.8 % top-5 error"),
    "d": ("16 layers, VGG16", ("vgg16",), "25.6 % top-1, 8.1 % top-5 error"),
    "e": ("19 layers, VGG19", ("vgg19",), "25.5 % top-1, 8.0 % top-5 error"),
}
"""Title, other names, and the best of Table 3: ImageNet validation at one scale."""


def _info(config: str) -> NetworkInfo:
    letters = config.removesuffix("-bn")
    normed = letters != config
    title, aliases, reported = TITLES[letters]
    return NetworkInfo(
        name=f"vgg-{config}",
        title=f"3×3 convolutions, {title}" + (", batch norm" if normed else ""),
        source="Simonyan & Zisserman 2014, arXiv:1409.1556",
        image_size=224,
        channels=3,
        lr=0.005 if normed else 0.0005,
        reported="" if normed else f"{reported} on ImageNet (paper)",
        year=2014,
        aliases=tuple(f"{a}{dash}bn" for a in aliases for dash in "-_") if normed else aliases,
        fixed={"config": config},
    )


@register(*(_info(config) for config in (*CONFIGS, *WITH_NORM)))
class Vgg(nn.Module):
    """Five stages of 3×3 convolutions that each end in a max-pool, and three dense layers.

    Shape:
        input: (B, channels, H, W), float, normalised; H and W are ``image_size``, or
            larger: then the dense layers act as convolutions.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 32.
        config: ``a``, ``a-lrn``, ``b``, ``c``, ``d`` or ``e``; all but ``a-lrn`` also
            with ``-bn`` for batch norm.
    Raises:
        ShapeError: The picture is too small.
        OptionError: There is no such configuration.
    Source: Simonyan and Zisserman 2014, arXiv:1409.1556, Table 1; dropout follows the
        ReLU. LRN has the constants of Krizhevsky et al. 2012.
    Departs: convolutions and hidden dense layers start from He's initialisation, the last
        layer from a normal distribution with standard deviation 0.01, biases from 0. The
        paper took the outer layers of the deep ones from a trained A, and drew the rest with
        one spread for all; torchvision draws dense layers with 0.01, which fades out on the
        way through narrow versions, as small pictures get them.
    """

    published_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^features\.", "body."),
        (r"^classifier\.0\.", "dense1."),
        (r"^classifier\.3\.", "dense2."),
        (r"^classifier\.6\.", "head."),
    )
    """torchvision's names of the same tensors."""

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        config: str = "d",
        width: Annotated[
            int,
            Option(
                "Filters of the first stage; the others have 2, 4, 8 and 8 times as many.",
                low=1,
                high=1024,
            ),
        ] = 64,
        dense: Annotated[
            int, Option("Neurons of each of the two hidden dense layers.", low=1, high=65536)
        ] = 4096,
        dropout: Annotated[
            float, Option("Share of values dropped after each hidden dense layer.", low=0, high=1)
        ] = 0.5,
        pool_to: Annotated[
            int,
            Option(
                "Side to which the last map is averaged before the dense layers; 0 leaves it as it "
                "is. Published weights want 7, which changes nothing at 224 pixels.",
                unit="cells",
                low=0,
                high=64,
            ),
        ] = 0,
    ) -> None:
        super().__init__()
        known = [*CONFIGS, *WITH_NORM]
        if config not in known:
            raise OptionError(
                f"VGG has no configuration `{config}`.{did_you_mean(config, known)} "
                f"It has: {', '.join(known)}."
            )
        self.name = f"vgg-{config}"
        need_size(self.name, image_size, 32)
        self.side = pool_to or image_size // 32
        self.body, filters = _make_body(config, channels, width)
        self.pool = nn.AdaptiveAvgPool2d(pool_to) if pool_to else nn.Identity()
        self.flatten = nn.Flatten()
        self.dense1 = nn.Linear(filters * self.side**2, dense)
        self.relu1 = nn.ReLU()
        self.dropout1 = Dropout(dropout)
        self.dense2 = nn.Linear(dense, dense)
        self.relu2 = nn.ReLU()
        self.dropout2 = Dropout(dropout)
        self.head = nn.Linear(dense, outputs)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # a bias is a tensor
        nn.init.normal_(self.head.weight, std=0.01)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the maps after the five max-pools, from a half to a 32nd of the side."""
        maps, x = [], images
        for layer in self.body:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map; of a larger one, the mean over all places."""
        x = self.pool(maps)
        if x.shape[-2:] != (self.side, self.side):
            return self._slide(x).mean(dim=(2, 3))
        x = self.dropout1(self.relu1(self.dense1(self.flatten(x))))  # (B, dense)
        x = self.dropout2(self.relu2(self.dense2(x)))
        return self.head(x)  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.body(images))

    def score_map(self, images: Tensor) -> Tensor:
        """Return the logits at every place where the network fits into the picture.

        A picture of the size that the network was made for has one place; 32 pixels
        more on a side make one more. With ``pool_to`` there is one place always.

        Shape:
            images: (B, channels, H, W), H and W at least ``image_size``.
            returns: (B, outputs, h, w).
        Raises:
            ShapeError: The picture is smaller than the network was made for.
        Source: section 3.2 of the paper.
        """
        return self._slide(self.pool(self.body(images)))

    def _slide(self, maps: Tensor) -> Tensor:
        """Apply the dense layers as convolutions: (B, C, H, W) to (B, outputs, h, w)."""
        if min(maps.shape[-2:]) < self.side:
            least = 32 * self.side
            raise ShapeError(
                f"this `{self.name}` was made for pictures of {least}×{least} pixels or more, got "
                f"a last map of {maps.shape[-2]}×{maps.shape[-1]} cells, expected at least "
                f"{self.side}×{self.side}. Scale the pictures up, or make it with a smaller "
                "`image_size`."
            )
        x = _as_convolution(self.dense1, maps, side=self.side)  # (B, dense, h, w)
        x = self.dropout1(self.relu1(x))
        x = self.dropout2(self.relu2(_as_convolution(self.dense2, x, side=1)))
        return _as_convolution(self.head, x, side=1)


def _make_body(config: str, channels: int, width: int) -> tuple[nn.Sequential, int]:
    """Return the convolutions and pools of a configuration, and the filters of the last."""
    layers: list[nn.Module] = []
    before = channels
    for word in CONFIGS[config.removesuffix("-bn")].split():
        if word == "M":
            layers.append(nn.MaxPool2d(2))
        elif word == "LRN":
            layers.append(LocalResponseNorm())
        else:
            kernel = 1 if word.startswith("(") else 3
            filters = int(word.strip("()")) * width // FIRST_FILTERS
            layers.append(nn.Conv2d(before, filters, kernel, padding=kernel // 2))
            if config.endswith("-bn"):
                layers.append(nn.BatchNorm2d(filters))
            layers.append(nn.ReLU())
            before = filters
    return nn.Sequential(*layers), before


def _as_convolution(dense: nn.Linear, maps: Tensor, *, side: int) -> Tensor:
    """Slide a dense layer that was made for ``side``×``side`` cells over a larger map."""
    weight = dense.weight.reshape(dense.out_features, -1, side, side)  # (neurons, C, side, side)
    return F.conv2d(maps, weight, dense.bias)
