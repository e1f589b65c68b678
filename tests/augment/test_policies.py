"""TrivialAugment and RandAugment: which operations, how strong, as one warp."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nunbit.augment import Augment
from nunbit.augment.draw import Draws
from nunbit.augment.geometry import pull_matrices
from nunbit.augment.policies import OPERATIONS, _slots, policy_matrices, policy_steps
from nunbit.augment.tone import Tone

DRAWS = Draws(range(7000), seed=0, epoch=0)
TRIVIAL = Augment(trivial_augment=True)
HEIGHT, WIDTH = 60, 80


def test_the_14_operations_are_equally_likely() -> None:
    ((which, strength, sign, _),) = _slots(TRIVIAL, DRAWS)
    assert len(OPERATIONS) == 14
    assert stats.chisquare(np.bincount(which, minlength=14)).pvalue > 1e-3
    assert stats.chisquare(np.bincount((strength * 30).round().astype(int))).pvalue > 1e-3
    assert set(np.unique(strength * 30).round()) == set(range(31))
    assert abs(sign.mean()) < 0.05


def test_trivial_strengths_are_the_wide_space() -> None:
    (step,) = policy_steps(TRIVIAL, DRAWS)
    for kind, low, high in (
        (Tone.BRIGHTNESS, 0.01, 1.99),
        (Tone.SATURATION, 0.01, 1.99),
        (Tone.CONTRAST, 0.01, 1.99),
        (Tone.SHARPNESS, 0.01, 1.99),
        (Tone.POSTERIZE, 2, 8),
        (Tone.SOLARIZE, 0, 255),
    ):
        amounts = step.amounts[step.kinds == kind]
        assert (amounts.min(), amounts.max()) == (pytest.approx(low), pytest.approx(high))
    (matrices,) = policy_matrices(TRIVIAL, DRAWS, height=HEIGHT, width=WIDTH)
    ((which, *_),) = _slots(TRIVIAL, DRAWS)
    turned = matrices[which == OPERATIONS.index("turn")]
    angles = np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert abs(angles).max() == pytest.approx(135)
    assert abs(matrices[which == OPERATIONS.index("shear columns"), 0, 1]).max() == 0.99
    assert abs(matrices[which == OPERATIONS.index("shear rows"), 1, 0]).max() == 0.99
    moved = matrices[which == OPERATIONS.index("move columns"), 0, 2]
    assert abs(moved).max() == pytest.approx(150 / 331 * WIDTH)
    moved = matrices[which == OPERATIONS.index("move rows"), 1, 2]
    assert abs(moved).max() == pytest.approx(150 / 331 * HEIGHT)


def test_a_picture_gets_either_a_movement_or_a_change_of_tone() -> None:
    (step,) = policy_steps(TRIVIAL, DRAWS)
    (matrices,) = policy_matrices(TRIVIAL, DRAWS, height=HEIGHT, width=WIDTH)
    moved = (abs(matrices - np.eye(3)[:2]) > 1e-12).any((1, 2))
    assert not (moved & (step.kinds != Tone.NONE)).any()
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2, 1])
    ((which, *_),) = _slots(TRIVIAL, DRAWS)
    still = which < 3  # shears leave the middle where it is
    assert np.allclose(matrices[still] @ middle, middle[:2])


def test_rand_augment_has_one_strength_and_several_operations() -> None:
    augment = Augment(rand_augment=(2, 10))
    steps = list(policy_steps(augment, DRAWS))
    assert len(steps) == 2
    for step in steps:
        bright = step.amounts[step.kinds == Tone.BRIGHTNESS]
        assert set(bright.round(9)) == {0.7, 1.3}
        assert set(step.amounts[step.kinds == Tone.POSTERIZE]) == {8 - round(10 * 4 / 30)}
        assert set(step.amounts[step.kinds == Tone.SOLARIZE]) == {170}
    first, second = (slot[0] for slot in _slots(augment, DRAWS))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05


def test_movements_of_a_policy_become_one_matrix() -> None:
    augment = Augment(rand_augment=(3, 15))
    parts = policy_matrices(augment, DRAWS, height=HEIGHT, width=WIDTH)
    whole = pull_matrices(augment, DRAWS, height=HEIGHT, width=WIDTH)
    assert whole is not None
    for k in range(200):
        product = np.eye(3)
        for part in parts:
            product = product @ np.vstack([part[k], [0, 0, 1]])
        assert np.allclose(whole[k], product[:2])


def test_more_operations_do_not_change_the_first() -> None:
    one = next(policy_steps(Augment(rand_augment=(1, 9)), DRAWS))
    three = next(policy_steps(Augment(rand_augment=(3, 9)), DRAWS))
    assert np.array_equal(one.kinds, three.kinds)
    assert math.isclose(one.amounts.sum(), three.amounts.sum())
