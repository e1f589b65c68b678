"""Weights from elsewhere into our networks: names converted, everything accounted for.

A network class that takes published weights says in ``published_keys`` how their names
become its own: pairs of a regular expression and its replacement, applied in turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from nunbit.errors import ModelFileError, NunbitError, name_list
from nunbit.networks._published import published_weights
from nunbit.networks._registry import create_network, find_network, network_heads

__all__ = ["convert_keys", "head_outputs", "load_weights"]

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
    network: nn.Module, tensors: Mapping[str, Tensor], *, name: str, source: str
) -> None:
    """Copy weights into a network; its values alone change.

    RGB weights enter a network for grey pictures: the first convolution's are summed over
    the colours, which is what a picture with three equal colours meets. Last layers stay
    fresh where the number of their outputs is another one.

    Args:
        tensors: By the network's names or by those that ``published_keys`` reads.
        name: The network's registered name.
        source: How messages name the weights.
    Raises:
        ModelFileError: They are another network's; names and shapes that differ are given,
            and which known network would fit. The network is as it was.
    """
    own, given = network.state_dict(), convert_keys(tensors, network)
    stem = _stem(network)
    for key in (f"{path}.{part}" for path in network_heads(network) for part in ("weight", "bias")):
        if key in own and key in given and given[key].shape[1:] == own[key].shape[1:]:
            if given[key].shape != own[key].shape:
                given[key] = own[key]
        elif key in own and key not in given:
            given[key] = own[key]
    if stem in given and own[stem].shape[1] == 1 and given[stem].shape[1:2] == (RGB,):
        given[stem] = given[stem].sum(1, keepdim=True)
    given |= {key: own[key] for key in own if key.endswith(COUNTER) and key not in given}
    problems = _differences(own, given)
    if problems:
        raise ModelFileError(
            f"{source} has weights of another network than `{name}`: {'; '.join(problems)}."
            f"{_who_fits(tensors)}"
        )
    network.load_state_dict(given)


def _stem(network: nn.Module) -> str:
    """Return the name of the first convolution's weights, or an empty text."""
    return next(
        (f"{p}.weight" for p, each in network.named_modules() if isinstance(each, nn.Conv2d)), ""
    )


def _differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Say what is missing, what is strange and what has another shape; empty where all fits."""
    missing = [key for key in own if key not in given]
    strange = [key for key in given if key not in own]
    shapes = [
        f"`{key}` is {_by(given[key])}, expected {_by(own[key])}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    problems = []
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
    """Return which network with published weights these would fit, as a sentence."""
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
            return f" They are those of `{find_network(weights.network).name}`."
    return " Give the file of this network, or the name of the network that it is of."
