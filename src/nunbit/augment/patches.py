"""Boxes of a picture that are painted over or replaced.

Source: Zhong et al. 2017, arXiv:1708.04896 (random erasing); DeVries & Taylor 2017,
arXiv:1708.04552 (cutout).
Departs: a box that would be larger than the picture is cut, not drawn again; tall
and wide boxes are equally likely; cutout paints the picture's own mean, where the
paper has the mean of all training pictures.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.augment.draw import Column, Draws, uniforms
from nunbit.augment.options import Augment

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Boxes", "box_mask", "cutout_boxes", "erasing_boxes", "paint", "paint_torch"]

Boxes = NDArray[np.int64]
"""(B, 4): top, left, bottom, right; bottom and right are the first beyond."""

NOISE_VALUES = 1 << 16
"""Length of the fixed row of noise from which each erased box reads its own stretch."""


@functools.cache
def _noise() -> NDArray[np.uint8]:
    """Return the row of noise, the same in every run."""
    numbers = uniforms(np.arange(NOISE_VALUES), seed=0, epoch=0, columns=1)
    return (numbers[:, 0] * 256).astype(np.uint8)


def erasing_boxes(augment: Augment, draws: Draws, *, height: int, width: int) -> Boxes:
    """Draw the boxes of random erasing; empty for the pictures that are spared."""
    area = draws.between(Column.ERASING_AREA, *augment.erasing_area) * height * width
    aspect = np.exp(draws.between(Column.ERASING_ASPECT, *map(math.log, augment.erasing_aspect)))
    tall = np.minimum(np.round(np.sqrt(area * aspect)), height)
    wide = np.minimum(np.round(np.sqrt(area / aspect)), width)
    chosen = draws.chance(Column.ERASING, augment.random_erasing)
    tall, wide = np.where(chosen, tall, 0), np.where(chosen, wide, 0)
    top = np.floor(draws.unit(Column.ERASING_ROW) * (height - tall + 1))
    left = np.floor(draws.unit(Column.ERASING_COLUMN) * (width - wide + 1))
    return np.stack([top, left, top + tall, left + wide], 1).astype(np.int64)


def cutout_boxes(augment: Augment, draws: Draws, *, height: int, width: int) -> Boxes:
    """Draw the squares of cutout; their middle lies in the picture, they may reach beyond."""
    top = draws.integers(Column.CUTOUT_ROW, height) - augment.cutout // 2
    left = draws.integers(Column.CUTOUT_COLUMN, width) - augment.cutout // 2
    boxes = np.stack([top, left, top + augment.cutout, left + augment.cutout], 1)
    return boxes.clip(0, [height, width, height, width])


def paint(pictures: NDArray[np.uint8], augment: Augment, draws: Draws) -> None:
    """Erase and cut out, in place, in pictures uint8 (B, H, W, C)."""
    height, width, channels = pictures.shape[1:]
    if augment.random_erasing:
        starts = draws.integers(Column.ERASING_NOISE, NOISE_VALUES)
        boxes = erasing_boxes(augment, draws, height=height, width=width)
        places = np.arange(height * width * channels).reshape(height, width, channels)
        for picture, (top, left, bottom, right), start in zip(pictures, boxes, starts, strict=True):
            inside = places[top:bottom, left:right] + start
            picture[top:bottom, left:right] = _noise()[inside % NOISE_VALUES]
    if augment.cutout:
        boxes = cutout_boxes(augment, draws, height=height, width=width)
        for picture, (top, left, bottom, right) in zip(pictures, boxes, strict=True):
            picture[top:bottom, left:right] = _mean(picture)


def _mean(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the mean of each channel, rounded down."""
    height, width, channels = picture.shape
    if channels <= 4:  # five times as quick as NumPy
        total = np.asarray(cv2.sumElems(picture)[:channels])
    else:
        total = picture.sum(axis=(0, 1), dtype=np.float64)
    mean: NDArray[np.int64] = total.astype(np.int64) // (height * width)
    return mean


def paint_torch(images: Tensor, augment: Augment, draws: Draws) -> Tensor:
    """Do the same for images uint8 (B, C, H, W) on their device; they are not changed."""
    import torch

    channels, height, width = images.shape[1:]
    if augment.random_erasing:
        starts = torch.from_numpy(draws.integers(Column.ERASING_NOISE, NOISE_VALUES))
        boxes = erasing_boxes(augment, draws, height=height, width=width)
        places = torch.arange(height * width * channels).view(height, width, channels)
        places = places.permute(2, 0, 1).to(images.device)
        noise = torch.from_numpy(_noise()).to(images.device)
        found = noise[(places + starts.to(images.device).view(-1, 1, 1, 1)) % NOISE_VALUES]
        images = torch.where(box_mask(images, boxes), found, images)
    if augment.cutout:
        boxes = cutout_boxes(augment, draws, height=height, width=width)
        mean = images.long().sum((2, 3), keepdim=True) // (height * width)
        images = torch.where(box_mask(images, boxes), mean.to(torch.uint8), images)
    return images


def box_mask(images: Tensor, boxes: Boxes) -> Tensor:
    """Return where the boxes are: bool (B, 1, H, W), on the device of ``images``."""
    import torch

    height, width = images.shape[2:]
    edges = torch.from_numpy(boxes).to(images.device)[:, :, None]  # (B, 4, 1)
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    down = (rows >= edges[:, 0]) & (rows < edges[:, 2])  # (B, H)
    across = (columns >= edges[:, 1]) & (columns < edges[:, 3])
    return (down[:, :, None] & across[:, None, :])[:, None]
