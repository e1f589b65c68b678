"""Errors that Keras raises as ``TypeError``, ``KeyError`` or ``FileNotFoundError``, as ours."""

from __future__ import annotations

from nunbit.errors import NunbitError

__all__ = ["FolderMissingError", "OptionTypeError", "UnknownClassError"]


class OptionTypeError(NunbitError, TypeError):
    """An argument or a column has values of a type that cannot be used."""


class FolderMissingError(NunbitError, FileNotFoundError):
    """A folder that is read from or written to does not exist."""


class UnknownClassError(NunbitError, KeyError):
    """A class or a column that was asked for by name is not there."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print its repr
