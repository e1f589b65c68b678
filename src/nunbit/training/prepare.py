"""Everything that the loop works on, made from a model, pictures and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nunbit.augment import Augment
from nunbit.data.batches import Batches, to_images
from nunbit.data.device_pixels import keep_on_device
from nunbit.data.pictures import Pictures
from nunbit.data.reading import absolute
from nunbit.data.streaming import StreamedPixels
from nunbit.model import Model
from nunbit.networks import split_network
from nunbit.runs import RunFolder
from nunbit.tasks import Classification
from nunbit.training.augmenting import make_augmenting
from nunbit.training.balance import make_balance
from nunbit.training.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    Moment,
    ReduceLROnPlateau,
)
from nunbit.training.checkpoint import table_digest
from nunbit.training.checkpoints import Checkpoints
from nunbit.training.compiling import Compiled
from nunbit.training.device import make_plan
from nunbit.training.distillation import open_teacher
from nunbit.training.ema import Average
from nunbit.training.job import Job
from nunbit.training.matching import check_lone_pictures
from nunbit.training.objective import Objective
from nunbit.training.optimizers import make_optimizer
from nunbit.training.options import TrainOptions
from nunbit.training.parallel import make_parallel
from nunbit.training.ranks import Ranks
from nunbit.training.resizing import Resizing, make_resizing
from nunbit.training.schedules import make_schedule

__all__ = ["WHERE", "check_monitored", "make_job"]

WHERE = (
    "device",
    "split_model",
    "parallel",
    "rank_timeout",
    "checkpoint_minutes",
    "keep_checkpoints",
    "log",
)
"""Options that may differ when a run is continued: where it computes, not what."""

SEEN_FIRST = 2_048
"""Training pictures, evenly spread, that a fresh network may look at before its first step."""


def make_job(
    model: Model,
    pictures: Pictures,
    options: TrainOptions,
    augment: Augment,
    callbacks: Sequence[Callback],
    ranks: Ranks,
) -> Job:
    """Return the job; its run folder is not known yet.

    Args:
        options: Resolved.
        augment: What the augmentation options say.
        callbacks: Called after those that the options ask for.
    Raises:
        OptionError: Network, pictures, options and devices do not go together.
    """
    steps = -(-len(pictures.train) // (options.batch_size or 1)) * (options.epochs or 1)
    plan = make_plan(options, network=model.network, ranks=ranks, steps=steps)
    options = replace(
        options,
        precision="bfloat16" if plan.bfloat16 else "float32",
        compile="on" if plan.compiled else "off",
        teacher=None if options.teacher is None else absolute(options.teacher),
    )
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
    balance = make_balance(options, model.task, pictures.train, device=plan.device)
    batches = Batches(
        pictures.train,
        model.task.targets(pictures.train.labels),
        batch_size=options.batch_size or 1,
        seed=options.seed,
        draw=balance.draw,
        move=augmenting.move,
        mixing=augmenting.mixing,
        threads=plan.loader_threads,
        share=(ranks.rank, ranks.size),
        gather=ranks.gather,
        resident=keep_on_device(pictures.train, plan.device) if augmenting.move is None else None,
    )
    resizing = make_resizing(
        model,
        options,
        kept=pictures.train.pixels.shape[1],
        steps_per_epoch=batches.steps_per_epoch,
    )
    _let_see(model, pictures, resizing)
    model.tta = options.tta
    if not (options.sync_batch_norm and ranks.size > 1):  # else there is one of each rank
        check_lone_pictures(model, batches.smallest, options)
    teacher = open_teacher(options, model, plan)
    parallel = make_parallel(model, options, plan, ranks)  # weights are the first rank's now
    if plan.compiled:
        parallel.forward = Compiled(parallel.forward, plan.device)
    average = None if options.ema is None else Average(model.network, options.ema)
    run = RunFolder(Path())
    return Job(
        model=model,
        batches=batches,
        validation=pictures.validation,
        options=options,
        plan=plan,
        ranks=ranks,
        parallel=parallel,
        objective=Objective(
            model.task,
            smoothing=options.label_smoothing,
            class_weights=balance.weights,
            teacher=teacher,
        ),
        optimizer=make_optimizer(model.network, options),
        schedule=make_schedule(options, steps_per_epoch=batches.steps_per_epoch),
        resizing=resizing,
        average=average,
        callbacks=[*_asked_callbacks(options), *callbacks],
        run=run,
        checkpoints=Checkpoints(
            run, ranks, minutes=options.checkpoint_minutes, keep=options.keep_checkpoints
        ),
        identity={
            **{name: value for name, value in options.to_dict().items() if name not in WHERE},
            "teacher": None if teacher is None else teacher.digest,  # its file may be moved
            "pictures": table_digest(pictures.table),
            "train_size": pictures.train.pixels.shape[1],
            "network": model.network_name,
            "network_options": model.network_options,
            "task": model.task.to_dict(),
            "preprocessing": model.preprocessing.to_dict(),
            "augment": augment.to_dict(),
        },
        trained_on={"source": pictures.source, "images": len(pictures.train)},
        device_augment=augmenting.on_device,
    )


def _let_see(model: Model, pictures: Pictures, resizing: Resizing | None) -> None:
    """Show training pictures to a fresh network that works out weights from them.

    Such a network has a method ``see``, which takes normalised pictures, as ``airbench`` has.
    """
    see = getattr(model.network, "see", None)
    if see is None or {"trained_on", "weights"} & set(model.facts):
        return
    train = pictures.train
    places = np.unique(np.linspace(0, len(train) - 1, min(SEEN_FIRST, len(train))).astype(np.int64))
    if isinstance(train.pixels, StreamedPixels):
        shown = train.pixels.readable(train.rows[places])
    else:
        shown = train.take(places)
    if len(shown):
        images = model.normalise(to_images(shown).to(model.device))
        see(images if resizing is None else resizing.apply(images, 0))


def check_monitored(options: TrainOptions) -> None:
    """Refuse to watch a score that no pictures bring; those of a validation may come yet.

    Raises:
        OptionError: The score that the options watch is none that training measures.
    """
    scores = Classification(("one", "other")).scores  # as `create_model_for` has it
    known = {**scores, **{f"val_{name}": way for name, way in scores.items()}}
    for callback in _asked_callbacks(options):
        callback.on_train_begin(Moment(known=known, schedule=options.schedule))


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
