"""Starting ranks in tests: forked from a process that has loaded torch, or by torchrun."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

WAIT_S = 60.0
"""Seconds that ranks of a test may take."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["torch", "nunbit.training.fit", "nunbit.evaluation.finish"])


class Ended:
    """How a rank ended: with a value, with an error (its type's name and text), or killed."""

    def __init__(self, value: Any, error: tuple[str, str] | None, status: int | None) -> None:
        self.value, self.error, self.status = value, error, status


def _in_rank(pipe: Connection, environment: dict[str, str], work: Any, given: Any) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        pipe.send((work(*given), None))
    except BaseException as error:
        if not isinstance(error, Exception | KeyboardInterrupt):
            raise
        traceback.print_exc()
        pipe.send((None, (type(error).__name__, str(error))))


def together(
    ranks: int, work: Callable[..., Any], *given: Any, wait_s: float = WAIT_S
) -> list[Ended]:
    """Run a function in so many ranks at once; returns how each of them ended.

    What torchrun does with environment and store is done here; nothing watches the ranks.
    One that has ended or was stopped is left as it is until all others have ended.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "NUNBIT_CACHE": os.environ["NUNBIT_CACHE"],
        "OMP_NUM_THREADS": "1",
    }
    started = []
    for rank in range(ranks):
        ours, theirs = _forks.Pipe(duplex=False)
        own = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        process = _forks.Process(target=_in_rank, args=(theirs, own, work, given))
        process.start()
        theirs.close()
        started.append((process, ours))
    end = time.monotonic() + wait_s
    found = []
    for process, pipe in started:
        value, error = None, None
        while process.is_alive() and not pipe.poll(0.05) and time.monotonic() < end:
            if _is_stopped(process.pid) and all(
                not p.is_alive() or _is_stopped(p.pid) for p, _ in started
            ):
                break
        try:
            if pipe.poll(0):
                value, error = pipe.recv()
                process.join(max(0.0, end - time.monotonic()))
        except EOFError:  # it was killed
            process.join(5)
        found.append((process, value, error))
    ended = []
    for process, value, error in found:
        if process.is_alive():
            process.kill()
            process.join()
        ended.append(Ended(value, error, process.exitcode))
    return ended


def _is_stopped(pid: int | None) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def torchrun(*words: str, ranks: int = 2, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start ranks by torchrun itself: a script or ``-m module`` with its arguments."""
    return _start(
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), *words],
        cwd,
    )


def nunbit(*words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start the command."""
    return _start(["-m", "nunbit", *words], cwd)


def tidy() -> None:
    """End what a failed test has left running."""
    for process in _running:
        if process.poll() is None:
            process.terminate()  # the launcher ends its ranks
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    _running.clear()


_running: list[subprocess.Popen[str]] = []


def _start(words: list[str], cwd: Path | None) -> subprocess.Popen[str]:
    return run([sys.executable, *words], cwd=cwd)


def run(command: list[str], *, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start anything; what still runs at the end of a test is ended."""
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment,
    )
    _running.append(process)
    return process
