"""``nunbit evaluate RUN [SOURCE]``: score a network on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output, percent
from nunbit.data.options import DataOptions
from nunbit.errors import OptionError

if TYPE_CHECKING:
    from nunbit.data.pictures import PictureSet
    from nunbit.model import Model

__all__ = ["evaluate"]


def evaluate(run: str, source: str | None, given: dict[str, Any]) -> int:
    """Score a trained network on labelled pictures, with 95 % intervals."""
    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)

    from nunbit.evaluation.evaluate import evaluate as score
    from nunbit.model import Model

    model = Model.load(run)
    name, pictures, notes = _find_pictures(run, source, model)
    evaluation = score(model, pictures)
    output.facts(
        {
            "Network": f"{model.network_name}, {model.parameters:,} parameters",
            "Pictures": f"{name}: {len(pictures):,} ({pictures.split})",
        }
    )
    for note in notes:
        output.say(f"note: {note}")
    output.facts(
        {
            each.name: percent(each.value, each.low, each.high)
            if each.is_fraction
            else f"{each.value:.4f}"
            for each in evaluation.scores
        }
    )
    if evaluation.per_class:
        output.say()
        columns = list(next(iter(evaluation.per_class.values())))
        rows = [
            [label, *(f"{v:,}" if isinstance(v, int) else f"{100 * v:.1f} %" for v in row.values())]
            for label, row in evaluation.per_class.items()
        ]
        output.table(["class", *columns], rows)
    output.result({"source": name, "split": pictures.split, **evaluation.to_dict()})
    return 0


def _find_pictures(run: str, source: str | None, model: Model) -> tuple[str, PictureSet, list[str]]:
    """Return the pictures to score: the given source, else what the run kept apart."""
    from nunbit.data.pictures import load, load_for_evaluation
    from nunbit.data.sources import open_source
    from nunbit.runs import RunFolder

    made = model.preprocessing
    if source is not None:
        pictures, notes = load_for_evaluation(source, preprocessing=made, classes=model.classes)
        return source, pictures, notes
    if not Path(run).is_dir():
        raise OptionError(
            f"`{run}` is a model file and does not know its test pictures. "
            f"Pass them: `nunbit evaluate {run} SOURCE`."
        )
    record = RunFolder.open(run).read_options()
    origin = record["origin"]
    options = DataOptions.from_dict(record["pictures"])
    if open_source(origin, skip_classes=options.skip_class).has_split("test"):
        pictures, notes = load_for_evaluation(
            origin, preprocessing=made, classes=model.classes, skip_classes=options.skip_class
        )
        return record["source"], pictures, notes
    whole = load(origin, options=options)
    if whole.validation is None:
        raise OptionError(
            f"`{run}` kept no pictures apart, so there is nothing to score it on. "
            f"Pass some: `nunbit evaluate {run} SOURCE`."
        )
    return record["source"], whole.validation, whole.notes
