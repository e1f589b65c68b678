"""Training throughput by number format, memory layout and torch.compile: the ground of the rules.

python benchmarks/precision.py [--rounds 5] [--compile]

Without ``--compile`` the columns are formats and layouts; with it, the best of them (bfloat16,
channels last) beside the same compiled, with the seconds that compiling took from an empty
cache (results/compile.json). `--precision auto` and `--compile auto` follow these tables.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from _common import publish, spread

from nunbit.allocation import memory_kept
from nunbit.networks import create_network

CASES = {
    "mlp": (200, 1, 28),
    "cnn-mnist": (200, 1, 28),
    "cnn-cats-dogs": (100, 3, 128),
    "auto (28 grey)": (256, 1, 28),
    "auto (32 colour)": (256, 3, 32),
    "auto (128 colour)": (32, 3, 128),
}
COMPILED = {
    **{name: CASES[name] for name in CASES if name.startswith(("cnn-mnist", "auto"))},
    "resnet-18 (64 colour)": (64, 3, 64),
    "resnet-18 (224 colour)": (16, 3, 224),
}
WAYS = [(False, False), (False, True), (True, False), (True, True)]
STEPS = 8


def make_step(
    name: str,
    case: tuple[int, int, int],
    *,
    bfloat16: bool,
    channels_last: bool,
    compiled: bool = False,
) -> Callable[[], None]:
    """Return a function that does one training step."""
    batch, channels, size = case
    network = create_network(name.split()[0], outputs=10, channels=channels, image_size=size)
    images = torch.randn(batch, channels, size, size)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, 10, (batch,))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    forward = torch.compile(network, dynamic=False) if compiled else network

    def step() -> None:
        context = torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext()
        with context:
            outputs = forward(images)
        F.cross_entropy(outputs.float(), targets).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def in_turns(steps: list[Callable[[], None]], batch: int, rounds: int) -> list[list[float]]:
    """Return pictures per second of each, ``rounds`` times."""
    rates: list[list[float]] = [[] for _ in steps]
    for turn in range(rounds + 1):
        for k, step in enumerate(steps):
            started = time.perf_counter()
            for _ in range(STEPS):
                step()
            if turn:
                rates[k].append(batch * STEPS / (time.perf_counter() - started))
    return rates


def formats(rounds: int) -> None:
    """Time all formats and layouts."""
    rows = []
    for name, case in CASES.items():
        steps = [make_step(name, case, bfloat16=b, channels_last=c) for b, c in WAYS]
        rates = in_turns(steps, case[0], rounds)
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


def compiling(rounds: int, only: str) -> None:
    """Time the same step as it is and compiled."""
    rows = []
    for name, case in COMPILED.items():
        if only not in name:
            continue
        options = {"bfloat16": True, "channels_last": True}
        plain = make_step(name, case, **options)
        plain()
        torch._dynamo.reset()
        quick = make_step(name, case, compiled=True, **options)
        started = time.perf_counter()
        quick()
        seconds = time.perf_counter() - started
        rates = in_turns([plain, quick], case[0], rounds)
        ratio = spread([b / a for a, b in zip(*rates, strict=True)])
        rate, gain = spread(rates[0])["median"], ratio["median"]
        saved = (1 - 1 / gain) / rate  # seconds of each picture
        rows.append(
            {
                "network": name,
                "as it is": f"{rate:.0f}/s",
                "compiled": f"{gain:.2f} × ({ratio['min']:.2f}–{ratio['max']:.2f})",
                "compiling s": f"{seconds:.0f}",
                "pays after pictures": f"{seconds / saved:,.0f}" if saved > 0 else "never",
                "n": rounds,
                "figures": [spread(each) for each in rates],
                "ratio": ratio,
                "compile_seconds": seconds,
            }
        )
        print(rows[-1], flush=True)
    hidden = ("figures", "ratio", "compile_seconds")
    publish("compile", [k for k in rows[0] if k not in hidden], rows)


def main() -> None:
    """Time what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--only", default="", help="compile only networks with this in their name")
    given = parser.parse_args()
    with memory_kept(), tempfile.TemporaryDirectory() as cache:  # as training does
        if not given.compile:
            formats(given.rounds)
            return
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        compiling(given.rounds, given.only)


if __name__ == "__main__":
    main()
