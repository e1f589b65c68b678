"""How long people wait before anything happens.

python benchmarks/startup.py [--runs 7]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

from _common import publish, spread

FIRST_BATCH = """
import sys, time
from nunbit.training.progress import ProgressPrinter
def stop(self, moment):
    print("first batch")
    import os
    os._exit(0)
ProgressPrinter.on_train_batch_end = stop
from nunbit.cli.main import run
run(["train", "digits", "--out", sys.argv[1]])
"""


def seconds(command: list[str]) -> float:
    """Return the wall time of a process."""
    started = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Time each command, in turns, after one that is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "python -c pass": lambda k: [python, "-c", "pass"],
            "nunbit --help": lambda k: [python, "-m", "nunbit", "--help"],
            "nunbit train --help": lambda k: [python, "-m", "nunbit", "train", "--help"],
            "import nunbit": lambda k: [python, "-c", "import nunbit"],
            "import torch": lambda k: [python, "-c", "import torch"],
            "first batch of nunbit train digits": lambda k: [
                python,
                "-c",
                FIRST_BATCH,
                f"{folder}/run{k}",
            ],
        }
        found: dict[str, list[float]] = {name: [] for name in commands}
        for k in range(runs + 1):
            for name, make in commands.items():
                value = seconds(make(k))
                if k:
                    found[name].append(value)
    rows = []
    for name, values in found.items():
        figures = spread(values)
        rows.append(
            {
                "what": name,
                "median s": f"{figures['median']:.2f}",
                "min–max s": f"{figures['min']:.2f}–{figures['max']:.2f}",
                "n": runs,
                "figures": figures,
            }
        )
    publish("startup", ["what", "median s", "min–max s", "n"], rows)


if __name__ == "__main__":
    main()
