"""Ctrl-C and SIGTERM as a flag, so that a step is never torn."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

__all__ = ["catch_interrupt"]


@contextlib.contextmanager
def catch_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag; the second stops at once.

    SIGTERM, as a cluster sends it, is treated alike.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # signals reach the main thread only
        return

    def note(number: int, frame: object) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    heeded = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN]
    before = {each: signal.signal(each, note) for each in heeded}
    try:
        yield flag
    finally:
        for each, handler in before.items():
            if handler is not None:  # one that was not set from Python cannot be put back
                signal.signal(each, handler)
