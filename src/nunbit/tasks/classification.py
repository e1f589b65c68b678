"""Classification: each picture has one of K classes.

The head is softmax over K outputs, or for two classes a single sigmoid output,
as the course's cats and dogs have it. Both give K probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nunbit.errors import OptionError
from nunbit.tasks.base import Direction, Evaluation, Matrix, Mistake, Prediction, Score
from nunbit.tasks.scores import (
    confusion_matrix,
    expected_calibration_error,
    log_loss,
    precision_recall_f1,
    wilson_interval,
)

__all__ = ["Classification"]


@dataclass(frozen=True)
class Classification:
    """One label per picture.

    Args:
        classes: Class names, in the order of the outputs; at least two, no name twice.
        head: ``"softmax"`` (K outputs) or, for two classes, ``"sigmoid"`` (one
            output: the logit of the second class).
        titles: Class names in other languages, for people: ``{"ko": (...)}``.
    Raises:
        OptionError: Fewer than two classes, a name twice, or a sigmoid head for
            more than two.
    """

    classes: tuple[str, ...]
    head: Literal["softmax", "sigmoid"] = "softmax"
    titles: Mapping[str, tuple[str, ...]] | None = None

    name: ClassVar[str] = "classification"
    headline: ClassVar[str] = "accuracy"

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise OptionError(
                f"classification needs at least 2 classes, got {len(self.classes)} "
                f"({', '.join(self.classes) or 'none'})."
            )
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice:
            raise OptionError(f"class names must differ; given twice: {', '.join(twice)}.")
        if self.head not in ("softmax", "sigmoid"):
            raise OptionError(f"head is {self.head!r}, expected `softmax` or `sigmoid`.")
        if self.head == "sigmoid" and len(self.classes) != 2:
            raise OptionError(
                f"head `sigmoid` has one output and separates 2 classes, got "
                f"{len(self.classes)}. Use head `softmax`."
            )

    @property
    def outputs(self) -> int:
        return 1 if self.head == "sigmoid" else len(self.classes)

    @property
    def scores(self) -> Mapping[str, Direction]:
        return {"loss": "min", "accuracy": "max"}

    def with_names(
        self, names: Sequence[str], titles: Mapping[str, tuple[str, ...]]
    ) -> Classification:
        """Return the task with these class names.

        Raises:
            OptionError: Their number differs.
        """
        if len(names) != len(self.classes):
            raise OptionError(
                f"the network has {len(self.classes)} classes, the pictures {len(names)}. "
                "Pass `create_model(..., classes=pictures.classes)`."
            )
        return Classification(tuple(names), self.head, dict(titles) or None)

    def targets(self, labels: NDArray[Any]) -> Tensor:
        """Return int64 (N,) class positions."""
        return torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))

    def mix(self, targets: Tensor, others: Tensor, share: Tensor) -> Tensor:
        """Return the probability of each class that a mixed picture should get.

        Shape:
            targets, others: int64 (B,) class positions.
            share: float (B,) what stays of ``targets``, 0..1.
            returns: float32 (B, K) that sums to 1, or (B,) of the second class for the
                sigmoid head.
        """
        share = share.to(torch.float32)
        if self.head == "sigmoid":
            return share * targets + (1 - share) * others
        kept = F.one_hot(targets, len(self.classes)) * share[:, None]
        return kept + F.one_hot(others, len(self.classes)) * (1 - share[:, None])

    def loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor:
        """Return the mean cross-entropy in nats.

        Shape:
            outputs: (B, K) logits, or (B, 1) for the sigmoid head.
            targets: (B,) int64, or what :meth:`mix` returns.
        Args:
            smoothing: Share of probability spread evenly over the classes, 0..1.
            class_weights: (K,) float32, how much a picture of each class counts.
        Source: label smoothing as in Szegedy et al. 2015, arXiv:1512.00567, section 7.
        """
        outputs = outputs.float()
        if self.head == "softmax" and class_weights is None:
            return F.cross_entropy(outputs, targets, label_smoothing=smoothing)
        if self.head == "softmax":
            summed = F.cross_entropy(
                outputs, targets, weight=class_weights, label_smoothing=smoothing, reduction="sum"
            )
            return summed / len(outputs)
        logit, wanted = outputs[:, 0], targets.float() * (1 - smoothing) + smoothing / 2
        if class_weights is None:
            return F.binary_cross_entropy_with_logits(logit, wanted)
        # As softmax has it: each class's part of the loss counts by its own weight.
        first, second = class_weights[0] * (1 - wanted), class_weights[1] * wanted
        return -(first * F.logsigmoid(-logit) + second * F.logsigmoid(logit)).mean()

    def count(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Count the right answers; of a mixed target, the class with the larger share is right."""
        two = self.head == "sigmoid"
        predicted = (outputs[:, 0] > 0).long() if two else outputs.argmax(dim=1)
        if targets.is_floating_point():
            targets = (targets > 0.5).long() if two else targets.argmax(dim=1)
        return {"accuracy": (predicted == targets).sum()}

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Turn outputs into probabilities.

        Shape:
            outputs: (B, K) or (B, 1), any float.
            returns: (B, K) float64; rows sum to 1.
        """
        outputs = outputs.double()
        if self.head == "softmax":
            return outputs.softmax(dim=1)
        # Not 1 - p: that is 0 where the second class is nearly sure, and its logarithm infinite.
        return torch.cat([-outputs, outputs], dim=1).sigmoid()

    def evaluate(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> Evaluation:
        labels = np.asarray(labels, dtype=np.int64)
        chances = self.probabilities(torch.from_numpy(outputs)).numpy()
        count, classes = chances.shape
        predicted = chances.argmax(axis=1)
        confidence = chances[np.arange(count), predicted]
        correct = predicted == labels
        right = chances[np.arange(count), labels][:, None]
        earlier = np.arange(classes) < labels[:, None]  # among equals the first is the answer
        rank = ((chances > right) | ((chances == right) & earlier)).sum(axis=1)
        matrix = confusion_matrix(labels, predicted, classes=classes)
        wrong = np.flatnonzero(~correct)
        wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
        return Evaluation(
            count=count,
            scores=(
                _proportion("accuracy", int(correct.sum()), count),
                replace(
                    _proportion("top5_accuracy", int((rank < 5).sum()), count),
                    is_telling=classes > 5,
                ),
                Score("loss", log_loss(chances, labels), is_fraction=False),
                Score("ece", expected_calibration_error(confidence, correct)),
            ),
            per_class=self._per_class(matrix),
            matrix=Matrix(self.classes, matrix),
            mistakes=[
                Mistake(
                    position=int(row),
                    expected=self.classes[labels[row]],
                    received=self.classes[predicted[row]],
                    confidence=float(confidence[row]),
                )
                for row in wrong
            ],
        )

    def _per_class(self, matrix: NDArray[np.int64]) -> dict[str, dict[str, float]]:
        table = {}
        for k, (precision, recall, f1) in enumerate(precision_recall_f1(matrix)):
            there, right = int(matrix[k].sum()), int(matrix[k, k])
            low, high = wilson_interval(right, there)
            table[self.classes[k]] = {
                "count": there,
                "precision": float(precision),
                "recall": float(recall),
                "recall_low": low,
                "recall_high": high,
                "f1": float(f1),
            }
        return table

    def predict(self, outputs: Tensor, *, top: int = 5) -> list[Prediction]:
        if top < 1:
            raise OptionError(f"`top` is {top}, expected at least 1.")
        chances = self.probabilities(outputs)
        best, order = chances.sort(dim=1, descending=True, stable=True)  # ties: the first class
        best, order = best[:, :top], order[:, :top]
        predictions = []
        for row, positions in zip(best.tolist(), order.tolist(), strict=True):
            ranked: Sequence[tuple[str, float]] = [
                (self.classes[k], p) for k, p in zip(positions, row, strict=True)
            ]
            predictions.append(Prediction(ranked[0][0], ranked[0][1], tuple(ranked)))
        return predictions

    def to_dict(self) -> dict[str, Any]:
        titles = {lang: list(names) for lang, names in (self.titles or {}).items()}
        return {
            "name": self.name,
            "classes": list(self.classes),
            "head": self.head,
            "titles": titles,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Classification:
        """Make the task again from what a model file kept."""
        titles = {lang: tuple(names) for lang, names in data.get("titles", {}).items()}
        return cls(tuple(data["classes"]), data.get("head", "softmax"), titles or None)


def _proportion(name: str, successes: int, count: int) -> Score:
    low, high = wilson_interval(successes, count)
    return Score(name, successes / max(count, 1), low, high)
