"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from nunbit.training.options import TrainOptions

__all__ = ["make_optimizer", "make_schedule"]

LAST_FRAC = 0.001
"""Share of the peak learning rate at which one-cycle and cosine end."""


def make_optimizer(network: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """Make the optimizer; weight decay pulls on filters and matrices only.

    Biases, and the gains of normalisation layers, are no templates to be kept
    small: pulling on them costs accuracy (He et al. 2018, arXiv:1812.01187, 3.1).
    """
    trainable = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    lr = options.lr or 0.0
    if options.optimizer == "sgd":
        nesterov = options.momentum > 0
        return torch.optim.SGD(groups, lr=lr, momentum=options.momentum, nesterov=nesterov)
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=lr)


def make_schedule(options: TrainOptions, *, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the function from global step (0-based) to a factor of ``lr``, 0 < f <= 1.

    * ``constant``: 1.
    * ``step``: times ``step_factor`` every ``step_epochs`` epochs.
    * ``cosine``: half a cosine from 1 to 0.001 (Loshchilov & Hutter 2016,
      arXiv:1608.03983, without restarts).
    * ``one-cycle``: up to 1 in a straight line from 0.04, then half a cosine down to
      0.001 (Smith & Topin 2017, arXiv:1708.07120; the momentum stays).

    Every schedule but one-cycle starts with a straight line up over
    ``warmup_epochs``, where that is not 0.

    Args:
        options: Resolved: no None among the fields read here.
    """
    total = (options.epochs or 1) * steps_per_epoch
    warmup = min((options.warmup_epochs or 0.0) * steps_per_epoch, total * 0.9)
    first = 0.04 if options.schedule == "one-cycle" else 0.0

    def factor(step: int) -> float:
        if step < warmup:
            return first + (1 - first) * (step + 1) / (warmup + 1)
        if options.schedule == "constant":
            return 1.0
        if options.schedule == "step":
            return options.step_factor ** (step // steps_per_epoch // (options.step_epochs or 1))
        progress = (step - warmup) / max(total - warmup, 1)
        return LAST_FRAC + (1 - LAST_FRAC) * (1 + math.cos(math.pi * progress)) / 2

    return factor
