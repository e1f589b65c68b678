"""Class balance: rare classes count as much as common ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nunbit.data.pictures import PictureSet
from nunbit.tasks import Task
from nunbit.training.options import TrainOptions

__all__ = ["Balance", "make_balance"]


@dataclass(frozen=True)
class Balance:
    """How classes are balanced; both None: not at all.

    Args:
        weights: (K,) float32 for the loss.
        draw: Takes seed and epoch; returns (N,) positions to train on in that epoch.
    """

    weights: Tensor | None = None
    draw: Callable[[int, int], NDArray[np.int64]] | None = None


def make_balance(options: TrainOptions, task: Task, pictures: PictureSet) -> Balance:
    """Return what the options ask for."""
    return Balance()
