"""Convolution along time: how should a row of numbers be read?

    python recipes/sequences.py [--plot errors.svg] [--json table.json]

Takes: about 40 seconds on two cores.
Measured: 2026-11-22, two cores (AMD EPYC, one used: OMP_NUM_THREADS=1), torch 2.13.0, n = 3,
mean ± standard deviation; machine shared, seconds are upper bounds: 38 s for all nine trainings.

    network          parameters   multiply-adds   training accuracy %   test accuracy %
    mlp                 134,149         133,632   85.73 ± 0.25          48.53 ± 0.81
    conv1d, rows         18,677          86,336   93.80 ± 0.40          81.27 ± 0.64
    conv1d, pixels       17,477       1,007,936   99.83 ± 0.21          99.47 ± 0.31

Measured with --full (60 epochs, ten seeds): not run.

The set `signals` has five forms (sine, square, sawtooth, triangle, chirp): 256 samples of each
signal, kept as the 256 pixels of a grey picture of 16×16. Frequency, phase, amplitude, offset
and noise differ from signal to signal; only the form tells the class. Three readings of the same
numbers:

    mlp               all 256 at once: each neuron has a weight for every moment
    conv1d, rows      16 steps of 16 values: a filter sees 5 rows, 80 samples, and moves by 16
    conv1d, pixels    256 steps of 1 value: a filter sees 5 samples, and moves by 1

What to look at:

* the dense network learns its training signals but hardly the forms: a sine that starts a little
  later is another row of numbers to it. It has the most weights of the three;
* by pixels, a filter finds a jump or a bend whenever it comes, and the pooling at the end asks
  only whether it came. The price is multiply-adds: each weight is used at every step;
* by rows lies between. A filter moves, but in strides of 16 samples: it must still learn what a
  form looks like at each place within its rows;
* nothing but the reading differs between the two `conv1d`: a network knows of the order of its
  values only what its structure says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from _common import Schedule, ask, load_pictures, train_all
from _plot import draw_errors
from _table import curves, finish, plain_row

import nunbit

QUICK = Schedule(epochs=15, seeds=3)
FULL = Schedule(epochs=60, seeds=10)
READINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("mlp", {}),
    "conv1d, rows": ("conv1d", {"read": "rows"}),
    "conv1d, pixels": ("conv1d", {"read": "pixels"}),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the three, print the table."""
    setting = ask(__doc__, source="signals", quick=QUICK, full=FULL, arguments=arguments)
    pictures = load_pictures(setting)
    runs = train_all(READINGS, pictures, setting, options=nunbit.TrainOptions(batch_size=25))
    right, right_test = curves(runs, "accuracy"), curves(runs, "val_accuracy")
    if setting.plot is not None:
        draw_errors(setting.plot, right, right_test, title=f"Reading {setting.source}")
    finish(
        "sequences",
        [plain_row(name, each) for name, each in runs.items()],
        setting,
        more={"training accuracy": right, "test accuracy": right_test},
    )


if __name__ == "__main__":
    main()
