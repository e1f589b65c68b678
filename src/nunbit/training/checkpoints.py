"""When and where the state of a run is written, and which of the files are kept."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nunbit.runs import RunFolder
from nunbit.training.checkpoint import load_checkpoint, load_network, save_checkpoint
from nunbit.training.ranks import Ranks

if TYPE_CHECKING:
    from nunbit.training.job import Job, Progress

__all__ = ["Checkpoints"]


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
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait until what is being written is written."""

    @property
    def exist(self) -> bool:
        """Whether there is one."""
        return self.run.checkpoint_file.exists()

    @property
    def is_due(self) -> bool:
        """Whether the last one was written long enough ago; only the first rank looks."""
        waited = time.monotonic() - self._last
        return self.ranks.is_first and self.minutes > 0 and waited > 60 * self.minutes

    def save(self, job: Job, progress: Progress) -> None:
        """Write the state as it is now; called by all ranks together.

        Raises:
            StorageError: It cannot be written; the last checkpoint stays as it was.
        """
        save_checkpoint(self.run.checkpoint_file, job, progress)
        self._last = time.monotonic()

    def restore(self, job: Job, progress: Progress) -> None:
        """Put the last state into a job and its progress.

        Raises:
            CheckpointError: There is none, or it belongs to another run.
        """
        for name, value in load_checkpoint(self.run.checkpoint_file, job).items():
            setattr(progress, name, value)

    def load_network(self, job: Job) -> None:
        """Put the last weights back into the network, and nothing else."""
        load_network(self.run.checkpoint_file, job)

    def finish(self) -> None:
        """Wait until the last one is written.

        Raises:
            StorageError: It could not be.
        """
