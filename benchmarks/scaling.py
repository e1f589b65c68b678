"""What it costs to train with two processes instead of one on the same two cores.

    python benchmarks/scaling.py            # all networks, n = 5 rounds
    python benchmarks/scaling.py --rounds 2 --networks mlp

The same batch is computed by one rank with two threads and by two ranks with one thread
each. In the second case steps with and without the exchange take turns, so their
difference is what the exchange costs; the messages go over gloo, through the memory of
this machine. Data is random and ready: the way of pictures is not measured here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BATCH = 256
NETWORKS = {"mlp": (28, 1), "cnn-mnist": (28, 1), "resnet-20": (32, 3)}
"""Side and channels of the pictures."""
STEPS = 6
"""Steps of a round, of which the first is not counted."""


def work(names: list[str], rounds: int, threads: int) -> list[dict[str, Any]]:
    """Measure as one rank; returns seconds of a step with and without exchange."""
    import torch

    import nunbit
    from nunbit.training.parallel import Parallel, Replicated
    from nunbit.training.ranks import current_ranks

    torch.set_num_threads(threads)
    ranks = current_ranks()
    found = []
    for name in names:
        side, channels = NETWORKS[name]
        model = nunbit.create_model(name, classes=10, image_size=side, channels=channels)
        network = model.network.train().to(memory_format=torch.channels_last)
        parallel = Replicated(network) if ranks.size > 1 else Parallel(network)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
        images = torch.rand(BATCH // ranks.size, channels, side, side)
        images = images.contiguous(memory_format=torch.channels_last)
        targets = torch.arange(len(images)) % 10
        times: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            for exchanges in times:
                took = []
                for _ in range(STEPS):
                    ranks.wait()
                    began = time.perf_counter()
                    optimizer.zero_grad(set_to_none=True)
                    with parallel.exchanging(last=exchanges, share=1 / ranks.size):
                        loss = torch.nn.functional.cross_entropy(parallel.forward(images), targets)
                        (loss / ranks.size).backward()
                    optimizer.step()
                    took.append(time.perf_counter() - began)
                times[exchanges].append(statistics.median(took[1:]))
        parallel.close()
        numbers = sum(p.numel() for p in network.parameters())
        buffers = sum(b.numel() for b in network.buffers() if b.is_floating_point())
        found.append(
            {
                "network": name,
                "bytes": 4 * (numbers + buffers),
                "with": times[True],
                "without": times[False],
            }
        )
    return found


def run(ranks: int, threads: int, names: list[str], rounds: int) -> list[dict[str, Any]]:
    """Start the ranks; returns what the first measured."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        how = [__file__, "--networks", *names, "--rounds", str(rounds)]
        how += ["--threads", str(threads), "--out", str(out)]
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
        subprocess.run([sys.executable, *start, *how], check=True)
        found: list[dict[str, Any]] = json.loads(out.read_text())
        return found


def main() -> None:
    """Measure, or be one of the ranks that do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.out:
        from nunbit.allocation import memory_kept
        from nunbit.training.ranks import current_ranks

        with memory_kept():  # as training does
            found = work(asked.networks, asked.rounds, asked.threads)
        if current_ranks().is_first:
            Path(asked.out).write_text(json.dumps(found))
        return

    from _common import publish, spread

    alone = run(1, 2, asked.networks, asked.rounds)
    both = run(2, 1, asked.networks, asked.rounds)
    rows = []
    for one, two in zip(alone, both, strict=True):
        step = {"alone": spread(one["with"]), "two": spread(two["with"])}
        compute = spread(two["without"])
        rows.append(
            {
                "network": one["network"],
                "message": f"{two['bytes'] / 1e6:.2f} MB",
                "1 rank × 2 threads": f"{1e3 * step['alone']['median']:.1f} ms",
                "2 ranks × 1 thread": f"{1e3 * step['two']['median']:.1f} ms",
                "of it computing": f"{1e3 * compute['median']:.1f} ms",
                "of it exchange": f"{1e3 * (step['two']['median'] - compute['median']):.1f} ms",
                "throughput of two": f"{step['alone']['median'] / step['two']['median']:.2f} ×",
                "seconds": {**step, "compute": compute},
            }
        )
    header = [name for name in rows[0] if name != "seconds"]
    publish("scaling", header, rows)


if __name__ == "__main__":
    main()
