"""``nunbit evaluate RUN [SOURCE]``: score a network on labelled pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output, percent
from nunbit.errors import OptionError

if TYPE_CHECKING:
    from nunbit.data.options import DataOptions
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
            if each.is_telling
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
    from nunbit.data.labelled import load_for_evaluation
    from nunbit.data.reading import origin_of
    from nunbit.runs import RunFolder

    made = model.preprocessing
    folder = RunFolder.open(run) if Path(run).is_dir() else None
    kept = folder.read_split() if folder is not None else {}
    record = folder.read_options() if folder is not None else {}
    if source is not None:
        pictures, notes = load_for_evaluation(
            source, preprocessing=made, classes=model.classes, options=_reading(record)
        )
        if record.get("origin") in (source, origin_of(source)):
            known = len(set(kept.get("train", [])) & set(pictures.names))
            if known:
                notes.append(f"{known:,} of these pictures were trained on: the scores flatter")
        return source, pictures, notes
    if folder is None:
        raise OptionError(
            f"`{run}` is a model file and does not know its test pictures. "
            f"Pass them: `nunbit evaluate {run} SOURCE`."
        )
    split = next((each for each in ("test", "validation") if each in kept), None)
    if split is None:
        raise OptionError(
            f"`{run}` kept no pictures apart, so there is nothing to score it on. "
            f"Pass some: `nunbit evaluate {run} SOURCE`."
        )
    if not record["origin"]:
        raise OptionError(
            f"`{run}` was trained on pictures that came from Python (arrays or columns) and does "
            f"not know where they are. Pass labelled pictures: `nunbit evaluate {run} SOURCE`."
        )
    pictures, notes = load_for_evaluation(
        record["origin"],
        preprocessing=made,
        classes=model.classes,
        skip_classes=tuple(record["pictures"]["skip_class"]),
        only=(split, kept[split]),
        options=_reading(record),
    )
    return record["source"], pictures, notes


def _reading(record: Mapping[str, Any]) -> DataOptions:
    """Return cache and memory as they were in training."""
    from nunbit.data.options import DataOptions

    asked = record.get("pictures", {})
    return DataOptions.from_dict({k: asked[k] for k in ("cache", "memory") if k in asked})
