"""A run that is prolonged equals one that was that long at once, where its schedule allows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nunbit
from nunbit.errors import CheckpointError
from nunbit.training.callbacks import Callback, Moment, Stop

Contents = Callable[[Path], dict[str, Any]]

LONG, SHORT = 4, 2


@pytest.fixture
def contents(contents: Contents) -> Contents:
    """Leave out the header: it tells which options were given, and which chosen."""

    def read(run: Path) -> dict[str, Any]:
        found = contents(run)
        found["options.json"][0].pop("header")
        return found

    return read


def fit(pictures: nunbit.Pictures, *, network: str = "mlp", **how: Any) -> nunbit.History:
    options = how.pop("options", None)
    if options is not None:
        how["options"] = nunbit.TrainOptions(**{"batch_size": 20, "lr": 0.01, **options})
    model = nunbit.create_model_for(pictures, network=network, seed=3)
    return nunbit.fit(model, pictures, progress=False, **how)


SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"warmup_epochs": 0.5},
    "step": {"warmup_epochs": 0.5, "step_factor": 0.5, "optimizer": "sgd"},
    "restarts": {"restart_factor": 1, "ema": 0.9},  # a cosine ends where the run ended
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_two_epochs_and_two_more_are_four_at_once(
    grey: nunbit.Pictures,
    contents: Contents,
    tmp_path: Path,
    schedule: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = {"schedule": schedule, **SCHEDULES[schedule]}
    # What is left open depends on the length: here it is said.
    options |= {"step_epochs": 1, "restart_epochs": 1}

    def callbacks() -> list[Callback]:
        return [
            nunbit.EarlyStopping(patience=9, mode="max", restore_best_weights=True),
            nunbit.ModelCheckpoint(monitor="val_loss", save_best_only=True),
        ]

    fit(grey, out=tmp_path / "whole", options={**options, "epochs": LONG}, callbacks=callbacks())
    run = tmp_path / "run"
    first = fit(grey, out=run, options={**options, "epochs": SHORT}, callbacks=callbacks())
    assert len(first.epochs) == SHORT
    history = fit(grey, resume=run, epochs=LONG, callbacks=callbacks())
    assert len(history.epochs) == LONG
    assert "from here on" not in capsys.readouterr().err
    assert contents(run) == contents(tmp_path / "whole")


def test_one_that_was_interrupted_is_prolonged_likewise(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path
) -> None:
    class Presses(Callback):
        def on_train_batch_end(self, moment: Moment) -> None:
            if presses and (moment.epoch, moment.step) == (1, 2):
                raise KeyboardInterrupt

    options = {"schedule": "constant", "step_epochs": 1, "restart_epochs": 1}
    presses: list[bool] = []
    fit(
        grey, out=tmp_path / "whole", options={**options, "epochs": LONG}, callbacks=[Presses()]
    )  # fmt: skip
    presses.append(True)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(grey, out=run, options={**options, "epochs": SHORT}, callbacks=[Presses()])
    presses.clear()
    fit(grey, resume=run, epochs=LONG, callbacks=[Presses()])
    assert contents(run) == contents(tmp_path / "whole")


@pytest.mark.parametrize("by_option", [True, False])
def test_a_larger_patience_goes_on_after_an_early_stop(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path, by_option: bool
) -> None:
    """With the best weights and the count of the first stop, as if patience had been larger."""

    def how(patience: int) -> dict[str, Any]:
        options: dict[str, Any] = {"epochs": 9, "schedule": "constant", "lr": 0.5}
        if by_option:
            return {"options": {**options, "patience": patience, "monitor": "val_loss"}}
        return {"options": options, "callbacks": [nunbit.EarlyStopping(patience=patience)]}

    whole = fit(grey, out=tmp_path / "whole", **how(3))
    run = tmp_path / "run"
    first = fit(grey, out=run, **how(1))
    assert first.stop_reason is not None
    assert len(first.epochs) < len(whole.epochs)
    advice = "--patience 3`" if by_option else "a larger patience"
    with pytest.raises(CheckpointError, match=f"is finished: val_loss has not improved.*{advice}"):
        fit(grey, resume=run, **how(1))
    again = fit(grey, resume=run, **how(3))
    assert len(again.epochs) == len(whole.epochs)
    assert contents(run) == contents(tmp_path / "whole")


def test_a_stop_of_another_kind_is_overridden_only_on_request(
    grey: nunbit.Pictures, tmp_path: Path
) -> None:
    class Stops(Callback):
        def on_epoch_end(self, moment: Moment) -> Stop | None:
            return Stop("enough") if moment.epoch == 0 else None

    options = {"epochs": 3, "schedule": "constant"}
    run = tmp_path / "run"
    assert fit(grey, out=run, options=options, callbacks=[Stops()]).stop_reason == "enough"
    with pytest.raises(CheckpointError, match=r"is finished: enough. .* or `--override`"):
        fit(grey, resume=run, epochs=5, callbacks=[Stops()])
    history = fit(grey, resume=run, callbacks=[Stops()], override=True)
    assert (len(history.epochs), history.stop_reason) == (3, None)


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "linear"])
def test_a_schedule_of_the_length_is_then_that_of_the_new_length(
    grey: nunbit.Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str], schedule: str
) -> None:
    """It is said, and the learning rates of the new epochs are those of a long run."""
    options = {"schedule": schedule, "warmup_epochs": 1.0}
    whole = fit(grey, out=tmp_path / "whole", options={**options, "epochs": LONG})
    run = tmp_path / "run"
    first = fit(grey, out=run, options={**options, "epochs": SHORT})
    capsys.readouterr()
    history = fit(grey, resume=run, epochs=LONG)
    said = capsys.readouterr().err
    assert f"note: schedule {schedule} is from here on that of 4 epochs: the learning rate" in said
    assert history["lr"] == first["lr"] + whole["lr"][SHORT:]


def test_the_same_folder_is_prolonged_by_whoever_has_it(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path
) -> None:
    """Copied elsewhere, without a thing beside it."""
    options = {"schedule": "constant", "epochs": SHORT}
    fit(grey, out=tmp_path / "run", options=options)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    for name in ("run", "copy"):
        fit(grey, resume=tmp_path / name, epochs=LONG)
    assert contents(tmp_path / "run") == contents(tmp_path / "copy")


@pytest.mark.parametrize(("short", "long", "share"), [(2, 4, 0.75), (3, 7, 0.5)])
def test_pictures_grow_for_as_many_epochs_as_before(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path, short: int, long: int, share: float
) -> None:
    """They do not shrink again; as one that grew for so long in a longer run at once."""
    options = {"schedule": "constant", "first_size": 4, "restart_epochs": 1, "step_epochs": 1}
    grown = share * short / long
    fit(
        grey, network="auto", out=tmp_path / "whole",
        options={**options, "epochs": long, "growing_frac": grown},
    )  # fmt: skip
    run = tmp_path / "run"
    fit(grey, network="auto", out=run, options={**options, "epochs": short, "growing_frac": share})
    fit(grey, network="auto", resume=run, epochs=long)
    assert contents(run) == contents(tmp_path / "whole")
    fit(grey, network="auto", resume=run, epochs=long + 1)  # and once more
