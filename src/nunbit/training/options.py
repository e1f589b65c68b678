"""The options of training, and how those left open are filled in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from nunbit.errors import OptionError
from nunbit.options import Option, Options

__all__ = ["TrainOptions", "resolve"]

PICTURES_SEEN = 250_000
"""Pictures that a network sees in all where ``epochs`` is left open."""


@dataclass(frozen=True)
class TrainOptions(Options):
    """How a network is trained. None means: chosen by a stated rule, then written down."""

    epochs: Annotated[
        int | None,
        Option(
            "Times through the training pictures; default: 250,000 pictures in all, 5 to 40 times.",
            low=1,
            group="Training",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        Option(
            "Pictures per step; default: a fortieth of the pictures, 16 to 256.",
            unit="pictures",
            low=1,
            group="Training",
        ),
    ] = None
    lr: Annotated[
        float | None,
        Option(
            "Peak learning rate; default: by optimizer, schedule, network and batch size.",
            low=0.0,
            open_low=True,
            group="Training",
        ),
    ] = None
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd"],
        Option("How weights are changed; sgd has Nesterov momentum.", group="Training"),
    ] = "adamw"
    schedule: Annotated[
        Literal["one-cycle", "cosine", "step", "constant"],
        Option("How the learning rate goes over the run.", group="Training"),
    ] = "one-cycle"
    seed: Annotated[int, Option("Start of all randomness.", low=0, group="Training")] = 0
    augment: Annotated[
        str,
        Option(
            "How training pictures are moved about: auto, none, light, photo, course, "
            "any-way-up, trivial, or a TOML file.",
            group="Training",
        ),
    ] = "auto"
    patience: Annotated[
        int | None,
        Option(
            "Stop after this many epochs without a better score, and keep the best weights.",
            unit="epochs",
            low=0,
            group="Training",
        ),
    ] = None
    monitor: Annotated[
        str,
        Option("Score that patience, plateau-patience and save-best-only watch.", group="Training"),
    ] = "val_loss"
    device: Annotated[str, Option("auto, cpu, cuda, cuda:1 or mps.", group="Training")] = "auto"
    split_model: Annotated[
        int,
        Option(
            "Parts of the network on as many devices: 2 puts the two towers of `alexnet` on two.",
            unit="devices",
            low=1,
            high=8,
            group="Training",
        ),
    ] = 1
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Option(
            "Numbers in training; auto: bfloat16 where the processor computes in it.",
            group="Training",
        ),
    ] = "auto"
    weight_decay: Annotated[
        float | None,
        Option(
            "Pull of weights towards 0 (not of biases and norms); default: 0.05 for adamw, "
            "5e-4 for sgd, 0 for adam.",
            low=0.0,
            group="Fine points",
        ),
    ] = None
    momentum: Annotated[
        float, Option("Momentum of sgd.", low=0.0, high=0.9999, group="Fine points")
    ] = 0.9
    warmup_epochs: Annotated[
        float | None,
        Option(
            "Epochs in which the learning rate rises; default: a quarter of the run for "
            "one-cycle, else 0.",
            unit="epochs",
            low=0.0,
            group="Fine points",
        ),
    ] = None
    step_epochs: Annotated[
        int | None,
        Option(
            "Epochs between cuts of schedule step; default: a third of the run.",
            unit="epochs",
            low=1,
            group="Fine points",
        ),
    ] = None
    step_factor: Annotated[
        float,
        Option(
            "What schedule step multiplies the learning rate by.",
            low=0.0,
            high=1.0,
            open_low=True,
            group="Fine points",
        ),
    ] = 0.1
    label_smoothing: Annotated[
        float,
        Option(
            "Share of certainty spread over all classes; counts in loss, not in val_loss.",
            low=0.0,
            high=0.9,
            group="Fine points",
        ),
    ] = 0.0
    clip_norm: Annotated[
        float | None,
        Option(
            "Largest length of the gradient; default: not clipped.",
            low=0.0,
            open_low=True,
            group="Fine points",
        ),
    ] = None
    accumulate: Annotated[
        int,
        Option(
            "Parts a batch is computed in, to save memory; the step stays the same, but batch "
            "norm sees the parts.",
            unit="parts",
            low=1,
            group="Fine points",
        ),
    ] = 1
    plateau_patience: Annotated[
        int | None,
        Option(
            "Divide the learning rate by 10 after this many epochs without a better score; "
            "with schedule constant.",
            unit="epochs",
            low=0,
            group="Fine points",
        ),
    ] = None
    save_best_only: Annotated[
        bool,
        Option(
            "Also keep the best epoch's network, as checkpoints/best.safetensors.",
            group="Fine points",
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plateau_patience is not None and self.schedule != "constant":
            raise OptionError(
                f"`plateau_patience` cuts the learning rate itself and cannot go with schedule "
                f"`{self.schedule}`. Pass `--schedule constant`."
            )


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
    rising = options.schedule in ("one-cycle", "cosine")
    if options.optimizer == "sgd":
        lr = (0.1 if rising else 0.01) * (batch_size / 256) * (network_lr / 0.01)
    else:
        lr = network_lr * math.sqrt(batch_size / 256) if rising else 0.001
    decay = options.weight_decay
    if decay is None:
        decay = {"adamw": 0.05, "sgd": 5e-4, "adam": 0.0}[options.optimizer]
    warmup = options.warmup_epochs
    if warmup is None:
        warmup = epochs / 4 if options.schedule == "one-cycle" else 0.0
    return replace(
        options,
        epochs=epochs,
        batch_size=batch_size,
        lr=round(lr, 8) if options.lr is None else options.lr,
        weight_decay=decay,
        warmup_epochs=warmup,
        step_epochs=options.step_epochs or -(-epochs // 3),
    )


def _batch_size(pictures: int) -> int:
    """Return the power of two nearest to a fortieth of the pictures, 16 to 256."""
    return int(2 ** min(max(round(math.log2(max(pictures, 1) / 40)), 4), 8))
