"""The part of the check that runs before each training: no file is opened again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nunbit.data.checks.duplicates import Duplicates, find_duplicates
from nunbit.data.checks.facts import facts_of_pixels
from nunbit.data.checks.findings import Findings
from nunbit.data.checks.labels import class_findings
from nunbit.data.checks.oddities import plain_findings
from nunbit.data.checks.rules import duplicate_findings
from nunbit.data.pixels import Pixels
from nunbit.data.table import PictureTable

__all__ = ["fast_findings"]


def fast_findings(
    table: PictureTable,
    pixels: Pixels,
    *,
    rows: NDArray[np.int64] | None = None,
    described: NDArray[np.int64] | None = None,
) -> Findings:
    """Check pictures that are decoded for training: copies, classes, plain pictures.

    Copies are told by the pixels that the network will see. Of near-duplicates only
    those on both sides of a split are told (they make scores too good), and only of
    pictures of 48 pixels and more. ``Findings.lines()`` has the few lines to show.

    Shape:
        pixels: uint8 (M, S, S) or (M, S, S, C).
        rows: int64 (N,) for each row of ``table`` its row in ``pixels``; default: in order.
        described: int64 (K,) the rows of ``table`` that ``rows`` belong to, ascending, where
            not all are decoded. Of the others, classes and groups are checked.
    """
    if not len(pixels):
        return Findings(table, ()).with_items(class_findings(table))
    facts = facts_of_pixels(pixels, rows=rows)
    if described is not None:
        facts = replace(facts, rows=described[facts.rows])
    every = find_duplicates(table, facts)
    duplicates = Duplicates(
        exact=every.exact,
        near=tuple(group for group in every.near if group.is_across),
        small=every.small,
        plain=every.plain,
        is_capped=every.is_capped,
    )
    found = [
        *duplicate_findings(table, duplicates),
        *class_findings(table),
        *plain_findings(table, facts),
    ]
    return Findings(table, (), (), duplicates).with_items(found)
