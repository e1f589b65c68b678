"""``ReduceLROnPlateau``: a smaller learning rate when a score no longer gets better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nunbit.errors import OptionError
from nunbit.tasks import Direction
from nunbit.training.callbacks.base import Action, Callback, Moment, SetLR
from nunbit.training.callbacks.monitor import Mode, Monitor

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by ``factor`` when a score stands still.

    Args:
        monitor: The score to watch.
        factor: 0 < factor < 1.
        patience: Epochs without improvement after which the rate is cut; 0 and 1
            act alike, as in Keras.
        mode: ``"min"``, ``"max"``, or ``"auto"``.
        min_delta: A change must be larger than this to count; absolute.
        cooldown: Epochs after a cut in which nothing is counted. As in Keras the
            epoch of the cut is one of them: 1 has no effect, 2 skips one epoch.
        min_lr: The rate never goes below this.
    Raises:
        OptionError: ``factor`` is out of range; at the start of training: the
            score is not measured, or a schedule moves the learning rate already.
    Source: Keras 3 ``ReduceLROnPlateau``, epoch for epoch.
    Departs: a factor of 0 or below is refused. With a schedule Keras fails when it
        first cuts, ours before the first step.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        *,
        mode: Mode = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise OptionError(f"`factor` is {factor}, expected 0 < factor < 1.")
        if patience < 0 or cooldown < 0:
            raise OptionError(
                f"`patience` is {patience} and `cooldown` {cooldown}, expected at least 0 (epochs)."
            )
        self.monitor = Monitor(monitor, mode, min_delta)
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.best: float | None = None
        self.cooldown_left = 0
        self._direction: Direction = "min"

    def on_train_begin(self, moment: Moment) -> None:
        self._reset()
        self._direction = self.monitor.direction(moment.known, owner="ReduceLROnPlateau")
        if moment.schedule != "constant":
            raise OptionError(
                f"ReduceLROnPlateau cuts the learning rate itself and cannot go with schedule "
                f'`{moment.schedule}`. Pass `TrainOptions(schedule="constant")`.'
            )

    def on_epoch_end(self, moment: Moment) -> Action | None:
        value = moment.logs.get(self.monitor.name)
        if value is None:
            return None
        if self.cooldown_left > 0:
            self.cooldown_left -= 1
            self.wait = 0
        if self.monitor.is_better(value, self.best, self._direction):
            self.best = value
            self.wait = 0
            return None
        if self.cooldown_left > 0:
            return None
        self.wait += 1
        if self.wait < self.patience or moment.lr <= self.min_lr:
            return None
        self.cooldown_left = self.cooldown
        self.wait = 0
        return SetLR(max(moment.lr * self.factor, self.min_lr))

    def state_dict(self) -> dict[str, Any]:
        return {"wait": self.wait, "best": self.best, "cooldown_left": self.cooldown_left}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.wait = state["wait"]
        self.best = state["best"]
        self.cooldown_left = state["cooldown_left"]
