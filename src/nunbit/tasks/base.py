"""What a task is: what targets are, which head, loss and scores belong to them.

The loop, the run folder, the report and the commands know only this page. That
keeps them usable for tasks without class labels (boxes, masks, sentences).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Direction", "Evaluation", "Matrix", "Mistake", "Prediction", "Score", "Task"]

Direction = Literal["min", "max"]


@dataclass(frozen=True)
class Score:
    """One number about a network, with its 95 % interval where one is known.

    Args:
        name: As people write it: ``"accuracy"``.
        value: The number itself.
        low: Lower end of the 95 % interval, or None.
        high: Upper end of the 95 % interval, or None.
        is_fraction: Whether it lies in 0..1 and is shown in percent.
        is_telling: Whether it is worth showing; the top 5 of 3 classes are not.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    is_fraction: bool = True
    is_telling: bool = True


@dataclass(frozen=True)
class Matrix:
    """A table of counts: what was there against what was read."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    """(K, K): row = what it is, column = what the network said."""


@dataclass(frozen=True)
class Mistake:
    """One picture that was read wrongly."""

    position: int
    """Row in the evaluated pictures."""
    expected: str
    received: str
    confidence: float
    """Probability 0..1 that the network gave to its wrong answer."""


@dataclass(frozen=True)
class Evaluation:
    """All that a task says about a network on a set of pictures.

    Args:
        count: Pictures evaluated, each once.
        scores: In the order to show them; the first is the headline.
        per_class: Rows of a table, by class name; empty where a task has none.
        matrix: Confusion matrix, or None.
        mistakes: Most confident first.
    """

    count: int
    scores: tuple[Score, ...]
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    matrix: Matrix | None = None
    mistakes: Sequence[Mistake] = ()

    def __getitem__(self, name: str) -> float:
        """Return the value of a score by name."""
        for score in self.scores:
            if score.name == name:
                return score.value
        raise KeyError(f"no score {name!r}; there are {[s.name for s in self.scores]}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: ``accuracy``, ``accuracy_low``, ``accuracy_high`` and so on."""
        flat: dict[str, Any] = {"count": self.count}
        for score in self.scores:
            flat[score.name] = score.value
            if score.low is not None and score.high is not None:
                flat[f"{score.name}_low"] = score.low
                flat[f"{score.name}_high"] = score.high
        flat["per_class"] = {name: dict(row) for name, row in self.per_class.items()}
        return flat


@dataclass(frozen=True)
class Prediction:
    """What the network says about one picture."""

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    """The likeliest labels with their probabilities, best first."""


class Task(Protocol):
    """What the targets are, and which head, loss and scores belong to them."""

    name: ClassVar[str]
    """How a model file says which task it was trained for."""
    headline: ClassVar[str]
    """The score that people ask for first; one of :attr:`Evaluation.scores`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what the outputs stand for; empty where outputs have no names."""
        ...

    @property
    def outputs(self) -> int:
        """Width of the network's last layer."""
        ...

    @property
    def scores(self) -> Mapping[str, Direction]:
        """What is measured each epoch, and which way is better; ``loss`` is always there."""
        ...

    def with_names(self, names: Sequence[str], titles: Mapping[str, tuple[str, ...]]) -> Task:
        """Return the task with the names of the pictures it is about to learn."""
        ...

    def targets(self, labels: NDArray[Any]) -> Tensor:
        """Turn the table's labels into what :meth:`loss` takes."""
        ...

    def mix(self, targets: Tensor, others: Tensor, share: Tensor) -> Tensor:
        """Return targets of mixed pictures: ``share`` (B,) of their own, the rest of others'.

        :meth:`loss` and :meth:`count` take what this returns.
        """
        ...

    def loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the mean loss of a batch, float32 scalar.

        Args:
            class_weights: (K,) how much a picture of each class counts; the sum over the
                batch is divided by the number of pictures, not of weights, so that parts
                of a batch add up.
        """
        ...

    def count(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return, for each score but the loss, its sum over the batch."""
        ...

    def evaluate(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> Evaluation:
        """Score the outputs of all pictures of a set at once."""
        ...

    def predict(self, outputs: Tensor, *, top: int = 5) -> list[Prediction]:
        """Say what the outputs mean, picture by picture."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return what a model file keeps of the task, as plain data."""
        ...
