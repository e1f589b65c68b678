"""Zip and tar read in place: the same pictures as from a folder, and nothing worse."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import stat
import struct
import tarfile
import threading
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.sources.archives import ArchiveLimits, is_archive, open_archive
from nunbit.data.sources.opening import open_archive_source, open_source
from nunbit.data.sources.stores import ZipStore
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, PictureError, StorageError

Pack = Callable[..., Path]

KINDS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
FILES = {
    f"{split}/{c}/{k}.png": f"{split}{c}{k}".encode() * 50
    for split in ("train", "test")
    for c in ("cat", "dog")
    for k in range(3)
}


def write_tar(path: Path, members: Mapping[str, bytes], *, form: int = tarfile.PAX_FORMAT) -> None:
    kinds = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}
    mode: Any = kinds.get(path.name.rpartition(".")[2], "w")
    with tarfile.open(path, mode, format=form) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Return a function that packs files into an archive of the kind its name says."""

    def write(
        members: Mapping[str, bytes], name: str = "set.zip", *, how: int = zipfile.ZIP_DEFLATED
    ) -> Path:
        path = tmp_path / name
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w", how) as archive:
                for member, data in members.items():
                    archive.writestr(member, data)
        else:
            write_tar(path, members)
        return path

    return write


def content(table: PictureTable) -> dict[str, tuple[str, str, bytes]]:
    return {
        name: (table.label_text(k), str(table.split[k]), bytes(table.store.read(int(table.ids[k]))))
        for k, name in enumerate(table.names)
    }


EXPECTED = {name: (name.split("/")[1], name.split("/")[0], data) for name, data in FILES.items()}


@pytest.mark.parametrize("top", ["", "./", "pictures/", "./a b/"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_pictures(pack: Pack, kind: str, top: str) -> None:
    hidden = {f"{top}__MACOSX/train/cat/._0.png": b"-", f"{top}train/.DS_Store": b"-"}
    path = pack({top + name: data for name, data in {**FILES, **hidden}.items()}, f"set{kind}")
    before = sorted(path.parent.iterdir())
    table = open_source(path)
    assert content(table) == EXPECTED
    assert (table.source, table.classes, table.notes) == ("set", ("cat", "dog"), ())
    assert sorted(path.parent.iterdir()) == before, "nothing is unpacked"


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_kinds_of_zip_members(pack: Pack, how: int) -> None:
    assert content(open_source(pack(FILES, how=how))) == EXPECTED


def test_a_zip_member_packed_in_another_way_is_one_unreadable_picture(pack: Pack) -> None:
    table = open_source(pack(FILES, how=zipfile.ZIP_LZMA))
    with pytest.raises(PictureError, match=r"from set.zip: it is packed by method 14, expected 0"):
        table.store.read(0)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_kinds_of_tars(tmp_path: Path, form: int) -> None:
    long = "" if form == tarfile.USTAR_FORMAT else "long/" * 60
    files = {f"{c}/{long}{k}é.png": f"{c}{k}".encode() for c in ("a", "b") for k in range(2)}
    write_tar(tmp_path / "t.tar", files, form=form)
    table = open_source(tmp_path / "t.tar")
    assert {n: bytes(table.store.read(k)) for k, n in enumerate(table.names)} == files
    assert table.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_many_threads_read_at_once(pack: Pack, kind: str) -> None:
    rng = np.random.default_rng(0)
    files = {f"{'ab'[k % 2]}/{k}.png": rng.bytes(20_000) for k in range(12)}
    table = open_source(pack(files, f"set{kind}"))
    wrong: list[str] = []

    def read() -> None:
        for _ in range(20):
            wrong.extend(n for k, n in enumerate(table.names) if table.store.read(k) != files[n])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_parts_are_read_without_pread_too(
    pack: Pack, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("os.pread", raising=False)
    assert content(open_source(pack(FILES, f"set{kind}"))) == EXPECTED


def test_a_packed_tar_goes_to_a_file_without_a_name_where_memory_ends(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(FILES, "set.tar.gz")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    table = open_archive_source(path, where="it", limits=ArchiveLimits(memory_bytes=500))
    assert content(table) == EXPECTED
    assert list((tmp_path / "temporary").iterdir()) == []

    def full(file: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(StorageError, match=r"No space left on device. Set TMPDIR to a folder with"):
        open_archive_source(path, where="it", limits=ArchiveLimits(memory_bytes=500))


def test_a_packed_tar_leaves_half_of_the_free_disk(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(FILES, "set.tar.gz")
    limits = ArchiveLimits(memory_bytes=500)
    total = sum(map(len, FILES.values()))

    def free(size: int) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, size))

    free(2 * total - 2)
    with pytest.raises(
        StorageError, match=r"it takes more than \d+ MB, half of what is free. Set TMPDIR"
    ):
        open_archive_source(path, where="it", limits=limits)
    free(2 * total)
    assert content(open_archive_source(path, where="it", limits=limits)) == EXPECTED


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize("top", ["", "all/"])
def test_a_csv_at_the_top_describes_the_pictures(pack: Pack, kind: str, top: str) -> None:
    files = {"images/1.png": b"1", "images/2.png": b"2", "3.png": b"3"}
    table = "path,label,split\nimages/2.png,cat,train\n./3.png,dog|cat,train\n"
    members = {**files, "list.csv": table.encode(), "images/other.csv": b"x"}
    found = open_source(pack({top + n: d for n, d in members.items()}, f"set{kind}"))
    assert (found.kind, found.classes) == ("multi-label", ("cat", "dog"))
    assert found.labels.tolist() == [[1, 0], [1, 1]]
    assert [found.store.read(k) for k in range(2)] == [b"2", b"3"]


def test_a_csv_at_the_top_that_names_missing_pictures(pack: Pack) -> None:
    path = pack({"list.csv": b"path,label\na.png,x\n/etc/passwd,x\n../b.png,y\n", "b.png": b"-"})
    with pytest.raises(
        DataError,
        match=r"the CSV in `.*set.zip` cannot be used: missing files \(3\): line 2: `a.png`, "
        "line 3: `/etc/passwd`, line 4: `../b.png`",
    ):
        open_source(path)


def test_a_csv_of_something_else_does_not_hide_class_folders(pack: Pack) -> None:
    path = pack({**FILES, "results.csv": b"epoch,loss\n1,2\n"})
    table = open_source(path)
    assert content(table) == EXPECTED
    assert table.notes == ("left out: 1 file of other kinds (1 × .csv)",)


def test_of_several_csv_files_the_one_that_names_pictures_counts(pack: Pack) -> None:
    table = b"path,label\nimages/1.png,cat\nimages/2.png,dog\n"
    files = {"images/1.png": b"1", "images/2.png": b"2", "submission.csv": b"id,p\n1,0\n"}
    found = open_source(pack({**files, "labels.csv": table}))
    assert found.classes == ("cat", "dog")
    found = open_source(pack({**files, "labels.csv": table, "more.csv": table}))
    assert found.classes == ("images",)
    assert found.notes[-1] == (
        "not used: 2 CSV files that name pictures, where one was expected: `labels.csv`, `more.csv`"
    )


def test_names_in_a_csv_are_found_in_both_forms_of_their_letters(pack: Pack) -> None:
    apart = unicodedata.normalize("NFD", "고양이/é.png")
    table = "path,label\n고양이/é.png,cat\nb.png,dog\n".encode()
    found = open_source(pack({apart: b"1", "b.png": b"2", "list.csv": table}))
    assert found.names == [apart, "b.png"]
    assert found.store.read(0) == b"1"


def test_flat_files_in_an_archive(pack: Pack) -> None:
    files = {f"top/{c}.{k}.jpg": b"-" for c in ("cat", "dog") for k in range(2)}
    table = open_source(pack({**files, "README": b"-"}))
    assert table.classes == ("cat", "dog")
    assert table.names == ["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"]


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_a_csv_cannot_name_members_that_are_no_pictures_by_their_names(
    pack: Pack, kind: str
) -> None:
    """They are not weighed when the archive is opened, nor kept of a packed tar."""
    table = b"path,label\na.png,x\nimg/0,x\nimg/1.dat,y\nimg/2,y\ngone.png,y\n"
    other = {f"img/{k}": f"bytes {k}".encode() * 30 for k in (0, "1.dat", 2)}
    path = pack({"list.csv": table, **other, "a.png": b"-"}, f"set{kind}")
    with pytest.raises(
        DataError,
        match=r"cannot be read in place \(3\): line 3: `img/0` \(its name does not end as that of "
        r"a picture\), line 4: `img/1.dat` \(.*\), line 5: `img/2` \(.*\). Rename them, or unpack "
        r"(.|\n)*missing files \(1\): line 6: `gone.png`",
    ):
        open_source(path)
    archive = open_archive(path, where="`it`")
    with pytest.raises(DataError, match="`it`: `img/0` is not read: its name does not end as"):
        archive.make_store(["a.png", "img/0"])


def test_a_bomb_in_a_zip_is_not_unpacked_for_a_csv(pack: Pack) -> None:
    table = b"path,label\na.png,x\nbomb.dat,y\n"
    path = pack({"list.csv": table, "a.png": b"-", "bomb.dat": bytes(3_000_000)})
    with pytest.raises(DataError, match=r"cannot be read in place \(1\): line 3: `bomb.dat"):
        open_archive_source(path, where="it", limits=ArchiveLimits(member_bytes=1_000_000))


def test_a_store_of_a_zip_unpacks_no_more_than_its_limit(pack: Pack) -> None:
    path = pack({"a.png": bytes(3_000)})
    store = ZipStore(path, ["a.png"], ["a.png"], member_bytes=2_999)
    with pytest.raises(PictureError, match="it unpacks to 3,000 bytes, expected at most 2,999"):
        store.read(0)
    assert ZipStore(path, ["a.png"], ["a.png"], member_bytes=3_000).read(0) == bytes(3_000)


# --- Names that mean harm, and other odd members -----------------------------------


EVIL = ["../x/1.png", "a/../../1.png", "/a/1.png", "C:/a/1.png", "c:1.png", "a/..", ".."]


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_names_that_lead_out_are_left_out_and_touch_no_disk(pack: Pack, kind: str) -> None:
    evil = [*EVIL, "..\\a\\1.png", "\\a\\1.png"] if kind == ".zip" else EVIL
    path = pack({**FILES, **dict.fromkeys(evil, b"-")}, f"set{kind}")
    table = open_source(path)
    assert content(table) == EXPECTED
    assert table.notes == (
        f"left out: {len(evil)} members (names that lead out of the archive; first: ../x/1.png)",
    )
    assert sorted(path.parent.iterdir()) == [path]


def test_backslashes_in_a_zip_are_folders(pack: Pack) -> None:
    path = pack({name.replace("/", "\\"): data for name, data in FILES.items()})
    assert content(open_source(path)) == EXPECTED


def test_links_and_devices_in_a_tar_are_noted(tmp_path: Path) -> None:
    write_tar(tmp_path / "t.tar", FILES)
    with tarfile.open(tmp_path / "t.tar", "a") as tar:
        for name, kind in (
            ("train/cat/s.png", tarfile.SYMTYPE),
            ("train/cat/h.png", tarfile.LNKTYPE),
            ("train/cat/d.png", tarfile.CHRTYPE),
            ("train/cat/f.png", tarfile.FIFOTYPE),
            ("train/empty", tarfile.DIRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/passwd"
            tar.addfile(info)
    table = open_source(tmp_path / "t.tar")
    assert content(table) == EXPECTED
    assert table.notes == (
        "1 class folder without pictures: `train/empty`",
        "left out: 2 members (links; first: train/cat/s.png)",
        "left out: 2 members (no plain files; first: train/cat/d.png)",
    )


def test_sparse_files_in_a_tar_are_passed_over_with_their_maps(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a/sparse.png")
    info.size = 700
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[482] = 1  # the map goes on in another block
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    write_tar(tmp_path / "t.tar", {"a/1.png": b"1", "b/2.png": b"2"})
    plain = (tmp_path / "t.tar").read_bytes()
    (tmp_path / "t.tar").write_bytes(bytes(header) + bytes(512) + b"s" * 700 + bytes(324) + plain)
    table = open_source(tmp_path / "t.tar")
    assert [table.store.read(k) for k in range(len(table))] == [b"1", b"2"]
    assert table.notes == ("left out: 1 member (no plain files; first: a/sparse.png)",)


def test_a_link_in_a_zip_is_noted(pack: Pack) -> None:
    path = pack(FILES)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("train/cat/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    table = open_source(path)
    assert content(table) == EXPECTED
    assert table.notes == ("left out: 1 member (links; first: train/cat/link.png)",)


def test_archives_within_are_noted_not_read(pack: Pack) -> None:
    table = open_source(pack({**FILES, "train/more.zip": b"PK", "old.tar.gz": b"-"}))
    assert content(table) == EXPECTED
    assert table.notes == ("left out: 2 members (archives themselves; first: train/more.zip)",)


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_of_two_members_with_one_name_the_last_counts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"set{kind}"
    members = [("a/1.png", b"old"), ("b/1.png", b"-"), ("./a/1.png", b"new")]
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members:
                archive.writestr(name, data)
    else:
        write_tar(path, dict(members))
    table = open_source(path)
    assert table.names == ["a/1.png", "b/1.png"]
    assert table.store.read(0) == b"new"
    assert table.notes == (
        "left out: 1 member (their names occur once more later; first: a/1.png)",
    )


def test_twins_in_a_zip_have_each_their_own_bytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a/1.png", b"old")
        archive.writestr("b/1.png", b"-")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a/1.png", b"new")
    table = open_source(tmp_path / "z.zip")
    assert [table.store.read(k) for k in range(len(table))] == [b"new", b"-"]


def test_names_of_a_zip_that_are_not_utf8(pack: Pack) -> None:
    def without_flag(names: Mapping[str, bytes]) -> Path:
        """Write names as bytes that no flag says to be UTF-8."""
        plain = {f"{k:02}{'x' * (len(raw) - 6)}.png": raw for k, raw in enumerate(names.values())}
        path = pack(dict.fromkeys(plain, b"-"), "strange.zip")
        data = path.read_bytes()
        for ascii_name, raw in plain.items():
            assert len(ascii_name) == len(raw)
            data = data.replace(ascii_name.encode(), raw)
        path.write_bytes(data)
        return path

    korean = {c: f"{c}/1.png".encode() for c in ("고양이", "개")}
    table = open_source(without_flag(korean))
    assert table.classes == ("개", "고양이")
    assert table.notes == ()
    old = {c: f"{c}/1.png".encode("cp949") for c in ("고양이", "개")}
    table = open_source(without_flag(old))
    assert len(table.classes) == 2
    assert "개" not in table.classes
    assert table.notes[0].startswith("2 names in the zip not in UTF-8 (first: ")
    assert table.notes[0].endswith("letters may be wrong. Make the zip with UTF-8 names")


def test_names_of_a_tar_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"a/caf\xe9.png")
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        write_tar(tmp_path / "t.tar", {name: b"1", "b/2.png": b"2"}, form=form)
        table = open_source(tmp_path / "t.tar")
        assert os.fsencode(table.names[0]) == b"a/caf\xe9.png"
        assert table.store.read(0) == b"1"
    write_tar(tmp_path / "t.tar", {os.fsdecode(b"\xe9/1.png"): b"1", "b/2.png": b"2"})
    with pytest.raises(DataError, match=r"class names that are not UTF-8: `\\xe9`. Rename them"):
        open_source(tmp_path / "t.tar")


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
def test_names_that_no_file_system_takes(pack: Pack, kind: str) -> None:
    name = f"a/{'n' * 10_000}.png"
    table = open_source(pack({name: b"1", "b/2.png": b"2"}, f"set{kind}"))
    assert table.names[0] == name
    assert table.store.read(0) == b"1"
    path = pack({f"{'n' * 10_000}/1.png": b"1", "b/2.png": b"2"}, f"set{kind}")
    with pytest.raises(DataError, match=r"more than 500 characters: `n+… \(10,000 characters\)`"):
        open_source(path)


def test_an_archive_of_nothing_but_archives_says_so(pack: Pack) -> None:
    path = pack({"train.zip": b"PK", "test1.zip": b"PK", "sampleSubmission.csv": b"id,label"})
    with pytest.raises(
        DataError,
        match=r"set.zip` \(left out: 2 members \(archives themselves; first: train.zip\)\) has no ",
    ):
        open_source(path)


# --- Limits -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tar.gz"])
@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (ArchiveLimits(members=11), "`set` has more than 11 members, the limit. Unpack it and giv"),
        (
            ArchiveLimits(unpacked_bytes=5_000),
            "`set` unpacks to more than 5,000 bytes, the limit. If that is meant, unpack it",
        ),
        (
            ArchiveLimits(member_bytes=400),
            r"`set`: `train/cat/0.png` unpacks to 450 bytes, expected at most 400 bytes for one "
            "file. Take it out of the archive, or unpack",
        ),
    ],
)
def test_limits(pack: Pack, kind: str, limits: ArchiveLimits, message: str) -> None:
    path = pack(FILES, f"set{kind}")
    with pytest.raises(DataError, match=message):
        open_archive(path, where="`set`", limits=limits)
    enough = ArchiveLimits(members=12, unpacked_bytes=30_000, member_bytes=450)
    assert len(open_archive(path, where="`set`", limits=enough).names) == 12


def test_large_members_that_are_not_read_do_not_count(pack: Pack) -> None:
    for name in ("set.zip", "set.tar"):
        path = pack({**FILES, "weights.bin": bytes(100_000)}, name)
        limits = ArchiveLimits(unpacked_bytes=10_000, member_bytes=1_000)
        assert len(open_archive_source(path, where="it", limits=limits)) == 12


def test_a_packed_tar_of_nothing_stops_at_the_limit(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.tar.gz", "wb", compresslevel=9) as file:
        info = tarfile.TarInfo("zeros.bin")
        info.size = 50 << 20
        file.write(info.tobuf())
        file.write(bytes(50 << 20))
    with pytest.raises(DataError, match="unpacks to more than 21 MB, the limit"):
        open_archive(
            tmp_path / "bomb.tar.gz", where="it", limits=ArchiveLimits(unpacked_bytes=20 << 20)
        )


def test_a_header_of_any_size_is_not_read_into_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 7 << 30
    (tmp_path / "t.tar").write_bytes(info.tobuf() + bytes(5_000))
    with pytest.raises(DataError, match="a header of 7,516,192,768 bytes, expected at most 1,048,"):
        open_source(tmp_path / "t.tar")


def _claim(path: Path, size: int) -> None:
    """Change the unpacked size that a zip of one member claims."""
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", size)
    path.write_bytes(data)


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("claimed", [100, 29_999, 30_001, 90_000])
def test_a_member_that_lies_about_its_size_is_refused(pack: Pack, how: int, claimed: int) -> None:
    path = pack({"a/1.png": np.random.default_rng(0).bytes(300) * 100}, how=how)
    _claim(path, claimed)
    archive = open_archive(path, where="it")
    with pytest.raises(PictureError, match=r"it does not unpack to the .* bytes|packed bytes for"):
        archive.make_store(["a/1.png"]).read(0)


# --- Damage -----------------------------------------------------------------------


def test_an_encrypted_zip(pack: Pack) -> None:
    path = pack(FILES)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(mark, start + 1)
    path.write_bytes(data)
    with pytest.raises(
        DataError,
        match=r"set.zip` is encrypted \(12 members, first: `train/cat/0.png`\). Unpack it with its "
        "password and give the folder",
    ):
        open_source(path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 but no more", b"Rar!", bytes(600)])
def test_a_zip_that_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "z.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"z.zip` cannot be read as a zip: .*zip.* Fetch it again"):
        open_source(tmp_path / "z.zip")


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 2_000, b"\x1f\x8b\x08 no gzip", b"BZh9no"])
@pytest.mark.parametrize("name", ["t.tar", "t.tar.gz"])
def test_a_tar_that_is_none(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(
        DataError,
        match=rf"{name}` cannot be read as a tar: .* \(after 0 members\). It is truncated or damag",
    ):
        open_source(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_archive_is_refused(pack: Pack, kind: str) -> None:
    path = pack(FILES, f"set{kind}")
    whole = path.read_bytes()
    length = len(whole.rstrip(b"\0")) if kind == ".tar" else len(whole)
    for share in (0.1, 0.3, 0.5, 0.8, 0.99):
        path.write_bytes(whole[: int(length * share)])
        with pytest.raises(DataError, match=r"cannot be read as a .*(F|f)etch it again"):
            open_source(path)


def test_a_damaged_header_in_the_middle_of_a_tar_does_not_end_it_in_silence(pack: Pack) -> None:
    path = pack(FILES, "set.tar")
    data = bytearray(path.read_bytes())
    data[1024 * 3 + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"bad checksum \(after 3 members\)"):
        open_source(path)


def test_wrong_bytes_in_a_packed_tar_are_found_by_its_checksum(pack: Pack) -> None:
    path = pack(FILES, "set.tar")
    data = bytearray(gzip.compress(path.read_bytes(), 0))
    at = data.index(b"testdog2testdog2")
    data[at] ^= 1
    (path.parent / "set.tar.gz").write_bytes(data)
    with pytest.raises(DataError, match="CRC check failed"):
        open_source(path.parent / "set.tar.gz")


def test_a_damaged_picture_in_a_zip_is_one_unreadable_picture(pack: Pack) -> None:
    path = pack(FILES, how=zipfile.ZIP_STORED)
    data = path.read_bytes().replace(b"traincat1traincat1", b"traincat1traincaT1", 1)
    path.write_bytes(data)
    table = open_source(path)
    with pytest.raises(PictureError, match=r"^cannot be read from set.zip: its checksum is wrong$"):
        table.store.read(table.names.index("train/cat/1.png"))
    assert table.store.read(0) == FILES[table.names[0]]


def test_an_archive_that_becomes_shorter_or_goes_away(pack: Pack, tmp_path: Path) -> None:
    path = pack(FILES, "set.tar")
    table = open_source(path)
    os.truncate(path, 1_000)
    with pytest.raises(PictureError, match=r"^cannot be read from set.tar: it has become shorter$"):
        table.store.read(len(table) - 1)
    path = pack(FILES)
    table = open_source(path)
    path.unlink()
    with pytest.raises(PictureError, match=r"from set.zip: .*No such file or directory"):
        table.store.read(0)


def test_what_counts_as_an_archive() -> None:
    assert all(is_archive(name) for name in ("a.ZIP", "b.tar.gz", "c.tgz", "d.tar", "e.tar.xz"))
    assert not any(is_archive(name) for name in ("a.gz", "zip", "b.7z", "c.rar", "d.csv"))


def read_any(path: Path) -> None:
    """Open an archive and read everything; only our own errors may come out."""
    limits = ArchiveLimits(unpacked_bytes=10 << 20, member_bytes=1 << 20)
    try:
        table = open_archive_source(path, where="it", limits=limits)
    except DataError as error:
        assert str(error)  # noqa: PT017  # all raised errors are looked at
        return
    for position in range(len(table)):
        try:
            data = table.store.read(int(table.ids[position]))
        except PictureError as error:
            assert str(error).startswith("cannot be read from ")  # noqa: PT017  # all errors count
        else:
            assert isinstance(data, bytes)


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A function that cuts bytes off, or changes some."""
    cut = draw(st.floats(0, 1)) if draw(st.booleans()) else 1.0
    flips = draw(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=6))

    def harm(whole: bytes) -> bytes:
        data = bytearray(whole[: int(len(whole) * cut)])
        for share, mask in flips:
            if data:
                data[int(share * (len(data) - 1))] ^= mask
        return bytes(data)

    return harm


SMALL = {**dict(list(FILES.items())[:4]), "list.csv": b"epoch\n1\n", "a/../x.png": b"-"}


@given(kind=st.sampled_from(KINDS), harm=damage(), how=st.sampled_from([0, 8, 12]))
def test_any_damage_is_a_message(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    harm: Callable[[bytes], bytes],
    how: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"damaged{kind}"
    if kind == ".zip":
        with zipfile.ZipFile(path, "w", how) as archive:
            for name, data in SMALL.items():
                archive.writestr(name, data)
    else:
        write_tar(path, SMALL)
    path.write_bytes(harm(path.read_bytes()))
    read_any(path)
