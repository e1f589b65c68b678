"""``kill -9`` at moments nobody chose, then resume: as if nothing had happened."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nunbit

EPOCHS = 15

TRAIN = """
import sys
import torch
import nunbit

torch.set_num_threads(1)


class Speaks(nunbit.Callback):
    def on_epoch_begin(self, moment):
        print("epoch", flush=True)


def train(source, where, run):
    pictures = nunbit.load(source, validation=0.2)
    options = nunbit.TrainOptions(
        epochs=$EPOCHS, batch_size=10, schedule="constant", plateau_patience=3, patience=99,
        save_best_only=True,
    )
    nunbit.fit(
        nunbit.create_model_for(pictures, network="cnn-mnist"), pictures, options=options,
        augment=nunbit.Augment(rotation_range=20), callbacks=[Speaks()], progress=False,
        **{where: run},
    )


if __name__ == "__main__":
    train(*sys.argv[1:])
""".replace("$EPOCHS", str(EPOCHS))

Contents = Callable[[Path], dict[str, Any]]


def start_and_kill(script: Path, *arguments: str, epochs: int) -> None:
    """Start a training, wait until some epochs are over, and kill it a little later."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    with process:
        said = [process.stdout.readline() for _ in range(1 + epochs)]
        time.sleep(random.uniform(0, 0.1))  # noqa: S311  # moments may be any
        process.kill()
    assert said == ["epoch\n"] * (1 + epochs)
    assert process.returncode == -9


def test_killed_twice_and_resumed_equals_undisturbed(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.py"
    script.write_text(TRAIN)
    run = tmp_path / "run"
    start_and_kill(script, grey.origin, "out", str(run), epochs=random.randint(0, 4))  # noqa: S311  # moments may be any
    start_and_kill(script, grey.origin, "resume", str(run), epochs=random.randint(1, 4))  # noqa: S311  # moments may be any
    assert (run / "checkpoints/last.safetensors").exists()
    assert not (run / "model.safetensors").exists()
    assert (run / "history.jsonl").read_text().count("\n") < EPOCHS

    names: dict[str, Any] = {"__name__": "train"}
    exec(TRAIN, names)  # noqa: S102  # our own script
    names["train"](grey.origin, "resume", run)
    names["train"](grey.origin, "out", tmp_path / "whole")
    found, undisturbed = contents(run), contents(tmp_path / "whole")
    assert found == undisturbed
