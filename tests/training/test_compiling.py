"""When the network is compiled, what that leaves as it was, and what is said where it cannot be."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import nunbit
from nunbit.errors import OptionError
from nunbit.training import compiling
from nunbit.training.callbacks import Callback, Moment
from nunbit.training.compiling import (
    LONG_RUN_STEPS,
    find_obstacle,
    last_words,
    should_compile,
)
from nunbit.training.device import make_plan
from nunbit.training.options import TrainOptions

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))


def test_auto_leaves_a_processor_alone_however_long_the_run() -> None:
    assert not should_compile(TrainOptions(), CPU, steps=10**9)


@pytest.mark.parametrize(
    ("steps", "triton", "expected"),
    [
        (LONG_RUN_STEPS, True, True),
        (LONG_RUN_STEPS - 1, True, False),
        (LONG_RUN_STEPS, False, False),
    ],
)
def test_auto_compiles_for_a_gpu_in_long_runs(
    monkeypatch: pytest.MonkeyPatch, steps: int, triton: bool, expected: bool
) -> None:
    monkeypatch.setattr(
        compiling.importlib.util, "find_spec", lambda name: name if triton else None
    )
    assert should_compile(TrainOptions(), CUDA, steps=steps) is expected


def test_auto_leaves_a_network_in_parts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: name)
    assert not should_compile(TrainOptions(split_model=2), CUDA, steps=10**9)
    assert not should_compile(TrainOptions(parallel="fsdp"), CUDA, steps=10**9)


def test_off_asks_for_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not should_compile(TrainOptions(compile="off"), CPU, steps=1)


def test_a_missing_compiler_is_named_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(OptionError, match=r"`--compile on` needs a C\+\+ compiler, and `no-such-c"):
        should_compile(TrainOptions(compile="on"), CPU, steps=1)


def test_a_compiler_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(OptionError, match=r"and g\+\+ or clang\+\+ is not there. Install one"):
        should_compile(TrainOptions(compile="on"), CPU, steps=1)


def test_what_cannot_be_compiled_is_refused() -> None:
    with pytest.raises(OptionError, match="leave out `--split-model` and `fsdp`"):
        should_compile(TrainOptions(compile="on", split_model=2), CPU, steps=1)
    with pytest.raises(OptionError, match="is for cpu and cuda, not for mps"):
        should_compile(TrainOptions(compile="on"), MPS, steps=1)


@pytest.mark.skipif(bool(find_obstacle(CPU)), reason="no C++ compiler here")
def test_the_plan_says_it() -> None:
    network = nunbit.create_model("mlp", classes=3).network
    assert "compiled" in make_plan(TrainOptions(compile="on"), network=network).describe()
    assert "compiled" not in make_plan(TrainOptions(), network=network).describe()


def test_an_ordinary_run_loads_neither_the_compiler_nor_scikit_learn(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", TRAINS, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["1", "epoch", "[]"]


TRAINS = """
import sys, nunbit
pictures = nunbit.load("digits")
model = nunbit.create_model_for(pictures, network="mlp")
history = nunbit.fit(model, pictures, epochs=1, out=sys.argv[1], progress=False)
loaded = [name for name in ("torch._dynamo", "torch._inductor", "sklearn") if name in sys.modules]
print(len(history.epochs), "epoch", loaded)
"""


class Stops(Callback):
    """Presses Ctrl-C after a step of the whole run; keeps no state."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_end(self, moment: Moment) -> None:
        if moment.epoch * moment.steps_per_epoch + moment.step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.skipif(bool(find_obstacle(CPU)), reason="no C++ compiler here")
def test_a_compiled_run_resumes_to_the_same_bits_while_pictures_grow(
    tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    options = TrainOptions(
        epochs=4, batch_size=32, compile="on", first_size=4, growing_frac=0.5, augment="light"
    )

    def train(out: Path | None, stop: int = -1, resume: Path | None = None) -> dict[str, Any]:
        torch._dynamo.reset()  # as another process: nothing is compiled yet
        model = nunbit.create_model_for(tiny, network="auto", seed=0)
        nunbit.fit(
            model,
            tiny,
            options=options,
            callbacks=[Stops(stop)],
            out=out,
            resume=resume,
            progress=False,
        )
        return {name: value.clone() for name, value in model.network.state_dict().items()}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while it compiles
        expected = train(tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut", stop=8)
        shutil.copytree(tmp_path / "cut", tmp_path / "kept")
        found = train(None, resume=tmp_path / "cut")
    assert list(found) == list(expected)  # names without a prefix
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step can be compiled, as where the disk is full."""

    def fail(self: Any, images: Any) -> Any:
        import torch._inductor.exc

        raise torch._inductor.exc.CppCompileError(["g++", "x.cpp"], "x.cpp:1: error: no room")

    monkeypatch.setattr(compiling, "find_obstacle", lambda device: "")
    monkeypatch.setattr(compiling.Compiled, "forward", fail)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_the_compilers_words_are_kept_and_the_advice_works(
    broken: None, run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(nunbit.errors.TrainingError) as caught:
        run(tiny, out=out, epochs=1, compile="on")
    first, last = str(caught.value).split("The compiler said:\n")
    assert f"`nunbit train --resume {out} --override --compile off`" in first
    assert last == "x.cpp:1: error: no room"
    model = nunbit.create_model_for(tiny, network="mlp")
    options = TrainOptions(epochs=1, batch_size=24, lr=0.001, compile="off")
    history = nunbit.fit(model, tiny, options=options, resume=out, override=True, progress=False)
    assert len(history.epochs) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_a_compiler_that_ctrl_c_ended_is_an_interrupt(
    broken: None, run: Any, tiny: nunbit.Pictures, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fail = compiling.Compiled.forward

    def interrupted(self: Any, images: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return fail(self, images)

    monkeypatch.setattr(compiling.Compiled, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"^go on with `nunbit train --resume .*run`$"):
        run(tiny, out=tmp_path / "run", epochs=1, compile="on")
    assert (tmp_path / "run" / "checkpoints").exists()


def test_words_of_torch_around_those_of_the_compiler_are_left_out() -> None:
    told = "C++ compile error\n\nCommand:\ng++ -c\n\nOutput:\none\ntwo\n\nSet TORCHDYNAMO_VERBOSE=1"
    assert last_words(RuntimeError(told)) == "one\ntwo"
    assert last_words(RuntimeError("\n".join("abcdefgh"))) == "\n".join("cdefgh")
    assert last_words(IndexError()) == "IndexError"
