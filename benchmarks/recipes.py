"""What each recipe gives: accuracy on the test pictures and seconds, over several seeds.

python benchmarks/recipes.py [--recipes mnist-fast mnist-best ...] [--seeds 0 1 2]

Each run is the command itself, ``nunbit train SET --recipe KIND --seed N``, in a process of its
own. What it prints belongs into the ``[measured]`` table of the recipe's file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _common import publish, spread

from nunbit.recipes import Recipe, list_recipes


def train(recipe: Recipe, seed: int, out: Path) -> dict[str, Any]:
    """Return what ``nunbit train --json`` says."""
    command = ["train", recipe.source, "--recipe", recipe.kind, "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, "-m", "nunbit", *command, "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Run each recipe with each seed, in turns."""
    known = {each.name: each for each in list_recipes()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", choices=known, default=list(known))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in asked.recipes}
    with tempfile.TemporaryDirectory() as folder:
        for seed in asked.seeds:
            for name in asked.recipes:
                made = train(known[name], seed, Path(folder) / f"{name}-{seed}")
                found[name].append(made)
                print(name, seed, made["test_accuracy"], made["seconds"], flush=True)
    rows = []
    for name, runs in found.items():
        accuracy = spread([run["test_accuracy"] for run in runs])
        seconds = spread([run["seconds"] for run in runs])
        rows.append(
            {
                "recipe": name,
                "test accuracy": f"{100 * accuracy['mean']:.2f} ± {100 * accuracy['sd']:.2f} %",
                "training": f"{seconds['median']:.1f} s",
                "n": len(runs),
                "figures": [accuracy, seconds],
            }
        )
    publish("recipes", ["recipe", "test accuracy", "training", "n"], rows)


if __name__ == "__main__":
    main()
