"""Walking through a folder: its files, its folders, and where links lead.

A real folder counts once, under its own name, however many links lead to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from nunbit.data.sources.labels import clip
from nunbit.errors import DataError

__all__ = ["is_hidden", "list_folder", "walk_files"]


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is one that people do not see."""
    return name.startswith(".") or name == "__MACOSX"


def walk_files(root: Path) -> Iterator[str]:
    """Yield relative paths of files in sorted order; hidden ones are passed over.

    Links to folders are followed as :func:`list_folder` says.

    Raises:
        DataError: A folder cannot be opened.
    """
    yield from list_folder(root)[0]


def list_folder(root: Path) -> tuple[list[str], list[str], list[str]]:
    """Return relative paths of all files, of all folders, and of links that were passed over.

    Each real folder counts once, under its own name rather than that of a link to it.
    A link to a folder elsewhere is followed; one to a folder that the source or the
    link itself lies in is not: it would take in what nobody named.

    Raises:
        DataError: A folder cannot be opened.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    seen: set[tuple[int, int]] = set()
    passed: list[str] = []
    links: list[tuple[str, ...]] = [()]  # the source itself may be a link, too
    real_root = os.path.realpath(root)
    while links:
        start = links.pop(0)
        place = os.path.join(root, *start)
        if start:
            real = os.path.realpath(place)
            within = (real_root, os.path.realpath(os.path.dirname(place)))
            if _identity(place) in seen or any(_lies_in(each, real) for each in within):
                passed.append("/".join(start))
                continue
        links += _walk(place, start, found=found, seen=seen, passed=passed)
        links.sort()
    folders = sorted(found)
    names = [name for folder in folders for name in found[folder]]
    return names, ["/".join(folder) for folder in folders[1:]], sorted(passed)


def _walk(
    place: str,
    start: tuple[str, ...],
    *,
    found: dict[tuple[str, ...], list[str]],
    seen: set[tuple[int, int]],
    passed: list[str],
) -> list[tuple[str, ...]]:
    """Gather the files of each folder below a place; return the links to folders there.

    Args:
        start: The place by its parts, relative to the source.
        found: Is added to: relative paths of files, by the parts of their folder.
        seen: Is added to: the folders that were walked through.
        passed: Is added to: folders that a link has led through before.
    """
    links: list[tuple[str, ...]] = []
    for folder, subfolders, files in os.walk(place, onerror=_refuse):
        inner = os.path.relpath(folder, place)
        parts = start if inner == "." else (*start, *inner.split(os.sep))
        here = _identity(folder)
        if here in seen:
            passed.append("/".join(parts))
            subfolders.clear()
            continue
        seen.add(here)
        visible = sorted(name for name in subfolders if not is_hidden(name))
        to_link = {name for name in visible if os.path.islink(os.path.join(folder, name))}
        links += [(*parts, name) for name in visible if name in to_link]
        subfolders[:] = [name for name in visible if name not in to_link]
        found[parts] = ["/".join((*parts, name)) for name in sorted(files) if not is_hidden(name)]
    return links


def _identity(folder: str) -> tuple[int, int]:
    try:
        status = os.stat(folder)
    except OSError as error:
        _refuse(error)
    return status.st_dev, status.st_ino


def _refuse(error: OSError) -> NoReturn:
    raise DataError(
        f"folder `{clip(str(error.filename), 500)}` cannot be opened: {error.strerror}. "
        "Give yourself the right to read it, or move it out of the source."
    ) from error


def _lies_in(folder: str, other: str) -> bool:
    """Return whether a real path is another one, or lies within it."""
    return folder == other or folder.startswith(os.path.join(other, ""))
