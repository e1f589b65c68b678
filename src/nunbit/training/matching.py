"""Whether a model and pictures fit each other, before the first step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nunbit.create import check_trainable, preprocessing_with
from nunbit.data.pictures import Pictures
from nunbit.errors import OptionError, name_list
from nunbit.model import Model
from nunbit.training.options import TrainOptions

__all__ = ["check_lone_pictures", "match"]


def match(model: Model, pictures: Pictures) -> None:
    """Check that the pictures are what the network takes; hand over the preprocessing."""
    check_trainable(pictures.table)
    has, gets = model.preprocessing, pictures.preprocessing
    if (has.image_size, has.channels) != (gets.image_size, gets.channels):
        raise OptionError(
            f"the network takes {has.image_size}×{has.image_size} pictures with {has.channels} "
            f"channels, got {gets.image_size}×{gets.image_size} with {gets.channels}. Pass "
            f"`create_model(..., image_size={gets.image_size}, channels={gets.channels})`."
        )
    if "trained_on" not in model.facts:
        if set(model.classes) == set(pictures.classes) and "weights" in model.facts:
            _check_order(model, pictures)
        model.preprocessing, model.whitening = preprocessing_with(model, gets), None
        model.task = model.task.with_names(pictures.classes, pictures.table.titles)
    elif tuple(pictures.classes) != model.classes:
        raise OptionError(
            f"the network was trained for {name_list(model.classes)}; the pictures show "
            f"{name_list(pictures.classes)}. Make a new model with `create_model`."
        )
    elif has.fit != gets.fit:
        raise OptionError(
            f"the network was trained on pictures made square by `{has.fit}`, these are by "
            f'`{gets.fit}`. Pass `nunbit.load(..., fit="{has.fit}")`.'
        )


def _check_order(model: Model, pictures: Pictures) -> None:
    """Refuse to give outputs that mean something already the names of others."""
    if model.classes != tuple(pictures.classes):
        raise OptionError(
            f"the weights are for {name_list(model.classes)} in this order, the pictures show "
            f"{name_list(pictures.classes)}. Pass `create_model(..., classes=pictures.classes)`, "
            "which puts them in order."
        )


def check_lone_pictures(model: Model, batch: int, options: TrainOptions) -> None:
    """Refuse to train on single pictures where batch norm would see a single value.

    Args:
        batch: Pictures in the smallest batch.
    Raises:
        OptionError: A part of a batch is one picture, and a map that is normalised one cell.
    """
    if batch // options.accumulate > 1:
        return
    lone: list[str] = []

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0][0, 0].numel() == 1:
            lone.append(type(norm).__name__)

    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    hooks = [
        m.register_forward_pre_hook(look) for m in model.network.modules() if isinstance(m, norms)
    ]
    if hooks:
        _pass_one(model, side=options.first_size or model.preprocessing.image_size)
    for hook in hooks:
        hook.remove()
    if lone:
        raise OptionError(
            f"network `{model.network_name}` normalises over the batch, and its last maps are one "
            f"cell: it cannot be trained on 1 picture at a time (batches of {batch}, in "
            f"{options.accumulate} parts). Pass `--batch-size 2` or more, a smaller "
            "`--accumulate`, or a larger `--image-size`."
        )


@torch.inference_mode()
def _pass_one(model: Model, *, side: int) -> None:
    """Pass one picture through the network, as in prediction."""
    was_training = model.network.training
    model.network.eval()
    model.network(torch.zeros(1, model.preprocessing.channels, side, side, device=model.device))
    model.network.train(was_training)
