"""``History``: what happened in a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nunbit.runs import RunFolder
from nunbit.training.options import TrainOptions

__all__ = ["History"]


@dataclass(frozen=True)
class History:
    """What happened in training.

    Args:
        epochs: One mapping of scores per epoch, as in ``history.jsonl``.
        seconds: Time spent training, without validation.
        images_per_second: Training pictures per second over the whole run.
        stop_reason: Why it ended early, or None.
        run: The run folder.
        options: The options as they were resolved.
        plan: Device, precision and threads, in one line.
        continued: How often the run had been gone on with when it ended.
    """

    epochs: Sequence[Mapping[str, float]]
    seconds: float
    images_per_second: float
    stop_reason: str | None
    run: Path
    options: TrainOptions = field(repr=False)
    plan: str = ""
    continued: int = field(default=0, repr=False)

    @classmethod
    def of(
        cls,
        run: RunFolder,
        epochs: Sequence[Mapping[str, float]],
        *,
        options: TrainOptions,
        plan: str,
        stop_reason: str | None,
        continued: int,
    ) -> History:
        """Sum up the epochs of a training."""
        seconds = sum(epoch["seconds"] for epoch in epochs)
        seen = sum(epoch["seconds"] * epoch["images_per_second"] for epoch in epochs)
        return cls(
            epochs=epochs,
            seconds=round(seconds, 3),
            images_per_second=round(seen / max(seconds, 1e-9), 1),
            stop_reason=stop_reason,
            run=run.path,
            options=options,
            plan=plan,
            continued=continued,
        )

    @classmethod
    def of_run(cls, run: RunFolder) -> History:
        """Read what happened in a finished training from its folder.

        Raises:
            CheckpointError: A file of the folder is missing or damaged.
        """
        record = run.read_options()
        return cls.of(
            run,
            run.read_history(),
            options=TrainOptions.from_dict(record["training"]),
            plan=record["plan"],
            stop_reason=record.get("stop_reason"),
            continued=len(record.get("continued", [])),
        )

    def __getitem__(self, name: str) -> list[float]:
        """Return one score over the epochs: ``history["val_loss"]``."""
        if not self.epochs or name not in self.epochs[0]:
            known = ", ".join(self.epochs[0]) if self.epochs else "none"
            raise KeyError(f"no score {name!r} in the history; there are: {known}")
        return [epoch[name] for epoch in self.epochs]
