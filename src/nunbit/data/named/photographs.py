"""Named sets that are folders or zips of picture files; ``cats-dogs`` is one."""

from __future__ import annotations

import functools
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from nunbit.data.named.base import NamedSet
from nunbit.data.stores import ZIP_ERRORS, FileStore, ZipStore
from nunbit.data.table import PictureTable
from nunbit.data.tree import SPLIT_FOLDERS, is_hidden, make_table, read_tree, walk_files
from nunbit.errors import DataError

__all__ = ["CATS_DOGS", "open_pictures"]


def open_pictures(place: Path | None, *, name: str, classes: tuple[str, ...]) -> PictureTable:
    """Open a folder or a zip of class folders as the set ``name``.

    Raises:
        DataError: The place holds other classes than the set has, or the zip is
            damaged.
    """
    if place is None:
        raise DataError(f"the set `{name}` needs files.")
    if place.is_dir():
        tree = read_tree(walk_files(place))
        table = make_table(
            tree, store=FileStore(place, tree.names), source=name, where=f"`{place}`"
        )
    else:
        members = _members(place)
        tree = read_tree(sorted(members))
        paths = [members[each] for each in tree.names]
        table = make_table(
            tree, store=ZipStore(place, paths, tree.names), source=name, where=f"`{place}`"
        )
    if set(table.classes) != set(classes):
        raise DataError(
            f"`{place}` has the classes {', '.join(table.classes)}; the set `{name}` has "
            f"{', '.join(classes)}. Point NUNBIT_DATA at the right pictures, or train on the "
            "folder itself by its path."
        )
    order = np.array([classes.index(each) for each in table.classes])
    return replace(table, labels=order[table.labels], classes=classes)


def _members(path: Path) -> dict[str, str]:
    """Return the files of a zip: name below a common top folder → member."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except ZIP_ERRORS as error:
        raise DataError(f"`{path}` cannot be read as a zip: {error}. Fetch it again.") from error
    visible = [n for n in names if not any(map(is_hidden, PurePosixPath(n).parts))]
    tops = {PurePosixPath(n).parts[0] for n in visible}
    alone = next(iter(tops)) if len(tops) == 1 else ""
    strip = alone.lower() not in ("", *SPLIT_FOLDERS) and all(
        len(PurePosixPath(n).parts) > 2 for n in visible
    )
    return {n.removeprefix(f"{alone}/") if strip else n: n for n in visible}


CATS_DOGS = NamedSet(
    name="cats-dogs",
    title="photographs of cats and dogs, sizes all different",
    title_ko="고양이와 개 사진, 크기는 제각각",
    classes=("cat", "dog"),
    classes_ko=("고양이", "개"),
    train_images=2_000,
    test_images=2_000,
    image_size=128,
    colour="rgb",
    licence="a part of Kaggle's Dogs vs. Cats; for learning and research",
    files="folders `train/cat`, `train/dog`, `test/cat`, `test/dog`",
    open=functools.partial(open_pictures, name="cats-dogs", classes=("cat", "dog")),
)
