"""What a report is made from: plain data, gathered by whoever ran the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nunbit.tasks.base import Evaluation

__all__ = ["MisreadPicture", "ReportData"]


@dataclass(frozen=True)
class MisreadPicture:
    """One picture that the network read wrongly, to be looked at.

    Shape:
        pixels: (H, W) grey or (H, W, 3) RGB, uint8.

    Args:
        name: File name or id.
        expected: The class it is.
        received: The class the network said.
        confidence: Probability 0..1 that the network gave to its wrong answer.
    """

    name: str
    pixels: NDArray[np.uint8]
    expected: str
    received: str
    confidence: float


@dataclass(frozen=True)
class ReportData:
    """All that one report shows.

    What is empty is left out of the page. Numbers that are not finite are left
    out of the curves, and the page says in which epochs.

    Args:
        source: Where the pictures came from: ``"mnist"``.
        network: Name of the network: ``"cnn-mnist"``.
        facts: Label to text, in the order to show them: ``{"Parameters": "77,754"}``.
        notes: Sentences about what was noticed in the data.
        history: One mapping per epoch: ``epoch`` (from 1), ``lr``, ``seconds``, ``loss``
            and any other scores; the same with ``val_`` in front for validation.
        evaluations: Split name to evaluation. ``test`` makes the headline, else
            ``validation``, else the first.
        misread: Pictures to show; the most confident come first on the page.
        misread_split: Which split ``misread`` is from.
        options: All options of the run; nested ones are shown as ``part.option``.
        versions: Name of a program or package to its version.
        command: What to type to repeat the run.
        stop_reason: Why training ended, where there is more to say than "all epochs done".
    """

    source: str
    network: str
    facts: Mapping[str, str]
    notes: Sequence[str]
    history: Sequence[Mapping[str, float]]
    evaluations: Mapping[str, Evaluation]
    misread: Sequence[MisreadPicture]
    misread_split: str | None
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str
    stop_reason: str | None = None
