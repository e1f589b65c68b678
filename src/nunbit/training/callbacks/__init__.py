"""Callbacks: Keras' three under Keras' names, and the base for your own."""

from nunbit.training.callbacks.base import Action, Callback, LoadWeights, Moment, SetLR, Stop
from nunbit.training.callbacks.checkpoint import ModelCheckpoint
from nunbit.training.callbacks.early_stopping import EarlyStopping
from nunbit.training.callbacks.plateau import ReduceLROnPlateau

__all__ = [
    "Action",
    "Callback",
    "EarlyStopping",
    "LoadWeights",
    "ModelCheckpoint",
    "Moment",
    "ReduceLROnPlateau",
    "SetLR",
    "Stop",
]
