"""``fit``: what it refuses, what it writes, what it gives back."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nunbit
from nunbit.errors import CheckpointError, OptionError, StorageError
from nunbit.storage import read_header
from nunbit.training import loop as loop_module
from nunbit.training.callbacks import Callback, Moment


def files(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- model and pictures -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            {"image_size": 10, "channels": 1},
            r"takes 10×10 pictures with 1 channels, got 8×8 with 1. Pass `create_model\(...,"
            r" image_size=8, channels=1\)`",
        ),
        ({"image_size": 8, "channels": 3}, r"takes 8×8 pictures with 3 channels, got 8×8 with 1"),
        (
            {"image_size": 8, "channels": 1, "classes": 4},
            r"has 4 classes, the pictures 3. Pass `create_model\(..., classes=pictures.classes\)`",
        ),
    ],
)
def test_model_and_pictures_must_fit(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, made: dict[str, Any], message: str
) -> None:
    model = nunbit.create_model("mlp", **{"classes": 3, **made})
    with pytest.raises(OptionError, match=message):
        run(tiny, model=model, epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_fresh_model_takes_over_preprocessing_and_names(run: Any, tiny: nunbit.Pictures) -> None:
    model = nunbit.create_model("mlp", classes=3, image_size=8, channels=1)
    history = run(tiny, model=model, epochs=1)
    assert model.preprocessing == tiny.preprocessing
    assert model.classes == ("a", "b", "c")
    assert nunbit.Model.load(history.run).preprocessing == tiny.preprocessing


def test_a_trained_model_keeps_its_own_preprocessing(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    model.preprocessing = nunbit.data.preprocessing.Preprocessing(8, 1, mean=(0.1,), std=(0.9,))
    model.facts["trained_on"] = {"source": "elsewhere", "images": 1}
    model.facts["scores"] = {"test": {"accuracy": 1.0}}
    history = run(tiny, model=model, epochs=1)
    kept = nunbit.Model.load(history.run)
    assert kept.preprocessing.mean == (0.1,)
    assert kept.facts == {"trained_on": {"source": tiny.source, "images": 72}}
    record = json.loads((history.run / "options.json").read_text())
    assert record["preprocessing"]["mean"] == [0.1]


def test_a_trained_model_is_not_trained_for_other_classes(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    model = nunbit.create_model("mlp", classes=["x", "y", "z"], image_size=8, channels=1)
    model.facts["trained_on"] = {"source": "elsewhere", "images": 1}
    with pytest.raises(OptionError, match=r"was trained for x, y, z; the pictures show a, b, c"):
        run(tiny, model=model, epochs=1)


def test_a_trained_model_is_not_trained_on_pictures_made_square_otherwise(
    run: Any, tiny: nunbit.Pictures
) -> None:
    """Its file would promise another preprocessing than the network has seen."""
    model = nunbit.create_model_for(tiny, network="mlp")
    model.preprocessing = nunbit.data.preprocessing.Preprocessing(8, 1, fit="crop")
    model.facts["trained_on"] = {"source": "elsewhere", "images": 1}
    with pytest.raises(OptionError, match=r'square by `crop`, these are by `squash`.*fit="crop"'):
        run(tiny, model=model, epochs=1)


def test_training_goes_on_from_the_weights_there_are(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    first = run(tiny, model=model, epochs=3, lr=0.01, out=tmp_path / "1")
    second = run(tiny, model=nunbit.Model.load(first.run), epochs=1, lr=1e-9, out=tmp_path / "2")
    assert second["val_loss"][0] == pytest.approx(first["val_loss"][-1], rel=1e-3)


# --- the run folder -----------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_refused_and_left_alone(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    before = files(out)
    with pytest.raises(StorageError, match=r"is not empty, and a run never writes over another"):
        run(tiny, out=out, epochs=1)
    assert files(out) == before


def test_a_finished_run_is_not_written_over(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    history = run(tiny, epochs=1)
    before = files(history.run)
    with pytest.raises(StorageError, match=f"--resume {history.run}"):
        run(tiny, out=history.run, epochs=1)
    assert files(history.run) == before


def test_options_are_written_before_the_first_batch_and_resolved(
    tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    class Reads(Callback):
        def on_train_batch_begin(self, moment: Moment) -> None:
            if moment.epoch == moment.step == 0:
                assert moment.folder is not None
                seen.update(json.loads((moment.folder / "options.json").read_text()))
                assert (moment.folder / "split.csv").is_file()

    seen: dict[str, Any] = {}
    model = nunbit.create_model_for(tiny, network="mlp")
    history = nunbit.fit(
        model, tiny, epochs=2, augment="light", callbacks=[Reads()],
        out=tmp_path / "run", progress=False,
    )  # fmt: skip
    chosen = seen["training"]
    assert {name for name, value in chosen.items() if value is None} == {
        "patience", "plateau_patience", "clip_norm", "ema", "first_size", "teacher",
        "bias_lr", "head_lr",  # None = off
    }  # fmt: skip
    assert (chosen["epochs"], chosen["batch_size"], chosen["seed"]) == (2, 16, 0)
    assert chosen["lr"] == pytest.approx(0.002 * 0.25)
    assert chosen["precision"] in ("float32", "bfloat16")
    assert chosen["precision"] in seen["plan"]
    assert nunbit.TrainOptions.from_dict(chosen) == history.options
    assert seen["device"] == "cpu"
    assert seen["augment"]["name"] == "light"
    assert seen["augment"]["rotation_range"] == 8
    assert seen["preprocessing"] == model.preprocessing.to_dict()
    assert seen["pictures"] == tiny.options.to_dict()
    assert seen["source"] == tiny.source
    assert seen["origin"] == tiny.origin
    assert seen["network"] == "mlp"
    assert seen["task"]["classes"] == ["a", "b", "c"]
    assert seen["versions"]["torch"] == torch.__version__
    assert seen["versions"]["nunbit"] == nunbit.__version__
    assert "finished" not in seen
    after = json.loads((history.run / "options.json").read_text())
    assert {k: v for k, v in after.items() if k not in ("finished", "stop_reason")} == seen
    assert after["stop_reason"] is None


def test_the_split_says_where_each_picture_went(run: Any, tiny: nunbit.Pictures) -> None:
    history = run(tiny, epochs=1)
    with open(history.run / "split.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tiny.validation is not None
    for part in (tiny.train, tiny.validation):
        mine = {(r["path"], r["label"]) for r in rows if r["split"] == part.split}
        assert mine == {
            (name, tiny.classes[label]) for name, label in zip(part.names, part.labels, strict=True)
        }
    assert len(rows) == len(tiny.table)


def test_history_has_one_line_of_json_an_epoch(run: Any, tiny: nunbit.Pictures) -> None:
    class Reads(Callback):
        def on_epoch_end(self, moment: Moment) -> None:
            assert moment.folder is not None
            lines.append((moment.folder / "history.jsonl").read_text().splitlines())

    lines: list[list[str]] = []
    history = run(tiny, epochs=3, callbacks=[Reads()])
    assert [len(found) for found in lines] == [1, 2, 3]
    entries = [json.loads(line) for line in lines[-1]]
    assert entries == history.epochs
    assert [entry["epoch"] for entry in entries] == [1, 2, 3]
    assert set(entries[0]) == {
        "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds",
        "images_per_second",
    }  # fmt: skip


def test_the_history_answers_by_name(run: Any, tiny: nunbit.Pictures) -> None:
    history = run(tiny, epochs=2)
    assert history["accuracy"] == [entry["accuracy"] for entry in history.epochs]
    assert all(0 <= value <= 1 for value in history["accuracy"])
    with pytest.raises(
        KeyError, match=r"no score 'val_acc' in the history; there are: epoch, loss"
    ):
        history["val_acc"]
    empty = nunbit.History([], 0, 0, None, Path(), nunbit.TrainOptions())
    with pytest.raises(KeyError, match="there are: none"):
        empty["loss"]


def test_training_scores_are_means_over_all_pictures(run: Any, tiny: nunbit.Pictures) -> None:
    """With a learning rate of nearly 0 the network stands still while it is scored."""
    history = run(tiny, epochs=1, lr=1e-12, batch_size=17, precision="float32")
    model = nunbit.create_model_for(tiny, network="mlp")
    scored = nunbit.evaluate(model, tiny.train)
    assert history["loss"] == pytest.approx([scored["loss"]], rel=1e-5)
    assert history["accuracy"] == [scored["accuracy"]]
    assert tiny.validation is not None
    assert history["val_accuracy"] == [nunbit.evaluate(model, tiny.validation)["accuracy"]]


def test_seconds_are_those_of_training_alone(
    run: Any, tiny: nunbit.Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that moves on by one second whenever it is read, and by 100 in validation."""
    now = [0.0]

    def read() -> float:
        now[0] += 1
        return now[0]

    class Dawdles(Callback):
        def on_validation_begin(self, moment: Moment) -> None:
            now[0] += 100

    monkeypatch.setattr(loop_module.time, "perf_counter", read)
    history = run(tiny, epochs=3, callbacks=[Dawdles()])
    assert history["seconds"] == [1, 1, 1]
    assert history["images_per_second"] == [72, 72, 72]
    assert (history.seconds, history.images_per_second) == (3, 72)


def test_folders_are_numbered(
    tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        model = nunbit.create_model_for(tiny, network="mlp")
        history = nunbit.fit(model, tiny, epochs=1, progress=False)
        assert history.run == Path("runs") / f"{tiny.source}-mlp-{number}"


# --- resuming what cannot be resumed ------------------------------------------------------------


@pytest.fixture
def left(run: Any, tiny: nunbit.Pictures, tmp_path: Path) -> Path:
    """Return a run that crashed in its second epoch, with an early stop."""

    class Crash(nunbit.EarlyStopping):
        def on_epoch_begin(self, moment: Moment) -> None:
            if moment.epoch == 1:
                raise ZeroDivisionError

    Crash.__name__ = "EarlyStopping"
    with pytest.raises(ZeroDivisionError):
        run(tiny, out=tmp_path / "left", epochs=3, callbacks=[Crash(patience=9)])
    return tmp_path / "left"


@pytest.fixture
def again(run: Any, tiny: nunbit.Pictures, left: Path) -> Any:
    """Resume it; by default as it should be."""

    def resume(pictures: nunbit.Pictures = tiny, **given: Any) -> nunbit.History:
        usual = {"epochs": 3, "callbacks": [nunbit.EarlyStopping(patience=9)], "resume": left}
        found: nunbit.History = run(pictures, **{**usual, **given})
        return found

    return resume


def test_a_crashed_run_goes_on(again: Any) -> None:
    """A test of the tests below: nothing else is in the way."""
    assert len(again().epochs) == 3


def test_a_finished_run_is_not_resumed(again: Any, left: Path) -> None:
    again()
    before = files(left)
    message = r"is finished: all its epochs are done. To train for longer .* --epochs 6`"
    with pytest.raises(CheckpointError, match=message):
        again()
    assert files(left) == before


def test_a_run_that_stopped_early_is_finished(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    early = nunbit.EarlyStopping(patience=1, mode="max")
    history = run(tiny, epochs=9, callbacks=[early])
    assert history.stop_reason is not None
    with pytest.raises(CheckpointError, match="is finished: val_loss has not improved for 1 epoch"):
        run(tiny, epochs=9, callbacks=[early], resume=history.run)


def test_other_pictures_are_refused(again: Any, tiny: nunbit.Pictures) -> None:
    other = nunbit.load(tiny.origin, validation=0.2, seed=1)
    with pytest.raises(CheckpointError, match="with other pictures, labels or splits"):
        again(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.5}, r"other options: lr was 0.001, got 0.5. A run goes on"),
        ({"epochs": 2}, r"epochs was 3, got 2"),
        ({"batch_size": 12, "seed": 4}, r"batch_size was 24, got 12; seed was 0, got 4"),
        ({"augment": "light"}, r"augment was \{.*got \{"),
    ],
)
def test_other_options_are_refused(again: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        again(**change)


def test_another_network_is_refused(again: Any, tiny: nunbit.Pictures) -> None:
    other = nunbit.create_model_for(tiny, network="cnn-mnist")
    with pytest.raises(CheckpointError, match=r"network was 'mlp', got 'cnn-mnist'"):
        again(model=other, lr=0.001)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([], r"with the callbacks EarlyStopping, got none. Pass the same"),
        ([nunbit.ModelCheckpoint()], r"EarlyStopping, got ModelCheckpoint. Pass the same"),
    ],
)
def test_other_callbacks_are_refused(again: Any, callbacks: list[Callback], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        again(callbacks=callbacks)


def test_a_refused_resume_leaves_the_model_alone(again: Any, tiny: nunbit.Pictures) -> None:
    model = nunbit.create_model_for(tiny, network="mlp", seed=77)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    with pytest.raises(CheckpointError):
        again(model=model, callbacks=[])
    after = model.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def without_older(run: Path) -> None:
    """Remove the checkpoint before the last one, which would do as well."""
    for path in (run / "checkpoints").glob("epoch-*"):
        path.unlink()


def test_a_truncated_checkpoint_is_refused(again: Any, left: Path) -> None:
    without_older(left)
    path = left / "checkpoints/last.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cannot be continued: .*is truncated"):
        again()


def test_a_missing_checkpoint_is_refused(again: Any, left: Path) -> None:
    without_older(left)
    (left / "checkpoints/last.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"last.safetensors` is missing.*Start a new run"):
        again()


def test_a_model_file_is_no_checkpoint(again: Any, left: Path, tiny: nunbit.Pictures) -> None:
    without_older(left)
    nunbit.create_model_for(tiny, network="mlp").save(left / "checkpoints/last.safetensors")
    with pytest.raises(CheckpointError, match=r"is a model file, expected a checkpoint file"):
        again()


@pytest.mark.parametrize("name", ["nowhere", ""])
def test_what_is_no_run_folder_is_refused(again: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"is no run folder \(it has no `options.json`\)"):
        again(resume=tmp_path / name)


def test_damaged_options_are_refused(again: Any, left: Path) -> None:
    (left / "options.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"options.json` cannot be read"):
        again()


def test_resume_and_out_do_not_go_together(
    tiny: nunbit.Pictures, left: Path, tmp_path: Path
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    with pytest.raises(OptionError, match="pass `resume` without `out`"):
        nunbit.fit(model, tiny, out=tmp_path / "other", resume=left, progress=False)


def test_progress_is_no_part_of_the_state(
    tiny: nunbit.Pictures, left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Started in silence, resumed with progress."""
    nunbit.fit(
        nunbit.create_model_for(tiny, network="mlp"), tiny, resume=left,
        options=nunbit.TrainOptions(epochs=3, batch_size=24, lr=0.001),
        callbacks=[nunbit.EarlyStopping(patience=9)], progress=True,
    )  # fmt: skip
    said = capsys.readouterr().err.splitlines()
    assert f"Run       {left}" in said
    epochs = [line for line in said if line.startswith("epoch ")]
    assert [line[:9] for line in epochs] == ["epoch 2/3", "epoch 3/3"]


def test_a_checkpoint_holds_no_pickle(left: Path) -> None:
    path = left / "checkpoints/last.safetensors"
    header = read_header(path, kind="checkpoint")
    assert header["state"]["progress"]["epoch"] == 1
    names = json.loads(path.read_bytes()[8:][: int.from_bytes(path.read_bytes()[:8], "little")])
    assert {kind["dtype"] for name, kind in names.items() if name != "__metadata__"} == {"F32"}
    assert np.isfinite(header["state"]["progress"]["history"][0]["loss"])
