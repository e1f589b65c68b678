"""WebDataset shards as a picture table: tars of samples, on disk or behind URLs.

The headers are read once; the table then reads any picture by its offset, so
folders, splits and checks all work on shards. For sets too large to be decoded
into one array there is :mod:`nunbit.data.sources.shard_stream`.
"""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from nunbit.data.sources.labels import choose_classes, clean_label, clip, count, sort_classes
from nunbit.data.sources.shard_files import (
    filesystem,
    gives_parts,
    is_url,
    read_part,
    reason,
    show,
)
from nunbit.data.sources.shard_index import Problems, ShardIndex, has_samples, index_shard
from nunbit.data.sources.shard_names import Shard, list_shards, looks_like_shards
from nunbit.data.sources.stores import file_stamp
from nunbit.data.sources.tree import SPLIT_FOLDERS
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, PictureError, name_list

__all__ = ["ShardStore", "is_shards", "open_shards"]

INDEX_THREADS = 8
CAPTION_LABELS = 1_000
"""So many different labels, and nearly as many as pictures, are captions."""
MAX_CLASSES_BYTES = 16 << 20
TARS_OF_CLASSES = (
    " If each tar holds the pictures of one class (`cat.tar`), unpack each into a folder of its "
    "name, and give the folder that holds those: `cat/1.jpg`."
)


def is_shards(text: str) -> bool:
    """Return whether a source is shards: a URL, a pattern, a folder of tars, or one tar.

    A tar is one where a picture and a label in it share a key (``1.jpg``, ``1.cls``).
    """
    text = os.path.expanduser(text)
    if looks_like_shards(text):
        return True
    is_tar = text.lower().endswith(".tar") and not is_url(text) and "\0" not in text
    return is_tar and os.path.isfile(text) and has_samples(text)


class ShardStore:
    """Pictures in shards, each read by its offset.

    Args:
        shards: Where they lie.
        shard_of: int32 (N,) position of each picture's shard.
        offsets: int64 (N,) where its bytes start.
        sizes: int64 (N,) how many they are.
        names: ``shard/key.jpg`` of each.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        shard_of: NDArray[np.int32],
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
        names: Sequence[str],
    ) -> None:
        self.shards = list(shards)
        self.shard_of = shard_of
        self.offsets = offsets
        self.sizes = sizes
        self._names = list(names)
        self._stamps = [_stamp(shard.where) for shard in self.shards]
        self._keys: dict[int, str | None] = {}

    def __len__(self) -> int:
        return len(self._names)

    def name(self, position: int) -> str:
        return self._names[position]

    def read(self, position: int) -> bytes:
        number = int(self.shard_of[position])
        self.check_unchanged(number)
        where = self.shards[number].where
        return read_part(where, int(self.offsets[position]), int(self.sizes[position]))

    @property
    def origin(self) -> str:
        """Where the shards are, all of them."""
        return "\n".join(shard.where for shard in self.shards)

    def stamp(self, position: int) -> str | None:
        """Return what changes when a picture does; None where a URL does not tell."""
        number = int(self.shard_of[position])
        if number not in self._keys:
            self._keys[number] = _key(self.shards[number].where)
        key = self._keys[number]
        return key and f"{key}-{self.offsets[position]}-{self.sizes[position]}"

    def check_unchanged(self, number: int) -> None:
        """Refuse a local shard that is another file than the one that was scanned.

        Raises:
            PictureError: The message is the reason.
        """
        if self._stamps[number] != _stamp(self.shards[number].where):
            raise PictureError("its shard has changed since it was scanned")


def _stamp(where: str) -> tuple[int, int] | None:
    """Return size and time of change of a local file; None for others."""
    if is_url(where):
        return None
    try:
        status = os.stat(where)
    except OSError:
        return (-1, -1)
    return status.st_size, status.st_mtime_ns


def _key(where: str) -> str | None:
    """Return what changes when a shard does, wherever it is; None where nobody says."""
    if not is_url(where):
        return file_stamp(where)
    try:
        files, inner = filesystem(where)
        return str(files.ukey(inner))
    except Exception:  # each file system has errors of its own
        return None


def open_shards(source: str, *, skip_classes: Sequence[str] = ()) -> PictureTable:
    """Scan shards; no picture is opened yet.

    Args:
        source: ``train-{000..012}.tar``, a pattern, a folder of tars, one tar, or a
            URL of any of these.
        skip_classes: Classes to leave out.
    Raises:
        DataError: There are no shards, some are damaged, or samples lack picture or
            label (all are gathered, the first ten are shown); or their server gives
            whole files only.
        MissingExtraError: A URL needs a package that is not installed.
    """
    source = os.path.expanduser(source)
    where = f"`{show(source)}`"
    shards = list_shards(source)
    _check_servers(shards)
    with ThreadPoolExecutor(min(INDEX_THREADS, len(shards))) as pool:
        indexes = list(pool.map(index_shard, shards))
    problems = Problems()
    for index in indexes:
        problems.merge(index.problems)
    if problems.count:
        tars_of_classes = not any(index.names for index in indexes) and len(shards) > 1
        advice = TARS_OF_CLASSES if tars_of_classes and problems.samples else ""
        raise DataError(f"{where}: {_in_words(problems, len(shards))}{advice}")
    numbers = np.repeat(np.arange(len(shards), dtype=np.int32), [len(i.names) for i in indexes])
    if not len(numbers):
        raise DataError(
            f"{where} has no samples in {count(len(shards), 'shard')}. Expected members such as "
            "`1.jpg` and `1.cls`."
        )
    return _make_table(source, shards, indexes, numbers, skip_classes)


def _check_servers(shards: Sequence[Shard]) -> None:
    """Refuse web servers that do not give parts of files, by one shard of each."""
    first: dict[str, str] = {}
    for shard in shards:
        first.setdefault(urlsplit(shard.where).netloc if is_url(shard.where) else "", shard.where)
    whole = [where for where in first.values() if not gives_parts(where)]
    if whole:
        raise DataError(
            f"`{show(whole[0])}`: its server gives whole files only, expected one that knows "
            "ranges, since pictures are read one by one. Download the shards, and give the folder "
            "they are in."
        )


def _in_words(problems: Problems, shards: int) -> str:
    more = f" and {problems.count - 10:,} more" if problems.count > 10 else ""
    advice = "Copy these shards again from where they are whole."
    if problems.samples:
        advice = (
            "Each picture (`1.jpg`) needs one label beside it (`1.cls`, `1.txt`, or `1.json` with "
            "`label`). Write these shards again, or copy them from where they are whole."
        )
    return (
        f"{count(problems.count, 'thing')} wrong in {count(shards, 'shard')}: "
        f"{'; '.join(problems.first)}{more}. {advice}"
    )


def _make_table(
    source: str,
    shards: Sequence[Shard],
    indexes: Sequence[ShardIndex],
    numbers: NDArray[np.int32],
    skip_classes: Sequence[str],
) -> PictureTable:
    where = f"`{show(source)}`"
    known = _known_classes(shards)
    labels = _label_names([x for index in indexes for x in index.labels], known, where)
    splits = np.array([shard.split for shard in shards])[numbers]

    def in_order(found: Iterable[str]) -> Iterable[str]:
        once = set(found)
        return [name for name in known if name in once] if known else sort_classes(once)

    classes = choose_classes(
        [(label,) for label in labels],
        splits.tolist(),
        where=where,
        skip_classes=skip_classes,
        misplaced=lambda label, split: (
            f"class `{clip(label)}` is in shards of `{split}`",
            "Add pictures of it to the shards of `train`",
        ),
        order=in_order,
    )
    position = {name: k for k, name in enumerate(classes)}
    rows = np.flatnonzero([label in position for label in labels])
    store = ShardStore(
        shards,
        shard_of=numbers,
        offsets=np.array([x for index in indexes for x in index.offsets], dtype=np.int64),
        sizes=np.array([x for index in indexes for x in index.sizes], dtype=np.int64),
        names=[x for index in indexes for x in index.names],
    )
    return PictureTable(
        store=store,
        ids=rows.astype(np.int64),
        labels=np.array([position[labels[row]] for row in rows], dtype=np.int64),
        classes=classes,
        split=splits[rows],
        source=_source_name(source),
        notes=_notes(indexes, skip_classes),
    )


def _known_classes(shards: Sequence[Shard]) -> tuple[str, ...]:
    """Return the lines of ``classes.txt`` beside the shards or one folder above."""
    folders = {_folder(shard.where) for shard in shards}
    above = {_folder(each) for each in folders if posixpath.basename(each).lower() in SPLIT_FOLDERS}
    for folder in sorted(folders) + sorted(above):
        path = posixpath.join(folder, "classes.txt")
        data = _read_small(path)
        if data is None:
            continue
        try:
            names = [clean_label(line.strip()) for line in data.decode("utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise DataError(f"`{show(path)}` is not UTF-8. Write it as UTF-8.") from error
        while names and not names[-1]:
            names.pop()
        twice = [name for name, n in Counter(names).items() if n > 1]
        if twice or not names or "" in names:
            what = f"`{clip(twice[0])}` twice" if twice else "an empty line or none at all"
            raise DataError(
                f"`{show(path)}` has {what}. Expected one class a line, that of label 0 first."
            )
        return tuple(names)
    return ()


def _folder(where: str) -> str:
    return posixpath.dirname(where.split("?")[0] if is_url(where) else where.replace(os.sep, "/"))


def _read_small(path: str) -> bytes | None:
    """Return a small file that need not be there."""
    try:
        if is_url(path):
            files, inner = filesystem(path)
            if not files.exists(inner):
                return None
            data = bytes(files.cat_file(inner, start=0, end=MAX_CLASSES_BYTES + 1))
        elif not os.path.isfile(path):
            return None
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_CLASSES_BYTES + 1)
    except Exception as error:  # each file system has errors of its own
        raise DataError(f"`{show(path)}` cannot be read: {reason(error)}.") from error
    if len(data) > MAX_CLASSES_BYTES:
        raise DataError(f"`{show(path)}` has more than {MAX_CLASSES_BYTES:,} bytes.")
    return data


def _label_names(labels: Sequence[str | int], known: Sequence[str], where: str) -> list[str]:
    """Turn numbers into names by ``classes.txt``, and refuse what it does not list."""
    names = []
    strange: Counter[str | int] = Counter()
    there = set(known)
    for label in labels:
        if known and isinstance(label, int) and label < len(known):
            names.append(known[label])
            continue
        name = clean_label(str(label))
        if known and (isinstance(label, int) or name not in there):
            strange[label] += 1
        names.append(name)
    if strange:
        shown = name_list(f"`{clip(str(s))}` ({count(n, 'picture')})" for s, n in strange.items())
        raise DataError(
            f"{where} has labels that `classes.txt` does not list ({count(len(known), 'line')}): "
            f"{shown}. Add them to `classes.txt`, or take it away."
        )
    kinds = len(set(names))
    if kinds > CAPTION_LABELS and 2 * kinds > len(names):
        raise DataError(
            f"{where} has {kinds:,} different labels for {len(names):,} pictures (first: "
            f"`{clip(names[0])}`): these are captions, not classes. Write the class into `.cls`."
        )
    return names


def _notes(indexes: Sequence[ShardIndex], skip_classes: Sequence[str]) -> tuple[str, ...]:
    notes = []
    others: Counter[str] = Counter()
    for index in indexes:
        others.update(index.others)
    if others:
        kinds = ", ".join(f"{n} × {clip(kind, 40)}" for kind, n in others.most_common(5))
        notes.append(f"left out: {count(others.total(), 'member')} of other kinds ({kinds})")
    if skip_classes:
        notes.append(f"classes left out as asked: {', '.join(sorted(skip_classes))}")
    return tuple(notes)


def _source_name(source: str) -> str:
    """Return a name for people and for the run's folder: no pattern, no suffix."""
    if not is_url(source) and os.path.isdir(source):
        return Path(source).resolve().name
    base = posixpath.basename(source.split("?")[0].replace(os.sep, "/").rstrip("/"))
    kept = base.split("{")[0].split("*")[0].split("?")[0].removesuffix(".tar").rstrip("-_. ")
    return kept or "shards"
