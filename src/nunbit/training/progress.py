"""Progress for people: a bar on a terminal, one plain line an epoch everywhere.

The bar is one line that writes over itself. It has no thread of its own, so it takes
nothing from the training between two looks, and uses no codes but the carriage return.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from nunbit.training.callbacks.base import Callback, Moment
from nunbit.training.header import Fact, header_lines

__all__ = ["ProgressPrinter", "epoch_line", "short_time"]

REFRESH_S = 0.1
"""Seconds between two looks of the bar."""
LINES = 100
"""Runs of more epochs than this leave lines out where epochs are short."""
QUIET_S = 2.0
"""An epoch that comes so long after the last line gets one in any case."""
WIDE = 100
"""Columns of the header where the stream is no terminal."""
LEFT_S = 60.0
"""Less time left than this is not worth a word in an epoch's line."""
LOOK_AFTER_STEPS, LOOK_AFTER_S = 20, 3.0
"""When the share of waiting is looked at first."""
STARVED_FRAC = 0.4
"""Share of the time spent waiting for batches from which on a note says so."""


def short_time(seconds: float) -> str:
    """Return a time as people say it.

    Example:
        >>> short_time(7.2), short_time(200), short_time(4000), short_time(200_000)
        ('7 s', '3 min 20 s', '1 h 6 min', '2 d 7 h')
    """
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def epoch_line(moment: Moment, *, left: float | None = None, width: int | None = None) -> str:
    """Return the scores of an epoch in one line.

    Args:
        left: Seconds that the rest of the run will take, where known.
        width: Columns; what does not fit is left out, scores never.

    Example:
        >>> logs = {"loss": 1.5, "accuracy": 0.5}
        >>> moment = Moment(epochs=2, lr=0.1, logs=logs, images=1000, seconds=0.5)
        >>> epoch_line(moment, left=200)[42:]
        'lr 0.1  0.50 s  2,000 pictures/s  3 min 20 s left'
        >>> epoch_line(moment, width=56)
        'epoch 1/2  loss 1.5000  accuracy 50.00 %  lr 0.1  0.50 s'
    """
    digits = len(str(moment.epochs))
    parts = [f"epoch {moment.epoch + 1:>{digits}}/{moment.epochs}"]
    for name, value in moment.logs.items():
        is_loss = name.endswith("loss")
        parts.append(f"{name} {value:.4f}" if is_loss else f"{name} {100 * value:5.2f} %")
    more = {"lr": f"lr {moment.lr:.3g}"}
    if moment.seconds > 0:
        more["seconds"] = f"{moment.seconds:.{2 if moment.seconds < 10 else 0}f} s"
        more["speed"] = f"{moment.images / moment.seconds:,.0f} pictures/s"
    if left is not None and left > LEFT_S:
        more["left"] = f"{short_time(left)} left"
    line = "  ".join([*parts, *more.values()])
    for dropped in ("speed", "lr", "seconds", "left"):
        if width is not None and len(line) > width:
            more.pop(dropped, None)
            line = "  ".join([*parts, *more.values()])
    is_long = width is not None and len(line) > width
    return line.removeprefix("epoch ") if is_long else line


class ProgressPrinter(Callback):
    """Print one line an epoch; on a terminal also a bar with speed and time left.

    Of a run with more than 100 epochs that are short, not every epoch gets a line;
    ``history.jsonl`` has them all.

    Args:
        stream: Where to; default standard error, so that results stay alone on
            standard output.
        header: Printed with the name of the run folder before the first epoch.
        advice: What to do where training waits for its pictures.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        header: Mapping[str, Sequence[Fact]] | None = None,
        advice: str = "",
    ) -> None:
        self.stream = stream
        self.header = header
        self.advice = advice
        self._reset()

    def _reset(self) -> None:
        self._out: TextIO = self.stream or sys.stderr
        self._is_terminal = self._out.isatty()
        self._shown = 0
        self._last = self._last_line = self._began = time.monotonic()
        self._first_step: int | None = None
        self._has_looked = False

    def on_train_begin(self, moment: Moment) -> None:
        self._reset()
        if self.header:
            folder = [Fact(str(moment.folder))]
            width = self._width() or WIDE
            for line in header_lines({**self.header, "Run": folder}, width=width):
                self.say(line)
        every = _every(moment.epochs)
        if every > 1:
            self.say(f"One line in {every} epochs, or more; `history.jsonl` has them all.")

    def on_train_batch_end(self, moment: Moment) -> None:
        now = time.monotonic()
        if self._first_step is None:  # a resumed run begins in the middle, and speed is known now
            self._first_step, self._began, self._waited = _step(moment), now, moment.waited
            return
        if now - self._last < REFRESH_S:
            return
        self._last = now
        if not self._has_looked:
            self._look(moment, now)
        if self._is_terminal:
            self._draw(moment, now, f"loss {moment.logs['loss']:.4f}")

    def on_validation_begin(self, moment: Moment) -> None:
        if self._is_terminal and time.monotonic() - self._last >= REFRESH_S:
            self._draw(moment, time.monotonic(), "validating")

    def on_epoch_end(self, moment: Moment) -> None:
        now, number = time.monotonic(), moment.epoch + 1
        is_due = number % _every(moment.epochs) == 0 or number in (1, moment.epochs)
        if is_due or now - self._last_line >= QUIET_S:
            self._last_line = now
            left, width = self._left(moment, now), self._width()
            self.say(epoch_line(moment, left=left, width=None if width is None else width - 1))

    def teardown(self) -> None:
        self._wipe()

    def say(self, text: str) -> None:
        """Print a line; the bar makes room."""
        self._wipe()
        print(_writable(text, self._out), file=self._out, flush=True)

    def _width(self) -> int | None:
        """Return the columns of the terminal; None where the stream is none."""
        if not self._is_terminal:
            return None
        try:
            return os.get_terminal_size(self._out.fileno()).columns or 80
        except (OSError, ValueError):  # it says that it is a terminal, and has no size
            return 80

    def _left(self, moment: Moment, now: float) -> float | None:
        """Return the seconds that the rest will take at the speed so far, validation included."""
        done = _step(moment) - (self._first_step or 0)
        if self._first_step is None or done < 1:
            return None
        rest = moment.epochs * moment.steps_per_epoch - _step(moment)
        return (now - self._began) / done * rest

    def _draw(self, moment: Moment, now: float, what: str) -> None:
        """Write the bar over itself."""
        columns = (self._width() or 80) - 1
        done, rest = _step(moment) - (self._first_step or 0), self._left(moment, now)
        pictures = moment.images / moment.steps_per_epoch * done / max(now - self._began, 1e-9)
        before = f"epoch {moment.epoch + 1}/{moment.epochs} "
        parts = [what, f"{pictures:,.0f} pictures/s"]
        if rest is not None:
            parts.append(f"{short_time(rest)} left")
        after = "  ".join(["", *parts])
        room = columns - len(before) - len(after)
        frac = _step(moment) / max(moment.epochs * moment.steps_per_epoch, 1)
        text = (before + _bar(frac, min(room, 40), self._out) + after)[:columns]
        self._out.write(f"\r{text}{' ' * (self._shown - len(text))}")
        self._out.flush()
        self._shown = len(text)

    def _wipe(self) -> None:
        if self._shown:
            self._out.write(f"\r{' ' * self._shown}\r")
            self._out.flush()
            self._shown = 0

    def _look(self, moment: Moment, now: float) -> None:
        """Say once, early in the run, if training waits for its pictures."""
        spent, done = now - self._began, _step(moment) - (self._first_step or 0)
        if done < LOOK_AFTER_STEPS or spent < LOOK_AFTER_S:
            return
        self._has_looked = True
        share = (moment.waited - self._waited) / spent
        if share > STARVED_FRAC:
            self.say(
                f"note: {100 * share:.0f} % of the time goes into waiting for pictures: they are "
                f"made more slowly than they are learnt. {self.advice}".rstrip()
            )


def _every(epochs: int) -> int:
    return -(-epochs // LINES)


def _step(moment: Moment) -> int:
    """Return the steps done of the whole run."""
    return moment.epoch * moment.steps_per_epoch + moment.step


def _bar(frac: float, columns: int, stream: TextIO) -> str:
    """Return a bar; where the stream has no such signs, of plain ones."""
    if columns < 3:
        return ""
    full = round(min(frac, 1.0) * columns)
    text = "━" * full + "─" * (columns - full)
    return text if _writable(text, stream) == text else "#" * full + "." * (columns - full)


def _writable(text: str, stream: TextIO) -> str:
    """Return the text as the stream can write it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeError:
        return text.replace("×", "x").encode(encoding, "backslashreplace").decode(encoding)
    return text
