"""A batch filled in threads: read, move, rescale picture by picture, then normalise."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nunbit.data.buffers import Scratch
from nunbit.data.pixels import processors
from nunbit.keras.draw import Parameters
from nunbit.keras.standardize import Normalisation
from nunbit.keras.transform import Transform

__all__ = ["fill_batch", "in_threads"]

_scratch = Scratch()
_pools: dict[int, ThreadPoolExecutor] = {}  # by process: threads do not survive a fork


def in_threads(work: Callable[[int], None], count: int) -> None:
    """Call ``work`` with 0 to count - 1, in threads where there is more than one core."""
    threads = processors()
    if threads == 1 or count < 4:
        for k in range(count):
            work(k)
        return
    pool = _pools.get(os.getpid())
    if pool is None:
        pool = _pools.setdefault(os.getpid(), ThreadPoolExecutor(threads, "nunbit-keras"))
    positions = iter(range(count))  # shared: each thread takes the next one when it is free

    def take(_: int) -> None:
        for k in positions:
            work(k)

    for _ in pool.map(take, range(threads)):
        pass  # what a thread raises is raised here


def fill_batch(
    batch: NDArray[Any],
    pictures: Callable[[int], NDArray[Any]],
    parameters: Sequence[Parameters],
    *,
    transform: Transform,
    normalisation: Normalisation | None,
    top: float | None,
) -> None:
    """Fill a batch with pictures that are moved and normalised each by itself.

    Shape:
        batch: (B, H, W, C), or (B, C, H, W) where the transform says channels first;
            what is in it is lost.
        pictures: Given a position in the batch, (H, W, C) of any number type; called
            from several threads.
    Args:
        normalisation: None = values as the transform leaves them.
        top: White, for brightness; None = found for each picture.
    """
    floating = np.issubdtype(batch.dtype, np.floating)
    work = batch if floating else np.zeros(batch.shape, np.float32)
    view = np.moveaxis(work, 1, -1) if transform.channels_first else work
    height, width = view.shape[1:3]
    matrices = transform.matrices(parameters, height=height, width=width)
    scale = normalisation.early_scale if normalisation is not None else None
    factor = None if scale is None else work.dtype.type(scale)

    def fill(k: int) -> None:
        moved = transform.apply(pictures(k), parameters[k], matrices[k], top=top, scratch=_scratch)
        if factor is None:
            view[k] = moved
        else:
            np.multiply(moved, factor, out=view[k], casting="unsafe")

    in_threads(fill, len(parameters))
    if normalisation is not None and len(batch):
        if scale is None:
            for k in range(len(work)):  # in order and in one thread: the function is not ours
                work[k] = normalisation.scale(work[k])
        work = normalisation.normalise(work, by_picture=True)
    if work is not batch:
        batch[...] = work
