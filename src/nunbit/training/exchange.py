"""Adding up gradients over the ranks while the backward pass still runs.

Gradients are sent in buckets of some megabytes, the last layers' first, each as soon as
it is complete. What is in which bucket follows from the network alone and never changes.

Source: Li et al. 2020, "PyTorch Distributed", arXiv:2006.15704, section 3.2.
Departs: torch's ``DistributedDataParallel`` sorts its buckets anew after its first step.
    A sum over three ranks or more depends on where in a bucket a number lies, so a run
    that is resumed would have other bits than one that was not interrupted. It also
    averages, where we add parts that already are shares of the whole batch's mean, and
    has to be told beforehand of parameters that a step does not use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["BUCKET_BYTES", "GradientSum", "share_weights"]

BUCKET_BYTES = 25 << 20
"""As torch's ``DistributedDataParallel``: large enough for the full rate of a network card."""
FIRST_BUCKET_BYTES = 1 << 20
"""The first is small, so that sending begins early."""


class GradientSum:
    """Replaces the gradients of parameters by their sum over all ranks.

    A parameter that no rank used keeps no gradient, so the optimizer leaves it alone; one
    that only others used gets theirs.

    Args:
        parameters: Those that want no gradient at a step are left out of it.
        bucket_bytes: Size of a message.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, bucket_bytes: int = BUCKET_BYTES
    ) -> None:
        self.parameters = list(parameters)
        self.bucket_bytes = bucket_bytes
        self.buckets: list[_Bucket] = []
        self._wanted: list[nn.Parameter] = []
        self._hooks: list[Any] = []
        self._active = False
        self._next = 0

    def _lay_out(self) -> None:
        """Cut the parameters that want a gradient into buckets, where those are others now."""
        wanted = [p for p in self.parameters if p.requires_grad]
        if list(map(id, wanted)) == list(map(id, self._wanted)):
            return
        self.close()
        self._wanted = wanted
        self.buckets = [_Bucket(part) for part in _cut(wanted, self.bucket_bytes)]
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._mark(bucket)
            )
            for bucket in self.buckets
            for parameter in bucket.parameters
        ]

    def begin(self) -> None:
        """Send what the next backward pass completes."""
        self._lay_out()
        self._active, self._next = True, 0
        for bucket in self.buckets:
            bucket.ready = 0

    def end(self) -> None:
        """Send the rest, wait for the others, and put the sums in place."""
        for bucket in self.buckets[self._next :]:
            bucket.send()
        for bucket in self.buckets:
            bucket.receive()
        self._active = False

    def abandon(self) -> None:
        """Leave a backward pass that has failed."""
        self._active = False

    def close(self) -> None:
        """Take the hooks off the parameters."""
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._wanted, self.buckets = [], [], []

    def _mark(self, bucket: _Bucket) -> Any:
        def complete(_: Tensor) -> None:
            if not self._active:
                return
            bucket.ready += 1
            # In order: all ranks must send the same bucket at the same time.
            while self._next < len(self.buckets) and self.buckets[self._next].is_complete:
                self.buckets[self._next].send()
                self._next += 1

        return complete


class _Bucket:
    """Some parameters whose gradients travel together."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.ready = 0
        self._counts = [p.numel() for p in parameters]
        self._message: Tensor | None = None
        self._work: Any = None
        self._missing: list[int] = []

    @property
    def is_complete(self) -> bool:
        return self.ready == len(self.parameters)

    def send(self) -> None:
        total = sum(self._counts)
        # Behind the gradients a number for each: whether this rank has one.
        message = self.parameters[0].detach().new_empty(total + len(self.parameters))
        message[total:] = 1
        self._missing = []
        there: list[tuple[Tensor, Tensor]] = []
        for k, (place, parameter) in enumerate(
            zip(self._places(message), self.parameters, strict=True)
        ):
            if parameter.grad is None:
                self._missing.append(k)
                place.zero_()
                message[total + k] = 0
            else:
                there.append((place, parameter.grad))
            parameter.grad = place  # the memory of the old one is free at once
        if there:
            places, gradients = map(list, zip(*there, strict=True))
            torch._foreach_copy_(places, gradients)
        self._message = message
        self._work = dist.all_reduce(message, async_op=True)

    def receive(self) -> None:
        if self._work is None or self._message is None:
            return
        self._work.wait()
        if self._missing:  # only then: on a GPU reading numbers would wait for it
            used = self._message[sum(self._counts) :].tolist()
            for k in self._missing:
                if not used[k]:
                    self.parameters[k].grad = None
        self._work = self._message = None

    def _places(self, message: Tensor) -> list[Tensor]:
        """Return the places of the gradients, laid out in memory as the parameters are."""
        parts = torch.split(message[: sum(self._counts)], self._counts)
        return [
            part.as_strided(p.shape, p.stride()) if _is_dense(p) else part.view(p.shape)
            for part, p in zip(parts, self.parameters, strict=True)
        ]


def _is_dense(tensor: Tensor) -> bool:
    """Return whether a tensor fills its piece of memory without gaps, in a known order."""
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return True
    return tensor.is_contiguous()


def _cut(parameters: list[nn.Parameter], bucket_bytes: int) -> Iterable[list[nn.Parameter]]:
    """Yield the parameters from the last to the first, in buckets of one type and device."""
    part: list[nn.Parameter] = []
    size, limit = 0, min(FIRST_BUCKET_BYTES, bucket_bytes)
    for parameter in reversed(parameters):
        bytes_ = parameter.numel() * parameter.element_size()
        kind = (parameter.dtype, parameter.device)
        if part and (size + bytes_ > limit or kind != (part[0].dtype, part[0].device)):
            yield part
            part, size, limit = [], 0, bucket_bytes
        part.append(parameter)
        size += bytes_
    if part:
        yield part


def share_weights(network: nn.Module) -> None:
    """Give every rank the first rank's weights and buffers."""
    for tensor in (*network.parameters(), *network.buffers()):
        data = tensor.detach()
        whole = data.contiguous()
        dist.broadcast(whole, src=0)
        if whole is not data:
            data.copy_(whole)
