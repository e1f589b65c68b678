"""Pictures and files unlike the others: size, shape, brightness, one colour, odd kinds.

Outliers are measured robustly (median, and median distance from it) and also need an
absolute distance, so that a clean set gives no findings however even it is.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from nunbit.data.checks.facts import Facts
from nunbit.data.checks.findings import Finding, count_of, names_of
from nunbit.data.table import PictureTable

__all__ = ["cut_findings", "file_findings", "outlier_findings", "plain_findings"]

MAD_TO_STD = 1.4826
OUTLIER_STDS = 5.0
LEAST_SAMPLE = 20
"""Pictures from which on outliers mean something."""
SIZE_FACTOR, ASPECT_FACTOR, BRIGHTNESS_STEP = 4.0, 3.0, 80.0
"""Least distance of an outlier from the median: times, times, grey values of 255."""
PLAIN_CONTRAST = 2.0
"""Standard deviation of the grey values below which a picture shows one colour."""


def plain_findings(table: PictureTable, facts: Facts) -> list[Finding]:
    """Return the pictures that show one colour only."""
    places = np.flatnonzero(facts.contrast < PLAIN_CONTRAST)
    if len(places) == 0:
        return []
    return [
        Finding(
            "plain",
            "warning",
            f"{count_of(len(places), 'picture shows', 'pictures show')} one colour only: "
            f"{names_of(table, facts.rows[places].tolist())}.",
            "Look whether they are black frames or failed exports.",
            {"count": len(places)},
            rows=tuple(facts.rows[places].tolist()),
            remarks=tuple(f"brightness {v:.0f}" for v in facts.brightness[places].tolist()),
        )
    ]


def cut_findings(table: PictureTable, facts: Facts) -> list[Finding]:
    """Return the JPEGs that look as if their end were missing."""
    rows = facts.rows[np.flatnonzero(facts.is_cut)].tolist()
    if not rows:
        return []
    return [
        Finding(
            "cut-off",
            "warning",
            f"{count_of(len(rows), 'JPEG is', 'JPEGs are')} of one even grey at one edge, as after "
            f"a broken download: {names_of(table, rows)}.",
            "Look at them, and copy or export those again whose end is missing.",
            {"count": len(rows)},
            rows=tuple(rows),
        )
    ]


def outlier_findings(table: PictureTable, facts: Facts) -> list[Finding]:
    """Return the pictures whose size, shape or brightness is far from the others'."""
    if len(facts) < LEAST_SAMPLE:
        return []
    width, height = facts.width.astype(np.float64), facts.height.astype(np.float64)
    sizes = [f"{w}×{h}" for w, h in zip(facts.width, facts.height, strict=True)]
    light = [f"brightness {value:.0f}" for value in facts.brightness.tolist()]
    plain = facts.contrast < PLAIN_CONTRAST
    found = []
    for kind, values, floor, remarks, sentence, suggestion in (
        (
            "size",
            np.log2(width * height) / 2,
            np.log2(SIZE_FACTOR),
            sizes,
            "far larger or smaller than the others",
            "Tiny ones are often previews or icons: look whether they belong here.",
        ),
        (
            "aspect",
            np.log2(width / height),
            np.log2(ASPECT_FACTOR),
            sizes,
            "of an unusual shape, far longer one way than the others",
            "Squashed or cropped to a square they lose much: see `--fit`, or cut them first.",
        ),
        (
            "brightness",
            facts.brightness.astype(np.float64),
            BRIGHTNESS_STEP,
            light,
            "far darker or brighter than the others",
            "Look whether they are failed shots, or negatives.",
        ),
    ):
        away = np.abs(values - np.median(values))
        spread = OUTLIER_STDS * MAD_TO_STD * float(np.median(away))
        is_far = (away >= floor) & (away > spread)
        if kind == "brightness":
            is_far &= ~plain  # those have a finding of their own
        places = np.flatnonzero(is_far)
        places = places[np.argsort(-away[places], kind="stable")]
        if len(places):
            rows = facts.rows[places].tolist()
            found.append(
                Finding(
                    kind,
                    "warning",
                    f"{count_of(len(rows), 'picture is', 'pictures are')} {sentence}: "
                    f"{names_of(table, rows)}.",
                    suggestion,
                    {"count": len(rows)},
                    rows=tuple(rows),
                    remarks=tuple(remarks[k] for k in places),
                )
            )
    return found


def file_findings(table: PictureTable, facts: Facts) -> list[Finding]:
    """Return the files of an unusual kind, and those whose suffix is wrong."""
    found = []
    odd = [k for k, kinds in enumerate(facts.kinds) if kinds]
    if odd:
        tally = Counter(kind for k in odd for kind in facts.kinds[k])
        listed = ", ".join(f"{number:,} × {kind}" for kind, number in tally.most_common())
        found.append(
            Finding(
                "odd-files",
                "note",
                f"{count_of(len(odd), 'file is', 'files are')} of an unusual kind: {listed}.",
                "Nunbit reads them rightly; some other programs do not.",
                {"count": len(odd), "kinds": listed},
                rows=tuple(facts.rows[odd].tolist()),
                remarks=tuple(", ".join(facts.kinds[k]) for k in odd),
            )
        )
    lies = [k for k, really in enumerate(facts.lies) if really]
    if lies:
        rows = facts.rows[lies].tolist()
        found.append(
            Finding(
                "wrong-suffix",
                "note",
                f"{count_of(len(lies), 'file is', 'files are')} not what the name says; the first: "
                f"{names_of(table, rows[:1])} is {facts.lies[lies[0]]}.",
                "Nunbit goes by the content; rename them for other programs.",
                {"count": len(lies)},
                rows=tuple(rows),
                remarks=tuple(facts.lies[k] for k in lies),
            )
        )
    return found
