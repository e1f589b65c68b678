"""Schedules: how the learning rate goes over a run.

A schedule is a plain function from the step of the whole run to a factor of the peak
learning rate, so that it has no state to be saved: a run that is continued asks for the
same steps and gets the same factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from nunbit.errors import OptionError
from nunbit.training.options import TrainOptions

__all__ = ["make_schedule"]

LAST_FRAC = 0.001
"""Share of the peak learning rate at which cosines end."""

ONE_CYCLE_FIRST = 0.04
"""Share of the peak at which one-cycle begins: 1/25, as in fastai and PyTorch."""

LONGEST_WARMUP = 0.9
"""Share of the run that warm-up takes at most."""


def make_schedule(options: TrainOptions, *, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the function from global step (0-based) to a factor of ``lr``, 0 < f <= 1.

    Every schedule starts with a straight line up over ``warmup_epochs``, where that is
    not 0; the rest of the run is

    * ``constant``: 1.
    * ``step``: times ``step_factor`` every ``step_epochs`` epochs of the run.
    * ``cosine``: half a cosine from 1 to 0.001 (Loshchilov & Hutter 2016,
      arXiv:1608.03983, without restarts).
    * ``one-cycle``: the same; its line up begins at 0.04, not at 0 (Smith & Topin 2017,
      arXiv:1708.07120; the momentum stays).
    * ``linear``: a straight line to 0, which the step after the last would reach
      (Goyal et al. 2017, arXiv:1706.02677, for the warm-up).
    * ``restarts``: cosines from 1 to 0.001, the first of ``restart_epochs`` epochs, each
      ``restart_factor`` times as long as the one before (SGDR: Loshchilov & Hutter,
      arXiv:1608.03983, equation 5). Departs: the last one that fits lasts to the end of
      the run, so that a run never ends at a high rate.

    Args:
        options: Resolved: no None among the fields read here.
        steps_per_epoch: At least 1.
    Raises:
        OptionError: The schedule is unknown.
    """
    total = (options.epochs or 1) * steps_per_epoch
    warmup = min((options.warmup_epochs or 0.0) * steps_per_epoch, total * LONGEST_WARMUP)
    rest = max(total - warmup, 1)
    first = ONE_CYCLE_FIRST if options.schedule == "one-cycle" else 0.0
    after = _after_warmup(options, steps_per_epoch=steps_per_epoch, warmup=warmup, rest=rest)

    def factor(step: int) -> float:
        if step < warmup:
            return first + (1 - first) * (step + 1) / (warmup + 1)
        return after(step)

    return factor


def _after_warmup(
    options: TrainOptions, *, steps_per_epoch: int, warmup: float, rest: float
) -> Callable[[int], float]:
    """Return the factor of a step at or after ``warmup``; ``rest`` steps follow it."""
    if options.schedule == "constant":
        return lambda step: 1.0
    if options.schedule == "step":
        every = options.step_epochs or 1
        return lambda step: options.step_factor ** (step // steps_per_epoch // every)
    if options.schedule in ("cosine", "one-cycle"):
        return lambda step: _cosine((step - warmup) / rest)
    if options.schedule == "linear":
        return lambda step: 1 - (step - warmup) / rest
    if options.schedule == "restarts":
        length = (options.restart_epochs or 1) * steps_per_epoch
        return lambda step: _cosine(
            _place(step - warmup, rest, length=length, longer=options.restart_factor)
        )
    raise OptionError(f"schedule is {options.schedule!r}, which is none that is known.")


def _cosine(progress: float) -> float:
    """Return half a cosine from 1 (at 0) to ``LAST_FRAC`` (at 1)."""
    return LAST_FRAC + (1 - LAST_FRAC) * (1 + math.cos(math.pi * progress)) / 2


def _place(step: float, total: float, *, length: float, longer: int) -> float:
    """Return how much of its cosine is over at a step: 0 <= p < 1.

    Args:
        step: Counted from the beginning of the first cosine.
        total: Steps of all cosines.
        length: Steps of the first.
        longer: What each is longer by than the one before.
    """
    start = 0.0
    while step >= start + length and start + length + length * longer <= total:
        start, length = start + length, length * longer
    fits_no_other = start + length + length * longer > total
    return (step - start) / (total - start if fits_no_other else length)
