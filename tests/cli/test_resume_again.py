"""`nunbit train --resume` with what a command said before: repeated, edited, moved."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import nunbit
from nunbit.cli.main import run
from nunbit.errors import StorageError
from nunbit.evaluation.finish import finish
from nunbit.runs import RunFolder
from nunbit.training.history import History

TRAIN = ["train", "digits", "--network", "mlp", "--epochs", "1"]
MOVES = "rotation_range = 8\nwidth_shift_range = 0.05\n"


@pytest.fixture(autouse=True)
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def record(folder: str | Path = "run") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "options.json").read_text())
    return found


def said(words: list[str], capsys: pytest.CaptureFixture[str], *, status: int = 2) -> str:
    capsys.readouterr()
    assert run(words) == status
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--compile", "auto", "--precision", "auto"],
        ["--image-size", "8", "--channels", "grey"],
        ["--channels", "auto", "--augment", "auto"],
        ["--augment", "none"],
        ["--batch-size", "32"],
    ],
    ids=str,
)
def test_the_words_of_the_beginning_can_be_typed_again(words: list[str]) -> None:
    assert run([*TRAIN, *words, "--out", "run"]) == 0
    assert run(["train", "digits", *words, "--resume", "run", "--epochs", "2"]) == 0
    assert record()["continued"][0]["changed"].keys() == {"epochs"}
    assert run(["train", *words, "--resume", "run", "--epochs", "3"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image-size", "12"], "image_size was 8, got 12"),
        (["--channels", "rgb"], "channels was 'grey', got 'rgb'"),
    ],
)
def test_another_size_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*TRAIN, "--out", "run"]) == 0
    assert message in said(["train", "--resume", "run", "--epochs", "2", *words], capsys)


def test_a_file_of_augmentation_that_was_edited_is_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("moves.toml").write_text(MOVES)
    assert run([*TRAIN, "--augment", "moves.toml", "--out", "run"]) == 0
    words = ["train", "--resume", "run", "--augment", "moves.toml", "--epochs"]
    assert run([*words, "2"]) == 0
    Path("elsewhere").mkdir()
    shutil.copy("moves.toml", "elsewhere/other.toml")  # the same under another name
    assert (
        run(["train", "--resume", "run", "--augment", "elsewhere/other.toml", "--epochs", "3"]) == 0
    )
    Path("moves.toml").write_text(MOVES.replace("8", "15"))
    assert "augment was {'rotation_range': 8.0}, got {'rotation_range': 15.0}" in said(
        [*words, "4"], capsys
    )
    assert record()["augment"]["rotation_range"] == 8
    assert run([*words, "4", "--override"]) == 0
    assert record()["augment"]["rotation_range"] == 15
    assert "augment" in record()["continued"][-1]["changed"]
    assert run(["train", "--resume", "run", "--epochs", "5"]) == 0  # not typed: as the run has it


def test_the_teacher_may_move_and_is_kept_by_its_whole_path(
    within: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*TRAIN, "--out", "old"]) == 0
    assert run([*TRAIN, "--teacher", "old", "--out", "run"]) == 0
    assert record()["training"]["teacher"] == str(within / "old")
    (within / "elsewhere").mkdir()
    monkeypatch.chdir(within / "elsewhere")
    assert run(["train", "--resume", "../run", "--epochs", "2"]) == 0
    (within / "old").rename(within / "new")
    message = said(["train", "--resume", "../run", "--epochs", "3"], capsys)
    assert str(within / "old") in message
    assert "pass `--teacher RUN` if it moved" in message.replace("Pass", "pass")
    assert run(["train", "--resume", "../run", "--epochs", "3", "--teacher", "../new"]) == 0
    assert record("../run")["training"]["teacher"] == str(within / "new")
    monkeypatch.chdir(within)
    assert run([*TRAIN, "--seed", "5", "--out", "third"]) == 0
    words = ["train", "--resume", "run", "--epochs", "4", "--teacher", "third"]
    assert "teacher was" in said(words, capsys)
    assert run([*words, "--override"]) == 0


def test_commands_in_messages_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    out = "my runs/nan 1"
    words = [*TRAIN, "--optimizer", "sgd", "--schedule", "constant", "--out", out]
    message = said([*words, "--lr", "1e30"], capsys)
    found = re.search(r"goes on `nunbit ([^`]*)`", message)
    assert found is not None
    assert run(shlex.split(found[1])) == 0
    assert "by `nunbit train --resume 'my runs/nan 1'`" in said(words, capsys)
    message = said(["train", "--resume", out], capsys)
    found = re.search(r"`nunbit (train --resume [^`]* --epochs 2)`", message)
    assert found is not None
    assert run(shlex.split(found[1])) == 0


def test_a_rate_that_is_tried_is_never_above_what_suits_the_network(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A tenth of 1e18 is no advice, and after ten more trials none either."""
    words = [*TRAIN, "--optimizer", "sgd", "--schedule", "constant", "--lr", "1e18"]
    found = re.search(r"Try `--lr (\S+)`", said([*words, "--out", "run"], capsys))
    assert found is not None
    assert 1e-5 < float(found[1]) < 0.1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_last_evaluation_says_how_to_go_on(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def press(*arguments: object, **others: object) -> None:
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 5)
        raise AssertionError("nothing came")

    with monkeypatch.context() as patch:
        patch.setattr("nunbit.evaluation.finish.evaluate", press)
        message = said([*TRAIN, "--out", "my run"], capsys, status=130)
    assert "go on with `nunbit train --resume 'my run'`" in message
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert run(["train", "--resume", "my run"]) == 0
    assert Path("my run/report.html").is_file()


def test_a_newer_model_of_another_process_is_not_written_over() -> None:
    pictures = nunbit.load("digits")
    options = nunbit.TrainOptions(epochs=1, schedule="constant")
    first = nunbit.create_model_for(pictures, network="mlp")
    history = nunbit.fit(first, pictures, options=options, out="run", progress=False)
    # Another process goes on, and ends, before this one writes.
    second = nunbit.create_model_for(pictures, network="mlp")
    newer = nunbit.fit(second, pictures, epochs=2, resume="run", progress=False)
    before = Path("run/model.safetensors").read_bytes()
    with pytest.raises(StorageError, match=r"another process has gone on with `run`.*evaluate run"):
        finish(first, pictures, history)
    assert Path("run/model.safetensors").read_bytes() == before
    assert not Path("run/report.html").exists()
    finish(second, pictures, newer)
    assert Path("run/report.html").is_file()
    assert History.of_run(RunFolder(Path("run"))).continued == newer.continued == 1


def test_the_record_is_read_where_no_other_process_can_write_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pictures = nunbit.load("digits")
    options = nunbit.TrainOptions(epochs=1, schedule="constant")
    model = nunbit.create_model_for(pictures, network="mlp")
    nunbit.fit(model, pictures, options=options, out="run", progress=False)
    read = RunFolder.read_options

    def watched(self: RunFolder) -> dict[str, Any]:
        with pytest.raises(StorageError, match="is in use"), self.sole_use():
            pass
        return read(self)

    monkeypatch.setattr(RunFolder, "read_options", watched)
    nunbit.fit(model, pictures, epochs=2, resume="run", progress=False)


def test_the_recipe_is_kept_and_named_again(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "digits", "--recipe", "fast", "--network", "mlp", "--epochs", "1"]
    assert re.search(r"Recipe +fast\n", said([*words, "--out", "run"], capsys, status=0))
    assert record()["recipe"] == "fast"
    assert run(["train", "--resume", "run", "--epochs", "2"]) == 0
    assert record()["recipe"] == "fast"
    assert nunbit.Model.load("run").facts["recipe"] == "fast"
    assert "Recipe" not in said([*TRAIN, "--out", "plain"], capsys, status=0)
    assert record("plain")["recipe"] is None
