"""WebDataset shards as a picture table: what counts as one, what is read, what is refused."""

from __future__ import annotations

import builtins
import contextlib
import http.server
import io
import json
import os
import re
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.sources import shard_index, shard_names
from nunbit.data.sources.shard_files import read_part, reason
from nunbit.data.sources.shard_names import expand_braces, list_shards
from nunbit.data.sources.shard_stream import ShardStream
from nunbit.data.sources.shards import is_shards, open_shards
from nunbit.errors import DataError, MissingExtraError, PictureError

Members = Mapping[str, bytes]


def tar(members: Members, *, format: int = tarfile.USTAR_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def samples(labels: list[str | int], *, start: int = 0, tag: str = "") -> dict[str, bytes]:
    """Members of samples ``000.jpg`` with ``000.cls``; bytes belong to the key."""
    members = {}
    for k, label in enumerate(labels, start):
        members[f"{k:03d}.jpg"] = f"jpg {tag}{k}".encode() * (k % 7 + 1)
        members[f"{k:03d}.cls"] = str(label).encode()
    return members


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    def write(files: Mapping[str, Members | bytes]) -> Path:
        for name, what in files.items():
            path = tmp_path / "shards" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(what if isinstance(what, bytes) else tar(what))
        return tmp_path / "shards"

    return write


# --- Names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a-{000..002}.tar", ["a-000.tar", "a-001.tar", "a-002.tar"]),
        ("a-{9..11}.tar", ["a-9.tar", "a-10.tar", "a-11.tar"]),
        ("a-{08..10}.tar", ["a-08.tar", "a-09.tar", "a-10.tar"]),
        ("{x,y}/{0..1}.tar", ["x/0.tar", "x/1.tar", "y/0.tar", "y/1.tar"]),
        ("a{,b}.tar", ["a.tar", "ab.tar"]),
        ("plain.tar", ["plain.tar"]),
    ],
)
def test_braces(text: str, names: list[str]) -> None:
    assert expand_braces(text) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a-{3..1}.tar", r"`\{3..1\}` in `a-\{3..1\}.tar` runs backwards"),
        ("a-{0..100000}.tar", "stands for 100,001 files, expected at most 100,000"),
        ("{0..999}{0..999}.tar", "stands for 1,000,000 files"),
        ("a-{0..1.tar", "braces that do not close"),
        ("a-0}.tar", "braces that do not close"),
        ("a-{{0..1},b}.tar", "braces that do not close or lie within one another"),
        ("a-{}.tar", "is neither a range such as"),
        ("a-{0-5}.tar", "is neither a range such as"),
    ],
)
def test_braces_that_mean_nothing(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        expand_braces(text)


@given(st.text(alphabet="{}.,0123ab", max_size=20))
def test_any_braces_expand_to_few_names_or_are_refused(text: str) -> None:
    try:
        names = expand_braces(text)
    except DataError:
        return
    assert 1 <= len(names) <= shard_names.MAX_SHARDS
    assert not any("{" in name for name in names)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-000.tar", "train"),
        ("val_01.tar", "validation"),
        ("imagenet1k-validation-07.tar", "validation"),
        ("test0.tar", "test"),
        ("TEST.tar", "test"),
        ("trainer-0.tar", "train"),
        ("contest-0.tar", "train"),
        ("000.tar", "train"),
    ],
)
def test_the_split_is_a_word_of_the_name(put: Callable[..., Path], name: str, split: str) -> None:
    root = put({name: samples([0, 1])})
    assert [(s.name, s.split) for s in list_shards(str(root))] == [(name, split)]


def test_a_name_with_two_splits_is_refused(put: Callable[..., Path]) -> None:
    root = put({"train-test-0.tar": samples([0])})
    with pytest.raises(DataError, match=r"`train-test-0.tar` names two splits \(test, train\)"):
        open_shards(str(root))


def test_split_folders_give_the_splits(put: Callable[..., Path]) -> None:
    root = put({"train/0.tar": samples(["a", "b"]), "val/0.tar": samples(["b", "a"])})
    assert is_shards(str(root))
    table = open_shards(str(root))
    assert table.split.tolist() == ["train", "train", "validation", "validation"]
    assert table.names == [f"{s}/0.tar/00{k}.jpg" for s in ("train", "val") for k in (0, 1)]


def test_what_is_shards_and_what_is_not(put: Callable[..., Path], tmp_path: Path) -> None:
    root = put(
        {
            "a/0.tar": samples([0]),
            "a/0.json": b"{}",
            "a/.hidden": b"",
            "b/0.tar": {"cat/1.jpg": b"x", "dog/1.jpg": b"y"},
            "b/1.jpg": b"x",
            "c/cat/1.tar": samples([0]),
            "d/readme.txt": b"",
            "e.tar": {"cat/1.jpg": b"x", "dog/1.jpg": b"y", "dog/1.txt": b"z"},
            "f.tar": {"cat/1.jpg": b"x", "cat/2.txt": b"y"},
            "g.tar": b"no tar",
            "h.tar": b"",
        }
    )
    (root / "i").mkdir()
    for source, expected in {
        root / "a": True,
        root / "a" / "0.tar": True,
        root / "a" / "{0..3}.tar": True,
        root / "a" / "*.tar": True,
        root / "b": False,
        root / "c": False,
        root / "d": False,
        root / "e.tar": True,
        root / "f.tar": False,
        root / "g.tar": False,
        root / "h.tar": False,
        root / "i": False,
        root / "missing.tar": False,
        root / "a" / "0.json": False,
    }.items():
        assert is_shards(str(source)) is expected, source
    for text, expected in {
        "s3://bucket/train-{000..012}.tar": True,
        "memory://x/0.tar": True,
        "simplecache::https://host/0.tar": True,
        "mnist": False,
        "C:\\pictures": False,
        "": False,
        "a\0.tar": False,
    }.items():
        assert is_shards(text) is expected, text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{0..14}.tar", r"12 shards of `.*` not there: `.*/3.tar`.* and 2 more\. Check the range"),
        ("x*.tar", r"1 shard of `.*x\*.tar` not there"),
    ],
)
def test_missing_shards_are_all_counted(
    put: Callable[..., Path], source: str, message: str
) -> None:
    root = put({f"{k}.tar": samples([0, 1]) for k in range(3)})
    with pytest.raises(DataError, match=message):
        open_shards(str(root / source))


def test_packed_and_strange_shards_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="Packed tars cannot be read in parts: unpack them"):
        open_shards("https://host.invalid/train-{0..1}.tar.gz")
    with pytest.raises(
        DataError, match=r"expected shards named `.tar`, got `https://h.invalid/a.zip"
    ):
        open_shards("https://me:secret@h.invalid/a.zip?token=secret")
    with pytest.raises(DataError) as caught:
        open_shards("https://me:secret@h.invalid/a.zip?token=secret")
    assert "secret" not in str(caught.value)


# --- Labels ------------------------------------------------------------------------------


def test_numbers_are_classes_in_the_order_of_their_values(put: Callable[..., Path]) -> None:
    root = put({"a.tar": samples([10, 9, 2, 10])})
    table = open_shards(str(root))
    assert table.classes == ("2", "9", "10")
    assert table.labels.tolist() == [2, 1, 0, 2]
    assert table.labels.dtype == np.int64
    assert table.ids.tolist() == [0, 1, 2, 3]
    assert table.source == "shards"


@pytest.mark.parametrize(
    "members",
    [
        {"1.jpg": b"x", "1.cls": b" cat\n", "2.jpg": b"y", "2.cls": "고양이".encode()},
        {"1.png": b"x", "1.txt": b"cat", "2.webp": b"y", "2.txt": "고양이".encode()},
        {"1.jpg": b"x", "1.json": b'{"label": "cat"}', "2.cls": "고양이".encode(), "2.JPG": b"y"},
        {
            "1.jpg": b"x",
            "1.json": b'{"label": "cat"}',
            "1.txt": b"a caption",
            "2.jpg": b"y",
            "2.json": b'{"width": 3}',
            "2.txt": "고양이".encode(),
        },
        {"1.jpg": b"x", "1.cls": b"cat", "1.json": b"{", "2.jpg": b"y", "2.cls": "고양이".encode()},
        {"1.cls": b"cat", "2.cls": "고양이".encode(), "2.jpg": b"y", "1.jpg": b"x"},
    ],
    ids=["cls", "txt", "mixed", "json first", "cls first", "apart"],
)
def test_where_the_label_is_read_from(put: Callable[..., Path], members: Members) -> None:
    table = open_shards(str(put({"a.tar": members})))
    assert table.classes == ("cat", "고양이")
    found = {
        table.store.read(int(i)): table.classes[k]
        for i, k in zip(table.ids, table.labels, strict=True)
    }
    assert found == {b"x": "cat", b"y": "고양이"}


def test_classes_txt_names_the_numbers_and_sets_the_order(put: Callable[..., Path]) -> None:
    root = put(
        {
            "train/0.tar": {
                **samples([2, 0, 2, 0]),
                "x.jpg": b"x",
                "x.json": json.dumps({"label": 2}).encode(),
                "y.jpg": b"y",
                "y.txt": b"zebra",
            },
            "classes.txt": "zebra\nape\nlion\n\n".encode("utf-8-sig"),
        }
    )
    table = open_shards(str(root))
    assert table.classes == ("zebra", "lion"), "in the order of the file; no picture of an ape"
    assert [table.label_text(row) for row in range(6)] == [
        *("lion", "zebra", "lion", "zebra"),
        *("lion", "zebra"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a\n", r"labels that `classes.txt` does not list \(1 line\): `1` \(2 pictures\)\. Add"),
        (b"a\nb\na\n", "has `a` twice. Expected one class a line, that of label 0 first"),
        (b"a\n\nb\n", "has an empty line or none at all"),
        (b"", "has an empty line or none at all"),
        (b"\xff\n", "is not UTF-8"),
    ],
)
def test_a_classes_txt_that_does_not_fit(
    put: Callable[..., Path], text: bytes, message: str
) -> None:
    root = put({"0.tar": samples([0, 1, 1]), "classes.txt": text})
    with pytest.raises(DataError, match=message):
        open_shards(str(root))


def test_captions_are_no_classes(put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import nunbit.data.sources.shards as module

    monkeypatch.setattr(module, "CAPTION_LABELS", 5)
    members = {}
    for k in range(8):
        members |= {f"{k}.jpg": b"x", f"{k}.txt": f"a photo, number {k}".encode()}
    with pytest.raises(
        DataError, match=r"8 different labels for 8 pictures .*: these are captions"
    ):
        open_shards(str(put({"0.tar": members})))


def test_classes_come_from_training_and_can_be_skipped(put: Callable[..., Path]) -> None:
    root = put({"train-0.tar": samples(["a", "b"]), "test-0.tar": samples(["a", "c"])})
    with pytest.raises(
        DataError, match=r"class `c` is in shards of `test`, but training has no class `c`.*Add pic"
    ):
        open_shards(str(root))
    table = open_shards(str(root), skip_classes=["c"])
    assert table.names == ["test-0.tar/000.jpg", "train-0.tar/000.jpg", "train-0.tar/001.jpg"]
    assert table.notes == ("classes left out as asked: c",)
    assert [table.store.read(int(i)) for i in table.ids] == [b"jpg 0", b"jpg 0", b"jpg 1" * 2]
    with pytest.raises(DataError, match=r"has no such class. Did you mean"):
        open_shards(str(root), skip_classes=["C"])


# --- What is wrong with samples is gathered -------------------------------------------------


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.jpg": b"x"}, r"`a.tar/1` has a picture and no label"),
        ({"1.cls": b"1"}, r"`a.tar/1` has a label and no picture"),
        ({"1.jpg": b"x", "1.png": b"y", "1.cls": b"1"}, r"two pictures \(.jpg and .png\)"),
        ({"1.jpg": b"x", "1.JPG": b"y", "1.cls": b"1"}, r"two pictures \(.jpg and .JPG\)"),
        ({"1.jpg": b"x", "1.cls": b"1", "1.CLS": b"1"}, "two members `.cls`"),
        ({"1.jpg": b"x", "1.cls": b" \n"}, "a `.cls` with no text"),
        ({"1.jpg": b"x", "1.txt": b"a\nb"}, "a `.txt` with more than one line"),
        ({"1.jpg": b"x", "1.txt": b"\xff"}, "a `.txt` that is not UTF-8"),
        ({"1.jpg": b"x", "1.json": b"[1]"}, "a `.json` without `label`"),
        ({"1.jpg": b"x", "1.json": b'{"label": 1.5}'}, "a `.json` without `label`"),
        ({"1.jpg": b"x", "1.json": b'{"label": true}'}, "a `.json` without `label`"),
        ({"1.jpg": b"x", "1.json": b"[" * 100_000}, "a `.json` without `label`"),
        ({"1.jpg": b"x", "1.cls": b"1" * 2**21}, r"a label `.cls` of 2,097,152 bytes"),
    ],
)
def test_samples_that_cannot_be_used(
    put: Callable[..., Path], members: Members, message: str
) -> None:
    root = put({"a.tar": {**samples(["x", "y"], start=500), **members}})
    with pytest.raises(DataError, match=message) as caught:
        open_shards(str(root))
    assert "1 thing wrong in 1 shard: " in str(caught.value)


def test_tars_of_one_class_each_are_no_shards(put: Callable[..., Path]) -> None:
    root = put({f"{name}.tar": {"1.jpg": b"1", "2.jpg": b"2"} for name in ("cat", "dog")})
    with pytest.raises(
        DataError,
        match=r"4 things wrong in 2 shards: `cat.tar/1` has a picture and no label.*If each tar "
        r"holds the pictures of one class \(`cat.tar`\), unpack each into a folder of its name",
    ):
        open_shards(str(root))
    root = put({"cat.tar": samples([0, 1])})
    with pytest.raises(DataError, match=r"copy them from where they are whole\.$"):
        open_shards(str(root))


def test_ten_are_shown_and_all_are_counted(put: Callable[..., Path]) -> None:
    root = put(
        {
            f"{k}.tar": {**samples([0], start=500), **{f"{j}.jpg": b"x" for j in range(8)}}
            for k in range(3)
        }
    )
    with pytest.raises(DataError) as caught:
        open_shards(str(root))
    message = str(caught.value)
    assert "24 things wrong in 3 shards: `0.tar/0` has a picture and no label; `0.tar/1`" in message
    assert message.count("no label") == 10
    assert "`1.tar/1` has a picture and no label and 14 more. Each picture" in message


def test_members_of_other_kinds_are_noted_and_hidden_ones_are_not(
    put: Callable[..., Path],
) -> None:
    root = put(
        {
            "a.tar": {
                **samples(["x", "y"]),
                "000.seg.png": b"s",
                "000.npy": b"n",
                "001.npy": b"n",
                ".hidden.jpg": b"h",
                "__index__": b"i",
                "README": b"r",
            }
        }
    )
    table = open_shards(str(root))
    assert len(table) == 2
    assert table.notes == (
        "left out: 4 members of other kinds (2 × .npy, 1 × .seg.png, 1 × no suffix)",
    )


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_hostile_names_are_labels_without_a_path(
    put: Callable[..., Path], format: int
) -> None:
    long = f"{'d' * 90}/{'k' * 60}"
    names = ["../../etc/passwd", "/root/x", long, "a\\b", "고양이"]
    members = {}
    for k, name in enumerate(names):
        members |= {f"{name}.jpg": f"picture {k}".encode(), f"{name}.cls": str(k % 2).encode()}
    root = put({"a.tar": tar(members, format=format)})
    table = open_shards(str(root))
    assert table.names == [f"a.tar/{name}.jpg" for name in names]
    assert [table.store.read(k) for k in range(5)] == [f"picture {k}".encode() for k in range(5)]


def test_links_and_folders_in_a_shard_are_no_samples(put: Callable[..., Path]) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("9.jpg", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        for name, data in samples([0, 1]).items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert len(open_shards(str(put({"a.tar": file.getvalue()})))) == 2


# --- Damage ------------------------------------------------------------------------------


def test_a_truncated_shard_is_named_with_its_offset(put: Callable[..., Path]) -> None:
    whole = tar(samples([0, 1, 0, 1]))
    root = put({"0.tar": whole, "1.tar": whole[: 512 * 5 + 3], "2.tar": whole[:512]})
    with pytest.raises(DataError) as caught:
        open_shards(str(root))
    message = str(caught.value)
    assert "2 things wrong" not in message, "samples cut in two are counted, too"
    assert re.search(r"`1.tar` is truncated or damaged at byte 2,5\d\d \(", message)
    assert "`2.tar` is truncated or damaged at byte 512 (the end is missing)" in message
    assert "copy them from where they are whole" in message


@pytest.mark.parametrize("keep", [0, 1_024, 2_048, 4_096])
def test_a_shard_cut_between_members_is_noticed(put: Callable[..., Path], keep: int) -> None:
    """Tarfile takes it for whole: the end mark alone says that nothing is missing."""
    root = put({"0.tar": samples([0, 1]), "1.tar": tar(samples([0, 1, 0]))[:keep]})
    with pytest.raises(
        DataError, match=r"`1.tar` is truncated or damaged.*mark of the end is missi"
    ):
        open_shards(str(root))


def test_shards_joined_by_cat_are_refused(put: Callable[..., Path]) -> None:
    """Tarfile reads the first of them, and loses the others without a word."""
    root = put({"0.tar": tar(samples([0, 1])) + tar(samples([0, 1], start=5))})
    with pytest.raises(DataError, match="more data follows the mark of its end"):
        open_shards(str(root))


def test_a_file_that_is_no_tar(put: Callable[..., Path]) -> None:
    root = put({"0.tar": samples([0, 1]), "1.tar": b"PK\x03\x04" * 500})
    with pytest.raises(
        DataError, match=r"`1.tar` is truncated or damaged at byte 512 \(invalid header"
    ):
        open_shards(str(root))


def test_too_many_members(put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_index, "MAX_MEMBERS", 7)
    root = put({"0.tar": samples([0, 1, 0, 1])})
    with pytest.raises(DataError, match="it has more than 7 members"):
        open_shards(str(root))


def test_a_huge_picture_is_refused_before_it_is_read(
    put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_index, "MAX_PICTURE_BYTES", 100)
    root = put({"0.tar": {**samples([0, 1]), "x.jpg": bytes(101), "x.cls": b"1"}})
    with pytest.raises(DataError, match=r"`0.tar/x` has a picture of 101 bytes"):
        open_shards(str(root))


def test_shards_without_samples(put: Callable[..., Path]) -> None:
    root = put({"0.tar": {"a.npy": b"x"}, "1.tar": {}})
    with pytest.raises(DataError, match=r"has no samples in 2 shards. Expected members such as"):
        open_shards(str(root))


def test_a_shard_that_changes_after_the_scan(put: Callable[..., Path]) -> None:
    root = put({"0.tar": samples([0, 1]), "1.tar": samples([0, 1]), "2.tar": samples([0, 1])})
    table = open_shards(str(root))
    (root / "0.tar").unlink()
    (root / "1.tar").write_bytes(tar(samples([1, 0])))
    os.utime(root / "1.tar", ns=(1, 1))
    for position in (0, 2):
        with pytest.raises(PictureError, match="its shard has changed since it was scanned"):
            table.store.read(position)
    assert table.store.read(4) == b"jpg 0"


def test_a_shard_without_permission(
    put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = put({"0.tar": samples([0, 1])})
    real = builtins.open

    def refuse(path: object, *rest: object, **how: object) -> object:
        if str(path).endswith("0.tar"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **how)

    monkeypatch.setattr(builtins, "open", refuse)  # root may read everything
    with pytest.raises(DataError, match=r"`0.tar` breaks off \(Permission denied\)"):
        open_shards(str(root))


def _fuzz(data: bytes, path: Path) -> str:
    """Open damaged shards; whatever happens, it is a table that can be read or a DataError."""
    path.write_bytes(data)
    try:
        table = open_shards(str(path))
    except DataError:
        return "refused"
    for position in range(len(table.store)):
        try:
            read = table.store.read(position)
        except PictureError:
            continue
        assert len(read) == table.store.sizes[position]
    return "read"


FUZZED = {
    format: tar(
        {**samples([0, 1, 1]), f"{'k' * 120}.jpg": b"x" * 700, f"{'k' * 120}.cls": b"0"},
        format=format,
    )
    for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    if format != tarfile.USTAR_FORMAT
}


@given(
    st.sampled_from(sorted(FUZZED)),
    st.lists(st.tuples(st.integers(0, 10_239), st.integers(0, 7)), max_size=4),
    st.none() | st.integers(0, 10_240),
)
def test_damaged_shards_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    format: int,
    flips: list[tuple[int, int]],
    cut: int | None,
) -> None:
    data = bytearray(FUZZED[format])
    for at, bit in flips:
        data[at % len(data)] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / f"fuzz-{os.getpid()}.tar"
    result = _fuzz(bytes(data[:cut]), path)
    if not flips and cut is None:
        assert result == "read"
    if cut is not None and not flips and cut < len(FUZZED[format].rstrip(b"\0")):
        assert result == "refused", "no truncated shard passes for whole"


# --- URLs --------------------------------------------------------------------------------


@pytest.fixture
def memory() -> str:
    """A folder of its own in fsspec's memory file system."""
    return f"memory://{uuid.uuid4().hex}"


def put_url(root: str, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        with fsspec.open(f"{root}/{name}", "wb") as file:
            file.write(data)


@pytest.mark.parametrize(
    "source",
    ["", "/", "/{train,val}-{0..1}.tar", "/*.tar"],
    ids=["folder", "slash", "braces", "glob"],
)
def test_urls_are_read_like_files(memory: str, source: str) -> None:
    names = [f"{split}-{k}.tar" for split in ("train", "val") for k in (0, 1)]
    put_url(
        memory,
        {name: tar(samples([0, 1], tag=name)) for name in names} | {"classes.txt": b"cat\ndog\n"},
    )
    assert is_shards(memory + source)
    table = open_shards(memory + source)
    assert table.classes == ("cat", "dog")
    assert table.names == [f"{name}/00{k}.jpg" for name in names for k in (0, 1)]
    assert table.split.tolist() == ["train"] * 4 + ["validation"] * 4
    assert table.store.read(3) == b"jpg train-1.tar1" * 2


def test_split_folders_behind_urls(memory: str) -> None:
    put_url(
        memory,
        {
            "train/0.tar": tar(samples([0, 1])),
            "test/0.tar": tar(samples([0, 1])),
            "other/0.tar": tar(samples([0, 1])),
        },
    )
    table = open_shards(memory)
    assert sorted(set(table.names)) == [
        *("test/0.tar/000.jpg", "test/0.tar/001.jpg"),
        *("train/0.tar/000.jpg", "train/0.tar/001.jpg"),
    ]


def test_file_urls_and_large_gaps(
    put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nunbit.data.sources import shard_files

    monkeypatch.setattr(shard_files, "SEEK_BYTES", 600)
    root = put({"0.tar": {"a.jpg": bytes(5_000), "a.cls": b"0", **samples([1])}})
    table = open_shards((root / "0.tar").as_uri())
    assert table.store.read(0) == bytes(5_000)
    assert table.store.read(1) == b"jpg 0"
    cut = tar({"a.jpg": bytes(5_000), "a.cls": b"0"})[:3_000]
    (root / "1.tar").write_bytes(cut)
    with pytest.raises(
        DataError, match=r"`1.tar` is truncated or damaged at byte .*end is missing"
    ):
        open_shards((root / "1.tar").as_uri())


def test_urls_that_fail(memory: str) -> None:
    put_url(memory, {"0.tar": tar(samples([0, 1]))})
    with pytest.raises(DataError, match=r"2 things wrong in 3 shards: `1.tar` breaks off \("):
        open_shards(f"{memory}/{{0..2}}.tar")
    with pytest.raises(DataError, match=r"has no shards. Expected files such as `train-000.tar`"):
        open_shards(f"{memory}-none/")
    with pytest.raises(DataError, match=r"`nonsense://x/0.tar` cannot be read: .* Expected a URL"):
        open_shards("nonsense://x/0.tar")
    with pytest.raises(DataError, match=r"cannot be listed. Name the shards, as in `train-\{000.."):
        open_shards("simplecache::memory://x/")


class _Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: Mapping[str, bytes]
    ranges: bool

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        data = self.files.get(self.path.split("?")[0])
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if data is None:
            self.send_error(404)
            return
        if wanted and self.ranges:
            start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
            data = data[start : end + 1]
        else:
            self.send_response(200)
        if self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextlib.contextmanager
def serve(files: Mapping[str, bytes], *, ranges: bool) -> Iterator[tuple[str, list[str]]]:
    """Give the address of a web server, and the requests it gets."""
    requests: list[str] = []

    def log(self: _Web, *_: object) -> None:
        requests.append(f"{self.command} {self.path}")

    handler = type("Web", (_Web,), {"files": files, "ranges": ranges, "log_message": log})
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.server_port}", requests
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


def test_shards_on_a_web_server() -> None:
    pytest.importorskip("aiohttp", reason="needs nunbit[shards]")
    files = {f"/train-{k}.tar": tar(samples([0, 1], tag=str(k))) for k in range(3)}
    with serve(files, ranges=True) as (host, _):
        table = open_shards(f"{host}/train-{{0..2}}.tar?token=secret")
        assert table.names == [f"train-{k}.tar/00{j}.jpg" for k in range(3) for j in (0, 1)]
        assert table.source == "train"
        stream = ShardStream(table, buffer_size=3)
        order = stream.order(seed=0, epoch=0)
        given = dict(zip(order.rows.tolist(), stream.read(order), strict=True))
        assert [given[row] for row in range(6)] == [
            f"jpg {k}{j}".encode() * (j + 1) for k in range(3) for j in (0, 1)
        ]
        assert table.store.read(3) == b"jpg 11" * 2
        with pytest.raises(DataError, match=r"`train-3.tar` breaks off \(not there\)") as caught:
            open_shards(f"{host}/train-{{2..3}}.tar?token=secret")
        assert "secret" not in str(caught.value)
        for missing in ("8", "9"):
            with pytest.raises(DataError, match=r"breaks off \(not there\)"):
                open_shards(f"{host}/train-{missing}.tar")


def test_a_web_server_without_ranges_is_refused_before_the_shards_are_read() -> None:
    pytest.importorskip("aiohttp", reason="needs nunbit[shards]")
    files = {f"/train-{k}.tar": tar(samples([0, 1], tag=str(k))) for k in range(3)}
    with serve(files, ranges=False) as (host, requests):
        with pytest.raises(
            DataError,
            match=r"train-0.tar`: its server gives whole files only, .*Download the shards, and",
        ) as caught:
            open_shards(f"{host}/train-{{0..2}}.tar?token=secret")
        assert "secret" not in str(caught.value)
        assert {each.split("?")[0].split(" ")[1] for each in requests} == {"/train-0.tar"}
        with pytest.raises(PictureError, match="gives whole files only, expected one that knows"):
            read_part(f"{host}/train-1.tar", 512, 5)


def test_reasons_do_not_tell_secrets() -> None:
    error = ValueError("404, url='https://me:word@host/a.tar?token=abc' and more")
    assert reason(error) == "404, url='https://host/a.tar and more"


def test_a_url_that_vanishes_after_the_scan(memory: str) -> None:
    put_url(memory, {"0.tar": tar(samples([0, 1]))})
    table = open_shards(f"{memory}/0.tar")
    put_url(memory, {"0.tar": tar(samples([0, 1]))[:700]})
    with pytest.raises(PictureError, match="its shard has become shorter"):
        table.store.read(1)
    fsspec.filesystem("memory").rm(f"{memory}/0.tar")
    with pytest.raises(PictureError, match="cannot be read from its shard"):
        table.store.read(0)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith(("fsspec", "s3fs")):
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"needs fsspec: `pip install 'nunbit\[shards\]'`"):
        open_shards("s3://bucket/0.tar")
    monkeypatch.undo()

    def no_s3(url: str) -> object:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", no_s3)
    with pytest.raises(
        MissingExtraError, match=r"\(Install s3fs to access S3\): .*`pip install s3fs`"
    ):
        open_shards("s3://bucket/0.tar")
