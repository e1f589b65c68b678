"""Learning curves: from the history to places in an SVG picture.

Everything here is numbers and short texts; the template draws them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nunbit.report.scales import Scale, is_drawable, make_scale, round_marks
from nunbit.report.words import Language, capitalize_first

__all__ = ["Chart", "Curve", "Tick", "make_charts", "score_names"]

WIDTH, HEIGHT = 360.0, 220.0
RIGHT, TOP, BOTTOM = 76.0, 12.0, 30.0
"""Margins of the plot in SVG units; the names of the curves stand in the right one."""
LEFT_LEAST, LETTER_WIDTH = 44.0, 7.2
"""The left margin grows with the longest text in it; widths in SVG units, of a wide font."""
FRAME = {"width": WIDTH, "height": HEIGHT, "bottom": HEIGHT - BOTTOM}
"""What the template draws around the curves."""
LABEL_GAP = 15.0
"""Least distance of two curve names, in SVG units."""
WHOLE = (1, 2, 5, 10)
"""Steps for epochs: without the quarter, so that most marks are whole numbers."""
NOT_SCORES = ("epoch", "seconds", "lr")
EPOCHS_NAMED = 8
"""Epochs listed by number in the remark about values that were left out."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    place: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Args:
        kind: ``"train"``, ``"validation"`` or ``"plain"``; decides colour and width.
        label: Name at its right end, or nothing where it belongs to no split.
        label_y: Where the name stands.
        path: Value of the SVG attribute ``d``; gaps where numbers were missing.
        dots: Points without a neighbour, which a line would not show.
        best: The best point, where it is known which way is better.
    """

    kind: str
    label: str
    label_y: float
    path: str
    dots: tuple[tuple[float, float], ...]
    best: tuple[float, float] | None


@dataclass(frozen=True)
class Chart:
    """One panel: a score by epoch."""

    name: str
    title: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    left: float
    right: float
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Series:
    """Values of one score on one split, by epoch."""

    split: str
    points: tuple[tuple[int, float], ...]
    left_out: tuple[int, ...]


def score_names(history: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the scores in a history, without ``val_``: loss, accuracy, others, learning rate."""
    found = {key.removeprefix("val_"): None for row in history for key in row}
    others = [key for key in found if key not in (*NOT_SCORES, "loss", "accuracy")]
    return [key for key in ("loss", "accuracy", *others, "lr") if key in found]


def make_charts(
    history: Sequence[Mapping[str, float]], language: Language, *, fractions: frozenset[str]
) -> list[Chart]:
    """Return one chart for each score that has at least one finite value.

    Args:
        history: As in ``ReportData``.
        language: Of the texts.
        fractions: Names of scores to write in percent.
    """
    charts = []
    for name in score_names(history):
        series = [
            _series(history, key, split)
            for key, split in ((name, "train"), (f"val_{name}", "validation"))
        ]
        if any(one.points for one in series):
            charts.append(_chart(name, series, language, is_fraction=name in fractions))
    return charts


def epoch_of(row: Mapping[str, float], position: int) -> int:
    """Return the epoch of a row of the history, or its place where the epoch is missing."""
    epoch = row.get("epoch")
    return int(epoch) if epoch is not None and is_drawable(epoch) else position + 1


def _series(history: Sequence[Mapping[str, float]], key: str, split: str) -> _Series:
    points, left_out = [], []
    for position, row in enumerate(history):
        if row.get(key) is None:
            continue
        if is_drawable(row[key]):
            points.append((epoch_of(row, position), float(row[key])))
        else:
            left_out.append(epoch_of(row, position))
    return _Series(split, tuple(points), tuple(left_out))


def _chart(name: str, series: list[_Series], language: Language, *, is_fraction: bool) -> Chart:
    drawn = [one for one in series if one.points]
    right = WIDTH - (16.0 if name == "lr" else RIGHT)
    epochs = [epoch for one in drawn for epoch, _ in one.points]
    up = make_scale(
        (value for one in drawn for _, value in one.points),
        start=HEIGHT - BOTTOM,
        end=TOP,
        is_fraction=is_fraction,
    )
    y_ticks = [Tick(up(mark), language.tick(mark, is_fraction=is_fraction)) for mark in up.marks]
    longest = max(len(text) for text in (language.say("epoch"), *(tick.text for tick in y_ticks)))
    left = round(max(LEFT_LEAST, 12 + LETTER_WIDTH * longest), 1)
    across, x_marks = _epoch_scale(min(epochs), max(epochs), left, right)
    curves = [_curve(one, name, across, up, language) for one in drawn]
    return Chart(
        name=language.score(name),
        title=language.say("chart_title", name=language.score(name)),
        curves=tuple(_labels_apart(curves)),
        x_ticks=tuple(Tick(across(mark), f"{mark:,}") for mark in x_marks),
        y_ticks=tuple(y_ticks),
        left=left,
        right=right,
        remarks=tuple(_remarks(name, series, language, is_fraction)),
    )


def _epoch_scale(first: int, last: int, left: float, right: float) -> tuple[Scale, list[int]]:
    """Return the scale of the epochs, from first to last, and whole numbers to mark on it."""
    if first == last:
        return Scale((first - 1, first + 1), left, right), [first]
    marks = [int(m) for m in round_marks(first, last, count=6, steps=WHOLE) if m == int(m)]
    return Scale((first, last), left, right), [mark for mark in marks if first <= mark <= last]


def _curve(series: _Series, name: str, across: Scale, up: Scale, language: Language) -> Curve:
    pieces: list[list[tuple[float, float]]] = []
    previous = None
    for epoch, value in series.points:
        if previous is None or any(previous < gap < epoch for gap in series.left_out):
            pieces.append([])
        pieces[-1].append((across(epoch), up(value)))
        previous = epoch
    lines = [piece for piece in pieces if len(piece) > 1]
    best = _best(name, series)
    return Curve(
        kind="plain" if name == "lr" else series.split,
        label="" if name == "lr" else language.split(series.split),
        label_y=pieces[-1][-1][1],
        path="".join("M" + "L".join(f"{x:g} {y:g}" for x, y in piece) for piece in lines),
        dots=tuple(piece[0] for piece in pieces if len(piece) == 1),
        best=(across(best[0]), up(best[1])) if best and series.split == "validation" else None,
    )


def _labels_apart(curves: list[Curve]) -> list[Curve]:
    """Move the names of two curves apart where they would lie on each other."""
    if len(curves) < 2:
        return curves
    upper, lower = sorted(curves, key=lambda curve: curve.label_y)
    missing = max(0.0, LABEL_GAP - (lower.label_y - upper.label_y))
    top = max(upper.label_y - missing / 2, TOP)
    bottom = min(max(lower.label_y + missing / 2, top + LABEL_GAP), HEIGHT - BOTTOM)
    places = {upper.kind: min(top, bottom - LABEL_GAP), lower.kind: bottom}
    return [
        Curve(c.kind, c.label, round(places[c.kind], 1), c.path, c.dots, c.best) for c in curves
    ]


def _best(name: str, series: _Series) -> tuple[int, float] | None:
    """Return epoch and value of the best point, or None where better has no known direction."""
    if name == "loss":
        return min(series.points, key=lambda point: point[1])
    if name.endswith("accuracy"):
        return max(series.points, key=lambda point: point[1])
    return None


def _remarks(name: str, series: list[_Series], language: Language, is_fraction: bool) -> list[str]:
    """Say in words what the lines show, for those who cannot see them and for exact values."""
    texts = []
    for one in series:
        split = language.split(one.split)
        if one.points:
            values = _values_in_words(name, one, language, is_fraction)
            if name != "lr":
                values = f"{split}: {values}"
            texts.append(f"{capitalize_first(values)}.")
        if one.left_out:
            names = ", ".join(str(epoch) for epoch in one.left_out[:EPOCHS_NAMED])
            if len(one.left_out) > EPOCHS_NAMED:
                more = len(one.left_out) - EPOCHS_NAMED
                names = language.say("and_more", shown=names, count=more)
            key = "epochs_one" if len(one.left_out) == 1 else "epochs_many"
            epochs = language.say(key, epochs=names)
            texts.append(language.say("not_finite", split=split, epochs=epochs))
    return texts


def _values_in_words(name: str, series: _Series, language: Language, is_fraction: bool) -> str:
    def write(value: float) -> str:
        return language.quantity(value, is_fraction=is_fraction)

    (start, first), (end, last) = series.points[0], series.points[-1]
    if start == end:
        return write(first)
    best = _best(name, series)
    if best is not None and series.split == "validation":
        key = "lowest" if name == "loss" else "highest"
        return language.say(key, value=write(best[1]), epoch=best[0], last=write(last))
    return language.say("from_to", first=write(first), start=start, last=write(last), end=end)
