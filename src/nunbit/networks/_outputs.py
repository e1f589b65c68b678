"""What a network with auxiliary classifiers returns while it is trained."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["WithAuxiliary", "split_auxiliary"]


class WithAuxiliary(NamedTuple):
    """Main and auxiliary outputs; outside training only the main ones are computed.

    Shape:
        outputs: (B, K).
        auxiliary: each (B, K).
    Args:
        weight: What the loss of each auxiliary output counts.
    """

    outputs: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float


def split_auxiliary(made: Tensor | WithAuxiliary) -> tuple[Tensor, list[tuple[float, Tensor]]]:
    """Return the main outputs, and each auxiliary one with its weight."""
    if isinstance(made, WithAuxiliary):
        return made.outputs, [(made.weight, each) for each in made.auxiliary]
    return made, []
