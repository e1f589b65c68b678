"""The same picture twice: identical, or nearly so; within a split or across splits.

Identical means equal shape and equal pixels after decoding, whatever the files are
called or how they were compressed. Nearly so means scaled, recompressed, brightened
or cut by a little: candidates by perceptual hash, verified on their thumbnails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nunbit.data.checks.facts import Facts
from nunbit.data.checks.perceptual import CHUNK, hashed_pairs, likeness
from nunbit.data.table import PictureTable

__all__ = ["LEAST_FINE", "LEAST_WHOLE", "Duplicates", "Group", "find_duplicates"]

LEAST_WHOLE = 0.92
"""Correlation that the thumbnails of near-duplicates have at least.

On 4,000 photographs: recompressed at quality 60, or scaled to 0.7, 0.99 and more; cut
by 2 % on each side 0.97 (median); the two photographs most alike that are no copies
0.87.
"""
LEAST_FINE = 0.6
"""The same of their fine parts, where copies have 0.9 and look-alikes below 0.3. It
keeps apart what is alike by nature only: X-rays, scanned forms, parts on a belt."""

PLAIN_STD = 4.0
"""Thumbnails with a smaller standard deviation show too little to compare."""


@dataclass(frozen=True)
class Group:
    """Pictures that are the same, or nearly.

    Args:
        rows: Rows of the table, ascending.
        pairs: The pairs of rows that were found; together they link the group.
        likeness: Correlation of the least alike of these pairs; 1 where identical.
        is_across: Whether the pictures lie in different splits.
        has_conflict: Whether their labels differ.
    """

    rows: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    likeness: float
    is_across: bool
    has_conflict: bool


@dataclass(frozen=True)
class Duplicates:
    """What was found, and how far the search went.

    Args:
        exact: Groups of identical pictures.
        near: Groups of pictures that are nearly the same; copies of a member that
            are identical to it belong to the group. Left out are those that lie in
            one ``group`` of the table and in one split: frames of one video.
        small: Pictures that were too small to be searched for near-duplicates.
        plain: Pictures that show too little for it.
        is_capped: Whether so many pictures are alike that not all were compared.
    """

    exact: tuple[Group, ...]
    near: tuple[Group, ...]
    small: int = 0
    plain: int = 0
    is_capped: bool = False


def find_duplicates(table: PictureTable, facts: Facts) -> Duplicates:
    """Find pictures that are the same as another of the table."""
    families = _identical(facts.content)
    exact = [
        _group(table, facts.rows[family], [(0, k) for k in range(1, len(family))])
        for family in families
    ]
    alone = np.ones(len(facts), dtype=bool)
    for family in families:
        alone[family[1:]] = False  # one of each family stands for all
    plain = np.zeros(len(facts), dtype=bool)
    compared = np.flatnonzero(facts.compared)
    for start in range(0, len(compared), CHUNK):
        part = compared[start : start + CHUNK]
        spread = facts.thumbnails[part].std(axis=(1, 2), dtype=np.float32)
        plain[part] = spread < PLAIN_STD
    searched = np.flatnonzero(alone & facts.compared & ~plain)
    candidates = hashed_pairs(facts.perceptual[searched])
    first, second = searched[candidates.first], searched[candidates.second]
    whole, fine = likeness(facts.thumbnails, first, second)
    good = (whole >= LEAST_WHOLE) & (fine >= LEAST_FINE)
    near = _near(table, facts, families, (first[good], second[good], whole[good]))
    return Duplicates(
        exact=tuple(exact),
        near=near,
        small=int((~facts.compared).sum()),
        plain=int(plain.sum()),
        is_capped=candidates.is_capped,
    )


def _identical(content: NDArray[np.void]) -> list[NDArray[np.int64]]:
    """Return the positions of each value that occurs more than once."""
    words = content.view(np.uint64).reshape(-1, 2)
    order = np.lexsort((np.arange(len(words)), words[:, 1], words[:, 0]))
    ordered = words[order]
    is_new = np.ones(len(words), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(is_new)
    ends = np.append(starts[1:], len(words))
    many = np.flatnonzero(ends - starts > 1)
    return sorted((order[starts[k] : ends[k]] for k in many), key=lambda family: int(family[0]))


def _near(
    table: PictureTable,
    facts: Facts,
    families: list[NDArray[np.int64]],
    found: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]],
) -> tuple[Group, ...]:
    family_of = {int(family[0]): family.tolist() for family in families}
    linked: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    root = _roots(zip(found[0].tolist(), found[1].tolist(), strict=True))
    for one, other, how in zip(*(column.tolist() for column in found), strict=True):
        linked[root[one]].append((one, other, how))
    groups = []
    for pairs in linked.values():
        members = {each for pair in pairs for each in pair[:2]}
        every = sorted({copy for each in members for copy in family_of.get(each, [each])})
        place = {each: k for k, each in enumerate(every)}
        links = [(place[one], place[other]) for one, other, _ in pairs]
        least = min(how for _, _, how in pairs)
        # 1 is kept for what is identical.
        likeness = min(round(least, 4), 0.9999)
        groups.append(_group(table, facts.rows[every], links, likeness=likeness))
    told = (group for group in groups if group.is_across or not _belong_together(table, group))
    return tuple(sorted(told, key=lambda group: group.rows))


def _belong_together(table: PictureTable, group: Group) -> bool:
    """Return whether the user has said of all of a group that they belong together."""
    return table.group is not None and len(set(table.group[list(group.rows)].tolist())) == 1


def _roots(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return, for each number of the pairs, one number that stands for all it is linked to."""
    parent: dict[int, int] = {}

    def find(each: int) -> int:
        while parent.setdefault(each, each) != each:
            parent[each] = parent[parent[each]]
            each = parent[each]
        return each

    for one, other in pairs:
        parent[find(one)] = find(other)
    return {each: find(each) for each in list(parent)}


def _group(
    table: PictureTable,
    rows: NDArray[np.int64],
    links: list[tuple[int, int]],
    *,
    likeness: float = 1.0,
) -> Group:
    labels, splits = table.labels[rows], table.split[rows]
    if table.kind == "class":
        has_conflict = len(np.unique(labels[labels >= 0])) > 1  # -1: it has no label
    else:
        # Numbers measured on two shots of one thing differ; of one picture they must not.
        comparable = table.kind == "multi-label" or likeness == 1.0
        has_conflict = comparable and bool((labels != labels[:1]).any())
    return Group(
        rows=tuple(rows.tolist()),
        pairs=tuple((int(rows[one]), int(rows[other])) for one, other in links),
        likeness=likeness,
        is_across=bool((splits != splits[0]).any()),
        has_conflict=has_conflict,
    )
