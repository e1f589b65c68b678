"""The training loop, in plain PyTorch. This is the file to read.

    for each epoch:
        for each batch:  forward, loss, backward, step
        validate, tell the callbacks, write a checkpoint

Nothing here depends on what ran before: the order of pictures, their augmentation
and the dropout of each step are derived from (seed, epoch, step or picture). That
is why a run that was interrupted and resumed equals one that was not.

Many processes are not here yet. Their places are marked "ranks".
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from nunbit.data.batches import Batch
from nunbit.data.pictures import PictureSet
from nunbit.errors import OptionError, TrainingError
from nunbit.networks import split_auxiliary
from nunbit.randomness import derive_seed
from nunbit.training.callbacks.base import Action, Callback, LoadWeights, Moment, SetLR, Stop
from nunbit.training.checkpoint import load_network, save_checkpoint
from nunbit.training.job import Job, Progress

__all__ = ["run_loop"]


def run_loop(job: Job, progress: Progress, *, restore: Callable[[], None] | None = None) -> None:
    """Train from where ``progress`` stands to the end.

    Args:
        restore: Called after the callbacks have begun, to load a checkpoint.
    Raises:
        OptionError: A callback cannot do its work here, or returned no action.
        TrainingError: The loss or a weight is no finite number.
        KeyboardInterrupt: Ctrl-C, after the checkpoint has been written.
        StorageError: A checkpoint cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for callback in (*job.callbacks, *job.watchers):
            stack.callback(callback.teardown)
        cards = range(torch.cuda.device_count()) if job.plan.device.type == "cuda" else ()
        stack.enter_context(torch.random.fork_rng(cards))  # the caller's randomness stays as it was
        interrupt = stack.enter_context(_catch_interrupt())
        _call(job, progress, "on_train_begin")
        if restore is None:
            save_checkpoint(job.run.checkpoint_file, job, progress)  # resumable from here on
        else:
            restore()
        job.model.facts.pop("scores", None)  # they were the old weights'
        job.model.facts["trained_on"] = dict(job.trained_on)
        try:
            while not job.is_finished(progress):
                if progress.step == 0:
                    _call(job, progress, "on_epoch_begin")
                _train_epoch(job, progress, interrupt)
                if not interrupt.is_set():
                    _end_epoch(job, progress)
                save_checkpoint(job.run.checkpoint_file, job, progress)  # ranks: only the first
                if interrupt.is_set():
                    break
        except TrainingError:
            if progress.history:
                load_network(job.run.checkpoint_file, job)  # the last sound weights
                job.model.save(job.run.model_file)
            raise
        _call(job, progress, "on_train_end", logs=progress.history[-1] if progress.history else {})
        job.model.network.eval()
        job.model.save(job.run.model_file)
        if interrupt.is_set():
            raise KeyboardInterrupt(f"go on with `nunbit train --resume {job.run.path}`")


def _train_epoch(job: Job, progress: Progress, interrupt: threading.Event) -> None:
    """Train through the rest of an epoch, or until Ctrl-C."""
    steps = job.batches.steps_per_epoch
    job.model.network.train()
    started = time.perf_counter()
    for batch in job.batches.of_epoch(progress.epoch, start=progress.step):
        if not len(batch):  # of a stream, where none of its pictures can be read
            progress.step += 1
            continue
        global_step = progress.epoch * steps + progress.step
        progress.lr = progress.peak_lr * job.schedule(global_step)
        for group in job.optimizer.param_groups:
            group["lr"] = progress.lr
        _call(job, progress, "on_train_batch_begin")
        _seed_dropout(job, global_step)
        sums = _train_step(job, batch, progress)
        for name, value in sums.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.seen += len(batch)
        progress.step += 1
        loss = sums["loss"] / len(batch)
        _call(job, progress, "on_train_batch_end", logs={"loss": loss})
        if interrupt.is_set():
            break
    progress.seconds += time.perf_counter() - started
    if not all(bool(value.isfinite().all()) for value in job.model.network.state_dict().values()):
        # Said before the next checkpoint is written: the last one is sound.
        raise TrainingError(_explain(job, progress, "a weight is not finite", progress.step))


def _train_step(job: Job, batch: Batch, progress: Progress) -> dict[str, float]:
    """Forward, loss, backward, step; returns each score summed over the batch."""
    model, options, device = job.model, job.options, job.plan.device
    sums: dict[str, float] = {}
    job.optimizer.zero_grad(set_to_none=True)
    for part in batch.parts(options.accumulate):
        images = part.images.to(device, non_blocking=True)  # uint8 (b, C, H, W)
        if job.device_augment is not None:
            images = job.device_augment(part, images)
        targets = part.targets.to(device, non_blocking=True)
        with job.plan.autocast():
            outputs, extra = split_auxiliary(model.network(model.normalise(images)))  # (b, K)
        loss = model.task.loss(outputs, targets, smoothing=options.label_smoothing)
        whole = loss + sum(
            weight * model.task.loss(other, targets, smoothing=options.label_smoothing)
            for weight, other in extra
        )
        # The mean over the whole batch: each part counts by its pictures.
        share = whole * (len(part) / len(batch))
        share.backward()  # type: ignore[no-untyped-call]  # ranks: average after the last part
        found = {"loss": loss.detach() * len(part), **model.task.count(outputs.detach(), targets)}
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + float(value)
    if not math.isfinite(sums["loss"]):
        what = f"the loss is {sums['loss']:g}"
        raise TrainingError(_explain(job, progress, what, progress.step + 1))
    if options.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(model.network.parameters(), options.clip_norm)
    job.optimizer.step()
    return sums


def _end_epoch(job: Job, progress: Progress) -> None:
    """Validate, write the history, tell the callbacks, go on to the next epoch."""
    logs = {name: value / max(progress.seen, 1) for name, value in progress.sums.items()}
    if job.validation is not None:
        _call(job, progress, "on_validation_begin", logs=logs)
        logs |= {f"val_{name}": value for name, value in _validate(job, job.validation).items()}
        _call(job, progress, "on_validation_end", logs=logs)
    entry = {
        "epoch": progress.epoch + 1,
        **logs,
        "lr": progress.lr,
        "seconds": round(progress.seconds, 3),
        "images_per_second": round(progress.seen / max(progress.seconds, 1e-9), 1),
    }
    progress.history.append(entry)
    progress.total_seconds += progress.seconds
    job.run.write_history(progress.history)  # ranks: only the first
    _call(job, progress, "on_epoch_end", logs=logs)
    progress.epoch += 1
    progress.step, progress.seen, progress.sums, progress.seconds = 0, 0, {}, 0.0


def _validate(job: Job, pictures: PictureSet) -> dict[str, float]:
    """Score the validation pictures, each once, in float32, never augmented."""
    task = job.model.task
    outputs = torch.from_numpy(
        job.model.outputs(pictures.chunks(job.model.evaluation_batch))
    )  # ranks: gathered by picture id
    targets = task.targets(pictures.labels)
    scores = {"loss": float(task.loss(outputs, targets))}
    for name, value in task.count(outputs, targets).items():
        scores[name] = float(value) / len(pictures)
    return scores


def _call(
    job: Job, progress: Progress, hook: str, *, logs: Mapping[str, float] | None = None
) -> None:
    """Call a hook of every callback that has it, and carry out what they ask for."""
    everyone = (*job.callbacks, *job.watchers)
    called = [c for c in everyone if getattr(type(c), hook) is not getattr(Callback, hook)]
    if not called:
        return
    network = job.model.network

    def weights() -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in network.state_dict().items()}

    moment = Moment(
        epoch=progress.epoch,
        step=progress.step,
        epochs=job.epochs,
        steps_per_epoch=job.batches.steps_per_epoch,
        lr=progress.lr,
        schedule=job.options.schedule,
        logs=MappingProxyType(dict(logs or {})),
        known=MappingProxyType(job.known_scores),
        folder=job.run.path,
        weights=weights,
        save_model=lambda path: _discard(job.model.save(path)),
    )
    for callback in called:
        action: Action | None = getattr(callback, hook)(moment)
        if isinstance(action, Stop):
            progress.stop_reason = progress.stop_reason or action.reason
        elif isinstance(action, SetLR) and job.options.schedule == "constant":
            warm = progress.lr / progress.peak_lr  # the schedule multiplies the peak by it again
            progress.peak_lr = action.lr if warm == 1 else action.lr / warm
        elif isinstance(action, LoadWeights):
            network.load_state_dict(dict(action.weights))
        elif action is not None:
            raise OptionError(
                f"{type(callback).__name__}.{hook} returned {action!r}, expected None, Stop, "
                "LoadWeights, or, with schedule `constant`, SetLR."
            )


def _discard(_: object) -> None:
    """Drop a result."""


def _seed_dropout(job: Job, global_step: int) -> None:
    """Give the layers that draw random numbers this step's own ones."""
    seed = derive_seed(job.options.seed, "dropout", global_step)  # ranks: and the rank
    if job.plan.device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def _explain(job: Job, progress: Progress, what: str, step: int) -> str:
    kept = "No epoch was finished before."
    if progress.history:
        kept = f"The network after epoch {progress.epoch} is kept in `{job.run.model_file}`."
    tries = [f"`--lr {(job.options.lr or progress.lr) / 10:g}`"]
    if job.options.clip_norm is None:
        tries.append("`--clip-norm 1`")
    if job.plan.bfloat16:
        tries.append("`--precision float32`")
    return (
        f"{what} at step {step} of epoch {progress.epoch + 1} (learning rate {progress.lr:g}), "
        f"expected a finite number. {kept} Try {' or '.join(tries)}."
    )


@contextlib.contextmanager
def _catch_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that a step is never torn; the second stops at once.

    SIGTERM, as a cluster sends it, is treated alike.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # signals reach the main thread only
        return

    def note(number: int, frame: object) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    heeded = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) != signal.SIG_IGN]
    before = {each: signal.signal(each, note) for each in heeded}
    try:
        yield flag
    finally:
        for each, handler in before.items():
            if handler is not None:  # one that was not set from Python cannot be put back
                signal.signal(each, handler)
