"""``evaluate``: score a network on labelled pictures, each counted once."""

from __future__ import annotations

import os

import numpy as np

from nunbit.data.labelled import load_for_evaluation
from nunbit.data.pictures import PictureSet
from nunbit.errors import DataError, ShapeError
from nunbit.model import Model
from nunbit.tasks import Evaluation
from nunbit.training.ranks import ALONE, Ranks, share_of

__all__ = ["evaluate"]


def evaluate(
    model: Model,
    pictures: PictureSet | str | os.PathLike[str] | None,
    *,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Score a network on pictures it has not been trained on.

    Args:
        model: A trained model.
        pictures: One split of :func:`nunbit.load`, as ``pictures.test``, or a
            source: then its test split is used, and where it has none, all of it.
        ranks: The processes that call this together; each looks at a part of the
            pictures, and all get the whole result. By default this one looks at all.
    Returns:
        Scores with 95 % intervals, a table by class, the confusion matrix, and
        the pictures that were read wrongly, most confident first.

    Raises:
        DataError: The source cannot be read, or has a class that the network does
            not know; or there are no such pictures.
        ShapeError: The pictures have another size than the network takes.
    """
    if pictures is None:
        raise DataError(
            "there are no pictures to score: the source has no such split. Pass "
            "`pictures.validation`, or the folder of other labelled pictures."
        )
    if not isinstance(pictures, PictureSet):
        pictures, _ = load_for_evaluation(
            pictures, preprocessing=model.preprocessing, classes=model.classes
        )
    whole, made = pictures, model.preprocessing
    *_, height, width, channels = whole.pixels.shape
    if (height, width, channels) != (made.image_size, made.image_size, made.channels):
        raise ShapeError(
            f"the network takes {made.image_size}×{made.image_size} pictures with "
            f"{made.channels} channels, got {height}×{width} with {channels}. Pass the source "
            "itself, or `nunbit.load` it at that size."
        )
    mine = whole.chunks(model.evaluation_batch, share_of(len(whole), ranks))
    outputs = np.concatenate(ranks.gather(model.outputs(mine)))  # in picture order, each once
    return model.task.evaluate(outputs, whole.labels)
