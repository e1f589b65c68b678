"""Out of memory: how much of a batch fits is found by trying, and said.

A batch computed in parts (``--accumulate``) needs the memory of one part and takes the
same step, so that is what is offered first.
"""

from __future__ import annotations

import contextlib
import gc
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch

from nunbit.data.batches import Batch
from nunbit.errors import TrainingError
from nunbit.training.rescue import whereabouts

if TYPE_CHECKING:
    from nunbit.training.job import Job, Progress

__all__ = ["first_line", "is_out_of_memory", "memory_watched", "validation_watched"]

SIGNS = (
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "could not create a memory object",
    "out of memory",
    "bad_alloc",
)
"""What the message of a ``RuntimeError`` has in it where memory ran out: PyTorch's allocator on
Linux and Windows, oneDNN, a GPU's own libraries, C++."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


@contextlib.contextmanager
def memory_watched(job: Job, progress: Progress, batch: Batch) -> Iterator[None]:
    """Turn what happens where memory runs out within a step into an error that says what fits.

    Raises:
        TrainingError: Memory ran out.
    """
    with _told(lambda what: _explain(job, progress, batch, what)):
        yield


@contextlib.contextmanager
def validation_watched(job: Job, progress: Progress) -> Iterator[None]:
    """Turn what happens where memory runs out in the validation into an error that says so.

    Raises:
        TrainingError: Memory ran out.
    """

    def explain(what: str) -> str:
        place, advice = whereabouts(job, progress)
        elsewhere = "" if job.plan.device.type == "cpu" else ", or pass `--device cpu`"
        return (
            f"out of memory {place}, whose steps had fitted ({what}). {advice} First close other "
            f"programs that take memory{elsewhere}."
        )

    with _told(explain):
        yield


@contextlib.contextmanager
def _told(explain: Callable[[str], str]) -> Iterator[None]:
    """Raise a TrainingError where memory runs out; ``explain`` takes what the error said."""
    try:
        yield
        return
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        what = first_line(error)
        # The frames that failed hold on to what they had computed: it is needed for the trials.
        traceback.clear_frames(error.__traceback__)
    raise TrainingError(explain(what))


def first_line(error: BaseException) -> str:
    """Return what an error says first, or what it is where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _explain(job: Job, progress: Progress, batch: Batch, what: str) -> str:
    parts = min(job.options.accumulate, len(batch))
    tried = -(-len(batch) // parts)
    place = f"at step {progress.step + 1} of epoch {progress.epoch + 1}"
    start = f"out of memory {place}, with {tried} pictures at a time ({what})."
    if job.ranks.size > 1:  # a trial would exchange gradients with ranks that make none
        fits, found = max(tried // 2, 1), "Half as many may fit"
    else:
        fits = _largest(job, batch, tried)
        found = f"{fits} at a time fit, as a trial showed"
    if fits == 0:
        return (
            f"{start} Not even one picture fits. Take smaller pictures (`--image-size`) or a "
            "smaller network (`nunbit networks` lists them)."
        )
    largest = -(-(job.options.batch_size or len(batch)) // job.ranks.size)
    pieces = -(-largest // fits)
    return (
        f"{start} {found}. `{job.run.resume_command} --override --accumulate {pieces}` "
        f"goes on: each batch is computed in {pieces} parts and the step stays the same (batch "
        f"norm sees the parts). Or start a new run with `--batch-size {fits}`."
    )


def _largest(job: Job, batch: Batch, tried: int) -> int:
    """Return how many pictures go through forward and backward together; 0: not even one."""
    count = tried // 2
    while count and not _fits(job, batch, count):
        count //= 2
    return count


def _fits(job: Job, batch: Batch, count: int) -> bool:
    _free(job)
    model, device = job.model, job.plan.device
    part = Batch(batch.images[:count], batch.targets[:count])
    try:
        images, targets = part.images.to(device), part.targets.to(device)
        with job.plan.autocast():
            found = model.network(model.normalise(images))
        _, _, whole = job.objective(found, images, targets)
        whole.backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        return False
    finally:
        _free(job)
    return True


def _free(job: Job) -> None:
    job.optimizer.zero_grad(set_to_none=True)
    gc.collect()
    if job.plan.device.type == "cuda":
        torch.cuda.empty_cache()
