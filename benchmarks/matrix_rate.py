"""Share of this machine's own matrix rate that a bare training step reaches, and where time goes.

It times a step written out here, with what training puts around the network, on random
pictures that are ready: not `nunbit train`, which also reads, shuffles and augments pictures,
validates and writes; `loop_cost.py` has the part of the loop.

python benchmarks/matrix_rate.py [--rounds 3] [--only resnet-18] [--operators resnet-18]

The machine's rate: the best of ``torch.mm`` over square matrices of 256 to 4096, in the same
number format and threads. Of the step: multiply-adds of the forward pass from the layer table
(convolutions and dense layers only), times 2 for floating-point operations, times 3 for
forward and the two products of the backward pass (the first layer's second product is counted,
though it is not computed), over the wall time of whole steps: uint8 pictures normalised,
forward, loss, backward, optimizer. Rates and steps are measured in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from _common import publish, spread

import nunbit
from nunbit.allocation import memory_kept
from nunbit.networks import layer_table
from nunbit.training.device import make_plan
from nunbit.training.layout import gradients_in_layout
from nunbit.training.lean_optimizers import lean_adam
from nunbit.training.pooling import pooling_first

CASES = {
    "cnn-mnist (28 grey)": (200, 1, 28),
    "auto (28 grey)": (256, 1, 28),
    "auto (32 colour)": (256, 3, 32),
    "auto (128 colour)": (64, 3, 128),
    "resnet-18 (224 colour)": (32, 3, 224),
}
SIDES = (256, 512, 1024, 2048, 4096)


def matrix_rate(kind: torch.dtype, *, seconds: float) -> tuple[float, int]:
    """Return the best rate of a product of square matrices in FLOP/s, and their side."""
    best = (0.0, 0)
    for side in SIDES:
        a = torch.randn(side, side).to(kind)
        b = torch.randn(side, side).to(kind)
        out = torch.mm(a, b)
        until = time.perf_counter() + seconds / len(SIDES)
        while True:
            started = time.perf_counter()
            torch.mm(a, b, out=out)
            ended = time.perf_counter()
            best = max(best, (2 * side**3 / (ended - started), side))
            if ended > until:
                break
    return best


def make_step(
    name: str, precision: str, stack: contextlib.ExitStack
) -> tuple[Callable[[], None], float, str]:
    """Return one training step, its FLOP, and how it computes.

    Args:
        stack: Holds what training puts around the network.
    """
    batch, channels, size = CASES[name]
    model = nunbit.create_model(
        name.split()[0], classes=10, channels=channels, image_size=size, seed=0
    )
    network = model.network.train()
    options = nunbit.TrainOptions(precision=precision, compile="off")  # type: ignore[arg-type]
    plan = make_plan(options, network=network)
    if plan.channels_last:
        network.to(memory_format=torch.channels_last)
    adds = sum(
        row.multiply_adds for row in layer_table(network, channels=channels, image_size=size)
    )
    pixels = torch.randint(0, 256, (batch, size, size, channels), dtype=torch.uint8)
    images, targets = pixels.permute(0, 3, 1, 2), torch.randint(0, 10, (batch,))
    kind = lean_adam(torch.optim.AdamW, network.parameters())
    optimizer = kind(network.parameters(), fused=True)
    stack.enter_context(gradients_in_layout(network))
    stack.enter_context(pooling_first(network))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        inputs = model.normalise(images)
        with plan.autocast():
            outputs = network(inputs)
        F.cross_entropy(outputs.float(), targets).backward()
        optimizer.step()

    return step, 3 * 2 * adds * batch, plan.describe()


def best_of(step: Callable[[], None], count: int) -> float:
    """Return the seconds of the quickest of some steps."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def operators(name: str, stack: contextlib.ExitStack) -> None:
    """Print where the time of a step goes."""
    step, _, plan = make_step(name, "auto", stack)
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(3):
            step()
    print(name, plan)
    print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))


def main() -> None:
    """Measure the machine and the networks in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="networks with this in their name")
    parser.add_argument("--operators", default="", help="show where the time of this one goes")
    given = parser.parse_args()
    chosen = [name for name in CASES if given.only in name]
    stack = contextlib.ExitStack()
    stack.enter_context(memory_kept())  # as training does
    if given.operators:
        operators(next(name for name in CASES if given.operators in name), stack)
        return
    rows = []
    for name in chosen:
        for precision, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            step, flop, plan = make_step(name, precision, stack)
            best_of(step, 2)
            peaks, rates = [], []
            for _ in range(given.rounds):
                peaks.append(matrix_rate(kind, seconds=2.0)[0])
                rates.append(flop / best_of(step, 5))
            peak, rate = spread(peaks), spread(rates)
            shares = spread([100 * a / b for a, b in zip(rates, peaks, strict=True)])
            rows.append(
                {
                    "network": name,
                    "format": precision,
                    "machine GFLOP/s": f"{peak['median'] / 1e9:,.0f}",
                    "step GFLOP/s": f"{rate['median'] / 1e9:,.0f}",
                    "share %": f"{shares['median']:.0f} ({shares['min']:.0f}–{shares['max']:.0f})",
                    "n": given.rounds,
                    "plan": plan,
                    "figures": {"machine": peak, "training": rate, "share": shares},
                }
            )
            print(rows[-1]["network"], precision, rows[-1]["share %"], flush=True)
    publish("matrix_rate", [k for k in rows[0] if k not in ("figures", "plan")], rows)


if __name__ == "__main__":
    main()
