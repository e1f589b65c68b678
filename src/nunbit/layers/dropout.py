"""Dropout whose random numbers are drawn eight at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Dropout"]

LEVELS = 256
"""Values of a random byte: a share of n/256 is met exactly."""


class Dropout(nn.Dropout):
    """Set values to 0 at random in training, and scale the others up.

    On a processor PyTorch draws a 32-bit number for every value, one after the other: a
    seventh of a training step of ``cnn-mnist``. Here one 64-bit number decides on eight
    values, a byte each. Shares that no byte can meet, and other devices, go PyTorch's way.

    Shape:
        input: any, floating point.
        output: the same, in the same memory layout.
    Source: Srivastava et al. 2014, JMLR 15; scaled in training, as everybody does now.
    """

    @property
    def kind(self) -> str:
        """Its name in the layer table."""
        return f"dropout {self.p:g}"

    def forward(self, x: Tensor) -> Tensor:
        kept = (1 - self.p) * LEVELS
        is_plain = x.device.type != "cpu" or torch.compiler.is_compiling()
        if not self.training or is_plain or kept != int(kept) or not 0 < kept < LEVELS:
            return super().forward(x)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        chosen = words.view(torch.uint8)[: x.numel()] < int(kept)
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
            size, channels, height, width = x.shape
            mask = chosen.view(size, height, width, channels).permute(0, 3, 1, 2)
        else:
            mask = chosen.view(x.shape)
        return x * mask.to(x.dtype).mul_(LEVELS / kept)
