"""Are more filters worth their price? 8, 16, 32 and 64 in the first layer.

    python recipes/more_filters.py [--plot filters.svg] [--json table.json]

Takes: about 1.5 minutes on two cores.
Measured: 2026-11-22, two cores (AMD EPYC), torch 2.13.0, n = 1; machine shared, seconds are upper
bounds: 84 s for all four. After 4 epochs of 20,000 pictures:

    network      parameters   multiply-adds   training accuracy %   test accuracy %
    8 filters         9,098         290,080   87.76                 86.66
    16 filters       20,490       1,031,744   89.19                 87.60
    32 filters       50,186       3,869,824   90.80                 88.98
    64 filters      137,226      14,964,992   92.69                 89.75

Measured with --full: not run: it needs a GPU, and none was at hand.

Conv 3×3 with f filters, pooling, conv 3×3 with 2·f filters, pooling, one dense layer, on
Fashion-MNIST. Each filter looks for one thing; its answers make one map.

What to look at:

* doubling f doubles the first convolution's work, but *quadruples* the second's: twice as many
  filters, each over twice as many maps. The column of multiply-adds grows by 3.6, 3.8 and 3.9;
* test accuracy grows by 0.9, 1.4 and 0.8 points, of one seed: 52 times the work of 8 filters for
  3.1 points;
* the gap between training and test accuracy grows with the filters, from 1.1 to 2.9 points.
"""

from __future__ import annotations

from collections.abc import Sequence

from _common import Schedule, ask, load_pictures, train_all
from _plot import Circle, draw_circles
from _table import finish, plain_row
from torch import Tensor, nn

import nunbit
from nunbit.networks import NetworkInfo, register

QUICK = Schedule(epochs=4, pictures=20_000)
FULL = Schedule(epochs=20, seeds=5)
FILTERS = (8, 16, 32, 64)


@register(
    NetworkInfo(
        name="recipe-filters",
        title="two convolutions with as many filters as asked for",
        source="recipes/more_filters.py",
        image_size=28,
        channels=1,
        lr=0.003,
    )
)
class Filters(nn.Module):
    """Two convolutions, each with pooling, and a dense layer.

    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 4.
        filters: Of the first convolution; the second has twice as many.
    """

    def __init__(self, *, outputs: int, channels: int, image_size: int, filters: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, filters, 3, padding=1),  # (B, f, S, S)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, f, S/2, S/2)
            nn.Conv2d(filters, 2 * filters, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, 2f, S/4, S/4)
        )
        self.flatten = nn.Flatten()
        self.head = nn.Linear(2 * filters * (image_size // 4) ** 2, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the last map."""
        return [self.body(images)]

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        return self.head(self.flatten(maps))  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train all widths, print the table."""
    setting = ask(__doc__, source="fashion-mnist", quick=QUICK, full=FULL, arguments=arguments)
    pictures = load_pictures(setting)
    runs = train_all(
        {f"{count} filters": ("recipe-filters", {"filters": count}) for count in FILTERS},
        pictures,
        setting,
        options=nunbit.TrainOptions(batch_size=128),
    )
    if setting.plot is not None:
        circles = []
        for name, each in runs.items():
            accuracy = 100 * sum(run.test_accuracy for run in each) / len(each)
            first = each[0]
            circles.append(Circle(name, first.multiply_adds, accuracy, first.parameters))
        draw_circles(
            setting.plot,
            circles,
            title=f"Accuracy against cost on {setting.source}",
            x="multiply-adds",
            y="test accuracy in %",
            note="area: parameters",
        )
    finish("more_filters", [plain_row(name, each) for name, each in runs.items()], setting)


if __name__ == "__main__":
    main()
