"""``fit``: train a model on pictures. It sets up what the loop needs, and calls it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from nunbit.augment import Augment, choose_augment
from nunbit.data.pictures import Pictures
from nunbit.data.splits import split_csv
from nunbit.errors import NunbitError, OptionError
from nunbit.model import Model
from nunbit.networks import find_network
from nunbit.runs import RunFolder, versions
from nunbit.training.augmenting import take_over_normalising
from nunbit.training.callbacks import Callback
from nunbit.training.continuing import (
    continued_options,
    open_continuation,
    without_name,
)
from nunbit.training.defaults import resolve
from nunbit.training.header import run_facts, starving_advice
from nunbit.training.history import History
from nunbit.training.job import Job, Progress
from nunbit.training.loggers import make_loggers
from nunbit.training.loop import run_loop
from nunbit.training.matching import match
from nunbit.training.options import TrainOptions
from nunbit.training.prepare import make_job
from nunbit.training.progress import ProgressPrinter
from nunbit.training.ranks import Ranks, current_ranks
from nunbit.training.rescue import whereabouts
from nunbit.training.resizing import keep_growing

__all__ = ["fit"]

T = TypeVar("T")


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
    override: bool = False,
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
        resume: The run folder to continue, with the same model, pictures and callbacks
            as before. Without ``options`` it has those it had; the device may be another
            one. More ``epochs``, or a larger patience, prolong a run that is finished.
        override: Go on although options are others than before (``training/continuing.py``).
        progress: Whether to show progress on standard error.
    Raises:
        OptionError: Model and pictures do not fit each other, or an option or a
            callback is wrong; before the first step.
        TrainingError: The loss or a weight is no finite number, or another rank is lost.
        CheckpointError: There is nothing to continue, or it belongs to another run.
        StorageError: Another process writes into the run folder, or nothing can be written.
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
    _check_arguments(callbacks, out, resume, override=override)
    if epochs is not None and options is not None:
        options = replace(options, epochs=epochs)
    ranks = current_ranks((options or TrainOptions()).rank_timeout)
    with contextlib.ExitStack() as held:
        kept: dict[str, Any] = {}
        if resume is not None:  # held first: what the record says stays so
            kept = _of_first(ranks, lambda: _take(held, resume))
            if options is None and augment is None:
                augment = Augment.from_dict(without_name(kept["augment"]))
            options = continued_options(options, kept)
        options = options or TrainOptions()
        if epochs is not None:
            options = replace(options, epochs=epochs)
        options = keep_growing(options, kept)
        if isinstance(augment, str):
            options = replace(options, augment=augment)
        match(model, pictures)
        info = find_network(model.network_name)
        chosen = resolve(options, pictures=len(pictures.train), network_lr=info.lr)
        if isinstance(augment, Augment):
            augment_name, mover = kept.get("augment", {}).get("name", "Augment"), augment
        else:
            augment_name, mover = choose_augment(
                chosen.augment, channels=model.preprocessing.channels
            )
        take_over_normalising(mover, model, pictures)
        with ranks.guard(lambda: ("before the first step", "Start again.")):
            job = make_job(model, pictures, chosen, mover, callbacks, ranks)
        facts = run_facts(job, pictures, asked=options, augment=augment_name)
        printer = ProgressPrinter(header=facts, advice=starving_advice(pictures))
        record = _describe(job, pictures, {"name": augment_name, **mover.to_dict()})
        record["header"] = {name: ", ".join(map(str, each)) for name, each in facts.items()}
        loggers = make_loggers(chosen.log, record, say=printer.say)
        job.watchers = [*([printer] if progress else []), *loggers]
        state = Progress(peak_lr=chosen.lr or 0.0, lr=chosen.lr or 0.0)
        held.enter_context(ranks.guard(lambda: whereabouts(job, state)))
        if resume is None:
            _train_anew(job, state, pictures, record, out=out, held=held)
        else:
            job.run = job.checkpoints.run = RunFolder(Path(resume))
            record = _train_on(job, state, pictures, record, kept=kept, override=override)
        if ranks.is_first:
            job.run.write_options({**record, "finished": _now(), "stop_reason": state.stop_reason})
        ranks.wait()
    return History.of(
        job.run,
        state.history,
        options=job.options,
        plan=job.plan.describe(),
        stop_reason=state.stop_reason,
        continued=len(record.get("continued", [])),
    )


def _train_anew(
    job: Job,
    state: Progress,
    pictures: Pictures,
    record: Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None,
    held: contextlib.ExitStack,
) -> None:
    """Train from the first step, in a new run folder that nobody else writes into."""
    job.run = job.checkpoints.run = _new_folder(job, pictures, out)
    _of_first(job.ranks, lambda: _hold_new(held, job.run))
    try:
        if job.ranks.is_first:
            job.run.write_options(record)
            job.run.write_split(split_csv(pictures.table))
        run_loop(job, state)
    except BaseException:
        if job.ranks.is_first and not job.checkpoints.exist:
            job.run.withdraw()  # the mistake mended, the same command works
        raise


def _train_on(
    job: Job,
    state: Progress,
    pictures: Pictures,
    record: Mapping[str, Any],
    *,
    kept: Mapping[str, Any],
    override: bool,
) -> dict[str, Any]:
    """Train from the last checkpoint; returns what the run now says of itself.

    Args:
        record: What a new run with these options would say.
        kept: What this one has said so far.
    """
    continuation = open_continuation(job, kept, override=override)
    record = continuation.record(kept, record)

    def restore() -> None:
        continuation.restore(job, state)
        if job.ranks.is_first:
            job.run.write_options(record)
            if not continuation.saved.is_begun:
                job.run.write_split(split_csv(pictures.table))
        if continuation.is_altered:
            job.checkpoints.save(job, state)

    run_loop(job, state, restore=restore)
    return record


def _new_folder(job: Job, pictures: Pictures, out: str | os.PathLike[str] | None) -> RunFolder:
    """Return a new run folder, which the first rank makes."""
    name = job.model.network_name
    return _of_first(job.ranks, lambda: RunFolder.create(out, source=pictures.source, network=name))


def _of_first(ranks: Ranks, work: Callable[[], T]) -> T:
    """Let the first rank do what one alone may do; all get what it returns, or its error."""
    done: T | NunbitError | None = None
    if ranks.is_first:
        try:
            done = work()
        except NunbitError as error:
            if ranks.size == 1:
                raise
            done = error
    found = ranks.of_first(done)
    if isinstance(found, NunbitError):
        raise found
    return cast(T, found)


def _take(held: contextlib.ExitStack, resume: str | os.PathLike[str]) -> dict[str, Any]:
    """Keep other processes out of a run folder until the stack is closed; return its record."""
    run = RunFolder.open(resume)
    held.enter_context(run.sole_use())
    return run.read_options()


def _hold_new(held: contextlib.ExitStack, run: RunFolder) -> None:
    """Keep other processes out of a new run folder until the stack is closed."""
    held.enter_context(run.sole_use())
    run.check_free(run.path)  # another one may have come first


def _check_arguments(
    callbacks: Sequence[Callback], out: object, resume: object, *, override: bool
) -> None:
    strange = [c for c in callbacks if not isinstance(c, Callback)]
    if strange:
        raise OptionError(
            f"callbacks hold {strange[0]!r}, expected objects of classes made from "
            "`nunbit.Callback`, such as `nunbit.EarlyStopping()`."
        )
    if override and resume is None:
        raise OptionError("`override` goes on with a run under other options: pass `resume`, too.")
    if out is not None and resume is not None:
        raise OptionError("a resumed run stays in its folder: pass `resume` without `out`.")


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
        "recipe": model.facts.get("recipe"),
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
