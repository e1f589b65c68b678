"""When and where the state of a run is written, and which of the files are kept.

The state is copied, and a thread writes the copy while training goes on. The loop
waits for it only where the next one is to be written and the last is not done yet.

What happens where a checkpoint cannot be written (a full disk, a folder that became
read-only), and why:

* The first of a run: an error at once. Nothing is lost yet, and whoever started the
  run may still be there to mend it.
* One in between: the run goes on, says so once, and tries again at the next time. A
  night of training is worth more than the promise to be resumable, and somebody may
  make room meanwhile. Memory that does not take the copy is treated alike. Where the
  disk is full, older checkpoints go before one is given up.
* The last (end of training, Ctrl-C): the model file is written all the same, if there
  is room for that; then an error says from where the run can be continued.

In every case the files that were there before stay as they were.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nunbit.errors import CheckpointError, StorageError
from nunbit.runs import RunFolder
from nunbit.training.checkpoint import (
    DamagedError,
    Saved,
    Snapshot,
    gather_state,
    put_network,
    read_checkpoint,
    take_snapshot,
)
from nunbit.training.memory import first_line, is_out_of_memory
from nunbit.training.ranks import Ranks

if TYPE_CHECKING:
    from nunbit.training.job import Job, Progress

__all__ = ["Checkpoints", "note"]


def note(text: str) -> None:
    """Tell people something that is no error, also where no progress is shown."""
    print(f"nunbit: note: {text}", file=sys.stderr, flush=True)


class Checkpoints:
    """The checkpoints of a run.

    Args:
        run: Whose they are.
        ranks: Only the first writes; all give their part of the state.
        minutes: Time after which one is due within an epoch; 0: never.
        keep: How many are kept.
    """

    def __init__(self, run: RunFolder, ranks: Ranks, *, minutes: float, keep: int) -> None:
        self.run = run
        self.ranks = ranks
        self.minutes = minutes
        self.keep = keep
        self._last_s = time.monotonic()
        self._writer: threading.Thread | None = None
        self._failure: Exception | None = None
        """Why the last snapshot is not on the disk."""
        self._place: tuple[int, int] | None = None
        """Where the run stood in ``last.safetensors``, if it is sound."""
        self._is_told = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until what is being written is written."""
        self._wait(quiet=kind is not None)

    @property
    def exist(self) -> bool:
        """Whether there is one."""
        return bool(self.run.checkpoint_files())

    @property
    def is_due(self) -> bool:
        """Whether the last one was written long enough ago; only the first rank looks."""
        waited_s = time.monotonic() - self._last_s
        return self.ranks.is_first and self.minutes > 0 and waited_s > 60 * self.minutes

    def save(self, job: Job, progress: Progress) -> None:
        """Copy the state as it is now, and begin to write it; called by all ranks together.

        Raises:
            StorageError: It is the first of the run and cannot be written.
        """
        state = gather_state(job, progress)
        self._last_s = time.monotonic()
        error: Exception | None = None
        is_first = False
        if state is not None:
            self._wait()
            if self._failure is not None and not isinstance(self._failure, StorageError):
                raise self._failure  # no trouble with the disk: a fault
            is_first = not self.exist
            try:
                self._begin_to_write(take_snapshot(state, identity=job.identity))
            except (RuntimeError, MemoryError) as caught:
                self._failure = _as_trouble(caught)
                if not isinstance(self._failure, StorageError):
                    raise
            if is_first:
                self._wait(quiet=True)
                error = self._failure
        if self.ranks.of_first(is_first):
            self._raise(error)

    def finish(self, model: StorageError | None = None) -> None:
        """Wait until the last one is written.

        Args:
            model: Why there is no model file.
        Raises:
            StorageError: It could not be, or there is no model file: with from where the run
                can be continued.
        """
        self._wait(quiet=True)
        error = self._failure
        is_whole = error is None
        if is_whole or isinstance(error, StorageError):
            wrong = [] if model is None else [str(model)]
            if not is_whole:
                wrong.append(f"the last checkpoint could not be written: {error}")
            if wrong:
                error = StorageError(" ".join(wrong) + self._left(is_last=is_whole))
                error.__cause__ = self._failure or model
        self._raise(error)

    def read(self) -> Saved:
        """Return the newest checkpoint that can be read; the first rank reads it for all.

        Raises:
            CheckpointError: There is none, or it is a newer Nunbit's.
        """
        found: Saved | CheckpointError | None = None
        if self.ranks.is_first:
            try:
                found = self._read()
            except CheckpointError as error:
                found = error
        found = self.ranks.of_first(found)
        if not isinstance(found, Saved):
            raise found or CheckpointError("the first rank found no checkpoint.")
        return found

    def save_model(self, job: Job) -> None:
        """Write the model file with the weights of the last checkpoint; by the first rank alone.

        Raises:
            StorageError: It cannot be written.
        """
        self._wait(quiet=True)
        saved = self._read()
        if self.ranks.size == 1:
            put_network(saved, job)
        weights = (saved.average or {}).get("weights", saved.network)
        job.model.save(self.run.model_file, weights=weights)

    def settle(self) -> None:
        """Wait until what is being written is written, or has failed."""
        self._wait(quiet=True)

    def write_history(self, history: Sequence[Mapping[str, float]]) -> None:
        """Write ``history.jsonl``; where that fails, the run goes on as with a checkpoint."""
        if not self.ranks.is_first:
            return
        try:
            self.run.write_history(history)
        except StorageError as error:
            self._tell(error)

    def _read(self) -> Saved:
        path = self.run.checkpoint_file
        damaged: list[DamagedError] = []
        for file in self.run.checkpoint_files():
            try:
                saved = read_checkpoint(file)
            except DamagedError as error:
                damaged.append(error)
                continue
            if file == path:
                self._place = saved.place
            elif damaged:
                note(f"{damaged[0]} The one before it is taken: `{file.name}`.")
            return saved
        if damaged:
            raise damaged[0]
        raise CheckpointError(
            f"`{path}` is missing, so there is nothing to continue from. Start a new run."
        )

    def _begin_to_write(self, snapshot: Snapshot) -> None:
        self._writer = threading.Thread(
            target=self._write,
            args=(snapshot, self._is_told),
            name="nunbit-checkpoint",
            daemon=True,
        )
        self._writer.start()

    def _write(self, snapshot: Snapshot, was_told: bool) -> None:
        """Write one; runs in a thread of its own.

        Args:
            was_told: Whether trouble was told before, which is over if this one succeeds.
        """
        try:
            self._keep_older(snapshot.place)
            try:
                snapshot.write(self.run.checkpoint_file)
            except StorageError as error:
                if not self._make_room(error):
                    raise
                snapshot.write(self.run.checkpoint_file)
            self._place = snapshot.place
            self._remove_old()
            self._failure = None
            if was_told:
                self._is_told = False
        except Exception as error:
            self._failure = _as_trouble(error)

    def _make_room(self, error: StorageError) -> bool:
        """Remove older checkpoints where the disk is full; returns whether there were any.

        The last one is whole, and what is a second name of it takes no room.
        """
        cause = error.__cause__
        is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if not is_full or self._place is None:
            return False
        removed = False
        for path in self.run.checkpoint_files()[1:]:
            with contextlib.suppress(OSError):
                if not path.samefile(self.run.checkpoint_file):
                    path.unlink()
                    removed = True
        return removed

    def _keep_older(self, coming: tuple[int, int]) -> None:
        """Give the last one a second name; the first is its own until the new one takes it."""
        if self.keep == 1 or self._place is None or self._place == coming:
            return
        older = self.run.older_checkpoint(*self._place)
        with contextlib.suppress(OSError):
            older.unlink(missing_ok=True)
            try:
                os.link(self.run.checkpoint_file, older)
            except OSError:  # the file system has no second names
                try:
                    shutil.copyfile(self.run.checkpoint_file, older)
                except OSError:
                    older.unlink(missing_ok=True)

    def _remove_old(self) -> None:
        for path in self.run.checkpoint_files()[self.keep :]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _wait(self, *, quiet: bool = False) -> None:
        """Wait for the thread that writes.

        Args:
            quiet: Whether a failure is told by somebody else.
        """
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if not quiet and isinstance(self._failure, StorageError):
            self._tell(self._failure)

    def _tell(self, error: StorageError) -> None:
        """Say once that the disk takes nothing; once more where it did in between."""
        if not self._is_told:
            self._is_told = True
            note(f"{error} Training goes on and tries again at the next checkpoint.{self._left()}")

    def _left(self, *, is_last: bool = False) -> str:
        """Say what is there to continue from.

        Args:
            is_last: Whether it is the last one that was to be written.
        """
        if self._place is None:
            return ""
        epoch, step = self._place
        where = f"epoch {epoch}" if step == 0 else f"step {step} of epoch {epoch + 1}"
        which = "last checkpoint" if is_last else "checkpoint before"
        return f" `{self.run.resume_command}` goes on after {where}, as the {which} has it."

    def _raise(self, error: Exception | None) -> None:
        """Raise on all ranks what the first has met."""
        found = self.ranks.of_first(error)
        if found is not None:
            raise found


def _as_trouble(error: Exception) -> Exception:
    """Return the error to keep: out of memory is trouble as a full disk is, and may pass."""
    if not is_out_of_memory(error):
        return error
    traceback.clear_frames(error.__traceback__)  # they hold on to what was copied
    return StorageError(
        f"a checkpoint could not be copied or written: out of memory ({first_line(error)}). "
        "Close other programs that take memory."
    )
