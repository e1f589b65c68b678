"""Errors that say what was received, what was expected, and what to do.

Every error of Nunbit is a :class:`NunbitError`, and also inherits the builtin
that a caller would catch, so ``except ValueError`` works as people expect.
The command line prints the message alone and exits with ``exit_status``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
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
    "did_you_mean",
    "name_list",
    "nearest",
]


class NunbitError(Exception):
    """Base of all errors that Nunbit raises on purpose."""

    exit_status = 2
    """What a command exits with: 2 = what the user gave is wrong, 1 = our fault."""


class OptionError(NunbitError, ValueError):
    """An option is unknown, or its value lies outside what the option takes."""


class DataError(NunbitError, ValueError):
    """A source of pictures cannot be used as it is."""


class PictureError(NunbitError, ValueError):
    """One picture cannot be read; the message is the reason, without the path."""


class ShapeError(NunbitError, ValueError):
    """A tensor or a picture has a shape that the receiver cannot take."""


class ModelFileError(NunbitError, ValueError):
    """A model file is not ours, is damaged, or comes from a newer Nunbit."""


class CheckpointError(NunbitError, RuntimeError):
    """A run folder or a checkpoint cannot be read or continued."""


class StorageError(NunbitError, OSError):
    """A file could not be written; what was there before is untouched."""


class TrainingError(NunbitError, RuntimeError):
    """Training cannot go on, for instance because the loss is not finite."""


class MissingExtraError(NunbitError, ImportError):
    """A feature needs a package that is not installed."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is spelt most like ``name``, or None where none is near.

    Example:
        >>> nearest("DGO", ["Cat", "Dog"])
        'Dog'
    """
    written = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), written, n=1, cutoff=0.5)
    return written[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``' Did you mean `x`?'``, or nothing where no known name is near.

    Example:
        >>> did_you_mean("cnn-mnst", ["mlp", "cnn-mnist"])
        ' Did you mean `cnn-mnist`?'
    """
    near = nearest(name, known)
    return f" Did you mean `{near}`?" if near is not None else ""


def name_list(names: Iterable[object], *, limit: int = 10) -> str:
    """Join names with commas, the first ``limit`` of them, and count the rest.

    Example:
        >>> name_list(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    texts = [str(name) for name in names]
    shown = ", ".join(texts[:limit])
    return shown if len(texts) <= limit else f"{shown} and {len(texts) - limit} more"
