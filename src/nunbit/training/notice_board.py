"""A board on which the processes of a training leave short notes for each other.

It is ``torchrun``'s key-value store, reached by a connection of its own. So a rank can
be asked whether it is still there, and say why it stops, when nothing else gets
through: before the ranks are connected, and after one of them is gone.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

import torch.distributed as dist

__all__ = ["NoticeBoard", "within"]

T = TypeVar("T")

POLL_S = 0.1
"""Seconds between two looks at the board, where somebody waits for a note."""


class _Store(Protocol):
    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def check(self, keys: list[str]) -> bool: ...
    def add(self, key: str, value: int) -> int: ...


class NoticeBoard:
    """Notes under names; whatever goes wrong with the board, nobody fails by it."""

    def __init__(self, store: _Store) -> None:
        self.store = store
        restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self.prefix = f"nunbit/{restart}"
        self.is_gone = False
        """Whether it was found that nobody keeps the board any more; it is not asked again."""

    @classmethod
    def open(cls, *, timeout_s: float = 5.0) -> NoticeBoard | None:
        """Reach the board of this training, or return None where there is none."""
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
            return None  # the first rank is about to make the store, and the others wait for it
        try:
            return cls(
                dist.TCPStore(  # type: ignore[attr-defined]
                    os.environ["MASTER_ADDR"],
                    int(os.environ["MASTER_PORT"]),
                    is_master=False,
                    timeout=timedelta(seconds=timeout_s),
                    wait_for_workers=False,
                )
            )
        except (KeyError, ValueError, RuntimeError):
            return None

    def post(self, name: str, text: str = "") -> None:
        """Leave a note; an older one of this name is replaced."""
        if self.is_gone:
            return
        try:
            self.store.set(f"{self.prefix}/{name}", text)
        except RuntimeError as error:
            self._look_at(error)

    def read(self, name: str) -> str | None:
        """Return a note, or None where there is none; :attr:`is_gone` says if none can be."""
        if self.is_gone:
            return None
        key = f"{self.prefix}/{name}"
        try:
            if not self.store.check([key]):
                return None
            return self.store.get(key).decode("utf-8", "replace")
        except RuntimeError as error:
            self._look_at(error)
            return None

    def _look_at(self, error: RuntimeError) -> None:
        """Note whether the connection is closed; torch would complain at each further try."""
        if isinstance(error, dist.DistNetworkError):
            self.is_gone = True

    def wait_for(self, names: Sequence[str], *, timeout_s: float) -> dict[str, str]:
        """Return the notes of these names, as soon as all are there or the time is over."""
        keys = [f"{self.prefix}/{name}" for name in names]
        end = time.monotonic() + timeout_s
        with contextlib.suppress(RuntimeError):
            while not self.store.check(keys) and time.monotonic() < end:
                time.sleep(POLL_S)
        found = {name: self.read(name) for name in names}
        return {name: text for name, text in found.items() if text is not None}

    def come(self, size: int, *, timeout_s: float) -> int:
        """Say that this rank is here, and return how many are, as soon as all are.

        Raises:
            RuntimeError: The board is gone.
        """
        key = f"{self.prefix}/came"
        here = self.store.add(key, 1)
        end = time.monotonic() + timeout_s
        while here < size and time.monotonic() < end:
            time.sleep(POLL_S)
            here = self.store.add(key, 0)
        return here


def within(seconds: float, work: Callable[[], T]) -> T | None:
    """Return what ``work`` returns, or None where it takes longer; it is then left alone.

    A board on a machine whose cable is out neither answers nor refuses to.
    """
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None
