"""``torch.compile`` around the network in training: where it pays, and so that bits stay.

The rule for ``--compile auto`` looks at the run, never at a clock: two runs with the same
options must not differ because one was started on a busy machine. What was measured and
what is belief stands in docs/speed.md.

Only the training forward pass is compiled. The network stays the object it was: its
weights, its names and its use in validation and prediction are untouched.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nunbit.errors import OptionError, TrainingError
from nunbit.training.options import TrainOptions
from nunbit.training.rescue import resume_command

if TYPE_CHECKING:
    from nunbit.training.job import Job

__all__ = ["Compiled", "compiling_watched", "find_obstacle", "should_compile"]

LONG_RUN_STEPS = 2_000
"""Steps from which compiling for a GPU is believed to pay: about a minute of it."""

LAST_LINES = 6
"""Lines of what a compiler said that an error has in it; the cause stands at the end."""

MOST_SHAPES = 64
"""Shapes of batches that a run may have; progressive resizing to 512 pixels has as many."""


def should_compile(options: TrainOptions, device: torch.device, *, steps: int) -> bool:
    """Return whether the network is to be compiled.

    Args:
        options: ``compile``, ``parallel`` and ``split_model`` are read.
        device: Where the network is.
        steps: Steps of the whole run.
    Raises:
        OptionError: It is asked for, and cannot be.
    """
    if options.compile == "off":
        return False
    problem = find_obstacle(device)
    if options.split_model > 1 or options.parallel == "fsdp":
        problem = "goes with a network that is whole: leave out `--split-model` and `fsdp`."
    if options.compile == "on":
        if problem:
            raise OptionError(f"`--compile on` {problem} Or pass `--compile off`.")
        return True
    return device.type == "cuda" and steps >= LONG_RUN_STEPS and not problem


def find_obstacle(device: torch.device) -> str:
    """Return what is missing to compile for a device, or nothing."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "needs Triton for a GPU, and it is not there. `pip install triton`."
        return ""
    if device.type == "cpu":
        named = os.environ.get("CXX")
        names = [named] if named else ["g++", "clang++", "cl"]
        if not any(shutil.which(name) for name in names):
            tried = f"`{named}` (from CXX)" if named else "g++ or clang++"
            return (
                f"needs a C++ compiler, and {tried} is not there. Install one: `apt install g++`."
            )
        return ""
    return f"is for cpu and cuda, not for {device.type}."


class Compiled(nn.Module):
    """A network whose forward and backward pass are compiled, for each shape apart.

    One program for all shapes would come to be after the second shape was met. A run that
    was interrupted meets other shapes first, and would end in other bits.

    Args:
        network: Called in training only.
        device: Where it is.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        import torch._dynamo  # 1.2 s, so only where it is used
        import torch._inductor

        super().__init__()
        # Nothing here may be chosen by timing it: the bits would hang on it.
        settings: dict[str, Any] = {"triton.cudagraphs": True} if device.type == "cuda" else {}
        if "deterministic" in torch._inductor.list_options():
            settings["deterministic"] = True
        torch._dynamo.config.recompile_limit = max(
            torch._dynamo.config.recompile_limit, MOST_SHAPES
        )
        self._compiled = torch.compile(network, dynamic=False, options=settings)

    def forward(self, images: Tensor) -> Any:
        """Return what the network returns."""
        return self._compiled(images)


@contextlib.contextmanager
def compiling_watched(job: Job, is_interrupted: Callable[[], bool]) -> Iterator[None]:
    """Turn what happens where a step cannot be compiled into an error that says what to do.

    Args:
        is_interrupted: Whether Ctrl-C was pressed. It reaches the compiler, too, which then
            ends in the middle; the network may have seen a part of the batch by then, so
            the run goes on from its last checkpoint.
    Raises:
        TrainingError: The network cannot be compiled.
        KeyboardInterrupt: The compiler was interrupted.
    """
    if not job.plan.compiled:
        yield
        return
    import torch._dynamo.exc
    import torch._inductor.exc

    try:
        yield
    except (
        torch._dynamo.exc.TorchDynamoException,
        torch._inductor.exc.InductorError,
        torch._inductor.exc.CppCompileError,  # of the backward pass it comes as it is
    ) as error:
        command = resume_command(job.run.path, job.ranks)
        if is_interrupted():
            raise KeyboardInterrupt(f"go on with `{command}`") from error
        raise TrainingError(
            f"the network cannot be compiled here. Go on without: `{command} --override "
            f"--compile off`. The compiler said:\n{last_words(error)}"
        ) from error


def last_words(error: BaseException) -> str:
    """Return the end of what a compiler said, without torch's words around it."""
    told = str(error).split("\nSet TORCHDYNAMO_VERBOSE")[0]
    told = told.split("\nOutput:\n", 1)[-1]
    lines = [line.rstrip() for line in told.splitlines() if line.strip()]
    return "\n".join(lines[-LAST_LINES:]) or type(error).__name__
