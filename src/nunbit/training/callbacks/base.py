"""What a callback is: typed hooks that see the moment and answer with actions.

A hook is handed a read-only :class:`Moment` and returns nothing, or an action:
:class:`Stop`, :class:`SetLR`, :class:`LoadWeights`. The loop carries actions out,
so a callback is a plain object that can be tested without any training.

Hooks have Keras' names. A misspelt one raises when the class is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from nunbit.errors import OptionError, did_you_mean
from nunbit.tasks import Direction

__all__ = ["Action", "Callback", "LoadWeights", "Moment", "SetLR", "Stop", "Weights"]

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Stop:
    """End the training after this epoch; the reason is kept in the history."""

    reason: str


@dataclass(frozen=True)
class SetLR:
    """Use this learning rate from the next step on; refused where a schedule moves it."""

    lr: float


@dataclass(frozen=True)
class LoadWeights:
    """Put these weights into the network."""

    weights: Weights


Action = Stop | SetLR | LoadWeights


def _nowhere(path: Path) -> None:
    raise OptionError("no model can be saved here: this moment belongs to no training.")


@dataclass(frozen=True)
class Moment:
    """Where training stands when a hook is called.

    Args:
        epoch: 0-based, as in Keras.
        step: Steps done in this epoch.
        epochs: Epochs planned.
        steps_per_epoch: Steps in an epoch.
        lr: Learning rate of the last step; where a step begins, of that one.
        schedule: How the learning rate goes over the run, as in the options.
        logs: Scores known at this moment; at an epoch's end ``loss``, ``accuracy``,
            and with validation ``val_loss``, ``val_accuracy``.
        known: Every score there will be at an epoch's end, and which way is better.
        folder: The run folder, or None.
        images: Training pictures in an epoch.
        seconds: Spent in this epoch, training only; known at its end.
        waited: Seconds of this process that went into waiting for batches.
        weights: Returns a copy of the network's weights.
        save_model: Writes the model file as it is now.
    """

    epoch: int = 0
    step: int = 0
    epochs: int = 1
    steps_per_epoch: int = 1
    lr: float = 0.0
    schedule: str = "constant"
    logs: Mapping[str, float] = field(default_factory=dict)
    known: Mapping[str, Direction] = field(default_factory=dict)
    folder: Path | None = None
    images: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    weights: Callable[[], Weights] = dict
    save_model: Callable[[Path], None] = _nowhere


class Callback:
    """Base of all callbacks. Override the hooks you need; each may return an action.

    State that belongs to a run is set in :meth:`on_train_begin`, so that a callback
    used twice gives the same log twice, and is handed out by :meth:`state_dict`, so
    that a resumed run goes on as if it had never stopped.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a class with a hook that would never be called."""
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith("on_") and name not in HOOKS:
                raise TypeError(
                    f"{cls.__name__}.{name} is no hook and would never be called."
                    f"{did_you_mean(name, HOOKS)} Hooks: {', '.join(HOOKS)}."
                )

    def on_train_begin(self, moment: Moment) -> Action | None:
        """Before the first step, also when a run is resumed (state is loaded after it)."""

    def on_epoch_begin(self, moment: Moment) -> Action | None:
        """Before the first step of an epoch."""

    def on_train_batch_begin(self, moment: Moment) -> Action | None:
        """Before a step."""

    def on_train_batch_end(self, moment: Moment) -> Action | None:
        """After a step; ``logs`` has the batch's ``loss``."""

    def on_validation_begin(self, moment: Moment) -> Action | None:
        """Before the validation pictures are looked at."""

    def on_validation_end(self, moment: Moment) -> Action | None:
        """After it; ``logs`` has the ``val_`` scores."""

    def on_epoch_end(self, moment: Moment) -> Action | None:
        """After validation; ``logs`` has all scores of the epoch."""

    def on_train_end(self, moment: Moment) -> Action | None:
        """After the last step, whatever ended the run but an error; also after Ctrl-C."""

    def teardown(self) -> None:
        """Run at the very end, also after an error or Ctrl-C."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: plain data and tensors."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state that :meth:`state_dict` gave."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
