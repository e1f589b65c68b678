"""Classification: both heads, their losses, what they say, and what a file keeps of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from hypothesis import given
from hypothesis import strategies as st

from nunbit.errors import ModelFileError, OptionError
from nunbit.tasks import Classification, make_task

TWO = Classification(("cat", "dog"))
ONE_OUTPUT = Classification(("cat", "dog"), "sigmoid")
TEN = Classification(tuple(f"c{k}" for k in range(10)))


def random_outputs(task: Classification, count: int = 500, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(task.classes), count)
    outputs = rng.normal(0, 2, (count, task.outputs)).astype(np.float32)
    return outputs, labels


def by_hand(logits: np.ndarray, labels: np.ndarray, smoothing: float) -> float:
    """Cross-entropy against smoothed targets, in float64."""
    logits = logits.astype(np.float64)
    log_chances = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    classes = logits.shape[1]
    wanted = np.full(logits.shape, smoothing / classes)
    wanted[np.arange(len(labels)), labels] += 1 - smoothing
    return float(-(wanted * log_chances).sum(axis=1).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("task", [TWO, TEN])
def test_the_loss_of_softmax_is_the_one_counted_by_hand(
    task: Classification, smoothing: float
) -> None:
    outputs, labels = random_outputs(task)
    loss = task.loss(torch.from_numpy(outputs), task.targets(labels), smoothing=smoothing)
    assert loss.item() == pytest.approx(by_hand(outputs, labels, smoothing), rel=1e-5)
    assert loss.dtype == torch.float32
    half = task.loss(torch.from_numpy(outputs).bfloat16(), task.targets(labels))
    assert half.dtype == torch.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_one_sigmoid_output_is_softmax_over_zero_and_it(smoothing: float) -> None:
    outputs, labels = random_outputs(ONE_OUTPUT)
    pair = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
    one, two = torch.from_numpy(outputs), torch.from_numpy(pair)
    targets = TWO.targets(labels)
    assert ONE_OUTPUT.loss(one, targets, smoothing=smoothing).item() == pytest.approx(
        by_hand(pair, labels, smoothing), rel=1e-5
    )
    torch.testing.assert_close(ONE_OUTPUT.probabilities(one), TWO.probabilities(two))
    assert ONE_OUTPUT.count(one, targets) == TWO.count(two, targets)
    sigmoid, softmax = ONE_OUTPUT.evaluate(outputs, labels), TWO.evaluate(pair, labels)
    for name in ("accuracy", "top5_accuracy", "loss", "ece"):
        assert sigmoid[name] == pytest.approx(softmax[name], rel=1e-9)
    assert sigmoid.per_class == softmax.per_class
    assert [p.label for p in ONE_OUTPUT.predict(one)] == [p.label for p in TWO.predict(two)]


@pytest.mark.parametrize("logit", [-300.0, -40.0, 0.0, 40.0, 300.0])
def test_a_sure_sigmoid_that_errs_costs_what_it_costs_in_softmax(logit: float) -> None:
    outputs = np.array([[logit]], np.float32)
    pair = np.array([[0, logit]], np.float32)
    for label in (0, 1):
        labels = np.array([label])
        expected = TWO.evaluate(pair, labels)["loss"]
        assert ONE_OUTPUT.evaluate(outputs, labels)["loss"] == pytest.approx(expected, rel=1e-12)
        trained = ONE_OUTPUT.loss(torch.from_numpy(outputs), TWO.targets(labels)).item()
        assert trained == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("task", [TWO, ONE_OUTPUT, TEN])
def test_evaluation_is_what_torchmetrics_says(task: Classification) -> None:
    outputs, labels = random_outputs(task)
    chances = task.probabilities(torch.from_numpy(outputs))
    truth, classes = torch.from_numpy(labels), len(task.classes)
    result = task.evaluate(outputs, labels)
    assert result.count == 500
    assert chances.sum(dim=1).numpy() == pytest.approx(1)

    def accuracy(top: int) -> float:
        top = min(top, classes)
        return float(tm.multiclass_accuracy(chances, truth, classes, average="micro", top_k=top))

    assert result["accuracy"] == pytest.approx(accuracy(1))
    assert result["top5_accuracy"] == pytest.approx(accuracy(5))
    ece = tm.multiclass_calibration_error(chances, truth, classes, n_bins=15, norm="l1")
    assert result["ece"] == pytest.approx(float(ece), abs=1e-6)
    loss = task.loss(torch.from_numpy(outputs), task.targets(labels))
    assert result["loss"] == pytest.approx(loss.item(), rel=1e-5)
    counted = task.count(torch.from_numpy(outputs), task.targets(labels))["accuracy"]
    assert int(counted) == round(result["accuracy"] * 500)
    assert result.matrix is not None
    matrix = tm.multiclass_confusion_matrix(chances, truth, classes)
    assert result.matrix.counts.tolist() == matrix.tolist()
    assert result.matrix.names == task.classes
    for k, name in enumerate(task.classes):
        row = result.per_class[name]
        assert row["count"] == int((truth == k).sum())
        assert row["recall_low"] <= row["recall"] <= row["recall_high"]


def test_mistakes_are_all_wrong_ones_the_surest_first() -> None:
    outputs, labels = random_outputs(TEN)
    result = TEN.evaluate(outputs, labels)
    chances = TEN.probabilities(torch.from_numpy(outputs)).numpy()
    predicted = chances.argmax(axis=1)
    assert (
        sorted(m.position for m in result.mistakes) == np.flatnonzero(predicted != labels).tolist()
    )
    confidences = [m.confidence for m in result.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    for mistake in result.mistakes:
        row = mistake.position
        assert mistake.expected == f"c{labels[row]}"
        assert mistake.received == f"c{predicted[row]}"
        assert mistake.confidence == chances[row].max()


def test_among_equals_the_first_class_is_the_answer_everywhere() -> None:
    """A network that says nothing is right for the first class only, in every score."""
    outputs, labels = np.zeros((10, 10), np.float32), np.arange(10)
    result = TEN.evaluate(outputs, labels)
    assert result["accuracy"] == pytest.approx(0.1)
    assert result["top5_accuracy"] == pytest.approx(0.5)
    assert int(TEN.count(torch.zeros(10, 10), TEN.targets(labels))["accuracy"]) == 1
    (said,) = TEN.predict(torch.zeros(1, 10))
    assert [label for label, _ in said.top] == ["c0", "c1", "c2", "c3", "c4"]
    assert ONE_OUTPUT.evaluate(np.zeros((2, 1), np.float32), np.array([0, 1]))["accuracy"] == 0.5
    assert ONE_OUTPUT.predict(torch.zeros(1, 1))[0].label == "cat"
    assert int(ONE_OUTPUT.count(torch.zeros(1, 1), torch.tensor([0]))["accuracy"]) == 1


def test_a_class_without_pictures_has_no_recall_and_a_wide_interval() -> None:
    result = TEN.evaluate(*random_outputs(TEN, count=1))
    absent = [row for row in result.per_class.values() if row["count"] == 0]
    assert len(absent) == 9
    for row in absent:
        assert (row["recall"], row["recall_low"], row["recall_high"]) == (0.0, 0.0, 1.0)


def test_the_result_as_plain_data() -> None:
    result = TEN.evaluate(*random_outputs(TEN))
    flat = json.loads(json.dumps(result.to_dict()))
    keys = "count accuracy accuracy_low accuracy_high top5_accuracy loss ece per_class"
    assert set(keys.split()) <= set(flat)
    assert flat["accuracy_low"] < flat["accuracy"] == result["accuracy"] < flat["accuracy_high"]
    with pytest.raises(KeyError, match=r"no score 'accurcy'; there are .*accuracy"):
        result["accurcy"]


@given(st.integers(1, 15), st.integers(0, 50))
def test_predictions_are_the_likeliest_in_order(top: int, seed: int) -> None:
    outputs, _ = random_outputs(TEN, 3, seed)
    chances = TEN.probabilities(torch.from_numpy(outputs))
    for row, said in zip(chances, TEN.predict(torch.from_numpy(outputs), top=top), strict=True):
        assert len(said.top) == min(top, 10)
        assert said.top[0] == (said.label, said.probability)
        best = row.sort(descending=True)
        assert [p for _, p in said.top] == best.values[:top].tolist()
        assert [label for label, _ in said.top] == [f"c{k}" for k in best.indices[:top].tolist()]


def test_predictions_of_one_output() -> None:
    cat, dog = ONE_OUTPUT.predict(torch.tensor([[-2.0], [1.0]]))
    assert (cat.label, dog.label) == ("cat", "dog")
    assert cat.probability == pytest.approx(1 / (1 + np.exp(-2)))
    assert dog.top[1] == ("cat", pytest.approx(1 / (1 + np.exp(1))))
    with pytest.raises(OptionError, match="`top` is 0, expected at least 1"):
        ONE_OUTPUT.predict(torch.zeros(1, 1), top=0)


def test_targets_are_the_labels() -> None:
    labels = np.array([2, 0, 1])[::-1]
    assert TEN.targets(labels).tolist() == [1, 0, 2]
    assert TEN.targets(labels).dtype == torch.int64


@pytest.mark.parametrize(
    "task",
    [TWO, ONE_OUTPUT, Classification(("a", "b"), titles={"ko": ("가", "나"), "de": ("A", "B")})],
)
def test_a_task_goes_through_json_and_back(task: Classification) -> None:
    again = make_task(json.loads(json.dumps(task.to_dict())))
    assert again == task
    assert again.outputs == task.outputs


def test_a_task_takes_the_names_of_its_pictures() -> None:
    named = Classification(("0", "1"), "sigmoid").with_names(["a", "b"], {"ko": ("가", "나")})
    assert named == Classification(("a", "b"), "sigmoid", {"ko": ("가", "나")})
    with pytest.raises(
        OptionError, match=r"the network has 2 classes, the pictures 3. Pass `create"
    ):
        named.with_names(["a", "b", "c"], {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("a",),), r"at least 2 classes, got 1 \(a\)"),
        (((),), r"at least 2 classes, got 0 \(none\)"),
        ((("a", "b", "a"),), "class names must differ; given twice: a"),
        ((("a", "b", "c"), "sigmoid"), "separates 2 classes, got 3. Use head `softmax`"),
        ((("a", "b"), "relu"), "head is 'relu', expected `softmax` or `sigmoid`"),
    ],
)
def test_impossible_tasks(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Classification(*arguments)


@pytest.mark.parametrize("name", ["segmentation", None, ["a"], 3])
def test_a_task_this_nunbit_does_not_know(name: object) -> None:
    with pytest.raises(ModelFileError, match=r"for the task .*; this Nunbit knows classification"):
        make_task({"name": name})


# --- Mixed targets --------------------------------------------------------------------


def test_mixed_targets_of_softmax_are_shares_of_classes() -> None:
    task = Classification(("a", "b", "c"))
    own, other = torch.tensor([0, 1, 2]), torch.tensor([1, 1, 0])
    mixed = task.mix(own, other, torch.tensor([0.75, 0.2, 1.0]))
    assert mixed.tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 1]]
    assert mixed.dtype == torch.float32


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_a_mixture_is_the_mixture_of_losses(head: str, smoothing: float) -> None:
    """Zhang et al. 2017: cross-entropy is linear in the target."""
    task = Classification(("a", "b"), head)  # type: ignore[arg-type]
    outputs = torch.randn(50, task.outputs, generator=torch.Generator().manual_seed(0))
    own, other = torch.arange(50) % 2, (torch.arange(50) // 2) % 2
    for share in (0.0, 0.3, 1.0):
        mixed = task.mix(own, other, torch.full((50,), share))
        found = task.loss(outputs, mixed, smoothing=smoothing)
        parts = [float(task.loss(outputs, each, smoothing=smoothing)) for each in (own, other)]
        assert float(found) == pytest.approx(share * parts[0] + (1 - share) * parts[1], abs=1e-6)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_the_larger_share_counts_as_right(head: str) -> None:
    task = Classification(("a", "b"), head)  # type: ignore[arg-type]
    second = torch.tensor([[-3.0, 3.0]] if head == "softmax" else [[3.0]]).repeat(3, 1)
    mixed = task.mix(
        torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0]), torch.tensor([0.9, 0.1, 0.8])
    )
    assert int(task.count(second, mixed)["accuracy"]) == 2
    hard = torch.tensor([0, 1, 1])
    assert int(task.count(second, hard)["accuracy"]) == 2
