"""``nunbit find-lr SOURCE``: which learning rate suits a network and its pictures."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import dataclass
from typing import Annotated, Any

from nunbit.cli._asked import read_asked
from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output
from nunbit.cli._places import check_drawing, check_outside, source_folder
from nunbit.cli._plot import can_show, draw_curve
from nunbit.cli.train import make_both
from nunbit.errors import OptionError
from nunbit.options import FieldInfo, Option, Options
from nunbit.training.options import TrainOptions

__all__ = ["RangeOptions", "StepOptions", "find_lr"]

OF_A_STEP = (
    "batch_size",
    "optimizer",
    "rest_optimizer",
    "muon_steps",
    "seed",
    "augment",
    "device",
    "split_model",
    "precision",
    "weight_decay",
    "momentum",
    "label_smoothing",
    "clip_norm",
    "accumulate",
    "balance",
    "teacher",
    "teacher_weight",
    "temperature",
    "compile",
)
MOST_COLUMNS = 100
ROWS = 10
SHOWN_ABOVE = 1.5
"""The curve in the terminal ends where the loss is so many times the first."""


class StepOptions(TrainOptions):
    """The options of training that a single step depends on."""

    @classmethod
    def fields(cls) -> list[FieldInfo]:
        return [info for info in super().fields() if info.name in OF_A_STEP]


@dataclass(frozen=True)
class RangeOptions(Options):
    """Which learning rates are tried, and where the curve goes."""

    lowest: Annotated[
        float, Option("First learning rate.", low=0.0, open_low=True, group="Options")
    ] = 1e-6
    highest: Annotated[
        float,
        Option(
            "Last learning rate; the trial ends before where the loss soars.",
            low=0.0,
            open_low=True,
            group="Options",
        ),
    ] = 10.0
    steps: Annotated[
        int, Option("Steps between them.", unit="steps", low=20, high=100_000, group="Options")
    ] = 100
    plot: Annotated[
        str | None, Option("Also draw the curve into this SVG file.", group="Output")
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lowest >= self.highest:
            raise OptionError(
                f"`lowest` is {self.lowest:g} and `highest` {self.highest:g}, expected "
                "lowest < highest, such as `--lowest 1e-6 --highest 10`."
            )


def find_lr(source: str, given: dict[str, Any]) -> int:
    """Try learning rates from small to large and suggest one; nothing is trained or kept.

    A recipe or a file may also have options of a whole training, as ``train`` takes them;
    those that no single step depends on are not read.
    """
    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    asked = RangeOptions(**pick(RangeOptions, given))
    mine, recipe = read_asked(source, given)
    if asked.plot is not None:
        check_drawing("--plot", asked.plot, example="lr.svg")
        check_outside("--plot", asked.plot, source_folder(source))

    from nunbit.report.lr_chart import check_chart_place, draw_lr_chart, write_lr_chart
    from nunbit.training.find_lr import find_lr as try_rates

    if asked.plot is not None:
        check_chart_place(asked.plot)
    pictures, model, training = make_both(source, mine, recipe=recipe)
    curve = try_rates(
        model,
        pictures,
        options=training,
        lowest=asked.lowest,
        highest=asked.highest,
        steps=asked.steps,
    )
    output.facts(
        {
            "Pictures": f"{pictures.source}: {len(pictures.train):,} train",
            **({} if recipe is None else {"Recipe": recipe.name}),
            "Network": f"{model.network_name}, {model.parameters:,} parameters",
            "Tried": f"{len(curve.rates)} learning rates, {curve.rates[0]:.2g} to "
            f"{curve.rates[-1]:.2g}{', where the loss soars' if curve.diverged else ''}",
        }
    )
    if not output.as_json:
        shown = [
            (math.log10(rate), loss) for rate, loss in zip(curve.rates, curve.smoothed, strict=True)
        ]
        while len(shown) > 2 and shown[-1][1] > SHOWN_ABOVE * shown[0][1]:
            shown.pop()
        output.say()
        for line in draw_curve(
            shown,
            title="loss by learning rate, smoothed",
            columns=min(shutil.get_terminal_size().columns, MOST_COLUMNS) - 1,
            rows=ROWS,
            braille=can_show(sys.stdout),
            value="{:.3f}".format,
            ends=(f"{10 ** shown[0][0]:.1g}", f"{10 ** shown[-1][0]:.2g}"),
        ):
            output.say(line.rstrip())
        output.say()
    facts = {
        "Suggested": f"--lr {curve.suggestion:.2g} (a tenth of where the loss is smallest)",
        "Steepest": f"{curve.steepest:.2g} (where the loss falls most)",
    }
    if asked.plot is not None:
        title = f"{model.network_name} on {pictures.source}, {training.optimizer}"
        svg = draw_lr_chart(
            curve.rates, curve.losses, curve.smoothed, suggestion=curve.suggestion, title=title
        )
        write_lr_chart(asked.plot, svg)
        facts["Plot"] = asked.plot
    output.facts(facts)
    output.result(
        {
            "source": pictures.source,
            "recipe": None if recipe is None else recipe.name,
            "network": model.network_name,
            "train_images": len(pictures.train),
            **curve.to_dict(),
            "plot": asked.plot,
        }
    )
    return 0
