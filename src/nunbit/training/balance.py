"""Class balance: rare classes count as much as common ones.

A network that sees nine cats for each dog does well by saying cat. Either its mistakes
about dogs cost more (``weights``), or it sees dogs more often (``sampling``). Weights cost
nothing and show each picture once an epoch; where a class is very rare its few pictures
make single large steps, and sampling, with augmentation, is smoother.

Source: weights as in scikit-learn's ``class_weight="balanced"`` (King & Zeng 2001);
sampling as class-balanced sampling in Buda et al. 2017, arXiv:1710.05381, which found it
as good or better for convolutional networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nunbit.data.pictures import PictureSet
from nunbit.data.streaming import StreamedPixels
from nunbit.errors import OptionError
from nunbit.randomness import make_rng
from nunbit.tasks import Task
from nunbit.training.options import TrainOptions

__all__ = ["Balance", "class_weights", "draw_balanced", "make_balance"]


@dataclass(frozen=True)
class Balance:
    """How classes are balanced; both None: not at all.

    Args:
        weights: (K,) float32 for the loss.
        draw: Takes seed and epoch; returns (N,) positions to train on in that epoch.
    """

    weights: Tensor | None = None
    draw: Callable[[int, int], NDArray[np.int64]] | None = None


def make_balance(
    options: TrainOptions,
    task: Task,
    pictures: PictureSet,
    *,
    device: torch.device | None = None,
) -> Balance:
    """Return what the options ask for.

    Args:
        pictures: Those to train on.
        device: Where the loss is computed.
    Raises:
        OptionError: Pictures are streamed, and so cannot be drawn.
    """
    if options.balance == "weights":
        weights = class_weights(pictures.labels, classes=len(task.classes))
        return Balance(weights=torch.from_numpy(weights).to(device))
    if options.balance == "sampling":
        if isinstance(pictures.pixels, StreamedPixels):
            raise OptionError(
                "`--balance sampling` draws pictures in any order and some of them several times "
                "an epoch, and these are streamed: they come in the order of their files. Pass "
                "`--balance weights`, or let them be decoded beforehand (without `--stream`)."
            )
        draw = partial(draw_balanced, np.asarray(pictures.labels))
        return Balance(draw=lru_cache(maxsize=2)(draw))  # asked for again by every mixed batch
    return Balance()


def class_weights(labels: NDArray[np.int64], *, classes: int) -> NDArray[np.float32]:
    """Return what a picture of each class counts: N / (K n_k).

    All classes count the same in sum, and pictures 1 on average. K is the number of
    classes that have pictures; one that has none counts 0.

    Shape:
        labels: (N,), 0 <= label < classes.
        returns: (classes,).

    Example:
        >>> class_weights(np.array([0, 0, 0, 1]), classes=2)
        array([0.6666667, 2.       ], dtype=float32)
    """
    counts = np.bincount(labels, minlength=classes)
    there = np.count_nonzero(counts)
    shares: NDArray[np.float64] = np.divide(
        len(labels), there * counts, out=np.zeros(classes), where=counts > 0
    )
    return np.asarray(shares, np.float32)


def draw_balanced(labels: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return as many positions as there are pictures, with equally many of each class.

    Numbers of pictures per class differ by at most 1, and so do those of the same picture
    among its class: of a class that is common each is drawn at most once. Which of them are
    drawn, or once more than others, is anew chosen in each epoch.

    Shape:
        labels: (N,), at least 0.
        returns: (N,), shuffled; a function of labels, seed and epoch alone.
    """
    rng = make_rng(seed, "balance", epoch)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    wanted = np.full(len(members), len(labels) // max(len(members), 1))
    more = rng.permutation(len(members))[: len(labels) - int(wanted.sum())]
    wanted[more] += 1
    drawn = []
    for positions, count in zip(members, wanted.tolist(), strict=True):
        times, rest = divmod(count, len(positions))
        drawn += [np.tile(positions, times), rng.permutation(positions)[:rest]]
    return rng.permutation(np.concatenate(drawn)) if drawn else np.empty(0, np.int64)
