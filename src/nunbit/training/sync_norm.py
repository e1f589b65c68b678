"""Batch norm over the pictures of all ranks.

Where a rank has few pictures, their mean and spread say little; with these the batch of
all ranks is normalised as one process would do it. torch has this for GPUs; here is the
same for processors.

Source: Ioffe & Szegedy 2015, arXiv:1502.03167; over devices: Peng et al. 2018, "MegDet",
    arXiv:1711.07240.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nunbit.errors import OptionError

__all__ = ["SyncedBatchNorm", "put_back", "synchronise"]

PLAIN: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _SumOverRanks(torch.autograd.Function):
    """The sum of what all ranks have; so every rank's loss depends on every rank's part."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        total = mine.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


class SyncedBatchNorm(_BatchNorm):
    """Batch norm whose mean and variance are those of all ranks' pictures together.

    Every rank must call it equally often. Parts of different size count by their
    pictures. In evaluation it is plain batch norm.
    """

    process_group: dist.ProcessGroup | None = None

    def _check_input_dim(self, input: Tensor) -> None:
        """Take pictures of any number of axes."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise.

        Shape:
            input: (B, C, ...), floating point; a rank may have one picture.
            returns: Same shape and dtype.
        """
        if not self.training and self.track_running_stats:
            return super().forward(input)
        values = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        axes = [0, *range(2, input.ndim)]
        variance, mean = torch.var_mean(values, axes, correction=0)
        count = values.new_tensor([values.numel() / values.shape[1]], dtype=torch.float64)
        # As sums, in float64: a sum of squares less a squared mean loses digits.
        mean, variance = mean.double(), variance.double()
        sums = torch.cat([mean * count, (variance + mean.square()) * count, count])
        sums = _SumOverRanks.apply(sums, self.process_group)  # type: ignore[no-untyped-call]
        channels = values.shape[1]
        total = sums[-1].detach()
        mean = sums[:channels] / total
        variance = (sums[channels:-1] / total - mean.square()).clamp(min=0)
        self._remember(mean.detach(), variance.detach(), total)
        scale = (variance + self.eps).rsqrt()
        shift = -mean * scale
        if self.weight is not None:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        shape = (1, channels, *[1] * (input.ndim - 2))
        scale, shift = scale.to(values.dtype).view(shape), shift.to(values.dtype).view(shape)
        return torch.addcmul(shift, values, scale).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Take the batch into the running statistics, as plain batch norm does."""
        if self.running_mean is None or self.running_var is None:
            return
        share = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if share is None:
                share = 1.0 / float(self.num_batches_tracked)
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share or 0.0)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share or 0.0)


def synchronise(network: nn.Module, group: dist.ProcessGroup | None) -> dict[nn.Module, type]:
    """Let every batch norm of a network see all ranks; parameters and names stay.

    Changed are torch's own classes and those made from them that compute the same.

    Args:
        group: The ranks; their messages must not mix with those about gradients.
    Returns:
        What was changed, for :func:`put_back`.
    Raises:
        OptionError: A batch norm computes in a way of its own; nothing is changed then.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    strange = [m for m in norms if not _is_plain(m)]
    if strange:
        raise OptionError(
            f"`--sync-batch-norm` cannot make `{type(strange[0]).__name__}` see all ranks: it is a "
            "batch norm that computes in a way of its own. Leave the option away."
        )
    changed: dict[nn.Module, type] = {}
    for module in norms:
        changed[module] = type(module)
        on_gpu = all(p.is_cuda for p in (*module.parameters(), *module.buffers()))
        there = any(True for _ in (*module.parameters(), *module.buffers()))
        # The class alone changes: hooks, names and whoever holds the module stay right.
        module.__class__ = nn.SyncBatchNorm if on_gpu and there else SyncedBatchNorm
        module.process_group = group  # type: ignore[assignment]
    return changed


def _is_plain(norm: nn.Module) -> bool:
    """Return whether a batch norm computes as torch's own, whatever it is set up with."""
    return isinstance(norm, PLAIN) and type(norm).forward is _BatchNorm.forward


def put_back(changed: dict[nn.Module, type]) -> None:
    """Make the batch norms plain again, with what they have learnt."""
    for module, kind in changed.items():
        module.__class__ = kind
        del module.process_group
    changed.clear()
