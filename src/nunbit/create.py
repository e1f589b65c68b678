"""``create_model``: a model with fresh weights, or with those that somebody trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

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
    network_heads,
    open_weights,
    weights_fit,
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
    head: Literal["softmax", "sigmoid"] | None = None,
    network_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Model:
    """Make a model with fresh weights, or with those that somebody trained.

    Published weights bring along what was done to pictures before they met them: size,
    mean, spread, and the part that is cut out. For grey pictures the layers that see the
    picture are summed over the colours: exact for weights whose mean was the same for all
    three, close to it for others (:func:`nunbit.networks.load_weights`).

    The last layer goes with its classes: with the same names in another order its rows
    are put in that order; with other names, or another number of them, it is fresh.

    Args:
        network: A name that ``nunbit networks`` lists, or ``timm/NAME``.
        classes: Names in the order of the outputs, or their number; default: those of
            the weights, which their number stands for, too.
        weights: ``imagenet``, another name that ``nunbit networks --weights`` lists, or
            the path of a file (.pth, .safetensors) or a run folder; or what
            :func:`nunbit.networks.open_weights` has opened.
        image_size: Side of the pictures in pixels; default: the weights', else the
            network's own.
        channels: 1 = grey, 3 = RGB; default: the network's own.
        fit: How a picture that is no square becomes one; default: as the weights want
            it, else ``squash``.
        head: ``sigmoid`` gives two classes one output instead of two; default: that of
            the weights where their classes are kept, else ``softmax``.
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
    _check_kinds(classes, image_size=image_size, channels=channels)
    given = weights
    if given is not None and not isinstance(given, Pretrained):
        given = open_weights(network, given)
    size = image_size
    if size is None:
        size = (given.image_size if given else None) or info.image_size
    preprocessing = _preprocessing_for(
        given,
        image_size=size,
        channels=info.channels if channels is None else channels,
        fit=fit,
    )

    def make(outputs: int, options: Mapping[str, Any]) -> nn.Module:
        return create_network(
            network,
            outputs=outputs,
            channels=preprocessing.channels,
            image_size=preprocessing.image_size,
            seed=seed,
            options=dict(options),
        )

    options = _options_for(given, network_options or {}, make)
    if classes is None:
        classes = _classes_of(given, lambda outputs: make(outputs, options), network=network)
        if given is not None and head not in (None, given.head or head):
            raise OptionError(
                f"{given.source} has the head `{given.head}`, asked for is `{head}`. Leave `head` "
                f"out, or pass `classes=` as well for a fresh last layer."
            )
    task = _task_for(given, classes, head)
    module = make(task.outputs, options)
    facts = {}
    if given is not None:
        fresh = {path: _numbers(module, path) for path in network_heads(module)}
        load_weights(
            module,
            given.tensors,
            name=info.name,
            source=given.source,
            made_for=given.made_for,
            std=given.preprocessing.get("std", ()),
        )
        _match_heads(module, fresh, given, task)
        facts["weights"] = dict(given.facts)
    model = Model(
        module,
        preprocessing=preprocessing,
        task=task,
        network_name=info.name,
        network_options=options,
        facts=facts,
    )
    model.whitening = _whitening_for(given, preprocessing)
    return model


def _check_kinds(classes: object, *, image_size: object, channels: object) -> None:
    """Refuse values of another kind than the arguments take.

    Raises:
        OptionError: Names all of them.
    """
    problems = [
        f"`{name}` is {value!r}, expected a whole number"
        for name, value in (("image_size", image_size), ("channels", channels))
        if value is not None and (not isinstance(value, int) or isinstance(value, bool))
    ]
    is_count = isinstance(classes, int) and not isinstance(classes, bool)
    if classes is not None and not is_count:
        is_names = isinstance(classes, Iterable) and not isinstance(classes, (str, bytes))
        if not is_names:
            problems.append(f"classes takes a list of names or a number, got {classes!r}")
    if problems:
        raise OptionError(f"{'; '.join(problems)}.")


def _options_for(
    given: Pretrained | None,
    chosen: Mapping[str, Any],
    make: Callable[[int, Mapping[str, Any]], nn.Module],
) -> dict[str, Any]:
    """Return the network's options: what is asked for, and what the weights need."""
    if given is None:
        return dict(chosen)
    options = {**given.options, **chosen}
    more = {**given.options_if_needed, **options}
    if more == options:
        return options
    with torch.device("meta"):
        fit_without, fit_with = (weights_fit(make(1, o), given.tensors) for o in (options, more))
    return more if fit_with and not fit_without else options


def _task_for(
    given: Pretrained | None,
    classes: Sequence[str] | int,
    head: Literal["softmax", "sigmoid"] | None,
) -> Classification:
    """Return the task; the weights' own where the classes are theirs."""
    known = given.classes if given else ()
    if isinstance(classes, int):
        is_theirs = bool(known) and classes == len(known)
        names = known if is_theirs else tuple(map(str, range(classes)))
    else:
        names = tuple(classes)
    if given is None or not known or set(names) != set(known):
        return Classification(names, head=head or "softmax")
    order = _order(names, known) if len(names) == len(known) else []
    titles = {
        language: tuple(each[k] for k in order)
        for language, each in given.titles.items()
        if len(each) == len(known)
    }
    kept: Any = head or given.head or "softmax"
    return Classification(names, head=kept, titles=titles or None)


def _order(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return where each name is among the known ones."""
    places = {name: k for k, name in enumerate(known)}
    return [places[name] for name in names]


def _numbers(module: nn.Module, path: str) -> dict[str, Tensor]:
    layer = module.get_submodule(path)
    return {key: value.clone() for key, value in layer.state_dict().items()}


def _match_heads(
    module: nn.Module,
    fresh: Mapping[str, dict[str, Tensor]],
    given: Pretrained,
    task: Classification,
) -> None:
    """Give each class the row of the last layers that was trained for it.

    Args:
        fresh: The last layers as they were before the weights came.
    """
    known, names = given.classes, task.classes
    if not known or (names == known and task.head == (given.head or "softmax")):
        return
    is_theirs = set(names) == set(known) and task.head == (given.head or "softmax")
    for path, before in fresh.items():
        layer = module.get_submodule(path)
        if not is_theirs:
            layer.load_state_dict(before)
        elif task.head == "sigmoid":  # the logit of the second class, which is the first now
            layer.load_state_dict({key: -each for key, each in layer.state_dict().items()})
        else:
            order = _order(names, known)
            layer.load_state_dict({key: each[order] for key, each in layer.state_dict().items()})


def _whitening_for(given: Pretrained | None, made: Preprocessing) -> Tensor | None:
    """Return the ZCA matrix that the weights' pictures were multiplied by.

    Raises:
        OptionError: It is for pictures of another size.
    """
    if given is None or given.whitening is None:
        return None
    wanted = (made.image_size, made.channels)
    if wanted != (given.image_size, given.channels):
        raise OptionError(
            f"the pictures of {given.source} were whitened (ZCA) at {given.image_size}×"
            f"{given.image_size} with {given.channels} channels, and the matrix fits no other "
            f"size; asked for is {made.image_size}×{made.image_size} with {made.channels}. Leave "
            "`image_size` and `channels` as they were, or take weights of a run without ZCA."
        )
    return given.whitening.clone()


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

    Weights from elsewhere keep the normalisation that they were made with: mean, spread,
    and whether each picture is centred and scaled by itself.

    Raises:
        OptionError: Their pictures were whitened.
    """
    if "weights" not in model.facts:
        return pictures
    if model.whitening is not None:
        raise OptionError(
            f"the weights in `{model.facts['weights'].get('file', 'the file')}` were trained on "
            "pictures that ZCA has whitened, and training does not go on from such. Take weights "
            "of a run without ZCA, or train afresh with `Augment(zca_whitening=True)`."
        )
    own = model.preprocessing
    return replace(
        pictures,
        mean=own.mean,
        std=own.std,
        samplewise_center=own.samplewise_center,
        samplewise_std_normalization=own.samplewise_std_normalization,
    )


def create_model_for(
    pictures: Pictures,
    *,
    network: str = "auto",
    weights: str | os.PathLike[str] | Pretrained | None = None,
    head: Literal["softmax", "sigmoid"] | None = None,
    network_options: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Model:
    """Make a model that fits given pictures: their size, channels and classes.

    With ``weights``, the normalisation stays that which the weights were made with; all
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
