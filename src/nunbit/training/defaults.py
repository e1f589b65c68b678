"""How options of training that are left open are filled in."""

from __future__ import annotations

import math
from dataclasses import replace

from nunbit.training.options import TrainOptions

__all__ = ["resolve"]

PICTURES_SEEN = 250_000
"""Pictures that a network sees in all where ``epochs`` is left open."""

MUON_LR = 0.1
"""Peak learning rate of muon at batch 256 for a network that takes AdamW at 0.01."""


def resolve(options: TrainOptions, *, pictures: int, network_lr: float) -> TrainOptions:
    """Fill in every option that was left open, so that the run folder can say all.

    Args:
        pictures: Number of training pictures.
        network_lr: Peak learning rate of AdamW that suits the network at batch 256.

    Example:
        >>> chosen = resolve(TrainOptions(), pictures=54_000, network_lr=0.01)
        >>> chosen.epochs, chosen.batch_size, chosen.lr
        (5, 256, 0.01)
    """
    epochs = options.epochs or min(max(round(PICTURES_SEEN / pictures), 5), 40)
    batch_size = options.batch_size or _batch_size(pictures)
    rising = options.schedule in ("one-cycle", "cosine", "linear", "restarts")
    if options.optimizer == "muon":
        lr = MUON_LR * math.sqrt(batch_size / 256) * (network_lr / 0.01)
    elif options.optimizer == "sgd":
        lr = (0.1 if rising else 0.01) * (batch_size / 256) * (network_lr / 0.01)
    else:
        lr = network_lr * math.sqrt(batch_size / 256) if rising else 0.001
    decay = options.weight_decay
    if decay is None:
        decay = {"adamw": 0.05, "sgd": 5e-4, "adam": 0.0, "muon": 0.0}[options.optimizer]
    warmup = options.warmup_epochs
    if warmup is None:
        warmup = epochs / 4 if options.schedule in ("one-cycle", "linear") else 0.0
    return replace(
        options,
        epochs=epochs,
        batch_size=batch_size,
        lr=round(lr, 8) if options.lr is None else options.lr,
        weight_decay=decay,
        warmup_epochs=warmup,
        step_epochs=options.step_epochs or -(-epochs // 3),
        restart_epochs=options.restart_epochs or max(1, epochs // 7),
    )


def _batch_size(pictures: int) -> int:
    """Return the power of two nearest to a fortieth of the pictures, 16 to 256."""
    return int(2 ** min(max(round(math.log2(max(pictures, 1) / 40)), 4), 8))
