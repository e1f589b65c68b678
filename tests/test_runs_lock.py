"""A run folder is one process's at a time; a dead one's lock locks nothing."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nunbit import runs
from nunbit.errors import StorageError
from nunbit.runs import RunFolder
from nunbit.transfer.lock import LOCK_NAME

HOLDS = """
import sys, time
from pathlib import Path
from nunbit.runs import RunFolder

with RunFolder(Path(sys.argv[1])).sole_use():
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_kept_out_and_told_by_whom(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        message = (
            rf"the run folder `{tmp_path}` is in use by process {process.pid}, and two cannot "
            r"write into one. Wait for its end or stop it, or start a run of its own"
        )
        with pytest.raises(StorageError, match=message), RunFolder(tmp_path).sole_use():
            pytest.fail("held by two")
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    assert (tmp_path / LOCK_NAME).exists()  # left by the dead, and locks nothing
    with RunFolder(tmp_path).sole_use():
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()} {socket.gethostname()}"
    assert list(tmp_path.iterdir()) == []


def test_a_second_training_in_one_process_is_kept_out_too(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with run.sole_use():
        with (
            pytest.raises(StorageError, match=f"in use by process {os.getpid()}"),
            run.sole_use(),
        ):
            pytest.fail("held by two")
        assert (tmp_path / LOCK_NAME).exists()
    with run.sole_use():
        pass


def test_a_holder_on_another_machine_is_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with run.sole_use():
        (tmp_path / LOCK_NAME).write_text("17 far.away")
        with pytest.raises(StorageError, match=r"process 17 on far.away"), run.sole_use():
            pytest.fail("held by two")
        (tmp_path / LOCK_NAME).write_bytes(b"\xff")
        with pytest.raises(StorageError, match="in use by another process"), run.sole_use():
            pytest.fail("held by two")


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path).sole_use():
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_of_many_at_once_never_two_hold_it(tmp_path: Path) -> None:
    """Files that are taken away while others open them are where locks go wrong."""
    inside: list[int] = []

    def take(number: int) -> tuple[bool, int]:
        try:
            with RunFolder(tmp_path).sole_use():
                inside.append(number)
                seen = len(inside)
                inside.remove(number)
                return True, seen
        except StorageError:
            return False, 0

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(take, range(400)))
    assert {seen for held, seen in found if held} == {1}


def test_file_systems_without_locks_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "try_lock", lambda file: None)
    with RunFolder(tmp_path).sole_use(), RunFolder(tmp_path).sole_use():
        (tmp_path / "x").write_text("written")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_with_a_dead_lock_alone_is_free(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("1 here")
    RunFolder.check_free(tmp_path)
    (tmp_path / "x").write_text("x")
    with pytest.raises(StorageError, match="is not empty"):
        RunFolder.check_free(tmp_path)


def test_what_a_killed_process_had_half_written_is_removed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    half = ["checkpoints/.last.safetensors-0a1b2c3d", ".history.jsonl-ffffffff"]
    kept = [".hidden", "notes-0a1b2c3d", "checkpoints/last.safetensors", ".x-0a1b2c3dd"]
    for name in half + kept:
        (tmp_path / name).write_text("x")
    with run.sole_use():
        pass
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert found == set(kept)


FULL = """
import resource, sys
from pathlib import Path
from nunbit.errors import StorageError
from nunbit.runs import RunFolder

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file takes a byte
run = RunFolder(Path(sys.argv[1]))
try:
    with run.sole_use():
        print("held", (run.path / ".lock").stat().st_size)
        run.write_options({})
except StorageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of files")
def test_a_disk_that_is_full_from_the_start_is_told_as_such(tmp_path: Path) -> None:
    """It does not even take who holds the folder; that is no fault, and tried once."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(tmp_path)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("held 0\ndisk full: `"), done
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_opened_is_no_reason_to_go_without(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).mkdir()
    message = (
        rf"the run folder `{tmp_path}` cannot be held for this process: `.*\.lock` cannot be "
        r"opened \(Is a directory\)"
    )
    with pytest.raises(StorageError, match=message), RunFolder(tmp_path).sole_use():
        pytest.fail("held by nobody")


@pytest.mark.parametrize(
    ("number", "folder_open", "goes_on"),
    [
        (errno.EROFS, True, True), (errno.EACCES, False, True), (errno.EACCES, True, False),
        (errno.ENOSPC, True, False), (errno.EMFILE, False, False),
    ],
)  # fmt: skip
def test_only_where_nothing_can_be_written_nothing_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, folder_open: bool, goes_on: bool
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(runs, "open", refuse, raising=False)
    monkeypatch.setattr(runs.os, "access", lambda *_: folder_open)
    if goes_on:
        with RunFolder(tmp_path).sole_use():
            pass
        return
    with pytest.raises(StorageError, match="cannot be held"), RunFolder(tmp_path).sole_use():
        pytest.fail("held by nobody")


def test_a_folder_with_what_was_half_written_alone_is_free(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("1 here")
    (tmp_path / ".options.json-0a1b2c3d").write_text("{")
    RunFolder.check_free(tmp_path)
    with RunFolder(tmp_path).sole_use():
        pass
    assert list(tmp_path.iterdir()) == []
