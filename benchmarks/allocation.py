"""What it is worth to keep freed memory in the process: seconds of a step, and memory at its peak.

python benchmarks/allocation.py [--rounds 3] [--networks cnn-mnist ...]

The same training step (normalise, forward, loss, backward, Adam) as the C library allocates by
itself and within `nunbit.allocation.memory_kept`, each in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from _common import publish, spread

CASES = {
    "cnn-mnist": (200, 1, 28),
    "cnn-mnist, batch 2,000": (2_000, 1, 28),
    "cnn-cats-dogs": (100, 3, 128),
    "auto": (256, 3, 32),
    "airbench": (500, 3, 32),
    "resnet-18": (64, 3, 224),
}
"""Pictures in a batch, channels, side."""


def step_seconds(name: str, *, kept: bool) -> dict[str, float]:
    """Train a few steps; returns the median step, page faults of one, and memory at its peak."""
    import torch
    import torch.nn.functional as F

    import nunbit
    from nunbit.allocation import memory_kept
    from nunbit.training.layout import gradients_in_layout

    batch, channels, side = CASES[name]
    model = nunbit.create_model(
        name.split(",")[0], classes=10, image_size=side, channels=channels, seed=0
    )
    network = model.network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    pixels = torch.randint(0, 256, (batch, side, side, channels), dtype=torch.uint8)
    images, targets = pixels.permute(0, 3, 1, 2), torch.arange(batch) % 10
    seconds = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(gradients_in_layout(network))
        if kept:
            stack.enter_context(memory_kept())
        for number in range(12):
            if number == 4:  # from here on it counts
                faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            started = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16):
                outputs = network(model.normalise(images))
            optimizer.zero_grad()
            F.cross_entropy(outputs.float(), targets).backward()
            optimizer.step()
            seconds.append(time.perf_counter() - started)
        usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "step": statistics.median(seconds[4:]),
        "faults": (usage.ru_minflt - faults) / 8,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def main() -> None:
    """Run each case both ways, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(step_seconds(given.one[0], kept=given.one[1] == "kept")))
        return
    rows = []
    for name in given.networks:
        found: dict[str, list[dict[str, Any]]] = {"usual": [], "kept": []}
        for turn in range(given.rounds):
            for way in sorted(found, reverse=bool(turn % 2)):
                command = [sys.executable, __file__, "--one", name, way]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[way].append(json.loads(done.stdout))
        steps = {way: spread([each["step"] for each in runs]) for way, runs in found.items()}
        ratios = spread(
            [a["step"] / b["step"] for a, b in zip(found["usual"], found["kept"], strict=True)]
        )
        batch, channels, side = CASES[name]
        rows.append(
            {
                "network": f"{name.split(',')[0]}, {batch:,} of {side}×{side}×{channels}",
                **{f"{way} ms": f"{1e3 * each['median']:,.1f}" for way, each in steps.items()},
                "× quicker": f"{ratios['median']:.2f} ({ratios['min']:.2f}–{ratios['max']:.2f})",
                "page faults a step": " → ".join(
                    f"{statistics.median(each['faults'] for each in runs):,.0f}"
                    for runs in found.values()
                ),
                "peak MB": " → ".join(
                    f"{statistics.median(each['peak_mb'] for each in runs):,.0f}"
                    for runs in found.values()
                ),
                "n": given.rounds,
                "runs": found,
            }
        )
    publish("allocation", [key for key in rows[0] if key != "runs"], rows)


if __name__ == "__main__":
    main()
