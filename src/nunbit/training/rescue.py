"""Where a run stands, what is wrong and how to go on, for the message of an error."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nunbit.errors import ModelFileError, TrainingError
from nunbit.networks import find_network
from nunbit.runs import RunFolder
from nunbit.storage import UNUSABLE, read_header
from nunbit.training.defaults import resolve

if TYPE_CHECKING:
    from torch import Tensor

    from nunbit.training.job import Job, Progress
    from nunbit.training.ranks import Ranks

__all__ = [
    "LAUNCHED",
    "NotFiniteError",
    "bad_loss",
    "how_to_go_on",
    "not_finite",
    "resume_command",
    "whereabouts",
]

LAUNCHED = "NUNBIT_DEVICES"
"""Environment of processes that ``--devices`` has started: how many it was."""


class NotFiniteError(TrainingError):
    """The loss or a weight is no finite number. All ranks raise it at the same step."""


def resume_command(run: Path, ranks: Ranks) -> str:
    """Return what to type to go on with a run, on as many ranks as now."""
    command = RunFolder(run).resume_command
    if ranks.size == 1:
        return command
    if LAUNCHED in os.environ:
        return f"{command} --devices {ranks.size}"
    return f"torchrun ... -m {command}"


def whereabouts(job: Job, progress: Progress) -> tuple[str, str]:
    """Return where in its training a run is, and how to go on from its last checkpoint."""
    epoch = progress.epoch + 1
    if progress.is_validating:
        place = f"in the validation after epoch {epoch}"
    else:
        place = f"at step {progress.step + 1} of epoch {epoch}"
    return place, how_to_go_on(job)


def how_to_go_on(job: Job) -> str:
    """Return from where a run can be continued, and the command."""
    job.checkpoints.settle()
    try:
        state = read_header(job.run.checkpoint_file, kind="checkpoint")["state"]
        epoch, step = int(state["progress"]["epoch"]), int(state["progress"]["step"])
    except (ModelFileError, *UNUSABLE):
        return "There is no checkpoint yet: start again."
    done = f"step {step} of epoch {epoch + 1}" if step else f"the end of epoch {epoch}"
    if (epoch, step) == (0, 0):
        done = "before the first step"
    command = resume_command(job.run.path, job.ranks)
    return f"The last checkpoint is from {done}; go on with `{command}`."


def bad_loss(job: Job, sums: Mapping[str, float | Tensor], count: int) -> str:
    """Return what is wrong with the loss, and of which rank where there are many."""
    losses = job.ranks.gather(float(sums["loss"]) / max(count, 1))
    rank = next((k for k, loss in enumerate(losses) if not math.isfinite(loss)), 0)
    of_rank = f" of rank {rank}" if job.ranks.size > 1 else ""
    return f"the loss{of_rank} is {losses[rank]:g}"


def not_finite(job: Job, progress: Progress, what: str) -> str:
    """Return the message where ``what`` is wrong, with what was kept and what to try."""
    kept = "No epoch was finished before."
    if progress.history:
        kept = f"The network after epoch {progress.epoch} is kept in `{job.run.model_file}`."
    tries = [f"`--lr {_lower_rate(job, progress):.2g}`"]
    if job.options.clip_norm is None:
        tries.append("`--clip-norm 1`")
    if job.plan.bfloat16:
        tries.append("`--precision float32`")
    return (
        f"{what} at step {progress.step} of epoch {progress.epoch + 1} (learning rate "
        f"{progress.lr:g}), expected a finite number. {kept} Try {' or '.join(tries)}. From "
        f"the last checkpoint goes on `{resume_command(job.run.path, job.ranks)} --override "
        f"{tries[0].strip('`')}`."
    )


def _lower_rate(job: Job, progress: Progress) -> float:
    """Return a learning rate to try: a tenth, and none above that which suits the network."""
    usual = resolve(
        replace(job.options, lr=None),
        pictures=int(job.trained_on["images"]),
        network_lr=find_network(job.model.network_name).lr,
    )
    return min((job.options.lr or progress.lr) / 10, usual.lr or math.inf)
