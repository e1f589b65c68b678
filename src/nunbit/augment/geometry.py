"""``Augment``: geometric augmentation under the names of Keras' ``ImageDataGenerator``.

All movements of one picture become one affine matrix and one warp, so that a
picture is interpolated once however many options are on. What is drawn for a
picture is a function of (seed, epoch, picture id) alone.

Source: Keras' ``ImageDataGenerator``, as its documentation describes it.
Departs: from Keras' code where that departs from its documentation: since 2.9
``height_shift_range`` moves pictures sideways there, and pictures that are no
square turn about a wrong centre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.options import Option, Options
from nunbit.randomness import make_rng

__all__ = ["Augment"]

_BORDERS = {
    "nearest": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_WRAP,
}


@dataclass(frozen=True)
class Augment(Options):
    """How far training pictures are moved about; every default means "not at all".

    Example:
        >>> import numpy as np
        >>> picture = np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1)
        >>> flips = Augment(horizontal_flip=True)
        >>> out = flips.apply(picture, ids=[7], seed=0, epoch=0)
        >>> out.shape, out.dtype
        ((1, 3, 3, 1), dtype('uint8'))
    """

    rotation_range: Annotated[
        float, Option("Turned by up to this, either way.", unit="degrees", low=0.0, high=180.0)
    ] = 0.0
    width_shift_range: Annotated[
        float,
        Option("Moved sideways by up to this: below 1 a share of the width, else pixels.", low=0.0),
    ] = 0.0
    height_shift_range: Annotated[
        float,
        Option("Moved up or down by up to this: below 1 a share of height, else pixels.", low=0.0),
    ] = 0.0
    shear_range: Annotated[
        float, Option("Sheared by up to this, either way.", unit="degrees", low=0.0, high=89.0)
    ] = 0.0
    zoom_range: Annotated[
        float | tuple[float, float],
        Option(
            "Factors lie in 1-z..1+z, or in the pair given, rows and columns apart; "
            "below 1 magnifies."
        ),
    ] = 0.0
    horizontal_flip: Annotated[bool, Option("Mirrored left to right, half of them.")] = False
    vertical_flip: Annotated[bool, Option("Mirrored top to bottom, half of them.")] = False
    fill_mode: Annotated[
        Literal["nearest", "constant", "reflect", "wrap"],
        Option("What lies beyond the border."),
    ] = "nearest"
    cval: Annotated[
        float, Option("Value beyond the border for fill_mode constant.", low=0.0, high=255.0)
    ] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.zoom
        if not (math.isfinite(low) and math.isfinite(high) and 0 < low <= high):
            from nunbit.errors import OptionError

            raise OptionError(
                f"`zoom_range` is {self.zoom_range!r}, expected 0 <= z < 1 or a pair "
                "0 < low <= high of factors."
            )

    @property
    def zoom(self) -> tuple[float, float]:
        """The range of zoom factors."""
        if isinstance(self.zoom_range, tuple):
            return self.zoom_range
        return 1 - self.zoom_range, 1 + self.zoom_range

    @property
    def is_identity(self) -> bool:
        """Whether no option is on."""
        moving = [f.name for f in fields(self) if f.name not in ("fill_mode", "cval")]
        return all(getattr(self, name) == type(self).__dict__[name] for name in moving)

    def sample_matrix(
        self, rng: np.random.Generator, *, height: int, width: int
    ) -> NDArray[np.float64]:
        """Draw one movement.

        Every number is drawn whatever options are on, so that turning one option
        on does not change what another one does to a picture.

        Shape:
            returns: (2, 3), from output (column, row, 1) to input (column, row).
        Source: Keras: rotation . shift . shear . zoom about the centre.
        """
        unit = rng.uniform(-1, 1, 4)
        zoom_y, zoom_x = rng.uniform(*self.zoom, 2)
        flips = rng.random(2) < 0.5
        turn = math.radians(self.rotation_range * unit[0])
        shift_y = _pixels(self.height_shift_range, height) * unit[1]
        shift_x = _pixels(self.width_shift_range, width) * unit[2]
        shear = math.radians(self.shear_range * unit[3])
        cos, sin = math.cos(turn), math.sin(turn)
        rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        move = np.array([[1, 0, shift_x], [0, 1, shift_y], [0, 0, 1]])
        slant = np.array([[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]])
        scale = np.diag([zoom_x, zoom_y, 1.0])
        if self.horizontal_flip and flips[0]:
            scale = scale @ np.diag([-1.0, 1, 1])
        if self.vertical_flip and flips[1]:
            scale = scale @ np.diag([1, -1.0, 1])
        x, y = (width - 1) / 2, (height - 1) / 2
        to_centre = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
        back = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
        matrix = back @ rotation @ move @ slant @ scale @ to_centre
        return np.asarray(matrix[:2])

    def apply(
        self, pictures: NDArray[np.uint8], *, ids: Sequence[int], seed: int, epoch: int
    ) -> NDArray[np.uint8]:
        """Move each picture of a batch in its own way.

        Shape:
            pictures: uint8 (B, H, W, C); not changed.
            returns: uint8 (B, H, W, C).
        Args:
            ids: The picture ids; with seed and epoch they decide what is drawn.
        """
        moved = np.empty_like(pictures)
        height, width, channels = pictures.shape[1:]
        for picture, target, number in zip(pictures, moved, ids, strict=True):
            rng = make_rng(seed, "augment", epoch, int(number))
            target[...] = cv2.warpAffine(
                picture,
                self.sample_matrix(rng, height=height, width=width),
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=_BORDERS[self.fill_mode],
                borderValue=(self.cval,) * 4,
            ).reshape(height, width, channels)
        return moved


def _pixels(amount: float, extent: int) -> float:
    return amount * extent if amount < 1 else amount
