"""How should weights start? Glorot, He, too small, too large, in a network of 16 layers.

    python recipes/initialisation.py [--plot loss.svg] [--json table.json]

Takes: about 4 minutes on two cores. `--plot` writes `loss.svg` and `loss-spread.svg`.
Measured: 2026-11-22, two cores (AMD EPYC), torch 2.13.0, n = 1; machine shared, seconds are upper
bounds: 228 s for all four. Spread after layers 1, 8 and 16; loss after epochs 1 and 10:

    start       spread 1   spread 8   spread 16   loss 1   loss 10   test accuracy %
    glorot      0.36       0.011      0.00022     2.31     2.30      10.00
    he          0.89       0.32       0.10        2.27     1.69      34.71
    too small   0.45       0.0012     0.0000015   2.31     2.30      10.00
    too large   1.8        81         6,600       127      1.83      30.79

Measured with --full: not run: it needs a GPU, and none was at hand.

Each layer multiplies the spread (standard deviation) of what passes by about

    sqrt(inputs of a neuron · variance of its weights / 2)          (2: ReLU halves the squares)

and sixteen layers do it sixteen times. A factor of 0.5 is 0.00002 in the end, a factor of 2 is
65,536. The gradient on its way back is multiplied in the same way.

* Glorot & Bengio 2010: variance 2 / (inputs + outputs). Right for tanh; with ReLU a factor of
  0.71 per layer, 1/256 after sixteen;
* He et al. 2015 (arXiv:1502.01852, equation 10): variance 2 / inputs. A factor of 1,
  a little less where zeros pad the map;
* too small: half of He's spread;  too large: twice of it.

What to look at:

* the spread after the first, eighth and last layer, before any training. He's does not stay quite
  where it was either: 0.89 becomes 0.10, a factor of 0.86 per layer. Half and twice of it are
  1/65,536 and 65,536 times that, as the arithmetic says;
* the loss curves: too small, and Glorot with ReLU, start at log(classes) = 2.30 and stay there:
  behind sixteen layers no picture differs from another, and the gradient that comes back is as
  small. Too large has a mean loss of 127 in its first epoch, comes down within it, and stays a
  little behind He from the second epoch on;
* that is SGD with momentum. What does `optimizer="adam", lr=0.001` below change? Adam divides by
  the gradient's size;
* the gradient is cut at length 1 (`clip_norm`), against the huge ones of too large;
* batch norm brings every spread back to 1, whatever the weights' size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from _common import Schedule, ask, load_pictures, train_all
from _plot import draw_lines, over_epochs
from _table import curves, finish, mean_sd
from torch import Tensor, nn

import nunbit
from nunbit.networks import NetworkInfo, register

QUICK = Schedule(epochs=10, pictures=10_000, image_size=16)
FULL = Schedule(epochs=30, seeds=3)
LAYERS = 16
STARTS = ("glorot", "he", "too small", "too large")


@register(
    NetworkInfo(
        name="recipe-starts",
        title="sixteen convolutions of 16 filters without normalisation",
        source="recipes/initialisation.py",
        image_size=32,
        channels=3,
        lr=0.001,
    )
)
class Starts(nn.Module):
    """Sixteen convolutions of equal width, average pooling, a dense layer.

    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 1.
        start: One of ``STARTS``.
    """

    def __init__(self, *, outputs: int, channels: int, image_size: int, start: str = "he") -> None:
        super().__init__()
        convs = [
            nn.Conv2d(16 if k else channels, 16, 3, padding=1, bias=False) for k in range(LAYERS)
        ]
        self.layers = nn.ModuleList(nn.Sequential(conv, nn.ReLU()) for conv in convs)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(16, outputs)
        for conv in convs:
            if start == "glorot":
                nn.init.xavier_normal_(conv.weight)
            else:
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                with torch.no_grad():
                    conv.weight *= {"he": 1.0, "too small": 0.5, "too large": 2.0}[start]

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the map after each layer."""
        maps, x = [], images
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        return self.head(self.flatten(self.pool(maps)))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])


@torch.no_grad()
def spreads(pictures: nunbit.Pictures, start: str) -> list[float]:
    """Return the standard deviation of each layer's map over 256 pictures, untrained."""
    model = nunbit.create_model_for(
        pictures, network="recipe-starts", network_options={"start": start}
    )
    network = cast(Starts, model.network)
    taken = pictures.train.take(np.arange(min(256, len(pictures.train))))  # (B, S, S, C) uint8
    images = torch.from_numpy(taken).permute(0, 3, 1, 2)  # (B, C, S, S)
    return [float(maps.std()) for maps in network.features(model.normalise(images))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the spreads, then train from each start."""
    setting = ask(__doc__, source="cifar10", quick=QUICK, full=FULL, arguments=arguments)
    pictures = load_pictures(setting)
    runs = train_all(
        {start: ("recipe-starts", {"start": start}) for start in STARTS},
        pictures,
        setting,
        options=nunbit.TrainOptions(
            optimizer="sgd",
            schedule="constant",
            lr=0.03,
            clip_norm=1.0,
            weight_decay=0.0,
            batch_size=64,
            precision="float32",
        ),
    )
    found = {start: spreads(pictures, start) for start in runs}
    losses = curves(runs, "loss")
    rows: list[dict[str, Any]] = [
        {
            "start": start,
            **{f"spread {k}": f"{found[start][k - 1]:.2g}" for k in (1, LAYERS // 2, LAYERS)},
            "loss, epoch 1": f"{losses[start][0]:.3g}",
            "loss, last": f"{losses[start][-1]:.3g}",
            "test accuracy %": mean_sd([100 * run.test_accuracy for run in each]),
            "n": len(each),
        }
        for start, each in runs.items()
    ]
    if setting.plot is not None:
        draw_lines(
            setting.plot,
            {name: over_epochs(line) for name, line in losses.items()},
            title=f"Training loss by start on {setting.source}",
            x="epoch",
            y="training loss",
            log_y=True,
        )
        target = Path(setting.plot)
        draw_lines(
            str(target.with_name(f"{target.stem}-spread{target.suffix}")),
            {name: over_epochs(line) for name, line in found.items()},
            title="Spread of the maps before training",
            x="layer",
            y="standard deviation",
            log_y=True,
        )
    shallow = math.log(len(pictures.classes))
    finish(
        "initialisation",
        rows,
        setting,
        more={"spread by layer": found, "loss": losses, "loss of guessing": shallow},
    )


if __name__ == "__main__":
    main()
