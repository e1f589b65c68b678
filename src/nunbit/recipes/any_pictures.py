"""Recipes for pictures that nobody has tuned for: those of the set that is most like them.

Photographs are trained as the recipe for ``cats-dogs`` trains, small colour pictures as that
for ``cifar10``, small grey ones as that for ``mnist``. Epochs follow the number of pictures,
within bounds, so that about as many are seen in all; few pictures get smaller batches, and
learning rates follow the batch. What no measured recipe is like gets the network ``auto``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nunbit.recipes.files import check_kind, find_recipe

__all__ = ["Facts", "any_pictures"]

PHOTO = 112
"""Side from which pictures are taken for photographs, in pixels."""
SMALL = 20, 48
"""Sides from and to which pictures are small."""
SEEN = {"cats-dogs": 2_000, "cifar10": 50_000, "mnist": 60_000}
"""Pictures that each recipe was made for."""
EPOCHS = {"fast": (1, 60), "best": (6, 150)}
"""Fewest and most epochs on a processor."""
LEAST_BATCH = 32


@dataclass(frozen=True)
class Facts:
    """What is known of pictures before they are decoded.

    Args:
        pictures: To train on, about.
        image_size: Side of the square that they would be made to, in pixels.
        channels: 1 = grey, 3 = RGB.
        device: Where it is trained: cpu, cuda or mps. A GPU has time for more.
    """

    pictures: int
    image_size: int
    channels: int
    device: str = "cpu"


def any_pictures(
    kind: str, facts: Facts, asked: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the options of a recipe for these pictures, by their names in Python.

    Args:
        asked: What the user asks for. Learning rates suit its batch size, warm-up its epochs;
            weights and options of a network are meant for ``auto``, where no other is named.
    Raises:
        OptionError: There is no such kind.

    Example:
        >>> any_pictures("best", Facts(500, 128, 3))["network"]
        'airbench-photo'
    """
    check_kind(kind)
    if kind == "course":
        return _course(facts)
    like = _like(facts)
    for_auto = {"weights", "network_option"} & asked.keys() and "network" not in asked
    if for_auto or asked.get("parallel") == "fsdp":  # which muon cannot go with
        like = None
    if like is None:
        return _usual(kind, facts)
    found = {**find_recipe(kind, like).options}
    del found["validation"]  # nobody has parted a test set from these
    epochs, batch = found["epochs"], found["batch_size"]
    found["epochs"] = asked.get("epochs") or _epochs(kind, epochs * SEEN[like], facts)
    if "warmup_epochs" in found:
        found["warmup_epochs"] = round(found["warmup_epochs"] * found["epochs"] / epochs, 2)
    small = 2 ** round(math.log2(max(facts.pictures, 1) / 40))  # enough steps in an epoch
    found["batch_size"] = asked.get("batch_size") or min(max(small, LEAST_BATCH), batch)
    rate = math.sqrt(found["batch_size"] / batch)
    for name in {"lr", "bias_lr", "head_lr"} & found.keys():
        found[name] = round(found[name] * rate, 6)
    if like == "mnist":  # a digit that is turned and moved stays one; of others nobody knows
        found["augment"] = "none" if kind == "fast" else "light"
    return found


def _like(facts: Facts) -> str | None:
    """Return the set whose recipe suits these pictures."""
    if facts.channels == 3 and facts.image_size >= PHOTO:
        return "cats-dogs"
    if SMALL[0] <= facts.image_size <= SMALL[1]:
        return "cifar10" if facts.channels == 3 else "mnist"
    return None


def _epochs(kind: str, seen: int, facts: Facts) -> int:
    """Return the epochs in which so many pictures are seen, on a GPU four times as many."""
    least, most = EPOCHS[kind]
    factor = 1 if facts.device == "cpu" else 4
    return min(max(round(factor * seen / max(facts.pictures, 1)), least), factor * most)


def _course(facts: Facts) -> dict[str, Any]:
    """As the course trains: its network for small pictures, or the one for photographs."""
    small = facts.image_size <= 64
    return {
        "network": "cnn-mnist" if small else "cnn-cats-dogs",
        "optimizer": "adam",
        "schedule": "constant",
        "lr": 0.001,
        "batch_size": 200 if small else 100,
        "epochs": 30 if small else 100,
        "patience": 3,
        "save_best_only": True,
        "augment": "none" if facts.channels == 1 else "course",
    }


def _usual(kind: str, facts: Facts) -> dict[str, Any]:
    """Softened labels, and half or four times the pictures that training sees by default."""
    seen = {"fast": 125_000, "best": 1_000_000}[kind]
    slight = "light" if facts.channels == 1 else "photo"
    return {
        "network": "auto",
        "epochs": _epochs(kind, seen, facts),
        "label_smoothing": 0.1,
        "augment": "auto" if kind == "fast" else slight,
    }
