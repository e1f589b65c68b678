"""Augmentation: training pictures are moved about, validation and test never."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nunbit.augment.options import Augment
from nunbit.augment.presets import PRESETS, choose_augment

if TYPE_CHECKING:
    from nunbit.augment.standardize import Standardizer

__all__ = ["PRESETS", "Augment", "Standardizer", "choose_augment"]


def __getattr__(name: str) -> Any:
    """Fetch ``Standardizer`` when it is first used: it loads NumPy, and help does not."""
    if name != "Standardizer":
        raise AttributeError(f"module 'nunbit.augment' has no {name!r}")
    from nunbit.augment.standardize import Standardizer

    return Standardizer
