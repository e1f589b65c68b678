"""Progressive resizing: smaller pictures at first, which are quicker, the full size at the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from nunbit.model import Model
from nunbit.training.options import TrainOptions

__all__ = ["Resizing", "make_resizing"]


@dataclass(frozen=True)
class Resizing:
    """How large pictures are at each step.

    Args:
        first: Side at the first step, in pixels.
        last: Side at the end, the network's own.
        steps: Steps until the full size is reached, in a straight line.
        multiple: Sides between are rounded to multiples of this many pixels.
    """

    first: int
    last: int
    steps: int
    multiple: int = 8

    def side(self, step: int) -> int:
        """Return the side of the pictures at a step of the whole run, in pixels."""
        if step >= self.steps:
            return self.last
        side = self.first + (self.last - self.first) * step / self.steps
        return min(self.last, max(self.first, round(side / self.multiple) * self.multiple))

    def apply(self, images: Tensor, step: int) -> Tensor:
        """Return the pictures of a step.

        Shape:
            images: float (B, C, S, S).
            returns: float (B, C, s, s), each cell the mean of what it covers.
        """
        side = self.side(step)
        return images if side == images.shape[-1] else F.interpolate(images, side, mode="area")


def make_resizing(model: Model, options: TrainOptions, *, steps_per_epoch: int) -> Resizing | None:
    """Return what the options ask for, or None."""
    if options.first_size is None:
        return None
    steps = round((options.epochs or 1) * steps_per_epoch * options.growing_frac)
    return Resizing(options.first_size, model.preprocessing.image_size, steps)
