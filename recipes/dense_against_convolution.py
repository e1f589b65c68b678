"""What does convolution buy? The dense baseline against the course's CNN on MNIST.

    python recipes/dense_against_convolution.py [--plot errors.svg] [--json table.json]

Takes: about 5 minutes on two cores; `--full` (30 epochs, three seeds) wants a GPU.
Measured: not yet.

`mlp` looks at a picture as one long row of 784 numbers: each of its 512 neurons has a weight
for every pixel, and what it learns about a stroke in one place says nothing about the same
stroke two pixels further. `cnn-mnist` slides 3×3 filters over the picture: nine weights are
used at every place.

What to look at:

* parameters: the CNN's convolutions hold 320 + 18,496 weights; nearly all of its 1.2 million lie
  in the dense layer after them. Few weights are not the point of this network, shared ones are;
* multiply-adds: the price. A shared weight is multiplied once for every place;
* the curves: the dense network's training error goes on falling while its test error stays.
  That gap is overfitting; dropout and shared weights keep the CNN's smaller.

Both are trained as the course does it: Adam at 0.001, batches of 200. Departs: a fixed number of
epochs, so that nothing is chosen by the test pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

from _common import Schedule, ask, load_pictures, train_all
from _plot import draw_lines, over_epochs
from _table import curves, finish, plain_row

import nunbit

QUICK = Schedule(epochs=6)
FULL = Schedule(epochs=30, seeds=3)
COURSE = nunbit.TrainOptions(optimizer="adam", schedule="constant", lr=0.001, batch_size=200)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both, print the table."""
    setting = ask(__doc__, source="mnist", quick=QUICK, full=FULL, arguments=arguments)
    pictures = load_pictures(setting)
    runs = train_all(
        {"mlp": ("mlp", {}), "cnn-mnist": ("cnn-mnist", {})}, pictures, setting, options=COURSE
    )
    right, right_test = curves(runs, "accuracy"), curves(runs, "val_accuracy")
    if setting.plot is not None:
        lines = {}
        for name in runs:
            lines[f"{name}, test"] = over_epochs([100 - 100 * a for a in right_test[name]])
            lines[f"{name}, training"] = over_epochs([100 - 100 * a for a in right[name]])
        draw_lines(
            setting.plot,
            lines,
            title=f"Dense against convolution on {setting.source}",
            x="epoch",
            y="error in %",
            log_y=True,
            dashed=[name for name in lines if name.endswith("training")],
        )
    finish(
        "dense_against_convolution",
        [plain_row(name, each) for name, each in runs.items()],
        setting,
        more={"training accuracy": right, "test accuracy": right_test},
    )


if __name__ == "__main__":
    main()
