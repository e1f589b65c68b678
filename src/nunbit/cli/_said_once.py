"""Saying an error once, where many ranks of a training meet the same one.

A wrong option is wrong on every rank: the first says so, the others are silent. What
only one of them met (its machine has no such folder) that one says, with its number.
"""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["is_first_rank", "say_once", "started_ranks"]

WAIT_S = 4.0
"""Seconds in which the first rank meets an error that is everybody's."""


def started_ranks() -> int:
    """Return how many processes ``torchrun`` has started; 1 where it has not."""
    text = os.environ.get("WORLD_SIZE", "1")
    return int(text) if text.isdecimal() else 1


def is_first_rank() -> bool:
    """Whether this process speaks for all; without looking at more than the environment."""
    return started_ranks() <= 1 or os.environ.get("RANK", "0") == "0"


def say_once(text: str, error: BaseException, say: Callable[[str], None]) -> None:
    """Say what went wrong, unless another rank says it.

    Args:
        say: Prints a text.
    """
    if started_ranks() <= 1:
        say(text)
        return
    rank = os.environ.get("RANK", "0")
    speaker = getattr(error, "speaker", None)  # those that are left know which is lost
    if isinstance(error, KeyboardInterrupt):
        speaker = 0
    if speaker is not None:
        if str(speaker) == rank:
            say(text)
        return
    if rank == "0":
        say(text)

    from nunbit.training.notice_board import NoticeBoard  # it loads torch: after the words

    board = NoticeBoard.open()
    if rank == "0":
        if board is not None:
            board.post("said", text)
        return
    heard = "" if board is None else board.wait_for(["said"], timeout_s=WAIT_S).get("said", "")
    if text not in heard:
        say(f"rank {rank} of {started_ranks()}: {text}")
