"""What does convolution buy? The dense baseline against the course's CNN on MNIST.

    python recipes/dense_against_convolution.py [--plot errors.svg] [--json table.json]

Takes: about 4 minutes on two cores; `--full` (30 epochs, three seeds) wants a GPU.
Measured: 2026-11-22, two cores (AMD EPYC), torch 2.13.0, n = 1; machine shared, seconds are upper
bounds: 208 s for both, six epochs:

    network      parameters   multiply-adds   training accuracy %   test accuracy %
    mlp             407,050         406,528   99.19                 98.03
    cnn-mnist     1,199,882      11,992,448   98.69                 99.04

Measured with --full: not run: it needs a GPU, and none was at hand.

`mlp` looks at a picture as one long row of 784 numbers: each of its 512 neurons has a weight
for every pixel, and what it learns about a stroke in one place says nothing about the same
stroke two pixels further. `cnn-mnist` slides 3×3 filters over the picture: nine weights are
used at every place.

What to look at:

* parameters: the CNN's convolutions hold 320 + 18,496 weights; nearly all of its 1.2 million lie
  in the dense layer after them. Few weights are not the point of this network, shared ones are;
* multiply-adds: the price. A shared weight is multiplied once for every place;
* the curves: the dense network ends with 0.81 % error in training and 1.97 % on the test. That
  gap is overfitting, though after six epochs the test error was still falling;
* the CNN makes half of its test errors (0.96 %), and more errors in training (1.31 %) than on the
  test: in training, dropout is on.

Both are trained as the course does it: Adam at 0.001, batches of 200. Departs: a fixed number of
epochs, so that nothing is chosen by the test pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

from _common import Schedule, ask, load_pictures, train_all
from _plot import draw_errors
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
        title = f"Dense against convolution on {setting.source}"
        draw_errors(setting.plot, right, right_test, title=title, log_y=True)
    finish(
        "dense_against_convolution",
        [plain_row(name, each) for name, each in runs.items()],
        setting,
        more={"training accuracy": right, "test accuracy": right_test},
    )


if __name__ == "__main__":
    main()
