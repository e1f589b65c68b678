"""``kill -9`` again and again, also in the middle of writing, each time resumed: the same bits.

A process that has PyTorch loaded forks one child after another. Each goes on with the run,
tells through a pipe what it is doing, and is killed a random number of steps and writes
later. Its disk is slow, so that many die between the bytes and the name of a checkpoint.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nunbit

DRIVER = """
import json
import os
import random
import signal
import sys
import time
import traceback

import cv2
import torch

import nunbit
import nunbit.errors
from nunbit import storage
from nunbit.training.callbacks import Callback

torch.set_num_threads(1)
cv2.setNumThreads(1)


def train(pictures, epochs, where, run):
    options = nunbit.TrainOptions(
        epochs=epochs, batch_size=10, schedule="constant", plateau_patience=3, patience=99,
        save_best_only=True, ema=0.9, optimizer="adamw", checkpoint_minutes=1e-9,
    )
    nunbit.fit(
        nunbit.create_model_for(pictures, network="cnn-mnist"), pictures, options=options,
        augment=nunbit.Augment(rotation_range=20), callbacks=[Tells()], progress=False,
        **{where: run},
    )


tell = lambda what: None

EARLY = 6


class Tells(Callback):
    def on_train_batch_end(self, moment):
        tell(b"step")

    def on_validation_begin(self, moment):
        tell(b"vali")


def child(pipe, *how):
    global tell
    tell = lambda what: os.write(pipe, what)
    sync, replace = os.fsync, os.replace

    def slow_sync(handle):
        tell(b"sync")
        time.sleep(0.003)
        sync(handle)

    def slow_replace(old, new):
        tell(b"name")
        time.sleep(0.003)
        replace(old, new)
        tell(b"done")

    storage.os.fsync, storage.os.replace = slow_sync, slow_replace
    train(*how)


def main(source, run, epochs, most, seed):
    rng = random.Random(int(seed))
    pictures = nunbit.load(source, validation=0.2)
    kills = []
    while True:
        mine, its = os.pipe()
        number = os.fork()
        if number == 0:
            os.close(mine)
            where = "resume" if os.path.exists(run + "/options.json") else "out"
            status = 1
            try:
                child(its, pictures, int(epochs), where, run)
                status = 0
            except nunbit.errors.CheckpointError as error:
                status = 0 if "is finished" in str(error) else 1  # killed after its last write
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(its)
        last = b""
        # The first ones die before there is a checkpoint, some before there is anything.
        for _ in range(rng.randint(1, int(most)) if len(kills) >= EARLY else rng.randint(0, 9)):
            said = os.read(mine, 4)
            if not said:
                break
            last = said
        time.sleep(rng.uniform(0, 0.004))
        os.kill(number, signal.SIGKILL)
        os.close(mine)
        status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        if status == -9:
            kills.append(last.decode())
        elif status == 0:
            break
        else:
            sys.exit("a child failed")
    print(json.dumps(kills))


if __name__ == "__main__":
    main(*sys.argv[1:])
"""

Contents = Callable[[Path], dict[str, Any]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(
    ("epochs", "most", "least", "seed"),
    [
        (5, 24, 20, 1),
        *(pytest.param(2, 24, 7, seed, marks=pytest.mark.slow) for seed in (2, 3, 4)),
        pytest.param(30, 40, 40, 5, marks=pytest.mark.slow),
    ],
)
def test_killed_again_and_again_it_ends_with_the_same_bits(
    grey: nunbit.Pictures,
    contents: Contents,
    tmp_path: Path,
    epochs: int,
    most: int,
    least: int,
    seed: int,
) -> None:
    script, run = tmp_path / "driver.py", tmp_path / "run"
    script.write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, str(script), grey.origin, str(run), str(epochs), str(most), str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    kills = json.loads(done.stdout)
    assert len(kills) >= least, kills
    assert {"sync", "name"} & set(kills[6:]), "none died in the middle of a write"

    names: dict[str, Any] = {"__name__": "driver"}
    exec(DRIVER, names)  # noqa: S102  # our own script
    names["train"](grey, epochs, "out", tmp_path / "whole")
    found, whole = contents(run), contents(tmp_path / "whole")
    assert found == whole
    assert json.loads((run / "options.json").read_text())["continued"]
