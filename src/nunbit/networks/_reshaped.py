"""Which axes of the picture lie along the dimensions of a tensor after a reshape."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["axes_after_reshape"]

Axes = tuple[frozenset[int], ...]


def axes_after_reshape(axes: Axes, before: Sequence[int], after: Sequence[int]) -> Axes:
    """Follow dimensions that are joined or split.

    A dimension that was joined from rows and columns and is split in as many again
    gets them back in that order.

    Example:
        >>> none, rows, columns = frozenset(), frozenset({0}), frozenset({1})
        >>> [set(each) for each in axes_after_reshape(
        ...     (none, none, rows, columns), (2, 3, 8, 9), (2, 3, 72))]
        [set(), set(), {0, 1}]
    """
    made: list[frozenset[int]] = []
    for old, new in _groups(before, after):
        along = [axes[k] for k in old]
        if len(old) == len(new) == 1:
            made += along
            continue
        together = frozenset[int]().union(*along)
        wide = [k for k in new if after[k] != 1]
        if len(old) == 1 and len(wide) == len(together) > 1:
            back = dict(zip(wide, sorted(together), strict=True))
            made += [frozenset({back[k]}) if k in back else frozenset() for k in new]
        else:
            only = wide or new
            made += [together if k in only else frozenset() for k in new]
    return tuple(made)


def _groups(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Pair the shortest runs of dimensions that hold equally many values."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        old, new = [], []
        left = right = 1
        if i < len(before):
            old, left, i = [i], before[i], i + 1
        if j < len(after):
            new, right, j = [j], after[j], j + 1
        while left != right and (i < len(before) or j < len(after)):
            if (left < right and i < len(before)) or j >= len(after):
                old.append(i)
                left, i = left * before[i], i + 1
            else:
                new.append(j)
                right, j = right * after[j], j + 1
        if not old or not new:  # ones at the end: they belong to the last group
            last = groups.pop() if groups else ([], [])
            old, new = [*last[0], *old], [*last[1], *new]
        groups.append((old, new))
    return groups
