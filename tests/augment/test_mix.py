"""MixUp and CutMix: partners from the whole set, shares that say what is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from nunbit.augment import Augment
from nunbit.augment.draw import Column, Draws
from nunbit.augment.mix import MixPlan

SHAPE = (500, 24, 36)


def plan(augment: Augment, ids: Any = range(3000), seed: int = 0, epoch: int = 0) -> MixPlan:
    return augment.plan_mixing(ids, seed=seed, epoch=epoch, shape=SHAPE)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_mixup_shares_follow_the_beta_distribution(alpha: float) -> None:
    found = plan(Augment(mixup=alpha))
    assert stats.kstest(found.share, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert np.array_equal(found.share, found.blend)
    assert not (found.boxes[:, 2:] - found.boxes[:, :2]).any()


def test_partners_come_from_the_whole_set_evenly() -> None:
    found = np.bincount(plan(Augment(mixup=1.0), range(25_000)).partners, minlength=SHAPE[0])
    assert len(found) == SHAPE[0]
    assert stats.chisquare(found).pvalue > 1e-3


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 1, "cutmix": 1}])
def test_a_plan_belongs_to_the_picture_alone(options: dict[str, float]) -> None:
    augment = Augment(**options)
    whole, alone = plan(augment, range(40)), plan(augment, [17])
    for name in ("partners", "share", "blend", "boxes"):
        assert np.array_equal(getattr(whole, name)[17:18], getattr(alone, name))
    assert not np.array_equal(whole.partners, plan(augment, range(40), epoch=1).partners)
    assert not np.array_equal(whole.partners, plan(augment, range(40), seed=1).partners)


def test_cutmix_shares_are_what_the_box_leaves() -> None:
    found = plan(Augment(cutmix=1.0))
    top, left, bottom, right = found.boxes.T
    area = (bottom - top) * (right - left) / (SHAPE[1] * SHAPE[2])
    assert np.allclose(found.share, 1 - area)
    assert (found.blend == 1).all()
    assert found.boxes.min() == 0
    assert bottom.max() == SHAPE[1]
    assert right.max() == SHAPE[2]
    assert 0.5 < found.share.mean() < 0.75  # boxes are cut at the border


def test_both_together_are_each_half_of_the_time() -> None:
    both, up, cut = (plan(Augment(**o)) for o in (BOTH, {"mixup": 0.3}, {"cutmix": 1.0}))
    is_cut = Draws(range(3000), seed=0, epoch=0).chance(Column.MIX_KIND)
    assert is_cut.mean() == pytest.approx(0.5, abs=0.03)
    assert np.array_equal(both.share[is_cut], cut.share[is_cut])
    assert np.array_equal(both.share[~is_cut], up.share[~is_cut])


BOTH = {"mixup": 0.3, "cutmix": 1.0}


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_mixed_as_planned_here_and_on_the_device(channels: int) -> None:
    rng = np.random.default_rng(0)
    own, other = rng.integers(0, 256, (2, 40, *SHAPE[1:], channels), dtype=np.uint8)
    found = plan(Augment(**BOTH), range(40))
    mixed = found.mix(own, other)
    for k in range(40):
        top, left, bottom, right = found.boxes[k]
        expected = found.blend[k] * own[k].astype(float) + (1 - found.blend[k]) * other[k]
        expected[top:bottom, left:right] = other[k, top:bottom, left:right]
        assert abs(mixed[k] - expected).max() <= 0.51
    images = [torch.from_numpy(each).permute(0, 3, 1, 2) for each in (own, other)]
    there = found.mix_torch(*images).permute(0, 2, 3, 1).numpy()
    assert abs(there.astype(int) - mixed).max() <= 1
    assert (there != mixed).mean() < 1e-3
