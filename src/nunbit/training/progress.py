"""Progress for people: a bar on a terminal, one plain line an epoch everywhere."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from nunbit.training.callbacks.base import Callback, Moment

__all__ = ["ProgressPrinter", "epoch_line"]

REFRESH_S = 0.1


def epoch_line(moment: Moment) -> str:
    """Return the scores of an epoch in one line.

    Example:
        >>> epoch_line(Moment(epoch=0, epochs=2, lr=0.1, logs={"loss": 1.5, "accuracy": 0.5}))
        'epoch 1/2  loss 1.5000  accuracy 50.00 %  lr 0.1'
    """
    width = len(str(moment.epochs))
    parts = [f"epoch {moment.epoch + 1:>{width}}/{moment.epochs}"]
    for name, value in moment.logs.items():
        is_loss = name.endswith("loss")
        parts.append(f"{name} {value:.4f}" if is_loss else f"{name} {100 * value:5.2f} %")
    return "  ".join([*parts, f"lr {moment.lr:.3g}"])


class ProgressPrinter(Callback):
    """Print one line an epoch; on a terminal also a bar with the time left.

    Args:
        stream: Where to; default standard error, so that results stay alone on
            standard output.
        header: Printed with the name of the run folder before the first epoch.
    """

    def __init__(self, stream: TextIO | None = None, *, header: str = "") -> None:
        self.stream = stream
        self.header = header
        self._bar: Any = None
        self._task: Any = None
        self._last = 0.0

    def on_train_begin(self, moment: Moment) -> None:
        stream = self.stream or sys.stderr
        if self.header:
            print(f"{moment.folder}: {self.header}", file=stream, flush=True)
        if stream.isatty():
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.TextColumn("{task.fields[loss]}"),
                progress.TimeElapsedColumn(),
                progress.TextColumn("left"),
                progress.TimeRemainingColumn(),
                console=Console(file=stream),
                transient=True,
            )
            self._task = self._bar.add_task(
                "training", total=moment.epochs * moment.steps_per_epoch, loss=""
            )
            self._bar.start()

    def on_train_batch_end(self, moment: Moment) -> None:
        now = time.monotonic()
        if self._bar is None or now - self._last < REFRESH_S:
            return
        self._last = now
        self._bar.update(
            self._task,
            completed=moment.epoch * moment.steps_per_epoch + moment.step,
            description=f"epoch {moment.epoch + 1}/{moment.epochs}",
            loss=f"loss {moment.logs['loss']:.4f}",
        )

    def on_epoch_end(self, moment: Moment) -> None:
        line = epoch_line(moment)
        if self._bar is not None:
            self._bar.console.print(line, highlight=False)
        else:
            print(line, file=self.stream or sys.stderr, flush=True)

    def teardown(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
