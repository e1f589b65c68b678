"""What follows training: evaluate, keep the scores in the model file, write the report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nunbit.data.pictures import Pictures
from nunbit.errors import StorageError
from nunbit.evaluation.evaluate import evaluate
from nunbit.model import Model
from nunbit.runs import RunFolder, versions
from nunbit.tasks import Evaluation
from nunbit.training.history import History
from nunbit.training.interrupts import ends_with
from nunbit.training.ranks import Ranks, current_ranks
from nunbit.training.rescue import resume_command

__all__ = ["Result", "finish"]

MISREAD_SHOWN = 24
FINDING_PICTURES = 20
"""Pictures that ``--json`` names of each finding."""


@dataclass(frozen=True)
class Result:
    """The end of a training: where everything is and how good it is."""

    run: RunFolder
    model: Model
    history: History
    evaluations: Mapping[str, Evaluation]
    """By split: ``validation`` and ``test``, where there are such pictures."""
    pictures: Pictures

    def to_dict(self) -> dict[str, Any]:
        """Return what ``nunbit train --json`` prints."""
        headline = self.model.task.headline
        found = self.pictures.findings

        def score(split: str) -> dict[str, Any]:
            found = self.evaluations.get(split)
            flat = {} if found is None else found.to_dict()
            ends = ("", "_low", "_high") if f"{headline}_low" in flat else ("",)
            return {f"{split}_{headline}{end}": flat.get(headline + end) for end in ends}

        return {
            "run": str(self.run.path),
            "network": self.model.network_name,
            "classes": list(self.model.classes),
            "epochs": len(self.history.epochs),
            "seconds": self.history.seconds,
            "train_images": len(self.pictures.train),
            **score("validation"),
            **score("test"),
            "parameters": self.model.parameters,
            "images_per_second": self.history.images_per_second,
            "stop_reason": self.history.stop_reason,
            "model": str(self.run.model_file),
            "report": str(self.run.report_file),
            "findings": None
            if found is None
            else found.to_dict(limit=FINDING_PICTURES)["findings"],
            "unreadable": [[each.name, each.reason] for each in self.pictures.left_out],
        }


def finish(model: Model, pictures: Pictures, history: History, *, command: str = "") -> Result:
    """Evaluate a trained model, keep its scores, and write the report.

    With many ranks all of them evaluate, and the first writes.

    Args:
        command: How to repeat the run, for the report.
    Raises:
        StorageError: A file cannot be written, or another process has gone on with the run
            since; the model file stays as it is.
        RankLostError: Another rank is lost.
        KeyboardInterrupt: Ctrl-C or SIGTERM; it says how to go on.
    """
    run = RunFolder(Path(history.run))
    ranks = current_ranks(history.options.rank_timeout)
    with ends_with(f"go on with `{resume_command(run.path, ranks)}`"):
        return _finish(model, pictures, history, run, ranks, command=command)


def _finish(
    model: Model,
    pictures: Pictures,
    history: History,
    run: RunFolder,
    ranks: Ranks,
    *,
    command: str,
) -> Result:
    sets = {"test": pictures.test, "validation": pictures.validation}
    with ranks.guard(lambda: ("in the last evaluation", f"The model is in `{run.model_file}`.")):
        evaluations = {
            split: evaluate(model, each, ranks=ranks)
            for split, each in sets.items()
            if each is not None
        }
    scores = {split: found.to_dict() for split, found in evaluations.items()}
    model.facts["scores"] = {
        split: {k: v for k, v in flat.items() if k != "per_class"} for split, flat in scores.items()
    }
    if ranks.is_first:
        with run.sole_use():
            _check_newest(run, history)
            model.save(run.model_file)
            run.write_scores(scores)
            write_run_report(run, model, pictures, history, evaluations, command=command)
    return Result(run, model, history, evaluations, pictures)


def _check_newest(run: RunFolder, history: History) -> None:
    """Refuse to write over what another process has trained on from this model.

    Raises:
        StorageError: One has gone on with the run since its training ended here.
    """
    if len(run.read_options().get("continued", [])) != history.continued:
        raise StorageError(
            f"another process has gone on with `{run.path}` since this one had trained it, and "
            f"its model stays. Score it with `nunbit evaluate {shlex.quote(str(run.path))}`."
        )


def write_run_report(
    run: RunFolder,
    model: Model,
    pictures: Pictures,
    history: History,
    evaluations: Mapping[str, Evaluation],
    *,
    command: str,
) -> Path:
    """Write ``report.html``."""
    from nunbit.report import MisreadPicture, ReportData, write_report

    shown = next((split for split in ("test", "validation") if split in evaluations), None)
    misread = []
    if shown is not None:
        looked_at = getattr(pictures, shown)
        for mistake in evaluations[shown].mistakes[:MISREAD_SHOWN]:
            misread.append(
                MisreadPicture(
                    name=looked_at.names[mistake.position],
                    pixels=looked_at.take(slice(mistake.position, mistake.position + 1))[0],
                    expected=mistake.expected,
                    received=mistake.received,
                    confidence=mistake.confidence,
                )
            )
    data = ReportData(
        source=pictures.source,
        network=model.network_name,
        facts=describe_facts(model, pictures, history),
        notes=pictures.remarks,
        history=[{k: v for k, v in e.items() if k != "images_per_second"} for e in history.epochs],
        evaluations=evaluations,
        misread=misread,
        misread_split=shown,
        options={**pictures.options.to_dict(), **history.options.to_dict()},
        versions=versions(),
        command=command,
        stop_reason=history.stop_reason,
    )
    return write_report(data, run.report_file)


def describe_facts(model: Model, pictures: Pictures, history: History) -> dict[str, str]:
    """Return the facts of a run as people read them, in order."""
    made = model.preprocessing
    counts = [f"{len(pictures.train):,} to train"]
    if pictures.validation is not None:
        counts.append(f"{len(pictures.validation):,} to validate")
    if pictures.test is not None:
        counts.append(f"{len(pictures.test):,} to test")
    began = model.facts.get("weights")
    weights = {"Began with": _weights_text(began)} if began else {}
    return {
        "Pictures": ", ".join(counts),
        "Classes": f"{len(model.classes)}",
        "Seen as": f"{made.image_size}×{made.image_size} "
        f"{'grey' if made.channels == 1 else 'RGB'}, fit: {made.fit}",
        "Network": f"{model.network_name}, {model.parameters:,} parameters",
        **weights,
        "Training": f"{len(history.epochs)} epochs in {history.seconds:,.1f} s, "
        f"{history.images_per_second:,.0f} pictures/s",
        "Computed on": history.plan,
    }


def _weights_text(began: Mapping[str, str]) -> str:
    """Return which weights a run began with; a file is told by its hash, not by its place."""
    name = began.get("published_as") or began.get("file") or began.get("name", "")
    digits = began.get("sha256", "")[:8]
    return f"weights {name}" + (f" (SHA-256 {digits}…)" if digits else "")
