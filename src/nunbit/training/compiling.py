"""``torch.compile`` around the network in training: where it pays, and so that bits stay.

The rule for ``--compile auto`` looks at the run, never at a clock: two runs with the same
options must not differ because one was started on a busy machine. What was measured and
what is belief stands in docs/speed.md.

Only the training forward pass is compiled. The network stays the object it was: its
weights, its names and its use in validation and prediction are untouched.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nunbit.errors import OptionError, TrainingError
from nunbit.training.options import TrainOptions

if TYPE_CHECKING:
    import torch._dynamo.exc
    import torch._inductor.exc

__all__ = ["Compiled", "find_obstacle", "should_compile"]

LONG_RUN_STEPS = 2_000
"""Steps from which compiling for a GPU is believed to pay: about a minute of it."""

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
        import torch._dynamo.exc  # 1.2 s, so only where it is used
        import torch._inductor.exc

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
        """Return what the network returns.

        Raises:
            TrainingError: It cannot be compiled.
        """
        try:
            return self._compiled(images)
        except (torch._dynamo.exc.TorchDynamoException, torch._inductor.exc.InductorError) as error:
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise TrainingError(
                f"the network cannot be compiled here: {told[0]} Expected torch.compile to work. "
                "Pass `--compile off`."
            ) from error
