"""The training loop, in plain PyTorch. This is the file to read.

    for each epoch:
        for each batch:  forward, loss, backward, step
        validate, tell the callbacks, write a checkpoint

Nothing here depends on what ran before: the order of pictures, their augmentation
and the dropout of each step are derived from (seed, epoch, step or picture). That
is why a run that was interrupted and resumed equals one that was not.

With many ranks each runs this loop on its part of every batch. They agree after each
step whether to go on, so all of them stop at the same one (``training/ranks.py``).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nunbit.allocation import memory_kept
from nunbit.data.batches import Batch
from nunbit.data.pictures import PictureSet
from nunbit.errors import StorageError, TrainingError
from nunbit.randomness import derive_seed
from nunbit.training.compiling import compiling_watched
from nunbit.training.hooks import BatchLogs, call
from nunbit.training.interrupts import Interrupt, catch_interrupt
from nunbit.training.job import Job, Progress
from nunbit.training.layout import gradients_in_layout
from nunbit.training.memory import memory_watched, validation_watched
from nunbit.training.pooling import pooling_first
from nunbit.training.ranks import share_of
from nunbit.training.rescue import NotFiniteError, bad_loss, not_finite, resume_command

__all__ = ["run_loop"]

READ_STEPS = 50
"""Steps on a GPU between looks at whether the loss is finite."""


class State(IntEnum):
    """What a rank says after a step; of all ranks the worst counts."""

    FINE = 0
    DUE = 1
    """A checkpoint is to be written within the epoch."""
    INTERRUPTED = 2
    NOT_FINITE = 3


def run_loop(job: Job, progress: Progress, *, restore: Callable[[], None] | None = None) -> None:
    """Train from where ``progress`` stands to the end.

    Args:
        restore: Called after the callbacks have begun, to load a checkpoint.
    Raises:
        OptionError: A callback cannot do its work here, or returned no action.
        TrainingError: The loss or a weight is no finite number; memory ran out; or another
            rank is lost.
        KeyboardInterrupt: Ctrl-C, after the checkpoint has been written.
        StorageError: The model or the last checkpoint cannot be written.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(job.parallel.close)
        for callback in (*job.callbacks, *job.watchers):
            stack.callback(callback.teardown)
        cards = range(torch.cuda.device_count()) if job.plan.device.type == "cuda" else ()
        stack.enter_context(torch.random.fork_rng(cards))  # the caller's randomness stays as it was
        interrupt = Interrupt(stack.enter_context(catch_interrupt()), job.ranks)
        if job.plan.channels_last and not job.plan.compiled:
            stack.enter_context(gradients_in_layout(job.model.network))
        if job.plan.device.type == "cpu":
            stack.enter_context(memory_kept())
        stack.enter_context(job.checkpoints)  # left first: what is being written is written
        call(job, progress, "on_train_begin")
        if not job.plan.compiled:  # a compiler sees to that
            stack.enter_context(pooling_first(job.model.network))
        if restore is None:
            job.checkpoints.save(job, progress)  # resumable from here on
        else:
            restore()
        job.model.facts.pop("scores", None)  # they were the old weights'
        job.model.facts["trained_on"] = dict(job.trained_on)
        try:
            while not job.is_finished(progress) and not interrupt.is_set():
                if progress.step == 0:
                    call(job, progress, "on_epoch_begin")
                _train_epoch(job, progress, interrupt)
                if not interrupt.is_set():
                    _end_epoch(job, progress, interrupt)
                job.checkpoints.save(job, progress)
        except TrainingError as error:
            if progress.history and job.ranks.is_first:
                job.checkpoints.save_model(job)  # the last sound weights
            if isinstance(error, NotFiniteError):  # of all ranks: who ends first ends the others
                with contextlib.suppress(RuntimeError):
                    job.ranks.wait()
            raise
        if job.average is not None:
            job.average.put_in()
        call(job, progress, "on_train_end", logs=progress.history[-1] if progress.history else {})
        job.model.network.eval()
        failure = _save_model(job)
        job.parallel.finish()
        job.checkpoints.finish(failure)
        if interrupt.is_set():
            raise KeyboardInterrupt(f"go on with `{resume_command(job.run.path, job.ranks)}`")


def _train_epoch(job: Job, progress: Progress, interrupt: Interrupt) -> None:
    """Train through the rest of an epoch, or until Ctrl-C."""
    job.model.network.train()
    started = time.perf_counter()
    for batch in job.batches.of_epoch(progress.epoch, start=progress.step):
        if not batch.whole:  # of a stream, where none of its pictures can be read
            progress.step += 1
            continue
        global_step = progress.epoch * job.batches.steps_per_epoch + progress.step
        progress.lr = progress.peak_lr * job.schedule(global_step)
        for group in job.optimizer.param_groups:
            group["lr"] = progress.lr * group.get("lr_factor", 1.0)
        call(job, progress, "on_train_batch_begin")
        _seed_dropout(job, global_step)
        with memory_watched(job, progress, batch), compiling_watched(job, interrupt.is_asked):
            sums = _train_step(job, batch, global_step)
        for name, value in sums.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.seen += len(batch)
        progress.step += 1
        call(job, progress, "on_train_batch_end", logs=BatchLogs(sums["loss"], len(batch)))
        state = job.ranks.worst(_state(job, progress, interrupt))
        if state == State.NOT_FINITE:
            raise NotFiniteError(not_finite(job, progress, bad_loss(job, sums, len(batch))))
        if state == State.INTERRUPTED:
            interrupt.set()
            break
        if state == State.DUE:
            progress.seconds += time.perf_counter() - started
            _check_weights(job, progress)
            job.checkpoints.save(job, progress)
            started = time.perf_counter()
    progress.seconds += time.perf_counter() - started
    _check_weights(job, progress)  # before the next checkpoint is written: the last one is sound


def _train_step(job: Job, batch: Batch, global_step: int) -> dict[str, float | Tensor]:
    """Forward, loss, backward, step; returns each score summed over this rank's pictures."""
    model, device = job.model, job.plan.device
    sums: dict[str, float | Tensor] = {}
    job.optimizer.zero_grad(set_to_none=True)
    parts = batch.parts(job.options.accumulate)
    for number, part in enumerate(parts):
        images = part.images.to(device, non_blocking=True)  # uint8 (b, C, H, W)
        if job.device_augment is not None:
            images = job.device_augment(part, images)
        targets = part.targets.to(device, non_blocking=True)
        inputs = model.normalise(images)
        if job.resizing is not None:
            inputs = job.resizing.apply(inputs, global_step)
        last, share = number == len(parts) - 1, len(batch) / batch.whole
        with job.parallel.exchanging(last=last, share=share):
            with job.plan.autocast():
                found = job.parallel.forward(inputs)
            outputs, loss, whole = job.objective(found, images, targets)
            # The mean over the whole batch of all ranks: each part counts by its pictures.
            factor = len(part) / batch.whole
            counting = whole if factor == 1 else whole * factor
            counting.backward()  # type: ignore[no-untyped-call]
        counted = {"loss": loss.detach() * len(part)}
        for name, value in (counted | model.task.count(outputs.detach(), targets)).items():
            # On a GPU reading a number would wait for it.
            amount = float(value) if device.type == "cpu" else value.double()
            sums[name] = sums.get(name, 0.0) + amount
    if device.type == "cpu" and job.ranks.size == 1 and not math.isfinite(sums["loss"]):
        return sums  # the weights stay as they are
    if job.options.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.network.parameters(), job.options.clip_norm)
    job.optimizer.step()
    if job.average is not None:
        job.average.update()
    return sums


def _end_epoch(job: Job, progress: Progress, interrupt: Interrupt) -> None:
    """Validate, write the history, tell the callbacks, go on to the next epoch.

    Left early by Ctrl-C in the validation, which is then done again from its start.
    """
    sums, seen = progress.over_ranks(job.ranks)
    logs = {name: value / max(seen, 1) for name, value in sums.items()}
    with job.average.in_place() if job.average is not None else contextlib.nullcontext():
        if job.validation is not None:
            if not progress.is_validating:
                call(job, progress, "on_validation_begin", logs=logs)
            progress.is_validating = True
            with validation_watched(job, progress):
                scores = _validate(job, job.validation, interrupt)
            if scores is None:
                return
            logs |= {f"val_{name}": value for name, value in scores.items()}
            call(job, progress, "on_validation_end", logs=logs)
        entry = {
            "epoch": progress.epoch + 1,
            **logs,
            "lr": progress.lr,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(seen / max(progress.seconds, 1e-9), 1),
        }
        progress.history.append(entry)
        progress.total_seconds += progress.seconds
        job.checkpoints.write_history(progress.history)
        call(job, progress, "on_epoch_end", logs=logs)
    progress.next_epoch()


def _validate(job: Job, pictures: PictureSet, interrupt: Interrupt) -> dict[str, float] | None:
    """Score the validation pictures, each once, in float32, never augmented.

    Each rank looks at a part of them. Returns None where Ctrl-C came in between.
    """
    task, mine = job.model.task, share_of(len(pictures), job.ranks)
    size, most = job.model.evaluation_batch, -(-len(pictures) // job.ranks.size)

    def chunks() -> Iterator[NDArray[np.uint8]]:
        for chunk in job.parallel.in_step(pictures, mine, size=size, most=most):
            if job.parallel.agreed(interrupt.is_asked()):
                return
            yield chunk

    found = job.model.outputs(chunks())[: mine.stop - mine.start]
    if job.ranks.worst(int(interrupt.is_asked())):
        interrupt.set()
        return None
    outputs = torch.from_numpy(np.concatenate(job.ranks.gather(found)))  # in picture order
    targets = task.targets(pictures.labels)
    scores = {"loss": float(task.loss(outputs, targets))}
    for name, value in task.count(outputs, targets).items():
        scores[name] = float(value) / len(pictures)
    return scores


def _state(job: Job, progress: Progress, interrupt: Interrupt) -> State:
    """Return what this rank has to say after a step."""
    reads = job.plan.device.type == "cpu" or progress.step % READ_STEPS == 0
    if reads and not math.isfinite(progress.sums["loss"]):
        return State.NOT_FINITE
    if interrupt.is_asked():
        return State.INTERRUPTED
    return State.DUE if job.checkpoints.is_due else State.FINE


def _check_weights(job: Job, progress: Progress) -> None:
    sound = all(bool(each.isfinite().all()) for each in job.parallel.held())
    if job.ranks.worst(int(not sound)):
        raise NotFiniteError(not_finite(job, progress, "a weight is not finite"))


def _save_model(job: Job) -> StorageError | None:
    """Write the model file; the error where that fails is raised when all is done."""
    weights = job.parallel.weights()
    try:
        if job.ranks.is_first:
            job.model.save(job.run.model_file, weights=weights)
    except StorageError as error:
        return error
    return None


def _seed_dropout(job: Job, global_step: int) -> None:
    """Give the layers that draw random numbers this step's own ones, and each rank its own."""
    rank = [f"rank {job.ranks.rank}"] if job.ranks.rank else []
    seed = derive_seed(job.options.seed, "dropout", global_step, *rank)
    if job.plan.device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
