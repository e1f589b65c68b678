"""Named sets that are folders or archives of picture files; ``cats-dogs`` is one."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np

from nunbit.data.named.base import NamedSet
from nunbit.data.sources.archives import open_archive
from nunbit.data.sources.stores import FileStore
from nunbit.data.sources.tree import list_folder, make_table, read_tree
from nunbit.data.table import PictureTable
from nunbit.errors import DataError

__all__ = ["CATS_DOGS", "open_pictures"]


def open_pictures(place: Path | None, *, name: str, classes: tuple[str, ...]) -> PictureTable:
    """Open a folder or an archive of class folders as the set ``name``.

    Raises:
        DataError: The place holds other classes than the set has, or the
            archive is damaged.
    """
    if place is None:
        raise DataError(f"the set `{name}` needs files.")
    if place.is_dir():
        tree = read_tree(*list_folder(place)[:2])
        table = make_table(
            tree, store=FileStore(place, tree.names), source=name, where=f"`{place}`"
        )
    else:
        archive = open_archive(place, where=f"`{place}`")
        tree = read_tree(archive.names, archive.folders)
        table = make_table(
            tree, store=archive.make_store(tree.names), source=name, where=f"`{place}`"
        )
        table = replace(table, notes=(*table.notes, *archive.notes))
    if set(table.classes) != set(classes):
        raise DataError(
            f"`{place}` has the classes {', '.join(table.classes)}; the set `{name}` has "
            f"{', '.join(classes)}. Point NUNBIT_DATA at the right pictures, or train on the "
            "folder itself by its path."
        )
    order = np.array([classes.index(each) for each in table.classes])
    return replace(table, labels=order[table.labels], classes=classes)


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
