"""The networks: one readable file per paper; files with an underscore are plumbing."""

from nunbit.networks import (
    airbench,
    alexnet,
    alexnet_owt,
    auto,
    cnn_cats_dogs,
    cnn_mnist,
    cnn_quick,
    conv1d,
    googlenet,
    googlenet_bn,
    lenet_5,
    mlp,
    resnet,
    resnet_cifar,
    vgg,
)
from nunbit.networks._meta import try_size
from nunbit.networks._options import option_fields, read_network_options
from nunbit.networks._outputs import WithAuxiliary, split_auxiliary
from nunbit.networks._pretrained import Pretrained, open_weights
from nunbit.networks._published import PublishedWeights, find_weights, published_weights
from nunbit.networks._registry import (
    NetworkInfo,
    create_network,
    find_network,
    network_heads,
    network_names,
    register,
    replace_head,
)
from nunbit.networks._split import check_split, split_network
from nunbit.networks._table import (
    Description,
    Layer,
    Step,
    count_parameters,
    describe,
    layer_table,
)
from nunbit.networks._weights import convert_keys, head_outputs, load_weights, weights_fit

__all__ = [
    "Description",
    "Layer",
    "NetworkInfo",
    "Pretrained",
    "PublishedWeights",
    "Step",
    "WithAuxiliary",
    "check_split",
    "convert_keys",
    "count_parameters",
    "create_network",
    "describe",
    "find_network",
    "find_weights",
    "head_outputs",
    "layer_table",
    "load_weights",
    "network_heads",
    "network_names",
    "open_weights",
    "option_fields",
    "published_weights",
    "read_network_options",
    "register",
    "replace_head",
    "split_auxiliary",
    "split_network",
    "try_size",
    "weights_fit",
]

_FILES = (
    auto,
    cnn_quick,
    airbench,
    mlp,
    cnn_mnist,
    cnn_cats_dogs,
    conv1d,
    lenet_5,
    alexnet,
    alexnet_owt,
    vgg,
    googlenet,
    googlenet_bn,
    resnet,
    resnet_cifar,
)
"""Imported for what they register."""
