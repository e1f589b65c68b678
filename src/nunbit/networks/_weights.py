"""Weights from elsewhere into our networks: names converted, everything accounted for.

A network class that takes published weights says in ``published_keys`` how their names
become its own: pairs of a regular expression and its replacement, applied in turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nunbit.errors import ModelFileError, NunbitError, name_list
from nunbit.networks._published import published_weights
from nunbit.networks._registry import create_network, network_heads

__all__ = ["convert_keys", "head_outputs", "load_weights", "weights_fit"]

COUNTER = "num_batches_tracked"
"""Batch norm counts its batches under this name; files from before 2018 lack it."""
RGB = 3


@runtime_checkable
class _Converting(Protocol):
    published_keys: ClassVar[tuple[tuple[str, str], ...]]


def convert_keys(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Rename tensors as a network calls them; those that have its names stay.

    Auxiliary classifiers are left out where the network has none.
    """
    own = set(network.state_dict())
    made = dict(tensors)
    if isinstance(network, _Converting) and len(own & set(made)) <= len(made) // 2:
        for pattern, replacement in network.published_keys:
            made = {re.sub(pattern, replacement, name): value for name, value in made.items()}
    kept = {name.partition(".")[0] for name in own}
    return {
        name: value
        for name, value in made.items()
        if name.partition(".")[0] in kept or not name.startswith("aux")
    }


def head_outputs(tensors: Mapping[str, Tensor], network: nn.Module) -> int | None:
    """Return how many outputs converted weights have; None where they have no last layer."""
    head = tensors.get(f"{network_heads(network)[0]}.weight")
    return None if head is None or head.ndim != 2 else head.shape[0]


def load_weights(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    name: str,
    source: str,
    made_for: str = "",
    std: Sequence[float] = (),
) -> None:
    """Copy weights into a network; its values alone change.

    RGB weights enter a network for grey pictures: those of the layers that see the picture
    are summed over the colours, each weighed by the grey spread over its own. The network
    then does with a grey picture what it did with the same picture in three equal colours,
    exactly so where ``mean`` was the same for all three; elsewhere the grey mean, which is
    the mean of the three, moves each colour a little.

    Last layers stay fresh where the number of their outputs is another one.

    Args:
        tensors: By the network's names or by those that ``published_keys`` reads.
        name: The network's registered name.
        source: How messages name the weights.
        made_for: The network they say they are of; empty where nobody knows.
        std: Spread per colour that pictures were divided by; empty for one and the same.
    Raises:
        ModelFileError: They are another network's; names and shapes that differ are given,
            and which known network would fit. The network is as it was.
    """
    own, given = network.state_dict(), _adapted(network, tensors, std)
    problems = _differences(own, given)
    if not problems:
        network.load_state_dict(given)
        return
    whose = _who_fits(tensors) or (made_for if made_for != name else "")
    if whose and whose != name:
        raise ModelFileError(
            f"{source} has weights of another network than `{name}`: {'; '.join(problems)}. They "
            f"are those of `{whose}`: make that network, or give weights of `{name}`."
        )
    if set(own) == set(given) or name in (whose, made_for):
        is_size = set(own) == set(given)
        what = "the same layers as" if is_size else "other layers than"
        raise ModelFileError(
            f"{source} has {what} `{name}` as it was asked for{', in other sizes' * is_size}: "
            f"{'; '.join(problems)}. Pass the options it was made with (`--network-option "
            "NAME=VALUE`, `--image-size N`, `--channels N`; in Python `network_options`, "
            "`image_size`, `channels`)."
        )
    raise ModelFileError(
        f"{source} has weights of another network than `{name}`: {'; '.join(problems)}. Give the "
        "file of this network, or the name of the network that it is of."
    )


def weights_fit(network: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether :func:`load_weights` would take them."""
    return not _differences(network.state_dict(), _adapted(network, tensors))


def _adapted(
    network: nn.Module, tensors: Mapping[str, Tensor], std: Sequence[float] = ()
) -> dict[str, Tensor]:
    """Return weights by the network's names, with its own where theirs are not needed."""
    own, given = network.state_dict(), convert_keys(tensors, network)
    for key in (f"{path}.{part}" for path in network_heads(network) for part in ("weight", "bias")):
        if key in own and key in given and given[key].shape[1:] == own[key].shape[1:]:
            if given[key].shape != own[key].shape:
                given[key] = own[key]
        elif key in own and key not in given:
            given[key] = own[key]
    for key in _stems(network):
        if key in given and _is_colour_for_grey(given[key], own[key]):
            given[key] = _sum_colours(given[key], std)
    given |= {key: own[key] for key in own if key.endswith(COUNTER) and key not in given}
    return given


def _stems(network: nn.Module) -> Iterator[str]:
    """Yield the names of the weights that see the picture.

    A network whose first convolution is not all of them lists the layers in ``stems``.
    """
    first = (p for p, each in network.named_modules() if isinstance(each, nn.Conv2d))
    paths: tuple[str, ...] = getattr(network, "stems", ()) or tuple(first)[:1]
    return (f"{path}.weight" for path in paths)


def _is_colour_for_grey(given: Tensor, own: Tensor) -> bool:
    """Return whether a layer has three times the inputs, and all else alike."""
    if given.ndim != own.ndim or given.ndim < 2:
        return False
    return given.shape == (own.shape[0], RGB * own.shape[1], *own.shape[2:])


def _sum_colours(weights: Tensor, std: Sequence[float]) -> Tensor:
    """Return weights for grey; inputs are ordered by colour first, also in dense layers."""
    outputs, inputs, *rest = weights.shape
    parts = weights.reshape(outputs, RGB, inputs // RGB, *rest)
    if len(std) == RGB:
        grey = sum(std) / RGB
        scale = torch.tensor([grey / each for each in std]).to(weights)
        parts = parts * scale.view(1, RGB, *[1] * (parts.ndim - 2))
    return parts.sum(1)


def _differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Say what is missing, what is strange and what has another shape; empty where all fits."""
    missing = [key for key in own if key not in given]
    strange = [key for key in given if key not in own]
    shapes = [
        f"`{key}` is {_by(given[key])}, expected {_by(own[key])}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    whole = [
        f"`{key}` is {str(given[key].dtype).removeprefix('torch.')}"
        for key in own
        if key in given and own[key].is_floating_point() and not given[key].is_floating_point()
    ]
    problems = []
    if whole:
        shown = name_list(whole, limit=3)
        problems.append(f"{len(whole)} are no float numbers ({shown})")
    if missing:
        shown = name_list((f"`{key}`" for key in missing), limit=3)
        problems.append(f"{len(missing)} of {len(own)} are missing ({shown})")
    if strange:
        shown = name_list((f"`{key}`" for key in strange), limit=3)
        problems.append(f"{len(strange)} are strange to it ({shown})")
    if shapes:
        problems.append(f"{len(shapes)} have another shape ({name_list(shapes, limit=3)})")
    return problems


def _by(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


def _who_fits(tensors: Mapping[str, Tensor]) -> str:
    """Return which network with published weights these would fit, or an empty text."""
    for weights in {each.network: each for each in published_weights()}.values():
        try:
            with torch.device("meta"):
                network = create_network(
                    weights.network,
                    outputs=weights.classes,
                    channels=RGB,
                    image_size=weights.image_size,
                    options=dict(weights.options),
                )
        except NunbitError:
            continue
        own, given = network.state_dict(), convert_keys(tensors, network)
        heads = {f"{path}.{part}" for path in network_heads(network) for part in ("weight", "bias")}
        fits = all(
            key in given and given[key].shape == own[key].shape
            for key in own
            if key not in heads and not key.endswith(COUNTER)
        )
        if fits and set(given) <= set(own):
            return weights.network
    return ""
