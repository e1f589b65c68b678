"""Calling the callbacks' hooks, and carrying out what they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor

from nunbit.errors import OptionError
from nunbit.training.callbacks.base import Action, LoadWeights, Moment, SetLR, Stop
from nunbit.training.job import Job, Progress

__all__ = ["BatchLogs", "call"]


def call(
    job: Job, progress: Progress, hook: str, *, logs: Mapping[str, float] | None = None
) -> None:
    """Call a hook of every callback that has it, on the first rank; all ranks do what it asks.

    Raises:
        OptionError: A callback returned something else than an action.
    """
    asked, watching = job.having(hook)
    if not asked and not watching:
        return
    weights = job.parallel.weights_for(hook, wanted=bool(asked))
    actions: list[tuple[str, Action | None]] = []
    failed: Exception | None = None
    if job.ranks.is_first:
        try:
            moment = _moment(job, progress, logs or {}, weights)
            for callback in (*asked, *watching):
                place = f"{type(callback).__name__}.{hook}"
                action = getattr(callback, hook)(moment)
                _carry_out(job, progress, action, place)  # before the next one looks
                actions.append((place, action))
        except Exception as error:
            if job.ranks.size == 1 or not asked:
                raise
            failed = error
    if not asked or job.ranks.size == 1:
        return
    found = job.ranks.of_first(failed or actions)
    if isinstance(found, Exception):
        raise found
    if not job.ranks.is_first:
        for place, action in found:
            _carry_out(job, progress, action, place)


def _moment(
    job: Job,
    progress: Progress,
    logs: Mapping[str, float],
    found: Callable[[], Mapping[str, Tensor]],
) -> Moment:
    def weights() -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in found().items()}

    def save_model(path: Any) -> None:
        job.model.save(path, weights=found())

    return Moment(
        epoch=progress.epoch,
        step=progress.step,
        epochs=job.epochs,
        steps_per_epoch=job.batches.steps_per_epoch,
        lr=progress.lr,
        schedule=job.options.schedule,
        logs=MappingProxyType(logs),
        known=MappingProxyType(job.known_scores),
        folder=job.run.path,
        images=len(job.batches.pictures),
        seconds=progress.seconds,
        waited=job.batches.waited_s,
        weights=weights,
        save_model=save_model,
    )


def _carry_out(job: Job, progress: Progress, action: Action | None, where: str) -> None:
    if isinstance(action, Stop):
        progress.stop_reason = progress.stop_reason or action.reason
    elif isinstance(action, SetLR) and job.options.schedule == "constant":
        warm = progress.lr / progress.peak_lr  # the schedule multiplies the peak by it again
        progress.peak_lr = action.lr if warm == 1 else action.lr / warm
    elif isinstance(action, LoadWeights):
        job.parallel.load(action.weights)
        if job.average is not None:
            job.average.load(job.parallel.parts(action.weights, job.average.weights))
    elif action is not None:
        raise OptionError(
            f"{where} returned {action!r}, expected None, Stop, "
            "LoadWeights, or, with schedule `constant`, SetLR."
        )


class BatchLogs(Mapping[str, float]):
    """The loss of a batch, read only where somebody looks: on a GPU reading waits for it."""

    def __init__(self, summed: float | Tensor, count: int) -> None:
        self.summed, self.count = summed, count

    def __getitem__(self, name: str) -> float:
        if name != "loss":
            raise KeyError(name)
        return float(self.summed) / max(self.count, 1)

    def __iter__(self) -> Iterator[str]:
        return iter(("loss",))

    def __len__(self) -> int:
        return 1
