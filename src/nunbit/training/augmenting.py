"""How augmentation reaches training: by threads before a batch leaves, or on the device.

What changes every picture in the same way (rescale, featurewise, samplewise, ZCA) is
no augmentation: validation and prediction need it, too. It becomes part of the model,
or is refused where a model file cannot carry it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nunbit.augment import Augment
from nunbit.augment.statistics import STD_FLOOR, zca_matrix
from nunbit.data.batches import Batch, Mixing, Mover
from nunbit.data.pictures import Pictures
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.streaming import StreamedPixels
from nunbit.errors import OptionError, name_list
from nunbit.model import Model
from nunbit.tasks import Task

__all__ = ["Augmenting", "make_augmenting", "take_over_normalising"]

ZCA_VALUES = 4_096
"""Values of a picture up to which the ZCA matrix is carried; it takes 67 MB then."""
ZCA_PICTURES = 10_000
"""Training pictures that the ZCA matrix is made from, evenly spread."""


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

    def move(pictures: Any, ids: Any, epoch: int, out: Any) -> None:
        augment.apply(pictures, ids=ids, seed=seed, epoch=epoch, out=out)

    def plan(ids: Any, epoch: int) -> Any:
        return augment.plan_mixing(ids, seed=seed, epoch=epoch, shape=shape)

    def augment_batch(batch: Batch, images: Tensor) -> Tensor:
        ids, epoch = batch.ids, batch.epoch  # batches of training always have ids
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
    """Make rescale, featurewise, samplewise and ZCA options part of the model.

    Raises:
        OptionError: An option cannot be kept in a model file or belongs elsewhere, or
            the model has been trained with another normalisation.
    """
    problems = _misplaced(augment, pictures)
    if problems:
        raise OptionError(" ".join(problems))
    if not augment.standardizes:
        return
    whitening = None
    if augment.zca_whitening:
        mean, std, whitening = _whiten(augment, pictures)
    else:
        mean, std = _mean_and_std(augment, pictures.preprocessing)
    wanted = replace(
        model.preprocessing,
        mean=mean,
        std=std,
        samplewise_center=augment.samplewise_center,
        samplewise_std_normalization=augment.samplewise_std_normalization,
    )
    if not {"trained_on", "weights"} & set(model.facts):
        model.preprocessing, model.whitening = wanted, whitening
        return
    differences = _differences(model, wanted, whitening)
    if differences:
        raise OptionError(
            f"the network was trained with its own normalisation ({'; '.join(differences)}); "
            f"leave out {name_list(f'`{name}`' for name in augment.standardizes)}."
        )


def _differences(model: Model, wanted: Preprocessing, whitening: Tensor | None) -> list[str]:
    """Tell where a trained model normalises in another way than is asked for."""
    has, found = model.preprocessing, []
    for name in ("mean", "std", "samplewise_center", "samplewise_std_normalization"):
        old, new = getattr(has, name), getattr(wanted, name)
        if not np.allclose(old, new):
            found.append(f"{name} {_show(old)}, now asked for {_show(new)}")
    old_matrix = model.whitening
    if (old_matrix is None) != (whitening is None):
        had, asked = ("without", "with") if old_matrix is None else ("with", "without")
        found.append(f"{had} ZCA, now asked for {asked}")
    elif old_matrix is not None and whitening is not None:
        size = float(old_matrix.abs().max())
        if not np.allclose(old_matrix.cpu(), whitening, rtol=1e-4, atol=1e-4 * size):
            found.append("with another ZCA matrix")
    return found


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"({', '.join(f'{each:.4g}' for each in value)})"


def _misplaced(augment: Augment, pictures: Pictures) -> list[str]:
    problems = []
    if augment.preprocessing_function is not None:
        problems.append(
            "a model file cannot carry `preprocessing_function`, and prediction would need it. "
            "Prepare the pictures so before training, or use `nunbit.keras.ImageDataGenerator` "
            "with Keras."
        )
    on = augment.standardizes
    both = [name for name in on if name.startswith(("samplewise", "feature", "zca"))]
    if len({name[:5] == "sampl" for name in both}) > 1:
        problems.append(
            f"{name_list(f'`{name}`' for name in both)} together: expected either a picture's own "
            "numbers (samplewise) or those of all pictures. Leave one kind out."
        )
    made = pictures.preprocessing
    values = made.image_size**2 * made.channels
    if augment.zca_whitening and values > ZCA_VALUES:
        problems.append(
            f"`zca_whitening` needs a matrix of {values:,} × {values:,} numbers for pictures of "
            f"{made.image_size}×{made.image_size}, expected at most {ZCA_VALUES:,} values a "
            "picture. Take a smaller `image_size`, or featurewise options."
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


def _whiten(
    augment: Augment, pictures: Pictures
) -> tuple[tuple[float, ...], tuple[float, ...], Tensor]:
    """Return mean and std of pixels in 0..1 for centred, rescaled values, and the ZCA matrix."""
    train = pictures.train
    places = np.linspace(0, len(train) - 1, min(ZCA_PICTURES, len(train))).astype(np.int64)
    rows = train.rows[np.unique(places)]
    decoded = train.pixels
    found = decoded.readable(rows) if isinstance(decoded, StreamedPixels) else decoded[rows]
    if not len(found):
        raise OptionError("`zca_whitening` found no picture that can be read.")
    factor, mean = augment.rescale or 1.0, found.mean((0, 1, 2), dtype=np.float64)  # (C,)
    matrix = zca_matrix(
        found.reshape(len(found), -1),
        epsilon=augment.zca_epsilon,
        mean=np.tile(mean, found[0].size // len(mean)),
        factor=factor,
    )
    std = (1 / (255 * factor),) * len(mean)
    return tuple((mean / 255).tolist()), std, torch.from_numpy(matrix.astype(np.float32))


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
