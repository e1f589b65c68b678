"""``fit``: train a model on pictures. It sets up what the loop needs, and calls it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from nunbit.augment import Augment, choose_augment
from nunbit.data.pictures import Pictures
from nunbit.data.splits import split_csv
from nunbit.errors import CheckpointError, NunbitError, OptionError
from nunbit.model import Model
from nunbit.networks import find_network
from nunbit.runs import RunFolder, versions
from nunbit.training.augmenting import take_over_normalising
from nunbit.training.callbacks import Callback
from nunbit.training.defaults import resolve
from nunbit.training.history import History
from nunbit.training.job import Job, Progress
from nunbit.training.loop import run_loop
from nunbit.training.matching import match
from nunbit.training.options import TrainOptions
from nunbit.training.prepare import make_job
from nunbit.training.progress import ProgressPrinter
from nunbit.training.ranks import current_ranks

__all__ = ["fit"]


def fit(
    model: Model,
    pictures: Pictures,
    *,
    epochs: int | None = None,
    augment: Augment | str | None = None,
    callbacks: Sequence[Callback] = (),
    options: TrainOptions | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> History:
    """Train a model; the network changes in place, and a run folder is left behind.

    Args:
        model: From :func:`nunbit.create_model`. A fresh one takes over the
            preprocessing of the pictures; a trained one keeps its own.
        pictures: From :func:`nunbit.load`.
        epochs: Times through the training pictures; short for the option.
        augment: How training pictures are moved about; short for the option.
        callbacks: Called in order, after those that the options ask for.
        options: Everything else.
        out: The run folder; default ``runs/<source>-<network>-<number>``.
        resume: The run folder to continue, with the same model, pictures, options
            and callbacks as before; the device may be another one.
        progress: Whether to show progress on standard error.
    Raises:
        OptionError: Model and pictures do not fit each other, or an option or a
            callback is wrong; before the first step.
        TrainingError: The loss or a weight is no finite number.
        CheckpointError: There is nothing to continue, or it belongs to another run.
        KeyboardInterrupt: Ctrl-C, after the checkpoint has been written.

    Example:
        >>> import tempfile, nunbit
        >>> pictures = nunbit.load("digits")
        >>> model = nunbit.create_model("mlp", classes=10, image_size=8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     history = nunbit.fit(
        ...         model, pictures, epochs=2, out=folder, progress=False
        ...     )
        >>> len(history["val_loss"])
        2
    """
    options = options or TrainOptions()
    if epochs is not None:
        options = replace(options, epochs=epochs)
    if isinstance(augment, str):
        options = replace(options, augment=augment)
    _check_arguments(callbacks, out, resume)
    match(model, pictures)
    info = find_network(model.network_name)
    chosen = resolve(options, pictures=len(pictures.train), network_lr=info.lr)
    if isinstance(augment, Augment):
        augment_name, mover = "Augment", augment
    else:
        augment_name, mover = choose_augment(chosen.augment, channels=model.preprocessing.channels)
    take_over_normalising(mover, model, pictures)
    ranks = current_ranks()
    job = make_job(model, pictures, chosen, mover, callbacks, ranks)
    job.watchers = [ProgressPrinter(header=_header(job, augment_name))] if progress else []
    state = Progress(peak_lr=chosen.lr or 0.0, lr=chosen.lr or 0.0)
    if resume is None:
        job.run = job.checkpoints.run = _new_folder(job, pictures, out)
        record = _describe(job, pictures, {"name": augment_name, **mover.to_dict()})
        try:
            if ranks.is_first:
                job.run.write_options(record)
                job.run.write_split(split_csv(pictures.table))
            run_loop(job, state)
        except BaseException:
            if ranks.is_first and not job.checkpoints.exist:
                job.run.withdraw()  # the mistake mended, the same command works
            raise
    else:
        job.run = job.checkpoints.run = RunFolder.open(resume)
        record = _unfinished(job.run)
        run_loop(job, state, restore=lambda: job.checkpoints.restore(job, state))
    if ranks.is_first:
        job.run.write_options({**record, "finished": _now(), "stop_reason": state.stop_reason})
    ranks.wait()
    return History.of(
        job.run,
        state.history,
        options=job.options,
        plan=job.plan.describe(),
        stop_reason=state.stop_reason,
    )


def _new_folder(job: Job, pictures: Pictures, out: str | os.PathLike[str] | None) -> RunFolder:
    """Return a new run folder, which the first rank makes."""
    made: RunFolder | NunbitError | None = None
    if job.ranks.is_first:
        try:
            made = RunFolder.create(out, source=pictures.source, network=job.model.network_name)
        except NunbitError as error:
            made = error
    found = job.ranks.of_first(made)
    if isinstance(found, NunbitError):
        raise found
    if found is None:
        raise OptionError("the first rank made no run folder.")
    return found


def _check_arguments(callbacks: Sequence[Callback], out: object, resume: object) -> None:
    strange = [c for c in callbacks if not isinstance(c, Callback)]
    if strange:
        raise OptionError(
            f"callbacks hold {strange[0]!r}, expected objects of classes made from "
            "`nunbit.Callback`, such as `nunbit.EarlyStopping()`."
        )
    if out is not None and resume is not None:
        raise OptionError("a resumed run stays in its folder: pass `resume` without `out`.")


def _header(job: Job, augment: str) -> str:
    """Return what was chosen, in one line for people."""
    chosen, steps = job.options, job.batches.steps_per_epoch
    return (
        f"{chosen.epochs} epochs of {steps} steps, batch {chosen.batch_size}, {chosen.optimizer} "
        f"{chosen.lr:g} {chosen.schedule}, augment {augment}; {job.plan.describe()}"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _describe(job: Job, pictures: Pictures, augment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``options.json`` says of a run before its first step."""
    model = job.model
    return {
        "source": pictures.source,
        "origin": pictures.origin,
        "network": model.network_name,
        "network_options": model.network_options,
        "weights": model.facts.get("weights"),
        "task": model.task.to_dict(),
        "pictures": pictures.options.to_dict(),
        "training": job.options.to_dict(),
        "augment": augment,
        "preprocessing": model.preprocessing.to_dict(),
        "notes": pictures.remarks,
        "unreadable": [[each.name, each.reason] for each in pictures.unreadable],
        "device": str(job.plan.device),
        "plan": job.plan.describe(),
        "versions": versions(),
        "started": _now(),
    }


def _unfinished(run: RunFolder) -> dict[str, Any]:
    """Return ``options.json`` of a run that has something left to do.

    Raises:
        CheckpointError: It has not, or the file cannot be read.
    """
    record = run.read_options()
    if "finished" in record:
        why = record.get("stop_reason") or "all its epochs are done"
        raise CheckpointError(
            f"`{run.path}` is finished: {why}. Start a new run to train for longer."
        )
    return record
