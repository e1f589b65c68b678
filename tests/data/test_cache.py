"""Decoded pictures kept from run to run: found again, noticed when stale, never in the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from nunbit.data import pixels as pixels_module
from nunbit.data.cache import Fingerprint, PixelCache
from nunbit.data.file_pixels import FilePixels
from nunbit.data.options import DataOptions
from nunbit.data.pictures import load
from nunbit.data.pixels import decode_table
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sources.opening import open_source
from nunbit.data.sources.stores import FileStore
from nunbit.data.table import PictureTable
from nunbit.errors import PictureError, StorageError

STEPS = Preprocessing(8, 1)
WriteFolder = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache(tmp_path / "cache")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count which pictures are decoded."""
    seen: list[str] = []
    prepare = Preprocessing.prepare

    def count(self: Preprocessing, picture: bytes | np.ndarray) -> np.ndarray:
        seen.append("picture")
        return prepare(self, picture)

    monkeypatch.setattr(Preprocessing, "prepare", count)
    return seen


def read(
    table: PictureTable,
    cache: PixelCache | None,
    *,
    steps: Preprocessing = STEPS,
    budget: int = 1 << 30,
) -> np.ndarray:
    found, failed = decode_table(table, steps, threads=2, budget_bytes=budget, cache=cache)
    assert failed == []
    return found


def entries(cache: PixelCache) -> list[Path]:
    return sorted(cache.folder.glob("*.json"))


def test_the_second_time_nothing_is_decoded(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str]
) -> None:
    root = write_folder({"a": 5, "b": 4})
    first = read(open_source(root), cache)
    assert len(decoded) == 9
    again = read(open_source(root), cache)
    assert len(decoded) == 9
    assert np.array_equal(first, again)
    assert np.array_equal(first, read(open_source(root), None))


def test_a_full_disk_does_not_hide_what_is_there(
    write_folder: WriteFolder,
    cache: PixelCache,
    decoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = write_folder({"a": 5})
    first = read(open_source(root), cache)
    monkeypatch.setattr(PixelCache, "room_for", lambda *_: False)
    assert np.array_equal(first, read(open_source(root), cache))
    assert len(decoded) == 5


def test_above_the_budget_it_is_mapped_and_the_same(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str]
) -> None:
    root = write_folder({"a": 5, "b": 4})
    plain = read(open_source(root), None)
    for _ in range(2):
        mapped = read(open_source(root), cache, budget=10)
        assert isinstance(mapped, FilePixels)
        assert np.array_equal(mapped, plain)
    assert len(decoded) == 18
    assert not list(cache.folder.glob("draft-*"))


@pytest.mark.parametrize(
    "other", [Preprocessing(9, 1), Preprocessing(8, 3), Preprocessing(8, 1, fit="crop")]
)
def test_other_settings_are_another_entry(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str], other: Preprocessing
) -> None:
    root = write_folder({"a": 3})
    read(open_source(root), cache)
    assert np.array_equal(
        read(open_source(root), cache, steps=other), read(open_source(root), None, steps=other)
    )
    assert len(entries(cache)) == 2
    read(open_source(root), cache)
    assert len(decoded) == 9, "3 for each of two settings, 3 without the cache"


def test_mean_and_std_of_a_run_do_not_matter(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str]
) -> None:
    root = write_folder({"a": 3})
    read(open_source(root), cache)
    read(open_source(root), cache, steps=replace(STEPS, mean=(0.1,), std=(0.2,)))
    assert len(decoded) == 3


def test_a_changed_picture_is_noticed_and_the_others_are_taken_over(
    write_folder: WriteFolder,
    cache: PixelCache,
    decoded: list[str],
    paint: Callable[..., np.ndarray],
    encode_png: Callable[..., bytes],
) -> None:
    root = write_folder({"a": 4, "b": 4})
    read(open_source(root), cache)
    (root / "a/1.png").write_bytes(encode_png(paint("something else", 30, 30)))
    (root / "b/new.png").write_bytes(encode_png(paint("new")))
    (root / "b/0.png").unlink()
    found = read(open_source(root), cache)
    assert len(decoded) == 8 + 2
    assert np.array_equal(found, read(open_source(root), None))
    assert len(entries(cache)) == 1, "the older entry no longer holds, and is gone"


def test_the_same_bytes_written_anew_count_as_a_change(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str]
) -> None:
    root = write_folder({"a": 2})
    read(open_source(root), cache)
    status = (root / "a/0.png").stat()
    os.utime(root / "a/0.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    read(open_source(root), cache)
    assert len(decoded) == 3


def test_a_part_of_a_source_takes_from_the_whole_and_leaves_it(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str]
) -> None:
    table = open_source(write_folder({"a": 5, "b": 5}))
    whole = read(table, cache)
    part = read(table.select(np.array([7, 2, 3])), cache)
    assert np.array_equal(part, whole[[7, 2, 3]])
    assert len(decoded) == 10
    assert len(entries(cache)) == 2
    read(table, cache)
    assert len(decoded) == 10


def test_two_sources_with_the_same_names_are_kept_apart(
    write_folder: WriteFolder, cache: PixelCache
) -> None:
    one = write_folder(
        {"a/x.png": write_folder({"p": 1}).joinpath("p/0.png").read_bytes()}, root="one"
    )
    two = write_folder(
        {"a/x.png": write_folder({"q": 1}).joinpath("q/0.png").read_bytes()}, root="two"
    )
    first, second = read(open_source(one), cache), read(open_source(two), cache)
    assert not np.array_equal(first, second)
    assert np.array_equal(read(open_source(one), cache), first)


def test_what_could_not_be_read_is_tried_again_and_nothing_else(
    write_folder: WriteFolder, cache: PixelCache, truncated_png: bytes, decoded: list[str]
) -> None:
    root = write_folder({"a": 2, "a/bad.png": truncated_png, "b": 2})
    for _ in range(2):
        _, failed = decode_table(
            open_source(root), STEPS, threads=1, budget_bytes=1 << 20, cache=cache
        )
        assert [(row, item.name) for row, item in failed] == [(2, "a/bad.png")]
        assert "truncated" in failed[0][1].reason
    assert len(decoded) == 5 + 1
    (root / "a/0.png").unlink()  # rows move, the reason moves with its picture
    _, failed = decode_table(open_source(root), STEPS, threads=1, budget_bytes=1 << 20, cache=cache)
    assert [(row, item.name) for row, item in failed] == [(1, "a/bad.png")]
    assert len(decoded) == 7


@pytest.mark.parametrize("budget", [10, 1 << 20])
def test_a_passing_trouble_is_not_remembered(
    write_folder: WriteFolder, cache: PixelCache, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    """Too many open files, a disk that was away, a reader that is installed now."""
    root = write_folder({"a": 3})
    plain = read(open_source(root), None)
    whole = FileStore.read

    def trouble(store: FileStore, position: int) -> bytes:
        if position == 1:
            raise PictureError("Too many open files")
        return whole(store, position)

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "read", trouble)
        _, failed = decode_table(
            open_source(root), STEPS, threads=1, budget_bytes=budget, cache=cache
        )
        assert [row for row, _ in failed] == [1]
    for _ in range(2):
        assert np.array_equal(read(open_source(root), cache, budget=budget)[:], plain)


def test_a_file_that_was_copied_over_with_the_same_size_and_time_is_noticed(
    write_folder: WriteFolder, cache: PixelCache, tmp_path: Path
) -> None:
    root = write_folder({"a": 2})
    for k, value in enumerate((10, 200)):
        cv2.imwrite(str(root / f"a/{k}.bmp"), np.full((9, 9), value, np.uint8))
    read(open_source(root), cache)
    status = (root / "a/0.bmp").stat()
    (root / "a/0.bmp").write_bytes((root / "a/1.bmp").read_bytes())
    os.utime(root / "a/0.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (root / "a/0.bmp").stat().st_size == status.st_size
    assert np.array_equal(read(open_source(root), cache), read(open_source(root), None))


def test_tables_of_one_folder_do_not_drive_each_other_out(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str]
) -> None:
    root = write_folder({"a": 4, "b": 4})
    for name, part in (("one", range(2)), ("two", range(2, 4))):
        rows = [f"{kind}/{k}.png,{kind}" for kind in "ab" for k in part]
        (root / f"{name}.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    for _ in range(3):
        for name in ("one", "two"):
            read(open_source(root / f"{name}.csv"), cache)
    assert len(decoded) == 8


@pytest.mark.parametrize("cached", [False, True])
def test_a_disk_that_fills_up_while_decoding(
    write_folder: WriteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nunbit.data.file_pixels.os.pwrite", full)
    cache = PixelCache(tmp_path / "cache") if cached else None
    with pytest.raises(StorageError, match=r"No space left on device after .*NUNBIT_CACHE"):
        read(open_source(write_folder({"a": 3})), cache, budget=10)
    assert cache is None or list(cache.folder.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "rows", "json", "gone"])
def test_a_damaged_entry_is_made_anew(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str], damage: str
) -> None:
    root = write_folder({"a": 3})
    whole = read(open_source(root), cache)
    facts = entries(cache)[0]
    array, rows = facts.with_suffix(".npy"), facts.with_suffix(".rows.npy")
    if damage == "cut":
        array.write_bytes(array.read_bytes()[:-30])
    elif damage == "empty":
        array.write_bytes(b"")
    elif damage == "text":
        array.write_bytes(b"no array at all")
    elif damage == "rows":
        rows.write_bytes(rows.read_bytes()[:-3])
    elif damage == "json":
        facts.write_text("{")
    else:
        array.unlink()
    assert np.array_equal(read(open_source(root), cache), whole)
    assert len(decoded) == 6
    read(open_source(root), cache)
    assert len(decoded) == 6


def test_a_cache_that_cannot_be_written_is_done_without(
    write_folder: WriteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder({"a": 3})
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    plain = read(open_source(root), None)
    for budget in (10, 1 << 20):
        assert np.array_equal(
            read(open_source(root), PixelCache(blocked / "x"), budget=budget), plain
        )

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nunbit.data.cache.np.save", full)
    for budget in (10, 1 << 20):
        cache = PixelCache(tmp_path / f"full{budget}")
        assert np.array_equal(read(open_source(root), cache, budget=budget), plain)
        assert list(cache.folder.iterdir()) == [], "nothing half-made is left"


def test_the_longest_unused_leave_first(write_folder: WriteFolder, tmp_path: Path) -> None:
    size = 3 * 64 + 128  # three pictures of 8 x 8, and the header of the array
    cache = PixelCache(tmp_path / "cache", limit_bytes=2 * size)
    roots = [write_folder({"a": 3}, root=f"r{k}") for k in range(3)]
    for k, root in enumerate(roots):
        read(open_source(root), cache)
        for path in entries(cache):  # older by one hour with each round
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 3600))
        if k == 1:
            read(open_source(roots[0]), cache)  # used now, so it is younger than the second
    left = {json.loads(path.read_text())["source"] for path in entries(cache)}
    assert left == {"r0", "r2"}


def test_an_interrupt_leaves_no_draft(
    write_folder: WriteFolder, cache: PixelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pixels_module, "_decode_rows", stop)
    with pytest.raises(KeyboardInterrupt):
        read(open_source(write_folder({"a": 3})), cache, budget=10)
    assert list(cache.folder.iterdir()) == []


def _in_a_process(root: str, folder: str, queue: multiprocessing.Queue) -> None:
    total = 0
    for _ in range(5):
        found, _ = decode_table(
            open_source(root), STEPS, threads=1, budget_bytes=10, cache=PixelCache(Path(folder))
        )
        total += int(found[:].sum())
    queue.put(total)


def test_processes_read_and_write_at_once(write_folder: WriteFolder, cache: PixelCache) -> None:
    root = write_folder({"a": 20, "b": 20})
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [
        context.Process(target=_in_a_process, args=(str(root), str(cache.folder), queue))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    totals = {queue.get(timeout=60) for _ in workers}
    for worker in workers:
        worker.join()
    assert totals == {5 * int(read(open_source(root), None)[:].sum())}
    assert len(entries(cache)) == 1
    assert not list(cache.folder.glob("draft-*"))


def test_pictures_in_memory_have_no_entry(cache: PixelCache) -> None:
    table = open_source("digits")
    assert Fingerprint.of(table, STEPS) is None
    read(table, cache)
    read(table, cache, steps=Preprocessing(6, 3))
    assert not cache.folder.exists() or not entries(cache)


def test_load_uses_the_cache_unless_told_otherwise(
    write_folder: WriteFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    decoded: list[str],
) -> None:
    monkeypatch.setenv("NUNBIT_CACHE", str(tmp_path / "mine"))
    root = write_folder({"a": 4, "b": 4})
    for _ in range(2):
        load(root, options=DataOptions(image_size=8, validation=0.25))
    assert len(decoded) == 8
    load(root, options=DataOptions(image_size=8, validation=0.25, cache="off"))
    assert len(decoded) == 16
    mapped = load(root, options=DataOptions(image_size=8, validation=0.25, memory=1e-8))
    assert isinstance(mapped.train.pixels, FilePixels)


def test_a_picture_that_vanishes_before_it_is_read(
    write_folder: WriteFolder, cache: PixelCache
) -> None:
    root = write_folder({"a": 3})
    table = open_source(root)
    (root / "a/1.png").unlink()
    _, failed = decode_table(table, STEPS, threads=1, budget_bytes=1 << 20, cache=cache)
    assert [(row, item.reason) for row, item in failed] == [(1, "No such file or directory")]
    with pytest.raises(PictureError):
        table.store.read(1)


def _pack(root: Path, target: Path) -> Path:
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for path in sorted(root.glob("*/*")):
                archive.write(path, path.relative_to(root))
    else:
        with tarfile.open(target, "w:gz" if target.suffix == ".gz" else "w") as archive:
            for path in sorted(root.glob("*/*")):
                archive.add(path, path.relative_to(root))
    return target


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_archives_are_kept_and_a_changed_one_is_noticed(
    write_folder: WriteFolder,
    cache: PixelCache,
    decoded: list[str],
    tmp_path: Path,
    paint: Callable[..., np.ndarray],
    encode_png: Callable[..., bytes],
    suffix: str,
) -> None:
    root = write_folder({"a": 3, "b": 3})
    archive = _pack(root, tmp_path / f"all{suffix}")
    first = read(open_source(archive), cache)
    assert np.array_equal(first, read(open_source(archive), cache))
    assert len(decoded) == 6
    (root / "a/1.png").write_bytes(encode_png(paint("another")))
    archive.unlink()
    _pack(root, archive)
    second = read(open_source(archive), cache)
    assert np.array_equal(second, read(open_source(archive), None))
    assert not np.array_equal(first, second)


def test_a_changed_member_of_a_zip_is_the_only_one_that_is_decoded_again(
    write_folder: WriteFolder, cache: PixelCache, decoded: list[str], tmp_path: Path
) -> None:
    root = write_folder({"a": 3, "b": 3})
    read(open_source(_pack(root, tmp_path / "all.zip")), cache)
    (root / "a/1.png").write_bytes((root / "b/2.png").read_bytes())
    read(open_source(_pack(root, tmp_path / "all.zip")), cache)
    assert len(decoded) == 7
