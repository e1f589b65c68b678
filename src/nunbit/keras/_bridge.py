"""What we ask of a Keras that the caller has imported; we never import it ourselves.

Keras' ``fit`` takes an object with ``__getitem__`` and ``__len__`` only where
``isinstance`` calls it a ``PyDataset``. ``isinstance`` also asks an object for its
``__class__``, so an iterator that answers with a class which has ``PyDataset`` among
its bases is accepted, whether Keras was imported before the iterator was made or
after. ``unittest.mock`` uses the same door for ``Mock(spec=...)``.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

__all__ = ["joined_class", "setting"]

_BASES = (("keras", "PyDataset"), ("tf_keras", "Sequence"))


def joined_class(own: type) -> type:
    """Return ``own``, or where Keras is loaded a class of that name that is a PyDataset too."""
    bases = tuple(
        base
        for module, name in _BASES
        if (base := getattr(getattr(sys.modules.get(module), "utils", None), name, None))
    )
    return _join(own, bases) if bases else own


@functools.cache
def _join(own: type, bases: tuple[type, ...]) -> type:
    return type(own.__name__, (own, *bases), {"__module__": own.__module__})


def setting(name: str, default: Any) -> Any:
    """Return a global setting of Keras (``floatx``, ``image_data_format``) where it is loaded."""
    config = getattr(sys.modules.get("keras"), "config", None)
    ask = getattr(config, name, None)
    return ask() if ask is not None else default
