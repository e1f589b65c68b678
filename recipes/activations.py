"""ReLU against tanh and sigmoid: how many epochs to the same training error?

    python recipes/activations.py [--plot error.svg] [--json table.json]

Takes: at most 19 minutes on two cores (three rates for each of the three).
Measured: 2026-11-22, two cores (AMD EPYC), torch 2.13.0, n = 1; machine shared, seconds are upper
bounds: 1,122 s for all nine. With the best of its rates:

    activation   rate   epochs to 25 % error   training error %   test error %
    relu         0.01   8                      22.38              44.57
    tanh         0.03   7                      18.08              48.23
    sigmoid      0.03   > 15                   46.84              48.45

Measured with --full: not run: it needs a GPU, and none was at hand.

Krizhevsky, Sutskever & Hinton 2012, figure 1: a four-layer convolutional network on CIFAR-10
reaches 25 % training error six times as fast with ReLU as with tanh. No regularisation, and for
each function the learning rate that made it fastest. This is the same question; the paper says
neither how its four layers looked nor how their weights started.

tanh and sigmoid are flat away from zero: there the slope is nearly 0, and the layers before
learn nothing ("saturation"). The sigmoid's slope is 1/4 at best, so what comes back to the first of
four layers has been multiplied by 1/64 or less, besides the weights. ReLU passes the gradient on
whole wherever it is on.

What to look at:

* epochs to the target, each with the best of its rates: a comparison at one common rate would
  compare the rates;
* tanh is not slower than ReLU here. A factor of six is what one network of the paper showed, not a
  law: here weights and inputs start with a spread that keeps tanh away from its flat ends;
* the sigmoid is far behind: at each of the three rates it is above 46 % after 15 epochs. Its best
  rate is the largest one tried, so a still larger one might do better;
* where the target was not reached, the table says "> epochs", not a number;
* the error at the end says which one is *faster*, not which one would be better in the end.

Each starts from weights that suit it: normal with Glorot's spread times the usual gain (√2 for
ReLU, 5/3 for tanh, 1 for sigmoid).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from _common import Schedule, Trained, ask, chosen, load_pictures, train_all
from _plot import draw_lines, over_epochs
from _table import curves, finish, mean_sd
from torch import Tensor, nn

import nunbit
from nunbit.networks import NetworkInfo, register

QUICK = Schedule(epochs=15, pictures=10_000, image_size=16)
FULL = Schedule(epochs=60, seeds=3)
TARGET = 0.25
"""Training error to reach, 0..1."""
RATES = (0.003, 0.01, 0.03)
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@register(
    NetworkInfo(
        name="recipe-activations",
        title="four layers with the activation asked for",
        source="recipes/activations.py, after Krizhevsky et al. 2012, figure 1",
        image_size=32,
        channels=3,
        lr=0.001,
    )
)
class Activations(nn.Module):
    """Two convolutions with pooling, two dense layers.

    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 4.
        activation: A key of ``ACTIVATIONS``.
    """

    def __init__(
        self, *, outputs: int, channels: int, image_size: int, activation: str = "relu"
    ) -> None:
        super().__init__()
        make = ACTIVATIONS[activation]
        self.body = nn.Sequential(
            nn.Conv2d(channels, 32, 5, padding=2),
            make(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            make(),
            nn.MaxPool2d(2),
        )
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(64 * (image_size // 4) ** 2, 256)
        self.active = make()
        self.head = nn.Linear(256, outputs)
        gain = nn.init.calculate_gain(activation)  # type: ignore[arg-type]
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_normal_(module.weight, gain=1 if module is self.head else gain)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # a bias is a tensor

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the last map."""
        return [self.body(images)]

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        return self.head(self.active(self.dense(self.flatten(maps))))  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])


class StopAt(nunbit.Callback):
    """End the training once the training error is low enough."""

    def __init__(self, error: float) -> None:
        self.error = error

    def on_epoch_end(self, moment: nunbit.Moment) -> nunbit.Stop | None:
        """Ask for the end."""
        if 1 - moment.logs["accuracy"] <= self.error:
            return nunbit.Stop(f"training error is at most {self.error:.0%}")
        return None


def epochs_to_target(run: Trained) -> float:
    """Return the first epoch with a training error of at most ``TARGET``, or infinity."""
    for epoch, accuracy in enumerate(run.history["accuracy"], start=1):
        if 1 - accuracy <= TARGET:
            return epoch
    return math.inf


def speed(runs: Sequence[Trained]) -> tuple[float, float]:
    """Return what sorts the fastest first: mean epochs to the target, then the last error."""
    mean = sum(map(epochs_to_target, runs)) / len(runs)
    return mean, sum(1 - run.history["accuracy"][-1] for run in runs) / len(runs)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train each activation at each rate, keep its fastest."""
    setting = ask(__doc__, source="cifar10", quick=QUICK, full=FULL, arguments=arguments)
    pictures = load_pictures(setting)
    rows: list[dict[str, Any]] = []
    fastest: dict[str, list[Trained]] = {}
    tried: dict[str, dict[str, list[float]]] = {}
    for activation in chosen(ACTIVATIONS, setting):
        by_rate: dict[float, list[Trained]] = {}
        for rate in RATES:
            name = f"{activation} {rate:g}"
            by_rate[rate] = train_all(
                {name: ("recipe-activations", {"activation": activation})},
                pictures,
                replace(setting, only=()),
                options=nunbit.TrainOptions(
                    optimizer="sgd",
                    schedule="constant",
                    lr=rate,
                    weight_decay=0.0,
                    batch_size=64,
                ),
                callbacks=lambda: [StopAt(TARGET)],
            )[name]
        tried[activation] = curves({f"{r:g}": each for r, each in by_rate.items()}, "accuracy")
        rate = min(RATES, key=lambda r: speed(by_rate[r]))
        runs = fastest[activation] = by_rate[rate]
        reached = [epochs_to_target(run) for run in runs]
        known = all(map(math.isfinite, reached))
        rows.append(
            {
                "activation": activation,
                "best rate": f"{rate:g}",
                f"epochs to {TARGET:.0%} error": (
                    mean_sd(reached, digits=1) if known else f"> {setting.epochs}"
                ),
                "training error %": mean_sd(
                    [100 - 100 * run.history["accuracy"][-1] for run in runs]
                ),
                "test error %": mean_sd([100 - 100 * run.test_accuracy for run in runs]),
                "n": len(runs),
            }
        )
    if setting.plot is not None:
        right = curves(fastest, "accuracy")
        draw_lines(
            setting.plot,
            {name: over_epochs([100 - 100 * a for a in line]) for name, line in right.items()},
            title=f"Training error by activation on {setting.source}",
            x="epoch",
            y="training error in %",
        )
    finish("activations", rows, setting, more={"training accuracy by rate": tried})


if __name__ == "__main__":
    main()
