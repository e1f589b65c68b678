"""Random erasing and cutout: which boxes, and what is painted there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nunbit.augment import Augment
from nunbit.augment.draw import Draws
from nunbit.augment.patches import box_mask, cutout_boxes, erasing_boxes

HEIGHT, WIDTH = 40, 56


def pictures(count: int = 30, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 200, (count, HEIGHT, WIDTH, channels), dtype=np.uint8)


def test_erased_boxes_have_the_papers_area_and_aspect() -> None:
    augment = Augment(random_erasing=0.5)
    draws = Draws(range(4000), seed=0, epoch=0)
    boxes = erasing_boxes(augment, draws, height=HEIGHT, width=WIDTH)
    tall, wide = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    erased = tall > 0
    assert erased.mean() == pytest.approx(0.5, abs=0.03)
    assert boxes.min() == 0
    assert boxes[:, 2].max() == HEIGHT
    assert boxes[:, 3].max() == WIDTH
    area = (tall * wide)[erased] / (HEIGHT * WIDTH)
    assert 0.015 < area.min() < 0.025
    assert 0.35 < area.max() <= 0.41
    whole = erased & (tall < HEIGHT) & (wide < WIDTH)
    aspect = tall[whole] / wide[whole]
    assert 0.25 < aspect.min() < 0.35
    assert 2.8 < aspect.max() < 4


def test_erased_boxes_hold_noise_and_the_rest_is_untouched() -> None:
    augment, before = Augment(random_erasing=1.0, erasing_area=(0.3, 0.4)), pictures()
    after = augment.apply(before, ids=range(30), seed=0, epoch=0)
    boxes = erasing_boxes(augment, Draws(range(30), seed=0, epoch=0), height=HEIGHT, width=WIDTH)
    values = []
    for was, now, (top, left, bottom, right) in zip(before, after, boxes, strict=True):
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[top:bottom, left:right] = False
        assert np.array_equal(was[outside], now[outside])
        values.append(now[top:bottom, left:right].ravel())
    noise = np.concatenate(values)
    counts = np.bincount(noise, minlength=256)
    assert counts.min() > 0.6 * counts.mean()
    assert abs(np.corrcoef(noise[:-3], noise[3:])[0, 1]) < 0.02
    assert len({v[:50].tobytes() for v in values}) == 30, "each its own"


def test_cutout_paints_the_mean_and_may_reach_beyond_the_border() -> None:
    augment, before = Augment(cutout=15), pictures(200)
    after = augment.apply(before, ids=range(200), seed=0, epoch=0)
    boxes = cutout_boxes(augment, Draws(range(200), seed=0, epoch=0), height=HEIGHT, width=WIDTH)
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    assert sizes.max() == 225
    assert sizes.min() < 150
    for was, now, (top, left, bottom, right) in zip(before, after, boxes, strict=True):
        mean = was.reshape(-1, 3).astype(int).sum(0) // (HEIGHT * WIDTH)
        assert (now[top:bottom, left:right] == mean).all()
        assert ((now != was).any(2).sum()) <= sizes.max()
    middles = boxes[sizes == 225][:, :2]
    assert len(np.unique(middles, axis=0)) > 0.8 * len(middles)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_any_number_of_channels(channels: int) -> None:
    augment, before = Augment(cutout=9, random_erasing=1.0), pictures(5, channels)
    here = augment.apply(before, ids=range(5), seed=0, epoch=0)
    images = torch.from_numpy(before).permute(0, 3, 1, 2)
    there = augment.apply_torch(images, ids=range(5), seed=0, epoch=0)
    assert np.array_equal(there.permute(0, 2, 3, 1).numpy(), here)


def test_masks_are_the_boxes() -> None:
    boxes = np.array([[0, 0, 0, 0], [1, 2, 3, 5], [0, 0, 4, 6]])
    masks = box_mask(torch.zeros(3, 1, 4, 6), boxes)[:, 0].numpy()
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        expected = np.zeros((4, 6), bool)
        expected[top:bottom, left:right] = True
        assert np.array_equal(mask, expected)
