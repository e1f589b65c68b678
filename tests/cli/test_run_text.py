"""What ``train`` says at its end: the curves, the table, what can be done next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nunbit.cli.main import run
from nunbit.tasks.scores import wilson_interval


@pytest.fixture(autouse=True)
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def train(*words: str) -> int:
    return run(["train", "digits", "--network", "mlp", "--batch-size", "256", *words])


def test_the_end_has_best_and_final_scores_and_what_comes_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train("--epochs", "4", "--out", "a run") == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    lines = [json.loads(each) for each in Path("a run/history.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda entry: entry["val_accuracy"])
    low, high = wilson_interval(round(best["val_accuracy"] * 143), 143)
    assert (
        f"{best['epoch']} of 4, validation accuracy {100 * best['val_accuracy']:.2f} % "
        f"(95 %: {100 * low:.2f}–{100 * high:.2f})"
    ) in text
    assert "Validation accuracy  " in text
    assert "nunbit evaluate 'a run'\n" in text
    assert "nunbit predict 'a run' PICTURE ...\n" in text
    curves = text.splitlines()[1:9]
    titles = " ".join(curves[0].split())
    assert titles == "validation accuracy by epoch validation loss by epoch"
    assert curves[-1].split() == ["1", "4", "1", "4"]
    assert all(len(line) <= 80 for line in curves)


def test_few_epochs_make_no_curve(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--epochs", "2", "--out", "run") == 0
    assert "by epoch" not in capsys.readouterr().out


def test_json_makes_no_curve_and_stays_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--epochs", "3", "--out", "run", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["epochs"] == 3
    assert "by epoch" not in said.err
    assert "nunbit predict run" in said.err


def test_without_validation_the_curve_is_of_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train("--epochs", "3", "--validation", "0", "--out", "run") == 0
    text = capsys.readouterr().out
    assert "training accuracy by epoch" in text
    assert "Best epoch" not in text
