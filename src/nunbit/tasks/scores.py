"""Scores of a classifier, from the outputs of all pictures of a set at once.

NumPy on gathered outputs, so that each picture counts once and nothing depends
on batches. The tests hold every function against torchmetrics or scikit-learn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "confusion_matrix",
    "expected_calibration_error",
    "log_loss",
    "precision_recall_f1",
    "wilson_interval",
]

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson_interval(successes: int, count: int, *, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    Unlike the textbook interval it stays inside 0..1 and holds its level near
    the ends, which is where good networks live.

    Args:
        successes: 0 <= successes <= count.
        count: At least 0; with no pictures the interval is 0..1.
    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.

    Example:
        >>> [round(end, 4) for end in wilson_interval(990, 1000)]
        [0.9817, 0.9946]
    """
    if count == 0:
        return 0.0, 1.0
    share = successes / count
    centre = share + z * z / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    low, high = float((centre - spread) / scale), float((centre + spread) / scale)
    return max(0.0, min(low, share)), min(1.0, max(high, share))  # rounding leaves the share within


def confusion_matrix(
    labels: NDArray[np.int64], predicted: NDArray[np.int64], *, classes: int
) -> NDArray[np.int64]:
    """Count pictures by what they are (row) and what was read (column).

    Shape:
        labels, predicted: (N,), 0 <= value < classes.
        returns: (classes, classes).
    """
    flat = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def precision_recall_f1(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return precision, recall and F1 of each class; 0 where undefined.

    Shape:
        matrix: (K, K) from :func:`confusion_matrix`.
        returns: (K, 3), values in 0..1.
    """
    right = np.diag(matrix).astype(np.float64)
    said, there = matrix.sum(axis=0), matrix.sum(axis=1)
    precision = np.divide(right, said, out=np.zeros_like(right), where=said > 0)
    recall = np.divide(right, there, out=np.zeros_like(right), where=there > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(right), where=total > 0)
    return np.stack([precision, recall, f1], axis=1)


def log_loss(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean negative log-probability of the right class, in nats.

    Shape:
        probabilities: (N, K), rows sum to 1.
        labels: (N,).
    """
    right = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(right, np.finfo(np.float64).tiny)).mean())


def expected_calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], *, bins: int = 15
) -> float:
    """Return how far confidence and accuracy lie apart, averaged over equal-width bins.

    Shape:
        confidence: (N,), probability 0..1 of the answer given.
        correct: (N,), whether the answer was right.
    Source: Guo et al. 2017, arXiv:1706.04599, section 2, with 15 bins.
    """
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    gap = np.bincount(which, weights=confidence - correct, minlength=bins)
    return float(np.abs(gap).sum() / max(len(confidence), 1))
