"""What ``train`` says before and after: notes on the pictures, the closing table, the curves."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nunbit.cli._output import Output, percent
from nunbit.cli._plot import can_show, draw_curve, side_by_side
from nunbit.options import Options

if TYPE_CHECKING:
    from nunbit.data.pictures import Pictures
    from nunbit.evaluation.finish import Result
    from nunbit.tasks import Score

__all__ = ["command_words", "say_end", "say_findings"]

LEAST_EPOCHS = 3
"""Fewer epochs make no curve."""
MOST_COLUMNS = 100
"""Wider curves are no clearer."""


def say_findings(pictures: Pictures, output: Output) -> None:
    """Say what was noticed in the pictures."""
    for note in pictures.notes:
        output.say(f"note: {note}")
    found = [] if pictures.findings is None else pictures.findings.lines()
    for line in found:
        output.say(line)
    if found:
        output.say(f"`{_check_command(pictures)}` shows all of it.")


def say_end(result: Result, output: Output) -> None:
    """Print the curves, the closing table and what can be done next; the JSON object, too."""
    history = result.history
    curves = [] if output.as_json else _curves(result)
    for line in ["", *curves, *([""] if curves else [])]:
        output.say(line)
    if history.stop_reason:
        output.say(f"Stopped early: {history.stop_reason}.")
    epochs = f"{len(history.epochs)} epoch{'' if len(history.epochs) == 1 else 's'}"
    facts = {
        "Trained": f"{epochs} in {history.seconds:,.1f} s, "
        f"{history.images_per_second:,.0f} pictures/s"
    }
    best = _best(result)
    if best:
        facts["Best epoch"] = best
    for split, evaluation in result.evaluations.items():
        first = evaluation.scores[0]
        facts[f"{split.capitalize()} {first.name}"] = (
            f"{_score(first)} on {evaluation.count:,} pictures"
        )
    run = shlex.quote(str(result.run.path))
    facts["Model"] = str(result.run.model_file)
    facts["Report"] = str(result.run.report_file)
    facts["Next"] = f"nunbit evaluate {run}" if result.evaluations else ""
    facts["" if result.evaluations else "Next"] = f"nunbit predict {run} PICTURE ..."
    output.facts(facts)
    output.result(result.to_dict())


def _score(score: Score) -> str:
    if not score.is_fraction:
        return f"{score.value:.4f}"
    return percent(score.value, score.low, score.high)


def _best(result: Result) -> str:
    """Return the epoch whose headline score was best on the validation pictures, with its score."""
    from nunbit.tasks.scores import wilson_interval

    task, epochs = result.model.task, result.history.epochs
    name = f"val_{task.headline}"
    there = [entry for entry in epochs if entry.get(name) is not None]
    found = result.evaluations.get("validation")
    if not there or found is None:
        return ""
    choose = min if task.scores[task.headline] == "min" else max
    best = choose(there, key=lambda entry: entry[name])
    text = f"{best[name]:.4f}"
    if found.scores[0].is_fraction:
        right = round(best[name] * found.count)
        text = percent(best[name], *wilson_interval(right, found.count))
    options = result.history.options
    kept = "checkpoints/best.safetensors" if options.save_best_only else "the last one"
    if options.patience is not None:
        kept = f"the best {options.monitor}"
    return f"{best['epoch']:g} of {len(epochs)}, validation {task.headline} {text}; kept: {kept}"


def _curves(result: Result) -> list[str]:
    """Return the learning curves, the headline score beside the loss."""
    epochs, task = result.history.epochs, result.model.task
    if len(epochs) < LEAST_EPOCHS:
        return []
    prefix, split = "", "training"
    if "val_loss" in epochs[0]:
        prefix, split = "val_", "validation"
    wide = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
    drawn = []
    for name in dict.fromkeys((task.headline, "loss")):
        key = prefix + name
        points = [(entry["epoch"], entry[key]) for entry in epochs if entry.get(key) is not None]
        is_fraction = name != "loss" and all(0 <= y <= 1 for _, y in points)
        drawn.append(
            draw_curve(
                points,
                title=f"{split} {name} by epoch",
                columns=(wide - 4) // 2,
                braille=can_show(sys.stdout),
                value=(lambda y: f"{100 * y:.1f} %") if is_fraction else "{:.3f}".format,
            )
        )
    if len(drawn) == 2 and all(drawn):
        return side_by_side(*drawn)
    return next((each for each in drawn if each), [])


def _check_command(pictures: Pictures) -> str:
    """Return the command that checks the pictures as they are cut here."""
    from nunbit.cli.check import CheckOptions

    options = pictures.options
    asked: dict[str, Any] = {name: getattr(options, name) for name in ("group_by", "exclude")}
    asked |= {"skip_class": options.skip_class, "seed": options.seed}
    if options.fold is not None:
        asked["fold"] = options.fold
    elif options.split != "random":
        asked["split"] = options.split
    if options.fold is None and options.split in ("random", "position") and options.validation:
        asked["validation"] = f"{options.validation:g}"
    return command_words(["nunbit", "check", pictures.origin], (CheckOptions,), asked)


def command_words(words: list[str], parts: Sequence[type[Options]], used: Mapping[str, Any]) -> str:
    """Return a command with every option that differs from its default."""
    seen = set()
    for part in parts:
        for info in part.fields():
            value = used.get(info.name)
            is_default = value == info.default or (value == [] and info.default == ())
            if info.name in seen or value is None or is_default:
                continue
            seen.add(info.name)
            for each in value if isinstance(value, list | tuple) else [value]:
                words += [info.flag] if each is True else [info.flag, str(each)]
    return shlex.join(words)
