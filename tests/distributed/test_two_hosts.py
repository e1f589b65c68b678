"""Two hosts: network namespaces that reach each other over a cable, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nunbit
from tests.distributed import work
from tests.distributed.start import run
from tests.distributed.test_torchrun import OPTIONS, epochs_of, wait_until

SCRIPT = Path(__file__).parent / "two_hosts.sh"
ATOL = 2e-6


def reason_against() -> str | None:
    """Return why there can be no namespaces here, or None."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux'"
    if shutil.which("ip") is None or shutil.which("bash") is None:
        return "no `ip` or no `bash`"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    made = subprocess.run(["ip", "netns", "add", "nunbit-tries"], capture_output=True, text=True)
    if made.returncode != 0:
        return f"no network namespaces here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", "nunbit-tries"], check=True)
    return None


def start(ranks: int, *words: str) -> subprocess.Popen[str]:
    """Train on two hosts, each with so many ranks."""
    reason = reason_against()
    if reason is not None:
        pytest.skip(reason)
    return run([str(SCRIPT), str(ranks), "-m", "nunbit", "train", *words, *OPTIONS])


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_two_hosts_equal_one_process(source: str, out: Path, ranks: int) -> None:
    """One and two ranks each; over three epochs the weights stay within 2e-6."""
    command = start(ranks, source, f"--out={out / 'two'}", "--epochs=3")
    said, told = command.communicate(timeout=180)
    assert command.returncode == 0, told
    assert re.search(rf"{2 * ranks} ranks", told)
    assert said.count("Validation accuracy") == 1  # of all hosts only one speaks
    alone = work.cases(source, str(out), {"one": {"epochs": 3}})["one"]
    two = nunbit.Model.load(out / "two")
    work.close(work.weights(two), alone["weights"], atol=ATOL)
    history = nunbit.History.of_run(nunbit.runs.RunFolder(out / "two"))
    for name in ("accuracy", "val_accuracy"):
        assert history[name] == [epoch[name] for epoch in alone["epochs"]]


@pytest.mark.slow
def test_a_cable_that_is_pulled_ends_both_hosts(source: str, out: Path) -> None:
    """The second host no longer reaches the board that the first keeps, either."""
    command = start(
        1, source, f"--out={out}", "--epochs=5000", "--rank-timeout=5", "--schedule=constant"
    )
    wait_until(lambda: epochs_of(out) >= 3)
    began = time.monotonic()
    cable = f"nunbit{command.pid}a"
    subprocess.run(["ip", "-n", cable, "link", "set", cable, "down"], check=True)
    _, told = command.communicate(timeout=150)
    assert time.monotonic() - began < 100
    assert command.returncode != 0
    assert "rank 1 of 2 did not answer within 5 s at step " in told
    assert f"go on with `torchrun ... -m nunbit train --resume {out}`" in told
    assert " no longer reaches the others, nor the machine of the first, at step " in told
