"""``Movements``: turn, shift, shear, zoom and flip of a batch as one matrix per picture.

Source: Keras' ``ImageDataGenerator``: rotation . shift . shear . zoom about the centre.
Departs: from Keras' code in the centre, which there is the true one for squares only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Movements"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Movements:
    """How each picture of a batch moves; the matrices map output to input positions.

    A positive angle turns the content anticlockwise, a positive shift moves it
    towards smaller indices, a zoom factor below 1 magnifies.

    Shape:
        every field: (B,).
    Args:
        theta: Angle of the turn, in degrees.
        shear: Angle of the shear, in degrees.
        shift_columns: Sideways, in pixels.
        shift_rows: Up or down, in pixels.
        zoom_columns: Factor along a row of pixels.
        zoom_rows: Factor along a column of pixels.
        flip_columns: Whether left and right change places.
        flip_rows: Whether top and bottom change places.
    """

    theta: Floats
    shear: Floats
    shift_columns: Floats
    shift_rows: Floats
    zoom_columns: Floats
    zoom_rows: Floats
    flip_columns: NDArray[np.bool_]
    flip_rows: NDArray[np.bool_]

    @classmethod
    def none(cls, count: int) -> Movements:
        """Return the movements that leave ``count`` pictures where they are."""
        zero, one, off = np.zeros(count), np.ones(count), np.zeros(count, bool)
        return cls(zero, zero, zero, zero, one, one, off, off)

    def pull_matrices(
        self, *, height: int, width: int, centre: tuple[float, float] | None = None
    ) -> Floats:
        """Return the matrices from output (column, row, 1) to input (column, row).

        Flips mirror the array whatever the centre is, as they do in Keras.

        Shape:
            returns: (B, 2, 3).
        Args:
            height: Rows of the pictures.
            width: Columns of the pictures.
            centre: (column, row) about which they turn, shear and zoom; by default
                the middle of the picture.
        """
        x, y = centre if centre is not None else ((width - 1) / 2, (height - 1) / 2)
        turn = np.radians(np.asarray(self.theta, np.float64))
        both = turn + np.radians(np.asarray(self.shear, np.float64))
        cos, sin = np.cos(turn), np.sin(turn)
        # rotation . shear . zoom: the product of the three, written out
        a, b = cos * self.zoom_columns, -np.sin(both) * self.zoom_rows
        c, d = sin * self.zoom_columns, np.cos(both) * self.zoom_rows
        move_x = cos * self.shift_columns - sin * self.shift_rows
        move_y = sin * self.shift_columns + cos * self.shift_rows
        matrices = np.empty((len(turn), 2, 3))
        matrices[:, 0, 2] = x - (a * x + b * y) + move_x
        matrices[:, 1, 2] = y - (c * x + d * y) + move_y
        for axis, (flip, last) in enumerate(
            ((self.flip_columns, width - 1), (self.flip_rows, height - 1))
        ):
            column = np.stack([(a, b)[axis], (c, d)[axis]], axis=1)  # (B, 2)
            mirrored = np.asarray(flip, bool)[:, None]
            matrices[:, :, axis] = np.where(mirrored, -column, column)
            matrices[:, :, 2] += np.where(mirrored, column * last, 0.0)
        return matrices
