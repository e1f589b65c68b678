"""Hooks: which are called, when, with what, and what becomes of what they return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import nunbit
from nunbit.errors import OptionError, TrainingError
from nunbit.training.callbacks import Callback, LoadWeights, Moment, SetLR, Stop
from nunbit.training.callbacks.base import HOOKS
from nunbit.training.schedules import make_schedule


class Recorder(Callback):
    """Notes every hook with epoch, step and the names of its scores."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int, tuple[str, ...]]] = []
        self.moments: list[Moment] = []
        self.torn_down = 0

    def note(self, hook: str, moment: Moment) -> None:
        self.calls.append((hook, moment.epoch, moment.step, tuple(moment.logs)))
        self.moments.append(moment)

    def on_train_begin(self, moment: Moment) -> None:
        self.note("on_train_begin", moment)

    def on_epoch_begin(self, moment: Moment) -> None:
        self.note("on_epoch_begin", moment)

    def on_train_batch_begin(self, moment: Moment) -> None:
        self.note("on_train_batch_begin", moment)

    def on_train_batch_end(self, moment: Moment) -> None:
        self.note("on_train_batch_end", moment)

    def on_validation_begin(self, moment: Moment) -> None:
        self.note("on_validation_begin", moment)

    def on_validation_end(self, moment: Moment) -> None:
        self.note("on_validation_end", moment)

    def on_epoch_end(self, moment: Moment) -> None:
        self.note("on_epoch_end", moment)

    def on_train_end(self, moment: Moment) -> None:
        self.note("on_train_end", moment)

    def teardown(self) -> None:
        self.torn_down += 1


class Acts(Callback):
    """Returns actions from a table by (hook, epoch, step)."""

    def __init__(self, table: Mapping[tuple[str, int, int], Any]) -> None:
        self.table = table


def answer(hook: str) -> Callable[[Acts, Moment], Any]:
    return lambda self, moment: self.table.get((hook, moment.epoch, moment.step))


for hook in HOOKS:
    setattr(Acts, hook, answer(hook))


def weights_of(model: nunbit.Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_the_recorder_notes_every_hook() -> None:
    """A test of the recorder: a new hook must be added to it."""
    assert {name for name in vars(Recorder) if name.startswith("on_")} == set(HOOKS)


def expected_calls(*, validation: bool) -> list[tuple[str, int, int, tuple[str, ...]]]:
    mine, theirs = ("loss", "accuracy"), ("val_loss", "val_accuracy")
    calls: list[tuple[str, int, int, tuple[str, ...]]] = [("on_train_begin", 0, 0, ())]
    for epoch in range(2):
        calls.append(("on_epoch_begin", epoch, 0, ()))
        for step in range(2):
            calls.append(("on_train_batch_begin", epoch, step, ()))
            calls.append(("on_train_batch_end", epoch, step + 1, ("loss",)))
        if validation:
            calls.append(("on_validation_begin", epoch, 2, mine))
            calls.append(("on_validation_end", epoch, 2, (*mine, *theirs)))
        calls.append(("on_epoch_end", epoch, 2, (*mine, *theirs) if validation else mine))
    entry = (
        "epoch",
        *(mine + theirs if validation else mine),
        "lr",
        "seconds",
        "images_per_second",
    )
    return [*calls, ("on_train_end", 2, 0, entry)]


@pytest.mark.parametrize("validation", [True, False])
def test_every_hook_is_called_in_order_and_number(
    run: Any, tiny: nunbit.Pictures, unvalidated: nunbit.Pictures, validation: bool
) -> None:
    recorder = Recorder()
    pictures = tiny if validation else unvalidated
    run(pictures, epochs=2, batch_size=len(pictures.train) // 2, callbacks=[recorder])
    assert recorder.calls == expected_calls(validation=validation)
    assert recorder.torn_down == 1


def test_moments_tell_the_truth(run: Any, tiny: nunbit.Pictures) -> None:
    recorder = Recorder()
    history = run(tiny, epochs=2, schedule="cosine", lr=0.01, callbacks=[recorder])
    ends = [
        m for m, c in zip(recorder.moments, recorder.calls, strict=True) if c[0] == "on_epoch_end"
    ]
    assert [m.logs["val_loss"] for m in ends] == history["val_loss"]
    assert [m.lr for m in ends] == history["lr"]
    assert ends[0].lr > ends[1].lr > 0
    for moment in recorder.moments:
        assert (moment.epochs, moment.steps_per_epoch, moment.schedule) == (2, 3, "cosine")
        assert moment.folder == history.run
        assert dict(moment.known) == {
            "loss": "min",
            "accuracy": "max",
            "val_loss": "min",
            "val_accuracy": "max",
        }


def test_a_moment_is_read_only(run: Any, tiny: nunbit.Pictures) -> None:
    class Meddles(Callback):
        def on_epoch_end(self, moment: Moment) -> None:
            with pytest.raises(TypeError, match="does not support item assignment"):
                moment.logs["val_loss"] = 0.0  # type: ignore[index]
            with pytest.raises(TypeError, match="does not support item assignment"):
                moment.known["magic"] = "max"  # type: ignore[index]
            with pytest.raises(FrozenInstanceError):
                moment.lr = 1.0  # type: ignore[misc]
            for value in moment.weights().values():
                value.zero_()  # a copy: the network keeps its own

    model = nunbit.create_model_for(tiny, network="mlp")
    run(tiny, model=model, epochs=1, callbacks=[Meddles()])
    assert all(bool(value.any()) for value in weights_of(model).values())


def test_a_moment_of_no_training_saves_nothing() -> None:
    with pytest.raises(OptionError, match="belongs to no training"):
        Moment().save_model(Path("model.safetensors"))


def test_a_misspelt_hook_raises_when_the_class_is_made() -> None:
    with pytest.raises(
        TypeError,
        match=r"Mine.on_epoch_ends is no hook .*Did you mean `on_epoch_end`\?.*Hooks: on_",
    ):

        class Mine(Callback):
            def on_epoch_ends(self, moment: Moment) -> None: ...


def test_a_stop_ends_after_the_epoch_and_its_reason_is_kept(
    run: Any, tiny: nunbit.Pictures
) -> None:
    recorder = Recorder()
    acts = Acts(
        {
            ("on_train_batch_end", 1, 1): Stop("the coffee is ready"),
            ("on_epoch_end", 1, 3): Stop("a later reason"),
        }
    )
    history = run(tiny, epochs=5, callbacks=[acts, recorder])
    assert history.stop_reason == "the coffee is ready"
    assert len(history.epochs) == 2
    assert recorder.calls[-1][:2] == ("on_train_end", 2)
    assert [c for c in recorder.calls if c[0] == "on_train_batch_end"][-1][2] == 3


def test_a_stop_at_the_beginning_trains_nothing(run: Any, tiny: nunbit.Pictures) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    before = weights_of(model)
    acts = Acts({("on_train_begin", 0, 0): Stop("no time")})
    history = run(tiny, model=model, epochs=5, callbacks=[acts])
    assert (history.epochs, history.stop_reason) == ([], "no time")
    assert same(weights_of(model), before)


def test_set_lr_holds_from_the_next_step_on(run: Any, tiny: nunbit.Pictures) -> None:
    recorder = Recorder()
    acts = Acts({("on_train_batch_end", 0, 2): SetLR(0.005), ("on_epoch_end", 1, 3): SetLR(0.0005)})
    history = run(tiny, epochs=3, lr=0.01, schedule="constant", callbacks=[acts, recorder])
    begun = [
        m.lr
        for m, c in zip(recorder.moments, recorder.calls, strict=True)
        if c[0] == "on_train_batch_begin"
    ]
    assert begun == [0.01, 0.01, 0.005, 0.005, 0.005, 0.005, 0.0005, 0.0005, 0.0005]
    assert history["lr"] == [0.005, 0.005, 0.0005]


def test_set_lr_changes_what_is_learnt(run: Any, tiny: nunbit.Pictures, tmp_path: Path) -> None:
    models = []
    for k, lr in enumerate((0.001, 1e-12)):
        models.append(nunbit.create_model_for(tiny, network="mlp"))
        acts = Acts({("on_train_begin", 0, 0): SetLR(lr)})
        run(
            tiny,
            model=models[-1],
            epochs=1,
            schedule="constant",
            callbacks=[acts],
            out=tmp_path / str(k),
        )
    fresh = weights_of(nunbit.create_model_for(tiny, network="mlp"))
    change = [
        (weights_of(model)["head.weight"] - fresh["head.weight"]).abs().max() for model in models
    ]
    assert change[0] > 1e-4
    assert change[1] < 1e-9


def test_set_lr_is_refused_where_a_schedule_moves_it(run: Any, tiny: nunbit.Pictures) -> None:
    acts = Acts({("on_epoch_end", 0, 3): SetLR(0.1)})
    with pytest.raises(OptionError, match=r"Acts.on_epoch_end returned SetLR.*schedule `constant`"):
        run(tiny, epochs=2, schedule="cosine", callbacks=[acts])


def test_a_plateau_callback_with_a_schedule_is_refused_before_the_first_step(
    run: Any, tiny: nunbit.Pictures
) -> None:
    recorder = Recorder()
    with pytest.raises(OptionError, match=r"cannot go with schedule `one-cycle`"):
        run(tiny, epochs=2, callbacks=[recorder, nunbit.ReduceLROnPlateau()])
    assert [call[0] for call in recorder.calls] == ["on_train_begin"]


def test_load_weights_puts_them_into_the_network(run: Any, tiny: nunbit.Pictures) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    zeros = {name: torch.zeros_like(value) for name, value in weights_of(model).items()}
    acts = Acts({("on_train_end", 1, 0): LoadWeights(zeros)})
    history = run(tiny, model=model, epochs=1, callbacks=[acts])
    assert same(weights_of(model), zeros)
    assert same(weights_of(nunbit.Model.load(history.run)), zeros)


def test_what_is_no_action_is_an_error(run: Any, tiny: nunbit.Pictures) -> None:
    acts = Acts({("on_epoch_end", 0, 3): True})
    with pytest.raises(OptionError, match=r"Acts.on_epoch_end returned True, expected None, Stop"):
        run(tiny, epochs=1, callbacks=[acts])


@pytest.mark.parametrize("strange", [nunbit.EarlyStopping, "EarlyStopping", print])
def test_what_is_no_callback_is_an_error(
    run: Any, tiny: nunbit.Pictures, strange: Any, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=r"callbacks hold .*EarlyStopping\(\)"):
        run(tiny, epochs=1, callbacks=[strange])
    assert not (tmp_path / "run").exists()


class Breaks(Callback):
    """Fails in one hook."""

    def __init__(self, hook: str) -> None:
        self.hook = hook

    def on_train_begin(self, moment: Moment) -> None:
        self.fail("on_train_begin")

    def on_train_batch_end(self, moment: Moment) -> None:
        self.fail("on_train_batch_end")

    def on_train_end(self, moment: Moment) -> None:
        self.fail("on_train_end")

    def teardown(self) -> None:
        self.fail("teardown")

    def fail(self, hook: str) -> None:
        if hook == self.hook:
            raise ZeroDivisionError(hook)


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_train_batch_end", "on_train_end", "teardown"]
)
def test_teardown_runs_after_an_error_of_another_callback(
    run: Any, tiny: nunbit.Pictures, hook: str
) -> None:
    before, after = Recorder(), Recorder()
    with pytest.raises(ZeroDivisionError, match=hook):
        run(tiny, epochs=1, callbacks=[before, Breaks(hook), after])
    assert (before.torn_down, after.torn_down) == (1, 1)


def test_teardown_runs_after_a_loss_that_is_not_finite(run: Any, tiny: nunbit.Pictures) -> None:
    recorder = Recorder()
    with pytest.raises(TrainingError):
        run(tiny, epochs=3, lr=1e30, schedule="constant", callbacks=[recorder])
    assert recorder.torn_down == 1
    assert "on_train_end" not in [call[0] for call in recorder.calls]


def test_an_error_before_the_first_step_leaves_no_folder(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(OptionError, match="watches `val_los`"):
        run(tiny, epochs=1, out=out, patience=2, monitor="val_los")
    assert not out.exists()
    assert len(run(tiny, epochs=1, out=out, patience=2).epochs) == 1


@pytest.mark.parametrize("ends", ["patience", "last epoch", "another callback"])
def test_the_best_weights_come_back_whatever_ended_the_run(
    run: Any, tiny: nunbit.Pictures, ends: str
) -> None:
    class Keeps(Callback):
        """Keeps the weights of each epoch."""

        def on_train_begin(self, moment: Moment) -> None:
            self.weights: list[Any] = []

        def on_epoch_end(self, moment: Moment) -> Stop | None:
            self.weights.append(moment.weights())
            if ends == "another callback" and moment.epoch == 2:
                return Stop("enough")
            return None

    keeps = Keeps()
    # Upside down: the best epoch is the one with the largest loss, which is the first.
    best = nunbit.EarlyStopping(
        patience=2 if ends == "patience" else 99, mode="max", restore_best_weights=True
    )
    model = nunbit.create_model_for(tiny, network="mlp")
    history = run(tiny, model=model, epochs=4, callbacks=[best, keeps])
    losses = history["val_loss"]
    assert losses[0] == max(losses)
    assert len(losses) == {"patience": 3, "last epoch": 4, "another callback": 3}[ends]
    assert not same(keeps.weights[0], keeps.weights[-1])
    assert same(weights_of(model), keeps.weights[0])
    assert same(weights_of(nunbit.Model.load(history.run)), keeps.weights[0])


def test_callbacks_of_the_options_do_what_the_callbacks_do(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    asked = run(
        tiny, epochs=4, lr=0.01, schedule="constant", monitor="val_accuracy",
        patience=2, plateau_patience=1, save_best_only=True, out=tmp_path / "asked",
    )  # fmt: skip
    given = run(
        tiny, epochs=4, lr=0.01, schedule="constant", out=tmp_path / "given",
        callbacks=[
            nunbit.ModelCheckpoint(monitor="val_accuracy", save_best_only=True),
            nunbit.ReduceLROnPlateau("val_accuracy", patience=1),
            nunbit.EarlyStopping("val_accuracy", patience=2, restore_best_weights=True),
        ],
    )  # fmt: skip
    assert asked["val_loss"] == given["val_loss"]
    assert asked["lr"] == given["lr"]
    assert asked.stop_reason == given.stop_reason
    for name in ("model.safetensors", "checkpoints/best.safetensors"):
        one, two = (nunbit.Model.load(h.run / name) for h in (asked, given))
        assert same(weights_of(one), weights_of(two))


def test_callbacks_used_for_two_runs_give_the_same_run_twice(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    callbacks = [
        nunbit.ModelCheckpoint("{epoch}.safetensors", save_best_only=True),
        nunbit.ReduceLROnPlateau("val_accuracy", patience=1),
        nunbit.EarlyStopping("val_accuracy", patience=2, restore_best_weights=True),
    ]
    found = []
    for name in ("first", "second"):
        history = run(
            tiny, epochs=6, lr=0.01, schedule="constant", callbacks=callbacks, out=tmp_path / name
        )
        saved = sorted(path.name for path in history.run.glob("*.safetensors"))
        found.append((history["val_loss"], history["lr"], history.stop_reason, saved))
    assert found[0] == found[1]


def test_model_checkpoint_writes_a_model_that_predicts(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    keeper = nunbit.ModelCheckpoint("epochs/{epoch}.safetensors")
    away = nunbit.ModelCheckpoint(tmp_path / "elsewhere.safetensors")
    history = run(tiny, epochs=2, callbacks=[keeper, away])
    first, last = (nunbit.Model.load(history.run / f"epochs/{k}.safetensors") for k in (1, 2))
    assert nunbit.evaluate(first, tiny.validation)["loss"] == pytest.approx(
        history["val_loss"][0], rel=1e-5
    )
    assert same(weights_of(last), weights_of(nunbit.Model.load(history.run)))
    assert same(weights_of(last), weights_of(nunbit.Model.load(tmp_path / "elsewhere.safetensors")))
    assert first.facts["trained_on"] == {"source": tiny.source, "images": len(tiny.train)}


def test_a_plateau_during_warm_up_cuts_once(run: Any, tiny: Any) -> None:
    """The schedule multiplies the peak again, so the peak is what has to be cut."""
    history = run(
        tiny,
        epochs=6,
        lr=1e-3,
        schedule="constant",
        warmup_epochs=3.0,
        callbacks=[nunbit.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9)],
    )
    steps = -(-len(tiny.train) // 24)
    warm_up = make_schedule(history.options, steps_per_epoch=steps)
    cuts = [rate / warm_up((k + 1) * steps - 1) for k, rate in enumerate(history["lr"])]
    assert cuts == pytest.approx([1e-3 * cut for cut in (1, 1, 0.5, 0.25, 0.125, 0.0625)])
