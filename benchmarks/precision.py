"""Training throughput by number format and memory layout: the ground of `--precision auto`.

python benchmarks/precision.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import contextlib
import time

import torch
import torch.nn.functional as F
from _common import publish, spread

from nunbit.networks import create_network

CASES = {
    "mlp": (200, 1, 28),
    "cnn-mnist": (200, 1, 28),
    "cnn-cats-dogs": (100, 3, 128),
    "auto (28 grey)": (256, 1, 28),
    "auto (32 colour)": (256, 3, 32),
    "auto (128 colour)": (32, 3, 128),
}
WAYS = [(False, False), (False, True), (True, False), (True, True)]
STEPS = 8


def make_step(name: str, *, bfloat16: bool, channels_last: bool):  # a closure
    """Return a function that does one training step."""
    batch, channels, size = CASES[name]
    network = create_network(name.split()[0], outputs=10, channels=channels, image_size=size)
    images = torch.randn(batch, channels, size, size)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, 10, (batch,))
    optimizer = torch.optim.AdamW(network.parameters())

    def step() -> None:
        context = torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext()
        with context:
            outputs = network(images)
        F.cross_entropy(outputs.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main() -> None:
    """Time all ways of all cases in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rows = []
    for name, (batch, _, _) in CASES.items():
        steps = [make_step(name, bfloat16=b, channels_last=c) for b, c in WAYS]
        rates: list[list[float]] = [[] for _ in WAYS]
        for turn in range(rounds + 1):
            for k, step in enumerate(steps):
                started = time.perf_counter()
                for _ in range(STEPS):
                    step()
                if turn:
                    rates[k].append(batch * STEPS / (time.perf_counter() - started))
        medians = [spread(each)["median"] for each in rates]
        rows.append(
            {
                "network": name,
                "float32": f"{medians[0]:.0f}/s",
                "float32, channels last": f"{medians[1] / medians[0]:.2f} ×",
                "bfloat16": f"{medians[2] / medians[0]:.2f} ×",
                "bfloat16, channels last": f"{medians[3] / medians[0]:.2f} ×",
                "n": rounds,
                "figures": [spread(each) for each in rates],
            }
        )
    publish("precision", [k for k in rows[0] if k != "figures"], rows)


if __name__ == "__main__":
    main()
