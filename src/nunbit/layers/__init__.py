"""Layers that the course and the papers name and that PyTorch lacks or defines otherwise.

    >>> import torch
    >>> from nunbit.layers import SameConv2d
    >>> SameConv2d(3, 8, 3, stride=2)(torch.zeros(1, 3, 7, 6)).shape
    torch.Size([1, 8, 4, 3])

* ``LocalResponseNorm``: as AlexNet's paper writes it; quicker than PyTorch's.
* ``Dropout``: PyTorch's, quicker on a processor.
* ``StochasticDepth``: a branch is left out for some pictures.
* ``SpatialDropout1D``, ``SpatialDropout2D``: whole maps are dropped, as in Keras.
* ``SameConv2d``, ``SameMaxPool2d``, ``SameAvgPool2d``: padding "same" as TensorFlow counts it.
* ``Subsampling``, ``TableConv2d``, ``ScaledTanh``: what LeNet-5 of 1998 is made of.
"""

from nunbit.layers.dropout import Dropout
from nunbit.layers.lenet import ScaledTanh, Subsampling, TableConv2d
from nunbit.layers.normalisation import LocalResponseNorm
from nunbit.layers.same import SameAvgPool2d, SameConv2d, SameMaxPool2d, same_padding
from nunbit.layers.spatial_dropout import SpatialDropout1D, SpatialDropout2D
from nunbit.layers.stochastic_depth import StochasticDepth, depth_rates

__all__ = [
    "Dropout",
    "LocalResponseNorm",
    "SameAvgPool2d",
    "SameConv2d",
    "SameMaxPool2d",
    "ScaledTanh",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "StochasticDepth",
    "Subsampling",
    "TableConv2d",
    "depth_rates",
    "same_padding",
]
