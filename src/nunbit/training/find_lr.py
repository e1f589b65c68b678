"""``find_lr``: which learning rate suits a network and its pictures, by a short trial.

The rate grows at each step by the same factor while the loss is watched: it falls where
the rate is right, and soars where it is too large.

Source: Smith 2015, arXiv:1506.01186, section 3.3; growing exponentially, smoothed and
read off as in fastai (``Learner.lr_find``).
Departs: the loss is smoothed by 0.9, not 0.98, which lags by half of a hundred steps.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from nunbit.augment import Augment, choose_augment
from nunbit.data.batches import Batch, Batches
from nunbit.data.pictures import Pictures
from nunbit.errors import OptionError, TrainingError
from nunbit.model import Model
from nunbit.networks import find_network
from nunbit.training.augmenting import take_over_normalising
from nunbit.training.defaults import resolve
from nunbit.training.job import Job, Progress
from nunbit.training.loop import _seed_dropout, _train_step
from nunbit.training.matching import match
from nunbit.training.memory import memory_watched
from nunbit.training.options import TrainOptions
from nunbit.training.prepare import make_job
from nunbit.training.ranks import ALONE

__all__ = ["LRCurve", "find_lr", "read_curve"]

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 100
LEAST_STEPS = 20
"""Fewer make no curve."""
LEAST_PICTURES = 16
SMOOTHING = 0.9
"""Share of the smoothed loss that stays at each step."""
DIVERGED = 4.0
"""A smoothed loss so many times the smallest ends the trial."""
SKIPPED_FRAC = 0.1
"""Share of the steps at the beginning that are not read: the average has only begun."""


@dataclass(frozen=True)
class LRCurve:
    """Loss by learning rate, and what follows from it.

    Args:
        rates: Learning rate of each step, rising.
        losses: Loss of each step's batch.
        smoothed: Moving average of the losses, corrected for its beginning.
        suggestion: A tenth of the rate at which the smoothed loss is smallest: safely
            below the edge, as fastai's rule ``minimum``.
        steepest: The rate at which the smoothed loss falls most by log rate.
        diverged: Whether the loss soared before the last rate was reached.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float
    steepest: float
    diverged: bool

    def to_dict(self) -> dict[str, Any]:
        """Return what ``nunbit find-lr --json`` prints."""
        return {
            "suggestion": self.suggestion,
            "steepest": self.steepest,
            "diverged": self.diverged,
            "rates": list(self.rates),
            "losses": list(self.losses),
            "smoothed": list(self.smoothed),
        }


def find_lr(
    model: Model,
    pictures: Pictures,
    *,
    options: TrainOptions | None = None,
    augment: Augment | str | None = None,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
) -> LRCurve:
    """Try learning rates on a copy of a model, from small to large, one a step.

    The steps are those of :func:`nunbit.fit`: optimizer, augmentation, precision and
    losses as the options say. The model stays as it is; nothing is written.

    Args:
        options: ``lr``, ``schedule``, ``epochs`` and what watches scores are not read.
        augment: How pictures are moved about; short for the option.
        lowest: First learning rate, > 0.
        highest: Last learning rate; the trial ends before where the loss soars.
        steps: Steps from one to the other, at least 20.
    Raises:
        OptionError: The rates make no range, there are too few pictures, or model,
            pictures and options do not fit each other.
        TrainingError: The loss is no finite number from the beginning, or never falls; or
            memory ran out.

    Example:
        >>> import nunbit
        >>> pictures = nunbit.load("digits")
        >>> model = nunbit.create_model("mlp", classes=10, image_size=8)
        >>> curve = nunbit.find_lr(model, pictures, steps=40)
        >>> 1e-5 < curve.suggestion < 1
        True
    """
    _check(pictures, lowest=lowest, highest=highest, steps=steps)
    options = options or TrainOptions()
    if isinstance(augment, str):
        options = replace(options, augment=augment)
    model = copy.deepcopy(model)
    match(model, pictures)
    # No average of weights, which would mean nothing yet; pictures as large as later; and
    # compiling takes longer than the trial.
    chosen = replace(
        resolve(
            options,
            pictures=len(pictures.train),
            network_lr=find_network(model.network_name).lr,
        ),
        ema=None,
        first_size=None,
        compile="on" if options.compile == "on" else "off",
    )
    if not isinstance(augment, Augment):
        _, augment = choose_augment(chosen.augment, channels=model.preprocessing.channels)
    take_over_normalising(augment, model, pictures)
    job = make_job(model, pictures, chosen, augment, (), ALONE)
    rates = [lowest * (highest / lowest) ** (k / (steps - 1)) for k in range(steps)]
    cards = range(torch.cuda.device_count()) if job.plan.device.type == "cuda" else ()
    with torch.random.fork_rng(cards):  # the caller's randomness stays as it was
        losses = list(_try(job, rates))
    return read_curve(rates[: len(losses)], losses, planned=steps)


def read_curve(rates: list[float], losses: list[float], *, planned: int) -> LRCurve:
    """Return what a trial says.

    Args:
        rates: Rising, one a step.
        losses: As many; only the last may be no finite number.
        planned: Steps that the trial would have had.
    Raises:
        TrainingError: There are too few steps, or the loss is smallest at the start.
    """
    diverged = len(losses) < planned or not math.isfinite(losses[-1])
    finite = losses if math.isfinite(losses[-1]) else losses[:-1]
    smoothed = _smooth(finite)
    rates = rates[: len(smoothed)]
    first = round(SKIPPED_FRAC * planned)
    if len(smoothed) < first + 3:
        raise TrainingError(
            f"the loss soars or is no finite number after {len(losses)} of {planned} steps, "
            "too soon for a curve. Pass a smaller `lowest` (`--lowest 1e-9`), and look at the "
            "pictures with `nunbit check`."
        )
    read = range(first, len(smoothed))
    best = min(read, key=lambda k: smoothed[k])
    if best == first:
        raise TrainingError(
            f"the loss only rises from learning rate {rates[first]:.3g} on. Pass a smaller "
            "`lowest` (`--lowest 1e-9`), or look whether the labels are right."
        )
    steps = [(smoothed[k] - smoothed[k - 1], k) for k in read if first < k <= best]
    return LRCurve(
        rates=tuple(rates),
        losses=tuple(finite),
        smoothed=tuple(smoothed),
        suggestion=rates[best] / 10,
        steepest=rates[min(steps)[1]],
        diverged=diverged,
    )


def _check(pictures: Pictures, *, lowest: float, highest: float, steps: int) -> None:
    problems = []
    if not (0 < lowest < highest < math.inf):
        problems.append(
            f"the learning rates go from {lowest:g} to {highest:g}, expected 0 < lowest < highest"
        )
    if steps < LEAST_STEPS:
        problems.append(f"`steps` is {steps}, expected at least {LEAST_STEPS}")
    if len(pictures.train) < LEAST_PICTURES:
        problems.append(
            f"there are {len(pictures.train)} training pictures, expected at least "
            f"{LEAST_PICTURES}: of fewer the loss says nothing about others"
        )
    if problems:
        raise OptionError("; ".join(problems) + ".")


def _try(job: Job, rates: list[float]) -> Iterator[float]:
    """Take one step at each rate; yield the loss before it, until it soars."""
    job.model.network.train()
    average, best = 0.0, math.inf
    for step, (rate, batch) in enumerate(zip(rates, _endless(job.batches), strict=False)):
        for group in job.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_factor", 1.0)
        _seed_dropout(job, step)
        with memory_watched(job, Progress(peak_lr=rate, lr=rate, step=step), batch):
            loss = float(_train_step(job, batch, step)["loss"]) / len(batch)
        yield loss
        if not math.isfinite(loss):
            return
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed = average / (1 - SMOOTHING ** (step + 1))
        best = min(best, smoothed)
        if smoothed > DIVERGED * best:
            return


def _endless(batches: Batches) -> Iterator[Batch]:
    """Yield the batches of one epoch after the other; of a stream, those with pictures."""
    epoch, found = 0, True
    while found:
        found = False
        for batch in batches.of_epoch(epoch):
            if batch.whole:
                found = True
                yield batch
        epoch += 1


def _smooth(losses: list[float]) -> list[float]:
    average, smoothed = 0.0, []
    for step, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**step))
    return smoothed
