"""Progress: one plain line an epoch everywhere, a bar besides on a terminal."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

import nunbit
from nunbit.training.callbacks import Moment
from nunbit.training.progress import ProgressPrinter, epoch_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_has_scores_in_percent_and_losses_in_numbers() -> None:
    logs = {"loss": 0.25, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.0625}
    line = epoch_line(Moment(epoch=4, epochs=12, lr=0.00123, logs=logs))
    assert line == (
        "epoch  5/12  loss 0.2500  accuracy 50.00 %  val_loss 1.0000  val_accuracy  6.25 %  "
        "lr 0.00123"
    )


def test_elsewhere_it_is_one_line_an_epoch(run: Any, tiny: nunbit.Pictures) -> None:
    stream = io.StringIO()
    history = run(tiny, epochs=2, callbacks=[ProgressPrinter(stream)])
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    for line, loss in zip(lines, history["val_loss"], strict=True):
        assert f"val_loss {loss:.4f}" in line
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_bar_that_goes_away(run: Any, tiny: nunbit.Pictures) -> None:
    stream = Terminal()
    printer = ProgressPrinter(stream)
    run(tiny, epochs=2, callbacks=[printer])
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "epoch 1/2  loss" in plain
    assert "epoch 2/2  loss" in plain
    assert stream.getvalue().endswith("\x1b[2K")  # the bar's line is wiped
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1


def test_the_cursor_comes_back_after_an_error(run: Any, tiny: nunbit.Pictures) -> None:
    stream = Terminal()
    with pytest.raises(nunbit.TrainingError):
        run(tiny, epochs=2, lr=1e30, schedule="constant", callbacks=[ProgressPrinter(stream)])
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1


def test_progress_goes_to_standard_error(
    tiny: nunbit.Pictures, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    nunbit.fit(model, tiny, epochs=1, out=tmp_path / "run")
    said = capsys.readouterr()
    assert said.out == ""
    header, epoch = said.err.splitlines()
    assert header.startswith(f"{tmp_path / 'run'}: 1 epochs of ")
    assert "adamw" in header
    assert "threads" in header
    assert epoch.startswith("epoch 1/1  loss ")
