"""How augmentation reaches training: by threads before a batch leaves, or on the device.

What changes every picture in the same way (rescale, featurewise centre and spread)
is no augmentation: validation and prediction need it, too. It becomes part of the
model's preprocessing, or is refused where a model file cannot carry it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from nunbit.augment import Augment
from nunbit.augment.standardize import STD_FLOOR
from nunbit.data.batches import Batch, Mixing, Mover
from nunbit.data.pictures import Pictures
from nunbit.data.preprocessing import Preprocessing
from nunbit.errors import OptionError, name_list
from nunbit.model import Model
from nunbit.tasks import Task

__all__ = ["Augmenting", "make_augmenting", "take_over_normalising"]

CARRIED = ("rescale", "featurewise_center", "featurewise_std_normalization")
"""Options that a model file can keep, as mean and std."""


@dataclass(frozen=True)
class Augmenting:
    """Augmentation where it is to happen; all None where nothing is on."""

    move: Mover | None = None
    mixing: Mixing | None = None
    on_device: Callable[[Batch, Tensor], Tensor] | None = None


def make_augmenting(
    augment: Augment,
    *,
    task: Task,
    seed: int,
    shape: tuple[int, int, int],
    on_device: bool,
) -> Augmenting:
    """Return what the batches and the loop call.

    Args:
        shape: Training pictures, their height and width.
        on_device: Whether the device augments; splines of higher order stay with
            the threads, as no device has them.
    """
    if augment.is_identity:
        return Augmenting()
    on_device = on_device and augment.interpolation_order <= 1

    def move(pixels: Any, ids: Any, epoch: int) -> Any:
        return augment.apply(pixels, ids=ids, seed=seed, epoch=epoch)

    def plan(ids: Any, epoch: int) -> Any:
        return augment.plan_mixing(ids, seed=seed, epoch=epoch, shape=shape)

    def augment_batch(batch: Batch, images: Tensor) -> Tensor:
        ids, epoch = batch.ids, batch.epoch
        if augment.changes:
            images = augment.apply_torch(images, ids=ids, seed=seed, epoch=epoch)  # type: ignore[arg-type]
        if batch.partners is None:
            return images
        others = batch.partners.images.to(images.device, non_blocking=True)
        if augment.changes:
            others = augment.apply_torch(others, ids=batch.partners.ids, seed=seed, epoch=epoch)  # type: ignore[arg-type]
        mixed: Tensor = plan(ids, epoch).mix_torch(images, others)
        return mixed

    return Augmenting(
        move=move if augment.changes and not on_device else None,
        mixing=Mixing(plan, task.mix, on_device) if augment.mixes else None,
        on_device=augment_batch if on_device else None,
    )


def take_over_normalising(augment: Augment, model: Model, pictures: Pictures) -> None:
    """Make rescale and featurewise options part of the model's preprocessing.

    Raises:
        OptionError: An option cannot be kept in a model file or belongs elsewhere, or
            the model has been trained with another normalisation.
    """
    problems = _misplaced(augment)
    if problems:
        raise OptionError(" ".join(problems))
    if not augment.standardizes:
        return
    mean, std = _mean_and_std(augment, pictures.preprocessing)
    has = model.preprocessing
    if "trained_on" not in model.facts:
        model.preprocessing = replace(has, mean=mean, std=std)
    elif not (np.allclose(has.mean, mean) and np.allclose(has.std, std)):
        raise OptionError(
            f"the network was trained with its own normalisation (mean {has.mean}, std {has.std}); "
            f"leave out {name_list(f'`{name}`' for name in augment.standardizes)}."
        )


def _misplaced(augment: Augment) -> list[str]:
    problems = []
    foreign = [name for name in augment.standardizes if name not in CARRIED]
    if foreign:
        problems.append(
            f"a model file cannot carry {name_list(f'`{name}`' for name in foreign)}, and "
            "prediction would need it. Prepare the pictures so before training, or use "
            "`nunbit.keras.ImageDataGenerator` with Keras."
        )
    if augment.validation_split:
        problems.append(
            f"`validation_split` is {augment.validation_split!r}: training takes the split from "
            "the pictures. Pass `nunbit.load(..., options=nunbit.DataOptions("
            f'validation={augment.validation_split!r}, split="position"))`.'
        )
    if augment.data_format != "channels_last":
        problems.append(
            f"`data_format` is {augment.data_format!r}, expected `channels_last` in training."
        )
    if augment.dtype != "float32":
        problems.append(
            f"`dtype` is {augment.dtype!r}: training computes as `precision` says. Leave it out."
        )
    return problems


def _mean_and_std(
    augment: Augment, found: Preprocessing
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of pixels in 0..1 that do what rescale and featurewise options ask.

    (x * rescale - m) / s is (x / 255 - m / f) / (s / f) with f = 255 * rescale.

    Args:
        found: Its mean and std are those of the training pictures.
    """
    factor = 255 * (augment.rescale or 1.0)
    mean, std = np.zeros(found.channels), np.full(found.channels, 1 / factor)
    if augment.featurewise_center or augment.featurewise_std_normalization:
        mean = np.array(found.mean)
    if augment.featurewise_std_normalization:
        std = np.array(found.std) + STD_FLOOR / factor
    return tuple(mean.tolist()), tuple(std.tolist())
