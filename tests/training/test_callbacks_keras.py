"""The three callbacks of Keras, epoch by epoch, without any training.

The tables are traced from Keras 3.15; a row that departs says so and has a test of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nunbit.errors import OptionError
from nunbit.training.callbacks import (
    Action,
    Callback,
    EarlyStopping,
    LoadWeights,
    ModelCheckpoint,
    Moment,
    ReduceLROnPlateau,
    SetLR,
    Stop,
)
from nunbit.training.checkpoint import pack, unpack

NAN = math.nan
KNOWN = {"loss": "min", "accuracy": "max", "val_loss": "min", "val_accuracy": "max"}
Log = list[tuple[int, Any]]


class Stage:
    """Plays epochs to one callback and carries out what it asks for, as the loop does."""

    def __init__(self, callback: Callback, *, monitor: str = "val_loss", lr: float = 1.0) -> None:
        self.callback, self.monitor, self.lr = callback, monitor, lr
        self.lrs: list[float] = []
        self.saves: list[int] = []
        self.paths: list[str] = []
        self.reason: str | None = None
        self.stopped: int | None = None
        self.restored: int | None = None
        self.epoch = 0

    def moment(self, logs: dict[str, float]) -> Moment:
        epoch = self.epoch

        def save(path: Path) -> None:
            self.saves.append(epoch)
            self.paths.append(str(path))

        return Moment(
            epoch=epoch,
            lr=self.lr,
            logs=logs,
            known=KNOWN,
            weights=lambda: {"w": torch.tensor([float(epoch)])},
            save_model=save,
        )

    def begin(self) -> Stage:
        self.callback.on_train_begin(self.moment({}))
        return self

    def play(self, values: Sequence[float | None]) -> Stage:
        for value in values:
            if self.stopped is not None:
                break
            logs = {} if value is None else {self.monitor: value}
            action: Action | None = self.callback.on_epoch_end(self.moment(logs))
            if isinstance(action, Stop):
                self.stopped, self.reason = self.epoch, action.reason
            if isinstance(action, SetLR):
                self.lr = action.lr
            self.lrs.append(self.lr)
            self.epoch += 1
        return self

    def end(self) -> Stage:
        action = self.callback.on_train_end(self.moment({}))
        if isinstance(action, LoadWeights):
            self.restored = int(action.weights["w"])
        return self

    @property
    def outcome(self) -> tuple[Any, ...]:
        return self.stopped, self.reason, self.restored, self.lrs, self.saves, self.paths


def play(callback: Callback, values: Sequence[float | None], **how: Any) -> Stage:
    return Stage(callback, **how).begin().play(values).end()


# --- EarlyStopping ------------------------------------------------------------------------

RESTORE = {"restore_best_weights": True}


@pytest.mark.parametrize(
    ("values", "settings", "stopped", "restored"),
    [
        ([1, 1, 1], {}, 1, None),
        ([1, 1, 1, 1], {"patience": 1}, 1, None),
        ([3, 2, 2, 2, 2, 2], {"patience": 3, **RESTORE}, 4, 1),
        ([10, 9, 8, 9, 8.9, 8.8], {"patience": 0}, 3, None),
        ([10, 9, 8, 9, 8.9, 8.8], {"patience": 1}, 3, None),
        ([10, 9, 8, 9, 8.9, 8.8], {"patience": 2}, 4, None),
        ([10, 9, 8, 9, 8.9, 8.8], {"patience": 3, **RESTORE}, 5, 2),
        ([2, 1.5, 1.5], {"min_delta": 0.5, "patience": 1}, 1, None),
        ([2, 1.5, 1.5], {"min_delta": -0.5, "patience": 1}, 1, None),
        ([2, 1.4, 1.5], {"min_delta": 0.5, "patience": 1}, 2, None),
        ([0.9, 0.8, 0.7, 0.71, 0.72, 0.73], {"baseline": 0.5, "patience": 5, **RESTORE}, 4, 2),
        ([3, 0.4, 0.6, 0.6, 0.6], {"baseline": 0.5, "patience": 2, **RESTORE}, 3, 1),
        ([3, 2, 1, 2], {"patience": 5, **RESTORE}, None, 2),
        ([1, 5, 6, 7, 7, 7, 7], {"start_from_epoch": 3, "patience": 2, **RESTORE}, 5, 3),
        ([1, 2], {"start_from_epoch": 9, **RESTORE}, None, None),
        ([1, NAN, NAN, NAN], {"patience": 2, **RESTORE}, 2, 0),
        ([1, None, None, 1, 1], {"patience": 2}, 4, None),
    ],
)
def test_early_stopping_follows_keras(
    values: list[float], settings: dict[str, Any], stopped: int | None, restored: int | None
) -> None:
    stage = play(EarlyStopping(**settings), values)
    assert (stage.stopped, stage.restored) == (stopped, restored)


def test_departure_a_baseline_that_is_not_beaten_stops_as_documented() -> None:
    """Keras' code would go on for as long as the score improves, its page says it stops."""
    stage = play(EarlyStopping(baseline=0.5, patience=2), [3, 2, 1, 0.9, 0.8, 0.7])
    assert stage.stopped == 1
    assert stage.reason == "val_loss has not beaten 0.5 for 2 epochs (best 2 in epoch 2)"


def test_departure_no_number_is_never_best() -> None:
    """In Keras 3 a first NaN becomes best and nothing can beat it."""
    stage = play(EarlyStopping(patience=2, restore_best_weights=True), [NAN, 1, 0.5, 0.4])
    assert (stage.stopped, stage.restored) == (None, 3)
    stage = play(ModelCheckpoint(save_best_only=True), [NAN, 2, NAN, 1])
    assert stage.saves == [1, 3]
    stage = play(ReduceLROnPlateau(patience=2), [NAN, 1, 0.5, 0.25])
    assert stage.lrs == [1, 1, 1, 1]


def test_a_score_that_never_is_a_number_still_stops() -> None:
    stage = play(EarlyStopping(patience=2), [NAN, NAN, NAN])
    assert (stage.stopped, stage.reason) == (1, "val_loss was never a number")


def test_the_reason_names_score_span_and_best_epoch() -> None:
    stage = play(EarlyStopping("val_accuracy", patience=1), [0.5, 0.25], monitor="val_accuracy")
    assert stage.reason == "val_accuracy has not improved for 1 epoch (best 0.5 in epoch 1)"
    stage = play(EarlyStopping(baseline=5, patience=2), [3, 4, 4, 4])
    assert stage.reason == "val_loss has not improved for 2 epochs (best 3 in epoch 1)"


# --- ReduceLROnPlateau ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "lrs"),
    [
        ({"patience": 2}, [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
        ({"patience": 2, "cooldown": 1}, [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
        ({"patience": 2, "cooldown": 2}, [1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]),
        ({"patience": 2, "cooldown": 3}, [1, 1, 0.1, 0.1, 0.1, 0.1, 0.01]),
        ({"patience": 0}, [1, 0.1, 0.01, 0.001]),
        ({"patience": 1}, [1, 0.1, 0.01, 0.001]),
        ({"patience": 1, "min_lr": 0.05}, [1, 0.1, 0.05, 0.05]),
        ({"patience": 1, "cooldown": 2}, [1, 0.1, 0.1, 0.01]),
        ({"patience": 1, "factor": 0.5}, [1, 0.5, 0.25, 0.125]),
    ],
)
def test_plateau_learning_rates_follow_keras(settings: dict[str, Any], lrs: list[float]) -> None:
    stage = play(ReduceLROnPlateau(**settings), [1.0] * len(lrs))
    assert stage.lrs == pytest.approx(lrs)


def test_plateau_counts_changes_larger_than_min_delta_only() -> None:
    falls = [10.0 - k for k in range(6)]
    assert play(ReduceLROnPlateau(patience=1, min_delta=100), falls).lrs[1] == pytest.approx(0.1)
    assert play(ReduceLROnPlateau(patience=1, min_delta=0.5), falls).lrs == [1.0] * 6
    assert play(ReduceLROnPlateau(patience=1), [1, 1 - 0.9e-4]).lrs[1] == pytest.approx(0.1)
    assert play(ReduceLROnPlateau(patience=1), [1, 1 - 1.1e-4]).lrs[1] == 1


def test_plateau_passes_over_a_missing_score() -> None:
    assert play(ReduceLROnPlateau(patience=1), [1, None, None, 1]).lrs == [1, 1, 1, 0.1]


@pytest.mark.parametrize("factor", [0, -0.5, 1, 2])
def test_departure_plateau_refuses_a_factor_that_does_not_cut(factor: float) -> None:
    with pytest.raises(OptionError, match=r"`factor` is .*, expected 0 < factor < 1"):
        ReduceLROnPlateau(factor=factor)


def test_departure_plateau_refuses_a_schedule_before_the_first_step() -> None:
    """Keras fails when it first cuts, perhaps hours later."""
    with pytest.raises(OptionError, match=r'schedule `cosine`. Pass .*schedule="constant"'):
        ReduceLROnPlateau("loss").on_train_begin(Moment(known=KNOWN, schedule="cosine"))


# --- ModelCheckpoint --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "settings", "saves"),
    [
        ([3, 2, 2, 4, 1], {"save_best_only": True}, [0, 1, 4]),
        ([3, 2, 2, 4, 1], {}, [0, 1, 2, 3, 4]),
        ([1, 2, 2, 3], {"save_best_only": True, "mode": "max"}, [0, 1, 3]),
        (
            [3, 2.5, 2.4, 4, 1],
            {"save_best_only": True, "initial_value_threshold": 2.5},
            [2, 4],
        ),
        ([3, 2], {"initial_value_threshold": 2.5}, [0, 1]),
        ([2, NAN, 1], {"save_best_only": True}, [0, 2]),
    ],
)
def test_model_checkpoint_saves_follow_keras(
    values: list[float], settings: dict[str, Any], saves: list[int]
) -> None:
    assert play(ModelCheckpoint(**settings), values).saves == saves


def test_departure_best_starts_afresh_with_each_run() -> None:
    """Keras' survives into the next fit, and is forgotten on a restart."""
    keeper = ModelCheckpoint(save_best_only=True)
    assert play(keeper, [3, 2]).saves == [0, 1]
    assert play(keeper, [2.5, 2.7, 1]).saves == [0, 2]


def test_departure_a_missing_score_is_not_saved_as_the_best() -> None:
    """Keras warns and saves."""
    assert play(ModelCheckpoint(save_best_only=True), [None, 2, None]).saves == [1]


def test_file_names_take_epoch_and_scores() -> None:
    keeper = ModelCheckpoint("{epoch:02d}-{val_loss:.2f}.safetensors")
    assert play(keeper, [1, 0.128]).paths == ["01-1.00.safetensors", "02-0.13.safetensors"]


def test_file_names_by_default() -> None:
    assert set(play(ModelCheckpoint(save_best_only=True), [2, 1]).paths) == {
        "checkpoints/best.safetensors"
    }
    assert play(ModelCheckpoint(), [1, 1]).paths == [
        "checkpoints/epoch-001.safetensors",
        "checkpoints/epoch-002.safetensors",
    ]


@pytest.mark.parametrize("name", ["{val_los}", "{}", "{epoch", "{val_loss:d}", "{epoch.nothing}"])
def test_a_file_name_that_cannot_be_filled_is_said_before_epoch_1(name: str) -> None:
    keeper = ModelCheckpoint(f"{name}.safetensors")
    with pytest.raises(OptionError, match=r"cannot be filled in .*`\{epoch\}`.*`\{val_loss\}`"):
        keeper.on_train_begin(Moment(known=KNOWN))


def test_a_file_name_ends_in_safetensors() -> None:
    with pytest.raises(OptionError, match=r"`best.keras`, expected it to end in .safetensors"):
        ModelCheckpoint("best.keras")


# --- what they share --------------------------------------------------------------------------

WATCHERS = [
    EarlyStopping,
    ReduceLROnPlateau,
    lambda name, **how: ModelCheckpoint(None, name, save_best_only=True, **how),
]


@pytest.mark.parametrize("make", WATCHERS)
def test_an_unknown_score_is_an_error_before_epoch_1(make: Any) -> None:
    with pytest.raises(
        OptionError,
        match=r"watches `val_acc`.*mean `val_accuracy`\?.*Measured: loss, accuracy, val_loss",
    ):
        make("val_acc").on_train_begin(Moment(known=KNOWN))


@pytest.mark.parametrize("make", WATCHERS)
def test_a_validation_score_without_validation_says_what_to_do(make: Any) -> None:
    known = {"loss": "min", "accuracy": "max"}
    with pytest.raises(OptionError, match=r"no validation pictures: pass `--validation 0.1`"):
        make("val_loss").on_train_begin(Moment(known=known))


@pytest.mark.parametrize("make", WATCHERS)
def test_an_unknown_mode_is_an_error(make: Any) -> None:
    with pytest.raises(OptionError, match=r"`mode` is 'biggest', expected `auto`, `min` or `max`"):
        make("loss", mode="biggest")


@pytest.mark.parametrize(
    ("name", "mode", "better"),
    [
        ("val_loss", "auto", "min"),
        ("loss", "auto", "min"),
        ("accuracy", "auto", "max"),
        ("val_accuracy", "auto", "max"),
        ("val_loss", "max", "max"),
        ("val_accuracy", "min", "min"),
    ],
)
def test_the_task_says_which_way_is_better(name: str, mode: Any, better: str) -> None:
    rises = [1.0, 2.0, 3.0, 4.0]
    stage = play(EarlyStopping(name, patience=2, mode=mode), rises, monitor=name)
    assert stage.stopped == (None if better == "max" else 2)
    keeper = ModelCheckpoint(monitor=name, save_best_only=True, mode=mode)
    assert play(keeper, rises, monitor=name).saves == ([0, 1, 2, 3] if better == "max" else [0])
    cutter = ReduceLROnPlateau(name, patience=3, mode=mode)
    assert play(cutter, rises, monitor=name).lr == (1 if better == "max" else 0.1)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [(EarlyStopping, {"patience": -1}), (ReduceLROnPlateau, {"cooldown": -1})],
)
def test_negative_spans_are_refused(make: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=r"-1.*expected at least 0"):
        make(**wrong)


MAKERS = [
    lambda: EarlyStopping(patience=2, restore_best_weights=True, baseline=1.5),
    lambda: EarlyStopping(patience=3, min_delta=0.5, start_from_epoch=1),
    lambda: ReduceLROnPlateau(patience=2, cooldown=3),
    lambda: ReduceLROnPlateau(patience=2, min_lr=0.005, cooldown=2, mode="max"),
    lambda: ModelCheckpoint("{epoch}.safetensors", save_best_only=True),
    lambda: ModelCheckpoint(save_best_only=True, initial_value_threshold=1.0),
]
SCORES = st.lists(
    st.none() | st.just(NAN) | st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0]), max_size=9
)


@given(make=st.sampled_from(MAKERS), values=SCORES)
def test_used_twice_gives_the_same_log_twice(make: Any, values: list[float | None]) -> None:
    callback = make()
    play(callback, [2.0, 0.0, 3.0, 3.0, 3.0])
    assert play(callback, values).outcome == play(make(), values).outcome


def resume(make: Any, values: Sequence[float | None], split: int, *, keep: Any = dict) -> Stage:
    """Play some epochs, hand the state over to a new object as a checkpoint does, play on."""
    before = Stage(make()).begin().play(values[:split])
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(pack(keep(before.callback.state_dict()), tensors, "state"))
    after = Stage(make()).begin()
    after.callback.load_state_dict(unpack(json.loads(text), tensors))
    for name in ("lr", "epoch", "stopped", "reason", "lrs", "saves", "paths"):
        setattr(after, name, getattr(before, name))
    return after.play(values[split:]).end()


PLAYS: list[list[float | None]] = [
    [1.0] * 10,
    [3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    [1.0, 2.0, None, 2.0, 0.25, 3.0, NAN, 3.0, 3.0, 3.0],
    [1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 5.0],
    [NAN, NAN, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0],
]


@pytest.mark.parametrize("make", MAKERS)
def test_state_carries_on_from_any_epoch(make: Any) -> None:
    for values in PLAYS:
        whole = play(make(), values).outcome
        for split in range(len(values) + 1):
            assert resume(make, values, split).outcome == whole, (values, split)


@pytest.mark.parametrize("make", MAKERS)
def test_each_part_of_the_state_is_needed(make: Any) -> None:
    """A test of the test above: whatever is left out of the state, some play notices."""
    fresh = make().state_dict()
    for name in set(fresh) - {"stopped_epoch"}:
        if name.startswith("best_") and not make().restore_best_weights:
            continue

        def forget(state: Any, name: str = name) -> dict[str, Any]:
            return {**state, name: fresh[name]}

        assert any(
            resume(make, values, split, keep=forget).outcome != play(make(), values).outcome
            for values in PLAYS
            for split in range(len(values) + 1)
        ), name
