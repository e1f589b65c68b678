"""How long the check takes, and that the search for near-duplicates is not quadratic.

NUNBIT_DATA=... python benchmarks/check.py [--runs 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import publish, spread

from nunbit.data.checks import Facts, check_pictures, fast_findings, find_duplicates, scan
from nunbit.data.checks.perceptual import hash_thumbnails
from nunbit.data.pictures import load
from nunbit.data.sources.opening import open_source
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable

COUNTS = (1_000, 4_000, 16_000, 64_000)
COPIED_FRAC = 0.05
"""Share of the made pictures that are noisy copies of others."""


def made(count: int) -> tuple[PictureTable, Facts]:
    """Return facts of made thumbnails: smooth forms, some of them copies with noise."""
    rng = np.random.default_rng(0)
    waves = np.cos(np.pi * np.arange(10)[:, None] * (2 * np.arange(32)[None] + 1) / 64)
    weights = rng.normal(0, 1, (count, 10, 10)).astype(np.float32)
    grey = waves.T.astype(np.float32) @ weights @ waves.astype(np.float32)
    thumbnails = np.clip(128 + 8 * grey, 0, 255).astype(np.uint8)
    copies = int(count * COPIED_FRAC)
    noise = rng.integers(-2, 3, (copies, 32, 32))
    thumbnails[-copies:] = np.clip(thumbnails[:copies] + noise, 0, 255).astype(np.uint8)
    store = ArrayStore(thumbnails, lambda k: f"#{k}")
    split = np.where(np.arange(count) < count - copies, "train", "test")
    labels = np.zeros(count, dtype=np.int64)
    table = PictureTable(store, np.arange(count), labels, ("a",), split, "made")
    side = np.full(count, 32, dtype=np.int32)
    facts = Facts(
        rows=np.arange(count),
        width=side,
        height=side,
        brightness=thumbnails.mean(axis=(1, 2), dtype=np.float32),
        contrast=thumbnails.std(axis=(1, 2), dtype=np.float32),
        content=np.array([k.to_bytes(16, "little") for k in range(count)], dtype="V16"),
        perceptual=hash_thumbnails(thumbnails),
        thumbnails=thumbnails,
        compared=np.ones(count, dtype=bool),
        kinds=((),) * count,
        lies=("",) * count,
    )
    return table, facts


def main() -> None:
    """Time each part in turns, after one round that is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    photographs, digits = open_source("cats-dogs"), open_source("mnist")
    facts = scan(photographs)[0]
    mnist, cats = load("mnist"), load("cats-dogs")
    jobs: dict[str, tuple[int, Callable[[], Any]]] = {
        "check cats-dogs: open and measure": (len(photographs), lambda: scan(photographs)),
        "check cats-dogs: judge": (len(photographs), lambda: check_pictures(photographs, facts)),
        "check mnist, whole": (len(digits), lambda: check_pictures(digits, *scan(digits))),
        "before training, mnist at 28": (
            len(mnist.table),
            lambda: fast_findings(mnist.table, mnist.train.pixels),
        ),
        "before training, cats-dogs at 128": (
            len(cats.table),
            lambda: fast_findings(cats.table, cats.train.pixels),
        ),
    }
    found = {}
    for count in COUNTS:
        table, each = made(count)
        found[count] = len(find_duplicates(table, each).near)
        jobs[f"near-duplicates among {count:,}"] = (
            count,
            lambda table=table, each=each: find_duplicates(table, each),
        )
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for k in range(runs + 1):
        for name, (_, job) in jobs.items():
            started = time.perf_counter()
            job()
            if k:
                times[name].append(time.perf_counter() - started)
    rows = []
    for name, values in times.items():
        figures, count = spread(values), jobs[name][0]
        rows.append(
            {
                "what": name,
                "pictures": f"{count:,}",
                "median s": f"{figures['median']:.3f}",
                "min–max s": f"{figures['min']:.3f}–{figures['max']:.3f}",
                "µs a picture": f"{1e6 * figures['median'] / count:.1f}",
                "n": runs,
                "figures": figures,
            }
        )
    columns = ["what", "pictures", "median s", "min–max s", "µs a picture", "n"]
    publish("check", columns, rows)
    print({f"{count:,}": f"{groups:,} near pairs found" for count, groups in found.items()})


if __name__ == "__main__":
    main()
