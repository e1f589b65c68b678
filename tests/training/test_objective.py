"""The loss that training makes smaller: weights, smoothing, mixed targets, parts that add up."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nunbit.networks import WithAuxiliary
from nunbit.tasks import Classification
from nunbit.training.objective import Objective

NAMES = ("a", "b", "c", "d")
IMAGES = torch.zeros(0, 1, 2, 2, dtype=torch.uint8)


def logits(count: int, outputs: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(count, outputs, generator=torch.Generator().manual_seed(seed))


def labels(count: int, classes: int, seed: int = 1) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def by_hand(outputs: Tensor, wanted: Tensor, weights: Tensor | None) -> float:
    """The mean over pictures of - sum_k w_k q_k log p_k, in NumPy and float64."""
    z = outputs.double().numpy()
    log_p = (
        z
        - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))
        - z.max(1, keepdims=True)
    )
    w = np.ones(z.shape[1]) if weights is None else weights.double().numpy()
    return float(-(w * wanted.double().numpy() * log_p).sum(1).mean())


def smooth(wanted: Tensor, smoothing: float) -> Tensor:
    return wanted * (1 - smoothing) + smoothing / wanted.shape[1]


WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.25])


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("mixed", [False, True])
def test_the_loss_is_that_of_the_formula(
    weights: Tensor | None, smoothing: float, mixed: bool
) -> None:
    task = Classification(NAMES)
    targets, outputs = labels(9, 4), logits(9, 4)
    wanted = F.one_hot(targets, 4).float()
    if mixed:
        share = torch.linspace(0, 1, 9)
        targets = wanted = task.mix(targets, labels(9, 4, seed=2), share)
    objective = Objective(task, smoothing=smoothing, class_weights=weights)
    found, loss, whole = objective(outputs, IMAGES, targets)
    assert found is outputs
    assert loss is whole
    assert float(loss) == pytest.approx(by_hand(outputs, smooth(wanted, smoothing), weights))


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 3.0]), torch.tensor([0.0, 1.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_sigmoid_is_the_softmax_of_two(
    weights: Tensor | None, smoothing: float, mixed: bool
) -> None:
    """One output z says what the two outputs 0 and z say, also of very sure pictures."""
    one, two = Classification(("a", "b"), "sigmoid"), Classification(("a", "b"))
    outputs = torch.cat([logits(8, 1), torch.tensor([[80.0], [-80.0]])])
    targets = labels(10, 2)
    pair = torch.cat([torch.zeros_like(outputs), outputs], dim=1)
    losses = []
    for task, found in ((one, outputs), (two, pair)):
        share = torch.linspace(0, 1, 10)
        mine = task.mix(targets, labels(10, 2, seed=5), share) if mixed else targets
        objective = Objective(task, smoothing=smoothing, class_weights=weights)
        losses.append(float(objective(found, IMAGES, mine)[1]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@given(
    parts=st.integers(1, 12),
    head=st.sampled_from(["softmax", "sigmoid"]),
    smoothing=st.sampled_from([0.0, 0.1]),
    is_weighted=st.booleans(),
    mixed=st.booleans(),
)
def test_parts_of_a_batch_add_up(
    parts: int,
    head: Literal["softmax", "sigmoid"],
    smoothing: float,
    is_weighted: bool,
    mixed: bool,
) -> None:
    """Each part's loss counts by its share of the pictures, whatever their classes are."""
    task = Classification(("a", "b"), head)
    weights = torch.tensor([0.2, 1.8]) if is_weighted else None
    outputs, targets = logits(12, task.outputs).requires_grad_(), labels(12, 2)
    if mixed:
        targets = task.mix(targets, labels(12, 2, seed=3), torch.linspace(0, 1, 12))
    objective = Objective(task, smoothing=smoothing, class_weights=weights)

    def gradient(pieces: int) -> Tensor:
        outputs.grad = None
        cut = zip(outputs.tensor_split(pieces), targets.tensor_split(pieces), strict=True)
        for some, theirs in cut:
            (objective(some, IMAGES, theirs)[2] * (len(some) / 12)).backward()
        assert outputs.grad is not None
        return outputs.grad.clone()

    assert torch.allclose(gradient(parts), gradient(1), atol=1e-7)


def test_auxiliary_outputs_count_in_what_is_made_smaller_not_in_what_is_told() -> None:
    task = Classification(NAMES)
    main, other, targets = logits(6, 4), logits(6, 4, seed=9), labels(6, 4)
    found = WithAuxiliary(main, (other,), 0.3)
    outputs, loss, whole = Objective(task, smoothing=0.1, class_weights=WEIGHTS)(
        found, IMAGES, targets
    )
    wanted = smooth(F.one_hot(targets, 4).float(), 0.1)
    assert outputs is main
    assert float(loss) == pytest.approx(by_hand(main, wanted, WEIGHTS))
    assert float(whole) == pytest.approx(float(loss) + 0.3 * by_hand(other, wanted, WEIGHTS))


class Half:
    """Stands in for a teacher."""

    def blend(self, loss: Tensor, outputs: Tensor, images: Tensor) -> Tensor:
        return 0.5 * loss + len(images)


def test_a_teacher_counts_in_what_is_made_smaller_not_in_what_is_told() -> None:
    teacher: Any = Half()
    task, outputs, targets = Classification(NAMES), logits(6, 4), labels(6, 4)
    _, loss, whole = Objective(task, teacher=teacher)(outputs, torch.zeros(6, 1, 2, 2), targets)
    assert float(loss) == pytest.approx(float(F.cross_entropy(outputs, targets)))
    assert float(whole) == pytest.approx(0.5 * float(loss) + 6)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_bfloat16_outputs_are_scored_in_float32(head: Literal["softmax", "sigmoid"]) -> None:
    task = Classification(("a", "b"), head)
    outputs, targets = logits(5, task.outputs).bfloat16(), labels(5, 2)
    objective = Objective(task, class_weights=torch.tensor([0.5, 1.5]))
    loss = objective(outputs, IMAGES, targets)[1]
    assert loss.dtype == torch.float32
    assert torch.equal(loss, objective(outputs.float(), IMAGES, targets)[1])
