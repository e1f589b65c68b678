"""How Keras comes to take the iterators, without Keras: with a stand-in for it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from nunbit.keras import ImageDataGenerator, Iterator, NumpyArrayIterator


class PyDataset:
    pass


@pytest.fixture
def stand_in(monkeypatch):
    module = ModuleType("keras")
    module.utils = SimpleNamespace(PyDataset=PyDataset)
    module.config = SimpleNamespace(
        image_data_format=lambda: "channels_first", floatx=lambda: "float16"
    )
    monkeypatch.setitem(sys.modules, "keras", module)
    return module


def make():
    return ImageDataGenerator().flow(np.zeros((3, 1, 2, 1)), batch_size=2)


def test_without_keras_iterators_are_what_they_are(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.delitem(sys.modules, "tf_keras", raising=False)
    batches = make()
    assert batches.__class__ is type(batches) is NumpyArrayIterator
    assert isinstance(batches, Iterator)
    assert not isinstance(batches, PyDataset)


def test_keras_may_be_imported_afterwards(monkeypatch, request):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    batches = make()
    request.getfixturevalue("stand_in")
    assert isinstance(batches, PyDataset)
    assert isinstance(batches, NumpyArrayIterator)
    assert type(batches) is NumpyArrayIterator
    assert batches.__class__ is make().__class__
    assert issubclass(batches.__class__, PyDataset)


def test_keras_own_settings_are_the_defaults(stand_in):
    generator = ImageDataGenerator()
    assert (generator.data_format, generator.dtype) == ("channels_first", "float16")
    assert next(generator.flow(np.zeros((3, 1, 2, 2)))).dtype == np.float16


def test_what_keras_asks_of_a_data_set():
    batches = make()
    assert (batches.workers, batches.use_multiprocessing, batches.max_queue_size) == (1, False, 10)
    assert (batches.num_batches, len(batches)) == (2, 2)
    batches.on_epoch_begin()
    batches.on_epoch_end()
    assert sorted(batches.index_array.tolist()) == [0, 1, 2]


def test_an_odd_module_of_that_name_does_no_harm(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))
    assert make().__class__ is NumpyArrayIterator
