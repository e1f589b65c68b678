"""Decode once: the same pixels whatever the budget, the threads and the store."""

from __future__ import annotations

import os
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nunbit.data.file_pixels import FilePixels
from nunbit.data.pixels import decode_table, default_budget_bytes, survey
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sources.opening import open_source
from nunbit.data.sources.stores import ArrayStore, FileStore, ZipStore
from nunbit.data.table import PictureTable
from nunbit.errors import PictureError, StorageError

STEPS = Preprocessing(9, 3, fit="pad")
LARGE = 1 << 30


def table(store: Any) -> PictureTable:
    count = len(store)
    return PictureTable(
        store=store,
        ids=np.arange(count),
        labels=np.zeros(count, np.int64),
        classes=("a", "b"),
        split=np.full(count, "train", "<U10"),
        source="made up",
    )


def temporary_files() -> set[str]:
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("nunbit-pixels-")}


def test_threads_and_budget_do_not_change_a_pixel(
    write_folder: Callable[..., Path], truncated_png: bytes
) -> None:
    root = write_folder({"a": 70, "b": 90, "a/5.png": truncated_png, "b/80.png": b""}, channels=3)
    whole = open_source(root)
    one, failed = decode_table(whole, STEPS, threads=1, budget_bytes=LARGE)
    assert isinstance(one, np.ndarray)
    readable = np.setdiff1d(np.arange(160), [row for row, _ in failed])
    assert [each.name for _, each in failed] == ["a/5.png", "b/80.png"]
    slow = [STEPS.prepare((root / whole.names[row]).read_bytes()) for row in readable]
    assert np.array_equal(one[readable], np.stack(slow))
    for threads, budget in ((4, LARGE), (1, 0), (4, 0)):
        before = temporary_files()
        got, again = decode_table(whole, STEPS, threads=threads, budget_bytes=budget)
        assert isinstance(got, FilePixels) == (budget == 0)
        assert temporary_files() == before, "the file vanishes with the process"
        assert np.array_equal(got[readable], one[readable])
        assert again == failed


def test_an_array_takes_a_short_way_to_the_same_pixels(
    paint: Callable[..., NDArray[np.uint8]],
) -> None:
    pixels = np.stack([paint(str(k), 8, 8) for k in range(130)])
    whole = table(ArrayStore(pixels, str)).select(np.arange(129, 0, -2))
    done: list[int] = []
    short, failed = decode_table(
        whole, Preprocessing(8, 1), threads=2, budget_bytes=LARGE, on_progress=done.append
    )
    assert failed == []
    assert done == [len(whole)]
    padded = np.pad(pixels, ((0, 0), (0, 0), (0, 1)))  # no squares: the general way
    general, _ = decode_table(
        table(ArrayStore(padded, str)).select(whole.ids),
        Preprocessing(8, 1, fit="crop"),
        threads=2,
        budget_bytes=LARGE,
    )
    assert np.array_equal(short, general)
    assert np.array_equal(short[:, :, :, 0], pixels[whole.ids])
    short[:] = 0
    assert pixels.any(), "the store's own array is not handed out"


def test_a_disk_without_room_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((100, 8, 9), np.uint8)
    usage = type("usage", (), {"free": 10_000})
    monkeypatch.setattr("nunbit.data.pixels.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(
        StorageError,
        match=r"100 decoded pictures take 0.0 GB, more than memory offers .* has only 0.0 GB free. "
        r"Set TMPDIR .* smaller `--image-size`",
    ):
        decode_table(table(ArrayStore(pixels, str)), STEPS, threads=1, budget_bytes=0)


def test_the_budget_is_a_part_of_the_memory() -> None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 256 << 20 <= default_budget_bytes() <= max(total / 3, 256 << 20)


def test_the_survey_looks_at_a_sample_and_names_what_it_cannot_read(
    write_folder: Callable[..., Path], truncated_png: bytes
) -> None:
    root = write_folder({"a": 9, "b/x.png": truncated_png})
    seen = survey(open_source(root))
    assert (seen.side, seen.has_colour) == (10, False)
    assert [(each.name, each.reason) for each in seen.unreadable] == [
        ("b/x.png", "damaged or truncated")
    ]
    assert len(survey(open_source(root), sample=1).unreadable) == 0
    colour = survey(open_source(write_folder({"a": 9, "b": 3}, channels=3, root="colour")))
    assert (colour.side, colour.has_colour) == (10, True)
    nothing = survey(open_source(write_folder({"c/x.png": b"", "d/y.png": b""}, root="bad")))
    assert (nothing.side, nothing.has_colour) == (0, False)


# --- Stores ---------------------------------------------------------------------


def test_all_stores_give_the_same_pictures(
    write_folder: Callable[..., Path], tmp_path: Path, paint: Callable[..., NDArray[np.uint8]]
) -> None:
    root = write_folder({"a": 5, "b": 5})
    names = [f"{c}/{k}.png" for c in "ab" for k in range(5)]
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(root / name, f"top/{name}")
    stores = (
        FileStore(root, names),
        ZipStore(tmp_path / "all.zip", [f"top/{name}" for name in names], names),
        ArrayStore(np.stack([paint(name) for name in names]), names.__getitem__),
    )
    results = [decode_table(table(s), STEPS, threads=3, budget_bytes=LARGE)[0] for s in stores]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    for store in stores:
        assert [store.name(k) for k in range(len(store))] == names


def test_a_zip_is_read_by_many_threads_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    members = {f"{k}": rng.bytes(20_000) for k in range(12)}
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    store = ZipStore(tmp_path / "z.zip", list(members), list(members))
    wrong: list[str] = []

    def read() -> None:
        for _ in range(20):
            wrong.extend(n for k, n in enumerate(members) if store.read(k) != members[n])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@given(at=st.floats(0, 1), new=st.binary(min_size=1, max_size=20), how=st.sampled_from([0, 8, 12]))
def test_a_damaged_zip_refuses_single_pictures(
    tmp_path_factory: pytest.TempPathFactory, at: float, new: bytes, how: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("a/1.png", b"some text that packs, packs, packs " * 30)
    data = bytearray(path.read_bytes())
    start = int(at * (len(data) - len(new)))
    data[start : start + len(new)] = new
    path.write_bytes(data)
    try:
        ZipStore(path, ["a/1.png"], ["1"]).read(0)
    except PictureError as error:
        assert str(error).startswith("cannot be read from damaged.zip: ")  # noqa: PT017  # all raised errors are looked at


def test_a_missing_file_gives_the_reason_without_the_path(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"^No such file or directory$"):
        FileStore(tmp_path, ["a/1.png"]).read(0)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PictureError, match=r"^not a regular file$"):
        FileStore(tmp_path, ["folder.png"]).read(0)
