"""Watching one score: which one, which way is better, what counts as better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nunbit.errors import OptionError, did_you_mean
from nunbit.tasks import Direction

__all__ = ["Mode", "Monitor"]

Mode = Literal["auto", "min", "max"]


@dataclass(frozen=True)
class Monitor:
    """A score to watch.

    Args:
        name: Such as ``"val_loss"``.
        mode: ``"auto"`` takes the direction that the task states for the score.
        min_delta: Smallest change that counts; its sign is ignored.
    Source: Keras 3, the logic shared by its three monitoring callbacks.
    Departs: an unknown score is an error before the first epoch, not a warning;
        a score that is not a number never counts as best.
    """

    name: str
    mode: Mode = "auto"
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "min", "max"):
            raise OptionError(f"`mode` is {self.mode!r}, expected `auto`, `min` or `max`.")

    def direction(self, known: Mapping[str, Direction], *, owner: str) -> Direction:
        """Return which way is better.

        Raises:
            OptionError: There will be no such score.
        """
        if self.name not in known:
            hint = did_you_mean(self.name, known)
            if self.name.startswith("val_") and not any(n.startswith("val_") for n in known):
                hint = (
                    " There are no validation pictures: pass `--validation 0.1`, or watch another "
                    "score."
                )
            raise OptionError(
                f"{owner} watches `{self.name}`, which is not measured."
                f"{hint} Measured: {', '.join(known)}."
            )
        return known[self.name] if self.mode == "auto" else self.mode

    def is_better(self, value: float, best: float | None, direction: Direction) -> bool:
        """Return whether ``value`` beats ``best`` by more than ``min_delta``."""
        if value != value:  # not a number
            return False
        if best is None:
            return True
        if direction == "min":
            return value + abs(self.min_delta) < best
        return value - abs(self.min_delta) > best
