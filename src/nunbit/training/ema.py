"""EMA: the exponential moving average of the weights, which is validated and kept.

The average of the last few hundred steps lies nearer to the middle of the valley than
any step does, so it scores like a network whose learning rate has been lowered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

__all__ = ["Average"]


class Average:
    """The moving average of a network's weights and of its batch norm's statistics.

    At the step n (from 1) the average keeps ``min(decay, (1 + n) / (10 + n))`` of itself:
    2/11 at the first step, half at the eighth, 0.9 at the 80th, 0.99 at the 890th. So the
    fresh weights, from which it begins, are soon forgotten, and a short run has a short
    memory whatever ``decay`` says. Batch norm's means and spreads are averaged, too; its
    count of batches is that of the last step.

    Args:
        network: Whose weights are averaged; the average begins as a copy of them.
        decay: Share of the average that stays at each step, 0 < decay < 1.
    Source: Polyak & Juditsky 1992, SIAM J. Control Optim. 30, 838-855; the beginning as
        in TensorFlow's ``ExponentialMovingAverage(num_updates=...)``.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = network
        self.decay = decay
        self.steps = 0
        self.weights = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        averages, values = [], []
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                averages.append(self.weights[name])
                values.append(value.detach())
            else:  # counts of batches
                self.weights[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network be the average for a while; its own weights come back bit for bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def put_in(self) -> None:
        """Let the network be the average for good."""
        self.network.load_state_dict(self.weights)

    @torch.no_grad()
    def _exchange(self) -> None:
        values = self.network.state_dict()
        kept = {name: value.detach().clone() for name, value in values.items()}
        for name, value in values.items():  # all before the first is kept: some may be shared
            value.copy_(self.weights[name])
        for name, value in kept.items():
            self.weights[name].copy_(value)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Begin the average anew from these weights."""
        for name, value in weights.items():
            self.weights[name].copy_(value)
