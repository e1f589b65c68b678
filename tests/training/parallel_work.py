"""What the ranks of ``test_parallel.py`` do; each function is run by all of them."""

from __future__ import annotations

import faulthandler
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

import nunbit
from nunbit.training import parallel
from nunbit.training.callbacks import Callback, LoadWeights, Moment
from nunbit.training.exchange import GradientSum
from nunbit.training.parallel import Buffers, Parallel
from nunbit.training.ranks import current_ranks
from nunbit.training.sync_norm import put_back, synchronise

SIDE = 8


def on_ranks(work: str, folder: Path, timeout_s: int) -> None:
    """Do a work of this file as one of many ranks, and leave what it gave in the folder."""
    faulthandler.dump_traceback_later(timeout_s, exit=True)  # says where it hangs
    found = {"resumes": resumes, "everything": everything}[work](folder)
    torch.save(found, folder / f"{current_ranks().rank}.pt")
    current_ranks().wait()
    faulthandler.cancel_dump_traceback_later()


def pictures() -> nunbit.Pictures:
    """58 pictures to train on, 14 to validate with."""
    rng = np.random.default_rng(11)
    labels = np.arange(72) % 3
    pixels = rng.integers(0, 120, (72, SIDE, SIDE, 1), dtype=np.uint8)
    for k, label in enumerate(labels):
        pixels[k, 2 * label : 2 * label + 2] += 100
    return nunbit.load((pixels.squeeze(3), labels), validation=0.2)


class Presses(Callback):
    """Presses Ctrl-C after a step."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def on_train_batch_end(self, moment: Moment) -> None:
        if (moment.epoch, moment.step) == self.at:
            signal.raise_signal(signal.SIGINT)


class Takes(Callback):
    """Keeps the weights after the first epoch, and puts them back after the second."""

    def __init__(self) -> None:
        self.first: dict[str, Tensor] = {}
        self.seen: dict[str, Tensor] = {}

    def on_epoch_end(self, moment: Moment) -> LoadWeights | None:
        found = dict(moment.weights())
        if moment.epoch == 0:
            self.first = found
        if moment.epoch == 1:
            return LoadWeights(self.first)
        self.seen = found
        return None


def train(
    folder: Path,
    *,
    network: str = "cnn-mnist",
    resume: bool = False,
    callbacks: tuple[Callback, ...] = (),
    **options: Any,
) -> nunbit.Model | None:
    """Train; None where Ctrl-C ended it."""
    given = pictures()
    model = nunbit.create_model_for(given, network=network, seed=5)
    for module in model.network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # each rank draws its own
    how: dict[str, Any] = {"epochs": 4, "batch_size": 20, "precision": "float32", **options}
    where = {"resume": folder} if resume else {"out": folder}
    try:
        nunbit.fit(
            model,
            given,
            options=nunbit.TrainOptions(**how),
            callbacks=callbacks,
            progress=False,
            **where,  # type: ignore[arg-type]
        )
    except KeyboardInterrupt:
        return None
    return model


def bits(model: nunbit.Model | None) -> dict[str, Tensor]:
    assert model is not None
    return {name: value.detach().clone() for name, value in model.network.state_dict().items()}


# --- Three ranks ---------------------------------------------------------------------------


def resumes(folder: Path) -> dict[str, Any]:
    """Train through, and train with an interruption in the middle of an epoch."""
    torch.manual_seed(current_ranks().rank)
    found: dict[str, Any] = {}
    for name, how in {
        "resnet-20": {"network": "resnet-20", "ema": 0.9},
        "clipped": {"network": "mlp", "clip_norm": 0.1, "accumulate": 2, "optimizer": "sgd"},
        "synchronised": {"network": "resnet-20", "sync_batch_norm": True},
    }.items():
        cut = 3 if name == "resnet-20" else 2
        whole = train(folder / f"{name}-whole", callbacks=(Presses(9, 9),), **how)
        if train(folder / f"{name}-cut", callbacks=(Presses(1, cut),), **how) is not None:
            raise AssertionError("Ctrl-C ends a run")
        resumed = train(folder / f"{name}-cut", resume=True, callbacks=(Presses(9, 9),), **how)
        found[name] = (bits(whole), bits(resumed))
    return found


# --- Two ranks -----------------------------------------------------------------------------


def everything(folder: Path) -> dict[str, Any]:
    return {
        "gradients": _gradients(),
        "norms": _norms(),
        "buffers": _buffers(),
        "fits": _fits(folder),
    }


class Branches(nn.Module):
    """Layers of which a step uses some."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.left = nn.Linear(4, 1)
        self.right = nn.Linear(4, 1)
        self.never = nn.Linear(4, 1)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, values: Tensor, *, left: bool) -> Tensor:
        values = self.frozen(self.first(values))
        return (self.left if left else self.right)(values)


def branches() -> tuple[Branches, Tensor]:
    torch.manual_seed(0)
    return Branches(), torch.randn(6, 3)


def _gradients() -> dict[str, Any]:
    """Rank 0 goes left with four values, rank 1 goes right with two; in buckets of one weight."""
    rank = current_ranks().rank
    found = {}
    for bucket_bytes in (1, 40, 1 << 20):
        network, values = branches()
        gradients = GradientSum(network.parameters(), bucket_bytes=bucket_bytes)
        mine = (values[:4], values[4:])[rank]
        for half, last in zip(mine.chunk(2), (False, True), strict=True):
            if last:
                gradients.begin()
            network(half, left=rank == 0).sum().backward()
        gradients.end()
        found[bucket_bytes] = {n: p.grad for n, p in network.named_parameters()}
        layout = [[p.numel() for p in b.parameters] for b in gradients.buckets]
        found[f"layout {bucket_bytes}"] = layout
        network.zero_grad()
        network(mine, left=True).sum().backward()  # nobody's but this rank's: not last
        found[f"alone {bucket_bytes}"] = network.left.bias.grad
        gradients.close()
    return found


def normed(kind: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network of batch norms, its input, and what the output is weighed with."""
    torch.manual_seed(1)
    if kind == "pictures":
        network: nn.Module = nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.BatchNorm2d(3, momentum=None)
        )
        values = torch.randn(7, 2, 5, 6) * 3 + 100
    else:
        network = nn.Sequential(
            nn.BatchNorm1d(4),
            nn.Linear(4, 4),
            nn.BatchNorm1d(4, affine=False),
            nn.BatchNorm1d(4, track_running_stats=False),
        )
        values = torch.randn(7, 4)
    network.double()
    return network, values.double(), torch.randn(7, 1).double()


def normed_once(network: nn.Module, values: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Two training passes and one of evaluation; what came out, and gradients."""
    values = values.clone().requires_grad_()
    for _ in range(2):
        network.zero_grad()
        values.grad = None
        outputs = network(values)
        (outputs.square().flatten(1).sum(1, keepdim=True) * weights).sum().backward()
    assert values.grad is not None
    found = {f"gradient {n}": p.grad for n, p in network.named_parameters() if p.grad is not None}
    found |= {"outputs": outputs.detach(), "inputs": values.grad}
    found |= dict(network.named_buffers())
    found["evaluated"] = network.eval()(values).detach() if len(values) else outputs
    return found


def _norms() -> dict[str, Any]:
    rank = current_ranks().rank
    found = {}
    for kind in ("pictures", "vectors"):
        for cut in (1, 4):
            network, values, weights = normed(kind)
            part = slice(0, cut) if rank == 0 else slice(cut, None)
            changed = synchronise(network, None)
            result = normed_once(network, values[part], weights[part])
            put_back(changed)
            found[kind, cut] = (result, [type(m).__name__ for m in network.modules()])
    return found


def _buffers() -> dict[str, Tensor]:
    """Rank 0 counts for three quarters."""
    rank = current_ranks().rank
    network = nn.BatchNorm1d(2)
    network.register_buffer("constant", torch.tensor(0.1))
    buffers = Buffers(network)
    for _ in range(50):
        buffers.begin()
        assert network.running_mean is not None
        network.running_mean += 1.0 if rank == 0 else 5.0
        buffers.end(0.75 if rank == 0 else 0.25)
    return {name: value.clone() for name, value in network.named_buffers()}


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"clip_norm": 0.05, "accumulate": 3, "ema": 0.9, "optimizer": "sgd"},
    "synchronised": {"network": "resnet-20", "sync_batch_norm": True, "optimizer": "sgd"},
    "weights taken": {"taken": True, "ema": 0.9},
}


def fit_case(folder: Path, name: str, **more: Any) -> tuple[dict[str, Tensor], Any]:
    how = {**CASES[name], **more}
    takes = Takes()
    callbacks = (takes,) if how.pop("taken", False) else ()
    model = train(folder, callbacks=callbacks, **how)
    return bits(model), takes.seen


def _fits(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in CASES:
        found[name, "ddp"] = fit_case(folder / f"{name}-ddp", name)
        parted: dict[str, Any] = {}
        with _watched(parted):
            found[name, "fsdp"] = fit_case(folder / f"{name}-fsdp", name, parallel="fsdp")
        found[name, "held"] = parted
    _goes_on_elsewhere(folder, found)
    return found


class _watched:
    """Notes what a rank holds of the weights, and of what the optimizer keeps."""

    def __init__(self, into: dict[str, Any]) -> None:
        self.into = into
        self.real = parallel.Parallel.load

    def __enter__(self) -> None:
        from nunbit.training import sharding

        into, real = self.into, sharding.Sharded.finish
        self.sharding, self.finish = sharding, real

        def finish(self: Parallel) -> None:
            parameters = list(self.network.parameters())
            into["own"] = sum(p.to_local().numel() for p in parameters if isinstance(p, DTensor))
            into["all"] = sum(p.numel() for p in parameters)
            into["plain"] = sum(not isinstance(p, DTensor) for p in parameters)
            real(self)  # type: ignore[arg-type]

        sharding.Sharded.finish = finish  # type: ignore[assignment,method-assign]

    def __exit__(self, *_: object) -> None:
        self.sharding.Sharded.finish = self.finish  # type: ignore[method-assign]


def _goes_on_elsewhere(folder: Path, found: dict[str, Any]) -> None:
    """Begin with fsdp, end with ddp; and the other way round; the state is whole in the file."""
    how = {"ema": 0.9}
    for first, then in (("fsdp", "ddp"), ("ddp", "fsdp"), ("fsdp", "fsdp")):
        place = folder / f"{first}-{then}"
        assert train(place, parallel=first, callbacks=(Presses(1, 2),), **how) is None
        if current_ranks().is_first and (first, then) == ("fsdp", "ddp"):
            shutil.copytree(place, folder / "fsdp-alone")
        dist.barrier()
        model = train(place, parallel=then, resume=True, callbacks=(Presses(9, 9),), **how)
        found[first, then] = bits(model)
    found["never interrupted"] = bits(
        train(folder / "fsdp-whole", parallel="fsdp", callbacks=(Presses(9, 9),), **how)
    )
