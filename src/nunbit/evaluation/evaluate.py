"""``evaluate``: score a network on labelled pictures, each counted once."""

from __future__ import annotations

import os

from nunbit.data.pictures import PictureSet, load_for_evaluation
from nunbit.model import EVALUATION_BATCH, Model
from nunbit.tasks import Evaluation

__all__ = ["evaluate"]


def evaluate(model: Model, pictures: PictureSet | str | os.PathLike[str]) -> Evaluation:
    """Score a network on pictures it has not been trained on.

    Args:
        model: A trained model.
        pictures: One split of :func:`nunbit.load`, as ``pictures.test``, or a
            source: then its test split is used, and where it has none, all of it.
    Returns:
        Scores with 95 % intervals, a table by class, the confusion matrix, and
        the pictures that were read wrongly, most confident first.

    Raises:
        DataError: The source cannot be read, or has a class that the network does
            not know.
    """
    if not isinstance(pictures, PictureSet):
        pictures, _ = load_for_evaluation(
            pictures, preprocessing=model.preprocessing, classes=model.classes
        )
    whole = pictures
    chunks = (
        whole.take(slice(start, start + EVALUATION_BATCH))
        for start in range(0, len(whole), EVALUATION_BATCH)
    )
    return model.task.evaluate(model.outputs(chunks), whole.labels)
