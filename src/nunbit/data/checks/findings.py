"""What a check found: sentences for people, rows for programs, a list to leave out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nunbit.data.checks.duplicates import Duplicates, Group
from nunbit.data.pixels import Unreadable
from nunbit.data.table import SPLITS, PictureTable
from nunbit.errors import name_list

__all__ = ["SEVERITIES", "Finding", "Findings", "Severity", "count_of", "names_of", "printable"]

Severity = Literal["error", "warning", "note"]
"""error: scores or training would be wrong; warning: have a look; note: good to know."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

KEPT_SPLITS = ("test", "validation", "train")
"""Of copies in several splits, the one in the first of these is kept."""


def printable(name: str, *, limit: int = 80) -> str:
    r"""Return a name as one line that any terminal and any page can show.

    Example:
        >>> printable("tab" + chr(9)), printable("x" * 100, limit=10)
        ('tab\\t', 'xxxx…xxxxx')
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    if len(text) <= limit:
        return text
    return f"{text[: (limit - 1) // 2]}…{text[-(limit // 2) :]}"


def names_of(table: PictureTable, rows: Sequence[int]) -> str:
    """Return the first names of some rows, and how many more there are."""
    return name_list(
        [printable(table.store.name(int(table.ids[row]))) for row in rows[:3]]
        + [""] * (len(rows) - 3),
        limit=3,
    )


def count_of(number: int, one: str, many: str) -> str:
    """Return ``1 picture`` or ``2,000 pictures``."""
    return f"{number:,} {one if number == 1 else many}"


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        kind: A word for programs, such as ``"exact-across"``.
        text: One sentence for people.
        suggestion: What to do about it, one sentence; may be empty.
        values: The numbers and names in the sentence, for other languages.
        rows: Rows of the table it is about, the worst first.
        remarks: A remark for each of ``rows``, such as ``"12×4000 pixels"``; or none.
        groups: Rows that belong together, where it is about pictures that are alike.
    """

    kind: str
    severity: Severity
    text: str
    suggestion: str = ""
    values: Mapping[str, str | int | float] = field(default_factory=dict)
    rows: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def count(self) -> int:
        """How many pictures, or groups of pictures, it is about."""
        return len(self.groups) or len(self.rows)


def _sayable(name: str) -> str:
    """Replace bytes that are no UTF-8, which JSON cannot say."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class Findings:
    """All that a check found, the worst first.

    Args:
        table: What was checked.
        items: The findings.
        unreadable: Rows that could not be read, with the reason.
        duplicates: What the search for copies found.
    """

    table: PictureTable
    items: tuple[Finding, ...]
    unreadable: tuple[tuple[int, Unreadable], ...] = ()
    duplicates: Duplicates = field(default_factory=lambda: Duplicates((), ()))

    def __len__(self) -> int:
        """Return the number of findings."""
        return len(self.items)

    def of_kind(self, kind: str) -> Finding | None:
        """Return the finding of a kind, or None where it was not found."""
        return next((item for item in self.items if item.kind == kind), None)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        return {each: sum(i.severity == each for i in self.items) for each in SEVERITIES}

    def with_items(self, more: Iterable[Finding]) -> Findings:
        """Return the findings with others added, in order of severity."""
        items = sorted((*self.items, *more), key=lambda item: SEVERITIES.index(item.severity))
        return Findings(self.table, tuple(items), self.unreadable, self.duplicates)

    def lines(self, limit: int = 5) -> list[str]:
        """Return the errors and warnings in a few lines for people, at most ``limit``.

        Where there are more, the last line says how many. Notes are left out.
        """
        told = [item for item in self.items if item.severity != "note"]
        lines = [f"{item.severity}: {item.text}" for item in told]
        if len(lines) > limit:
            more = len(lines) - limit + 1
            lines[limit - 1 :] = [f"and {more} findings more; `nunbit check` lists them"]
        return lines

    def to_dict(self, *, limit: int = 100) -> dict[str, Any]:
        """Return plain data: counts, and each finding with its pictures.

        Args:
            limit: Pictures or groups listed of each finding; ``count`` has them all.
        """
        table = self.table
        return {
            "source": table.source,
            "pictures": len(table),
            "kind": table.kind,
            "classes": list(table.classes),
            "splits": {s: int((table.split == s).sum()) for s in SPLITS if table.has_split(s)},
            "counts": self.counts,
            "findings": [self._item(item, limit) for item in self.items],
        }

    def _item(self, item: Finding, limit: int) -> dict[str, Any]:
        data: dict[str, Any] = {
            "kind": item.kind,
            "severity": item.severity,
            "text": item.text,
            "suggestion": item.suggestion,
            "values": dict(item.values),
            "count": item.count,
        }
        if item.rows:
            remarks: Sequence[str | None] = item.remarks or (None,) * len(item.rows)
            listed = zip(item.rows[:limit], remarks, strict=False)
            data["pictures"] = [
                {**self._picture(row), **({"remark": remark} if remark else {})}
                for row, remark in listed
            ]
        if item.groups:
            data["groups"] = [
                {
                    "pictures": [self._picture(row) for row in group.rows[:limit]],
                    "pairs": [
                        [_sayable(self.name(row)) for row in pair] for pair in group.pairs[:limit]
                    ],
                    "size": len(group.rows),
                    "likeness": group.likeness,
                }
                for group in item.groups[:limit]
            ]
        return data

    def name(self, row: int) -> str:
        """Return the name of a picture by its row."""
        return self.table.store.name(int(self.table.ids[row]))

    def _picture(self, row: int) -> dict[str, Any]:
        return {
            "path": _sayable(self.name(row)),
            "split": str(self.table.split[row]),
            "label": _sayable(self.table.label_text(row)),
        }

    def exclusions(self) -> list[tuple[str, str]]:
        """Return the pictures to leave out, each with the reason, in the order of the table.

        * Pictures that cannot be read.
        * Of copies with different labels (identical or nearly): all, since nobody
          but you can say which label is right.
        * Of other copies: all but one. Kept is one of the test split, else of
          validation, else of train, so that what is scored stays as it is; among
          those the first by name.
        """
        reasons: dict[int, str] = {row: f"unreadable: {u.reason}" for row, u in self.unreadable}
        groups = (*self.duplicates.exact, *self.duplicates.near)
        for group in groups:
            if group.has_conflict:
                for row in group.rows:
                    reasons.setdefault(row, "copies have different labels")
        for group in groups:
            if group.has_conflict:
                continue
            left = [row for row in group.rows if row not in reasons]
            kept = min(left, key=self._rank, default=None)
            what = "identical to" if group.likeness == 1.0 else "nearly the same as"
            for row in left:
                if row != kept and kept is not None:
                    reasons[row] = f"{what} {printable(self.name(kept))}"
        return [(self.name(row), reasons[row]) for row in sorted(reasons)]

    def _rank(self, row: int) -> tuple[int, str]:
        return KEPT_SPLITS.index(str(self.table.split[row])), self.name(row)
