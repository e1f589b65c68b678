"""The sheet of ``nunbit check``: one HTML page with the pictures that were found.

All text goes through Jinja's autoescape, so no class or file name can become markup.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nunbit.data.checks import Finding, Findings, Group, printable
from nunbit.data.decode import decode
from nunbit.data.table import SPLITS
from nunbit.errors import PictureError, StorageError
from nunbit.report.check_texts import SENTENCES_KO, SUGGESTIONS_KO, TITLES, WORDS
from nunbit.report.pictures import Thumbnail, make_thumbnail
from nunbit.report.render import make_environment, sayable
from nunbit.report.words import make_language
from nunbit.storage import is_free_for, write_atomic

__all__ = ["check_sheet_place", "render_check_sheet", "write_check_sheet"]

PICTURES_SHOWN = 24
GROUPS_SHOWN = 12
COPIES_SHOWN = 6
CLASSES_SHOWN = 40
MARK = '<meta name="generator" content="Nunbit check">'
"""By it a sheet is known again, so that a new one may take its place."""


@dataclass(frozen=True)
class _Card:
    """One picture with what is said under it."""

    thumbnail: Thumbnail | None
    name: str
    label: str
    split: str
    remark: str


@dataclass(frozen=True)
class _Section:
    """One finding as the page shows it."""

    severity: str
    severity_word: str
    title: str
    sentence: str
    suggestion: str
    cards: tuple[_Card, ...]
    groups: tuple[tuple[tuple[_Card, ...], str], ...]
    shown: str


def render_check_sheet(findings: Findings, *, lang: Literal["en", "ko"] = "en") -> str:
    """Return a whole HTML page that needs no other file, no script and no network.

    Pictures are read again for it; one that is gone by now is named without a picture.

    Raises:
        OptionError: The sheet does not speak ``lang``.
    """
    words = WORDS[make_language(lang).code]
    page = (
        make_environment()
        .get_template("check.html.j2")
        .render(
            lang=lang,
            words=words,
            title=words["title"].format(source=findings.table.source),
            verdict=_verdict(findings, words),
            sections=[_section(findings, item, lang) for item in findings.items],
            **_class_table(findings, lang),
        )
    )
    return sayable(page)


def check_sheet_place(path: str | os.PathLike[str]) -> None:
    """Refuse a place where something lies that is no sheet.

    Raises:
        StorageError: There is such a thing.
    """
    if not is_free_for(path, MARK, within=1000):
        raise StorageError(
            f"`{path}` is there already and is no sheet of `nunbit check`; it is not "
            "overwritten. Give another name, or remove it first."
        )


def write_check_sheet(
    findings: Findings, path: str | os.PathLike[str], *, lang: Literal["en", "ko"] = "en"
) -> None:
    """Write the page to a file, whole or not at all; an older sheet is replaced.

    Raises:
        StorageError: The place holds something else, or cannot be written.
    """
    check_sheet_place(path)
    write_atomic(Path(path), render_check_sheet(findings, lang=lang))


def _number(words: dict[str, str], key: str, count: int) -> str:
    return words[f"{key}_one" if count == 1 else f"{key}_many"].format(count=count)


def _verdict(findings: Findings, words: dict[str, str]) -> str:
    counts = findings.counts
    pictures = _number(words, "picture", len(findings.table))
    source = findings.table.source
    if counts["error"] == counts["warning"] == 0:
        return words["verdict_clean"].format(source=source, pictures=pictures)
    return words["verdict"].format(
        source=source,
        pictures=pictures,
        errors=_number(words, "error", counts["error"]),
        warnings=_number(words, "warning", counts["warning"]),
    )


def _section(findings: Findings, item: Finding, lang: str) -> _Section:
    words = WORDS[lang]
    sentence, suggestion = item.text, item.suggestion
    if lang == "ko" and item.kind in SENTENCES_KO:
        values = dict(item.values)
        if "split" in values:
            values["split"] = make_language(lang).split(str(values["split"]))
        if "splits" in values:
            there = str(values["splits"]).split(", ")
            values["splits"] = ", ".join(make_language(lang).split(each) for each in there)
        sentence = SENTENCES_KO[item.kind].format(**values)
        suggestion = SUGGESTIONS_KO[item.kind]
    shown = min(item.count, GROUPS_SHOWN if item.groups else PICTURES_SHOWN)
    remarks = item.remarks or ("",) * len(item.rows)
    listed = zip(item.rows[:PICTURES_SHOWN], remarks, strict=False)
    return _Section(
        severity=item.severity,
        severity_word=words[item.severity],
        title=TITLES[lang].get(item.kind, item.kind),
        sentence=sentence[:1].upper() + sentence[1:],
        suggestion=suggestion,
        cards=tuple(_card(findings, row, remark, lang) for row, remark in listed),
        groups=tuple(_group(findings, group, lang) for group in item.groups[:GROUPS_SHOWN]),
        shown=words["shown"].format(shown=shown, count=item.count) if shown < item.count else "",
    )


def _group(findings: Findings, group: Group, lang: str) -> tuple[tuple[_Card, ...], str]:
    rows = _telling(findings, group)
    cards = tuple(_card(findings, row, "", lang) for row in rows)
    count = len(group.rows)
    text = WORDS[lang]["copies"].format(shown=len(rows), count=count)
    return cards, text if len(rows) < count else ""


def _telling(findings: Findings, group: Group) -> list[int]:
    """Return the rows of a group to show: one of each split and label comes first."""
    table = findings.table
    first: dict[tuple[str, str], int] = {}
    for row in group.rows:
        first.setdefault((str(table.split[row]), table.label_text(row)), row)
    rest = [row for row in group.rows if row not in first.values()]
    return [*first.values(), *rest][:COPIES_SHOWN]


def _card(findings: Findings, row: int, remark: str, lang: str) -> _Card:
    table = findings.table
    thumbnail = None
    if row not in {each for each, _ in findings.unreadable}:
        try:
            data = table.store.read(int(table.ids[row]))
            thumbnail = make_thumbnail(decode(data) if isinstance(data, bytes) else data)
        except PictureError:
            thumbnail = None
    if remark.startswith("brightness "):
        remark = remark.replace("brightness", WORDS[lang]["brightness"])
    return _Card(
        thumbnail=thumbnail,
        name=printable(findings.name(row), limit=120),
        label=printable(table.label_text(row)),
        split=make_language(lang).split(str(table.split[row])),
        remark=printable(remark, limit=120),
    )


def _class_table(findings: Findings, lang: str) -> dict[str, object]:
    """Return header and rows of the table of classes by split; empty for measurements."""
    table, words = findings.table, WORDS[lang]
    splits = [split for split in SPLITS if table.has_split(split)]
    if table.kind == "regression":
        return {"class_header": [], "class_rows": [], "class_note": ""}
    counts = []
    for split in splits:
        labels = table.of_split(split).labels
        if table.kind == "multi-label":
            counts.append(labels.sum(axis=0, dtype=np.int64))
        else:
            counts.append(np.bincount(labels[labels >= 0], minlength=len(table.classes)))
    language = make_language(lang)
    many = len(table.classes) > CLASSES_SHOWN
    rows: list[tuple[str, Sequence[str]]] = [
        (printable(name), [f"{int(count[k]):,}" for count in counts])
        for k, name in enumerate(table.classes[:CLASSES_SHOWN])
    ]
    if table.kind == "class":
        rows.append((words["all"], [f"{int(count.sum()):,}" for count in counts]))
    note = words["classes_shown"].format(shown=CLASSES_SHOWN, count=len(table.classes))
    return {
        "class_header": [words["class"], *(language.split(split) for split in splits)],
        "class_rows": rows,
        "class_note": note if many else "",
    }
