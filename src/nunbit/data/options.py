"""The options of reading pictures. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nunbit.options import Option, Options

__all__ = ["ChannelsOption", "DataOptions", "Fit", "FitOption", "SkipClassOption"]

Fit = Literal["crop", "pad", "squash"]

# Fields that other commands have, too, with the same words.
FitOption = Annotated[
    Fit,
    Option(
        "How a picture that is no square becomes one: cut, add bars, or squash.", group="Pictures"
    ),
]
ChannelsOption = Annotated[
    Literal["auto", "grey", "rgb"],
    Option("Colours the network sees; auto: grey where a sample of 100 is.", group="Pictures"),
]
SkipClassOption = Annotated[
    tuple[str, ...],
    Option("Class to leave out; may be given several times.", group="Pictures"),
]


@dataclass(frozen=True)
class DataOptions(Options):
    """Which pictures, and how they become the network's input."""

    image_size: Annotated[
        int | None,
        Option(
            "Side of the square the network sees; default: the source's own, at most 128.",
            unit="pixels",
            low=4,
            high=4096,
            group="Pictures",
        ),
    ] = None
    train_size: Annotated[
        int | None,
        Option(
            "Side at which training pictures are kept and augmented, before they are shrunk to "
            "image-size: parts cut out of them stay sharp. Default: image-size.",
            unit="pixels",
            low=4,
            high=4096,
            group="Pictures",
        ),
    ] = None
    fit: FitOption = "squash"
    channels: ChannelsOption = "auto"
    validation: Annotated[
        float,
        Option(
            "Share of the training pictures kept for validation, where the source has none.",
            low=0.0,
            high=0.9,
            group="Pictures",
        ),
    ] = 0.1
    split: Annotated[
        str,
        Option(
            "How validation pictures are chosen: random (seeded, by class), position (the first "
            "of each class by name, as Keras), or the split.csv of a run, or its folder.",
            group="Pictures",
        ),
    ] = "random"
    fold: Annotated[
        str | None,
        Option(
            "Validate on one of several folds instead of a share: 2/5 is the second of five.",
            group="Pictures",
        ),
    ] = None
    group_by: Annotated[
        str | None,
        Option(
            "Regular expression that finds the group in a picture's name, such as "
            "'patient(\\d+)'; pictures of one group are never parted.",
            group="Pictures",
        ),
    ] = None
    exclude: Annotated[
        str | None,
        Option(
            "File that lists pictures to leave out; `nunbit check --exclude-file` writes it.",
            group="Pictures",
        ),
    ] = None
    skip_class: SkipClassOption = ()
    check: Annotated[
        Literal["fast", "off"],
        Option(
            "fast looks for duplicates, leaks and tiny classes before training.", group="Pictures"
        ),
    ] = "fast"
    cache: Annotated[
        Literal["auto", "off"],
        Option(
            "auto keeps decoded pictures from run to run, off decodes them anew.",
            group="Pictures",
        ),
    ] = "auto"
    memory: Annotated[
        float | None,
        Option(
            "Memory for decoded pictures, more lie in a file; default: a third of what is free.",
            unit="GB",
            low=0.0,
            group="Pictures",
        ),
    ] = None
    stream: Annotated[
        bool,
        Option(
            "Read pictures anew each epoch through a shuffle buffer, decode nothing ahead.",
            group="Pictures",
        ),
    ] = False
    shuffle_buffer: Annotated[
        int,
        Option(
            "Encoded pictures that the shuffle buffer of --stream holds; 2,000 of 100 kB take "
            "200 MB.",
            unit="pictures",
            low=1,
            group="Pictures",
        ),
    ] = 2000
    seed: Annotated[int, Option("Start of all randomness.", low=0, group="Training")] = 0
