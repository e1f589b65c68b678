"""``ModelCheckpoint``: write the model file while training, every epoch or the best."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nunbit.errors import OptionError
from nunbit.tasks import Direction
from nunbit.training.callbacks.base import Callback, Moment
from nunbit.training.callbacks.monitor import Mode, Monitor

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Callback):
    """Save the model after each epoch, or only when a score has improved.

    What is saved is a model file like any other: ``nunbit predict`` takes it. (To
    continue a run, the run folder keeps its own checkpoint; this is not it.)

    Args:
        filepath: Where to write; relative paths lie in the run folder. It may hold
            ``{epoch}`` (1-based) and the name of any score, as in
            ``"{epoch:02d}-{val_loss:.2f}.safetensors"``. Default: in the folder
            ``checkpoints``, ``best.safetensors`` or one file per epoch.
        monitor: The score that decides what is best.
        save_best_only: Whether only an improvement is written; equal is none.
        mode: ``"min"``, ``"max"``, or ``"auto"``.
        initial_value_threshold: The score has to beat this to be saved at all.
    Raises:
        OptionError: The file name has an unknown placeholder or another ending
            than ``.safetensors``; at the start of training: the score is not measured.
    Source: Keras 3 ``ModelCheckpoint``.
    Departs: Keras' ``best`` survives from one ``fit`` to the next in the same
        process but is forgotten on a restart; ours starts afresh with each run and
        survives a resume. A score that is not a number is never saved as the best.
        Keras' ``save_freq`` in batches and
        ``save_weights_only`` are not offered: a model file without its
        preprocessing is of no use to anyone.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str] | None = None,
        monitor: str = "val_loss",
        *,
        save_best_only: bool = False,
        mode: Mode = "auto",
        initial_value_threshold: float | None = None,
    ) -> None:
        if filepath is None:
            name = "best" if save_best_only else "epoch-{epoch:03d}"
            filepath = f"checkpoints/{name}.safetensors"
        self.filepath = os.fspath(filepath)
        if not self.filepath.endswith(".safetensors"):
            raise OptionError(
                f"`filepath` is `{self.filepath}`, expected it to end in .safetensors."
            )
        self.monitor = Monitor(monitor, mode)
        self.save_best_only = save_best_only
        self.initial_value_threshold = initial_value_threshold
        self._reset()

    def _reset(self) -> None:
        self.best = self.initial_value_threshold
        self._direction: Direction = "min"

    def on_train_begin(self, moment: Moment) -> None:
        self._reset()
        if self.save_best_only:
            self._direction = self.monitor.direction(moment.known, owner="ModelCheckpoint")
        try:
            self._fill(dict.fromkeys(moment.known, 0.0), epoch=0)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            names = ", ".join(f"`{{{name}}}`" for name in ("epoch", *moment.known))
            raise OptionError(
                f"`filepath` is `{self.filepath}`, which cannot be filled in "
                f"({type(error).__name__}: {error}). Placeholders: {names}."
            ) from error

    def on_epoch_end(self, moment: Moment) -> None:
        if self.save_best_only:
            value = moment.logs.get(self.monitor.name)
            if value is None or not self.monitor.is_better(value, self.best, self._direction):
                return
            self.best = value
        path = self._fill(moment.logs, epoch=moment.epoch)
        if moment.folder is not None:
            path = moment.folder / path
        moment.save_model(path)

    def _fill(self, logs: Mapping[str, float], *, epoch: int) -> Path:
        return Path(self.filepath.format(**{**logs, "epoch": epoch + 1}))

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]
