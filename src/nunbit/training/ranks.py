"""Many processes that train one network: who is who, and how they agree.

A rank is one process of a training; ``torchrun`` starts them. Each computes a part
of every batch. Rank 0, the first, is the only one that writes files, shows progress
and has callbacks; what callbacks ask for reaches the others from there. A training
in one process is a training of one rank, :data:`ALONE`, by the same code.

Messages between ranks about the run itself (has anyone been interrupted, is every
loss finite, which picture was scored how) go over ``gloo``, on the processor, so that
they wait for no GPU. Gradients go their own way (``training/parallel.py``).

A rank that is gone, or does not answer for ``rank_timeout`` seconds, ends the training
on all others: :meth:`Ranks.guard` finds out which it was and says how to go on.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from nunbit.errors import OptionError, TrainingError, name_list
from nunbit.training.notice_board import NoticeBoard, within
from nunbit.training.rescue import LAUNCHED

__all__ = ["ALONE", "RankLostError", "Ranks", "current_ranks", "share_of"]

T = TypeVar("T")

CONNECT_S = 600
"""Seconds in which all ranks must come to be connected: one may still read pictures."""
ANSWER_S, LOOK_S = 3.0, 0.5
"""Seconds in which a rank answers whether it is there, and between two looks at the question."""
LOOKS_PER_S = 400
"""Looks at the board that all ranks together take in a second; with more ranks each takes fewer."""
BROKEN = ("gloo", "NCCL", "ProcessGroup", "Connection closed", "Timed out waiting")
"""What the message of an error has in it where ranks could not reach each other."""


class RankLostError(TrainingError):
    """Another rank is gone, or does not answer.

    Args:
        speaker: The first of the ranks that are left; it is the one to say so.
    """

    exit_status = 1

    def __init__(self, message: str, *, speaker: int = 0) -> None:
        super().__init__(message)
        self.speaker = speaker


class Ranks:
    """The processes of a training, as one of them sees them. This one is alone.

    Args:
        rank: Number of this process, from 0.
        size: Number of processes.
        local_rank: Number of this process on its machine: which GPU is its own.
    """

    def __init__(self, rank: int = 0, size: int = 1, *, local_rank: int = 0) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = local_rank

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and has callbacks."""
        return self.rank == 0

    def worst(self, state: int) -> int:
        """Return the largest of the numbers that all ranks give."""
        return state

    def of_first(self, value: T) -> T:
        """Return the value that the first rank gives; plain data and tensors."""
        return value

    def gather(self, value: T) -> list[T]:
        """Return the values that all ranks give, in the order of ranks."""
        return [value]

    def wait(self) -> None:
        """Wait until all ranks are here."""

    @contextlib.contextmanager
    def guard(self, where: Callable[[], tuple[str, str]]) -> Iterator[None]:
        """Turn what happens where another rank is lost into an error that says so.

        Args:
            where: Returns where in the training this is (``at step 3 of epoch 2``), and
                sentences about what to do next.
        Raises:
            RankLostError: A rank is gone, has failed, or does not answer.
        """
        yield


ALONE = Ranks()


class _Together(Ranks):
    """One of several processes."""

    def __init__(
        self, rank: int, size: int, *, local_rank: int, timeout_s: int, board: NoticeBoard | None
    ) -> None:
        super().__init__(rank, size, local_rank=local_rank)
        self.timeout_s = timeout_s
        self.board = board
        self.guarded = 0
        """Guards entered so far; all ranks enter them in the same order."""
        self.group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout_s))

    def worst(self, state: int) -> int:
        message = torch.tensor(state)
        dist.all_reduce(message, dist.ReduceOp.MAX, group=self.group)
        return int(message)

    def of_first(self, value: T) -> T:
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, group=self.group)
        return box[0]  # type: ignore[no-any-return]

    def gather(self, value: T) -> list[T]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.group)
        return found

    def wait(self) -> None:
        self.worst(0)

    @contextlib.contextmanager
    def guard(self, where: Callable[[], tuple[str, str]]) -> Iterator[None]:
        self.guarded += 1
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, TrainingError) or not _is_broken(error):
                self._say_why(error)
                raise
            _stay_until_told()
            raise self._lost(error, *where()) from error
        except BaseException as error:
            self._say_why(error)
            raise

    def _say_why(self, error: BaseException) -> None:
        """Leave a note for those who will miss this rank."""
        if self.board is not None:
            why = f"on {socket.gethostname()}: {str(error) or type(error).__name__}"
            name, board = self._failed(self.rank), self.board
            within(ANSWER_S, lambda: board.post(name, why))

    @property
    def _answer_s(self) -> float:
        """Seconds in which a rank has seen the question and answered."""
        return ANSWER_S + look_s(self.size) - LOOK_S

    def _failed(self, rank: int) -> str:
        return f"failed/{self.guarded}/{rank}"

    def _lost(self, error: RuntimeError, place: str, advice: str) -> RankLostError:
        """Return the error that says which ranks are lost, found by asking all of them."""
        silent = f"did not answer within {self.timeout_s} s"
        ended = silent if "imed out" in str(error) else "was lost"
        answers = None if self.board is None else within(2 * self._answer_s + 5, self._ask)
        if answers is None:
            here_is = f"rank {self.rank} of {self.size} on {socket.gethostname()}"
            what = f"{here_is} no longer reaches the others, nor the machine of the first,"
            return RankLostError(f"{what} {place}. {advice}".strip(), speaker=self.rank)
        here, why = answers
        failed = [f"rank {rank} of {self.size} failed {text}" for rank, text in why.items()]
        missing = [rank for rank in range(self.size) if rank not in here and rank not in why]
        if missing:
            plural = "rank" if len(missing) == 1 else "ranks"
            failed.append(f"{plural} {name_list(missing)} of {self.size} {ended}")
        what = "; ".join(failed) or f"the {self.size} ranks no longer reach each other ({error})"
        return RankLostError(f"{what} {place}. {advice}".strip(), speaker=min(here))

    def _ask(self) -> tuple[list[int], dict[int, str]] | None:
        """Return which ranks are here, this one among them, and why others have failed.

        None where the machine that keeps the board cannot be reached.
        """
        board, others = self.board, [r for r in range(self.size) if r != self.rank]
        if board is None:
            return None
        notes = {rank: board.read(self._failed(rank)) for rank in others}
        why = {rank: text for rank, text in notes.items() if text}
        board.post(f"here/{self.rank}")
        board.post("anyone")
        asked = [rank for rank in others if rank not in why]
        found = board.wait_for([f"here/{rank}" for rank in asked], timeout_s=self._answer_s)
        if board.read(f"here/{self.rank}") is None:
            return None
        return sorted([self.rank, *(r for r in asked if f"here/{r}" in found)]), why


def _stay_until_told() -> None:
    """Let SIGTERM wait: torchrun sends it to the ranks that are left, which have to say why."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: None)


def _is_broken(error: RuntimeError) -> bool:
    """Return whether an error comes from ranks that do not reach each other."""
    return isinstance(error, dist.DistError) or any(word in str(error) for word in BROKEN)


_current: _Together | None = None
_listening: threading.Event | None = None
"""Set when the process need not answer any more."""


def current_ranks(timeout_s: int = CONNECT_S) -> Ranks:
    """Return the processes that ``torchrun`` has started, or :data:`ALONE`.

    The first call connects them; the connection ends with the process.

    Args:
        timeout_s: Seconds after which a rank that does not answer is lost; the same
            on all ranks.
    Raises:
        OptionError: The environment is not as ``torchrun`` makes it.
        TrainingError: Not all ranks came.
    """
    global _current
    size = _number("WORLD_SIZE", 1)
    if size <= 1:
        return ALONE
    if _current is None or _current.timeout_s != timeout_s:
        board = NoticeBoard.open() if _current is None else _current.board
        if not dist.is_initialized():
            _connect(board, size, timeout_s)
        if board is not None and _listening is None:
            _listen(board, dist.get_rank(), size=size)
        _current = _Together(
            dist.get_rank(),
            dist.get_world_size(),
            local_rank=_number("LOCAL_RANK", 0),
            timeout_s=timeout_s,
            board=board,
        )
    return _current


def _connect(board: NoticeBoard | None, size: int, timeout_s: int) -> None:
    """Connect all ranks; gradients go over what is made here."""
    has_cards = torch.cuda.is_available()
    # On GPUs the messages of `_Together` time out first, and say more than NCCL would.
    allowed = 2 * timeout_s + 60 if has_cards else timeout_s
    here = 0
    try:
        if board is None:  # started by other means than torchrun: the first rank keeps it
            allowed = max(allowed, CONNECT_S)
        else:
            here = board.come(size, timeout_s=max(timeout_s, CONNECT_S))
        if board is None or here >= size:
            backend = "cpu:gloo,cuda:nccl" if has_cards else "gloo"
            dist.init_process_group(backend, timeout=timedelta(seconds=allowed))
            atexit.register(_close)
            return
        reason = f"{here} are here"
    except ValueError as error:
        raise OptionError(
            f"the environment has WORLD_SIZE, so this is one of several processes, but not all "
            f"that `torchrun` sets ({error}). Start them with `torchrun`, or unset WORLD_SIZE."
        ) from error
    except RuntimeError as error:
        reason = str(error)
    raise TrainingError(
        f"not all {size} ranks came within {max(timeout_s, CONNECT_S)} s ({reason}); this is rank "
        f"{os.environ.get('RANK')} on {socket.gethostname()}. Look whether each machine reaches "
        f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}."
    )


def look_s(size: int) -> float:
    """Return the seconds between two looks of a rank at the board, of which there is one for all.

    Example:
        >>> look_s(2), look_s(1_000)
        (0.5, 2.5)
    """
    return max(LOOK_S, size / LOOKS_PER_S)


def _listen(board: NoticeBoard, rank: int, *, size: int) -> None:
    """Answer in a thread when somebody asks whether this rank is there.

    Where ``nunbit --devices`` was killed, which nobody else watches, it ends the rank as
    SIGTERM does: the state is saved.
    """
    global _listening
    _listening = over = threading.Event()
    launcher = os.getppid() if LAUNCHED in os.environ else None

    def listen() -> None:
        while not over.wait(look_s(size)):
            if launcher is not None and os.getppid() != launcher:
                board.is_gone = True  # the launcher kept it
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if board.read("anyone") is not None:
                board.post(f"here/{rank}")
                return
            if board.is_gone:
                return

    threading.Thread(target=listen, name="nunbit-listens", daemon=True).start()
    atexit.register(over.set)


def _close() -> None:
    """Take leave, so that nothing warns of an open connection."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise OptionError(
            f"the environment has {name}={text!r}, expected a number as `torchrun` sets it. "
            f"Start with `torchrun`, or unset {name}."
        )
    return int(text)


def share_of(count: int, ranks: Ranks) -> slice:
    """Return which of ``count`` things this rank does: parts of nearly equal size, in order."""
    return slice(count * ranks.rank // ranks.size, count * (ranks.rank + 1) // ranks.size)
