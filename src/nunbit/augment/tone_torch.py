"""The changes of :mod:`nunbit.augment.tone` for a batch, on the device where it is."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nunbit.augment.tone import SMOOTH, Step, Tone

__all__ = ["change_batch"]

_LUMINANCE = (9798, 19235, 3735)
"""Red, green, blue in 32,768ths, as OpenCV has them."""


def change_batch(images: Tensor, step: Step) -> Tensor:
    """Return the batch with one change of each picture.

    Shape:
        images: uint8 (B, C, H, W); not changed.
        returns: uint8 (B, C, H, W).
    """
    kinds = [Tone(k) for k in np.unique(step.kinds) if k != Tone.NONE]
    changed = images.clone() if len(kinds) > 1 or (step.kinds == Tone.NONE).any() else images
    for kind in kinds:
        if kind in (Tone.SATURATION, Tone.HUE) and images.shape[1] != 3:
            continue
        rows = np.flatnonzero(step.kinds == kind)
        amounts = torch.from_numpy(step.amounts[rows].astype(np.float32)).to(images.device)
        if len(rows) == len(images):
            return _change(images, kind, amounts.view(-1, 1, 1, 1))
        places = torch.from_numpy(rows).to(images.device)
        changed[places] = _change(images[places], kind, amounts.view(-1, 1, 1, 1))
    return changed


def _change(images: Tensor, kind: Tone, amount: Tensor) -> Tensor:
    """Do one kind of change; ``amount`` is float32 (b, 1, 1, 1)."""
    if kind == Tone.POSTERIZE:
        return images & (256 - 2 ** (8 - amount)).to(torch.uint8)
    if kind == Tone.SOLARIZE:
        return torch.where(images >= amount, 255 - images, images)
    if kind == Tone.EQUALIZE:
        return _equalize(images)
    values = images.float()
    if kind == Tone.CHANNEL_SHIFT:
        low, high = values.amin((1, 2, 3), True), values.amax((1, 2, 3), True)
        return torch.clamp((values + amount + 0.5).floor(), low, high).to(torch.uint8)
    if kind == Tone.BRIGHTNESS:
        return (values * amount).clamp(0, 255).to(torch.uint8)
    if kind == Tone.CONTRAST:
        grey = _grey(images)
        count = grey[0].numel()
        mean = (2 * grey.sum((1, 2, 3), True) + count) // (2 * count)
        return _round(values * amount + (1 - amount) * mean)
    if kind == Tone.SATURATION:
        return _round(values * amount + (1 - amount) * _grey(images))
    if kind == Tone.HUE:
        return _round(_turn_hue(values, amount))
    if kind == Tone.SHARPNESS:
        return _round(values * amount + (1 - amount) * _smooth(values))
    low, high = values.amin((2, 3), True), values.amax((2, 3), True)  # autocontrast
    stretched = (values - low) * (255 / (high - low).clamp(min=1))
    return torch.where(high > low, _round(stretched), images)


def _round(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Return the luminance int64 (b, 1, H, W) of colour pictures; other channels as they are."""
    if images.shape[1] != 3:
        return images.long()
    weights = torch.tensor(_LUMINANCE, device=images.device).view(1, 3, 1, 1)
    return ((images.long() * weights).sum(1, keepdim=True) + 16384) >> 15


def _turn_hue(values: Tensor, amount: Tensor) -> Tensor:
    """Turn the hue of (b, 3, H, W) in hue, saturation, value, and come back."""
    most, least = values.amax(1), values.amin(1)
    spread = most - least
    safe = spread.clamp(min=1e-12)
    red, green, blue = values.unbind(1)
    sixth = torch.where(
        most == red,
        (green - blue) / safe,
        torch.where(most == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = torch.where(spread > 0, sixth, torch.zeros_like(sixth)) + 6 * amount[:, 0]
    planes = []
    for start in (5, 3, 1):
        k = (start + sixth).remainder(6)
        planes.append(most - spread * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(planes, 1)


def _smooth(values: Tensor) -> Tensor:
    channels = values.shape[1]
    if min(values.shape[2:]) < 3:
        return values
    kernel = torch.from_numpy(SMOOTH).to(values.device).expand(channels, 1, 3, 3)
    smooth = values.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(values, kernel, groups=channels).round()
    return smooth


def _equalize(images: Tensor) -> Tensor:
    planes = images.flatten(2).long()  # (b, C, H * W)
    ones = torch.ones_like(planes)
    counts = torch.zeros(*planes.shape[:2], 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(2, planes, ones)
    brightest = planes.amax(2, keepdim=True)
    step = (planes.shape[2] - counts.gather(2, brightest)) // 255
    before = counts.cumsum(2) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp(0, 255)
    levels = torch.arange(256, device=images.device).expand_as(table)
    table = torch.where(step > 0, table, levels)
    return table.gather(2, planes).view_as(images).to(torch.uint8)
