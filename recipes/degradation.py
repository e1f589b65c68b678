"""Why shortcuts? Deeper plain networks get worse, deeper residual ones do not.

    python recipes/degradation.py [--plot errors.svg] [--json table.json]
    python recipes/degradation.py --full --out runs/degradation        # the paper's schedule

Takes: about 12 minutes on two cores; `--full` 64,124 steps for each of the four (164 epochs of 391;
the paper stops at 64,000).
Measured: 2026-11-22, two cores (AMD EPYC), torch 2.13.0, n = 1; machine shared, seconds are upper
bounds: 732 s for all four. After 10 epochs of 10,000 pictures at 16×16:

    network      training error %   test error %
    plain-20     26.27              44.81
    plain-56     67.81              68.46
    resnet-20     2.16              42.80
    resnet-56     0.40              45.04

Measured with --full: not run: it needs a GPU, and none was at hand.

The paper: He et al. 2015, "Deep Residual Learning", figure 6 and table 6: on CIFAR-10, plain-56
has a higher error than plain-20, **also on the pictures it is trained on**. So it is not
overfitting. The deeper network could do whatever the shallower one does, with layers that pass
their input on unchanged; training does not find that. With shortcuts it is what a block does
where it learns nothing, and 56 layers become better than 20.

What to look at:

* training error first: plain-56 lies above plain-20 from the first epoch to the last. Ten epochs
  show that it learns more slowly; that it stays worse to the end is what the paper found;
* with shortcuts the order of the training errors turns round: resnet-56 ends below resnet-20;
* resnet-20 and plain-20 have the same parameters and the same multiply-adds: option A's
  shortcuts (`nunbit networks resnet-20`) cost nothing;
* the test error is another question. Both residual networks know the 10,000 pictures nearly by
  heart, and there resnet-56 is the worse of the two, by 2.24 points of one seed. That it is the
  better one in the end (6.97 % against 8.75 %) is the paper's result, with all pictures and
  augmentation.

The short version reads the pictures at 16×16, a part of them, with the one-cycle schedule and
without augmentation. The full version is the paper's: SGD 0.1, momentum 0.9, weight decay 1e-4,
batches of 128, a tenth of the rate after 32,000 and 48,000 steps, padded by 4 and cropped,
mirrored. Departs: Nesterov's momentum; no decay on biases and batch norm; all 50,000 training
pictures (the paper chose its schedule on 45,000); and where the CIFAR-10 at hand was stored as
JPEG, no error can be compared with published ones. A GPU that computes in bfloat16 does so;
`--only` trains some of the four, several calls at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from _common import Schedule, Setting, Trained, ask, load_pictures
from _common import train_all as train_each
from _plot import draw_errors
from _table import curves, finish, mean_sd

import nunbit

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain-20": ("plain-20", {}),
    "plain-56": ("plain-56", {}),
    "resnet-20": ("resnet-20", {"zero_init": False}),  # gains start at 1, as in the paper
    "resnet-56": ("resnet-56", {"zero_init": False}),
}
QUICK = Schedule(epochs=10, pictures=10_000, image_size=16)
FULL = Schedule(epochs=164)  # 164 epochs of 391 steps: 64,124 steps; the paper stops at 64,000
DROPS = (32_000, 48_000)

SHORT_OPTIONS = nunbit.TrainOptions(
    optimizer="sgd", lr=0.05, schedule="one-cycle", weight_decay=1e-4, batch_size=64
)
PAPER_OPTIONS = replace(SHORT_OPTIONS, lr=0.1, schedule="constant", batch_size=128)
PAPER_AUGMENT = nunbit.Augment(crop_padding=4, fill_mode="constant", horizontal_flip=True)


class DropAtSteps(nunbit.Callback):
    """Divide the learning rate by 10 after given steps of the whole training.

    A callback of your own: it sees where the training stands and returns what it wants.
    It keeps no state, so that an interrupted run goes on rightly.
    """

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, moment: nunbit.Moment) -> nunbit.SetLR | None:
        """Ask for a lower rate where one of the steps has just been done."""
        done = moment.epoch * moment.steps_per_epoch + moment.step
        return nunbit.SetLR(moment.lr / 10) if done in self.steps else None


def train_all(pictures: nunbit.Pictures, setting: Setting) -> dict[str, list[Trained]]:
    """Train the four with the short schedule or the paper's."""
    if not setting.full:
        return train_each(NETWORKS, pictures, setting, options=SHORT_OPTIONS)
    return train_each(
        NETWORKS,
        pictures,
        setting,
        options=PAPER_OPTIONS,
        augment=PAPER_AUGMENT,
        callbacks=lambda: [DropAtSteps(*DROPS)],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the four, print training and test error."""
    setting = ask(__doc__, source="cifar10", quick=QUICK, full=FULL, arguments=arguments)
    pictures = load_pictures(setting)
    runs = train_all(pictures, setting)
    rows = [
        {
            "network": name,
            "parameters": each[0].parameters,
            "multiply-adds": each[0].multiply_adds,
            "training error %": mean_sd([100 - 100 * r.history["accuracy"][-1] for r in each]),
            "test error %": mean_sd([100 - 100 * r.test_accuracy for r in each]),
            "training loss": mean_sd([r.history["loss"][-1] for r in each], digits=3),
            "s/epoch": round(each[0].seconds_per_epoch, 1),
            "n": len(each),
        }
        for name, each in runs.items()
    ]
    right, right_test = curves(runs, "accuracy"), curves(runs, "val_accuracy")
    if setting.plot is not None:
        draw_errors(setting.plot, right, right_test, title=f"Degradation on {setting.source}")
    finish(
        "degradation",
        rows,
        setting,
        more={"training accuracy": right, "test accuracy": right_test},
    )


if __name__ == "__main__":
    main()
