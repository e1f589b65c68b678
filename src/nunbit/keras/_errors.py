"""Errors that Keras raises as ``TypeError``, ``KeyError`` or ``OSError``, as ours."""

from __future__ import annotations

from nunbit.errors import NunbitError, PictureError

__all__ = [
    "FolderMissingError",
    "OptionTypeError",
    "PictureDamagedError",
    "PictureMissingError",
    "UnknownClassError",
]


class OptionTypeError(NunbitError, TypeError):
    """An argument or a column has values of a type that cannot be used."""


class FolderMissingError(NunbitError, FileNotFoundError):
    """A folder that is read from or written to does not exist."""


class PictureDamagedError(PictureError, OSError):
    """A picture file cannot be read."""


class PictureMissingError(PictureError, FileNotFoundError):
    """A picture file is gone."""


class UnknownClassError(NunbitError, KeyError):
    """A class or a column that was asked for by name is not there."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print its repr
