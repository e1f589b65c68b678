"""One network trained by many ranks: each computes a part of the batch, gradients are added up.

Every rank's part of the loss is a sum over its pictures divided by the pictures of the
whole batch, so parts of different size count rightly: the step is that of one process
with the whole batch. What differs is what a layer makes of a batch: batch norm sees the
rank's own pictures (unless it is synchronised), dropout draws for each rank anew.

Buffers that change in training, batch norm's running statistics, become the mean of all
ranks' after each step, counted by pictures. So all ranks hold the same network between
steps, and it does not matter which of them writes it down.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from nunbit.data.pictures import PictureSet
from nunbit.errors import OptionError
from nunbit.model import Model
from nunbit.training.device import Plan
from nunbit.training.exchange import GradientSum, share_weights
from nunbit.training.options import TrainOptions
from nunbit.training.ranks import Ranks
from nunbit.training.sync_norm import put_back, synchronise

__all__ = ["Parallel", "make_parallel"]


class Parallel:
    """What the loop calls in place of the network. This one is a rank alone.

    Args:
        network: The network in training.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.forward: nn.Module = network
        """Takes normalised pictures (b, C, H, W), returns what the network returns."""

    @contextlib.contextmanager
    def exchanging(self, *, last: bool, share: float) -> Iterator[None]:
        """Stand around the forward and backward pass of a part of a batch.

        Args:
            last: Whether it is the batch's last part: gradients and buffers are those of
                all ranks afterwards.
            share: This rank's share of the batch's pictures.
        """
        yield

    def held(self) -> Iterable[Tensor]:
        """Return what this rank has of weights and buffers."""
        return self.network.state_dict().values()

    def weights(self) -> Mapping[str, Tensor]:
        """Return the whole weights and buffers; called by all ranks, only the first gets them."""
        return self.network.state_dict()

    def weights_for(self, hook: str, *, wanted: bool) -> Callable[[], Mapping[str, Tensor]]:
        """Return what gives the whole weights to the callbacks of the first rank.

        Args:
            wanted: Whether any callback has this hook; all ranks say the same.
        """
        return self.weights

    def gathered(self, value: Any) -> Any:
        """Return plain data with whole tensors; called by all ranks, only the first gets them.

        Args:
            value: Mappings and lists with tensors that belong to weights, such as averages.
        """
        return value

    def part(self, tensor: Tensor, *, like: Tensor) -> Tensor:
        """Return this rank's part of a whole tensor, placed in memory as ``like`` is.

        Keeps the type, as an optimizer may hold its sums in another one.
        """
        return torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)

    def parts(
        self, weights: Mapping[str, Tensor], held: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return this rank's parts of whole weights.

        Args:
            held: Tensors of the same names, as this rank has them.
        """
        return weights

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Put whole weights into the network.

        Raises:
            RuntimeError: They are another network's.
        """
        self.network.load_state_dict(dict(weights))

    def in_step(
        self, pictures: PictureSet, mine: slice, *, size: int, most: int
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield this rank's pictures, for the network to look at.

        Args:
            mine: Which they are.
            size: Pictures at a time.
            most: Pictures of the rank that has the most.
        """
        yield from pictures.chunks(size, mine)

    def agreed(self, stops: bool) -> bool:
        """Return whether to stop; where all ranks must do the same, whether any wants to."""
        return stops

    def finish(self) -> None:
        """Give the model its network back as it was, with what it has learnt; by all ranks."""

    def close(self) -> None:
        """Leave nothing of the other ranks in the network, also after an error."""


class Replicated(Parallel):
    """A rank of many that each hold the whole network ("data parallel").

    Args:
        network: Made equal to the first rank's.
        sync_batch_norm: Whether batch norm sees the pictures of all ranks.
        timeout_s: Seconds after which a rank that does not answer is lost.
    """

    def __init__(
        self, network: nn.Module, *, sync_batch_norm: bool = False, timeout_s: int = 600
    ) -> None:
        super().__init__(network)
        share_weights(network)
        self.gradients = GradientSum(network.parameters())
        self.buffers = Buffers(network)
        self.norms = Norms(network, wanted=sync_batch_norm, timeout_s=timeout_s)

    @contextlib.contextmanager
    def exchanging(self, *, last: bool, share: float) -> Iterator[None]:
        self.buffers.begin()
        if not last:
            yield
            return
        self.gradients.begin()
        try:
            yield
        except BaseException:
            self.gradients.abandon()
            raise
        self.gradients.end()
        self.buffers.end(share)

    def close(self) -> None:
        self.gradients.close()
        self.norms.close()


class Buffers:
    """The buffers of a network, made those of all ranks after each step."""

    def __init__(self, network: nn.Module) -> None:
        self.tensors = [b for b in network.buffers() if b.is_floating_point()]
        self._before: Tensor | None = None

    def begin(self) -> None:
        """Keep what they are before a step."""
        if self._before is None and self.tensors:
            self._before = torch.cat([each.flatten() for each in self.tensors])

    @torch.no_grad()
    def end(self, share: float) -> None:
        """Add the changes that all ranks made, each by its share.

        Only changes are averaged: a constant stays what it is to the last bit.
        """
        if self._before is None:
            return
        change = torch.cat([each.flatten() for each in self.tensors]) - self._before
        change *= share
        dist.all_reduce(change)
        change += self._before
        parts = torch.split(change, [each.numel() for each in self.tensors])
        for tensor, part in zip(self.tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))
        self._before = None


class Norms:
    """The synchronised batch norms of a network, and the ranks they speak with."""

    def __init__(self, network: nn.Module, *, wanted: bool, timeout_s: int) -> None:
        self._group: dist.ProcessGroup | None = None
        self._changed: dict[nn.Module, type] = {}
        if wanted:
            # Of its own: a norm's message may fall between two about gradients on one rank, and
            # after both on another whose step uses other layers.
            self._group = dist.new_group(timeout=timedelta(seconds=timeout_s))
            self._changed = synchronise(network, self._group)

    def close(self) -> None:
        put_back(self._changed)
        if self._group is not None:
            dist.destroy_process_group(self._group)
            self._group = None


def make_parallel(model: Model, options: TrainOptions, plan: Plan, ranks: Ranks) -> Parallel:
    """Return what computes the network's outputs in training.

    With ``fsdp`` the model's network is another object until :meth:`Parallel.finish`.

    Raises:
        OptionError: The options do not go together.
    """
    if ranks.size == 1:
        return Parallel(model.network)
    if options.parallel == "ddp":
        return Replicated(
            model.network,
            sync_batch_norm=options.sync_batch_norm,
            timeout_s=options.rank_timeout,
        )
    from nunbit.training.sharding import Sharded  # it takes half a second to import

    wrong = []
    if options.optimizer == "muon":
        wrong.append("`muon` turns whole matrices, of which a rank has a part: `--optimizer adamw`")
    if len(plan.parts) > 1:
        wrong.append("a network in parts on several devices: leave out `--split-model`")
    if wrong:
        raise OptionError(f"`--parallel fsdp` cannot go with {'; nor with '.join(wrong)}.")
    return Sharded(
        model,
        ranks,
        sync_batch_norm=options.sync_batch_norm,
        timeout_s=options.rank_timeout,
    )
