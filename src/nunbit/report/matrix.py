"""The confusion matrix, for 2 to some hundred classes.

Few classes make a table of counts with coloured cells. Many make a picture with
one dot per cell, next to a list of the pairs that are confused most often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nunbit.report.pictures import png_uri
from nunbit.report.words import Language

if TYPE_CHECKING:
    from nunbit.tasks.base import Matrix

__all__ = ["MatrixView", "Pair", "make_matrix_view"]

TABLE_CLASSES = 20
"""Up to so many classes the matrix is a table of counts."""
PAIRS_BESIDE_TABLE, PAIRS_BESIDE_IMAGE = 5, 20
"""Most confused pairs listed."""
RIGHT_STEPS = (0.2, 0.4, 0.6, 0.8)
WRONG_STEPS = (0.01, 0.03, 0.1, 0.3)
"""Shares of a row above which the colour of a cell becomes stronger; the page names them.
Wrong cells have finer steps, since most are rare and would otherwise look alike."""
SHORT_NAME = 3
"""Class names up to so many letters stand upright over their column."""
RIGHT_RGB, WRONG_RGB = (0, 101, 189), (217, 95, 2)
"""Colours of the picture's cells; readable on light and on dark, and colour-blind safe."""


@dataclass(frozen=True)
class Cell:
    """One cell: its text, its colour (``right-3``, ``wrong-1`` or nothing), its meaning."""

    text: str
    colour: str
    title: str


@dataclass(frozen=True)
class Pair:
    """Two classes of which one was read as the other."""

    expected: str
    received: str
    count: str
    share: str


@dataclass(frozen=True)
class MatrixView:
    """What the template draws: ``rows`` for few classes, ``image`` for many."""

    names: tuple[str, ...]
    is_short: bool
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    image: str
    alt: str
    pairs: tuple[Pair, ...]
    pairs_count: int


def make_matrix_view(matrix: Matrix, language: Language) -> MatrixView:
    """Prepare a confusion matrix for the page."""
    counts = np.asarray(matrix.counts)
    names = tuple(str(name) for name in matrix.names)
    is_table = len(names) <= TABLE_CLASSES
    pairs = _confused_pairs(names, counts, language)
    return MatrixView(
        names=names,
        is_short=max(map(len, names), default=0) <= SHORT_NAME,
        rows=_table(names, counts, language) if is_table else (),
        image="" if is_table else _image(counts),
        alt=language.say(
            "matrix_alt",
            classes=len(names),
            right=f"{int(np.trace(counts)):,}",
            count=f"{int(counts.sum()):,}",
        ),
        pairs=tuple(pairs[: PAIRS_BESIDE_TABLE if is_table else PAIRS_BESIDE_IMAGE]),
        pairs_count=len(pairs),
    )


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each cell's share of its row; 0 where a class has no pictures."""
    totals = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = counts / np.maximum(totals, 1)
    return shares


def _levels(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how strong each cell's colour is: 1 to 5, and 0 where no picture is.

    The steps are fixed, so that two reports can be laid side by side.
    """
    shares = _shares(counts)
    levels = 1 + np.digitize(shares, WRONG_STEPS, right=True)
    np.fill_diagonal(levels, 1 + np.digitize(np.diag(shares), RIGHT_STEPS, right=True))
    return np.where(counts > 0, levels, 0).astype(np.int64)


def _table(
    names: tuple[str, ...], counts: NDArray[np.int64], language: Language
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    shares, levels = _shares(counts), _levels(counts)
    rows = []
    for row, expected in enumerate(names):
        cells = []
        for column, received in enumerate(names):
            count = int(counts[row, column])
            if count == 0:
                cells.append(Cell("", "", ""))
                continue
            kind = "right" if row == column else "wrong"
            title = language.say(
                "cell",
                expected=expected,
                received=received,
                count=f"{count:,}",
                share=language.percent(float(shares[row, column]), 1),
            )
            cells.append(Cell(f"{count:,}", f"{kind}-{levels[row, column]}", title))
        rows.append((expected, tuple(cells)))
    return tuple(rows)


def _confused_pairs(
    names: tuple[str, ...], counts: NDArray[np.int64], language: Language
) -> list[Pair]:
    """Return all confused pairs, most frequent first, then by share of the class."""
    shares = _shares(counts)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    places = [(int(row), int(column)) for row, column in np.argwhere(wrong > 0)]
    places.sort(key=lambda place: (-wrong[place], -shares[place], place))
    return [
        Pair(
            expected=names[row],
            received=names[column],
            count=f"{int(wrong[row, column]):,}",
            share=language.percent(float(shares[row, column]), 1),
        )
        for row, column in places
    ]


def _image(counts: NDArray[np.int64]) -> str:
    """Return the matrix as a picture with one transparent or coloured pixel per cell."""
    pixels = np.zeros((*counts.shape, 4), dtype=np.uint8)
    pixels[..., :3] = WRONG_RGB
    pixels[np.eye(len(counts), dtype=bool), :3] = RIGHT_RGB
    levels = _levels(counts)
    pixels[..., 3] = np.where(levels > 0, 75 + 36 * levels, 0)
    return png_uri(pixels)
