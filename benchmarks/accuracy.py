"""Accuracy and seconds of the default network and of the course's own networks.

    NUNBIT_DATA=... python benchmarks/accuracy.py [--seeds 3] [--only mnist-auto ...]

The course's networks are trained as the course trains them: Adam at 0.001, batch 200
(100 for cats and dogs), up to 30 epochs (100), early stopping that restores the best
weights. Departs: the course stops by the test set; here 10 % of the training pictures
are kept for validation and the test set is looked at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from _common import publish, spread

COURSE = ["--optimizer", "adam", "--schedule", "constant", "--lr", "0.001"]
MNIST = [*COURSE, *["--batch-size", "200", "--epochs", "30"]]
JOBS: dict[str, tuple[list[str], str]] = {
    "mnist-auto": (["mnist"], ">= 99.0 %"),
    "mnist-mlp": (["mnist", "--network", "mlp", *MNIST, "--patience", "10"], ">= 97.8 %"),
    "mnist-cnn": (["mnist", "--network", "cnn-mnist", *MNIST, "--patience", "3"], ">= 99.0 %"),
    "fashion-cnn": (
        ["fashion-mnist", "--network", "cnn-mnist", *MNIST, "--patience", "3"],
        ">= 91 %",
    ),
    "cats-dogs-cnn": (
        [
            *[
                "cats-dogs",
                "--network",
                "cnn-cats-dogs",
                "--head",
                "sigmoid",
                "--augment",
                "course",
            ],
            *COURSE,
            *["--batch-size", "100", "--epochs", "100", "--patience", "10"],
        ],
        "end to end",
    ),
    "cats-dogs-auto": (["cats-dogs"], "-"),
    "fashion-auto": (["fashion-mnist"], "-"),
    "cifar10-auto": (["cifar10"], "-"),
    "digits-auto": (["digits"], "-"),
}


def train(words: list[str], seed: int) -> dict[str, Any]:
    """Run one training in its own process; returns its JSON and the wall time."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nunbit", "train", *words, "--seed", str(seed), "--json"]
        started = time.perf_counter()
        done = subprocess.run(
            [*command, "--out", f"{folder}/run"], capture_output=True, text=True, check=False
        )
        wall = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    return {**json.loads(done.stdout), "wall": wall}


def main() -> None:
    """Run the jobs and publish the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--name", default="accuracy", help="of the file in results/")
    chosen = parser.parse_args()
    rows = []
    for name in chosen.only:
        words, wanted = JOBS[name]
        results = []
        for seed in range(chosen.seeds):
            results.append(train(words, seed))
            print(
                f"{name} seed {seed}: {results[-1]['test_accuracy']:.4f} "
                f"in {results[-1]['wall']:.1f} s",
                file=sys.stderr,
            )
        accuracy = spread([100 * each["test_accuracy"] for each in results])
        seconds = spread([each["seconds"] for each in results])
        wall = spread([each["wall"] for each in results])
        rows.append(
            {
                "work": name,
                "command": "nunbit train " + " ".join(words),
                "test accuracy %": f"{accuracy['mean']:.2f} ± {accuracy['sd']:.2f}",
                "asked": wanted,
                "epochs": "/".join(str(each["epochs"]) for each in results),
                "training s": f"{seconds['median']:.1f}",
                "wall s": f"{wall['median']:.1f}",
                "pictures/s": f"{spread([e['images_per_second'] for e in results])['median']:.0f}",
                "n": chosen.seeds,
                "figures": {"accuracy": accuracy, "seconds": seconds, "wall": wall},
            }
        )
        header = [k for k in rows[0] if k not in ("figures", "command")]
        publish(chosen.name, header, rows)  # after each, so that an interrupted call keeps some


if __name__ == "__main__":
    main()
