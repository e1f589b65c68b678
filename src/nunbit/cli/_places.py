"""Where commands may write: never among the pictures, never over what is not theirs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nunbit.errors import OptionError

if TYPE_CHECKING:
    from nunbit.data.table import PictureTable

__all__ = ["check_drawing", "check_outside", "check_parent", "folders_of", "source_folder"]


def source_folder(source: str) -> list[str]:
    """Return the folder that a source is, or nothing where it is none."""
    folder = os.path.expanduser(source)
    return [folder] if source and os.path.isdir(folder) else []


def folders_of(source: str, table: PictureTable) -> list[str]:
    """Return the folders that the pictures of a source lie in.

    Beside a CSV is no such place, unless pictures lie there.
    """
    from nunbit.data.sources.stores import FileStore

    roots = source_folder(source)
    if isinstance(table.store, FileStore):
        root = str(table.store.root)
        folders = {os.path.dirname(name) for name in table.names}
        roots += [os.path.join(root, folder) for folder in sorted(folders)]
    return roots


def check_outside(flag: str, place: str, folders: list[str]) -> None:
    """Refuse to write among pictures.

    Raises:
        OptionError: The place lies in one of the folders, or in a folder within.
    """
    path = Path(os.path.realpath(place))
    for root in sorted({os.path.realpath(folder) for folder in folders}, key=len):
        if path.is_relative_to(root):
            raise OptionError(
                f"`{flag} {place}` lies inside the pictures, and Nunbit never writes there. "
                f"Write beside them: `{flag} {Path(root).parent / path.name}`."
            )


def check_parent(flag: str, place: str) -> None:
    """Refuse a place whose folder is not there.

    Raises:
        OptionError: There is no such folder.
    """
    if not Path(os.path.realpath(place)).parent.is_dir():
        raise OptionError(
            f"`{flag} {place}`: the folder `{Path(place).parent}` is not there. Make it first."
        )


def check_drawing(flag: str, place: str, *, example: str) -> None:
    """Refuse a place for a drawing that is no SVG file.

    Raises:
        OptionError: It is empty, a folder, or has another ending; or its folder is not there.
    """
    if not place.strip():
        raise OptionError(f"`{flag}` is empty. Give the drawing a name: `{flag} {example}`.")
    path = Path(place)
    if path.is_dir():
        raise OptionError(
            f"`{flag} {place}` is a folder. Give the drawing a name: `{flag} {path / example}`."
        )
    if path.suffix.lower() != ".svg":
        raise OptionError(
            f"`{flag} {place}`: the drawing is an SVG. Pass `{flag} {path.with_suffix('.svg')}`."
        )
    check_parent(flag, place)
