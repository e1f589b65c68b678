"""Everything that the loop works on, made from a model, pictures and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from nunbit.augment import Augment
from nunbit.data.batches import Batches
from nunbit.data.pictures import Pictures
from nunbit.model import Model
from nunbit.networks import split_network
from nunbit.runs import RunFolder
from nunbit.training.augmenting import make_augmenting
from nunbit.training.balance import make_balance
from nunbit.training.callbacks import Callback, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from nunbit.training.checkpoint import table_digest
from nunbit.training.checkpoints import Checkpoints
from nunbit.training.device import make_plan
from nunbit.training.distillation import open_teacher
from nunbit.training.ema import Average
from nunbit.training.job import Job
from nunbit.training.matching import check_lone_pictures
from nunbit.training.objective import Objective
from nunbit.training.optimizers import make_optimizer, make_schedule
from nunbit.training.options import TrainOptions
from nunbit.training.parallel import make_parallel
from nunbit.training.ranks import Ranks
from nunbit.training.resizing import make_resizing

__all__ = ["WHERE", "make_job"]

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
    plan = make_plan(options, network=model.network, ranks=ranks)
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
    balance = make_balance(options, model.task, pictures.train)
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
    )
    check_lone_pictures(model, batches.smallest, options)
    resizing = make_resizing(model, options, steps_per_epoch=batches.steps_per_epoch)
    average = None if options.ema is None else Average(model.network, options.ema)
    run = RunFolder(Path())
    return Job(
        model=model,
        batches=batches,
        validation=pictures.validation,
        options=options,
        plan=plan,
        ranks=ranks,
        parallel=make_parallel(model.network, plan, ranks),
        objective=Objective(
            model.task,
            smoothing=options.label_smoothing,
            class_weights=balance.weights,
            teacher=open_teacher(options, model, plan.device),
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
