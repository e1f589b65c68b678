"""The recipes of the named sets: one TOML file each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from nunbit.errors import OptionError, did_you_mean

__all__ = [
    "KINDS",
    "SIZES",
    "Measured",
    "Recipe",
    "beside",
    "check_kind",
    "find_recipe",
    "list_recipes",
]

KINDS = ("fast", "best", "course")
"""``fast``: good in the least time. ``best``: what this machine reaches in minutes.
``course``: as the course trains, to compare with."""


SIZES = ("image_size", "train_size", "first_size", "growing_frac")
"""Options that say how large pictures are."""
OF_NETWORK = ("network", "network_option", *SIZES)
OF_OPTIMIZER = (
    "schedule",
    "warmup_epochs",
    "lr",
    "momentum",
    "weight_decay",
    "bias_lr",
    "head_lr",
    "rest_optimizer",
    "muon_steps",
    "fixed_length",
)
"""Options that were tuned for the recipe's network and optimizer."""


@dataclass(frozen=True)
class Measured:
    """What a recipe gave.

    Args:
        accuracy: Mean over the runs, on the test set, 0..1.
        sd: Standard deviation over the runs.
        n: Runs, each with another seed.
        seconds: Median time of training.
        hardware: Where.
    """

    accuracy: float
    sd: float
    n: int
    seconds: float
    hardware: str

    def __str__(self) -> str:
        """Return it in one line for people."""
        spread = f" ± {100 * self.sd:.2f}" if self.n > 1 else ""
        return (
            f"{100 * self.accuracy:.2f}{spread} % (n = {self.n}), "
            f"{self.seconds:,.0f} s of training on {self.hardware}"
        )


@dataclass(frozen=True)
class Recipe:
    """Options under a name.

    Args:
        kind: One of :data:`KINDS`.
        source: The named set, or an empty text for any other pictures.
        options: By their names in Python; what is not in it keeps its default.
        measured: What came out, or None.
        text: The file as it stands, with its reasons; empty for any other pictures.
    """

    kind: str
    source: str
    options: Mapping[str, Any]
    measured: Measured | None = None
    text: str = ""

    def __str__(self) -> str:
        """Return what it is, and what it gave where that was measured."""
        if not self.source:
            return f"{self.kind}, by the number, size and colour of the pictures"
        gave = f", which gave {self.measured}" if self.measured else ""
        return f"{self.name}{gave}"

    @property
    def name(self) -> str:
        """Its name: ``mnist-fast``; of any other pictures, its kind."""
        return f"{self.source}-{self.kind}" if self.source else self.kind

    @property
    def command(self) -> str:
        """What to type."""
        return f"nunbit train {self.source or 'SOURCE'} --recipe {self.kind}"


def find_recipe(kind: str, source: str) -> Recipe:
    """Return the recipe of a kind for a source.

    Args:
        source: As ``nunbit train`` takes it; what is no named set with a recipe of its own
            gets the options of :func:`nunbit.recipes.any_pictures` later, when the pictures
            are known, and none from here.
    Raises:
        OptionError: There is no such kind.

    Example:
        >>> find_recipe("fast", "mnist").command
        'nunbit train mnist --recipe fast'
        >>> find_recipe("fast", "photos/").options
        {}
    """
    check_kind(kind)
    file = resources.files("nunbit.recipes") / f"{source}-{kind}.toml"
    if "/" in source or "\\" in source or not file.is_file():
        return Recipe(kind, "", {})
    return _read(kind, source, file.read_text(encoding="utf-8"))


def check_kind(kind: str) -> None:
    """Refuse a kind that does not exist.

    Raises:
        OptionError: There is no such kind.
    """
    if kind not in KINDS:
        raise OptionError(
            f"recipe is `{kind}`, expected one of {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}"
        )


def beside(options: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what counts of a recipe beside what the user asks for.

    Learning rates and what else an optimizer takes were tuned for one network and one
    optimizer; with another one they would be guesses, and some of them ruin it.

    Example:
        >>> muon = {"network": "airbench", "optimizer": "muon", "lr": 0.24, "epochs": 4}
        >>> beside(muon, {"network": "resnet-20"})
        {'epochs': 4}
        >>> beside(muon, {"epochs": 8})
        {'network': 'airbench', 'optimizer': 'muon', 'lr': 0.24, 'epochs': 4}
    """
    kept = dict(options)
    if asked.keys() & {"image_size", "train_size", "first_size"}:  # then sizes are the user's
        kept = _without(kept, SIZES)
    if asked.get("rest_optimizer", kept.get("rest_optimizer")) != kept.get("rest_optimizer"):
        kept = _without(kept, ("rest_optimizer", "bias_lr", "head_lr"))
    if asked.get("network", kept.get("network")) != kept.get("network"):
        kept = _without(kept, (*OF_NETWORK, *OF_OPTIMIZER, "optimizer"))
    usual = kept.get("optimizer", "adamw")
    if asked.get("optimizer", usual) != usual:
        kept = _without(kept, (*OF_OPTIMIZER, "optimizer"))
    return kept


def _without(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}


def list_recipes() -> list[Recipe]:
    """Return the recipes of all named sets, by set and kind."""
    names = sorted(each.name for each in resources.files("nunbit.recipes").iterdir())
    found = []
    for name in names:
        source, _, kind = name.removesuffix(".toml").rpartition("-")
        if name.endswith(".toml") and kind in KINDS:
            found.append(find_recipe(kind, source))
    return sorted(found, key=lambda each: (each.source, KINDS.index(each.kind)))


def _read(kind: str, source: str, text: str) -> Recipe:
    values = tomllib.loads(text)
    measured = values.pop("measured", None)
    options = {name.replace("-", "_"): value for name, value in values.items()}
    return Recipe(kind, source, options, Measured(**measured) if measured else None, text)
