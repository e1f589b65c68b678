"""What a run folder is good for afterwards: evaluate, finish, repeat; nothing is mixed up."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

import nunbit
from nunbit.cli.main import run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of small grey pictures that a network can hardly tell apart."""
    rng = np.random.default_rng(1)
    for name in ("left", "right"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(15):
            picture = rng.integers(0, 256, (16, 16), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / name / f"{k:02d}.png"), picture)
    return tmp_path / "photos"


def evaluated(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert run(["evaluate", *words, "--json"]) == 0
    data: dict[str, object] = json.loads(capsys.readouterr().out)
    return data


def test_evaluate_scores_the_pictures_that_were_kept_apart_not_a_new_draw(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """New files in the folder would shift a new draw: training pictures would be scored."""
    out = tmp_path / "run"
    words = ["train", str(photos), "--epochs", "12", "--network", "mlp", "--validation", "0.3"]
    assert run([*words, "--out", str(out)]) == 0
    before = evaluated([str(out)], capsys)
    for k in range(5):
        os.link(photos / "left" / "00.png", photos / "left" / f"aa{k}.png")
    after = evaluated([str(out)], capsys)
    assert after == before
    (photos / "left" / "zz.png").write_bytes(b"")
    with open(out / "split.csv", newline="") as file:
        kept = [row["path"] for row in csv.DictReader(file) if row["split"] == "validation"]
    (photos / kept[0]).unlink()
    assert run(["evaluate", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"1 validation pictures are gone: {kept[0]}" in said


def test_evaluate_on_the_training_folder_says_so(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", str(photos), "--epochs", "1", "--network", "mlp", "--out", str(out)]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(out), str(photos)]) == 0
    said = capsys.readouterr().out
    assert "27 of these pictures were trained on" in said
    assert "top5" not in said  # of two classes it says nothing


def test_a_run_stopped_before_its_report_is_finished_by_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*arguments: object, **others: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "run"
    words = ["train", "digits", "--network", "mlp", "--epochs", "2", "--out", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr("nunbit.evaluation.finish.evaluate", press)
        assert run(words) == 130
    assert not (out / "report.html").exists()
    weights = nunbit.Model.load(out).network.state_dict()
    capsys.readouterr()
    assert run(["train", "--resume", str(out), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["epochs"] == 2
    assert data["test_accuracy"] == evaluated([str(out)], capsys)["accuracy"]
    assert (out / "report.html").is_file()
    again = nunbit.Model.load(out).network.state_dict()
    assert all(bool((weights[name] == again[name]).all()) for name in weights)
    assert run(["train", "--resume", str(out)]) == 2


def test_the_command_in_the_report_repeats_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed in another folder, it gives the same weights, bit for bit."""
    monkeypatch.chdir(tmp_path)
    first = tmp_path / "first"
    words = ["train", "photos", "--network", "cnn-cats-dogs", "--epochs", "2", "--head", "sigmoid"]
    words += ["--image-size", "20", "--augment", "light", "--lr", "0.002", "--seed", "3"]
    assert run([*words, "--accumulate", "2", "--validation", "0.2", "--out", str(first)]) == 0
    page = (first / "report.html").read_text(encoding="utf-8")
    found = re.search(r"nunbit train [^<]*", page)
    assert found is not None
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    import html

    command = shlex.split(html.unescape(found[0]))
    assert run([*command[1:], "--out", "again"]) == 0
    one, two = (nunbit.Model.load(p).network.state_dict() for p in (first, Path("again")))
    assert all(bool((one[name] == two[name]).all()) for name in one)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--augment", "lite"], "Did you mean `light`"),
        (["--device", "tpu"], "expected auto, cpu"),
        (["--network", "vgg-99"], "unknown network"),
        (["--out", "full"], "is not empty"),
    ],
)
def test_what_is_wrong_without_pictures_is_said_before_they_are_read(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*arguments: object, **others: object) -> None:
        raise AssertionError("pictures were read")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    monkeypatch.setattr("nunbit.data.pictures.read_pictures", refuse)
    assert run(["train", "digits", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_plan_is_printed_before_the_first_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", "digits", "--network", "mlp", "--epochs", "1", "--out", str(out)]) == 0
    lines = capsys.readouterr().err.splitlines()
    facts = {line[:8].strip(): line[10:] for line in lines}
    assert facts["Training"] == "1 epoch, each 41 steps of 32 pictures (auto: a fortieth of them)"
    assert facts["Steps"].startswith("adamw, one-cycle, learning rate ")
    assert "compute" in facts["Threads"]
    assert lines[-1].startswith("epoch 1/1")


def test_help_shows_a_default_of_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert re.search(r"--seed INT Start of all randomness\. \(>= 0\) \[default: 0\]", text)
    assert re.search(r"--json Print one JSON [^\[]*--debug", text)  # no [default: False]


def test_predict_wants_the_folder_of_its_table_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "none" / "x.csv"
    assert run(["predict", "no-run", "*.png", "--csv", str(table)]) == 2
    assert "is not there. Make it first" in capsys.readouterr().err
    assert not table.parent.exists()


def test_a_pipe_among_the_pictures_does_not_hang(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(photos / "left" / "pipe.png")
    out = tmp_path / "run"
    assert run(["train", str(photos), "--epochs", "1", "--network", "mlp", "--out", str(out)]) == 0
    assert "left/pipe.png (not a regular file)" in capsys.readouterr().out
