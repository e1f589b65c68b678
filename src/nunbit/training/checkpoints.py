"""When and where the state of a run is written, and which of the files are kept.

The state is copied, and a thread writes the copy while training goes on. The loop
waits for it only where the next one is to be written and the last is not done yet.

What happens where a checkpoint cannot be written (a full disk, a folder that became
read-only), and why:

* The first of a run: an error at once. Nothing is lost yet, and whoever started the
  run may still be there to mend it.
* One in between: the run goes on, says so once, and tries again at the next time. A
  night of training is worth more than the promise to be resumable, and somebody may
  make room meanwhile.
* The last (end of training, Ctrl-C): the model file is written all the same, if there
  is room for that; then an error says from where the run can be continued.

In every case the files that were there before stay as they were.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nunbit.errors import CheckpointError, StorageError
from nunbit.runs import RunFolder
from nunbit.training.checkpoint import (
    DamagedError,
    Saved,
    Snapshot,
    put_network,
    read_checkpoint,
    take_snapshot,
)
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
        snapshot = take_snapshot(job, progress)
        self._last_s = time.monotonic()
        error: Exception | None = None
        is_first = False
        if snapshot is not None:
            self._wait()
            if self._failure is not None and not isinstance(self._failure, StorageError):
                raise self._failure  # no trouble with the disk: a fault
            is_first = not self.exist
            self._writer = threading.Thread(
                target=self._write,
                args=(snapshot, self._is_told),
                name="nunbit-checkpoint",
                daemon=True,
            )
            self._writer.start()
            if is_first:
                self._wait(quiet=True)
                error = self._failure
        if self.ranks.of_first(is_first):
            self._raise(error)

    def finish(self) -> None:
        """Wait until the last one is written.

        Raises:
            StorageError: It could not be.
        """
        self._wait(quiet=True)
        error = self._failure
        if isinstance(error, StorageError):
            error = StorageError(f"the last checkpoint could not be written: {error}{self._left()}")
            error.__cause__ = self._failure
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

    def _write(self, snapshot: Snapshot, was_told: bool) -> None:
        """Write one; runs in a thread of its own.

        Args:
            was_told: Whether trouble was told before, which is over if this one succeeds.
        """
        try:
            self._keep_older(snapshot.place)
            snapshot.write(self.run.checkpoint_file)
            self._place = snapshot.place
            self._remove_old()
            self._failure = None
            if was_told:
                self._is_told = False
        except Exception as error:
            self._failure = error

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
                shutil.copyfile(self.run.checkpoint_file, older)

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

    def _left(self) -> str:
        """Say what is there to continue from."""
        if self._place is None:
            return ""
        epoch, step = self._place
        where = f"epoch {epoch}" if step == 0 else f"step {step} of epoch {epoch + 1}"
        return (
            f" `nunbit train --resume {self.run.path}` goes on after {where}, as the checkpoint "
            "before has it."
        )

    def _raise(self, error: Exception | None) -> None:
        """Raise on all ranks what the first has met."""
        found = self.ranks.of_first(error)
        if found is not None:
            raise found
