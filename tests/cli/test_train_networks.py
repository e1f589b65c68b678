"""`nunbit train` with networks by other names, in parts, and from files of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import nunbit
from nunbit.cli.main import run
from nunbit.training import loop


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that trains until the end of the first epoch, then Ctrl-C."""
    end_epoch = loop._end_epoch

    def stop(job: Any, progress: Any, interrupt: Any) -> None:
        end_epoch(job, progress, interrupt)
        if progress.epoch == 1:
            raise KeyboardInterrupt

    def train(*words: str) -> Path:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "_end_epoch", stop)
            assert run([*words, "--epochs", "2", "--out", str(tmp_path / "run")]) == 130
        return tmp_path / "run"

    return train


def test_the_same_words_go_on_though_they_were_another_name(stopped: Any) -> None:
    words = ["train", "digits", "--network", "conv-1d", "--network-option", "width=4"]
    folder = stopped(*words)
    assert run([*words, "--epochs", "2", "--resume", str(folder)]) == 0


def test_the_same_words_go_on_from_a_file_of_weights(
    stopped: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = nunbit.create_model("mlp", classes=10, image_size=8, channels=1, seed=9)
    torch.save(made.network.state_dict(), tmp_path / "own.pth")
    words = ["train", "digits", "--network", "mlp", "--weights", str(tmp_path / "own.pth")]
    folder = stopped(*words)
    capsys.readouterr()
    assert run([*words[:-1], "other.pth", "--resume", str(folder)]) == 2
    assert "weights was 'own.pth', got 'other.pth'" in capsys.readouterr().err
    assert run([*words, "--epochs", "2", "--resume", str(folder)]) == 0
    weights = nunbit.Model.load(folder).facts["weights"]
    assert weights["file"] == "own.pth"
    page = (folder / "report.html").read_text("utf-8")
    assert f"weights own.pth (SHA-256 {weights['sha256'][:8]}…)" in page


def test_a_network_of_one_part_is_refused_before_pictures_are_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nunbit.data.pictures.read_pictures", lambda *_, **__: pytest.fail("read"))
    words = ["train", "digits", "--network", "mlp", "--split-model", "2", "--device", "cpu"]
    assert run(words) == 2
    assert "network `mlp` is one part and cannot be split over 2" in capsys.readouterr().err
