"""A drop-in for Keras' ``ImageDataGenerator`` that loads no Keras and warps in threads.

    >>> from nunbit.keras import ImageDataGenerator
    >>> ImageDataGenerator(rescale=1 / 255, zoom_range=0.2).zoom_range
    [0.8, 1.2]

By default it does what Keras' documentation says; ``like="keras-3"`` does what the
code of Keras 3 does. ``docs/keras.md`` lists where the two part.
"""

from nunbit.keras.arrays import NumpyArrayIterator
from nunbit.keras.dataframe import DataFrameIterator
from nunbit.keras.directory import DirectoryIterator
from nunbit.keras.generator import ImageDataGenerator
from nunbit.keras.iterators import Iterator

__all__ = [
    "DataFrameIterator",
    "DirectoryIterator",
    "ImageDataGenerator",
    "Iterator",
    "NumpyArrayIterator",
]
