"""``--devices N``: start the same command N times on this machine, by ``torchrun``.

What ``torchrun`` does for us: a free port, environment, watching the processes, and
handing on signals. What is done here: threads shared out, its own reports kept away,
and the exit status of the process that failed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nunbit.errors import OptionError
from nunbit.options import Options

__all__ = ["as_words", "check_started", "launch"]


def as_words(source: str | None, given: Mapping[str, Any], parts: list[type[Options]]) -> list[str]:
    """Return a command line of ``nunbit train`` from what was typed.

    Args:
        given: Options by field name.
        parts: Where they belong.
    """
    words = ["train"] if source is None else ["train", source]
    flags = {info.name: info.flag for part in parts for info in part.fields()}
    for name, value in given.items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if each is True:
                words.append(flags[name])
            elif each is not False and each is not None:
                words.append(f"{flags[name]}={each}")
    return words


def check_started(devices: int) -> None:
    """Check ``--devices`` in a process that ``torchrun`` has started.

    Raises:
        OptionError: It has started another number of them on this machine.
    """
    here = os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"])
    if here != str(devices):
        raise OptionError(
            f"`--devices {devices}`, but `torchrun` has started {here} processes on this machine. "
            "Leave `--devices` away: `torchrun` says how many there are."
        )


def launch(devices: int, words: list[str], *, device: str) -> int:
    """Run a command in several processes; returns the exit status.

    Args:
        devices: How many processes.
        words: The command line, without ``nunbit``.
        device: The option: auto, cpu, cuda or such.
    Raises:
        OptionError: There are fewer GPUs, or one of them was asked for by number.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    from nunbit.training.rescue import LAUNCHED

    _check_devices(devices, device)
    share_threads(devices)
    os.environ[LAUNCHED] = str(devices)
    arguments = ["--standalone", "--nproc-per-node", str(devices), "-m", "nunbit", *words]
    with _quietly():
        try:
            run(parse_args(arguments))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if failure.exitcode < 0:
                _say_killed(rank, devices, -failure.exitcode)
                return 1
            return int(failure.exitcode)
        except (SignalException, KeyboardInterrupt):
            return 130
    return 0


def share_threads(devices: int) -> None:
    """Give each process its part of the processor, where the user has not done so."""
    from nunbit.data.pixels import processors

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processors() // devices)))


def _check_devices(devices: int, device: str) -> None:
    import torch

    if ":" in device:
        raise OptionError(
            f"`--device {device}` names one device, `--devices {devices}` asks for several. "
            f"Leave one of them away, or pass `--device {device.split(':')[0]}`."
        )
    there = torch.cuda.device_count()
    if device in ("auto", "cuda") and 0 < there < devices:
        raise OptionError(
            f"`--devices {devices}`, but this machine has {there} GPUs. Pass `--devices {there}`, "
            "or `--device cpu`."
        )


def _say_killed(rank: int, devices: int, number: int) -> None:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    memory = " Perhaps memory was short." if name == "SIGKILL" else ""
    print(
        f"nunbit: the process of rank {rank} of {devices} was ended by {name}.{memory}",
        file=sys.stderr,
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the reports of ``torchrun`` away: the ranks say what is wrong."""
    before = logging.root.manager.disable
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    handlers = {each: signal.getsignal(each) for each in watched}
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
        for each, handler in handlers.items():
            if handler is not None:
                signal.signal(each, handler)
