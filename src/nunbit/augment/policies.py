"""TrivialAugment and RandAugment: operations drawn for each picture.

Source: Müller & Hutter 2021, arXiv:2103.10158 (TrivialAugment, the wide space);
Cubuk et al. 2019, arXiv:1909.13719 (RandAugment); strengths in 31 steps as in
torchvision.
Departs: movements of one picture become part of its one warp, so they come before
its changes of colour; both move by at most 150/331 of the side (32 pixels would be
all of a small picture); shears leave the middle where it is, not the corner.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nunbit.augment.affine import Floats, Movements
from nunbit.augment.draw import Column, Draws
from nunbit.augment.options import Augment
from nunbit.augment.tone import Step, Tone

__all__ = ["OPERATIONS", "policy_matrices", "policy_steps"]

OPERATIONS: tuple[str | Tone, ...] = (
    "identity",
    "shear columns",
    "shear rows",
    "move columns",
    "move rows",
    "turn",
    Tone.BRIGHTNESS,
    Tone.SATURATION,
    Tone.CONTRAST,
    Tone.SHARPNESS,
    Tone.POSTERIZE,
    Tone.SOLARIZE,
    Tone.AUTOCONTRAST,
    Tone.EQUALIZE,
)
STRONGEST = 30
LONGEST_MOVE = 150 / 331
"""Share of the side."""
_BLENDS = (Tone.BRIGHTNESS, Tone.SATURATION, Tone.CONTRAST, Tone.SHARPNESS)
_WIDE = {"shear": 0.99, "turn": 135.0, "blend": 0.99, "bits": 6.0}
_NARROW = {"shear": 0.3, "turn": 30.0, "blend": 0.9, "bits": 4.0}


def policy_matrices(augment: Augment, draws: Draws, *, height: int, width: int) -> list[Floats]:
    """Return the movements that a policy asks for, one array (B, 2, 3) for each operation."""
    found = []
    for which, strength, sign, most in _slots(augment, draws):
        moved = strength * sign * LONGEST_MOVE
        none = np.zeros(len(draws))
        matrices = Movements(
            theta=np.where(which == 5, strength * sign * most["turn"], 0.0),
            shear=none,
            shift_columns=np.where(which == 3, moved * width, 0.0),
            shift_rows=np.where(which == 4, moved * height, 0.0),
            zoom_columns=none + 1,
            zoom_rows=none + 1,
            flip_columns=none > 0,
            flip_rows=none > 0,
        ).pull_matrices(height=height, width=width)
        slope = strength * sign * most["shear"]
        for number, line, along, middle in (
            (1, 0, 1, (height - 1) / 2),
            (2, 1, 0, (width - 1) / 2),
        ):
            chosen = np.where(which == number, slope, 0.0)
            matrices[:, line, along] += chosen
            matrices[:, line, 2] -= chosen * middle
        found.append(matrices)
    return found


def policy_steps(augment: Augment, draws: Draws) -> Iterator[Step]:
    """Yield the changes of colour that a policy asks for, operation by operation."""
    for which, strength, sign, most in _slots(augment, draws):
        tones = np.array([int(o) if isinstance(o, Tone) else int(Tone.NONE) for o in OPERATIONS])
        kinds = tones[which]
        amounts = np.zeros(len(draws))
        for kind, values in (
            *((blend, 1 + strength * sign * most["blend"]) for blend in _BLENDS),
            (Tone.POSTERIZE, 8 - np.round(strength * most["bits"])),
            (Tone.SOLARIZE, 255 - np.round(255 * strength, 9)),
        ):
            amounts = np.where(kinds == kind, values, amounts)
        yield Step(kinds, amounts)


def _slots(
    augment: Augment, draws: Draws
) -> Iterator[tuple[NDArray[np.int64], Floats, Floats, dict[str, float]]]:
    """Yield, for each operation: which one (B,), strength 0..1 (B,), sign (B,), the strongest."""
    count = 1 if augment.trivial_augment else (augment.rand_augment or (0, 0))[0]
    for k in range(count):
        column = Column.POLICY + 3 * k
        if augment.rand_augment is not None:
            steps, most = np.full(len(draws), augment.rand_augment[1]), _NARROW
        else:
            steps, most = draws.integers(column + 1, STRONGEST + 1), _WIDE
        which = draws.integers(column, len(OPERATIONS))
        sign = np.where(draws.chance(column + 2), 1.0, -1.0)
        yield which, steps / STRONGEST, sign, most
