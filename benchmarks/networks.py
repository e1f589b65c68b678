"""Speed of each family as Nunbit runs it, against the plain definition.

python benchmarks/networks.py [--rounds 5] [--only resnet-18 ...]

The plain definition is the same network written with ``torch.nn`` and run with default
settings: float32, contiguous; torch's own LocalResponseNorm, grouped convolutions in
place of AlexNet's towers, dense kernels with a mask for LeNet's connection table.
Nunbit runs its own file: channels last, and bfloat16 where ``--precision auto`` takes
it. "float32" is Nunbit's file in float32, so that the gain of the layout alone is seen.
All ways take turns; ratios are of medians.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from _common import publish, spread
from torch import Tensor, nn

from nunbit.layers import LocalResponseNorm, Subsampling, TableConv2d
from nunbit.networks import create_network, find_network, split_auxiliary
from nunbit.training.device import make_plan

CASES = {
    "lenet-5": 200,
    "lenet-5-modern": 200,
    "alexnet": 16,
    "alexnet-owt": 16,
    "vgg-a": 4,
    "vgg-a-lrn": 4,
    "vgg-d": 4,
    "googlenet": 8,
    "googlenet-bn": 8,
    "resnet-18": 8,
    "resnet-50": 8,
    "plain-18": 8,
    "resnet-20": 100,
    "conv1d": 200,
    "mlp": 200,
    "cnn-mnist": 200,
    "cnn-cats-dogs": 50,
}
"""Names with pictures in a batch."""


class PlainSubsampling(nn.Module):
    """Average pooling, times four, times a weight, plus a bias."""

    def __init__(self, ours: Subsampling) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(ours.size)
        self.weight, self.bias, self.area = ours.weight, ours.bias, ours.size**2

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
        return self.pool(x) * self.area * weight + bias


class PlainTable(nn.Module):
    """A dense convolution whose kernel is multiplied by a mask of the connections."""

    def __init__(self, ours: TableConv2d) -> None:
        super().__init__()
        maps = 1 + max(max(row) for row in ours.table)
        self.conv = nn.Conv2d(maps, len(ours.table), ours.kernel_size)
        mask = torch.zeros(len(ours.table), maps, 1, 1)
        for row, connected in enumerate(ours.table):
            mask[row, list(connected)] = 1
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.conv.weight * self.mask, self.conv.bias)


def plain_alexnet(outputs: int) -> nn.Module:
    """Return AlexNet as it is commonly written: two groups instead of two towers."""

    def norm() -> nn.Module:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2)

    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), norm(), pool()),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm(), pool()),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), pool(), nn.Flatten()),
        *(nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(4096, outputs)),
    )


def plain(name: str, network: nn.Module, outputs: int) -> nn.Module:
    """Return the same network as anyone would write it with ``torch.nn``."""
    if name == "alexnet":
        return plain_alexnet(outputs)
    other = copy.deepcopy(network)
    for path, module in list(other.named_modules()):
        parent, _, last = path.rpartition(".")
        place = other.get_submodule(parent)
        if isinstance(module, LocalResponseNorm):
            alpha = module.alpha * module.n
            setattr(place, last, nn.LocalResponseNorm(module.n, alpha, module.beta, module.k))
        elif isinstance(module, Subsampling):
            setattr(place, last, PlainSubsampling(module))
        elif isinstance(module, TableConv2d):
            setattr(place, last, PlainTable(module))
    return other


def ways(name: str) -> dict[str, tuple[nn.Module, bool, bool]]:
    """Return network, bfloat16 and channels last of each way to run it."""
    info = find_network(name)
    outputs = 1000 if info.image_size > 200 else 10
    shape = {"outputs": outputs, "channels": info.channels, "image_size": info.image_size}
    ours = create_network(name, **shape)
    plan = make_plan("cpu", "auto", network=ours)
    return {
        "plain": (plain(name, ours, outputs), False, False),
        "float32": (copy.deepcopy(ours), False, plan.channels_last),
        "as Nunbit runs it": (ours, plan.bfloat16, plan.channels_last),
    }


def passes(
    network: nn.Module, images: Tensor, *, bfloat16: bool, channels_last: bool
) -> dict[str, Callable[[], None]]:
    """Return a forward pass without gradients, and a whole training step."""
    if channels_last:
        network.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.zeros(len(images), dtype=torch.long)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6)

    def context() -> AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext()

    def forward() -> None:
        network.eval()
        with torch.inference_mode(), context():
            network(images)

    def step() -> None:
        network.train()
        with context():
            first, others = split_auxiliary(network(images))
        loss = F.cross_entropy(first.float(), targets)
        for weight, other in others:
            loss = loss + weight * F.cross_entropy(other.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return {"forward": forward, "training step": step}


def main() -> None:
    """Time all ways of all networks in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    given = parser.parse_args()
    rows = []
    for name in given.only:
        info, batch = find_network(name), CASES[name]
        images = torch.randn(batch, info.channels, info.image_size, info.image_size)
        made = {
            way: passes(network, images, bfloat16=b, channels_last=c)
            for way, (network, b, c) in ways(name).items()
        }
        row: dict[str, object] = {"network": name, "batch": batch, "n": given.rounds}
        figures = {}
        for what in ("forward", "training step"):
            seconds: dict[str, list[float]] = {way: [] for way in made}
            for turn in range(given.rounds + 1):
                for way, each in made.items():
                    started = time.perf_counter()
                    each[what]()
                    if turn:  # the first one sets memory aside
                        seconds[way].append(time.perf_counter() - started)
            medians = {way: spread(values)["median"] for way, values in seconds.items()}
            row[f"{what}, plain"] = f"{batch / medians['plain']:,.0f}/s"
            for way in list(made)[1:]:
                row[f"{what}, {way}"] = f"{medians['plain'] / medians[way]:.2f} ×"
            figures[what] = {way: spread(values) for way, values in seconds.items()}
        rows.append({**row, "figures": figures})
        print({k: v for k, v in row.items() if k != "figures"}, flush=True)
    publish("networks", [k for k in rows[0] if k != "figures"], rows)


if __name__ == "__main__":
    main()
