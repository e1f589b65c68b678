"""From labels as people write them to positions in a list of classes.

Every source (folders, file names, CSV, columns, arrays) makes its classes here, so
the same mistakes are found with the same words.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from nunbit.data.table import SPLITS, PictureTable
from nunbit.errors import DataError, did_you_mean, name_list

__all__ = [
    "CSV_NOTES",
    "MAX_LABEL_CHARS",
    "check_labels",
    "check_skips",
    "check_table",
    "choose_classes",
    "clean_label",
    "clip",
    "count",
    "sort_classes",
    "spellings",
]

MAX_LABEL_CHARS = 500
"""Longest name of a class or a group, in characters."""

CSV_NOTES = ("give `", "not used: ")
"""So notes begin that name a CSV that may be meant in place of the folders."""

_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)


def clean_label(text: str) -> str:
    """Return a label in Unicode's composed form (NFC).

    macOS writes folder names decomposed, so ``고양이`` from there and from elsewhere
    differ in bytes; people see one word.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def spellings(name: str) -> tuple[str, ...]:
    """Return the ways to write one name in Unicode: as it is, composed, decomposed.

    A list made elsewhere and files from macOS differ in it, and look the same.
    """
    if name.isascii():
        return (name,)
    return (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))


def count(number: int, what: str) -> str:
    """Return ``1 picture`` or ``2,000 pictures``."""
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def clip(text: str, limit: int = 120) -> str:
    """Shorten a name for a message; bytes that are no UTF-8 are shown in hexadecimal."""
    shown = text if len(text) <= limit else f"{text[: limit - 20]}… ({len(text):,} characters)"
    try:
        raw = shown.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a lone surrogate that stands for no byte
        raw = shown.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def sort_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """Return each label once, in order: by value where all are whole numbers, else by text.

    Example:
        >>> sort_classes(["10", "9", "9"]), sort_classes(["10", "9", "cat"])
        (('9', '10'), ('10', '9', 'cat'))
    """
    once = set(labels)
    if all(_WHOLE.fullmatch(label) for label in once):
        return tuple(sorted(once, key=int))
    return tuple(sorted(once))


def check_skips(skip_classes: Sequence[str], known: Iterable[str], *, where: str) -> None:
    """Refuse classes to skip that are not there.

    Raises:
        DataError: The message names the nearest and all that there are.
    """
    there = set(known)
    unknown = sorted(set(skip_classes) - there)
    if unknown:
        raise DataError(
            f"`--skip-class {unknown[0]}`: {where} has no such class."
            f"{did_you_mean(unknown[0], there)} It has: {name_list(sort_classes(there))}."
        )


def check_labels(labels: Iterable[str], *, where: str) -> None:
    """Refuse labels that are one word in two spellings, too long, or no text.

    Args:
        labels: As often as there are pictures of each.
    Raises:
        DataError: All such labels, in one message.
    """
    counts = Counter(labels)
    wrong = []
    strange = [label for label in counts if not _is_text(label)]
    if strange:
        shown = name_list(f"`{clip(s)}`" for s in strange)
        wrong.append(f"class names that are not UTF-8: {shown}. Rename them")
    long = [label for label in counts if len(label) > MAX_LABEL_CHARS]
    if long:
        shown = name_list(f"`{clip(s)}`" for s in long)
        wrong.append(
            f"class names of more than {MAX_LABEL_CHARS} characters: {shown}. Shorten them"
        )
    spelt: dict[str, list[str]] = {}
    for label in counts:
        spelt.setdefault(clean_label(label).casefold(), []).append(label)
    twice = [sorted(group) for group in spelt.values() if len(group) > 1]
    if twice:
        groups = name_list(
            " and ".join(f"`{clip(s)}` ({count(counts[s], 'picture')})" for s in group)
            for group in twice
        )
        most = clip(max(twice[0], key=lambda label: counts[label]))
        wrong.append(
            f"classes that differ only in case: {groups}. If they are one class, name it "
            f"`{most}` everywhere; if not, give one of them another name"
        )
    if wrong:
        raise DataError(f"{where} has {'; and '.join(wrong)}.")


def _is_text(label: str) -> bool:
    try:
        label.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def choose_classes(
    labels: Sequence[Sequence[str]],
    splits: Sequence[str],
    *,
    where: str,
    skip_classes: Sequence[str],
    misplaced: Callable[[str, str], tuple[str, str]],
    order: Callable[[Iterable[str]], Iterable[str]] = sort_classes,
) -> tuple[str, ...]:
    """Return the classes of a source: those of its training pictures, in order.

    Args:
        labels: The labels of each picture; most have one.
        misplaced: Says for a class that a split has and training has not where it was
            found, and where to add pictures.
        order: Sorts the classes.
    Raises:
        DataError: A class to skip is unknown, labels differ only in case, or a class
            is missing in training.
    """
    check_skips(skip_classes, (label for each in labels for label in each), where=where)
    skipped = set(skip_classes)
    check_labels((x for each in labels for x in each if x not in skipped), where=where)
    found: dict[str, dict[str, None]] = {split: {} for split in SPLITS}
    for each, split in zip(labels, splits, strict=True):
        found[split].update(dict.fromkeys(each))
    in_all = {label for split in SPLITS for label in found[split]} - skipped
    in_train = set(found["train"]) - skipped
    classes = tuple(order(in_train or in_all))
    for label in sorted(in_all - set(classes)):
        split = next(s for s in SPLITS if label in found[s])
        has, advice = misplaced(label, split)
        raise DataError(
            f"{has}, but training has no class `{label}` (it has: {name_list(classes)}). "
            f"Every split needs the same classes. {advice}, or pass `--skip-class {label}`."
        )
    return classes


def check_table(table: PictureTable, *, where: str, needs_two: bool = True) -> None:
    """Refuse a table that cannot be trained on.

    Classes are counted where each picture has one; several labels a picture, or
    numbers, need training pictures only.

    Args:
        needs_two: Whether a validation part will be cut from the training
            pictures, so that each class needs two of them.
    Raises:
        DataError: No training pictures, fewer than two classes, a class with too
            few pictures, or a split that lacks a class.
    """
    if not table.has_split("train"):
        filled = ", ".join(s for s in SPLITS if table.has_split(s)) or "none"
        raise DataError(
            f"{where} has no training pictures (splits that have some: {filled}). Add class "
            "folders to `train/`, or rows of the split `train`."
        )
    if table.kind == "class":
        _check_counts(table, where=where, least=2 if needs_two else 1)
    elif needs_two and len(table.of_split("train")) < 2:
        raise DataError(
            f"{where} has one picture to train on, expected at least 2 (one to learn from, one to "
            "validate with). Add pictures."
        )


def _check_counts(table: PictureTable, *, where: str, least: int) -> None:
    if len(table.classes) < 2:
        raise DataError(
            f"{where} has one class only (`{table.classes[0]}`), expected at least two. "
            "Put pictures of something else into a second class folder, or give them a second "
            f"label.{_hint(table)}"
        )
    counts = _counts(table.of_split("train"))
    few = [name for name, n in zip(table.classes, counts, strict=True) if n < least]
    if few:
        have = {1: "no picture", 2: "one picture" if counts.min() else "less than two pictures"}
        why = " (one to learn from, one to validate with)" if least == 2 else ""
        raise DataError(
            f"{'class' if len(few) == 1 else 'classes'} {name_list(f'`{f}`' for f in few)} in "
            f"{where} {'has' if len(few) == 1 else 'have'} {have[least]} to train on, expected at "
            f"least {least}{why}. Add pictures, or pass `--skip-class {few[0]}`."
        )
    for split in ("validation", "test"):
        if table.has_split(split):
            there = _counts(table.of_split(split))
            lacking = [name for name, n in zip(table.classes, there, strict=True) if n == 0]
            if lacking:
                raise DataError(
                    f"split `{split}` of {where} has no pictures of "
                    f"{name_list(f'`{f}`' for f in lacking)}, but training has. Every split needs "
                    f"the same classes. Add pictures, or pass `--skip-class {lacking[0]}`."
                )


def _hint(table: PictureTable) -> str:
    """Return what was noted about a CSV that could have been meant in place of the folders."""
    return next((f" Note: {each}." for each in table.notes if each.startswith(CSV_NOTES)), "")


def _counts(table: PictureTable) -> NDArray[np.int64]:
    labelled = table.labels[table.labels >= 0]
    counts: NDArray[np.int64] = np.bincount(labelled, minlength=len(table.classes))
    return counts
