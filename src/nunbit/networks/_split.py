"""One network on several devices, as AlexNet was on two."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from nunbit.errors import OptionError
from nunbit.networks._registry import find_network

__all__ = ["check_split", "split_network"]


def split_network(network: nn.Module, devices: Sequence[torch.device], *, name: str) -> None:
    """Put the parts of a network on devices, one each; one device takes all of it.

    A network that can be split has the number of its parts in ``splits``, and a method
    ``split_over(devices)`` after which ``forward`` takes pictures on the first device
    and returns outputs there.

    Args:
        name: How messages name the network.
    Raises:
        OptionError: The network has another number of parts.
    """
    check_split(name, devices)
    if len(devices) == 1:
        network.to(devices[0])
    else:
        network.split_over(devices)  # type: ignore[operator]  # a method of those with `splits`


def check_split(name: str, devices: Sequence[torch.device]) -> None:
    """Refuse to split a network in more parts than it has, before it is made.

    Raises:
        OptionError: It has another number of parts.
    """
    parts = getattr(find_network(name).make, "splits", 1)
    if len(devices) not in (1, parts):
        can = "is one part" if parts == 1 else f"has {parts} parts"
        raise OptionError(
            f"network `{name}` {can} and cannot be split over {len(devices)} devices. Leave "
            f"`--split-model` out{f', or pass `--split-model {parts}`' if parts > 1 else ''}; "
            "`alexnet` can be split in 2."
        )
