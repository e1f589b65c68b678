"""Tasks: what the targets are, and which head, loss and scores belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nunbit.errors import ModelFileError
from nunbit.tasks.base import Direction, Evaluation, Matrix, Mistake, Prediction, Score, Task
from nunbit.tasks.classification import Classification

__all__ = [
    "Classification",
    "Direction",
    "Evaluation",
    "Matrix",
    "Mistake",
    "Prediction",
    "Score",
    "Task",
    "make_task",
]

TASKS = {Classification.name: Classification}


def make_task(data: Mapping[str, Any]) -> Task:
    """Make the task that a model file describes.

    Raises:
        ModelFileError: This Nunbit does not know the task.
    """
    name = data.get("name")
    if not isinstance(name, str) or name not in TASKS:
        raise ModelFileError(
            f"the model was trained for the task {name!r}; this Nunbit knows "
            f"{', '.join(sorted(TASKS))}. Update with `pip install -U nunbit`."
        )
    return TASKS[name].from_dict(data)
