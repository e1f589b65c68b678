"""From the names of files to classes and splits.

Works on relative paths alone, so a folder and an archive are read by the same
rules:

* ``<class>/.../picture`` : a folder of class folders;
* ``train/<class>/...``, ``validation|val|valid/<class>/...``, ``test/<class>/...``;
* ``cat.0.jpg``, ``dog.0.jpg`` : classes in the names of files, in one folder or in
  ``train/`` and the other split folders (the rule is in :mod:`nunbit.data.sources.flat`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nunbit.data.sources.flat import FLAT_EXAMPLE, flat_label, flat_labels
from nunbit.data.sources.labels import check_table, choose_classes, clean_label, clip, count
from nunbit.data.sources.walk import is_hidden, list_folder, walk_files
from nunbit.data.table import PictureStore, PictureTable
from nunbit.errors import DataError, name_list

__all__ = [
    "PICTURE_SUFFIXES",
    "SPLIT_FOLDERS",
    "Tree",
    "check_table",
    "is_hidden",
    "is_picture",
    "list_folder",
    "make_table",
    "read_tree",
    "walk_files",
]

PICTURE_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"),
        *(".avif", ".heic", ".heif"),
    )
)

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
    "testing": "test",
}

_LIKE_A_SPLIT = re.compile(rf"({'|'.join(SPLIT_FOLDERS)})[ _-]?\d*", re.IGNORECASE)
"""Kaggle calls pictures without labels ``test1``."""


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
    is_flat: bool = False
    """Whether the classes are in the names of files."""
    not_flat: str = ""
    """Why no classes are in the names of the files that lie in no class folder."""
    nested: list[str] = field(default_factory=list)
    """Pictures in folders within class folders."""
    empty: list[str] = field(default_factory=list)
    """Class folders without pictures."""
    passed: list[str] = field(default_factory=list)
    """Links to folders that were not followed."""

    def add(self, names: Iterable[str], labels: Iterable[str], split: str) -> None:
        """Take pictures with their classes."""
        self.names += names
        self.labels += labels
        self.splits += [split] * (len(self.names) - len(self.splits))


def is_picture(name: str) -> bool:
    """Return whether a name ends as the name of a picture does."""
    return _suffix(name) in PICTURE_SUFFIXES


def _suffix(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") + 1 else ""


def read_tree(names: Iterable[str], folders: Iterable[str] = ()) -> Tree:
    """Sort file names into classes and splits by the folders they lie in.

    The split layout is recognised where ``train/`` or another split folder holds
    class folders; a picture that lies beside them is loose. Where ``train/`` holds
    pictures itself and there are other class folders, it is a class (of trains);
    where only split folders hold pictures themselves, the classes are in the names of
    the files, or nowhere.

    Args:
        folders: Relative paths of folders, so that empty ones can be named.
    """
    tree = Tree()
    pictures = []
    for name in names:
        suffix = _suffix(name)
        if suffix in PICTURE_SUFFIXES:
            pictures.append((name, name.split("/")))
        else:
            tree.others[suffix or "no suffix"] += 1
    in_folders = [parts for _, parts in pictures if len(parts) >= 2]
    in_splits = [parts for parts in in_folders if parts[0].lower() in SPLIT_FOLDERS]
    in_classes = [parts for parts in in_splits if len(parts) >= 3]
    only = len(in_splits) == len(in_folders) or len(in_splits) == len(in_classes)
    tree.has_splits = bool(in_classes) and only
    if not in_classes and _read_flat(tree, [name for name, _ in pictures]):
        return tree
    depth = 1 if tree.has_splits else 0
    for name, parts in pictures:
        split = SPLIT_FOLDERS.get(parts[0].lower()) if tree.has_splits else "train"
        if split is None or len(parts) < depth + 2:
            tree.loose.append(name)
            continue
        tree.add([name], [clean_label(parts[depth])], split)
        if len(parts) > depth + 2:
            tree.nested.append(name)
    tree.empty = _without_pictures(folders, [parts for _, parts in pictures], depth)
    return tree


def _without_pictures(
    folders: Iterable[str], pictures: Sequence[Sequence[str]], depth: int
) -> list[str]:
    filled = {tuple(parts[: depth + 1]) for parts in pictures if len(parts) > depth + 1}
    paths = [tuple(folder.split("/")) for folder in folders]
    return [
        "/".join(path)
        for path in paths
        if len(path) == depth + 1
        and path not in filled
        and (depth == 0 or path[0].lower() in SPLIT_FOLDERS)
    ]


def _read_flat(tree: Tree, names: Sequence[str]) -> bool:
    """Read classes from file names; return whether ``tree`` is complete.

    It is, too, where there are nothing but split folders with pictures that have no
    class: they are not two classes called train and test. Any other folder is a class.
    """
    by_top: dict[str, list[str]] = {}
    for name in names:
        top, slash, _ = name.partition("/")
        by_top.setdefault(top if slash else "", []).append(name)
    split_of = {top: SPLIT_FOLDERS.get(top.lower(), "") for top in by_top}
    if "train" not in split_of.values():
        split_of[""] = "train"
    in_train = [n for top, each in by_top.items() if split_of[top] == "train" for n in each]
    if not names or any(top and not _LIKE_A_SPLIT.fullmatch(top) for top in by_top):
        return False
    labels, tree.not_flat = flat_labels(in_train)
    if not labels or not _read_flat_splits(tree, by_top, split_of):
        tree.loose = list(names)
    return True


def _read_flat_splits(tree: Tree, by_top: dict[str, list[str]], split_of: dict[str, str]) -> bool:
    """Read ``train/cat.0.jpg`` and its like; a split without any classes is loose."""
    found: list[tuple[list[str], list[str], str]] = []
    loose: list[str] = []
    for top, names in by_top.items():
        labels = [flat_label(name) for name in names] if split_of[top] else []
        if not any(labels):
            loose += names
        elif None in labels:
            name = names[labels.index(None)]
            tree.not_flat = f"`{clip(name)}` does not begin with a class and a number"
            return False
        else:
            found.append((names, [label for label in labels if label], split_of[top]))
    for names, labels_of, split in found:
        tree.add(names, labels_of, split)
    tree.loose = loose
    tree.has_splits = any(top and split for top, split in split_of.items() if top in by_top)
    tree.is_flat = True
    return True


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
        DataError: No pictures, pictures without classes, classes that differ only in
            case, or an unknown class to skip.
    """
    if not tree.names:
        raise DataError(_nothing_found(tree, where))
    skipped = {clean_label(each) for each in skip_classes}

    def misplaced(label: str, split: str) -> tuple[str, str]:
        name = next(
            n
            for n, of, at in zip(tree.names, tree.labels, tree.splits, strict=True)
            if of == label and at == split
        )
        if tree.is_flat:
            return f"`{name}` is of class `{label}`", "Add such pictures to the training pictures"
        folder = "/".join(name.split("/")[:2])
        return f"class folder `{folder}` exists", f"Add pictures to `train/{label}`"

    classes = choose_classes(
        [(label,) for label in tree.labels],
        tree.splits,
        where=where,
        skip_classes=sorted(skipped),
        misplaced=misplaced,
        order=sorted,
    )
    position = {name: k for k, name in enumerate(classes)}
    rows = [k for k, label in enumerate(tree.labels) if label not in skipped]
    return PictureTable(
        store=store,
        ids=np.array(rows, dtype=np.int64),
        labels=np.array([position[tree.labels[k]] for k in rows], dtype=np.int64),
        classes=classes,
        split=np.array([tree.splits[k] for k in rows], dtype=np.str_),
        source=source,
        notes=_notes(tree, skip_classes),
    )


def _nothing_found(tree: Tree, where: str) -> str:
    if tree.loose:
        flat = f" ({tree.not_flat})" if tree.not_flat else ""
        return (
            f"{where} has {count(len(tree.loose), 'picture')} but no class folders (first: "
            f"{clip(tree.loose[0])}). Put the pictures of each class into a folder named after the "
            f"class: `cat/1.jpg`, `dog/2.jpg`; or begin the name of every file with its class and "
            f"a number: {FLAT_EXAMPLE}{flat}; or list them in a CSV with the columns path,label."
        )
    found = ", ".join(f"{n} × {clip(suffix)}" for suffix, n in tree.others.most_common(5))
    return (
        f"{where} has no pictures{f' (found: {found})' if found else ''}. Expected class folders "
        "with files such as .jpg, .png, .webp, .tif, .heic. Check the path."
    )


def _notes(tree: Tree, skip_classes: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if tree.is_flat:
        notes.append(
            f"classes are those that file names begin with: {clip(tree.names[0])} is "
            f"`{tree.labels[0]}`"
        )
    if tree.loose:
        what = "without a class" if tree.is_flat else "in no class folder"
        notes.append(
            f"left out: {count(len(tree.loose), 'picture')} {what} (first: {clip(tree.loose[0])})"
        )
    if tree.others:
        kinds = ", ".join(f"{n} × {clip(suffix)}" for suffix, n in tree.others.most_common(5))
        notes.append(f"left out: {count(tree.others.total(), 'file')} of other kinds ({kinds})")
    if tree.nested:
        first = tree.nested[0].split("/")
        label = first[1 if tree.has_splits else 0]
        notes.append(
            f"{count(len(tree.nested), 'picture')} in folders within class folders (first: "
            f"{clip('/'.join(first))}, which counts as `{clip(label)}`)"
        )
    if tree.empty:
        shown = name_list((f"`{clip(each)}`" for each in tree.empty), limit=5)
        notes.append(f"{count(len(tree.empty), 'class folder')} without pictures: {shown}")
    if tree.passed:
        number = len(tree.passed)
        many = f"{number:,} links to folders that are"
        links = "1 link to a folder that is" if number == 1 else many
        notes.append(
            f"passed over: {links} in the source already, or that the source or the link itself "
            "lies in: "
            f"{name_list(f'`{clip(each)}`' for each in tree.passed)}"
        )
    if skip_classes:
        notes.append(f"classes left out as asked: {', '.join(sorted(skip_classes))}")
    return tuple(notes)
