"""One network trained by many ranks: each computes a part of the batch, gradients are averaged.

Every rank's part of the loss is a sum over its pictures divided by the pictures of the
whole batch, so parts of different size count rightly: the step is that of one process
with the whole batch.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nunbit.training.device import Plan
from nunbit.training.ranks import Ranks

__all__ = ["Parallel", "make_parallel"]


class Parallel:
    """What the loop calls in place of the network.

    Args:
        forward: Takes normalised pictures (b, C, H, W), returns what the network returns;
            its backward pass averages gradients over the ranks.
        ranks: The processes of the training.
    """

    def __init__(self, forward: nn.Module, ranks: Ranks) -> None:
        self.forward = forward
        self.ranks = ranks

    @property
    def factor(self) -> int:
        """What a rank's loss is multiplied by, as the gradients are averaged over ranks."""
        return self.ranks.size

    def exchanging(self, last: bool) -> AbstractContextManager[object]:
        """Return the context of a forward and backward pass.

        Args:
            last: Whether gradients are complete after it, and may be exchanged.
        """
        if last or not isinstance(self.forward, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.forward.no_sync()


def make_parallel(network: nn.Module, plan: Plan, ranks: Ranks) -> Parallel:
    """Return what computes the network's outputs in training."""
    if ranks.size == 1:
        return Parallel(network, ranks)
    ids = [plan.device] if plan.device.type == "cuda" else None
    return Parallel(DistributedDataParallel(network, device_ids=ids), ranks)
