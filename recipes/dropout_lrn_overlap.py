"""What are dropout, LRN and overlapping pooling worth? AlexNet's three claims, one by one.

    python recipes/dropout_lrn_overlap.py [--json table.json]

Takes: about 20 minutes on two cores (six networks, three seeds).
Measured: 2026-11-22, two cores (AMD EPYC), torch 2.13.0, n = 1 (`--seeds 1`); machine shared. After
8 epochs of 10,000 pictures:

    network                 training accuracy %   test accuracy %
    none of them            83.65                 62.65
    LRN, alpha as printed   73.72                 60.94
    LRN                     69.40                 60.59
    overlapping pooling     80.69                 65.49
    dropout                 70.92                 61.78
    all three               63.47                 60.65

Measured with --full: not run: it needs a GPU, and none was at hand.

Krizhevsky, Sutskever & Hinton 2012 say what each was worth to AlexNet on ImageNet:

* local response normalisation (section 3.3): top-1 error 1.4 points lower; and a four-layer
  network on CIFAR-10 went from 13 % to 11 % error with it;
* overlapping pooling, 3×3 windows every 2 instead of 2×2 (3.4): 0.4 points;
* dropout (4.2): "without dropout, our network exhibits substantial overfitting"; twice the
  iterations to converge.

Here a four-layer network on CIFAR-10 without any of them, with each alone, and with all three:

    conv 5×5×32, ReLU, pool, [LRN] → conv 5×5×64, ReLU, pool, [LRN]
        → dense 256, ReLU, [dropout 0.5] → dense K

What to look at:

* test accuracy beside its spread over the seeds: a difference smaller than that says nothing.
  A gain of half a point is seen on a million pictures, hardly on ten thousand;
* dropout *lowers* training accuracy and narrows the gap to the test: from 21 points to 9. In so
  short a training the test gains nothing by it yet;
* overlapping pooling is the one of the three that helped here, by 2.8 points with one seed;
* LRN divides a value by (k + alpha · Σ neighbours²)^0.75. The paper's alpha of 0.0001 belongs to
  pictures with levels of 0..255. Ours have a spread of 1: with that alpha the sum is nothing beside
  k = 2, and the layer divides everything by 1.68. The other LRN row has alpha · 64²;
* LRN has no weights, and learns more slowly here: batch norm (2015) took its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from _common import Schedule, ask, load_pictures, train_all
from _table import finish, plain_row
from torch import Tensor, nn

import nunbit
from nunbit.layers import LocalResponseNorm
from nunbit.networks import NetworkInfo, register

QUICK = Schedule(epochs=8, seeds=3, pictures=10_000)
FULL = Schedule(epochs=60, seeds=5)
UNIT_ALPHA = 1e-4 * 64**2
"""The paper's alpha for pictures of spread 1: its own had levels 0..255, a spread of about 64."""
VARIANTS: dict[str, dict[str, Any]] = {
    "none of them": {},
    "LRN, alpha as printed": {"lrn_alpha": 1e-4},
    "LRN": {"lrn_alpha": UNIT_ALPHA},
    "overlapping pooling": {"overlap": True},
    "dropout": {"dropout": 0.5},
    "all three": {"lrn_alpha": UNIT_ALPHA, "overlap": True, "dropout": 0.5},
}


@register(
    NetworkInfo(
        name="recipe-four-layers",
        title="four layers, with what AlexNet brought to be put on and off",
        source="recipes/dropout_lrn_overlap.py, after Krizhevsky et al. 2012",
        image_size=32,
        channels=3,
        lr=0.001,
    )
)
class FourLayers(nn.Module):
    """Two convolutions and two dense layers.

    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 8.
        lrn_alpha: Of the local response normalisation after each pooling; 0: there is none.
        overlap: Whether pooling windows are 3×3 instead of 2×2; they are 2 apart.
        dropout: Share of neurons dropped after the first dense layer, 0..1.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        lrn_alpha: float = 0.0,
        overlap: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, side = channels, image_size
        for filters in (32, 64):
            layers += [nn.Conv2d(before, filters, 5, padding=2), nn.ReLU()]
            # Both halve the map, so that the dense layer is the same in all variants.
            layers.append(nn.MaxPool2d(3, stride=2, padding=1) if overlap else nn.MaxPool2d(2))
            if lrn_alpha > 0:
                layers.append(LocalResponseNorm(alpha=lrn_alpha))
            side = (side + 1) // 2 if overlap else side // 2
            before = filters
        self.body = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(before * side * side, 256)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(256, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the last map."""
        return [self.body(images)]

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        x = self.relu(self.dense(self.flatten(maps)))  # (B, 256)
        return self.head(self.dropout(x))  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train every variant, print the table."""
    setting = ask(__doc__, source="cifar10", quick=QUICK, full=FULL, arguments=arguments)
    pictures = load_pictures(setting)
    runs = train_all(
        {name: ("recipe-four-layers", options) for name, options in VARIANTS.items()},
        pictures,
        setting,
        options=nunbit.TrainOptions(optimizer="adam", lr=0.001, batch_size=128),
    )
    rows = [plain_row(name, each) for name, each in runs.items()]
    plain = runs.get("none of them")
    for row, each in zip(rows, runs.values(), strict=True):
        if plain is not None:  # seed by seed: the same first weights and order of pictures
            pairs = zip(each, plain, strict=True)
            gains = [100 * (a.test_accuracy - b.test_accuracy) for a, b in pairs]
            row["gain, points"] = round(sum(gains) / len(gains), 2)
    finish("dropout_lrn_overlap", rows, setting)


if __name__ == "__main__":
    main()
