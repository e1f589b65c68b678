"""A network that is too large for one rank: each holds a part of every weight (FSDP).

A stage's weights are gathered when it computes and let go afterwards; its gradients are
added up and parted again. So weights, gradients and the optimizer's sums take a rank's
share of the memory, and every forward and backward pass sends the weights around.

Source: Rajbhandari et al. 2020, "ZeRO", arXiv:1910.02054, stage 3; torch's
    ``torch.distributed.fsdp.fully_shard``.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from nunbit.data.pictures import PictureSet
from nunbit.errors import OptionError
from nunbit.model import Model
from nunbit.training.exchange import share_weights
from nunbit.training.parallel import Buffers, Norms, Parallel
from nunbit.training.ranks import Ranks

__all__ = ["Sharded", "find_stages"]

LARGEST_STAGE, SMALLEST_STAGE = 1 / 8, 1 / 64
"""Shares of all weights. A stage is whole in memory while it computes, so none should be large;
each is a message, so none should be tiny."""

NEVER_WHOLE = ("on_train_batch_begin", "on_train_batch_end")
"""Hooks before which the weights are not gathered: it would take longer than the step."""


class Sharded(Parallel):
    """A rank of many that hold the network together.

    During training ``model.network`` is a copy whose weights are parted; the model's own
    network lies without memory ("meta") and gets the weights in :meth:`finish`.

    Args:
        model: Its weights are made those of the first rank.
        sync_batch_norm: Whether batch norm sees the pictures of all ranks.
        timeout_s: Seconds after which a rank that does not answer is lost.
    """

    def __init__(
        self,
        model: Model,
        ranks: Ranks,
        *,
        sync_batch_norm: bool = False,
        timeout_s: int = 600,
    ) -> None:
        share_weights(model.network)
        self.model, self.plain, self.device = model, model.network, model.device
        self.ranks = ranks
        made = model.preprocessing
        shape = (2, made.channels, made.image_size, made.image_size)
        stages = find_stages(self.plain, shape)
        network = copy.deepcopy(self.plain)
        _make_contiguous(network)
        self.plain.to("meta")
        mesh = DeviceMesh(self.device.type, list(range(dist.get_world_size())))
        parted = [network.get_submodule(name) for name in stages]
        for module in (*parted, network):
            fully_shard(module, mesh=mesh)
        for module in network.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)  # parts of the loss add up already
                module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
        super().__init__(network)
        model.network = network
        self.buffers = Buffers(network)
        self.norms = Norms(network, wanted=sync_batch_norm, timeout_s=timeout_s)

    @contextlib.contextmanager
    def exchanging(self, *, last: bool, share: float) -> Iterator[None]:
        self.buffers.begin()
        _as_sharded(self.network).set_requires_gradient_sync(last)
        yield
        if last:
            self.buffers.end(share)

    def held(self) -> Iterable[Tensor]:
        return map(_own, self.network.state_dict().values())

    def weights(self) -> Mapping[str, Tensor]:
        found: Mapping[str, Tensor] = self.gathered(self.network.state_dict())
        return found

    def weights_for(self, hook: str, *, wanted: bool) -> Callable[[], Mapping[str, Tensor]]:
        """Gather the weights before the first rank's callbacks are called, which it does alone."""
        if not wanted or hook in NEVER_WHOLE:
            return _refuse
        found = self.weights()
        return lambda: found

    def gathered(self, value: Any) -> Any:
        """Return plain data with whole tensors, in the processor's memory of the first rank."""
        if isinstance(value, Mapping):
            return {key: self.gathered(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.gathered(each) for each in value]
        if isinstance(value, DTensor):
            whole = value.full_tensor().detach()
            return whole.cpu() if self.ranks.is_first else None
        return value

    def part(self, tensor: Tensor, *, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor):
            return super().part(tensor, like=like)
        whole = tensor.detach().to(like.device)
        # Every rank has the whole, so nothing needs to be sent.
        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)

    def parts(
        self, weights: Mapping[str, Tensor], held: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        return {
            name: self.part(value, like=held[name])
            if name in held and value.shape == held[name].shape
            else value
            for name, value in weights.items()
        }

    def load(self, weights: Mapping[str, Tensor]) -> None:
        super().load(self.parts(weights, self.network.state_dict()))

    def in_step(
        self, pictures: PictureSet, mine: slice, *, size: int, most: int
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield this rank's pictures, and any picture until all ranks have looked as often."""
        done = 0
        for chunk in pictures.chunks(size, mine):
            yield chunk
            done += 1
        for _ in range(-(-most // size) - done):
            yield pictures.take(slice(0, 1))

    def agreed(self, stops: bool) -> bool:
        return bool(self.ranks.worst(int(stops)))

    def finish(self) -> None:
        self.norms.close()
        self.plain.to_empty(device=self.device)
        held = self.network.state_dict()
        with torch.no_grad():
            for name, value in self.plain.state_dict().items():
                mine = held[name]
                whole = mine.full_tensor() if isinstance(mine, DTensor) else mine
                value.copy_(whole)
        self.plain.train(self.network.training)
        self.model.network = self.plain

    def close(self) -> None:
        self.norms.close()


def find_stages(network: nn.Module, shape: tuple[int, int, int, int]) -> list[str]:
    """Return the modules whose weights are gathered together, by name, in order.

    They are the largest ones that hold at most an eighth of all weights; a layer that
    holds more is a stage alone. Only modules that are called count: the weights of others
    are read by someone else. What is left over belongs to the network as a whole.

    Args:
        shape: Of pictures (B, C, H, W) that the network takes.

    Example:
        >>> layers = [nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(3)]
        >>> find_stages(nn.Sequential(*layers), (2, 8, 8, 8))
        ['0.0', '1.0', '2.0']
    """
    called = _called(network, shape)
    total = sum(p.numel() for p in network.parameters())
    found: list[str] = []

    def open_up(module: nn.Module, prefix: str) -> None:
        for name, child in module.named_children():
            place = f"{prefix}{name}"
            size = sum(p.numel() for p in child.parameters())
            if size < SMALLEST_STAGE * total:
                continue
            has_children = any(True for _ in child.children())
            if place in called and (size <= LARGEST_STAGE * total or not has_children):
                found.append(place)
            else:
                open_up(child, f"{place}.")

    open_up(network, "")
    return found


def _called(network: nn.Module, shape: tuple[int, int, int, int]) -> set[str]:
    """Return the names of the modules that a forward pass calls, each exactly once."""
    ghost = copy.deepcopy(network).to("meta").train()
    counts: dict[str, int] = {}
    for name, module in ghost.named_modules():

        def count(_: nn.Module, __: object, name: str = name) -> None:
            counts[name] = counts.get(name, 0) + 1

        module.register_forward_pre_hook(count)
    with torch.no_grad():
        ghost(torch.empty(shape, device="meta"))
    return {name for name, times in counts.items() if times == 1}


def _make_contiguous(network: nn.Module) -> None:
    """Lay weights out in the plain order: torch cannot part others."""
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()


def _own(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _refuse() -> Mapping[str, Tensor]:
    raise OptionError(
        "a callback or logger asked for the weights while they are in parts (`--parallel fsdp`). "
        "Ask for them in a callback's `on_epoch_end`, or pass `--parallel ddp`."
    )


def _as_sharded(network: nn.Module) -> FSDPModule:
    if not isinstance(network, FSDPModule):
        raise TypeError(f"{type(network).__name__} is not sharded.")
    return network
