"""Training beside Keras/TensorFlow: the course's networks, and the course's results.

    python benchmarks/keras_training.py --parts rate time cats best [--rounds 3]

Keras runs in an environment of its own (``--keras-python``; `make bench-keras` makes it), ours
in this one; each piece of work is a process of its own. The programs take turns, and who begins
changes from round to round. Needs ``NUNBIT_DATA`` with mnist and cats-dogs.

* rate: the course's MNIST network, batch 200, Adam: pictures a second of the epochs after the
  first one, in which Keras traces its graph and both warm up.
* time: seconds of training until the MNIST test set is read 99.01 % right. Keras: the course's
  recipe, the test set looked at after each epoch without counting that time. Ours: one
  command, ``--mnist``; its schedule ends once, so the whole training counts, and a run
  below 99.01 % counts as failed. A run that misses it is in no median; how many and how long
  they took stands in the row. Start-up (all before the first step) is told apart.
* cats: 2,000 photographs at 128x128, the course's network and augmentation, batch 100: seconds
  of an epoch after the first one. Keras reads the files anew in each epoch, as the course has
  it, and in a row of its own hands on arrays that were read once (``flow``), as ours do;
  that reading is told apart.
* best: test accuracy of the course's recipe for 45 epochs, its last epoch and its best one by
  the test set itself, and of ``--cats``, with the seconds that both took.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from _common import RESULTS, publish, spread

HERE = Path(__file__).parent
WANTED = 0.9901
EPOCHS = 3
"""Epochs of a turn of `rate` and `cats`; the first does not count."""
PLACES = ("run", "model", "report")
"""Folders and files of a run, which are gone when it has been measured."""
MOST_EPOCHS = 30
"""Keras gives up `time` after so many."""
ONE_OF_OURS = """
import json, sys, time
import nunbit
network, source, size, head, epochs, batch, augment = json.loads(sys.argv[1])
loaded = nunbit.load(source, options=nunbit.DataOptions(validation=0.0, image_size=size))
model = nunbit.create_model_for(loaded, network=network, head=head, seed=0)
options = nunbit.TrainOptions(
    epochs=epochs, batch_size=batch, optimizer="adam", schedule="constant", lr=0.001,
    augment=augment, weight_decay=0.0,
)
ready = time.time() - float(sys.argv[3])
history = nunbit.fit(model, loaded, options=options, out=sys.argv[2], progress=False)
print(json.dumps({"start_up": ready, "seconds": list(history["seconds"]),
                  "pictures": len(loaded.train), "plan": history.plan,
                  "parameters": model.parameters}))
"""


def last_line(command: list[str]) -> dict[str, Any]:
    """Run a command and return the JSON of its last line, with its wall time."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(command[:4])} ...\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "wall": time.perf_counter() - started}


def keras(python: str, work: str, **options: Any) -> dict[str, Any]:
    """Let Keras do a piece of work."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    script = str(HERE / "_keras_side.py")
    return last_line([python, script, work, "--started", str(time.time()), *words])


def ours(network: str, source: str, size: int, head: str, batch: int, augment: str) -> Any:
    """Train a network of the course by ours, for a few epochs."""
    with tempfile.TemporaryDirectory() as folder:
        words = json.dumps([network, source, size, head, EPOCHS, batch, augment])
        return last_line(
            [sys.executable, "-c", ONE_OF_OURS, words, f"{folder}/run", str(time.time())]
        )


def command(words: str, seed: int) -> dict[str, Any]:
    """Run one of our command lines."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", "nunbit", *shlex.split(words)]
        started = time.perf_counter()
        done = subprocess.run(
            [*program, "--seed", str(seed), "--json", "--out", f"{folder}/run"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        found = json.loads(done.stdout)
        kept = {name: value for name, value in found.items() if name not in PLACES}
        return {**kept, "wall": time.perf_counter() - started}


def in_turns(turn: int, *programs: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """Run programs one after the other, in each round another one first; results in their order.

    What the machine does besides, and its heat, then falls on none of them alone.
    """
    first = turn % len(programs)
    found: dict[int, dict[str, Any]] = {}
    for k in (*range(first, len(programs)), *range(first)):
        found[k] = programs[k]()
    return [found[k] for k in range(len(programs))]


def told(values: list[float], digits: int = 1) -> str:
    """Return median and range for people; a dash where there are none."""
    if not values:
        return "–"
    found = spread(values)
    return f"{found['median']:,.{digits}f} ({found['min']:,.{digits}f}–{found['max']:,.{digits}f})"


def compare_rates(given: argparse.Namespace, *, cats: bool) -> None:
    """Parts `rate` and `cats`."""
    works = {"Keras": "mnist-rate"}
    mine = partial(ours, "cnn-mnist", "mnist", 28, "softmax", 200, "none")
    if cats:
        works = {"Keras, from files": "cats-rate", "Keras, from memory": "cats-memory-rate"}
        mine = partial(ours, "cnn-cats-dogs", "cats-dogs", 128, "sigmoid", 100, "course")
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in (*works, "Nunbit")}
    for turn in range(given.rounds):
        theirs = [
            partial(keras, given.keras_python, work, epochs=EPOCHS, seed=turn)
            for work in works.values()
        ]
        for name, one in zip(measured, in_turns(turn, *theirs, mine), strict=True):
            measured[name].append(one)
            print(name, one["seconds"], file=sys.stderr)
    rows = []
    usual = measured[next(iter(works))]  # as the course has it
    rivals = spread([s for run in usual for s in run["seconds"][1:]])["median"]
    for name, runs in measured.items():
        seconds = [s for run in runs for s in run["seconds"][1:]]
        rows.append(
            {
                "what": name,
                "epoch s": told(seconds, 2),
                "pictures/s": f"{runs[0]['pictures'] / spread(seconds)['median']:,.0f}",
                "× Keras": f"{rivals / spread(seconds)['median']:.2f}",
                "before the first step s": told([run["start_up"] for run in runs]),
                "parameters": runs[0]["parameters"],
                "plan": runs[0].get("plan", ""),
                "n": len(seconds),
                "runs": runs,
            }
        )
    keep("keras-training-cats" if cats else "keras-training-rate", rows)


def time_to_accuracy(given: argparse.Namespace) -> None:
    """Part `time`."""
    theirs, mine = [], []
    for turn in range(given.rounds):
        rival = partial(
            keras, given.keras_python, "mnist-time", epochs=MOST_EPOCHS, wanted=WANTED, seed=turn
        )
        found = in_turns(turn, rival, partial(command, given.mnist, turn))
        theirs.append(found[0])
        mine.append(found[1])
        print("ours", mine[-1]["test_accuracy"], mine[-1]["seconds"], file=sys.stderr)
        print("Keras", theirs[-1]["accuracy"], theirs[-1]["seconds"], file=sys.stderr)
    reached = [run for run in theirs if run["accuracy"][-1] >= WANTED]
    good = [run for run in mine if run["test_accuracy"] >= WANTED]
    seconds = [sum(run["seconds"]) for run in reached]
    capped = [sum(run["seconds"]) for run in theirs if run["accuracy"][-1] < WANTED]
    ours_s = [run["seconds"] for run in good]
    failed = [run["seconds"] for run in mine if run["test_accuracy"] < WANTED]
    ratio = spread(seconds)["median"] / spread(ours_s)["median"] if seconds and ours_s else None
    rows = [
        {
            "what": "Keras, the course's recipe",
            "reached 99.01 %": f"{len(reached)} of {len(theirs)}",
            "training s": told(seconds),
            "missed it after s": f"{told(capped)}, {MOST_EPOCHS} epochs" if capped else "",
            "× Keras": "1.0",
            "start-up s": told([run["start_up"] for run in theirs]),
            "test accuracy %": told([100 * run["accuracy"][-1] for run in theirs], 2),
            "n": given.rounds,
            "runs": theirs,
        },
        {
            "what": f"nunbit {given.mnist}",
            "reached 99.01 %": f"{len(good)} of {len(mine)}",
            "training s": told(ours_s),
            "missed it after s": told(failed) if failed else "",
            "× Keras": "–" if ratio is None else f"{ratio:.1f}",
            "start-up s": told([run["wall"] - run["seconds"] for run in mine]) + " with report",
            "test accuracy %": told([100 * run["test_accuracy"] for run in mine], 2),
            "n": given.rounds,
            "runs": mine,
        },
    ]
    keep("keras-training-time", rows)


def best_accuracy(given: argparse.Namespace) -> None:
    """Part `best`."""
    theirs, mine = [], []
    for turn in range(given.rounds):
        rival = partial(keras, given.keras_python, "cats-time", epochs=given.epochs, seed=turn)
        found = in_turns(turn, rival, partial(command, given.cats, turn))
        theirs.append(found[0])
        mine.append(found[1])
        print("ours", mine[-1]["test_accuracy"], mine[-1]["seconds"], file=sys.stderr)
        print("Keras", theirs[-1]["accuracy"], sum(theirs[-1]["seconds"]), file=sys.stderr)
    rows = [
        {
            "what": f"Keras, the course's recipe, {given.epochs} epochs",
            "training s": told([sum(run["seconds"]) for run in theirs]),
            "test accuracy %": told([100 * run["accuracy"][-1] for run in theirs], 2),
            "best epoch %": told([100 * max(run["accuracy"]) for run in theirs], 2),
            "wall s": told([run["wall"] for run in theirs]),
            "n": given.rounds,
            "runs": theirs,
        },
        {
            "what": f"nunbit {given.cats}",
            "training s": told([run["seconds"] for run in mine]),
            "test accuracy %": told([100 * run["test_accuracy"] for run in mine], 2),
            "best epoch %": "",
            "wall s": told([run["wall"] for run in mine]),
            "n": given.rounds,
            "runs": mine,
        },
    ]
    keep("keras-training-best", rows)


def keep(name: str, rows: list[dict[str, Any]]) -> None:
    """Publish, with the versions that the other environment told."""
    publish(name, [key for key in rows[0] if key != "runs"], rows)
    file = RESULTS / f"{name}.json"
    whole = json.loads(file.read_text())
    for row in rows:
        whole["machine"]["versions"].update(row["runs"][0].get("versions", {}))
    file.write_text(json.dumps(whole, indent=2) + "\n")


def main() -> None:
    """Do the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=["rate", "time", "cats", "best"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keras-python", default=".venv-bench/bin/python")
    parser.add_argument("--mnist", default="train mnist --recipe fast", help="ours for `time`")
    parser.add_argument("--cats", default="train cats-dogs --recipe best", help="ours for `best`")
    parser.add_argument("--epochs", type=int, default=45, help="of Keras in `best`")
    given = parser.parse_args()
    os.environ["NUNBIT_DATA"]  # said at once where it is missing
    for part in given.parts or ["rate", "time", "cats", "best"]:
        if part in ("rate", "cats"):
            compare_rates(given, cats=part == "cats")
        elif part == "time":
            time_to_accuracy(given)
        else:
            best_accuracy(given)


if __name__ == "__main__":
    main()
