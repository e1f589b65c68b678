"""``alexnet``: the network that won ImageNet in 2012, in two towers on two GPUs.

What was new: a network this large, trained on 1.2 million photographs, and what made
that possible: ReLU instead of tanh (six times as quick to learn), two GPUs, response
normalisation, pooling whose windows overlap, and dropout. One network alone has 18.2 %
top-5 error. Seven together, two of them trained on a larger ImageNet first, won with
15.3 %, where the next best got 26.2 %.

    picture 227 (or 224 with a border of 2)
      tower 0            tower 1            each GPU has half of the filters
    conv1 11×11/4, 48  conv1 11×11/4, 48    55×55   ReLU, LRN, max-pool 3/2 → 27×27
    conv2 5×5, 128     conv2 5×5, 128       27×27   ReLU, LRN, max-pool 3/2 → 13×13
          └──────── × ───────┘              conv3 sees the maps of both towers
    conv3 3×3, 192     conv3 3×3, 192       13×13   ReLU
    conv4 3×3, 192     conv4 3×3, 192       13×13   ReLU
    conv5 3×3, 128     conv5 3×3, 128       13×13   ReLU, max-pool 3/2 → 6×6
          └──────── × ───────┘              dense layers see both towers, too
    dense6 2,048       dense6 2,048         ReLU, dropout 0.5
          └──────── × ───────┘
    dense7 2,048       dense7 2,048         ReLU, dropout 0.5
          └──── head K ──────┘

60,965,224 weights for 1,000 classes, 58.6 million of them in the dense layers.

The size of the picture: the paper says 224, but 11×11 windows in steps of 4 give its
55×55 maps from 227 pixels, or from 224 with two zeros on each side. Here conv1 has
no border where its windows end at the edge of the picture (227), and 2 elsewhere (224).

What we change: fresh weights are He's, because with the paper's N(0, 0.01) the deep
maps of a fresh network hardly differ, and training stands still for long; ``init =
"paper"`` gives the paper's. Normalisation stays within a tower, as it did on each GPU.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn

from nunbit.errors import OptionError
from nunbit.layers import Dropout, LocalResponseNorm
from nunbit.networks._registry import NetworkInfo, register
from nunbit.networks._sizes import need_size
from nunbit.options import Option

__all__ = ["AlexNet", "Tower"]

FILTERS = (48, 128, 192, 192, 128)
"""Of each tower, conv1 to conv5."""

LEAST = 64
"""The smallest picture, in pixels: it leaves one place after the last pooling."""

PAPER_STD = 0.01


class Tower(nn.Module):
    """What one of the two GPUs computes.

    Its parts are called one after the other by :class:`AlexNet`, which lets the towers
    see each other in between; so a tower has no ``forward`` of its own.

    Args:
        channels: Channels of the picture.
        filters: Of conv1 to conv5 in this tower.
        padding: Of conv1, in pixels.
        side: Of the last map, in cells.
        dense: Neurons of each dense layer in this tower.
    """

    def __init__(
        self, channels: int, filters: Sequence[int], *, padding: int, side: int, dense: int
    ) -> None:
        super().__init__()
        one, two, three, four, five = filters
        self.maps1 = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, one, 11, stride=4, padding=padding),
                relu1=nn.ReLU(),
                norm1=LocalResponseNorm(5, 2.0, alpha=1e-4, beta=0.75),
                pool1=nn.MaxPool2d(3, stride=2),
            )
        )
        self.maps2 = nn.Sequential(
            OrderedDict(
                conv2=nn.Conv2d(one, two, 5, padding=2),
                relu2=nn.ReLU(),
                norm2=LocalResponseNorm(5, 2.0, alpha=1e-4, beta=0.75),
                pool2=nn.MaxPool2d(3, stride=2),
            )
        )
        self.maps5 = nn.Sequential(
            OrderedDict(
                conv3=nn.Conv2d(2 * two, three, 3, padding=1),  # the maps of both towers
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(three, four, 3, padding=1),
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(four, five, 3, padding=1),
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(3, stride=2),
            )
        )
        self.dense6 = nn.Linear(2 * five * side * side, dense)
        self.relu6 = nn.ReLU()
        self.dense7 = nn.Linear(2 * dense, dense)
        self.relu7 = nn.ReLU()

    @property
    def device(self) -> torch.device:
        """Where the tower is."""
        return self.dense6.weight.device


@register(
    NetworkInfo(
        name="alexnet",
        title="AlexNet in its two towers, with LRN and overlapping pooling",
        source="Krizhevsky, Sutskever, Hinton 2012",
        year=2012,
        image_size=227,
        channels=3,
        lr=0.001,
        reported="ILSVRC-2010: 37.5 % top-1, 17.0 % top-5 error; ILSVRC-2012: 18.2 % top-5",
    )
)
class AlexNet(nn.Module):
    """Two towers that see each other's maps before conv3 and before each dense layer.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 64.
    Raises:
        ShapeError: The picture is too small.
        OptionError: ``dense`` is odd.
    Source: Krizhevsky et al. 2012, section 3 and figure 2.
    Departs: ``init``; dropout drops whole values of one mask for both towers, drawn where
        tower 0 is, so that one device and two do the same.
    """

    splits = 2
    """Parts that can lie on devices of their own."""

    stems: ClassVar[tuple[str, ...]] = ("tower0.maps1.conv1", "tower1.maps1.conv1")
    """The layers that see the picture."""

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
            int,
            Option("Neurons of each dense layer, both towers together; even.", low=2, high=65536),
        ] = 4096,
        dropout: Annotated[
            float, Option("Share of neurons dropped after each dense layer.", low=0, high=1)
        ] = 0.5,
        init: Annotated[
            Literal["he", "paper"],
            Option(
                "Fresh weights: He's, or the paper's N(0, 0.01) with biases of 1 in conv2, conv4, "
                "conv5 and the dense layers, so that ReLU gets positive values at first."
            ),
        ] = "he",
    ) -> None:
        super().__init__()
        need_size("alexnet", image_size, LEAST)
        if dense % 2:
            raise OptionError(
                f"network `alexnet`: `dense` is {dense}, expected an even number, half for each "
                f"tower, such as {dense + 1}."
            )
        filters = [max(1, round(width * each)) for each in FILTERS]
        padding = 0 if (image_size - 11) % 4 == 0 else 2
        side = (image_size + 2 * padding - 11) // 4 + 1
        for _ in range(3):
            side = (side - 3) // 2 + 1
        shape = {"padding": padding, "side": side, "dense": dense // 2}
        self.tower0 = Tower(channels, filters, **shape)
        self.tower1 = Tower(channels, filters, **shape)
        self.flatten = nn.Flatten()
        self.dropout6 = Dropout(dropout)
        self.dropout7 = Dropout(dropout)
        self.head = nn.Linear(dense, outputs)
        self._start(init)

    def _start(self, init: str) -> None:
        """Draw fresh weights."""
        ones = ("conv2", "conv4", "conv5", "dense6", "dense7") if init == "paper" else ()
        for path, layer in self.named_modules():
            if not isinstance(layer, (nn.Conv2d, nn.Linear)):
                continue
            if init == "paper" or layer is self.head:
                nn.init.normal_(layer.weight, std=PAPER_STD)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.constant_(layer.bias, float(path.endswith(ones)))

    def split_over(self, devices: Sequence[torch.device]) -> None:
        """Put tower 0 on the first device and tower 1 on the second.

        From then on ``forward`` takes pictures on the first device and returns outputs
        there; only what the paper lets cross goes from one to the other: the picture,
        the maps before conv3, and the vectors around the dense layers. Keys of
        ``state_dict`` stay. Make the optimizer afterwards. ``network.to(device)``
        brings the towers together again.

        Raises:
            OptionError: There are not two devices.
        """
        if len(devices) != self.splits:
            raise OptionError(
                f"alexnet has {self.splits} towers, got {len(devices)} devices. Pass one device "
                "for each; the same one twice is allowed."
            )
        self.to(devices[0])
        self.tower1.to(devices[1])

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the maps of both towers side by side, after each pooling.

        At 227 pixels: (B, 96, 27, 27), (B, 256, 13, 13), (B, 256, 6, 6).
        """
        return [_join(parts, self.tower0.device) for parts in self._stages(images)]

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map, on the device of tower 0."""
        zero, one = self.tower0, self.tower1
        x = self.flatten(maps)  # (B, 9216)
        halves = [zero.relu6(zero.dense6(x)), one.relu6(one.dense6(_on(x, one.device)))]
        x = self.dropout6(_join(halves, zero.device))  # (B, 4096)
        halves = [zero.relu7(zero.dense7(x)), one.relu7(one.dense7(_on(x, one.device)))]
        x = self.dropout7(_join(halves, zero.device))
        return self.head(x)  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(_join(self._stages(images)[-1], self.tower0.device))

    def _stages(self, images: Tensor) -> list[list[Tensor]]:
        """Return the maps of each tower after each pooling, where the tower is."""
        zero, one = self.tower0, self.tower1
        first = [tower.maps1(_on(images, tower.device)) for tower in (zero, one)]
        second = [zero.maps2(first[0]), one.maps2(first[1])]
        both = _join(second, zero.device)
        there = both if one.device == zero.device else _join(second, one.device)
        return [first, second, [zero.maps5(both), one.maps5(there)]]


def _on(values: Tensor, device: torch.device) -> Tensor:
    return values if values.device == device else values.to(device)


def _join(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return both parts side by side on one device."""
    return torch.cat([_on(part, device) for part in parts], dim=1)
