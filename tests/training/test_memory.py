"""Out of memory: an error that says what fits, found by trying, and how to go on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nunbit
from nunbit.errors import TrainingError
from nunbit.training.checkpoints import Checkpoints
from nunbit.training.memory import is_out_of_memory


class Hungry(nn.Module):
    """A network that takes at most so many pictures at a time in training."""

    def __init__(self, network: nn.Module, most: int, error: Exception) -> None:
        super().__init__()
        self.network, self.most, self.error = network, most, error
        self.seen: list[int] = []
        self.eval_error: Exception | None = None

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.seen.append(len(images))
            if len(images) > self.most:
                raise self.error
        elif self.eval_error is not None:
            raise self.eval_error
        found: Tensor = self.network(images)
        return found


def hungry(pictures: nunbit.Pictures, most: int, error: Exception | None = None) -> nunbit.Model:
    model = nunbit.create_model_for(pictures, network="mlp")
    error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore.")
    model.network = Hungry(model.network, most, error)
    return model


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:75] . DefaultCPUAllocator: not enough memory: "),
    RuntimeError("could not create a memory object"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: f"{type(e).__name__} {str(e)[-20:]}")
def test_the_largest_part_that_fits_is_said(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, error: Exception
) -> None:
    """Batches of 24: 12 do not fit, 6 do, so four parts."""
    model = hungry(tiny, 7, error)
    message = (
        rf"out of memory at step 1 of epoch 1, with 24 pictures at a time \(.*\). 6 at a time fit, "
        rf"as a trial showed. `nunbit train --resume {tmp_path / 'run'} --override --accumulate 4` "
        r"goes on: each batch is computed in 4 parts .* `--batch-size 6`"
    )
    with pytest.raises(TrainingError, match=message):
        run(tiny, model=model, epochs=2)
    assert model.network.seen == [24, 12, 6]


def test_the_command_it_names_goes_on(run: Any, tiny: nunbit.Pictures, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--accumulate 4"):
        run(tiny, model=hungry(tiny, 7), epochs=2)
    history = nunbit.fit(
        hungry(tiny, 7), tiny, resume=tmp_path / "run", override=True, progress=False,
        options=nunbit.TrainOptions(epochs=2, batch_size=24, lr=0.001, accumulate=4),
    )  # fmt: skip
    whole = run(tiny, model=hungry(tiny, 99), epochs=2, out=tmp_path / "whole")
    assert history["loss"] == pytest.approx(whole["loss"], rel=1e-4)


def test_parts_that_do_not_fit_become_smaller(run: Any, tiny: nunbit.Pictures) -> None:
    """24 in two parts are 12; 6 do not fit either, 3 do."""
    message = r"with 12 pictures at a time .* 3 at a time fit.*--accumulate 8"
    with pytest.raises(TrainingError, match=message):
        run(tiny, model=hungry(tiny, 5), accumulate=2)


def test_where_nothing_fits_it_says_so(run: Any, tiny: nunbit.Pictures) -> None:
    message = r"Not even one picture fits. Take smaller pictures \(`--image-size`\) or a smaller"
    with pytest.raises(TrainingError, match=message):
        run(tiny, model=hungry(tiny, 0))


def test_the_last_sound_weights_are_kept(run: Any, tiny: nunbit.Pictures, tmp_path: Path) -> None:
    """Memory runs out in the second epoch: the first one's network is in the model file."""

    class Tightens(nunbit.Callback):
        def on_epoch_end(self, moment: Any) -> None:
            model.network.most = 3
            kept.update({k: v.clone() for k, v in model.network.state_dict().items()})

    model, kept = hungry(tiny, 99), dict[str, Tensor]()
    with pytest.raises(TrainingError, match="out of memory at step 1 of epoch 2"):
        run(tiny, model=model, epochs=3, callbacks=[Tightens()])
    tensors = nunbit.storage.load_tensors(tmp_path / "run/model.safetensors", kind="model")[0]
    assert {k: v for k, v in tensors.items() if k in kept}.keys() == kept.keys()
    assert all(torch.equal(tensors[name], value) for name, value in kept.items())


def test_a_validation_that_finds_no_memory_says_from_where_it_goes_on(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Checkpoints._write

    def write_slowly(self: Checkpoints, *args: Any) -> None:
        time.sleep(0.2)  # so that one is being written when memory runs out
        write(self, *args)

    monkeypatch.setattr(Checkpoints, "_write", write_slowly)

    class Tightens(nunbit.Callback):
        def on_validation_begin(self, moment: Any) -> None:
            if moment.epoch == 1:
                model.network.eval_error = torch.OutOfMemoryError("CUDA out of memory.")

    model = hungry(tiny, 99)
    message = (
        r"out of memory in the validation after epoch 2, whose steps had fitted \(CUDA out of "
        rf"memory.\). The last checkpoint is from the end of epoch 1; go on with `nunbit train "
        rf"--resume {tmp_path / 'run'}`. First close other programs that take memory."
    )
    with pytest.raises(TrainingError, match=message):
        run(tiny, model=model, epochs=3, callbacks=[Tightens()])
    assert len((tmp_path / "run/history.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), ValueError("x")])
def test_other_errors_stay_what_they_are(run: Any, tiny: nunbit.Pictures, error: Exception) -> None:
    model = hungry(tiny, 3, error)
    assert not is_out_of_memory(error)
    with pytest.raises(type(error), match=str(error)):
        run(tiny, model=model)
    assert model.network.seen == [24]


LIMITED = """
import resource
import sys

import numpy as np
import torch

import nunbit

torch.set_num_threads(1)
images = np.random.default_rng(0).integers(0, 256, (256, 64, 64), dtype=np.uint8)
pictures = nunbit.load((images, np.arange(256) % 2), validation=0.0)
model = nunbit.create_model_for(pictures, network="cnn-mnist")
options = nunbit.TrainOptions(batch_size=4, lr=0.001, precision="float32")
nunbit.fit(model, pictures, epochs=1, options=options, out=sys.argv[1] + "/warm", progress=False)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + 300_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
options = nunbit.TrainOptions(batch_size=256, lr=0.001, precision="float32")
try:
    nunbit.fit(model, pictures, epochs=1, options=options, out=sys.argv[1] + "/run", progress=False)
except nunbit.errors.TrainingError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux'")
def test_memory_that_really_runs_out(tmp_path: Path) -> None:
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True, text=True, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert "out of memory at step 1 of epoch 1, with 256 pictures at a time" in done.stdout, done
    assert "at a time fit, as a trial showed" in done.stdout
