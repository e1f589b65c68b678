"""Augmentation: training pictures are moved about, validation and test never."""

from nunbit.augment.options import Augment
from nunbit.augment.presets import PRESETS, choose_augment

__all__ = ["PRESETS", "Augment", "choose_augment"]
