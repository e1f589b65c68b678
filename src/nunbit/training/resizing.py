"""Progressive resizing: smaller pictures at first, which are quicker, the full size at the end.

A picture of half the side costs a quarter. Early on a network learns what is coarse
anyway; the last part of the run, at full size, is what validation and prediction see.

Source: Howard 2018 (fast.ai's DAWNBench entries); Tan & Le 2021, arXiv:2104.00298,
section 4, who also found that the size should grow in steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from nunbit.errors import NunbitError, OptionError
from nunbit.model import Model
from nunbit.networks import try_size
from nunbit.training.options import TrainOptions

__all__ = ["Resizing", "follows", "keep_growing", "make_resizing"]

MULTIPLE = 8
"""Pixels that sides between the first and the last are multiples of: a dozen sizes at most, so
that whatever is prepared for a size (kernels, memory) is used for many steps."""


@dataclass(frozen=True)
class Resizing:
    """How large pictures are at each step.

    Args:
        first: Side at the first step, in pixels.
        last: Side at the end, the network's own.
        steps: Steps until the full size is reached, in a straight line.
        multiple: Sides between are rounded down to multiples of this many pixels.
    """

    first: int
    last: int
    steps: int
    multiple: int = MULTIPLE

    def side(self, step: int) -> int:
        """Return the side of the pictures at a step of the whole run, in pixels."""
        if step >= self.steps:
            return self.last
        side = self.first + (self.last - self.first) * step / self.steps
        return max(self.first, int(side) // self.multiple * self.multiple)

    def apply(self, images: Tensor, step: int) -> Tensor:
        """Return the pictures of a step, in the memory layout that they came in.

        Shrunk by cubic interpolation over as many pixels as each new one covers
        (``antialias``). Measured from 128 to 64..112 pixels: detail of 4 new pixels a wave
        keeps 94 % of its height (79-81 % with triangles, 77-92 % with ``mode="area"``,
        whose windows differ in width), what is finer is held off as well as by these, and it
        takes no longer than ``area``.

        Shape:
            images: float (B, C, S, S).
            returns: float (B, C, s, s).
        """
        side = self.side(step)
        if side == images.shape[-1]:
            return images
        return F.interpolate(images, (side, side), mode="bicubic", antialias=True)


def make_resizing(
    model: Model, options: TrainOptions, *, kept: int, steps_per_epoch: int
) -> Resizing | None:
    """Return what the options ask for, or None.

    Args:
        kept: Side of the training pictures as they come, at least the network's own.
    Raises:
        OptionError: Pictures are smaller than ``first_size``, or the network takes one
            size only.
    """
    last = model.preprocessing.image_size
    if options.first_size is None:
        return None if kept == last else Resizing(last, last, 0)
    first = options.first_size
    if first > last:
        raise OptionError(
            f"`--first-size {first}` is larger than the pictures, which are {last}×{last}; they "
            f"grow to their full size, not beyond. Pass one below {last}, or a larger "
            "`--image-size`."
        )
    if first < last:
        _check_size(model, first)
    # Rounded first: a prolonged run has the share to 16 digits, and grows for as many steps.
    growing_epochs = round((options.epochs or 1) * options.growing_frac, 6)
    steps = round(growing_epochs * steps_per_epoch)
    return Resizing(first, last, steps)


def keep_growing(options: TrainOptions, record: Mapping[str, Any]) -> TrainOptions:
    """Let pictures grow for as many epochs as before where a run is prolonged.

    They would shrink again otherwise.

    Args:
        options: To go on with; a ``growing_frac`` that is not the run's stays.
        record: Its ``options.json``; empty for a new run.
    """
    kept = record.get("training", {})
    before, share = kept.get("epochs"), kept.get("growing_frac")
    if before is None or options.first_size is None or options.growing_frac != share:
        return options
    if (options.epochs or 0) <= before:
        return options
    return replace(options, growing_frac=share * before / (options.epochs or before))


def follows(changes: Mapping[str, tuple[Any, Any]]) -> set[str]:
    """Return the options that change only because the run is prolonged, by :func:`keep_growing`.

    Args:
        changes: By name what it was and what it is.
    """
    if not changes.keys() >= {"epochs", "growing_frac"}:
        return set()
    pairs = zip(changes["epochs"], changes["growing_frac"], strict=True)
    before, after = (epochs * share for epochs, share in pairs)
    return {"growing_frac"} if math.isclose(before, after) else set()


def _check_size(model: Model, side: int) -> None:
    """Pass smaller pictures through the network, without values.

    Raises:
        OptionError: It does not take them.
    """
    try:
        try_size(model.network, channels=model.preprocessing.channels, image_size=side)
    except (RuntimeError, NunbitError) as error:
        last = model.preprocessing.image_size
        raise OptionError(
            f"`--first-size {side}` trains on pictures of {side}×{side} first, and this "
            f"`{model.network_name}` takes {last}×{last} only: {_first_line(error)}. Leave it out, "
            "or take a network that ends in global pooling, such as `auto` or `resnet-20`."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
