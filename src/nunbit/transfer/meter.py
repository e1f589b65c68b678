"""How far a download is: a bar on a terminal, a line per file elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

__all__ = ["Meter", "Progress", "size_text"]

Progress = Callable[[str, int, int | None], None]
"""Takes what is going on, the bytes that are there, and the bytes of the whole."""

REFRESH_S = 0.1


def size_text(size_bytes: int) -> str:
    """Return a size as people read it.

    Example:
        >>> size_text(9_912_422), size_text(4_542)
        ('9.9 MB', '4.5 kB')
    """
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} bytes"


class Meter:
    """Show how far downloads are; a context manager, called as :data:`Progress`.

    Args:
        stream: Where to; default standard error, so that results stay alone on
            standard output.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Take one report: what is going on, bytes that are there, bytes of the whole."""
        if not self.stream.isatty():
            if what not in self._tasks:
                self._tasks[what] = None
                size = f" ({size_text(total)})" if total else ""
                begun = f", {size_text(done)} are there" if done else ""
                verb = "" if what.startswith("waiting") else "downloading "
                print(f"{verb}{what}{size}{begun}", file=self.stream, flush=True)
            return
        now = time.monotonic()
        if what in self._tasks and now - self._last < REFRESH_S and done != total:
            return
        self._last = now
        if self._bar is None:
            self._bar = self._new_bar()
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total, completed=done)
        self._bar.update(self._tasks[what], completed=done, total=total)

    def _new_bar(self) -> Any:
        from rich import progress
        from rich.console import Console

        bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(file=self.stream),
        )
        bar.start()
        return bar
