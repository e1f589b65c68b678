"""The registry of networks: names, facts, and one way to make them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nunbit.errors import OptionError, did_you_mean
from nunbit.randomness import derive_seed

__all__ = ["NetworkInfo", "create_network", "find_network", "network_names", "register"]

SHAPE_ARGUMENTS = ("outputs", "channels", "image_size")


@dataclass(frozen=True)
class NetworkInfo:
    """What is known of a network before it is made.

    Args:
        name: As users type it.
        make: Takes ``outputs``, ``channels``, ``image_size`` and the network's own
            options, all by keyword; returns an ``nn.Module`` from normalised float
            (B, channels, image_size, image_size) to (B, outputs).
        title: One line for people.
        source: Paper or course, with year.
        image_size: The side it was made for, in pixels.
        channels: The channels it was made for.
        lr: Peak learning rate of AdamW that suits it at batch 256; networks without
            normalisation layers want a smaller one.
        reported: What its source reports, or an empty text.
    """

    name: str
    make: Callable[..., nn.Module]
    title: str
    source: str
    image_size: int
    channels: int
    lr: float = 0.01
    reported: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The network's own options with their defaults."""
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.make).parameters.items()
            if name not in SHAPE_ARGUMENTS
        }


_NETWORKS: dict[str, NetworkInfo] = {}


def register(
    name: str,
    *,
    title: str,
    source: str,
    image_size: int,
    channels: int,
    lr: float = 0.01,
    reported: str = "",
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a network under a name; a name given twice is refused."""

    def add(make: type[nn.Module]) -> type[nn.Module]:
        if name in _NETWORKS:
            raise ValueError(f"network `{name}` is registered twice")
        _NETWORKS[name] = NetworkInfo(name, make, title, source, image_size, channels, lr, reported)
        return make

    return add


def network_names() -> list[str]:
    """Return all names, in the order of registration."""
    return list(_NETWORKS)


def find_network(name: str) -> NetworkInfo:
    """Return what is known of a network.

    Raises:
        OptionError: No network has that name; the nearest one is named.
    """
    if name not in _NETWORKS:
        raise OptionError(
            f"unknown network `{name}`.{did_you_mean(name, _NETWORKS)} "
            f"Known: {', '.join(_NETWORKS)}. `nunbit networks` describes them."
        )
    return _NETWORKS[name]


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
        OptionError: Unknown network, unknown option of it, or pictures too small.
    """
    info = find_network(name)
    chosen = dict(options or {})
    unknown = [key for key in chosen if key not in info.options]
    if unknown:
        raise OptionError(
            f"network `{name}` has no option `{unknown[0]}`."
            f"{did_you_mean(unknown[0], info.options)} It has: {', '.join(info.options) or 'none'}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights", name))
        return info.make(outputs=outputs, channels=channels, image_size=image_size, **chosen)
