"""The options of reading pictures. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nunbit.options import Option, Options

__all__ = ["DataOptions", "Fit"]

Fit = Literal["crop", "pad", "squash"]


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
    fit: Annotated[
        Fit,
        Option(
            "How a picture that is no square becomes one: cut, add bars, or squash.",
            group="Pictures",
        ),
    ] = "squash"
    channels: Annotated[
        Literal["auto", "grey", "rgb"],
        Option("Colours the network sees; auto: grey where a sample of 100 is.", group="Pictures"),
    ] = "auto"
    validation: Annotated[
        float,
        Option(
            "Share of the training pictures kept for validation, where the source has none.",
            low=0.0,
            high=0.9,
            group="Pictures",
        ),
    ] = 0.1
    skip_class: Annotated[
        tuple[str, ...],
        Option("Class to leave out; may be given several times.", group="Pictures"),
    ] = ()
    seed: Annotated[int, Option("Start of all randomness.", low=0, group="Training")] = 0
