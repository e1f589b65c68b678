"""The command and a user's own script, as torchrun starts them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.distributed import work
from tests.distributed.start import nunbit, torchrun

OPTIONS = (
    "--network=mlp", "--device=cpu", "--precision=float32", "--optimizer=sgd", "--lr=0.02",
    "--batch-size=20", "--validation=0.2",
)  # fmt: skip
LONG = ("--epochs=2000", "--schedule=constant")

SCRIPT = """
import sys
import nunbit

pictures = nunbit.load(sys.argv[1], validation=0.2)
model = nunbit.create_model_for(pictures, network="mlp")
options = nunbit.TrainOptions(epochs=2, batch_size=20, lr=0.02, optimizer="sgd",
                               precision="float32")
history = nunbit.fit(model, pictures, options=options, out=sys.argv[2], progress=False)
count = nunbit.evaluate(model, pictures.validation).count
sys.stdout.write(f"{history['val_accuracy']} {count}\\n")  # in one piece: the ranks share a pipe
"""


def end(process: subprocess.Popen[str], *, wait_s: float = 120) -> tuple[int, str, str]:
    """Wait for a command; returns its status and what it said."""
    try:
        said = process.communicate(timeout=wait_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, *said


def processes_of(process: subprocess.Popen[str]) -> dict[int, int]:
    """Return the process of each rank, by its number."""
    found = {}
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in map(int, children):
        environment = Path(f"/proc/{child}/environ").read_bytes().decode().split("\0")
        named = dict(each.split("=", 1) for each in environment if "=" in each)
        if "RANK" in named:
            found[int(named["RANK"])] = child
    return found


def wait_until(happened: Callable[[], bool], *, wait_s: float = 120) -> None:
    end_s = time.monotonic() + wait_s
    while not happened():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def epochs_of(run: Path) -> int:
    path = run / "history.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def test_a_script_of_a_user(source: str, out: Path, tmp_path: Path) -> None:
    """It says nothing of ranks, and ends without a warning."""
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    process = torchrun(str(script), source, str(out / "many"))
    status, said, warned = end(process)
    assert status == 0, warned
    alone = work.cases(source, str(out), {"one": {"epochs": 2}})["one"]
    scores = [epoch["val_accuracy"] for epoch in alone["epochs"]]
    assert said.splitlines() == [f"{scores} 14"] * 2
    assert warned.strip() == ""


def test_devices_give_one_json_object_and_one_report(source: str, out: Path) -> None:
    command = nunbit(
        "train", source, f"--out={out / 'many'}", "--epochs=2", "--devices=2", "--json", *OPTIONS
    )
    status, said, told = end(command)
    assert status == 0, told
    result = json.loads(said)
    alone = work.cases(source, str(out), {"one": {"epochs": 2}})["one"]
    assert result["validation_accuracy"] == alone["epochs"][-1]["val_accuracy"]
    assert told.count("epoch 2/2") == 1
    assert "2 ranks" in told
    assert json.loads((out / "many/scores.json").read_text())["validation"]["count"] == 14
    assert (out / "many/report.html").exists()


def test_killed_as_the_command_and_resumed(source: str, out: Path) -> None:
    """What a user sees, and does, where the system kills a process that took all memory."""
    command = nunbit("train", source, f"--out={out}", "--devices=2", *OPTIONS, *LONG)
    wait_until(lambda: epochs_of(out) >= 3)
    os.kill(processes_of(command)[1], signal.SIGKILL)
    status, _, told = end(command)
    assert status == 1
    assert "rank 1 of 2 was lost " in told
    assert f"go on with `nunbit train --resume {out} --devices 2`." in told
    assert "the process of rank 1 of 2 was ended by SIGKILL. Perhaps memory was short." in told
    assert "Traceback" not in told
    assert "torch.distributed" not in told
    assert not (out / "report.html").exists()


@pytest.mark.slow
def test_a_killed_launcher_ends_its_ranks_and_the_run_goes_on(source: str, out: Path) -> None:
    """Nobody else watches them; they say what they say where a signal ends them, and no more."""
    command = nunbit("train", source, f"--out={out}", "--devices=2", *OPTIONS, *LONG)
    wait_until(lambda: epochs_of(out) >= 3)
    ranks = processes_of(command)
    assert sorted(ranks) == [0, 1]
    command.kill()
    try:
        _, _, told = end(command, wait_s=20)  # the ranks hold its pipes until they end
    finally:
        for process in ranks.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    assert f"all is saved: go on with `nunbit train --resume {out} --devices 2`." in told
    assert told.count("nunbit: ") == 1
    assert "TCPStore" not in told
    done = epochs_of(out)
    more = ["--epochs", str(done + 2), "--override"]
    status, _, told = end(nunbit("train", "--resume", str(out), "--devices=2", *more))
    assert status == 0, told
    assert epochs_of(out) == done + 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_all_ranks(source: str, out: Path, number: signal.Signals) -> None:
    """As a cluster sends them to torchrun: the state is saved, and goes on."""
    command = nunbit("train", source, f"--out={out}", "--devices=2", *OPTIONS, *LONG)
    wait_until(lambda: epochs_of(out) >= 3)
    began = time.monotonic()
    command.send_signal(number)
    status, _, told = end(command)
    assert time.monotonic() - began < 15
    assert status == 130
    assert told.count("nunbit: ") == 1
    assert f"all is saved: go on with `nunbit train --resume {out} --devices 2`." in told
    done = epochs_of(out)
    more = ["--epochs", str(done + 2), "--override"]
    status, _, told = end(nunbit("train", "--resume", str(out), "--devices=2", *more))
    assert status == 0, told
    assert epochs_of(out) == done + 2


@pytest.mark.slow
def test_errors_are_said_once(source: str, out: Path, tmp_path: Path) -> None:
    """By the first rank where all have it; by its number where one alone has it."""
    status, _, told = end(torchrun("-m", "nunbit", "train", source, "--network=mlq"))
    assert status != 0
    assert told.count("unknown network `mlq`") == 1
    assert "rank" not in told.split("unknown network")[0].rsplit("nunbit:", 1)[1]

    script = tmp_path / "apart.py"
    script.write_text(
        "import os, sys\nfrom nunbit.cli.main import run\n"
        f"source = {source!r} if os.environ['RANK'] == '0' else '/not/there'\n"
        "sys.exit(run(['train', source, '--out', sys.argv[1], *sys.argv[2:]]))\n"
    )
    status, _, told = end(torchrun(str(script), str(out), *OPTIONS))
    assert status != 0
    assert "nunbit: rank 1 of 2: no such folder or set: `/not/there`" in told

    status, _, told = end(torchrun("-m", "nunbit", "train", source, "--devices=3"))
    assert status != 0
    assert told.count("`torchrun` has started 2 processes on this machine") == 1


@pytest.mark.slow
def test_resumed_command_equals_whole(source: str, out: Path) -> None:
    """Killed with all its ranks at a moment that nobody chose."""
    options = ("--epochs=40", "--devices=2", *OPTIONS)
    command = nunbit("train", source, f"--out={out / 'parts'}", *options)
    wait_until(lambda: epochs_of(out / "parts") >= 3)
    ranks = processes_of(command)
    for process in ranks.values():
        os.kill(process, signal.SIGKILL)
    end(command)
    assert epochs_of(out / "parts") < 40
    resume = nunbit("train", "--resume", str(out / "parts"), "--devices=2")
    assert end(resume)[0] == 0
    assert end(nunbit("train", source, f"--out={out / 'whole'}", *options))[0] == 0
    mine, whole = work.contents(out / "parts"), work.contents(out / "whole")
    assert {k for k in whole if mine[k] != whole[k]} == {"report.html"}  # it has times in it
