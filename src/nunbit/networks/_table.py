"""The layer table: what each layer makes of the picture, holds, computes and sees.

Counting conventions (those of ``nunbit networks`` and of the tests):

* parameters: weights and biases, with BatchNorm's gamma and beta; running
  statistics are not counted;
* multiply-adds: one multiplication with its addition is 1; convolutions (transposed ones
  too) and dense layers only, and layers that count their own; batch 1;
* memory: what a layer writes for one picture in float32; training keeps most of it,
  and some layers more;
* receptive field: pixels of the picture that one value sees (``_fields.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nunbit.networks._meta import WithoutValues
from nunbit.networks._pass import Layer, Step, follow
from nunbit.networks._registry import NetworkInfo, create_network, find_network

__all__ = ["Description", "Layer", "Step", "count_parameters", "describe", "layer_table"]


@dataclass(frozen=True)
class Description:
    """A network's table and graph, with the sums."""

    name: str
    input: tuple[int, int, int]
    outputs: int
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    parameters: int

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def memory_bytes(self) -> int:
        """All outputs of one pass together."""
        return sum(layer.memory_bytes for layer in self.layers)


def count_parameters(network: nn.Module) -> int:
    """Return the number of weights and biases that training changes or could change."""
    return sum(parameter.numel() for parameter in network.parameters())


def layer_table(network: nn.Module, *, channels: int, image_size: int) -> list[Layer]:
    """List the layers, and where branches join, in the order in which a picture passes them.

    Nothing is computed and no weights are copied: a batch of no pictures passes. Rows
    without an output follow: layers that only training uses, and parameters that belong to
    no single layer, so that the rows add up to :func:`count_parameters`. A module that uses
    the weights of its parts itself, such as ``nn.MultiheadAttention``, is one row.

    Raises:
        ShapeError: The network does not take such pictures, has lazy layers, or its way
            depends on the values in a picture.
    """
    return follow(network, channels, image_size)[0]


def usual_outputs(info: NetworkInfo) -> int:
    """Return for how many classes a network's parameters are usually counted.

    Networks of papers for large pictures were made for ImageNet's 1,000 classes; small
    ones mostly for 10.
    """
    return 1000 if info.year and info.image_size >= 128 else 10


def describe(
    name: str,
    *,
    outputs: int | None = None,
    channels: int | None = None,
    image_size: int | None = None,
    options: dict[str, Any] | None = None,
) -> Description:
    """Describe a registered network without making its weights.

    No random numbers are drawn and no memory is taken for weights.

    Args:
        outputs: Width of the last layer; default: 1,000 for networks made for ImageNet,
            10 for others.
        channels: Default: those it was made for.
        image_size: Default: that it was made for.
        options: The network's own.
    Raises:
        OptionError: Unknown network, or unknown option of it.
        ShapeError: The picture is too small for it.
    """
    info = find_network(name)
    outputs = outputs or usual_outputs(info)
    channels, image_size = channels or info.channels, image_size or info.image_size
    with torch.device("meta"), WithoutValues():
        network = create_network(
            name, outputs=outputs, channels=channels, image_size=image_size, options=options
        )
    layers, steps = follow(network, channels, image_size)
    return Description(
        name=info.name,
        input=(channels, image_size, image_size),
        outputs=outputs,
        layers=tuple(layers),
        steps=tuple(steps),
        parameters=count_parameters(network),
    )
