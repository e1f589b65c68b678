"""What the loop works on: ``Job`` is fixed for a run, ``Progress`` is how far it has come."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nunbit.data.batches import Batch, Batches
from nunbit.data.pictures import PictureSet
from nunbit.model import Model
from nunbit.runs import RunFolder
from nunbit.tasks import Direction
from nunbit.training.callbacks.base import Callback
from nunbit.training.checkpoints import Checkpoints
from nunbit.training.device import Plan
from nunbit.training.ema import Average
from nunbit.training.objective import Objective
from nunbit.training.options import TrainOptions
from nunbit.training.parallel import Parallel
from nunbit.training.ranks import Ranks
from nunbit.training.resizing import Resizing

__all__ = ["Job", "Progress"]


@dataclass
class Job:
    """What is trained on what, and how; fixed for the whole run."""

    model: Model
    batches: Batches
    validation: PictureSet | None
    options: TrainOptions
    """Resolved: nothing in it is left open."""
    plan: Plan
    ranks: Ranks
    parallel: Parallel
    """The network as training calls it; compiled or spread over ranks where asked."""
    objective: Objective
    optimizer: torch.optim.Optimizer
    schedule: Callable[[int], float]
    """From the step of the whole run to a factor of the peak learning rate."""
    resizing: Resizing | None
    """Smaller pictures at first; None: always the same."""
    average: Average | None
    callbacks: Sequence[Callback]
    """On ranks other than the first they are never called."""
    run: RunFolder
    checkpoints: Checkpoints
    """Writes the state of the run now and then."""
    identity: Mapping[str, Any]
    """What a checkpoint must agree with to be continued here, as plain data."""
    trained_on: Mapping[str, Any]
    """What the model file says of the pictures."""
    device_augment: Callable[[Batch, Tensor], Tensor] | None = None
    """Augments a batch whose images have arrived on the device; None where threads do it."""
    watchers: Sequence[Callback] = ()
    """Called as callbacks are, but no part of the state: the progress bar, loggers."""
    _having: dict[str, tuple[list[Callback], list[Callback]]] = field(
        default_factory=dict, init=False
    )

    @property
    def epochs(self) -> int:
        """Epochs planned."""
        return self.options.epochs or 1

    @cached_property
    def known_scores(self) -> dict[str, Direction]:
        """Every score there will be at an epoch's end, and which way is better."""
        known = dict(self.model.task.scores)
        if self.validation is not None:
            known |= {f"val_{name}": way for name, way in self.model.task.scores.items()}
        return known

    def having(self, hook: str) -> tuple[list[Callback], list[Callback]]:
        """Return the callbacks and the watchers that have a hook."""
        if hook not in self._having:
            usual = getattr(Callback, hook)
            mine, others = (
                [each for each in kind if getattr(type(each), hook) is not usual]
                for kind in (self.callbacks, self.watchers)
            )
            self._having[hook] = mine, others
        return self._having[hook]

    def is_finished(self, progress: Progress) -> bool:
        """Whether nothing is left to do; an epoch that has begun is always ended."""
        stopped = progress.epoch >= self.epochs or progress.stop_reason is not None
        return stopped and progress.step == 0


@dataclass
class Progress:
    """How far training has come. With weights and callbacks it is all of the state."""

    peak_lr: float
    """What the schedule is a factor of."""
    lr: float
    """Learning rate of the last step."""
    epoch: int = 0
    step: int = 0
    """Steps done in this epoch."""
    seen: int = 0
    """Pictures that this rank has seen in this epoch."""
    sums: dict[str, float | Tensor] = field(default_factory=dict)
    """Scores of this epoch, summed over this rank's pictures."""
    seconds: float = 0.0
    """Spent in this epoch, training only."""
    total_seconds: float = 0.0
    is_validating: bool = False
    """Whether this epoch's steps are done and its validation has begun."""
    history: list[dict[str, float]] = field(default_factory=list)
    stop_reason: str | None = None

    def next_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.step, self.seen, self.sums, self.seconds = 0, 0, {}, 0.0
        self.is_validating = False

    def over_ranks(self, ranks: Ranks) -> tuple[dict[str, float], int]:
        """Return the sums of this epoch and the pictures seen, over all ranks."""
        parts = ranks.gather(({k: float(v) for k, v in self.sums.items()}, self.seen))
        sums: dict[str, float] = {}
        for part, _ in parts:
            for name, value in part.items():
                sums[name] = sums.get(name, 0.0) + value
        return sums, sum(seen for _, seen in parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the checkpoint."""
        plain = dataclasses.asdict(self)
        plain["sums"] = {name: float(value) for name, value in self.sums.items()}
        return plain
