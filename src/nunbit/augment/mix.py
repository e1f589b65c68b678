"""MixUp and CutMix: a picture and its target are mixed with another of the training set.

Source: Zhang et al. 2017, arXiv:1710.09412 (MixUp); Yun et al. 2019,
arXiv:1905.04899 (CutMix).
Departs: partner, share and box are drawn for each picture from (seed, epoch, picture
id), not for a batch; the partner is any training picture, not one of the batch. So
what a picture becomes does not depend on the batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.augment.draw import Column, Draws
from nunbit.augment.options import Augment
from nunbit.augment.patches import Boxes, box_mask

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MixPlan", "plan_mixing"]


@dataclass(frozen=True)
class MixPlan:
    """With what each picture of a batch is mixed, and how.

    Args:
        partners: int64 (B,) positions in the training set.
        share: float32 (B,) what stays of the picture's own target, 0..1.
        blend: float32 (B,) what stays of the picture's own pixels outside the box.
        boxes: (B, 4) what is taken from the partner; empty for MixUp.
    """

    partners: NDArray[np.int64]
    share: NDArray[np.float32]
    blend: NDArray[np.float32]
    boxes: Boxes

    def mix(self, pictures: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mix uint8 pictures (B, H, W, C) with those of their partners."""
        mixed = np.empty_like(pictures)
        parts = zip(pictures, others, mixed, self.blend.tolist(), self.boxes, strict=True)
        for picture, other, target, blend, (top, left, bottom, right) in parts:
            if blend < 1:
                found = cv2.addWeighted(picture, blend, other, 1 - blend, 0)
                target[...] = found.reshape(target.shape)
            else:
                target[...] = picture
                target[top:bottom, left:right] = other[top:bottom, left:right]
        return mixed

    def mix_torch(self, images: Tensor, others: Tensor) -> Tensor:
        """Do the same for images uint8 (B, C, H, W) on their device."""
        import torch

        blend = torch.from_numpy(self.blend).to(images.device).view(-1, 1, 1, 1)
        mixed = (images * blend + others * (1 - blend)).round().to(torch.uint8)
        return torch.where(box_mask(images, self.boxes), others, mixed)


def plan_mixing(
    augment: Augment,
    ids: Sequence[int] | NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    shape: tuple[int, int, int],
) -> MixPlan:
    """Draw the mixing of a batch.

    Args:
        ids: The picture ids; with seed and epoch they decide what is drawn.
        shape: Pictures to choose from, their height and width.
    """
    from scipy.special import betaincinv

    count, height, width = shape
    draws = Draws(ids, seed=seed, epoch=epoch)
    cut = draws.chance(Column.MIX_KIND) & (augment.cutmix > 0)
    if augment.mixup == 0:
        cut = np.full(len(draws), augment.cutmix > 0)
    alpha = np.where(cut, augment.cutmix, augment.mixup)
    share = np.ones(len(draws))
    if augment.mixes:
        share = betaincinv(alpha, alpha, draws.unit(Column.MIX_SHARE))  # Beta by its inverse
    side = np.where(cut, np.sqrt(1 - share), 0.0)
    middle_row = draws.integers(Column.MIX_ROW, height)
    middle_column = draws.integers(Column.MIX_COLUMN, width)
    tall, wide = (side * height).astype(np.int64), (side * width).astype(np.int64)
    top, left = middle_row - tall // 2, middle_column - wide // 2
    boxes = np.stack([top, left, top + tall, left + wide], 1).clip(
        0, [height, width, height, width]
    )
    covered = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
    own = np.where(cut, 1 - covered, share)
    return MixPlan(
        partners=draws.integers(Column.MIX_PARTNER, count),
        share=own.astype(np.float32),
        blend=np.where(cut, 1.0, share).astype(np.float32),
        boxes=boxes,
    )
