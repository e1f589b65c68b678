"""Ctrl-C and SIGTERM as a flag, so that a step is never torn."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from nunbit.training.ranks import Ranks

__all__ = ["Interrupt", "catch_interrupt", "ends_with"]


class Interrupt:
    """Ctrl-C as all ranks know it: they leave at the same place, where they have agreed to.

    Args:
        asked: Set where this rank has got a signal; the others may not have theirs yet.
    """

    def __init__(self, asked: threading.Event, ranks: Ranks) -> None:
        self.is_asked = asked.is_set
        agreed = asked if ranks.size == 1 else threading.Event()
        self.is_set, self.set = agreed.is_set, agreed.set


@contextlib.contextmanager
def catch_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag; the second stops at once.

    SIGTERM is such a flag, too, however often it comes: a cluster sends it to the processes
    of a job, and what has started them sends it on.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # signals reach the main thread only
        return

    def note(number: int, frame: object) -> None:
        if flag.is_set() and number == signal.SIGINT:
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


@contextlib.contextmanager
def ends_with(text: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end what is done here at once, with a text for people.

    Raises:
        KeyboardInterrupt: One of them has come; it carries the text.
    """

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt(text)

    is_main = threading.current_thread() is threading.main_thread()
    is_free = is_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if is_free:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt as error:
        if str(error):
            raise
        raise KeyboardInterrupt(text) from error
    finally:
        if is_free:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
