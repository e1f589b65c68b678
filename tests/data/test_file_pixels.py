"""Pixels in a file, read and written by row, against an array in memory."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.data.file_pixels import FilePixels

SHAPE = (50, 6, 5, 3)
TRUTH = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> FilePixels:
    path = tmp_path_factory.mktemp("pixels") / "whole.npy"
    np.save(path, TRUTH)
    return FilePixels.open(path)


@given(st.lists(st.integers(0, 49), max_size=60))
def test_rows_are_those_of_the_array(filled: FilePixels, rows: list[int]) -> None:
    wanted = np.array(rows, dtype=np.int64)
    assert np.array_equal(filled[wanted], TRUTH[wanted])


@pytest.mark.parametrize(
    "rows", [slice(None), slice(3, 9), slice(40, 99), slice(9, 3), slice(None, None, -7), 0, 49, -1]
)
def test_slices_and_single_rows(filled: FilePixels, rows: int | slice) -> None:
    assert np.array_equal(filled[rows], TRUTH[rows])


def test_it_looks_like_the_array(filled: FilePixels) -> None:
    assert (filled.shape, filled.dtype, filled.ndim, len(filled)) == (SHAPE, np.uint8, 4, 50)
    assert filled.nbytes == TRUTH.nbytes
    with pytest.raises(IndexError):
        filled[np.array([50])]


def test_what_is_written_is_read_by_numpy(tmp_path: Path) -> None:
    made = FilePixels.create(tmp_path / "new.npy", SHAPE)
    made[7] = TRUTH[7]
    made[np.array([0, 49, 20])] = TRUTH[[0, 49, 20]]
    found = np.load(tmp_path / "new.npy")
    expected = np.zeros_like(TRUTH)
    expected[[7, 0, 49, 20]] = TRUTH[[7, 0, 49, 20]]
    assert np.array_equal(found, expected)
    with pytest.raises(FileExistsError):
        FilePixels.create(tmp_path / "new.npy", SHAPE)


def test_threads_write_and_read_rows_of_their_own(tmp_path: Path) -> None:
    made = FilePixels.create(tmp_path / "new.npy", SHAPE)

    def work(first: int) -> None:
        for row in range(first, 50, 5):
            made[row] = TRUTH[row]
            assert np.array_equal(made[row], TRUTH[row])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(made[:], TRUTH)


def test_without_preadv_it_is_the_same(
    filled: FilePixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    monkeypatch.delattr(os, "pwrite", raising=False)
    assert np.array_equal(filled[np.array([4, 3, 9])], TRUTH[[4, 3, 9]])
    made = FilePixels.create(tmp_path / "new.npy", SHAPE)
    made[3] = TRUTH[3]
    assert np.array_equal(made[3], TRUTH[3])


@pytest.mark.parametrize(
    "array",
    [TRUTH.astype(np.int16), TRUTH[0], np.asfortranarray(TRUTH), np.zeros((2, 3))],
    ids=["int16", "three axes", "by columns", "float"],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "other.npy", array)
    with pytest.raises(ValueError, match="not the pixels that were written"):
        FilePixels.open(tmp_path / "other.npy")


def test_a_file_that_shrinks_while_it_is_open(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", TRUTH)
    found = FilePixels.open(tmp_path / "whole.npy")
    os.truncate(tmp_path / "whole.npy", 500)
    with pytest.raises(EOFError, match="has become shorter"):
        found[40]


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", TRUTH)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(50):
        FilePixels.open(tmp_path / "whole.npy")
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 1
