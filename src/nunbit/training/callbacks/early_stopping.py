"""``EarlyStopping``: end the training when a score no longer gets better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nunbit.errors import OptionError
from nunbit.tasks import Direction
from nunbit.training.callbacks.base import Action, Callback, LoadWeights, Moment, Stop, Weights
from nunbit.training.callbacks.monitor import Mode, Monitor

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Stop when a score has not improved for ``patience`` epochs.

    Args:
        monitor: The score to watch.
        min_delta: A change must be larger than this to count.
        patience: Epochs without improvement after which training stops; 0 and 1
            act alike, as in Keras.
        mode: ``"min"``, ``"max"``, or ``"auto"``: as the task says for the score.
        baseline: Value that the score has to beat within ``patience`` epochs.
        restore_best_weights: Whether the network ends with the weights of its best
            epoch, whatever ended the run: patience, the last epoch, another callback,
            Ctrl-C.
        start_from_epoch: Epochs (0-based) before this one are not looked at.
    Raises:
        OptionError: At the start of training: the score is not measured.
    Source: Keras 3 ``EarlyStopping``.
    Departs: with ``baseline`` it stops after ``patience`` epochs that do not beat
        it, as Keras documents; Keras' code goes on for as long as the score
        improves. A score that is not a number never counts as best.

    Example:
        >>> EarlyStopping("val_accuracy", patience=3, restore_best_weights=True).patience
        3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        *,
        mode: Mode = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        if patience < 0:
            raise OptionError(f"`patience` is {patience}, expected at least 0 (epochs).")
        self.monitor = Monitor(monitor, mode, min_delta)
        self.patience = patience
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.best_weights: Weights | None = None
        self.stopped_epoch: int | None = None
        self._direction: Direction = "min"

    def on_train_begin(self, moment: Moment) -> None:
        self._reset()
        self._direction = self.monitor.direction(moment.known, owner="EarlyStopping")

    def on_epoch_end(self, moment: Moment) -> Action | None:
        value = moment.logs.get(self.monitor.name)
        if value is None or moment.epoch < self.start_from_epoch:
            return None
        if self.restore_best_weights and self.best_weights is None:
            self._keep(moment)
        self.wait += 1
        if self.monitor.is_better(value, self.best, self._direction):
            self.best = value
            self._keep(moment)
            if self.baseline is None or self.monitor.is_better(
                value, self.baseline, self._direction
            ):
                self.wait = 0
        if self.wait >= max(self.patience, 1) and moment.epoch > 0:
            self.stopped_epoch = moment.epoch
            return Stop(self._reason())
        return None

    def _keep(self, moment: Moment) -> None:
        self.best_epoch = moment.epoch
        if self.restore_best_weights:
            self.best_weights = moment.weights()

    def _reason(self) -> str:
        if self.best is None or self.best_epoch is None:
            return f"{self.monitor.name} was never a number"
        what = "has not improved"
        if self.baseline is not None and not self.monitor.is_better(
            self.best, self.baseline, self._direction
        ):
            what = f"has not beaten {self.baseline:g}"
        span = "1 epoch" if self.wait == 1 else f"{self.wait} epochs"
        return (
            f"{self.monitor.name} {what} for {span} "
            f"(best {self.best:.6g} in epoch {self.best_epoch + 1})"
        )

    def on_train_end(self, moment: Moment) -> Action | None:
        if self.best_weights is None:
            return None
        return LoadWeights(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "wait": self.wait,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            "best_weights": None if self.best_weights is None else dict(self.best_weights),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.wait = state["wait"]
        self.best = state["best"]
        self.best_epoch = state["best_epoch"]
        self.stopped_epoch = state["stopped_epoch"]
        self.best_weights = state["best_weights"]
