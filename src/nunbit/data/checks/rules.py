"""From facts to findings: all checks in their order, and those of unreadable files and copies."""

from __future__ import annotations

from collections.abc import Sequence

from nunbit.data.checks.duplicates import Duplicates, Group, find_duplicates
from nunbit.data.checks.facts import SMALLEST_COMPARED_PX, Facts
from nunbit.data.checks.findings import (
    Finding,
    Findings,
    Severity,
    count_of,
    names_of,
    printable,
)
from nunbit.data.checks.labels import class_findings
from nunbit.data.checks.oddities import (
    cut_findings,
    file_findings,
    outlier_findings,
    plain_findings,
)
from nunbit.data.pixels import Unreadable
from nunbit.data.table import SPLITS, PictureTable

__all__ = ["check_pictures", "duplicate_findings"]


def check_pictures(
    table: PictureTable,
    facts: Facts,
    unreadable: Sequence[tuple[int, Unreadable]] = (),
) -> Findings:
    """Judge what was measured about the pictures of a table.

    Args:
        facts: From :func:`nunbit.data.checks.scan`.
        unreadable: Likewise.
    """
    duplicates = find_duplicates(table, facts)
    found = [
        *_unreadable(table, unreadable),
        *duplicate_findings(table, duplicates),
        *class_findings(table),
        *cut_findings(table, facts),
        *plain_findings(table, facts),
        *outlier_findings(table, facts),
        *file_findings(table, facts),
        *_search_limits(facts, duplicates),
        *(Finding("source", "note", note, values={"note": note}) for note in table.notes),
    ]
    return Findings(table, (), tuple(unreadable), duplicates).with_items(found)


def _unreadable(table: PictureTable, unreadable: Sequence[tuple[int, Unreadable]]) -> list[Finding]:
    if not unreadable:
        return []
    number, first = len(unreadable), unreadable[0][1]
    return [
        Finding(
            "unreadable",
            "error",
            f"{count_of(number, 'picture', 'pictures')} of {len(table):,} cannot be read; the "
            f"first: {printable(first.name)} ({printable(first.reason)}).",
            "They are left out of training. Copy or export them again.",
            {"count": number, "total": len(table)},
            rows=tuple(row for row, _ in unreadable),
            remarks=tuple(each.reason for _, each in unreadable),
        )
    ]


def duplicate_findings(table: PictureTable, duplicates: Duplicates) -> list[Finding]:
    """Return what there is to say of copies: across splits, with other labels, within."""
    found = []
    for kind, groups in (("exact", duplicates.exact), ("near", duplicates.near)):
        conflict = [g for g in groups if g.has_conflict]
        across = [g for g in groups if g.is_across]
        within = [g for g in groups if not g.is_across and not g.has_conflict]
        same = "identical" if kind == "exact" else "nearly the same"
        where = _splits_of(table, across)
        found += _of_groups(
            f"{kind}-across",
            "error",
            table,
            across,
            f"{{}} of {same} pictures on both sides of a split ({where}): the scores would be "
            "too good",
            "Leave one side out (`--exclude-file`), or keep them together with a `group`.",
        )
        found += _of_groups(
            f"{kind}-conflict",
            "error" if kind == "exact" else "warning",
            table,
            conflict,
            f"{{}} of {same} pictures with different labels",
            "Give them one label, or leave all of them out (`--exclude-file`).",
        )
        found += _of_groups(
            f"{kind}-within",
            "warning",
            table,
            within,
            f"{{}} of {same} pictures within a split",
            "A validation part cut at random could part them: leave copies out "
            "(`--exclude-file`), or keep them together with a `group`.",
        )
    return found


def _of_groups(
    kind: str,
    severity: Severity,
    table: PictureTable,
    groups: Sequence[Group],
    sentence: str,
    suggestion: str,
) -> list[Finding]:
    if not groups:
        return []
    pictures = sum(len(group.rows) for group in groups)
    text = sentence.format(count_of(len(groups), "group", "groups"))
    return [
        Finding(
            kind,
            severity,
            f"{text} ({pictures:,} pictures); the first: {names_of(table, groups[0].rows)}.",
            suggestion,
            {"count": len(groups), "pictures": pictures, "splits": _splits_of(table, groups)},
            groups=tuple(groups),
        )
    ]


def _splits_of(table: PictureTable, groups: Sequence[Group]) -> str:
    there = {str(table.split[row]) for group in groups for row in group.rows}
    return ", ".join(split for split in SPLITS if split in there)


def _search_limits(facts: Facts, duplicates: Duplicates) -> list[Finding]:
    found = []
    if duplicates.small:
        number = duplicates.small
        found.append(
            Finding(
                "near-not-searched",
                "note",
                f"{count_of(number, 'picture is', 'pictures are')} smaller than "
                f"{SMALLEST_COMPARED_PX} pixels: searched for identical copies only, since "
                "pictures so small are alike by nature.",
                values={"count": number, "least": SMALLEST_COMPARED_PX},
            )
        )
    if duplicates.is_capped:
        found.append(
            Finding(
                "near-capped",
                "note",
                "very many pictures are alike, so not every pair was compared; there may be "
                "more near-duplicates than listed.",
                values={"pictures": len(facts)},
            )
        )
    return found
