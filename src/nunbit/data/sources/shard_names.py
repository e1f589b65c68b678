"""From what the user typed to a list of shards: braces, patterns, folders, URLs.

Names alone count here. The split of a shard is in its name (``train-000.tar``,
``imagenet1k-validation-07.tar``) or that of its folder (``val/000.tar``).
"""

from __future__ import annotations

import glob
import itertools
import os
import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nunbit.data.sources.labels import clip, count
from nunbit.data.sources.shard_files import filesystem, is_url, reason, show
from nunbit.data.sources.tree import SPLIT_FOLDERS, is_hidden, is_picture
from nunbit.errors import DataError, name_list

__all__ = ["Shard", "expand_braces", "list_shards", "looks_like_shards"]


MAX_SHARDS = 100_000
_RANGE = re.compile(r"(\d{1,12})\.\.(\d{1,12})", re.ASCII)
_BRACES = re.compile(r"\{([^{}]*)\}")
_PATTERN = re.compile(r"[*?\[]")
_PACKED = re.compile(r"\.(tar\.\w+|tgz|tbz2?|txz)$", re.IGNORECASE)
BESIDE = frozenset((".json", ".jsonl", ".parquet", ".idx", ".index", ".txt", ".md", ".csv"))
"""What other programs leave beside shards; a CSV too, but no picture."""


@dataclass(frozen=True)
class Shard:
    """One tar of samples.

    Args:
        where: Its path or URL.
        name: How messages and names of pictures call it, unique in the source.
        split: ``"train"``, ``"validation"`` or ``"test"``.
    """

    where: str
    name: str
    split: str


def expand_braces(text: str) -> list[str]:
    """Return what a pattern with ``{000..012}`` or ``{a,b}`` stands for.

    Example:
        >>> expand_braces("{train,val}-{08..10}.tar")[:4]
        ['train-08.tar', 'train-09.tar', 'train-10.tar', 'val-08.tar']

    Raises:
        DataError: A range runs backwards, braces are left open, or it stands for more
            than 100,000 names.
    """
    pieces = _BRACES.split(text)  # odd ones were in braces
    if any("{" in piece or "}" in piece for piece in pieces[::2]):
        raise DataError(
            f"`{clip(text)}` has braces that do not close or lie within one another. Write a range "
            "as `{000..012}` or a list as `{a,b}`."
        )
    choices = [_choices(piece, text) if k % 2 else [piece] for k, piece in enumerate(pieces)]
    total = 1
    for each in choices:
        total *= len(each)
    if total > MAX_SHARDS:
        raise DataError(
            f"`{clip(text)}` stands for {total:,} files, expected at most {MAX_SHARDS:,}."
        )
    return ["".join(parts) for parts in itertools.product(*choices)]


def _choices(inside: str, text: str) -> Sequence[str]:
    found = _RANGE.fullmatch(inside)
    if found is None:
        if "," in inside:
            return inside.split(",")
        raise DataError(
            f"`{{{clip(inside)}}}` in `{clip(text)}` is neither a range such as `{{000..012}}` nor "
            "a list such as `{a,b}`."
        )
    first, last = int(found[1]), int(found[2])
    if last < first:
        raise DataError(
            f"`{{{inside}}}` in `{clip(text)}` runs backwards. Write the smaller first."
        )
    if last - first >= MAX_SHARDS:
        raise DataError(
            f"`{{{inside}}}` in `{clip(text)}` stands for {last - first + 1:,} files, expected at "
            f"most {MAX_SHARDS:,}."
        )
    padded = any(len(each) > 1 and each.startswith("0") for each in found.groups())
    width = max(map(len, found.groups())) if padded else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


def looks_like_shards(text: str) -> bool:
    """Return whether a name can only mean shards: a URL, a pattern, a folder of tars.

    A single ``.tar`` may also hold class folders; who wants to know looks inside.
    """
    if not text or "\0" in text:
        return False
    if is_url(text):
        return True
    if os.path.lexists(text):
        return os.path.isdir(text) and _is_shard_folder(text)
    return text.lower().endswith(".tar") and bool(_BRACES.search(text) or _PATTERN.search(text))


def _is_shard_folder(folder: str) -> bool:
    """Return whether a folder, or each split folder in it, holds tars and no pictures."""
    tars = 0
    folders = [folder]
    while folders:
        try:
            entries = [each for each in os.scandir(folders.pop()) if not is_hidden(each.name)]
        except OSError:
            return False
        for each in entries:
            if each.is_dir():
                if each.name.lower() not in SPLIT_FOLDERS or os.path.dirname(each.path) != folder:
                    return False
                folders.append(each.path)
            elif is_picture(each.name):
                return False
            elif each.name.lower().endswith(".tar"):
                tars += 1
            elif os.path.splitext(each.name)[1].lower() not in BESIDE:
                return False
    return tars > 0


def list_shards(source: str) -> list[Shard]:
    """Return the shards of a source in the order of their names, or of its braces.

    Raises:
        DataError: There are none, some are missing (all are gathered), or the names
            are not those of tars.
        MissingExtraError: A URL needs a package that is not installed.
    """
    found = _list_urls(source) if is_url(source) else _list_files(source)
    if not found:
        raise DataError(
            f"`{show(source)}` has no shards. Expected files such as `train-000.tar`: check the "
            "path."
        )
    packed = [each for each in found if _PACKED.search(_path(each))]
    strange = [each for each in found if each in packed or not _path(each).lower().endswith(".tar")]
    if strange:
        why = " Packed tars cannot be read in parts: unpack them (`gunzip`)." if packed else ""
        raise DataError(
            f"expected shards named `.tar`, got {name_list(f'`{show(each)}`' for each in strange)}."
            f"{why}"
        )
    return _with_splits(found)


def _list_files(source: str) -> list[str]:
    if os.path.isdir(source):
        root = Path(source)
        inside = [*root.glob("*"), *(p for p in root.glob("*/*") if _split_folder(p.parent.name))]
        tars = [p for p in inside if p.name.lower().endswith(".tar") and not is_hidden(p.name)]
        return [str(path) for path in sorted(tars)]
    if os.path.lexists(source):
        return [source]
    found: list[str] = []
    missing: list[str] = []
    for each in expand_braces(source):
        there = sorted(glob.glob(each)) if _PATTERN.search(each) else [each]
        found += there
        missing += [path for path in there or [each] if not os.path.isfile(path)]
    if missing:
        raise DataError(
            f"{count(len(missing), 'shard')} of `{clip(source)}` not there: "
            f"{name_list(f'`{clip(each)}`' for each in missing)}. Check the range and the path."
        )
    return found


def _list_urls(source: str) -> list[str]:
    found: list[str] = []
    for each in expand_braces(source):
        path = _path(each)
        is_file = re.search(r"\.\w{1,8}$", posixpath.basename(path)) is not None
        found += [each] if is_file and "*" not in path else _find_urls(each)
        if len(found) > MAX_SHARDS:
            raise DataError(f"`{show(source)}` has more than {MAX_SHARDS:,} shards.")
    return found


def _find_urls(url: str) -> list[str]:
    """Return the shards in a folder behind a URL, or those that fit a pattern."""
    if "::" in url:
        raise DataError(
            f"`{show(url)}` cannot be listed. Name the shards, as in `train-{{000..012}}.tar`."
        )
    files, path = filesystem(url)
    patterns = [path] if "*" in path else [posixpath.join(path, p) for p in ("*.tar", "*/*.tar")]
    try:
        there = {name for pattern in patterns for name in files.glob(pattern)}
        urls = [str(files.unstrip_protocol(name)) for name in sorted(there)]
    except Exception as error:  # each file system has errors of its own
        raise DataError(f"`{show(url)}` cannot be listed: {reason(error)}.") from error
    if len(patterns) == 1:
        return urls
    depth = posixpath.join(path, "x").count("/")
    return [
        name
        for name, inner in zip(urls, sorted(there), strict=True)
        if inner.count("/") == depth or _split_folder(posixpath.basename(posixpath.dirname(inner)))
    ]


def _path(where: str) -> str:
    """Return a path, or the part of a URL before its query."""
    return where.split("?")[0] if is_url(where) else where


def _split_folder(name: str) -> str | None:
    return SPLIT_FOLDERS.get(name.lower())


def _with_splits(found: Sequence[str]) -> list[Shard]:
    """Give each shard the shortest name that tells it from the others, and its split."""
    paths = [
        _path(each) if is_url(each) else os.path.abspath(each).replace(os.sep, "/")
        for each in found
    ]
    root = posixpath.commonpath([posixpath.dirname(each) for each in paths])
    names = [posixpath.relpath(each, root) for each in paths]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"shards are named twice: {name_list(f'`{clip(d)}`' for d in twice)}.")
    return [Shard(where, name, _split_of(name)) for where, name in zip(found, names, strict=True)]


def _split_of(name: str) -> str:
    folder, base = posixpath.split(name)
    for part in folder.split("/"):
        if split := _split_folder(part):
            return split
    words = re.split(r"[-_. ]|(?<=\D)(?=\d)", posixpath.splitext(base)[0])
    splits = {split for word in words if (split := _split_folder(word))}
    if len(splits) > 1:
        raise DataError(
            f"shard `{clip(name)}` names two splits ({', '.join(sorted(splits))}). Rename it."
        )
    return splits.pop() if splits else "train"
