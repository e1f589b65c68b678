"""``lenet-5`` as LeCun et al. wrote it in 1998, and ``lenet-5-modern`` as textbooks do.

What was new: the filters of a network for pictures are learnt from the pixels on,
together with everything after them. A filter is slid over the picture (few weights,
the same stroke is found anywhere), sub-sampling blurs where exactly it was, and
deeper layers join strokes to digits. Banks read cheques with it.

    1×32×32 → C1  conv 5×5           → 6×28×28     156 weights
            → S2  sub-sampling 2×2   → 6×14×14      12
            → C3  conv 5×5 by table  → 16×10×10  1,516
            → S4  sub-sampling 2×2   → 16×5×5       32
            → C5  conv 5×5           → 120×1×1  48,120
            → F6  dense              → 84       10,164     together the paper's 60,000
            → output                 → K           850 for 10 classes

Every layer but the last is followed by the squashing function 1.7159 tanh(2a/3).
S2 and S4 have a learnt coefficient and bias per map; C3's maps see three, four or
six of S2's (table I of the paper).

What we change: the paper's output layer compares F6 with drawings of the letters
(Euclidean radial basis functions with fixed centres of ±1 and nothing to learn); here
it is a dense layer with the usual loss. Digits of 28×28 are padded by 2 on each side,
with zeros of normalised values; the paper pads with its background colour.

``lenet-5-modern`` has a full C3, pooling without weights, and dense layers: 61,706
weights for 10 classes.

Larger pictures: C5's kernel is as large as its input, so that it stays one vector.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from nunbit.layers import ScaledTanh, Subsampling, TableConv2d
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["LeNet5", "LeNet5Modern"]

LEAST = 12
"""The smallest picture, in pixels: padded to 16, it leaves one place for C5."""

PAPER_SIDE = 32
"""Pictures smaller than the paper's, in pixels, are padded by 2 on each side."""

TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)
"""The maps of S2 that each map of C3 sees (table I)."""


def last_side(image_size: int) -> tuple[int, int]:
    """Return the padding of C1 and the side of S4's maps."""
    padding = 2 if image_size < PAPER_SIDE else 0
    return padding, ((image_size + 2 * padding - 4) // 2 - 4) // 2


@register(
    NetworkInfo(
        name="lenet-5",
        title="LeNet-5 with its connection table and learnt sub-sampling",
        source="LeCun et al. 1998",
        year=1998,
        image_size=28,
        channels=1,
        lr=0.003,
        reported="0.95 % error on MNIST; 0.8 % with distorted copies",
    )
)
class LeNet5(nn.Module):
    """The network of 1998, with a dense output layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 12. Below 32, two zeros are
            added on each side.
    Raises:
        ShapeError: The picture is too small.
    Source: LeCun et al. 1998, section II.B; 60,000 weights without the output layer.
    Departs: a dense output layer instead of fixed radial basis functions; biases start at 0.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        amplitude: Annotated[
            float,
            Option("A of the squashing function A tanh(S a).", low=0, high=100, open_low=True),
        ] = 1.7159,
        slope: Annotated[
            float,
            Option("S of the squashing function A tanh(S a).", low=0, high=100, open_low=True),
        ] = 2 / 3,
        init_limit: Annotated[
            float,
            Option(
                "Fresh weights are uniform within ± this number / fan-in.",
                low=0,
                high=100,
                open_low=True,
            ),
        ] = 2.4,
    ) -> None:
        super().__init__()
        need_size("lenet-5", image_size, LEAST)
        padding, side = last_side(image_size)
        self.c1 = nn.Conv2d(channels, 6, 5, padding=padding)
        self.squash1 = ScaledTanh(amplitude, slope)
        self.s2 = Subsampling(6)
        self.squash2 = ScaledTanh(amplitude, slope)
        self.c3 = TableConv2d(TABLE, 5)
        self.squash3 = ScaledTanh(amplitude, slope)
        self.s4 = Subsampling(16)
        self.squash4 = ScaledTanh(amplitude, slope)
        self.c5 = nn.Conv2d(16, 120, side)
        self.squash5 = ScaledTanh(amplitude, slope)
        self.flatten = nn.Flatten()
        self.f6 = nn.Linear(120, 84)
        self.squash6 = ScaledTanh(amplitude, slope)
        self.head = nn.Linear(84, outputs)
        self._start(init_limit)

    @torch.no_grad()
    def _start(self, limit: float) -> None:
        """Draw fresh weights, each by the number of inputs of its unit."""
        for layer in (self.c1, self.c5, self.f6, self.head):
            fan_in = layer.weight[0].numel()
            layer.weight.uniform_(-limit / fan_in, limit / fan_in)
        taps = self.c3.weight[0].numel()
        fans = [taps * len(row) for row in TABLE for _ in row]
        limits = torch.tensor([limit / fan for fan in fans]).to(self.c3.weight)
        self.c3.weight.uniform_(-1, 1).mul_(limits.view(-1, 1, 1))
        for pool in (self.s2, self.s4):
            pool.weight.uniform_(-limit / pool.size**2, limit / pool.size**2)
        for path, parameter in self.named_parameters():
            if path.endswith(".bias"):
                parameter.zero_()

    def features(self, images: Tensor) -> list[Tensor]:
        """Return S2 and S4: (B, 6, 14, 14) and (B, 16, 5, 5) for the paper's size."""
        s2 = self.squash2(self.s2(self.squash1(self.c1(images))))
        s4 = self.squash4(self.s4(self.squash3(self.c3(s2))))
        return [s2, s4]

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from S4."""
        c5 = self.flatten(self.squash5(self.c5(maps)))  # (B, 120)
        return self.head(self.squash6(self.f6(c5)))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
POOLINGS: dict[str, type[nn.MaxPool2d] | type[nn.AvgPool2d]] = {
    "max": nn.MaxPool2d,
    "average": nn.AvgPool2d,
}


@register(
    NetworkInfo(
        name="lenet-5-modern",
        title="LeNet-5 as textbooks write it: full C3, plain pooling, ReLU",
        source="after LeCun et al. 1998",
        year=1998,
        image_size=28,
        channels=1,
        lr=0.003,
    )
)
class LeNet5Modern(nn.Module):
    """Two convolutions with pooling, then three dense layers.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 12. Below 32, two zeros are
            added on each side.
    Raises:
        ShapeError: The picture is too small.
    Source: 61,706 weights for grey pictures of 28x28 or 32x32 and 10 classes.
    Departs: from 1998: see the head of the file. Fresh weights are He's with ReLU and
        Glorot's with the others, uniform; biases start at 0.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        activation: Annotated[
            Literal["relu", "tanh", "sigmoid"], Option("What follows each layer but the last.")
        ] = "relu",
        pooling: Annotated[
            Literal["max", "average"], Option("What is kept of each window of 2×2 cells.")
        ] = "max",
    ) -> None:
        super().__init__()
        need_size("lenet-5-modern", image_size, LEAST)
        act, pool = ACTIVATIONS[activation], POOLINGS[pooling]
        padding, side = last_side(image_size)
        self.body = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=padding),
            act(),
            pool(2),
            nn.Conv2d(6, 16, 5),
            act(),
            pool(2),
        )
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * side * side, 120),
            act(),
            nn.Linear(120, 84),
            act(),
        )
        self.head = nn.Linear(84, outputs)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                if activation == "relu" and layer is not self.head:
                    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                else:
                    nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the map after each pooling."""
        first = self.body[:3](images)  # (B, 6, 14, 14) for 28 and 32
        return [first, self.body[3:](first)]  # (B, 16, 5, 5)

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        return self.head(self.dense(maps))  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.body(images))
