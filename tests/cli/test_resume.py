"""`nunbit train --resume`: prolonged, overridden, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nunbit.cli.main import run
from nunbit.runs import RunFolder

BASE = ["train", "digits", "--network", "mlp", "--schedule", "constant", "--lr", "0.001"]


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    out = tmp_path / "run"
    assert run([*BASE, "--epochs", "1", "--out", str(out)]) == 0
    return out


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "options.json").read_text())
    return found


def epochs(folder: Path) -> int:
    return len((folder / "history.jsonl").read_text().splitlines())


def test_more_epochs_prolong_a_finished_run(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["train", "--resume", str(finished)]) == 2
    assert f"nunbit train --resume {finished} --epochs 2" in capsys.readouterr().err
    assert run(["train", "--resume", str(finished), "--epochs", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    assert epochs(finished) == 2
    assert record(finished)["training"]["epochs"] == 2
    assert record(finished)["continued"][0]["changed"] == {"epochs": [1, 2]}
    assert "--epochs 2" in (finished / "report.html").read_text("utf-8")


def test_a_prolonged_run_stopped_before_its_report_gets_it(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report of before is there, and is not taken for the new one."""

    def press(*arguments: object, **others: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nunbit.evaluation.finish.evaluate", press)
        assert run(["train", "--resume", str(finished), "--epochs", "2"]) == 130
    assert epochs(finished) == 2
    assert "--epochs 2" not in (finished / "report.html").read_text("utf-8")
    assert run(["train", "--resume", str(finished)]) == 0
    assert "--epochs 2" in (finished / "report.html").read_text("utf-8")
    assert run(["train", "--resume", str(finished)]) == 2


def test_changed_options_need_override(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--resume", str(finished), "--epochs", "2", "--lr", "0.01", "--augment",
             "light", "--batch-size", "64"]  # fmt: skip
    capsys.readouterr()
    assert run(words) == 2
    said = capsys.readouterr().err
    for part in ("lr was 0.001, got 0.01", "augment was 'none', got 'light'", "batch_size was"):
        assert part in said
    assert "epochs was" not in said
    assert "`--override` goes on with those that a run can change" in said
    assert epochs(finished) == 1
    assert run([*words, "--override"]) == 0
    kept = record(finished)
    assert (kept["training"]["lr"], kept["training"]["batch_size"]) == (0.01, 64)
    assert (kept["training"]["augment"], kept["augment"]["name"]) == ("light", "light")
    assert {"lr", "augment", "batch_size", "epochs"} == set(kept["continued"][0]["changed"])
    assert epochs(finished) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--network", "cnn-mnist"], "network was 'mlp', got 'cnn-mnist'"),
        (["--network", "auto"], "network was 'mlp', got 'auto'"),
        (["--validation", "0.3"], "validation was 0.1, got 0.3"),
        (["--head", "sigmoid"], "head was 'softmax', got 'sigmoid'"),
    ],
)
def test_pictures_and_network_never_change(
    finished: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    capsys.readouterr()
    assert run(["train", "--resume", str(finished), "--override", "--epochs", "2", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "start a new run" in said
    assert "--override" not in said


def test_override_needs_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "digits", "--override"]) == 2
    assert "name it with `--resume RUN`" in capsys.readouterr().err


def test_another_source_is_refused_whatever_is_overridden(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["train", "shapes", "--resume", str(finished), "--override"]) == 2
    assert "SOURCE was 'digits', got 'shapes'" in capsys.readouterr().err


def test_a_run_that_another_process_has_is_left_alone(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    with RunFolder(finished).sole_use():
        assert run(["train", "--resume", str(finished), "--epochs", "2"]) == 2
    assert f"the run folder `{finished}` is in use by process" in capsys.readouterr().err
    assert epochs(finished) == 1


def test_the_loss_that_broke_goes_on_by_the_command_that_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re
    import shlex

    out = tmp_path / "run"
    words = ["train", "digits", "--network", "mlp", "--optimizer", "sgd", "--lr", "1e30"]
    words += ["--schedule", "constant", "--epochs", "1", "--out", str(out)]
    assert run(words) == 2
    found = re.search(r"goes on `nunbit (train --resume .*? --override --lr) [\d.e-]+`",
                      capsys.readouterr().err)  # fmt: skip
    assert found is not None
    assert run([*shlex.split(found[1]), "0.01"]) == 0
    assert epochs(out) == 1
