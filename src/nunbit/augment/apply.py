"""All of augmentation in order: one warp, then changes of tone, then patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nunbit.augment.draw import Column, Draws
from nunbit.augment.geometry import pull_matrices
from nunbit.augment.options import Augment
from nunbit.augment.patches import paint, paint_torch
from nunbit.augment.policies import policy_steps
from nunbit.augment.tone import Step, Tone, change
from nunbit.augment.warp import Pictures, warp_batch, warp_torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["apply", "apply_torch", "tone_steps"]

_JITTER = (
    (Tone.BRIGHTNESS, Column.JITTER_BRIGHTNESS),
    (Tone.CONTRAST, Column.JITTER_CONTRAST),
    (Tone.SATURATION, Column.JITTER_SATURATION),
    (Tone.HUE, Column.JITTER_HUE),
)


def tone_steps(augment: Augment, draws: Draws) -> Iterator[Step]:
    """Yield the changes of tone: those of Keras, colour jitter, those of a policy.

    Source: torchvision's ``ColorJitter`` for the ranges of the jitter.
    Departs: the jitter's four parts come in one order; torchvision draws it.
    """

    def step(kind: Tone, amounts: NDArray[np.float64]) -> Step:
        return Step(np.full(len(draws), int(kind)), amounts)

    if augment.channel_shift_range:
        reach = augment.channel_shift_range
        yield step(Tone.CHANNEL_SHIFT, draws.between(Column.CHANNEL_SHIFT, -reach, reach))
    if augment.brightness_range is not None:
        factors = draws.between(Column.BRIGHTNESS, *augment.brightness_range)
        yield step(Tone.BRIGHTNESS, factors)
    for reach, (kind, column) in zip(augment.colour_jitter or (), _JITTER, strict=False):
        if reach and kind == Tone.HUE:
            yield step(kind, draws.between(column, -reach, reach))
        elif reach:
            yield step(kind, draws.between(column, max(0, 1 - reach), 1 + reach))
    yield from policy_steps(augment, draws)


def apply(
    augment: Augment,
    pictures: Pictures,
    *,
    ids: Sequence[int] | NDArray[np.int64],
    seed: int,
    epoch: int,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Change each picture of a batch in its own way; see :meth:`Augment.apply`."""
    if not len(pictures):
        return np.array(pictures, np.uint8)
    draws = Draws(ids, seed=seed, epoch=epoch)
    height, width = pictures[0].shape[:2]
    matrices = pull_matrices(augment, draws, height=height, width=width)
    if matrices is None:
        changed = np.empty((len(pictures), *pictures[0].shape), np.uint8) if out is None else out
        for target, picture in zip(changed, pictures, strict=True):
            target[...] = picture
    else:
        changed = warp_batch(
            pictures,
            matrices,
            fill_mode=augment.fill_mode,
            cval=augment.cval,
            order=augment.interpolation_order,
            out=out,
        )
    for step in tone_steps(augment, draws):
        for picture, kind, amount in zip(changed, step.kinds, step.amounts.tolist(), strict=True):
            if kind != Tone.NONE:
                picture[...] = change(picture, Tone(kind), amount)
    paint(changed, augment, draws)
    return changed


def apply_torch(
    augment: Augment,
    images: Tensor,
    *,
    ids: Sequence[int] | NDArray[np.int64],
    seed: int,
    epoch: int,
) -> Tensor:
    """Do the same on the device where the images are; see :meth:`Augment.apply_torch`."""
    import torch

    from nunbit.augment.tone_torch import change_batch

    if augment.interpolation_order > 1:  # splines exist on the processor only
        pictures = np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
        changed = apply(augment, pictures, ids=ids, seed=seed, epoch=epoch)
        return torch.from_numpy(changed).permute(0, 3, 1, 2).to(images.device)
    draws = Draws(ids, seed=seed, epoch=epoch)
    height, width = images.shape[2:]
    matrices = pull_matrices(augment, draws, height=height, width=width)
    if matrices is not None:
        images = warp_torch(
            images,
            matrices,
            fill_mode=augment.fill_mode,
            cval=augment.cval,
            order=augment.interpolation_order,
        )
    for step in tone_steps(augment, draws):
        images = change_batch(images, step)
    return paint_torch(images, augment, draws)
