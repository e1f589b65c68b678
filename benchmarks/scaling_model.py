"""The cost of many GPUs on paper: prints the tables of ``docs/scaling.md``.

    python benchmarks/scaling_model.py

Nothing is measured here. Every constant is an assumption with its source, to be changed
for another cluster; the formulas are those of the page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PER_NODE = 8
USED = 0.8
"""Share of a link's rate that large messages reach."""
NVLINK = 300e9
"""Bytes per second and direction of an A100 (600 GB/s both ways)."""
NETWORKS = {"8 × HDR InfiniBand": 8 * 25e9, "100 GbE": 12.5e9}
"""Bytes per second and direction of a node: DGX A100 has eight cards of 200 Gb/s."""
HOP_NVLINK, HOP_INFINIBAND, HOP_TCP = 3e-6, 6e-6, 30e-6
"""Seconds for a small message to the next rank."""
JITTER = 0.01
"""Standard deviation of a step's length between ranks, as a share of it."""
SIZES = (1, 8, 64, 256, 1000)


@dataclass(frozen=True)
class Work:
    """A network on one GPU.

    Args:
        step_s: Forward and backward pass of a rank's batch.
        gradients: Bytes, in float32.
        norms: Batch norm layers.
        last: Bytes of the last bucket, behind which no backward pass is left to hide it.
    """

    name: str
    batch: int
    step_s: float
    gradients: float
    norms: int
    last: float


RESNET = Work("resnet-50", 256, 256 / 2470, 102.2e6, 53, 25e6)
"""2,470 pictures/s: NVIDIA DeepLearningExamples, ResNet50 v1.5, A100 80GB, mixed precision."""
SMALL = Work("cnn-mnist", 256, 2e-3, 4.8e6, 0, 3.8e6)
"""2 ms: about 60 kernels in each direction that take longer to start than to run; assumed."""


def hops(gpus: int) -> float:
    """Return the latency of one all-reduce of a small message, by trees over the nodes."""
    inside = 2 * math.log2(min(gpus, PER_NODE)) * HOP_NVLINK if gpus > 1 else 0.0
    nodes = gpus / PER_NODE
    return inside + (2 * math.ceil(math.log2(nodes)) * HOP_INFINIBAND if nodes > 1 else 0.0)


def all_reduce(size_bytes: float, gpus: int, node_rate: float) -> float:
    """Return seconds: 2 (N - 1) / N times the bytes through the narrowest link, and hops."""
    if gpus == 1:
        return 0.0
    rate = NVLINK if gpus <= PER_NODE else min(NVLINK, node_rate)
    return 2 * (gpus - 1) / gpus * size_bytes / (USED * rate) + hops(gpus)


def control(gpus: int) -> float:
    """Return seconds of the message after each step, a ring of TCP connections (gloo)."""
    return 2 * (gpus - 1) * HOP_TCP


def row(work: Work, gpus: int, node_rate: float) -> tuple[float, ...]:
    """Return seconds of exchange, of it not hidden, of waiting, of control, and efficiency."""
    exchange = all_reduce(work.gradients, gpus, node_rate)
    backward = 2 / 3 * work.step_s
    bare = max(exchange - backward, all_reduce(work.last, gpus, node_rate)) if gpus > 1 else 0.0
    waiting = JITTER * work.step_s * math.sqrt(2 * math.log(gpus))
    told = control(gpus)
    # The host waits for the message while the GPU computes; a third of a step it needs itself.
    late = max(0.0, told - 2 / 3 * work.step_s)
    return exchange, bare, waiting, told, work.step_s / (work.step_s + bare + waiting + late)


def main() -> None:
    """Print the tables."""
    for work in (RESNET, SMALL):
        for name, rate in NETWORKS.items():
            print(
                f"\n{work.name}, batch {work.batch} per GPU, {1e3 * work.step_s:.1f} ms, {name}\n"
            )
            print(
                "| GPUs | exchange | not hidden | waiting for the slowest | control | efficiency |"
            )
            print("|---|---|---|---|---|---|")
            for gpus in SIZES:
                *times, share = row(work, gpus, rate)
                cells = " | ".join(f"{1e3 * each:.2f} ms" for each in times)
                print(f"| {gpus:,} | {cells} | {100 * share:.0f} % |")
    print(
        "\n| GPUs | synchronised batch norm of resnet-50 | pictures/s | read |\n|---|---|---|---|"
    )
    for gpus in SIZES:
        norm = 2 * RESNET.norms * (hops(gpus) + 10e-6 * (gpus > 1))
        rate = gpus * RESNET.batch / RESNET.step_s
        print(f"| {gpus:,} | {1e3 * norm:.1f} ms | {rate:,.0f} | {rate * 110e3 / 1e9:.2f} GB/s |")


if __name__ == "__main__":
    main()
