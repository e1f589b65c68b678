"""What goes wrong while training: a clear message, and nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import nunbit
from nunbit import storage
from nunbit.errors import StorageError, TrainingError
from nunbit.runs import RunFolder
from nunbit.storage import load_tensors
from nunbit.training import fit as fit_module
from nunbit.training.callbacks import Action, Callback, Moment, SetLR


class Torn(Callback):
    """Counts teardowns."""

    def __init__(self) -> None:
        self.count = 0

    def teardown(self) -> None:
        self.count += 1


class RaisesLR(Callback):
    """Learns well for some epochs, then far too fast."""

    def __init__(self, lr: float, *, epoch: int = 1) -> None:
        self.lr, self.epoch = lr, epoch

    def on_epoch_end(self, moment: Moment) -> Action | None:
        return SetLR(self.lr) if moment.epoch == self.epoch else None


def weights_of(model: nunbit.Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def checkpoint_weights(run: Path) -> dict[str, Tensor]:
    tensors, _ = load_tensors(run / "checkpoints/last.safetensors", kind="checkpoint")
    return {k.removeprefix(".network."): v for k, v in tensors.items() if k.startswith(".network.")}


# --- a loss that is not finite ----------------------------------------------------------------


def test_a_loss_that_is_not_finite_says_where_and_what_to_try(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    torn = Torn()
    message = (
        r"the loss is (nan|inf) at step 2 of epoch 1 \(learning rate 1e\+30\), expected a finite "
        r"number. No epoch was finished before. Try `--lr 0.00019` or `--clip-norm 1`."
    )
    with pytest.raises(TrainingError, match=message):
        run(
            tiny, epochs=3, lr=1e30, optimizer="sgd", schedule="constant", precision="float32",
            callbacks=[torn],
        )  # fmt: skip
    assert torn.count == 1


@pytest.mark.parametrize("network", ["mlp", "auto", "cnn-mnist"])
def test_a_learning_rate_of_ten_billion_is_caught(
    run: Any, tiny: nunbit.Pictures, network: str
) -> None:
    model = nunbit.create_model_for(tiny, network=network)
    with pytest.raises(TrainingError, match=r"expected a finite number.*--lr 0\.000\d+`"):
        run(tiny, model=model, epochs=9, lr=1e10, optimizer="sgd", schedule="constant")


def test_bfloat16_is_named_where_it_may_be_the_reason(run: Any, tiny: nunbit.Pictures) -> None:
    with pytest.raises(TrainingError, match="or `--precision float32`"):
        run(tiny, lr=1e30, schedule="constant", precision="bfloat16", clip_norm=1.0)


def test_the_epochs_before_are_kept(run: Any, tiny: nunbit.Pictures, tmp_path: Path) -> None:
    kept = nunbit.ModelCheckpoint("{epoch}.safetensors")
    message = r"of epoch 3 .*The network after epoch 2 is kept in `.*model.safetensors`"
    with pytest.raises(TrainingError, match=message):
        run(
            tiny, epochs=9, lr=0.01, optimizer="sgd", schedule="constant", precision="float32",
            callbacks=[kept, RaisesLR(1e30)],
        )  # fmt: skip
    out = tmp_path / "run"
    lines = (out / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert same(checkpoint_weights(out), weights_of(nunbit.Model.load(out / "2.safetensors")))
    kept_model = nunbit.Model.load(out)  # `nunbit predict RUN` works
    assert same(weights_of(kept_model), checkpoint_weights(out))
    assert kept_model.predict([tiny.train.take(slice(0, 1))[0]])


@pytest.mark.parametrize("validated", [True, False])
def test_a_last_step_that_breaks_the_weights_does_not_reach_the_checkpoint(
    run: Any, tiny: nunbit.Pictures, unvalidated: nunbit.Pictures, tmp_path: Path, validated: bool
) -> None:
    """No loss is computed after the last step of an epoch, so the weights are looked at."""

    class Breaks(Callback):
        def on_train_batch_end(self, moment: Moment) -> None:
            if (moment.epoch, moment.step) == (1, moment.steps_per_epoch):
                with torch.no_grad():
                    next(model.network.parameters())[0, 0] = torch.nan

    pictures = tiny if validated else unvalidated
    model = nunbit.create_model_for(pictures, network="mlp")
    with pytest.raises(TrainingError, match=r"a weight is not finite at step \d of epoch 2"):
        run(pictures, model=model, epochs=3, callbacks=[Breaks()])
    out = tmp_path / "run"
    assert all(bool(value.isfinite().all()) for value in checkpoint_weights(out).values())
    assert len((out / "history.jsonl").read_text().splitlines()) == 1


# --- Ctrl-C -------------------------------------------------------------------------------------


class Interrupts(Callback):
    """Presses Ctrl-C, or sends another signal, after a step."""

    def __init__(self, epoch: int, step: int, number: int = signal.SIGINT, times: int = 1) -> None:
        self.place, self.number, self.times = (epoch, step), number, times

    def on_train_batch_end(self, moment: Moment) -> None:
        if (moment.epoch, moment.step) == self.place:
            for _ in range(self.times):
                signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_saves_and_raises(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, number: int
) -> None:
    torn = Torn()
    model = nunbit.create_model_for(tiny, network="mlp")
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, model=model, epochs=3, callbacks=[torn, Interrupts(1, 1, number)])
    assert torn.count == 1
    assert signal.getsignal(number) is before
    out = tmp_path / "run"
    saved = nunbit.Model.load(out)
    assert same(checkpoint_weights(out), weights_of(model))
    assert same(weights_of(saved), weights_of(model))
    assert saved.preprocessing == tiny.preprocessing
    assert saved.facts["trained_on"] == {"source": tiny.source, "images": len(tiny.train)}
    assert len((out / "history.jsonl").read_text().splitlines()) == 1
    assert "finished" not in json.loads((out / "options.json").read_text())


def test_the_best_weights_come_back_after_an_interruption_too(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    kept = nunbit.ModelCheckpoint("{epoch}.safetensors")
    best = nunbit.EarlyStopping(patience=9, mode="max", restore_best_weights=True)
    model = nunbit.create_model_for(tiny, network="mlp")
    with pytest.raises(KeyboardInterrupt):
        run(tiny, model=model, epochs=4, callbacks=[kept, best, Interrupts(2, 1)])
    out = tmp_path / "run"
    first = weights_of(nunbit.Model.load(out / "1.safetensors"))
    assert same(weights_of(model), first)
    assert same(weights_of(nunbit.Model.load(out)), first)
    assert not same(checkpoint_weights(out), first)  # training goes on from where it was


def test_a_second_interruption_stops_at_once(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    torn, before = Torn(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, epochs=3, callbacks=[torn, Interrupts(1, 1, times=2)])
    assert torn.count == 1
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "run/model.safetensors").exists()


def test_training_in_another_thread_leaves_signals_alone(run: Any, tiny: nunbit.Pictures) -> None:
    found: list[Any] = []

    def train() -> None:
        try:
            found.append(run(tiny, epochs=1))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert [type(each) for each in found] == [nunbit.History]


# --- the disk -----------------------------------------------------------------------------------
# What happens to checkpoints in mid-run is in test_checkpoints_trouble.py.


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Return a switch: while ``full``, files whose name holds ``last`` find no room."""
    state = {"full": False}
    sync = os.fsync

    def full_sync(handle: int) -> None:
        name = os.readlink(f"/proc/self/fd/{handle}")
        if state["full"] and "last" in name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(storage.os, "fsync", full_sync)
    return state


def test_a_disk_that_is_full_from_the_start_leaves_nothing(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, disk: dict[str, bool]
) -> None:
    disk["full"] = True
    with pytest.raises(StorageError, match="disk full"):
        run(tiny, epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_to_is_said_at_once(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot be made: Not a directory. Pass a folder"):
        run(tiny, epochs=1, out=tmp_path / "file" / "run")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=r"cannot be made: Read-only file system.*--out DIR"):
        run(tiny, epochs=1, out=tmp_path / "other")


# --- the clock ----------------------------------------------------------------------------------


def test_a_clock_that_goes_backwards_makes_no_negative_time(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall clock is set back an hour at each look, as by a time server gone mad."""

    class Backwards(datetime):
        looks = 0

        @classmethod
        def now(cls, tz: Any = None) -> Backwards:
            cls.looks += 1
            return cls(2030, 1, 1, tzinfo=tz) - timedelta(hours=cls.looks)

    looks: list[float] = []

    def backwards() -> float:
        looks.append(2e9 - 3600 * len(looks))
        return looks[-1]

    monkeypatch.setattr(time, "time", backwards)
    monkeypatch.setattr(fit_module, "datetime", Backwards)
    history = run(tiny, epochs=2, checkpoint_minutes=1e-9)
    assert all(seconds > 0 for seconds in history["seconds"])
    assert all(speed > 0 for speed in history["images_per_second"])
    record = json.loads((tmp_path / "run/options.json").read_text())
    assert record["started"].startswith("2029-12-31T")
    assert record["finished"].startswith("2029-12-31T")
    assert record["finished"] < record["started"]
    assert len(run(tiny, epochs=3, resume=tmp_path / "run").epochs) == 3


# --- two in one folder --------------------------------------------------------------------------


def test_a_run_that_goes_on_elsewhere_is_not_touched(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    """Held while it trains; `resume` and `out` are told so, and free again afterwards."""
    out, found = tmp_path / "run", list[str]()

    class Tries(Callback):
        def on_epoch_end(self, moment: Moment) -> None:
            for where in ({"resume": out}, {"out": out}):
                with pytest.raises(StorageError) as caught:
                    run(tiny, epochs=1, **where)
                found.append(str(caught.value))

    run(tiny, epochs=1, callbacks=[Tries()])
    assert f"the run folder `{out}` is in use by process {os.getpid()}" in found[0]
    assert f"`{out}` is not empty" in found[1]
    assert not (out / ".lock").exists()
    with RunFolder(out).sole_use(), pytest.raises(StorageError, match="is in use by"):
        run(tiny, epochs=2, callbacks=[Tries()], resume=out)
    assert len(run(tiny, epochs=2, callbacks=[Tries()], resume=out).epochs) == 2


def test_two_that_take_one_empty_folder_do_not_mix(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    with RunFolder(out).sole_use(), pytest.raises(StorageError, match="is in use by"):
        run(tiny, epochs=1, out=out)
    assert list(out.iterdir()) == []
