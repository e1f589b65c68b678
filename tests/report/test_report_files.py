"""The report's file is whole or untouched."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nunbit.errors import ShapeError, StorageError
from nunbit.report import MisreadPicture, render_report, write_report


def test_file_holds_the_page_and_its_folder_is_made(run, tmp_path):
    path = write_report(run, tmp_path / "runs" / "1" / "report.html", lang="ko")
    assert path == tmp_path / "runs" / "1" / "report.html"
    assert path.read_bytes().decode("utf-8") == render_report(run, lang="ko")
    assert os.listdir(path.parent) == ["report.html"]


def test_file_can_be_read_by_those_the_umask_allows(run, tmp_path):
    path = write_report(run, tmp_path / "report.html")
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_failing_page_leaves_the_old_file(change, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    broken = MisreadPicture("x", np.zeros((2, 2), np.float64), "a", "b", 0.5)
    with pytest.raises(ShapeError):
        write_report(change(misread=[broken]), path)
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failing_disk_leaves_the_old_file_and_no_rubbish(run, tmp_path, monkeypatch, step):
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")

    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageError, match=r"report\.html`: No space left on device"):
        write_report(run, path)
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["report.html"]


def test_folder_that_is_a_file_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not be written"):
        write_report(run, Path(tmp_path / "file" / "report.html"))
