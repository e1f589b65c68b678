"""What the template is given: everything as text and places, in the page's language."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nunbit.report.charts import FRAME, epoch_of, make_charts, score_names
from nunbit.report.data import ReportData
from nunbit.report.matrix import make_matrix_view
from nunbit.report.pictures import Thumbnail, make_thumbnail
from nunbit.report.scales import is_drawable
from nunbit.report.tables import fraction_names, make_class_table, make_score_tables
from nunbit.report.words import NO_NUMBER, Language, capitalize_first, percent_digits

if TYPE_CHECKING:
    from nunbit.tasks.base import Evaluation

__all__ = ["make_view"]

HEADLINE_SPLITS = ("test", "validation")
"""The first of these that was evaluated makes the headline."""
GALLERY_LIMIT = 60
"""Pictures shown at most, so that the page stays small enough to send."""


@dataclasses.dataclass(frozen=True)
class _Misread:
    """One picture of the gallery."""

    name: str
    thumbnail: Thumbnail
    expected: str
    received: str
    confidence: str
    alt: str


def make_view(data: ReportData, language: Language) -> dict[str, Any]:
    """Return everything the template needs, as text and places."""
    fractions = fraction_names(data.evaluations)
    splits = _ordered(data.evaluations)
    classes = next(((s, e) for s, e in splits if e.per_class), None)
    matrix = next(((s, e.matrix) for s, e in splits if e.matrix is not None), None)
    verdict, lead = _verdict(data, splits, language)
    facts = [(language.fact(label), text) for label, text in data.facts.items()]
    if data.stop_reason:
        facts.append((language.say("stop_reason"), data.stop_reason))
    return {
        "lang": language.code,
        "frame": FRAME,
        "title": language.say("title", source=data.source, network=data.network),
        "verdict": verdict,
        "lead": lead,
        "facts": facts,
        "notes": data.notes,
        "scores": make_score_tables(splits, language),
        "charts": make_charts(data.history, language, fractions=fractions),
        "epochs": _epoch_table(data, language, fractions),
        "matrix": make_matrix_view(matrix[1], language) if matrix and matrix[1] else None,
        "matrix_caption": _caption(data, matrix[0], language) if matrix else "",
        "classes": make_class_table(classes[1], language, fractions=fractions) if classes else None,
        "classes_caption": _caption(data, classes[0], language) if classes else "",
        "classes_known": bool(classes and _has_known_columns(classes[1])),
        "is_perfect": _is_perfect(data, splits),
        "misread": _gallery(data, language),
        "misread_caption": _gallery_caption(data, language),
        "command": data.command,
        "options": _flat(data.options),
        "versions": list(data.versions.items()),
    }


def _ordered(evaluations: Mapping[str, Evaluation]) -> list[tuple[str, Evaluation]]:
    """Return the evaluations, the one for the headline first."""
    known = [split for split in HEADLINE_SPLITS if split in evaluations]
    names = [*known, *(split for split in evaluations if split not in known)]
    return [(name, evaluations[name]) for name in names]


def _verdict(
    data: ReportData, splits: list[tuple[str, Evaluation]], language: Language
) -> tuple[str, list[str]]:
    """Return the headline, one sentence, and the sentences that explain it."""
    names = {"source": data.source, "network": data.network}
    scored = next(((split, one) for split, one in splits if one.scores), None)
    if scored is None:
        return language.say("verdict_none", **names), []
    split, evaluation = scored
    score, count = evaluation.scores[0], evaluation.count
    is_fraction, digits = score.is_fraction, percent_digits(count)
    interval, lead = "", []
    if score.name == "accuracy":
        wrong = round((1 - score.value) * count)
        key = {0: "lead_perfect", 1: "lead_misread_one"}.get(wrong, "lead_misread")
        lead.append(language.say(key, wrong=f"{wrong:,}"))
    if score.low is not None and score.high is not None:
        written = language.interval(score.low, score.high, is_fraction=is_fraction, digits=digits)
        interval = language.say("verdict_interval", interval=written)
        lead.append(language.say("lead_interval", score=language.score(score.name)))
    if split == "validation":
        lead.append(language.say("lead_validation"))
    verdict = language.say(
        "verdict_accuracy" if score.name == "accuracy" else "verdict_score",
        **names,
        score=language.score(score.name),
        value=language.quantity(score.value, is_fraction=is_fraction, digits=digits),
        count=f"{count:,}",
        split=language.split(split),
        interval=interval,
    )
    return verdict, lead


def _caption(data: ReportData, split: str, language: Language) -> str:
    """Return which pictures a table is about."""
    pictures = language.pictures(data.evaluations[split].count)
    name = language.split(split)
    return f"{capitalize_first(name)}, {pictures}"


def _has_known_columns(evaluation: Evaluation) -> bool:
    """Tell whether the sentence about precision and recall fits the table."""
    return all({"precision", "recall", "f1"} <= set(row) for row in evaluation.per_class.values())


def _epoch_table(
    data: ReportData, language: Language, fractions: frozenset[str]
) -> dict[str, Any] | None:
    """Return the history as text: columns and rows."""
    present = {key for row in data.history for key in row}
    keys = []
    for name in score_names(data.history):
        keys += [(key, name) for key in (name, f"val_{name}") if key in present]
    if "seconds" in present:
        keys.append(("seconds", "seconds"))
    if not keys:
        return None
    columns = []
    for key, name in keys:
        title = language.score(name)
        columns.append(f"{title}, {language.split('validation')}" if key != name else title)
    rows = []
    for position, row in enumerate(data.history):
        texts = [
            language.quantity(row[key], is_fraction=name in fractions)
            if key in row and is_drawable(row[key])
            else NO_NUMBER
            for key, name in keys
        ]
        rows.append((epoch_of(row, position), texts))
    return {"columns": columns, "rows": rows}


def _misread_evaluation(
    data: ReportData, splits: list[tuple[str, Evaluation]]
) -> Evaluation | None:
    """Return the evaluation that the gallery belongs to, or the headline's."""
    if data.misread_split is not None:
        return data.evaluations.get(data.misread_split)
    return splits[0][1] if splits else None


def _is_perfect(data: ReportData, splits: list[tuple[str, Evaluation]]) -> bool:
    """Tell whether it is known that every picture was read correctly."""
    evaluation = _misread_evaluation(data, splits)
    if data.misread or evaluation is None or evaluation.mistakes or not evaluation.count:
        return False
    return any(score.name == "accuracy" and score.value == 1 for score in evaluation.scores)


def _gallery(data: ReportData, language: Language) -> list[_Misread]:
    """Return the misread pictures, most confident first."""
    ordered = sorted(data.misread, key=lambda one: -one.confidence)[:GALLERY_LIMIT]
    pictures = []
    for one in ordered:
        words = {
            "name": one.name,
            "expected": one.expected,
            "received": one.received,
            "confidence": language.percent(one.confidence, 1),
        }
        alt = language.say("misread_alt", **words)
        pictures.append(_Misread(thumbnail=make_thumbnail(one.pixels), alt=alt, **words))
    return pictures


def _gallery_caption(data: ReportData, language: Language) -> str:
    evaluation = _misread_evaluation(data, _ordered(data.evaluations))
    shown = min(len(data.misread), GALLERY_LIMIT)
    count = max(len(data.misread), len(evaluation.mistakes) if evaluation else 0)
    split = language.split(data.misread_split) if data.misread_split else ""
    text = language.say("misread_caption", shown=shown, count=f"{count:,}")
    return f"{capitalize_first(split)}: {text}" if split else text


def _flat(options: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return options as name and text, nested ones as ``part.option``."""
    rows: list[tuple[str, str]] = []
    for name, value in options.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _option_text(value)))
    return rows


def _option_text(value: Any) -> str:
    """Write an option as JSON would, but text without quotes."""
    if isinstance(value, (str, os.PathLike)):
        return os.fspath(value) if value else '""'
    return json.dumps(value, ensure_ascii=False, default=str)
