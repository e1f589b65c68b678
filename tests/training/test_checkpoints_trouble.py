"""Checkpoints where the disk is full or memory runs out: told, tried again, nothing is lost."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.training.test_checkpoints_kept import LAST, Presses, names, place

import nunbit
from nunbit import storage
from nunbit.errors import StorageError
from nunbit.training import checkpoints as checkpoints_module
from nunbit.training.callbacks import Callback, Moment

# --- the disk -----------------------------------------------------------------------------------


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a switch: names that hold ``full`` find no room, or a read-only file system."""
    state: dict[str, Any] = {"full": None, "error": errno.ENOSPC, "tries": 0}
    sync, replace = os.fsync, os.replace

    def refuse(name: str) -> None:
        if state["full"] is not None and state["full"] in name:
            state["tries"] += 1
            raise OSError(state["error"], os.strerror(state["error"]))

    def full_sync(handle: int) -> None:
        refuse(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    def full_replace(old: Any, new: Any) -> None:
        refuse(str(new))
        replace(old, new)

    monkeypatch.setattr(storage.os, "fsync", full_sync)
    monkeypatch.setattr(storage.os, "replace", full_replace)
    return state


class Fills(Callback):
    """Fills the disk where an epoch begins, makes room where another does."""

    def __init__(self, state: dict[str, Any], what: str, epochs: range) -> None:
        self.state, self.what, self.epochs = state, what, epochs

    def on_epoch_begin(self, moment: Moment) -> None:
        for thread in threading.enumerate():
            if thread.name == "nunbit-checkpoint":  # the one before had its room
                thread.join()
        self.state["full"] = self.what if moment.epoch in self.epochs else None


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("what", ["last.", "run/"])
def test_a_disk_that_is_full_for_a_while_is_told_once_and_training_goes_on(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    disk: dict[str, Any], what: str, error: int,
) -> None:  # fmt: skip
    disk["error"] = error
    whole = run(tiny, epochs=5, out=tmp_path / "whole", callbacks=[Fills({}, "", range(0))])
    history = run(tiny, epochs=5, callbacks=[Fills(disk, what, range(1, 4))])
    assert disk["tries"] >= 3
    said = capsys.readouterr().err
    reason = "disk full: " if error == errno.ENOSPC else os.strerror(error)
    assert said.count("nunbit: note: ") == 1
    assert reason in said
    assert "Training goes on and tries again at the next checkpoint." in said
    assert history["val_loss"] == whole["val_loss"]
    assert place(tmp_path / "run" / LAST) == (5, 0)
    assert len((tmp_path / "run/history.jsonl").read_text().splitlines()) == 5


def test_a_disk_that_stays_full_is_an_error_and_nothing_is_lost(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, disk: dict[str, Any]
) -> None:
    """The model has room, the checkpoint has not: the run goes on from the one before."""
    whole = run(tiny, epochs=4, out=tmp_path / "whole", callbacks=[Fills({}, "", range(0))])
    message = (
        r"the last checkpoint could not be written: disk full: .*untouched.* `nunbit train "
        r"--resume .*/run` goes on after epoch 2, as the checkpoint before has it"
    )
    with pytest.raises(StorageError, match=message):
        run(tiny, epochs=4, callbacks=[Fills(disk, "last.", range(2, 9))])
    disk["full"] = None
    out = tmp_path / "run"
    assert place(out / LAST) == (2, 0)
    trained = nunbit.Model.load(out).network.state_dict()
    for name, value in nunbit.Model.load(tmp_path / "whole").network.state_dict().items():
        assert bool((trained[name] == value).all())
    again = run(tiny, epochs=4, callbacks=[Fills(disk, "", range(0))], resume=out)
    assert again["val_loss"] == whole["val_loss"]


def test_ctrl_c_on_a_full_disk_says_from_where_it_goes_on(
    run: Any, tiny: nunbit.Pictures, disk: dict[str, Any]
) -> None:
    callbacks = [Fills(disk, "last.", range(1, 9)), Presses(2, 1)]
    with pytest.raises(StorageError, match=r"could not be written.* goes on after epoch 1, "):
        run(tiny, epochs=9, callbacks=callbacks)


def test_a_full_disk_lets_the_file_before_stand(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, disk: dict[str, Any]
) -> None:
    class Reads(Callback):
        def on_epoch_begin(self, moment: Moment) -> None:
            if moment.epoch == 1:
                deadline = time.monotonic() + 30
                while place(path) != (1, 0) and time.monotonic() < deadline:
                    time.sleep(0.01)
                found.append(path.read_bytes())
                disk["full"] = "last."
            if moment.epoch == 3:
                found.append(path.read_bytes())
                disk["full"] = None

    path, found = tmp_path / "run" / LAST, list[bytes]()
    run(tiny, epochs=4, callbacks=[Reads()])
    assert found[0] == found[1]


class Quota:
    """A disk with room for so many bytes of checkpoints, told apart by their place on it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.room, self.refused = folder, 1 << 60, 0
        sync = os.fsync

        def full_sync(handle: int) -> None:
            if ".last" in os.readlink(f"/proc/self/fd/{handle}") and self.used() > self.room:
                self.refused += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        patch.setattr(storage.os, "fsync", full_sync)

    def used(self) -> int:
        found = [path.stat() for path in self.folder.glob("*safetensors*")]
        found += [path.stat() for path in self.folder.glob(".*safetensors*")]
        return sum({each.st_ino: each.st_size for each in found}.values())


@pytest.mark.parametrize("links", [True, False])
def test_older_ones_go_where_the_disk_is_full(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], links: bool,
) -> None:  # fmt: skip
    """Room for two and a half; three are kept where there is more."""
    if not links:
        monkeypatch.setattr(checkpoints_module.os, "link", lambda *_: os.stat("/nowhere"))
    quota = Quota(tmp_path / "run/checkpoints", monkeypatch)

    class Fills(Callback):
        def on_epoch_begin(self, moment: Moment) -> None:
            if moment.epoch == 3:
                for thread in threading.enumerate():
                    if thread.name == "nunbit-checkpoint":
                        thread.join()
                quota.room = 5 * (tmp_path / "run" / LAST).stat().st_size // 2

    run(tiny, epochs=5, keep_checkpoints=3, callbacks=[Fills()])
    assert quota.refused > 0
    assert capsys.readouterr().err == ""
    assert place(tmp_path / "run" / LAST) == (5, 0)
    left = ["epoch-0004-step-000000.safetensors"] if links else []
    assert names(tmp_path / "run") == [*left, "last.safetensors"]


def test_a_model_that_finds_no_room_is_told_with_where_the_run_goes_on(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, disk: dict[str, Any]
) -> None:
    message = (
        r"disk full: `.*model.safetensors` needs .* `nunbit train --resume .*/run` goes on after "
        r"epoch 2, as the last checkpoint has it\."
    )
    with pytest.raises(StorageError, match=message):
        run(tiny, epochs=2, callbacks=[Fills(disk, "model.", range(1, 9))])
    disk["full"] = None
    run(tiny, epochs=2, callbacks=[Fills(disk, "", range(0))], resume=tmp_path / "run")
    assert (tmp_path / "run/model.safetensors").is_file()


def test_neither_model_nor_checkpoint_finds_room(
    run: Any, tiny: nunbit.Pictures, disk: dict[str, Any]
) -> None:
    message = (
        r"disk full: `.*model.safetensors` .* the last checkpoint could not be written: disk full: "
        r".*last.safetensors` .* goes on after epoch 1, as the checkpoint before has it\."
    )
    with pytest.raises(StorageError, match=message):
        run(tiny, epochs=2, callbacks=[Fills(disk, "safetensors", range(1, 9))])


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["take_snapshot", "write"])
def test_a_copy_that_finds_no_memory_is_told_and_tried_again(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], where: str,
) -> None:  # fmt: skip
    owner: Any = checkpoints_module if where == "take_snapshot" else checkpoints_module.Snapshot
    work, calls = getattr(owner, where), list[int]()

    def hungry(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) in (2, 3):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        return work(*args, **more)

    monkeypatch.setattr(owner, where, hungry)
    run(tiny, epochs=4)
    said = capsys.readouterr().err
    assert said.count("nunbit: note: a checkpoint could not be copied or written: out of mem") == 1
    assert "Training goes on and tries again at the next checkpoint." in said
    assert place(tmp_path / "run" / LAST) == (4, 0)


def test_a_first_copy_that_finds_no_memory_is_an_error(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(checkpoints_module, "take_snapshot", hungry)
    with pytest.raises(StorageError, match=r"out of memory \(MemoryError\)"):
        run(tiny, epochs=1)
    assert not (tmp_path / "run").exists()
