"""The registry of networks: names, facts, and one way to make them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from nunbit.errors import OptionError, did_you_mean
from nunbit.networks._options import check_network_options
from nunbit.randomness import derive_seed

__all__ = [
    "NetworkInfo",
    "create_network",
    "find_network",
    "network_heads",
    "network_names",
    "register",
    "replace_head",
]

SHAPE_ARGUMENTS = ("outputs", "channels", "image_size")


def _not_registered(**_: object) -> nn.Module:
    raise TypeError("a network is made by its registered class")


@dataclass(frozen=True)
class NetworkInfo:
    """What is known of a network before it is made.

    Args:
        name: As users type it.
        title: One line for people.
        source: Paper or course, with year.
        image_size: The side it was made for, in pixels.
        channels: The channels it was made for.
        lr: Peak learning rate of AdamW that suits it at batch 256; networks without
            normalisation layers want a smaller one.
        reported: What its source reports, or an empty text.
        year: Of the source; 0 where it has none.
        aliases: Other names of the same network.
        fixed: Arguments of ``make`` that belong to the name, such as the depth.
        make: Takes ``outputs``, ``channels``, ``image_size`` and the network's own
            options, all by keyword; returns an ``nn.Module`` from normalised float
            (B, channels, image_size, image_size) to (B, outputs). :func:`register`
            sets it.
    """

    name: str
    title: str
    source: str
    image_size: int
    channels: int
    lr: float = 0.01
    reported: str = ""
    year: int = 0
    aliases: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[..., nn.Module] = _not_registered

    @property
    def options(self) -> dict[str, Any]:
        """The network's own options with their defaults."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.make).parameters.items()
            if name not in SHAPE_ARGUMENTS and name not in self.fixed
        }


_NETWORKS: dict[str, NetworkInfo] = {}
_ALIASES: dict[str, str] = {}


def register(*infos: NetworkInfo) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a network, or the members of its family; a name given twice is refused.

    The class has, besides ``forward``:

    * ``features(images)``: the maps (B, C, H, W) after each stage, the largest first;
      a dense network's only one is the picture;
    * ``classify(maps)``: from the last of them to (B, outputs);
    * ``head``: the last layer, an ``nn.Linear``, which may be replaced.

    Its own options carry an :class:`~nunbit.options.Option` each, with a sentence and a
    range: ``width: Annotated[int, Option("Filters.", low=1, high=1024)] = 64``.
    :func:`create_network` checks them, so that the class need not.
    """

    def add(make: type[nn.Module]) -> type[nn.Module]:
        for info in infos:
            for name in (info.name, *info.aliases):
                if name in _NETWORKS or name in _ALIASES:
                    raise ValueError(f"network `{name}` is registered twice")
            _NETWORKS[info.name] = replace(info, make=make)
            _ALIASES.update(dict.fromkeys(info.aliases, info.name))
        return make

    return add


def network_names() -> list[str]:
    """Return all names, in the order of registration."""
    return list(_NETWORKS)


def find_network(name: str) -> NetworkInfo:
    """Return what is known of a network, by its name or another one.

    Capitals, ``-`` and ``_`` make no difference: ``LeNet5`` is ``lenet-5``.

    Raises:
        OptionError: No network has that name; the nearest one is named, or the members of
            the family that has it.
        MissingExtraError: The name is ``timm/NAME``, and timm is not installed.
    """
    if name.startswith("timm/"):
        from nunbit.networks._timm import timm_info

        return timm_info(name)

    def plain(text: str) -> str:
        return re.sub(r"[-_]", "", text.lower())

    owners = {each: each for each in _NETWORKS} | _ALIASES
    own = owners.get(name) or {plain(key): owner for key, owner in owners.items()}.get(plain(name))
    if own is not None:
        return _NETWORKS[own]
    ways_out = did_you_mean(name, owners)
    members: dict[str, str] = {}
    for key, owner in owners.items():
        family = re.match(r"[a-z]*", key)
        if family is not None and family[0] and family[0] == plain(name):
            members.setdefault(owner, key if key == owner else f"{owner} ({key})")
    if members:
        ways_out = f" It is a family; name one of it: {', '.join(members.values())}."
    raise OptionError(
        f"unknown network `{name}`.{ways_out} `nunbit networks` lists all {len(_NETWORKS)}."
    )


def create_network(
    name: str,
    *,
    outputs: int,
    channels: int,
    image_size: int,
    seed: int = 0,
    options: dict[str, Any] | None = None,
) -> nn.Module:
    """Make a network with fresh weights that depend on the seed alone.

    Raises:
        OptionError: Unknown network, or an option that it has not or does not take so.
        ShapeError: The pictures are too small.
    """
    info = find_network(name)
    chosen = check_network_options(info, options or {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights", info.name))
        return info.make(
            outputs=outputs, channels=channels, image_size=image_size, **info.fixed, **chosen
        )


def network_heads(network: nn.Module) -> tuple[str, ...]:
    """Return the paths of the layers that end in one output per class, the main one first.

    All networks have ``head``; one with auxiliary classifiers lists theirs in ``heads``.
    """
    heads: tuple[str, ...] = getattr(network, "heads", ("head",))
    return heads


def replace_head(network: nn.Module, outputs: int, *, seed: int = 0) -> None:
    """Give a network fresh last layers for another number of classes.

    The network of a :class:`nunbit.Model` has as many outputs as its task says: change
    that, too, or make the model anew with ``create_model(..., classes=...)``.

    Args:
        outputs: At least 1.
        seed: The weights of the layers depend on it alone.
    Raises:
        OptionError: ``outputs`` is no number, or below 1.
    """
    if not isinstance(outputs, int) or isinstance(outputs, bool) or outputs < 1:
        raise OptionError(f"a last layer has at least 1 output, got {outputs!r}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "head"))
        for path in network_heads(network):
            parent, _, name = path.rpartition(".")
            place = network.get_submodule(parent)
            old = getattr(place, name)
            fresh = nn.Linear(old.in_features, outputs, bias=old.bias is not None)
            setattr(place, name, fresh.to(old.weight.device, old.weight.dtype))
