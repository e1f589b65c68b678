"""Where and how to compute: device, precision, memory layout, threads.

What is chosen here changes speed, never meaning. Scores are always computed in
float32, whatever training used.
"""

from __future__ import annotations

import contextlib
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from nunbit.data.pixels import processors
from nunbit.errors import OptionError
from nunbit.training.compiling import should_compile
from nunbit.training.options import TrainOptions
from nunbit.training.ranks import ALONE, Ranks

__all__ = ["Plan", "find_device", "find_parts", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """How this run computes; printed in its header and kept in its folder.

    Args:
        parts: Where the parts of the network are; most have one.
        bfloat16: Whether training runs in bfloat16 where that is safe (autocast).
        channels_last: Whether pictures and filters lie in memory with the channels
            innermost.
        threads: Threads of the processor that compute.
        loader_threads: Threads that augment, on the same cores.
        compiled: Whether torch.compile makes the network's program in training.
    """

    parts: tuple[torch.device, ...]
    bfloat16: bool
    channels_last: bool
    threads: int
    loader_threads: int
    compiled: bool = False

    @property
    def device(self) -> torch.device:
        """Where pictures go, and outputs come from."""
        return self.parts[0]

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the training forward pass runs."""
        if not self.bfloat16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def describe(self) -> str:
        """Return the plan in one line for people."""
        number = "bfloat16" if self.bfloat16 else "float32"
        layout = ", channels last" if self.channels_last else ""
        where = f"{self.device.type}, {self.threads} threads"
        if self.device.type == "cuda":
            where = torch.cuda.get_device_name(self.device)
        split = f", network in {len(self.parts)} parts" if len(self.parts) > 1 else ""
        program = ", compiled" if self.compiled else ""
        return f"{where}, {number}{layout}{split}{program}"


def make_plan(
    options: TrainOptions, *, network: nn.Module, ranks: Ranks = ALONE, steps: int = 0
) -> Plan:
    """Choose how to compute.

    Args:
        options: ``device``, ``precision``, ``compile``, ``parallel`` and ``split_model``
            are read.
        ranks: On a machine with GPUs each rank has its own.
        steps: Steps of the whole run.

    The rule for ``precision="auto"``, measured in ``benchmarks/precision.py``:
    bfloat16 where the processor multiplies in it (AVX-512 BF16 or AMX; any CUDA
    card since Ampere), float32 elsewhere. Channels last wherever there are
    convolutions.

    Raises:
        OptionError: The device is unknown or not there, or there are too few.
    """
    chosen = find_device(options.device, local_rank=ranks.local_rank if ranks.size > 1 else None)
    precision = options.precision
    convolves = any(isinstance(m, nn.Conv2d) for m in network.modules())
    threads = torch.get_num_threads()
    return Plan(
        parts=tuple(find_parts(chosen, options.split_model)),
        bfloat16=precision == "bfloat16" or (precision == "auto" and _has_bfloat16(chosen)),
        channels_last=convolves,
        threads=threads,
        loader_threads=min(processors(), 16),
        compiled=should_compile(options, chosen, steps=steps),
    )


def find_device(name: str, *, local_rank: int | None = None) -> torch.device:
    """Return the device that a name means here.

    Args:
        local_rank: Number of this rank on its machine, whose GPU it takes.

    Raises:
        OptionError: The name is no device, or this machine has no such one.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return _own_card(local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    found = re.fullmatch(r"(cpu|cuda|mps)(?::(0|[1-9][0-9]*))?", name)
    if found is None:
        raise OptionError(f"device is `{name}`, expected auto, cpu, cuda, cuda:N or mps.")
    kind, number = found.groups()
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if int(number or 0) >= there[kind]:
        raise OptionError(
            f"device `{name}` is not there: this machine has {there[kind]} `{kind}` devices. "
            "Pass `--device auto` or `--device cpu`."
        )
    if kind == "cuda" and number is None:
        return _own_card(local_rank)
    return torch.device(name)


def _own_card(local_rank: int | None) -> torch.device:
    """Return the GPU of this rank."""
    if local_rank is None:
        return torch.device("cuda")
    there = torch.cuda.device_count()
    if local_rank >= there:
        raise OptionError(
            f"process number {local_rank + 1} of this machine has no GPU of its own: there are "
            f"{there}. Start {there} processes (`--devices {there}`), or pass `--device cpu`."
        )
    return torch.device("cuda", local_rank)


def find_parts(device: torch.device, count: int) -> list[torch.device]:
    """Return the devices of a network in ``count`` parts: this one and those after it.

    A processor is one device however often it is named, so there the parts only share it.

    Raises:
        OptionError: This machine has fewer devices of the kind.
    """
    if device.type == "cpu" or count == 1:
        return [device] * count
    first = device.index or 0
    there = torch.cuda.device_count() if device.type == "cuda" else 1
    if first + count > there:
        raise OptionError(
            f"`--split-model {count}` needs {count} `{device.type}` devices from number {first} "
            f"on, this machine has {there}. Leave it out, or pass `--device cpu`."
        )
    return [torch.device(device.type, number) for number in range(first, first + count)]


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        # torch has no public question for this; the names are there since 2.1 and 2.4.
        asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, ask, bool)() for ask in asks)
    return False
