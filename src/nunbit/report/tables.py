"""Tables of scores: all scores of each split, and each class on its own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nunbit.report.scales import BAR_MARGIN, BAR_WIDTH, Bar, Scale, make_bar, make_scale
from nunbit.report.words import NO_NUMBER, Language, percent_digits

if TYPE_CHECKING:
    from nunbit.tasks.base import Evaluation, Score

__all__ = [
    "ClassColumn",
    "ClassRow",
    "ClassTable",
    "Quantity",
    "SplitScores",
    "fraction_names",
    "make_class_table",
    "make_score_tables",
]

FRACTIONS = frozenset({"accuracy", "ece", "f1", "precision", "recall", "top5_accuracy"})
"""Scores known to lie in 0..1 where no ``Score`` says so: in the history and by class."""
WORST_FIRST = ("recall", "accuracy", "f1", "precision")
"""By the first of these that a task has, many classes are ordered."""
CLASSES_SHOWN = 20
"""Of more classes the worst are shown, and all in a part that opens."""
CLASS_PERCENT_DIGITS = 1


@dataclass(frozen=True)
class Quantity:
    """A number as text; its interval as text, and as a bar from ``low`` to ``high``."""

    text: str
    interval: str = ""
    bar: Bar | None = None
    bar_title: str = ""
    low: str = ""
    high: str = ""


@dataclass(frozen=True)
class SplitScores:
    """The scores of one split: name and number."""

    split: str
    pictures: str
    rows: tuple[tuple[str, Quantity], ...]


@dataclass(frozen=True)
class ClassRow:
    """One class and its numbers, in the order of the columns."""

    name: str
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True)
class ClassColumn:
    """One column after the class; ``axis`` says what its bars span."""

    name: str
    has_interval: bool
    axis: str


@dataclass(frozen=True)
class ClassTable:
    """Rows by class.

    Args:
        columns: The columns after the class.
        rows: What to show: all classes, or the worst of many.
        all_rows: All classes where ``rows`` are not all; without bars.
        caption: What was chosen, where ``rows`` are not all.
        count: Classes there are.
    """

    columns: tuple[ClassColumn, ...]
    rows: tuple[ClassRow, ...]
    all_rows: tuple[ClassRow, ...]
    caption: str
    count: int


@dataclass(frozen=True)
class _Column:
    """How the numbers of one name are written; no scale means no bars."""

    key: str
    is_fraction: bool
    scale: Scale | None
    digits: int = CLASS_PERCENT_DIGITS

    def ends(self, language: Language) -> tuple[str, str]:
        """Return both ends of the bars' scale as text."""
        if self.scale is None:
            return "", ""
        low, *_, high = self.scale.marks
        return (
            language.tick(low, is_fraction=self.is_fraction),
            language.tick(high, is_fraction=self.is_fraction),
        )

    def quantity(
        self, value: float | None, low: float | None, high: float | None, language: Language
    ) -> Quantity:
        """Write one number of the column."""
        if value is None:
            return Quantity(NO_NUMBER)
        text = language.quantity(value, is_fraction=self.is_fraction, digits=self.digits)
        span = _finite(value, low, high)
        if span is None:
            return Quantity(text)
        interval = language.interval(
            span[1], span[2], is_fraction=self.is_fraction, digits=self.digits
        )
        if self.scale is None:
            return Quantity(text, interval)
        first, last = self.ends(language)
        title = language.say("bar", interval=interval, low=first, high=last)
        return Quantity(text, interval, make_bar(self.scale, *span), title, first, last)


def fraction_names(evaluations: Mapping[str, Evaluation]) -> frozenset[str]:
    """Return the names of scores that are written in percent."""
    scores = [score for one in evaluations.values() for score in one.scores]
    said = {score.name for score in scores if score.is_fraction}
    return (FRACTIONS | said) - {score.name for score in scores if not score.is_fraction}


def _telling(evaluation: Evaluation) -> list[Score]:
    """Leave out what says nothing, such as the top 5 of 3 classes."""
    return [score for score in evaluation.scores if score.is_telling]


def make_score_tables(
    evaluations: Sequence[tuple[str, Evaluation]], language: Language
) -> list[SplitScores]:
    """Prepare the scores of each split; a score has one scale in all of them."""
    spans: dict[str, list[float]] = {}
    for _, evaluation in evaluations:
        for score in _telling(evaluation):
            span = _finite(score.value, score.low, score.high)
            spans.setdefault(score.name, []).extend(span or ())
    tables = []
    for split, evaluation in evaluations:
        rows = []
        for score in _telling(evaluation):
            column = _Column(
                score.name,
                score.is_fraction,
                _bar_scale(spans[score.name], is_fraction=score.is_fraction),
                percent_digits(evaluation.count),
            )
            quantity = column.quantity(score.value, score.low, score.high, language)
            rows.append((language.score(score.name), quantity))
        pictures = language.pictures(evaluation.count)
        tables.append(SplitScores(language.split(split), pictures, tuple(rows)))
    return tables


def make_class_table(
    evaluation: Evaluation, language: Language, *, fractions: frozenset[str]
) -> ClassTable:
    """Prepare the table of classes.

    A column ``x`` shows ``x_low`` and ``x_high`` as its interval where a task has them.
    """
    table = {str(name): dict(row) for name, row in evaluation.per_class.items()}
    keys = list(dict.fromkeys(key for row in table.values() for key in row))
    ends = {f"{key}{end}" for key in keys for end in ("_low", "_high")}
    columns = [_make_column(table, key, key in fractions) for key in keys if key not in ends]
    plain = [_Column(column.key, column.is_fraction, None) for column in columns]
    names, caption = list(table), ""
    order = next((key for key in WORST_FIRST if key in keys), None)
    if len(names) > CLASSES_SHOWN and order is not None:
        names = sorted(names, key=lambda name: _sortable(table[name].get(order)))[:CLASSES_SHOWN]
        caption = language.say(
            "classes_worst", shown=len(names), count=len(table), score=language.score(order)
        )
    return ClassTable(
        columns=tuple(
            ClassColumn(language.score(c.key), c.scale is not None, _axis(c, language))
            for c in columns
        ),
        rows=_class_rows(table, names, columns, language),
        all_rows=_class_rows(table, list(table), plain, language) if caption else (),
        caption=caption,
        count=len(table),
    )


def _class_rows(
    table: Mapping[str, Mapping[str, float]],
    names: Sequence[str],
    columns: Sequence[_Column],
    language: Language,
) -> tuple[ClassRow, ...]:
    rows = []
    for name in names:
        get = table[name].get
        quantities = (
            column.quantity(
                get(column.key), get(f"{column.key}_low"), get(f"{column.key}_high"), language
            )
            for column in columns
        )
        rows.append(ClassRow(name, tuple(quantities)))
    return tuple(rows)


def _make_column(table: Mapping[str, Mapping[str, float]], key: str, is_fraction: bool) -> _Column:
    spans = [
        _finite(row.get(key), row.get(f"{key}_low"), row.get(f"{key}_high"))
        for row in table.values()
    ]
    values = [value for span in spans for value in span or ()]
    return _Column(key, is_fraction, _bar_scale(values, is_fraction=is_fraction))


def _bar_scale(values: Sequence[float], *, is_fraction: bool) -> Scale | None:
    if not values:
        return None
    end = BAR_MARGIN + BAR_WIDTH
    return make_scale(values, start=BAR_MARGIN, end=end, is_fraction=is_fraction, count=3)


def _axis(column: _Column, language: Language) -> str:
    low, high = column.ends(language)
    return language.say("bars_from_to", low=low, high=high) if low else ""


def _finite(
    value: float | None, low: float | None, high: float | None
) -> tuple[float, float, float] | None:
    """Return all three, or None where one is missing or not finite."""
    if value is None or low is None or high is None:
        return None
    return (value, low, high) if all(map(math.isfinite, (value, low, high))) else None


def _sortable(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value
