"""Pictures of a batch written to a folder, to look at what the network is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.errors import OptionError, StorageError
from nunbit.keras._errors import FolderMissingError

__all__ = ["Saving", "stretch"]


@dataclass(frozen=True)
class Saving:
    """Where and under what names pictures are written; a ``folder`` of None writes nothing."""

    folder: str | None
    prefix: str
    format: str
    largest_hash: int
    """Names end in a number drawn below this one, so that epochs do not overwrite each other."""

    def write(
        self, batch: NDArray[Any], indices: Iterable[int], rng: np.random.RandomState
    ) -> None:
        """Write every picture of a batch as ``{prefix}_{index}_{hash}.{format}``.

        Shape:
            batch: (B, H, W, C) of 1, 3 or 4 channels, any range of values.
        Raises:
            FolderMissingError: The folder does not exist.
            OptionError: The format or the number of channels cannot be written.
            StorageError: A file could not be written.
        """
        if not self.folder:
            return
        folder = Path(self.folder)
        if not folder.is_dir():
            raise FolderMissingError(
                f"`save_to_dir` is `{folder}`, which is no folder. Make it first: "
                f"`mkdir -p {folder}`."
            )
        for picture, index in zip(batch, indices, strict=True):
            name = f"{self.prefix}_{index}_{rng.randint(self.largest_hash)}.{self.format}"
            data = self._encode(stretch(picture))
            try:
                (folder / name).write_bytes(data)
            except OSError as error:
                raise StorageError(f"`{folder / name}` could not be written: {error}.") from error

    def _encode(self, pixels: NDArray[np.uint8]) -> bytes:
        orders = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}  # as OpenCV wants them
        order = orders.get(pixels.shape[2])
        if order is None:
            raise OptionError(
                f"pictures of {pixels.shape[2]} channels cannot be saved, expected 1, 3 or 4. "
                "Leave out `save_to_dir`."
            )
        try:
            done, data = cv2.imencode(f".{self.format}", pixels[:, :, order])
        except cv2.error:
            done = False
        if not done:
            raise OptionError(
                f"`save_format` is {self.format!r}, which cannot be written with "
                f"{pixels.shape[2]} channels. Pass `save_format='png'`."
            )
        return data.tobytes()


def stretch(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """Stretch the values to 0..255; a picture of one value becomes black.

    Example:
        >>> stretch(np.array([-1.0, 0.0, 1.0])).tolist()
        [0, 127, 255]
    """
    pixels = picture.astype(np.float64) - picture.min()
    peak = pixels.max()
    return np.asarray((pixels / (peak if peak != 0 else 1) * 255).astype(np.uint8))
