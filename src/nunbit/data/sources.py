"""``open_source``: from what the user typed to a picture table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from nunbit.data.named import NAMED_SETS, open_named
from nunbit.data.stores import FileStore
from nunbit.data.table import PictureTable
from nunbit.data.tree import make_table, read_tree, walk_files
from nunbit.errors import DataError, nearest

__all__ = ["open_source"]


def open_source(
    source: str | os.PathLike[str], *, skip_classes: Sequence[str] = ()
) -> PictureTable:
    """Scan a source; no picture is opened yet.

    A name of a set (``mnist``) means the set; a folder of that name is reached as
    ``./mnist``.

    Raises:
        DataError: There is no such source, or it holds no labelled pictures.
    """
    text = os.fspath(source)
    if text in NAMED_SETS:
        return open_named(text, skip_classes=skip_classes)
    path = Path(os.path.expanduser(text))
    if text and os.path.isdir(path):
        tree = read_tree(walk_files(path))
        name = path.resolve().name
        return make_table(
            tree,
            store=FileStore(path, tree.names),
            source=name,
            where=f"folder `{text}`",
            skip_classes=skip_classes,
        )
    if text and os.path.exists(path):
        raise DataError(
            f"`{text}` is a file, expected a folder of class folders or the name of a set "
            f"({', '.join(NAMED_SETS)})."
        )
    raise DataError(f"no such folder or set: `{text}`.{_did_you_mean(path)} {_expected()}")


def _did_you_mean(path: Path) -> str:
    """Name the set or the folder in the same place that is spelt most like ``path``."""
    beside: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        beside = {p.name: str(p) for p in path.parent.iterdir() if p.is_dir()}
    near = nearest(path.name, [*NAMED_SETS, *beside])
    return f" Did you mean `{beside.get(near, near)}`?" if near else ""


def _expected() -> str:
    return (
        "Give a folder that holds one folder of pictures per class, or one of the sets "
        f"{', '.join(NAMED_SETS)} (`nunbit datasets` says where they are looked for)."
    )
