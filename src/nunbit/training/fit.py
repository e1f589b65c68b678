"""``fit``: train a model on pictures. It sets up what the loop needs, and calls it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nunbit.augment import Augment, choose_augment
from nunbit.create import check_trainable, preprocessing_with
from nunbit.data.batches import Batches
from nunbit.data.pictures import Pictures
from nunbit.data.splits import split_csv
from nunbit.errors import CheckpointError, OptionError, name_list
from nunbit.model import Model
from nunbit.networks import find_network, split_network
from nunbit.runs import RunFolder, versions
from nunbit.training.augmenting import make_augmenting, take_over_normalising
from nunbit.training.callbacks import Callback, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from nunbit.training.checkpoint import load_checkpoint, table_digest
from nunbit.training.device import make_plan
from nunbit.training.job import Job, Progress
from nunbit.training.loop import run_loop
from nunbit.training.optimizers import make_optimizer, make_schedule
from nunbit.training.options import TrainOptions, resolve
from nunbit.training.progress import ProgressPrinter

__all__ = ["History", "fit"]

WHERE = ("device", "split_model")
"""Options that may differ when a run is continued: where it computes, not what."""


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
    """

    epochs: Sequence[Mapping[str, float]]
    seconds: float
    images_per_second: float
    stop_reason: str | None
    run: Path
    options: TrainOptions = field(repr=False)
    plan: str = ""

    @classmethod
    def of_run(cls, run: RunFolder) -> History:
        """Read what happened in a finished training from its folder.

        Raises:
            CheckpointError: A file of the folder is missing or damaged.
        """
        record, epochs = run.read_options(), run.read_history()
        seconds = sum(epoch["seconds"] for epoch in epochs)
        seen = sum(epoch["seconds"] * epoch["images_per_second"] for epoch in epochs)
        return cls(
            epochs=epochs,
            seconds=round(seconds, 3),
            images_per_second=round(seen / max(seconds, 1e-9), 1),
            stop_reason=record.get("stop_reason"),
            run=run.path,
            options=TrainOptions.from_dict(record["training"]),
            plan=record["plan"],
        )

    def __getitem__(self, name: str) -> list[float]:
        """Return one score over the epochs: ``history["val_loss"]``."""
        if not self.epochs or name not in self.epochs[0]:
            known = ", ".join(self.epochs[0]) if self.epochs else "none"
            raise KeyError(f"no score {name!r} in the history; there are: {known}")
        return [epoch[name] for epoch in self.epochs]


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
    _match(model, pictures)
    info = find_network(model.network_name)
    chosen = resolve(options, pictures=len(pictures.train), network_lr=info.lr)
    if isinstance(augment, Augment):
        augment_name, mover = "Augment", augment
    else:
        augment_name, mover = choose_augment(chosen.augment, channels=model.preprocessing.channels)
    take_over_normalising(mover, model, pictures)
    job = _make_job(model, pictures, chosen, mover, callbacks)
    job.watchers = [ProgressPrinter(header=_header(job, augment_name))] if progress else []
    state = Progress(peak_lr=chosen.lr or 0.0, lr=chosen.lr or 0.0)
    if resume is None:
        job.run = RunFolder.create(out, source=pictures.source, network=model.network_name)
        record = _describe(job, pictures, {"name": augment_name, **mover.to_dict()})
        try:
            job.run.write_options(record)
            job.run.write_split(split_csv(pictures.table))
            run_loop(job, state)
        except BaseException:
            if not job.run.checkpoint_file.exists():
                job.run.withdraw()  # the mistake mended, the same command works
            raise
    else:
        job.run = RunFolder.open(resume)
        record = _unfinished(job.run)
        run_loop(job, state, restore=lambda: _restore(job, state))
    job.run.write_options({**record, "finished": _now(), "stop_reason": state.stop_reason})
    seen = len(state.history) * len(pictures.train)
    return History(
        epochs=state.history,
        seconds=round(state.total_seconds, 3),
        images_per_second=round(seen / max(state.total_seconds, 1e-9), 1),
        stop_reason=state.stop_reason,
        run=job.run.path,
        options=job.options,
        plan=job.plan.describe(),
    )


def _check_arguments(callbacks: Sequence[Callback], out: object, resume: object) -> None:
    strange = [c for c in callbacks if not isinstance(c, Callback)]
    if strange:
        raise OptionError(
            f"callbacks hold {strange[0]!r}, expected objects of classes made from "
            "`nunbit.Callback`, such as `nunbit.EarlyStopping()`."
        )
    if out is not None and resume is not None:
        raise OptionError("a resumed run stays in its folder: pass `resume` without `out`.")


def _match(model: Model, pictures: Pictures) -> None:
    """Check that the pictures are what the network takes; hand over the preprocessing."""
    check_trainable(pictures.table)
    has, gets = model.preprocessing, pictures.preprocessing
    if (has.image_size, has.channels) != (gets.image_size, gets.channels):
        raise OptionError(
            f"the network takes {has.image_size}×{has.image_size} pictures with {has.channels} "
            f"channels, got {gets.image_size}×{gets.image_size} with {gets.channels}. Pass "
            f"`create_model(..., image_size={gets.image_size}, channels={gets.channels})`."
        )
    if "trained_on" not in model.facts:
        if set(model.classes) == set(pictures.classes) and "weights" in model.facts:
            _check_order(model, pictures)
        model.preprocessing, model.whitening = preprocessing_with(model, gets), None
        model.task = model.task.with_names(pictures.classes, pictures.table.titles)
    elif tuple(pictures.classes) != model.classes:
        raise OptionError(
            f"the network was trained for {name_list(model.classes)}; the pictures show "
            f"{name_list(pictures.classes)}. Make a new model with `create_model`."
        )
    elif has.fit != gets.fit:
        raise OptionError(
            f"the network was trained on pictures made square by `{has.fit}`, these are by "
            f'`{gets.fit}`. Pass `nunbit.load(..., fit="{has.fit}")`.'
        )


def _check_order(model: Model, pictures: Pictures) -> None:
    """Refuse to give outputs that mean something already the names of others."""
    if model.classes != tuple(pictures.classes):
        raise OptionError(
            f"the weights are for {name_list(model.classes)} in this order, the pictures show "
            f"{name_list(pictures.classes)}. Pass `create_model(..., classes=pictures.classes)`, "
            "which puts them in order."
        )


def _make_job(
    model: Model,
    pictures: Pictures,
    options: TrainOptions,
    augment: Augment,
    callbacks: Sequence[Callback],
) -> Job:
    plan = make_plan(
        options.device, options.precision, network=model.network, parts=options.split_model
    )
    options = replace(options, precision="bfloat16" if plan.bfloat16 else "float32")
    split_network(model.network, plan.parts, name=model.network_name)
    if plan.channels_last:
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    augmenting = make_augmenting(
        augment,
        task=model.task,
        seed=options.seed,
        shape=(len(pictures.train), *pictures.train.pixels.shape[1:3]),
        on_device=plan.device.type != "cpu",
    )
    batches = Batches(
        pictures.train,
        model.task.targets(pictures.train.labels),
        batch_size=options.batch_size or 1,
        seed=options.seed,
        move=augmenting.move,
        mixing=augmenting.mixing,
        threads=plan.loader_threads,
    )
    _check_lone_pictures(model, len(pictures.train) // batches.steps_per_epoch, options)
    return Job(
        model=model,
        batches=batches,
        validation=pictures.validation,
        options=options,
        plan=plan,
        optimizer=make_optimizer(model.network, options),
        schedule=make_schedule(options, steps_per_epoch=batches.steps_per_epoch),
        callbacks=[*_asked_callbacks(options), *callbacks],
        run=RunFolder(Path()),
        identity={
            **{name: value for name, value in options.to_dict().items() if name not in WHERE},
            "pictures": table_digest(pictures.table),
            "network": model.network_name,
            "network_options": model.network_options,
            "task": model.task.to_dict(),
            "preprocessing": model.preprocessing.to_dict(),
            "augment": augment.to_dict(),
        },
        trained_on={"source": pictures.source, "images": len(pictures.train)},
        device_augment=augmenting.on_device,
    )


def _check_lone_pictures(model: Model, batch: int, options: TrainOptions) -> None:
    """Refuse to train on single pictures where batch norm would see a single value.

    Args:
        batch: Pictures in the smallest batch.
    Raises:
        OptionError: A part of a batch is one picture, and a map that is normalised one cell.
    """
    if batch // options.accumulate > 1:
        return
    lone: list[str] = []

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0][0, 0].numel() == 1:
            lone.append(type(norm).__name__)

    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    hooks = [
        m.register_forward_pre_hook(look) for m in model.network.modules() if isinstance(m, norms)
    ]
    if hooks:
        made = model.preprocessing
        model.outputs(np.zeros((1, made.image_size, made.image_size, made.channels), np.uint8))
    for hook in hooks:
        hook.remove()
    if lone:
        raise OptionError(
            f"network `{model.network_name}` normalises over the batch, and its last maps are one "
            f"cell: it cannot be trained on 1 picture at a time (batches of {batch}, in "
            f"{options.accumulate} parts). Pass `--batch-size 2` or more, a smaller "
            "`--accumulate`, or a larger `--image-size`."
        )


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


def _asked_callbacks(options: TrainOptions) -> list[Callback]:
    """Make the callbacks that the options ask for."""
    found: list[Callback] = []
    if options.save_best_only:
        found.append(ModelCheckpoint(monitor=options.monitor, save_best_only=True))
    if options.plateau_patience is not None:
        found.append(ReduceLROnPlateau(options.monitor, patience=options.plateau_patience))
    if options.patience is not None:
        found.append(
            EarlyStopping(options.monitor, patience=options.patience, restore_best_weights=True)
        )
    return found


def _restore(job: Job, progress: Progress) -> None:
    saved = load_checkpoint(job.run.checkpoint_file, job)
    for name, value in saved.items():
        setattr(progress, name, value)
