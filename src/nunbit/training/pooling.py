"""Max-pooling before ReLU, in training: the same numbers with less to do."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

from torch import nn

__all__ = ["pooling_first"]


@contextlib.contextmanager
def pooling_first(network: nn.Module) -> Iterator[None]:
    """Let ``ReLU, MaxPool2d`` of a ``Sequential`` run the other way round.

    The largest of the values that ReLU leaves is what ReLU leaves of the largest value, and
    the gradient goes back to the same place, so nothing changes but how many values ReLU
    looks at: a quarter, after the usual pooling. Layers that somebody watches by a hook by
    now stay where they are.

    Both layers are without weights, so names and state dict stay as they were.
    """
    swapped = list(_find(network))
    for sequence, place in swapped:
        _swap(sequence, place)
    try:
        yield
    finally:
        for sequence, place in swapped:
            _swap(sequence, place)


def _find(network: nn.Module) -> Iterator[tuple[nn.Sequential, int]]:
    for sequence in network.modules():
        if not isinstance(sequence, nn.Sequential) or (
            type(sequence).forward is not nn.Sequential.forward
        ):
            continue
        layers = list(sequence)
        for place, (first, second) in enumerate(itertools.pairwise(layers)):
            if type(first) is nn.ReLU and type(second) is nn.MaxPool2d:
                watched = any(has_hooks(layer) for layer in (first, second))
                if not watched and not second.return_indices:
                    yield sequence, place


def _swap(sequence: nn.Sequential, place: int) -> None:
    sequence[place], sequence[place + 1] = sequence[place + 1], sequence[place]


def has_hooks(layer: nn.Module) -> bool:
    """Return whether somebody looks at what goes through a layer."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(layer, kind, None) for kind in kinds)
