"""What is odd about classes and groups: few pictures, none, uneven numbers, parted groups."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nunbit.data.checks.findings import Finding, count_of, printable
from nunbit.data.split_files import parted_groups
from nunbit.data.table import SPLITS, PictureTable
from nunbit.errors import name_list

__all__ = ["IMBALANCE", "TINY_CLASS", "class_findings"]

TINY_CLASS = 10
"""Training pictures that a class has at least, or it is called tiny."""
IMBALANCE = 10.0
"""How many times larger the largest class may be than the smallest."""


def class_findings(table: PictureTable) -> list[Finding]:
    """Return what is odd: classes that are few, missing, uneven, alike in name; parted groups."""
    if table.kind == "regression":
        return _parted_groups(table)
    found = [*_parted_groups(table), *_alike_names(table.classes)]
    counts = {split: _counts(table.of_split(split)) for split in SPLITS if table.has_split(split)}
    if len(table.classes) == 1 and table.kind == "class":
        name = printable(table.classes[0])
        found.append(
            Finding(
                "one-class",
                "error",
                f"all pictures are of one class, `{name}`.",
                "Put pictures of something else into a second class folder.",
                {"name": name},
            )
        )
    for split, there in counts.items():
        missing = [f"`{printable(table.classes[k])}`" for k in np.flatnonzero(there == 0)]
        if missing:
            found.append(
                Finding(
                    "missing-class",
                    "error",
                    f"split `{split}` has no pictures of {name_list(missing)}.",
                    "Every split needs the same classes. Add pictures, or leave the class out.",
                    {"split": split, "names": name_list(missing), "count": len(missing)},
                )
            )
    train = counts.get("train")
    if train is None or not (train > 0).any():
        return found
    order = np.argsort(train, kind="stable")
    tiny = [k for k in order if 0 < train[k] < TINY_CLASS]
    if tiny:
        named = name_list(f"`{printable(table.classes[k])}` ({train[k]})" for k in tiny)
        found.append(
            Finding(
                "tiny-class",
                "warning",
                f"{count_of(len(tiny), 'class has', 'classes have')} fewer than {TINY_CLASS} "
                f"pictures to train on: {named}.",
                "Add pictures; scores of so few say little.",
                {"count": len(tiny), "least": TINY_CLASS, "names": named},
            )
        )
    there = train[train > 0]
    ratio = float(there.max() / there.min())
    if ratio > IMBALANCE:
        large = int(np.argmax(train))
        small = int(np.flatnonzero(train == there.min())[0])
        values: dict[str, str | int | float] = {
            "ratio": round(ratio),
            "large": printable(table.classes[large]),
            "small": printable(table.classes[small]),
            "most": int(there.max()),
            "least": int(there.min()),
        }
        found.append(
            Finding(
                "imbalance",
                "warning",
                "the largest class has {ratio} times as many training pictures as the smallest "
                "(`{large}`: {most:,}, `{small}`: {least:,}).".format(**values),
                "Look at the scores of each class, not at accuracy alone.",
                values,
            )
        )
    return found


def _parted_groups(table: PictureTable) -> list[Finding]:
    parted = parted_groups(table)
    if table.group is None or not parted:
        return []
    rows = np.flatnonzero(np.isin(table.group, parted))
    rows = rows[np.argsort(table.group[rows], kind="stable")]
    named = name_list((f"`{printable(name)}`" for name in parted), limit=5)
    return [
        Finding(
            "group-across",
            "error",
            f"{count_of(len(parted), 'group has', 'groups have')} pictures on both sides of a "
            f"split: {named}. The scores would be too good.",
            "Give all pictures of a group the same split.",
            {"count": len(parted), "names": named},
            rows=tuple(int(row) for row in rows),
            remarks=tuple(
                f"{printable(str(table.group[row]), limit=30)}, {table.split[row]}" for row in rows
            ),
        )
    ]


def _counts(table: PictureTable) -> NDArray[np.int64]:
    if table.kind == "multi-label":
        return np.asarray(table.labels.sum(axis=0, dtype=np.int64))
    known = table.labels[table.labels >= 0]
    return np.bincount(known, minlength=len(table.classes))


def _alike_names(classes: Sequence[str]) -> list[Finding]:
    alike = defaultdict(list)
    for name in classes:
        plain = unicodedata.normalize("NFKC", name).casefold()
        alike["".join(c for c in plain if c.isalnum()) or plain].append(printable(name))
    groups = [
        " / ".join(f"`{name}`" for name in names) for names in alike.values() if len(names) > 1
    ]
    if not groups:
        return []
    return [
        Finding(
            "label-names",
            "warning",
            f"{count_of(len(groups), 'class is', 'classes are')} written in different ways: "
            f"{name_list(groups, limit=5)}.",
            "Names that differ only in case, spaces or signs are mostly one class: rename them.",
            {"count": len(groups), "names": name_list(groups, limit=5)},
        )
    ]
