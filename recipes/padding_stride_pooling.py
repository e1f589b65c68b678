"""What do padding, stride and pooling do to size and cost?

    python recipes/padding_stride_pooling.py [--json table.json]

Takes: about 5 minutes on two cores.
Measured: 2026-11-22, 2 cores AMD EPYC, torch 2.13.0, n = 1, 259 s on a machine shared with other
work. Test accuracy: valid max 2/2 86.04 %, same max 2/2 87.42 %, same average 2/2 85.50 %, same
max 3/2 87.73 %, same stride 2 86.19 %, same and nothing that shrinks 89.09 %.
Measured with --full: not run: it needs a GPU, and none was at hand.

One small network, six times: two 3×3 convolutions (16 and 32 filters), something that shrinks
the map after each, one dense layer. Size follows from one line of arithmetic, for convolution
and pooling alike:

    output = (input − kernel + 2·padding) / stride + 1        (rounded down)

and how much of the picture one cell sees, its receptive field, from two:

    field += (kernel − 1) · step          step = how many pixels lie between neighbouring cells
    step  *= stride

What to look at:

* `valid` loses a border of one at every 3×3 convolution: 28 → 26. `same` keeps it;
* pooling has no weights, yet removes most of them: the dense layer behind it gets smaller. With
  nothing that shrinks, more than nine in ten weights lie there;
* stride 2 halves the map *in* the convolution: a quarter of its multiply-adds, and no pooling
  to pay for. It also throws away what it steps over;
* 3/2 pooling overlaps (AlexNet's): the same size as 2/2 here, a larger receptive field;
* what shrinks nothing reads best here, for twelve times the weights and four times the
  multiply-adds; with one seed, differences below a point say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from _common import Schedule, ask, load_pictures, train_all
from _table import finish, plain_row
from torch import Tensor, nn

import nunbit
from nunbit.networks import NetworkInfo, layer_table, register

QUICK = Schedule(epochs=4, seeds=1, pictures=20_000)
FULL = Schedule(epochs=20, seeds=3)

SHRINKS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    # by name: stride of the convolution, what stands after it
    "max 2/2": (1, lambda: nn.MaxPool2d(2)),
    "average 2/2": (1, lambda: nn.AvgPool2d(2)),
    "max 3/2": (1, lambda: nn.MaxPool2d(3, stride=2, padding=1)),
    "stride 2": (2, nn.Identity),
    "nothing": (1, nn.Identity),
}
ROWS = (
    ("valid", "max 2/2"),
    ("same", "max 2/2"),
    ("same", "average 2/2"),
    ("same", "max 3/2"),
    ("same", "stride 2"),
    ("same", "nothing"),
)


@register(
    NetworkInfo(
        name="recipe-shrinking",
        title="two convolutions, and what shrinks the map after each",
        source="recipes/padding_stride_pooling.py",
        image_size=28,
        channels=1,
        lr=0.003,
    )
)
class Shrinking(nn.Module):
    """A network of your own: a class, registered under a name. Every command knows it then.

    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels; at least 10.
        padding: ``same`` or ``valid``.
        shrink: A key of ``SHRINKS``.
    """

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        padding: str = "same",
        shrink: str = "max 2/2",
    ) -> None:
        super().__init__()
        stride, make_pool = SHRINKS[shrink]
        pad = 1 if padding == "same" else 0
        layers: list[nn.Module] = []
        before = channels
        for filters in (16, 32):
            conv = nn.Conv2d(before, filters, 3, stride=stride, padding=pad)
            layers += [conv, nn.ReLU(), make_pool()]
            before = filters
        self.body = nn.Sequential(*layers)
        self.flatten = nn.Flatten()
        with torch.no_grad():
            values = self.body(torch.zeros(1, channels, image_size, image_size)).numel()
        self.head = nn.Linear(values, outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the last map."""
        return [self.body(images)]

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last map."""
        return self.head(self.flatten(maps))  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.features(images)[-1])


def sizes(model: nunbit.Model) -> tuple[list[int], int]:
    """Return the side after each of the two stages, and the receptive field behind them."""
    made = model.preprocessing
    rows = layer_table(model.network, channels=made.channels, image_size=made.image_size)
    body = [row for row in rows if row.name.startswith("body.")]
    second = max(number for number, row in enumerate(body) if row.kind.startswith("conv"))
    field = body[-1].receptive_field
    return [body[second - 1].output[-1], body[-1].output[-1]], cast(tuple[int, ...], field)[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Work out sizes and cost, then train for a while."""
    setting = ask(__doc__, source="fashion-mnist", quick=QUICK, full=FULL, arguments=arguments)
    pictures = load_pictures(setting)
    variants = {
        f"{padding}, {shrink}": (
            "recipe-shrinking",
            {"padding": padding, "shrink": shrink},
        )
        for padding, shrink in ROWS
    }
    rows: list[dict[str, Any]] = []
    runs = train_all(variants, pictures, setting, options=nunbit.TrainOptions(batch_size=128))
    for name, each in runs.items():
        network, options = variants[name]
        model = nunbit.create_model_for(pictures, network=network, network_options=options)
        sides, field = sizes(model)
        maps = " → ".join(map(str, (pictures.preprocessing.image_size, *sides)))
        rows.append({"network": name, "map": maps, "field": field, **plain_row(name, each)})
    finish("padding_stride_pooling", rows, setting)


if __name__ == "__main__":
    main()
