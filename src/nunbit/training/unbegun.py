"""A run that was killed before its first checkpoint: it begins at its first step.

All of its state follows from the options that it wrote down, so nothing is lost but the
time in which it was started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nunbit.errors import CheckpointError
from nunbit.training.checkpoint import Saved

if TYPE_CHECKING:
    from nunbit.training.job import Job

__all__ = ["find_saved"]

OF_RUN = ("network", "network_options", "task", "preprocessing")


def find_saved(job: Job, record: Mapping[str, Any]) -> Saved:
    """Return where a run stands; called by all ranks together.

    Args:
        record: What its ``options.json`` says.
    Raises:
        CheckpointError: Its checkpoints are gone or damaged, or a newer Nunbit's; or it began
            with other weights than the model has.
    """
    if "finished" in record or job.ranks.of_first(job.run.is_begun):
        return job.checkpoints.read()
    if record.get("weights") != job.model.facts.get("weights"):
        raise CheckpointError(
            f"`{job.run.path}` ended before its first checkpoint, and it began with weights that "
            "this model was not made with. Pass a model that is made as before."
        )
    training = {name: value for name, value in record["training"].items() if name != "teacher"}
    augment = {name: value for name, value in record["augment"].items() if name != "name"}
    of_run = {name: record[name] for name in OF_RUN}
    known = {**training, **of_run, "augment": augment}
    return Saved(
        path=job.run.options_file,
        identity={name: value for name, value in known.items() if name in job.identity},
        progress={"epoch": 0, "step": 0, "stop_reason": None},
        parts=[({}, 0)],
        callbacks=[(type(callback).__name__, {}) for callback in job.callbacks],
        network={},
        optimizer={},
        average=None,
        is_begun=False,
    )
