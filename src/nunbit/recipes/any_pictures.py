"""Recipes for pictures that nobody has tuned for: rules from their number, size and colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nunbit.errors import OptionError

__all__ = ["Facts", "any_pictures"]


@dataclass(frozen=True)
class Facts:
    """What is known of pictures before the first step.

    Args:
        pictures: To train on.
        image_size: Side of the square that the network sees, in pixels.
        channels: 1 = grey, 3 = RGB.
        device: Where it is trained: cpu, cuda or mps. A GPU has time for more.
    """

    pictures: int
    image_size: int
    channels: int
    device: str = "cpu"

    def epochs(self, seen: int, *, least: int, most: int) -> int:
        """Return the epochs in which so many pictures are seen, on a GPU four times as many."""
        factor = 1 if self.device == "cpu" else 4
        return min(max(round(factor * seen / self.pictures), least), factor * most)


def any_pictures(kind: str, facts: Facts) -> dict[str, Any]:
    """Return the options of a recipe for these pictures, by their names in Python.

    Raises:
        OptionError: There is no such kind.
    """
    if kind == "course":
        return _course(facts)
    if kind == "fast":
        return _fast(facts)
    if kind == "best":
        return _best(facts)
    raise OptionError(f"recipe is `{kind}`, expected fast, best or course.")


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


def _fast(facts: Facts) -> dict[str, Any]:
    """Half the pictures that training sees by default, with softened labels."""
    return {
        "network": "auto",
        "epochs": facts.epochs(125_000, least=3, most=20),
        "label_smoothing": 0.1,
        "augment": "auto",
    }


def _best(facts: Facts) -> dict[str, Any]:
    """Four times as many pictures, changed more, with softened labels."""
    return {
        "network": "auto",
        "epochs": facts.epochs(1_000_000, least=10, most=120),
        "label_smoothing": 0.1,
        "augment": "light" if facts.channels == 1 else "photo",
    }
