"""Nunbit (눈빛): point it at pictures, get a network you can trust and look inside.

    >>> import nunbit
    >>> pictures = nunbit.load("digits")
    >>> model = nunbit.create_model("mlp", classes=pictures.classes, image_size=8)

Importing this module loads neither torch nor OpenCV; each name is fetched from its
place when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nunbit._version import __version__

if TYPE_CHECKING:
    from nunbit.augment import Augment
    from nunbit.create import create_model, create_model_for
    from nunbit.data.options import DataOptions
    from nunbit.data.pictures import Pictures, PictureSet, load
    from nunbit.errors import (
        CheckpointError,
        DataError,
        MissingExtraError,
        ModelFileError,
        NunbitError,
        OptionError,
        PictureError,
        ShapeError,
        StorageError,
        TrainingError,
    )
    from nunbit.evaluation.evaluate import evaluate
    from nunbit.model import Model
    from nunbit.training.callbacks import (
        Callback,
        EarlyStopping,
        LoadWeights,
        ModelCheckpoint,
        Moment,
        ReduceLROnPlateau,
        SetLR,
        Stop,
    )
    from nunbit.training.find_lr import LRCurve, find_lr
    from nunbit.training.fit import fit
    from nunbit.training.history import History
    from nunbit.training.options import TrainOptions
    from nunbit.training.progress import ProgressPrinter

_PLACES = {
    "nunbit.augment": ["Augment"],
    "nunbit.data.options": ["DataOptions"],
    "nunbit.data.pictures": ["Pictures", "PictureSet", "load"],
    "nunbit.errors": [
        "CheckpointError",
        "DataError",
        "MissingExtraError",
        "ModelFileError",
        "NunbitError",
        "OptionError",
        "PictureError",
        "ShapeError",
        "StorageError",
        "TrainingError",
    ],
    "nunbit.evaluation.evaluate": ["evaluate"],
    "nunbit.create": ["create_model", "create_model_for"],
    "nunbit.model": ["Model"],
    "nunbit.training.callbacks": [
        "Callback",
        "EarlyStopping",
        "LoadWeights",
        "ModelCheckpoint",
        "Moment",
        "ReduceLROnPlateau",
        "SetLR",
        "Stop",
    ],
    "nunbit.training.find_lr": ["LRCurve", "find_lr"],
    "nunbit.training.fit": ["fit"],
    "nunbit.training.history": ["History"],
    "nunbit.training.options": ["TrainOptions"],
    "nunbit.training.progress": ["ProgressPrinter"],
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "Augment",
    "Callback",
    "CheckpointError",
    "DataError",
    "DataOptions",
    "EarlyStopping",
    "History",
    "LRCurve",
    "LoadWeights",
    "MissingExtraError",
    "Model",
    "ModelCheckpoint",
    "ModelFileError",
    "Moment",
    "NunbitError",
    "OptionError",
    "PictureError",
    "PictureSet",
    "Pictures",
    "ProgressPrinter",
    "ReduceLROnPlateau",
    "SetLR",
    "ShapeError",
    "Stop",
    "StorageError",
    "TrainOptions",
    "TrainingError",
    "__version__",
    "create_model",
    "create_model_for",
    "evaluate",
    "find_lr",
    "fit",
    "load",
]


def __getattr__(name: str) -> Any:
    """Fetch a public name from its place, once."""
    if name not in _PLACE_OF:
        from nunbit.errors import did_you_mean

        raise AttributeError(f"module 'nunbit' has no {name!r}.{did_you_mean(name, __all__)}")
    value = getattr(importlib.import_module(_PLACE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
