"""What may change where a run is continued, what may not, and what is written down."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import nunbit
from nunbit.errors import CheckpointError, OptionError, TrainingError
from nunbit.storage import load_tensors, save_tensors
from nunbit.training.callbacks import Callback, Moment
from nunbit.training.continuing import RESOLVED, continued_options, is_longer
from nunbit.training.defaults import resolve


class Presses(Callback):
    """Presses Ctrl-C after a step of an epoch, or at an epoch's end."""

    def __init__(self, epoch: int, step: int | None = None) -> None:
        self.place = (epoch, step)

    def on_train_batch_end(self, moment: Moment) -> None:
        if (moment.epoch, moment.step) == self.place:
            signal.raise_signal(signal.SIGINT)

    def on_epoch_end(self, moment: Moment) -> None:
        if (moment.epoch, None) == self.place:
            signal.raise_signal(signal.SIGINT)


BASE = {"epochs": 4, "schedule": "constant", "optimizer": "sgd", "lr": 0.01}


@pytest.fixture
def cut(run: Any, tiny: nunbit.Pictures, tmp_path: Path) -> Any:
    """Return a function that leaves a run interrupted in its second epoch."""

    def leave(step: int | None = None, **options: Any) -> Path:
        with pytest.raises(KeyboardInterrupt):
            run(tiny, callbacks=[Presses(1, step)], **{**BASE, **options})
        return tmp_path / "run"

    return leave


def go_on(pictures: nunbit.Pictures, folder: Path, **how: Any) -> nunbit.History:
    options = how.pop("options", None)
    if options is not None:
        how["options"] = nunbit.TrainOptions(**{"batch_size": 24, **BASE, **options})
    model = how.pop("model", None) or nunbit.create_model_for(pictures, network="mlp")
    how.setdefault("callbacks", [Presses(99)])
    return nunbit.fit(model, pictures, resume=folder, progress=False, **how)


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "options.json").read_text())
    return found


def test_without_options_it_has_those_it_had(cut: Any, tiny: nunbit.Pictures) -> None:
    folder = cut(clip_norm=0.5, augment="light")
    history = go_on(tiny, folder)
    assert (history.options.clip_norm, history.options.augment) == (0.5, "light")
    assert len(history.epochs) == 4
    (entry,) = record(folder)["continued"]
    assert (entry["epoch"], entry["step"], entry["changed"]) == (2, 0, {})


CHANGES: list[dict[str, Any]] = [
    {"lr": 0.5},
    {"schedule": "cosine"},
    {"optimizer": "adamw"},
    {"weight_decay": 0.1},
    {"clip_norm": 1.0},
    {"label_smoothing": 0.1},
    {"ema": 0.9},
    {"accumulate": 2},
    {"momentum": 0.0},
    {"batch_size": 12},
    {"balance": "sampling"},
    {"seed": 7},
    {"temperature": 2.0},
    {"patience": 9},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_is_refused_until_it_is_overridden(
    cut: Any, tiny: nunbit.Pictures, change: dict[str, Any]
) -> None:
    folder = cut()
    (name,) = change
    before = (folder / "options.json").read_text()
    with pytest.raises(CheckpointError, match=rf"{name} was .*, got .*`override=True`"):
        go_on(tiny, folder, options=change)
    assert (folder / "options.json").read_text() == before
    history = go_on(tiny, folder, options=change, override=True)
    assert len(history.epochs) == 4
    kept = record(folder)
    assert kept["training"][name] == change[name]
    old, new = kept["continued"][0]["changed"][name]
    assert (old != new, new) == (True, change[name])
    header = load_tensors(folder / "checkpoints/last.safetensors", kind="checkpoint")[1]
    assert header["identity"][name] == change[name]


def test_all_differences_are_told_at_once(cut: Any, tiny: nunbit.Pictures) -> None:
    folder = cut()
    other = nunbit.load(tiny.origin, validation=0.2, seed=1)
    message = (
        r"other pictures, labels or splits than the source has now; with other options: "
        r"lr was 0.01, got 0.5; network was 'mlp', got 'cnn-mnist'; .*; with the callbacks "
        r"Presses, got none. Restore the source.*Never in a run changes: network"
    )
    model = nunbit.create_model_for(other, network="cnn-mnist")
    with pytest.raises(CheckpointError, match=message):
        go_on(other, folder, model=model, options={"lr": 0.5}, callbacks=[])


def test_pictures_and_network_never_change(cut: Any, tiny: nunbit.Pictures) -> None:
    folder = cut()
    other = nunbit.load(tiny.origin, validation=0.2, seed=1)
    with pytest.raises(CheckpointError, match="with other pictures"):
        go_on(other, folder, override=True)
    model = nunbit.create_model_for(tiny, network="cnn-mnist")
    with pytest.raises(CheckpointError, match="network was 'mlp', got 'cnn-mnist'"):
        go_on(tiny, folder, model=model, override=True)


@pytest.mark.parametrize("change", [{"batch_size": 12}, {"seed": 3}, {"balance": "sampling"}])
def test_what_says_which_picture_comes_when_waits_for_an_epoch(
    cut: Any, tiny: nunbit.Pictures, change: dict[str, Any]
) -> None:
    folder = cut(step=2)
    (name,) = change
    message = rf"`{name}` can change only where an epoch begins.*at step 2 of epoch 2"
    with pytest.raises(CheckpointError, match=message):
        go_on(tiny, folder, options=change, override=True)


def test_a_new_learning_rate_goes_on_at_once(cut: Any, tiny: nunbit.Pictures) -> None:
    history = go_on(tiny, cut(step=2), options={"lr": 0.002}, override=True)
    assert history["lr"] == [0.01, 0.002, 0.002, 0.002]


def test_fewer_epochs_than_are_done_are_refused(cut: Any, tiny: nunbit.Pictures) -> None:
    folder = cut(step=2)
    with pytest.raises(CheckpointError, match="epochs was 4, got 3"):
        go_on(tiny, folder, epochs=3)
    with pytest.raises(CheckpointError, match=r"1 are done and one has begun.*`--epochs 2`"):
        go_on(tiny, folder, epochs=1, override=True)
    assert len(go_on(tiny, folder, epochs=2, override=True).epochs) == 2


def test_new_callbacks_begin_anew_and_old_ones_keep_their_state(
    cut: Any, tiny: nunbit.Pictures
) -> None:
    folder = cut(patience=9)
    early, plateau = nunbit.EarlyStopping("loss", patience=99), nunbit.ReduceLROnPlateau("loss")
    go_on(tiny, folder, callbacks=[plateau, early], override=True)
    assert plateau.best is not None
    # The first early stop is the one of the options; the second was not there before.
    kept = load_tensors(folder / "checkpoints/last.safetensors", kind="checkpoint")[1]
    names = [entry["type"] for entry in kept["state"]["callbacks"]]
    assert names == ["EarlyStopping", "ReduceLROnPlateau", "EarlyStopping"]


def test_a_loss_that_broke_goes_on_by_the_command_it_names(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    how = {"optimizer": "sgd", "schedule": "constant", "precision": "float32"}
    with pytest.raises(TrainingError) as caught:
        run(tiny, epochs=3, lr=1e30, **how)
    command = rf"goes on `nunbit train --resume {folder} --override --lr 0.00019`"
    assert caught.match(command)
    history = go_on(tiny, folder, options={**how, "epochs": 3, "lr": 0.01}, override=True,
                    callbacks=[])  # fmt: skip
    assert len(history.epochs) == 3
    assert history["lr"] == [0.01] * 3


def test_each_continuation_is_noted(cut: Any, tiny: nunbit.Pictures) -> None:
    folder = cut()
    with pytest.raises(KeyboardInterrupt):
        go_on(tiny, folder, options={"lr": 0.02}, override=True, callbacks=[Presses(2, 2)])
    go_on(tiny, folder, epochs=5)
    entries = record(folder)["continued"]
    assert [(e["epoch"], e["step"]) for e in entries] == [(2, 0), (2, 2)]
    assert [e["changed"] for e in entries] == [{"lr": [0.01, 0.02]}, {"epochs": [4, 5]}]
    assert all(e["at"] and e["versions"]["nunbit"] for e in entries)


def test_a_change_whose_process_ended_before_its_checkpoint_stays_agreed(
    cut: Any, tiny: nunbit.Pictures
) -> None:
    """Killed between the two files: options.json says the new rate, the checkpoint the old."""
    folder = cut()
    path = folder / "checkpoints/last.safetensors"
    old = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        go_on(tiny, folder, options={"lr": 0.02}, override=True, callbacks=[Presses(2, 1)])
    path.write_bytes(old)
    assert go_on(tiny, folder)["lr"] == [0.01, 0.01, 0.02, 0.02]


def test_a_checkpoint_of_the_format_before_goes_on(
    cut: Any, tiny: nunbit.Pictures, run: Any, tmp_path: Path
) -> None:
    """Without ranks, average, and the options there were not."""
    whole = run(tiny, out=tmp_path / "whole", callbacks=[Presses(99)], **BASE)
    folder = cut(step=2)
    path = folder / "checkpoints/last.safetensors"
    tensors, header = load_tensors(path, kind="checkpoint")
    identity, state = header["identity"], header["state"]
    for name in ("ema", "balance", "first_size", "growing_frac", "teacher", "teacher_weight",
                 "temperature", "restart_epochs", "restart_factor", "compile"):  # fmt: skip
        identity.pop(name, None)
    state.pop("ranks")
    state.pop("average")
    state["progress"].pop("is_validating")
    save_tensors(path, tensors, {"identity": identity, "state": state}, kind="checkpoint")
    history = go_on(tiny, folder)
    for name in ("loss", "accuracy", "val_loss"):
        assert history[name] == whole[name]


def test_a_run_of_two_ranks_is_continued_by_one(
    cut: Any, run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    """The scores of the epoch that was cut are those of the pictures that both have seen."""
    whole = run(tiny, out=tmp_path / "whole", callbacks=[Presses(99)], **BASE)
    folder = cut(step=2)
    path = folder / "checkpoints/last.safetensors"
    tensors, header = load_tensors(path, kind="checkpoint")
    ((sums, seen),) = header["state"]["ranks"]
    assert seen % 2 == 0
    header["state"]["ranks"] = [
        [{name: value * share for name, value in sums.items()}, seen // 2] for share in (0.25, 0.75)
    ]
    kept = {name: header[name] for name in ("identity", "state")}
    save_tensors(path, tensors, kept, kind="checkpoint")
    history = go_on(tiny, folder)
    for name in ("loss", "accuracy", "val_loss"):
        assert history[name] == pytest.approx(whole[name], rel=1e-9), name


def test_ranks_have_their_own_sums_again() -> None:
    from nunbit.training.checkpoint import Saved, _own_part

    parts = [({"loss": 1.0}, 10), ({"loss": 2.5, "correct": 3.0}, 11)]
    saved = Saved(Path(), {}, {}, parts, [], {}, {}, None)
    assert _own_part(saved, rank=1, size=2) == ({"loss": 2.5, "correct": 3.0}, 11)
    assert _own_part(saved, rank=0, size=1) == ({"loss": 3.5, "correct": 3.0}, 21)
    assert _own_part(saved, rank=0, size=3) == ({"loss": 3.5, "correct": 3.0}, 21)
    assert _own_part(saved, rank=2, size=3) == ({}, 0)


def test_override_needs_a_run(tiny: nunbit.Pictures, tmp_path: Path) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    with pytest.raises(OptionError, match=r"`override` goes on with a run .*: pass `resume`, too"):
        nunbit.fit(model, tiny, out=tmp_path / "x", override=True, progress=False)
    assert not (tmp_path / "x").exists()


def test_all_that_is_filled_in_is_the_runs_again() -> None:
    """A test of the list: what `resolve` fills in must not look like a change."""
    plain = nunbit.TrainOptions()
    filled = resolve(plain, pictures=100, network_lr=0.01).to_dict()
    open_before = {name for name, value in plain.to_dict().items() if value != filled[name]}
    assert open_before <= set(RESOLVED)


def test_what_is_left_open_is_the_runs() -> None:
    kept = nunbit.TrainOptions(
        epochs=7, batch_size=9, lr=0.5, weight_decay=0.1, warmup_epochs=1.0, step_epochs=2,
        restart_epochs=3, precision="float32", clip_norm=2.0,
    )  # fmt: skip
    found = continued_options(nunbit.TrainOptions(lr=0.25), {"training": kept.to_dict()})
    assert (found.epochs, found.batch_size, found.lr) == (7, 9, 0.25)
    assert (found.precision, found.clip_norm) == ("float32", None)
    assert continued_options(None, {"training": kept.to_dict()}) == kept


@pytest.mark.parametrize(
    ("name", "old", "new", "longer"),
    [
        ("epochs", 4, 5, True), ("epochs", 5, 4, False), ("patience", 1, 2, True),
        ("patience", None, 2, False), ("patience", 2, None, False), ("lr", 0.1, 0.2, False),
    ],
)  # fmt: skip
def test_only_more_epochs_and_patience_prolong(name: str, old: Any, new: Any, longer: bool) -> None:
    assert is_longer(name, old, new) is longer


def test_a_refused_change_leaves_network_and_folder_alone(cut: Any, tiny: nunbit.Pictures) -> None:
    folder = cut()
    model = nunbit.create_model_for(tiny, network="mlp", seed=9)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    files = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(CheckpointError):
        go_on(tiny, folder, model=model, options={"lr": 1.0})
    assert all(torch.equal(before[k], v) for k, v in model.network.state_dict().items())
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == files
