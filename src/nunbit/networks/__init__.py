"""The networks: one readable file per paper; files with an underscore are plumbing."""

from nunbit.networks import auto, cnn_cats_dogs, cnn_mnist, mlp
from nunbit.networks._outputs import WithAuxiliary, split_auxiliary
from nunbit.networks._registry import (
    NetworkInfo,
    create_network,
    find_network,
    network_heads,
    network_names,
    register,
    replace_head,
)
from nunbit.networks._table import Layer, count_parameters, layer_table

__all__ = [
    "Layer",
    "NetworkInfo",
    "WithAuxiliary",
    "count_parameters",
    "create_network",
    "find_network",
    "layer_table",
    "network_heads",
    "network_names",
    "register",
    "replace_head",
    "split_auxiliary",
]

_FILES = (auto, mlp, cnn_mnist, cnn_cats_dogs)  # imported for what they register
