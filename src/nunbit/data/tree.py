"""From the names of files to classes and splits.

Works on relative paths alone, so a folder and an archive are read by the same
rules:

* ``<class>/.../picture`` : a folder of class folders;
* ``train/<class>/...``, ``validation|val|valid/<class>/...``, ``test/<class>/...``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from nunbit.data.table import SPLITS, PictureStore, PictureTable
from nunbit.errors import DataError, did_you_mean, name_list

__all__ = [
    "PICTURE_SUFFIXES",
    "SPLIT_FOLDERS",
    "Tree",
    "check_table",
    "is_hidden",
    "make_table",
    "read_tree",
    "walk_files",
]

PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif")
)

SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}


@dataclass
class Tree:
    """Pictures found by the rules above, and what was left aside."""

    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    """Pictures that lie in no class folder."""
    others: Counter[str] = field(default_factory=Counter)
    """Files that are no pictures, by suffix."""
    has_splits: bool = False


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is one that people do not see."""
    return name.startswith(".") or name == "__MACOSX"


def walk_files(root: Path) -> Iterator[str]:
    """Yield relative paths of files in sorted order; hidden ones are passed over.

    Links to folders are followed, each real folder once, so a loop of links ends.

    Raises:
        DataError: A folder cannot be opened.
    """
    seen: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        raise DataError(
            f"folder `{error.filename}` cannot be opened: {error.strerror}. "
            "Give yourself the right to read it, or move it out of the source."
        ) from error

    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=refuse):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        prefix = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in sorted(files):
            if not is_hidden(name):
                yield name if prefix == "." else f"{prefix}/{name}"


def read_tree(names: Iterable[str]) -> Tree:
    """Sort file names into classes and splits by the folders they lie in.

    The split layout is recognised where ``train/`` or another split folder holds
    class folders; a picture that lies beside them is loose. Where ``train/`` holds
    pictures itself and there are other class folders, it is a class (of trains).
    """
    paths = [PurePosixPath(name) for name in names]
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES]
    tree = Tree()
    tree.others = Counter(
        path.suffix.lower() or "no suffix"
        for path in paths
        if path.suffix.lower() not in PICTURE_SUFFIXES
    )
    in_folders = [path for path in pictures if len(path.parts) >= 2]
    in_splits = [path for path in in_folders if path.parts[0].lower() in SPLIT_FOLDERS]
    in_classes = [path for path in in_splits if len(path.parts) >= 3]
    only = len(in_splits) == len(in_folders) or len(in_splits) == len(in_classes)
    tree.has_splits = bool(in_classes) and only
    depth = 1 if tree.has_splits else 0
    for path in pictures:
        parts = path.parts
        split = SPLIT_FOLDERS.get(parts[0].lower()) if tree.has_splits else "train"
        if split is None or len(parts) < depth + 2:
            tree.loose.append(str(path))
            continue
        tree.names.append(str(path))
        tree.labels.append(parts[depth])
        tree.splits.append(split)
    return tree


def make_table(
    tree: Tree,
    *,
    store: PictureStore,
    source: str,
    where: str,
    skip_classes: Sequence[str] = (),
) -> PictureTable:
    """Make the picture table of a tree; classes come from the training pictures.

    Args:
        store: Holds the pictures in the order of ``tree.names``.
        where: How messages name the source.
        skip_classes: Class folders to leave out.
    Raises:
        DataError: No pictures, pictures without class folders, or an unknown
            class to skip.
    """
    if not tree.names:
        raise DataError(_nothing_found(tree, where))
    labels = np.array(tree.labels)
    splits = np.array(tree.splits)
    unknown = sorted(set(skip_classes) - set(tree.labels))
    if unknown:
        raise DataError(
            f"`--skip-class {unknown[0]}`: {where} has no such class."
            f"{did_you_mean(unknown[0], set(tree.labels))} "
            f"It has: {name_list(sorted(set(tree.labels)))}."
        )
    keep = ~np.isin(labels, list(skip_classes))
    of_train = set(labels[keep & (splits == "train")].tolist())
    classes = tuple(sorted(of_train or set(labels[keep].tolist())))
    position = {name: k for k, name in enumerate(classes)}
    extra = sorted(set(labels[keep].tolist()) - set(classes))
    if extra:
        split = str(splits[keep & (labels == extra[0])][0])
        raise DataError(
            f"class folder `{_folder(tree, extra[0], split)}` exists, but training has no class "
            f"`{extra[0]}` (it has: {name_list(classes)}). Every split needs the same classes. "
            f"Add pictures to `train/{extra[0]}`, or pass `--skip-class {extra[0]}`."
        )
    rows = np.flatnonzero(keep)
    return PictureTable(
        store=store,
        ids=rows.astype(np.int64),
        labels=np.array([position[name] for name in labels[rows].tolist()], dtype=np.int64),
        classes=classes,
        split=splits[rows],
        source=source,
        notes=_notes(tree, skip_classes),
    )


def _folder(tree: Tree, label: str, split: str) -> str:
    for name, of, where in zip(tree.names, tree.labels, tree.splits, strict=True):
        if of == label and where == split:
            return "/".join(PurePosixPath(name).parts[:2])
    return label


def _nothing_found(tree: Tree, where: str) -> str:
    if tree.loose:
        return (
            f"{where} has {_count(len(tree.loose), 'picture')} but no class folders (first: "
            f"{tree.loose[0]}). Put the pictures of each class into a folder named after the "
            "class: `cat/1.jpg`, `dog/2.jpg`."
        )
    found = ", ".join(f"{n} × {suffix}" for suffix, n in tree.others.most_common(5))
    return (
        f"{where} has no pictures{f' (found: {found})' if found else ''}. Expected class folders "
        f"with files such as {', '.join(sorted(PICTURE_SUFFIXES)[:6])}. Check the path."
    )


def _notes(tree: Tree, skip_classes: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if tree.loose:
        notes.append(
            f"left out: {_count(len(tree.loose), 'picture')} in no class folder "
            f"(first: {tree.loose[0]})"
        )
    if tree.others:
        kinds = ", ".join(f"{n} × {suffix}" for suffix, n in tree.others.most_common(5))
        notes.append(f"left out: {_count(tree.others.total(), 'file')} of other kinds ({kinds})")
    if skip_classes:
        notes.append(f"classes left out as asked: {', '.join(sorted(skip_classes))}")
    return tuple(notes)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number:,} {what}s"


def check_table(table: PictureTable, *, where: str, needs_two: bool = True) -> None:
    """Refuse a table that cannot be trained on.

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
            "folders to `train/`."
        )
    if len(table.classes) < 2:
        raise DataError(
            f"{where} has one class only (`{table.classes[0]}`), expected at least two. "
            "Put pictures of something else into a second class folder."
        )
    counts = np.bincount(table.of_split("train").labels, minlength=len(table.classes))
    least = 2 if needs_two else 1
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
            there = np.bincount(table.of_split(split).labels, minlength=len(table.classes))
            lacking = [name for name, n in zip(table.classes, there, strict=True) if n == 0]
            if lacking:
                raise DataError(
                    f"split `{split}` of {where} has no pictures of "
                    f"{name_list(f'`{f}`' for f in lacking)}, but training has. Every split needs "
                    f"the same classes. Add pictures, or pass `--skip-class {lacking[0]}`."
                )
