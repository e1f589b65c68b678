"""Every score against torchmetrics or scikit-learn, on random outputs and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from nunbit.tasks.scores import (
    confusion_matrix,
    expected_calibration_error,
    log_loss,
    precision_recall_f1,
    wilson_interval,
)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_torchmetrics(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 700
    logits = rng.normal(0, 3, (count, classes))
    labels = rng.integers(0, classes, count)
    logits[np.arange(count), labels] += 2
    chances = torch.from_numpy(logits).softmax(dim=1)
    truth = torch.from_numpy(labels)
    predicted = chances.argmax(dim=1)
    matrix = confusion_matrix(labels, predicted.numpy(), classes=classes)
    assert matrix.tolist() == tm.multiclass_confusion_matrix(predicted, truth, classes).tolist()
    got = precision_recall_f1(matrix)
    for column, score in enumerate(
        (tm.multiclass_precision, tm.multiclass_recall, tm.multiclass_f1_score)
    ):
        expected = score(predicted, truth, classes, average="none")
        assert got[:, column] == pytest.approx(expected.numpy(), abs=1e-6)
    confidence, correct = chances.max(dim=1).values.numpy(), (predicted == truth).numpy()
    expected_ece = tm.multiclass_calibration_error(chances, truth, classes, n_bins=15, norm="l1")
    assert expected_calibration_error(confidence, correct) == pytest.approx(
        float(expected_ece), abs=1e-6
    )
    assert log_loss(chances.numpy(), labels) == pytest.approx(
        metrics.log_loss(labels, chances.numpy(), labels=range(classes)), abs=1e-9
    )


def test_a_class_that_is_not_there_or_never_said_scores_zero() -> None:
    matrix = confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), classes=4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    expected = [[1, 0.5, 2 / 3], [0.5, 1, 2 / 3], [0, 0, 0], [0, 0, 0]]
    assert precision_recall_f1(matrix) == pytest.approx(np.array(expected))
    never = confusion_matrix(np.array([2, 2]), np.array([0, 0]), classes=3)
    assert precision_recall_f1(never).tolist() == [[0, 0, 0]] * 3


def test_calibration_by_hand() -> None:
    confidence = np.array([1.0, 1.0, 0.9, 0.61, 0.0])
    correct = np.array([True, False, True, False, False])
    # bins (14/15, 1], (13/15, 14/15], (9/15, 10/15] and [0, 1/15]
    gaps = abs(2 - 1) + abs(0.9 - 1) + 0.61 + 0
    assert expected_calibration_error(confidence, correct) == pytest.approx(gaps / 5)
    assert expected_calibration_error(np.array([]), np.array([], dtype=bool)) == 0.0


def test_the_edges_of_the_bins_belong_to_the_lower_one() -> None:
    """Guo et al.: the bin m holds ((m - 1) / M, m / M]."""
    confidence, correct = np.array([0.5, 0.6]), np.array([False, True])
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(0.45)
    assert expected_calibration_error(np.array([0.45, 0.5]), correct, bins=2) == pytest.approx(
        abs(0.95 - 1) / 2
    )


def test_a_chance_of_zero_costs_much_but_not_infinitely() -> None:
    loss = log_loss(np.array([[0.0, 1.0]]), np.array([0]))
    assert math.isfinite(loss)
    assert loss > 700
    assert log_loss(np.array([[0.0, 1.0]]), np.array([1])) == 0


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [
        # Newcombe 1998, Stat. Med. 17, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_intervals_of_the_literature(
    successes: int, count: int, low: float, high: float
) -> None:
    assert wilson_interval(successes, count) == pytest.approx((low, high), abs=6e-5)


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_wilson_intervals_hold_the_share_and_are_symmetric(count: int, share: float) -> None:
    successes = round(share * count)
    low, high = wilson_interval(successes, count)
    assert 0 <= low <= successes / count <= high <= 1
    assert low < high
    mirrored = wilson_interval(count - successes, count)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_nothing_seen_nothing_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.99])
def test_wilson_intervals_hold_the_truth_95_times_in_100(truth: float) -> None:
    """Summed over every outcome of 1,000 pictures, weighted by its chance."""
    outcomes = np.arange(1_001)
    chances = stats.binom.pmf(outcomes, 1_000, truth)
    intervals = [wilson_interval(int(each), 1_000) for each in outcomes]
    inside = [low <= truth <= high for low, high in intervals]
    assert float(chances @ inside) == pytest.approx(0.95, abs=0.015)
