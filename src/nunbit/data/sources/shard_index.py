"""What is in a shard: one pass over its headers, no picture is read.

Source of the format: Aizman, Maltby, Breuel 2019, "High Performance I/O For Large
Scale Deep Learning", arXiv:2001.01858: members of one key (the name up to the first
dot) are one sample, ``0001.jpg`` with ``0001.cls``.
Departs: members of a sample need not lie side by side; a sample has one picture and
one label, and one that has not is reported.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from dataclasses import dataclass, field

from nunbit.data.sources.labels import clip
from nunbit.data.sources.shard_files import FileTape, local_size, open_shard, reason
from nunbit.data.sources.shard_names import Shard
from nunbit.data.sources.tars import Tape, TarMember, walk_tar
from nunbit.data.sources.tree import PICTURE_SUFFIXES, is_hidden
from nunbit.errors import NunbitError

__all__ = ["Problems", "ShardIndex", "has_samples", "index_shard", "read_label"]

LABEL_KINDS = ("cls", "json", "txt")
"""Members that may hold the label, the first one that has it wins."""
MAX_MEMBERS = 4_000_000
MAX_PICTURE_BYTES = 1 << 30
MAX_LABEL_BYTES = 1 << 20
MAX_AFTER_END_BYTES = 1 << 20
"""After the mark of the end a tar is filled up with zeros; so many are looked at."""
PEEK_MEMBERS = 200


@dataclass
class Problems:
    """What is wrong: the first ten in words, all by number.

    Args:
        samples: How many of them are samples, and not shards.
    """

    count: int = 0
    samples: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, text: str, *, is_sample: bool = False) -> None:
        """Take one more."""
        self.count += 1
        self.samples += is_sample
        if len(self.first) < 10:
            self.first.append(text)

    def merge(self, other: Problems) -> None:
        """Take those of another shard."""
        self.count += other.count
        self.samples += other.samples
        self.first = [*self.first, *other.first][:10]


@dataclass
class ShardIndex:
    """The samples of one shard, in the order in which their pictures lie there.

    Args:
        names: ``shard/key.jpg`` of each picture.
        offsets: Where its bytes start in the shard.
        sizes: How many they are.
        labels: Its label; whole numbers are kept as such.
        others: Members that are neither picture nor label, by kind.
    """

    names: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    labels: list[str | int] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    others: Counter[str] = field(default_factory=Counter)


@dataclass
class _Sample:
    """What was found of one key."""

    picture: TarMember | None = None
    labels: dict[str, bytes] = field(default_factory=dict)
    wrong: str = ""


def index_shard(shard: Shard) -> ShardIndex:
    """Read the headers of a shard.

    What is damaged or missing is in ``problems`` of the result; the samples before
    the damage are there.
    """
    index = ShardIndex()
    samples: dict[str, _Sample] = {}
    tape: FileTape | None = None
    try:
        with open_shard(shard.where) as file:
            tape = FileTape(file, size_bytes=local_size(shard.where))
            _walk(tape, samples, index)
            _check_end(tape)
    except NunbitError:
        raise
    except Exception as error:  # each file system has errors of its own
        at = f" at byte {tape.offset:,}" if tape is not None and tape.offset else ""
        kind = "is truncated or damaged" if isinstance(error, tarfile.TarError) else "breaks off"
        index.problems.add(f"`{clip(shard.name)}` {kind}{at} ({reason(error)})")
    for key, sample in samples.items():
        _settle(shard, key, sample, index)
    return index


def has_samples(path: str) -> bool:
    """Return whether a tar starts like a shard: a picture and a label of the same key."""
    pictures: set[str] = set()
    labels: set[str] = set()
    try:
        with open_shard(path) as file:
            for seen, member in enumerate(walk_tar(FileTape(file, size_bytes=local_size(path)))):
                key, kind = _key_and_kind(member.name)
                if member.kind == "file" and not _is_passed_over(member.name):
                    if f".{kind}" in PICTURE_SUFFIXES:
                        pictures.add(key)
                    elif kind in LABEL_KINDS:
                        labels.add(key)
                if pictures & labels or seen >= PEEK_MEMBERS:
                    break
    except (OSError, ValueError, tarfile.TarError):
        pass  # whoever reads it says what is wrong with it
    return bool(pictures & labels)


def _key_and_kind(name: str) -> tuple[str, str]:
    """Return the name up to the first dot of its last part, and what follows.

    Example:
        >>> _key_and_kind("a.b/0001.seg.png")
        ('a.b/0001', 'seg.png')
    """
    folder, slash, base = name.rpartition("/")
    stem, _, kind = base.partition(".")
    return f"{folder}{slash}{stem}", kind.lower()


def _is_passed_over(name: str) -> bool:
    base = name.rpartition("/")[2]
    return is_hidden(base) or base.startswith("__")


def _walk(tape: Tape, samples: dict[str, _Sample], index: ShardIndex) -> None:
    for count, member in enumerate(walk_tar(tape)):
        if count >= MAX_MEMBERS:
            raise tarfile.ReadError(f"it has more than {MAX_MEMBERS:,} members")
        if member.kind != "file" or _is_passed_over(member.name):
            continue
        key, kind = _key_and_kind(member.name)
        if f".{kind}" in PICTURE_SUFFIXES:
            _add_picture(samples.setdefault(key, _Sample()), member)
        elif kind in LABEL_KINDS:
            sample = samples.setdefault(key, _Sample())
            if kind in sample.labels:
                sample.wrong = f"two members `.{kind}`"
            elif member.size > MAX_LABEL_BYTES:
                sample.wrong = f"a label `.{kind}` of {member.size:,} bytes"
            else:
                data = tape.read(member.size)
                if len(data) < member.size:
                    raise tarfile.ReadError("the end is missing")
                sample.labels[kind] = data
        else:
            index.others[f".{kind}" if kind else "no suffix"] += 1


def _add_picture(sample: _Sample, member: TarMember) -> None:
    if sample.picture is not None:
        both = (sample.picture.name.rpartition(".")[2], member.name.rpartition(".")[2])
        sample.wrong = f"two pictures (.{both[0]} and .{both[1]})"
    elif member.size > MAX_PICTURE_BYTES:
        sample.wrong = f"a picture of {member.size:,} bytes"
    sample.picture = member


def _check_end(tape: Tape) -> None:
    """Refuse a tar that goes on after its end, as two joined by ``cat`` do."""
    rest = tape.read(MAX_AFTER_END_BYTES)
    if rest.strip(b"\0"):
        raise tarfile.ReadError("more data follows the mark of its end")


def _settle(shard: Shard, key: str, sample: _Sample, index: ShardIndex) -> None:
    """Make a row of a sample, or a problem."""
    picture = sample.picture
    wrong = sample.wrong
    label: str | int = ""
    if not wrong and picture is None:
        wrong = "a label and no picture"
    elif not wrong and not sample.labels:
        wrong = "a picture and no label"
    elif not wrong:
        try:
            label = read_label(sample.labels)
        except ValueError as error:
            wrong = str(error)
    if wrong or picture is None:
        index.problems.add(f"`{clip(f'{shard.name}/{key}')}` has {wrong}", is_sample=True)
        return
    index.names.append(f"{shard.name}/{picture.name}")
    index.offsets.append(picture.offset)
    index.sizes.append(picture.size)
    index.labels.append(label)


def read_label(parts: dict[str, bytes]) -> str | int:
    """Return the label of a sample from its label members.

    ``.cls`` holds a whole number or a name, ``.json`` an object with ``label``,
    ``.txt`` a name.

    Raises:
        ValueError: None of them has a label; the message says why.
    """
    why = ""
    for kind in LABEL_KINDS:
        if kind not in parts:
            continue
        try:
            text = parts[kind].decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            why = why or f"a `.{kind}` that is not UTF-8"
            continue
        if kind == "json":
            found = _label_of_json(text)
            if found is not None:
                return found
            why = why or "a `.json` without `label` (a name or a whole number)"
        elif not text or "\n" in text or "\0" in text:
            why = why or f"a `.{kind}` with {'no text' if not text else 'more than one line'}"
        elif kind == "cls" and text.isascii() and text.isdigit() and len(text) <= 18:
            return int(text)
        else:
            return text
    raise ValueError(why)


def _label_of_json(text: str) -> str | int | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    label = found.get("label") if isinstance(found, dict) else None
    if isinstance(label, str) and label.strip():
        return label.strip()
    return label if type(label) is int and 0 <= label < 10**18 else None
