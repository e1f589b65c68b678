"""Which checkpoints are kept, what is taken where one is damaged, and writing beside training."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import nunbit
from nunbit import storage
from nunbit.errors import CheckpointError
from nunbit.storage import load_tensors, read_header, save_tensors
from nunbit.training import checkpoints as checkpoints_module
from nunbit.training.callbacks import Callback, Moment

LAST = "checkpoints/last.safetensors"


class Presses(Callback):
    """Presses Ctrl-C, or sends SIGTERM, after a step of an epoch."""

    def __init__(self, epoch: int, step: int, number: int = signal.SIGINT) -> None:
        self.place, self.number = (epoch, step), number

    def on_train_batch_end(self, moment: Moment) -> None:
        if (moment.epoch, moment.step) == self.place:
            signal.raise_signal(self.number)


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def place(path: Path) -> tuple[int, int]:
    progress = read_header(path, kind="checkpoint")["state"]["progress"]
    return progress["epoch"], progress["step"]


@pytest.mark.parametrize("keep", [1, 2, 3, 100])
def test_so_many_are_kept_and_their_names_say_when(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, keep: int
) -> None:
    run(tiny, epochs=4, keep_checkpoints=keep)
    older = [f"epoch-{k:04d}-step-000000.safetensors" for k in range(4)][max(0, 5 - keep) :]
    assert names(tmp_path / "run") == [*older, "last.safetensors"]
    folder = tmp_path / "run/checkpoints"
    assert [place(folder / name)[0] for name in names(tmp_path / "run")] == [
        *range(max(0, 5 - keep), 4), 4,
    ]  # fmt: skip


def test_within_an_epoch_one_is_written_after_its_minutes(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    """72 pictures in batches of 24 are 3 steps."""
    run(tiny, epochs=2, keep_checkpoints=9, checkpoint_minutes=1e-9)
    folder = tmp_path / "run/checkpoints"
    assert [place(folder / name) for name in names(tmp_path / "run")] == [
        (0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0),
    ]  # fmt: skip
    run(tiny, epochs=2, keep_checkpoints=9, checkpoint_minutes=0.0, out=tmp_path / "never")
    assert len(names(tmp_path / "never")) == 3


@pytest.mark.parametrize(
    "damage", ["truncated", "garbage", "empty", "gone", "other header", "zeroed", "number"]
)
def test_a_damaged_last_one_falls_back_to_the_one_before(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    whole = run(tiny, epochs=3, callbacks=[Presses(9, 9)], out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tiny, epochs=3, callbacks=[Presses(1, 2)])
    last = tmp_path / "run" / LAST
    raw = last.read_bytes()
    if damage == "gone":
        last.unlink()
    elif damage == "zeroed":  # a third of the tensors, as a disk may lose blocks
        start = 2 * len(raw) // 3
        assert any(raw[start:])
        last.write_bytes(raw[:start] + bytes(len(raw) - start))
    elif damage == "number":  # in the header, which reads as before
        assert raw.count(rb"\"step\": 2") == 1
        last.write_bytes(raw.replace(rb"\"step\": 2", rb"\"step\": 1"))
    elif damage == "other header":
        save_tensors(last, {}, {"identity": {}}, kind="checkpoint")
    else:
        last.write_bytes({"truncated": raw[:-9], "garbage": bytes(999), "empty": b""}[damage])
    capsys.readouterr()
    history = run(tiny, epochs=3, callbacks=[Presses(9, 9)], resume=tmp_path / "run")
    assert history["val_loss"] == whole["val_loss"]
    said = capsys.readouterr().err
    if damage == "gone":  # nothing was there to be damaged
        assert said == ""
    else:
        assert "The one before it is taken: `epoch-0001-step-000000.safetensors`." in said


def test_where_all_are_damaged_the_last_is_named(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    run(tiny, epochs=1)
    for name in names(tmp_path / "run"):
        (tmp_path / "run/checkpoints" / name).write_bytes(b"x" * 50)
    with pytest.raises(CheckpointError, match=r"cannot be continued: .*last.safetensors`"):
        run(tiny, epochs=2, resume=tmp_path / "run")


def test_one_of_a_newer_nunbit_is_not_passed_over(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before could be read, but what was learnt since would be lost in silence."""
    run(tiny, epochs=1)
    path = tmp_path / "run" / LAST
    tensors, header = load_tensors(path, kind="checkpoint")
    save_tensors(path, tensors, {**header, "format": 99, "nunbit": "9.9"}, kind="checkpoint")
    message = r"cannot be continued: .* has format 99 \(written by Nunbit 9.9\).*pip install -U"
    with pytest.raises(CheckpointError, match=message):
        run(tiny, epochs=2, resume=tmp_path / "run")


def test_one_of_another_run_is_refused_with_what_differs(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    run(tiny, epochs=1)
    run(tiny, epochs=1, lr=0.5, label_smoothing=0.1, out=tmp_path / "other")
    (tmp_path / "run" / LAST).write_bytes((tmp_path / "other" / LAST).read_bytes())
    message = r"with other options: lr was 0.5, got 0.001; label_smoothing was 0.1, got 0.0"
    with pytest.raises(CheckpointError, match=message):
        run(tiny, epochs=2, resume=tmp_path / "run")


def test_a_file_system_without_second_names_keeps_older_ones_too(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(checkpoints_module.os, "link", refuse)
    run(tiny, epochs=2)
    assert names(tmp_path / "run") == ["epoch-0001-step-000000.safetensors", "last.safetensors"]
    assert place(tmp_path / "run/checkpoints/epoch-0001-step-000000.safetensors") == (1, 0)


# --- beside training ----------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a switch: a checkpoint's flush waits for ``go``; ``begun`` says it is there."""
    state: dict[str, Any] = {"go": threading.Event(), "begun": threading.Event(), "slow": False}
    sync = os.fsync

    def slow_sync(handle: int) -> None:
        if state["slow"] and ".last" in os.readlink(f"/proc/self/fd/{handle}"):
            state["begun"].set()
            assert state["go"].wait(30)
        sync(handle)

    monkeypatch.setattr(storage.os, "fsync", slow_sync)
    return state


def test_training_goes_on_while_a_checkpoint_is_written(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, slow: dict[str, Any]
) -> None:
    """Three steps are taken while it hangs; what it holds is the state before them."""
    steps: list[tuple[int, int]] = []

    class Watches(Callback):
        def on_epoch_end(self, moment: Moment) -> None:
            slow["slow"] = moment.epoch == 0
            if moment.epoch == 1:
                assert steps == [(1, 1), (1, 2), (1, 3)]
                assert slow["begun"].is_set()
                assert place(tmp_path / "run" / LAST) == (0, 0)
                slow["go"].set()

        def on_train_batch_end(self, moment: Moment) -> None:
            if slow["begun"].is_set():
                steps.append((moment.epoch, moment.step))

        def on_epoch_begin(self, moment: Moment) -> None:
            if moment.epoch == 1:
                assert slow["begun"].wait(30)

    slow["go"].clear()
    history = run(tiny, epochs=2, callbacks=[Watches()], keep_checkpoints=9)
    older = tmp_path / "run/checkpoints/epoch-0001-step-000000.safetensors"
    kept = read_header(older, kind="checkpoint")["state"]["progress"]["history"]
    assert kept == history.epochs[:1]
    assert place(tmp_path / "run" / LAST) == (2, 0)


def test_an_error_in_training_waits_for_what_is_being_written(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, slow: dict[str, Any]
) -> None:
    class Crashes(Callback):
        def on_epoch_end(self, moment: Moment) -> None:
            slow["slow"] = True

        def on_epoch_begin(self, moment: Moment) -> None:
            if moment.epoch == 1:
                threading.Timer(0.05, slow["go"].set).start()
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tiny, epochs=2, callbacks=[Crashes()])
    assert place(tmp_path / "run" / LAST) == (1, 0)
    assert not [t for t in threading.enumerate() if t.name == "nunbit-checkpoint"]


def test_what_a_callback_keeps_is_copied_before_training_goes_on(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, slow: dict[str, Any]
) -> None:
    """The list grows while the file is written; the file has it as it was."""

    class Keeps(Callback):
        def on_train_begin(self, moment: Moment) -> None:
            self.seen: list[int] = []

        def on_train_batch_end(self, moment: Moment) -> None:
            self.seen.append(moment.step)
            if moment.epoch == 1:
                slow["go"].set()

        def on_epoch_end(self, moment: Moment) -> None:
            slow["slow"] = moment.epoch == 0

        def state_dict(self) -> dict[str, Any]:
            return {"seen": self.seen}

    run(tiny, epochs=2, callbacks=[Keeps()])
    older = tmp_path / "run/checkpoints/epoch-0001-step-000000.safetensors"
    (entry,) = read_header(older, kind="checkpoint")["state"]["callbacks"]
    assert entry["state"]["seen"] == [1, 2, 3]


def test_a_callback_whose_state_is_no_plain_data_is_a_fault_and_is_raised(
    run: Any, tiny: nunbit.Pictures
) -> None:
    class Keeps(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"what": object()}

    with pytest.raises(TypeError, match="not JSON serializable"):
        run(tiny, epochs=1, callbacks=[Keeps()])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_checkpoint_is_written_saves_once_more_and_ends(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, slow: dict[str, Any], number: int
) -> None:
    class Sends(Callback):
        def on_epoch_end(self, moment: Moment) -> None:
            slow["slow"] = moment.epoch == 0

        def on_epoch_begin(self, moment: Moment) -> None:
            if moment.epoch == 1:
                assert slow["begun"].wait(30)
                signal.raise_signal(number)
                threading.Timer(0.05, slow["go"].set).start()

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match="go on with `nunbit train --resume"):
        run(tiny, epochs=9, callbacks=[Sends()])
    assert time.monotonic() - started < 20
    assert place(tmp_path / "run" / LAST) == (1, 1)
    assert (tmp_path / "run/model.safetensors").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_validation_saves_and_ends_before_it_is_over(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    monkeypatch.setattr(type(model), "evaluation_batch", 1)
    looked: list[int] = []

    def look(network: Any, given: Any) -> None:
        if not network.training:
            looked.append(1)
            if len(looked) == 3:
                signal.raise_signal(number)

    model.network.register_forward_pre_hook(look)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, model=model, epochs=3)
    assert len(looked) < 18  # so many there are to validate with
    header = read_header(tmp_path / "run" / LAST, kind="checkpoint")
    assert header["state"]["progress"]["is_validating"] is True
    assert place(tmp_path / "run" / LAST) == (0, 3)
