"""``create_model``: a model with fresh weights, or with those that somebody trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from nunbit.data.options import Fit
from nunbit.data.pictures import Pictures
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.table import PictureTable
from nunbit.errors import OptionError
from nunbit.model import Model
from nunbit.networks import (
    Pretrained,
    convert_keys,
    create_network,
    find_network,
    head_outputs,
    load_weights,
    open_weights,
)
from nunbit.tasks import Classification

__all__ = ["check_trainable", "create_model", "create_model_for", "preprocessing_with"]


def create_model(
    network: str = "auto",
    *,
    classes: Sequence[str] | int | None = None,
    weights: str | os.PathLike[str] | Pretrained | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    fit: Fit | None = None,
    head: Literal["softmax", "sigmoid"] = "softmax",
    network_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Model:
    """Make a model with fresh weights, or with those that somebody trained.

    Published weights bring along what was done to pictures before they met them: size,
    mean, spread, and the part that is cut out. For grey pictures the first convolution
    is summed over the colours. The last layer is fresh where the number of classes is
    not that of the weights.

    Args:
        network: A name that ``nunbit networks`` lists, or ``timm/NAME``.
        classes: Names in the order of the outputs, or their number; default: those of
            the weights.
        weights: ``imagenet``, another name that ``nunbit networks --weights`` lists, or
            the path of a file (.pth, .safetensors) or a run folder; or what
            :func:`nunbit.networks.open_weights` has opened.
        image_size: Side of the pictures in pixels; default: the weights', else the
            network's own.
        channels: 1 = grey, 3 = RGB; default: the network's own.
        fit: How a picture that is no square becomes one; default: as the weights want
            it, else ``squash``.
        head: ``sigmoid`` gives two classes one output instead of two.
        network_options: The network's own, as ``nunbit networks NAME`` lists them.
        seed: The weights depend on it alone.
    Raises:
        OptionError: Unknown network or option of it, or a value out of range.
        ShapeError: The pictures are too small for the network.
        ModelFileError: The weights cannot be had, are damaged, or another network's.

    Example:
        >>> model = create_model("mlp", classes=10)
        >>> model.parameters
        407050
    """
    info = find_network(network)
    if isinstance(classes, str):
        raise OptionError(f"classes takes a list of names or a number, got {classes!r}.")
    given = weights
    if given is not None and not isinstance(given, Pretrained):
        given = open_weights(network, given)
    options = {**(given.options if given else {}), **(network_options or {})}
    size = image_size
    if size is None:
        size = (given.image_size if given else None) or info.image_size
    preprocessing = _preprocessing_for(
        given,
        image_size=size,
        channels=info.channels if channels is None else channels,
        fit=fit,
    )

    def make(outputs: int) -> nn.Module:
        return create_network(
            network,
            outputs=outputs,
            channels=preprocessing.channels,
            image_size=preprocessing.image_size,
            seed=seed,
            options=options,
        )

    if classes is None:
        classes = _classes_of(given, make, network=network)
    names = tuple(map(str, range(classes))) if isinstance(classes, int) else tuple(classes)
    task = Classification(names, head=head)
    module = make(task.outputs)
    facts = {}
    if given is not None:
        load_weights(module, given.tensors, name=info.name, source=given.source)
        facts["weights"] = dict(given.facts)
    return Model(
        module,
        preprocessing=preprocessing,
        task=task,
        network_name=info.name,
        network_options=options,
        facts=facts,
    )


def _preprocessing_for(
    given: Pretrained | None, *, image_size: int, channels: int, fit: Fit | None
) -> Preprocessing:
    """Return the preprocessing of weights, for grey pictures or another fit where asked."""
    made = dict(given.preprocessing) if given else {}
    if fit is not None and made.get("fit", fit) != fit:
        made["crop_frac"] = 1.0
    made["fit"] = fit or made.get("fit", "squash")
    for name in ("mean", "std"):
        values = made.get(name, ())
        if values and len(values) != channels:  # grey is the mean of the colours
            made[name] = (sum(values) / len(values),) * channels
    return Preprocessing(image_size=image_size, channels=channels, **made)


def _classes_of(
    given: Pretrained | None, make: Callable[[int], nn.Module], *, network: str
) -> Sequence[str] | int:
    """Return the classes that weights were trained for."""
    if given is None:
        raise OptionError(
            "classes are missing: pass their names or their number, `classes=10`, or `weights=` "
            "that bring theirs along."
        )
    if given.classes:
        return given.classes
    with torch.device("meta"):
        outputs = head_outputs(convert_keys(given.tensors, ghost := make(1)), ghost)
    if outputs is None or outputs < 2:
        raise OptionError(
            f"{given.source} does not tell for how many classes `{network}` was trained. Pass "
            "their names or their number: `classes=10`."
        )
    return outputs


def check_trainable(table: PictureTable) -> None:
    """Refuse labels that no task can learn yet.

    Raises:
        OptionError: A picture may have several classes, or numbers.
    """
    if table.kind != "class":
        raise OptionError(
            f"the labels of `{table.source}` are of the kind {table.kind}, expected "
            "one class per picture: that is what networks are trained for so far. `nunbit.load` "
            "and `nunbit check` take the other kinds."
        )


def preprocessing_with(model: Model, pictures: Preprocessing) -> Preprocessing:
    """Return what an untrained model takes over from its pictures.

    Weights from elsewhere keep the mean and spread that they were made with.
    """
    if "weights" not in model.facts:
        return pictures
    return replace(pictures, mean=model.preprocessing.mean, std=model.preprocessing.std)


def create_model_for(
    pictures: Pictures,
    *,
    network: str = "auto",
    weights: str | os.PathLike[str] | Pretrained | None = None,
    head: Literal["softmax", "sigmoid"] = "softmax",
    network_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Model:
    """Make a model that fits given pictures: their size, channels and classes.

    With ``weights``, mean and spread stay those that the weights were made with; all
    else is done to pictures as it was done to these.

    Raises:
        OptionError: Unknown network, a sigmoid head for more than two classes, or
            pictures whose labels are no single classes.
        ShapeError: The pictures are too small for the network.
        ModelFileError: The weights cannot be had, are damaged, or another network's.
    """
    check_trainable(pictures.table)
    model = create_model(
        network,
        classes=pictures.classes,
        weights=weights,
        image_size=pictures.preprocessing.image_size,
        channels=pictures.preprocessing.channels,
        head=head,
        network_options=network_options,
        seed=seed,
    )
    model.preprocessing = preprocessing_with(model, pictures.preprocessing)
    if isinstance(model.task, Classification) and pictures.table.titles:
        model.task = replace(model.task, titles=dict(pictures.table.titles))
    return model
