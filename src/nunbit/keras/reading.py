"""From a picture file to pixels of the size and channels that an iterator asks for.

By default files are read as everywhere in Nunbit: turned as the camera says, 16 bits
scaled, transparency on white. ``keras_code=True`` reads with Pillow, as Keras does.
Sizes change as Pillow changes them; ``nearest`` needs no Pillow.
"""

from __future__ import annotations

import io
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.data.decode import decode
from nunbit.data.pixels import default_budget_bytes
from nunbit.errors import MissingExtraError, OptionError, did_you_mean
from nunbit.keras._errors import PictureDamagedError, PictureMissingError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["CHANNELS", "INTERPOLATIONS", "Budget", "PictureCache", "PictureReader"]

Picture = NDArray[Any]

CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}
"""Channels of each ``color_mode``."""

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
"""Ways to change the size, under Pillow's names."""


@dataclass(frozen=True)
class PictureReader:
    """How picture files are read."""

    target_size: tuple[int, int]
    """Height and width, in pixels."""
    color_mode: str
    interpolation: str
    keep_aspect_ratio: bool
    keras_code: bool

    def __post_init__(self) -> None:
        wrong = [
            f"`{name}` is {value!r}, expected one of {', '.join(known)}."
            + did_you_mean(str(value), known)
            for name, value, known in (
                ("color_mode", self.color_mode, CHANNELS),
                ("interpolation", self.interpolation, INTERPOLATIONS),
            )
            if value not in known
        ]
        if wrong:
            raise OptionError("\n".join(wrong))

    def read(self, path: str) -> Picture:
        """Read a file.

        Shape:
            returns: uint8 (height, width, channels); grey pictures of 16 or 32 bits keep
                their numbers where Keras' code is followed.
        Raises:
            PictureMissingError: There is no such file.
            PictureDamagedError: The file is damaged or no picture.
        """
        try:
            with open(path, "rb") as file:
                data = file.read()
            if self.keras_code or self.color_mode == "rgba":
                return self._read_with_pillow(data)
            pixels = decode(data)
        except MissingExtraError:
            raise
        except FileNotFoundError as error:
            raise PictureMissingError(f"`{path}`: {error}") from error
        except Exception as error:  # of damaged files, Pillow raises a dozen kinds
            raise PictureDamagedError(f"`{path}`: {error}") from error
        if pixels.shape[:2] == self.target_size:
            return self._colour(pixels)
        if self.interpolation == "nearest":
            return self._colour(self._pick(pixels))
        return _array(self._resize(_pillow().fromarray(_squeeze(self._colour(pixels)))))

    def _read_with_pillow(self, data: bytes) -> Picture:
        image: Image.Image = _pillow().open(io.BytesIO(data))
        if not self.keras_code:
            from PIL import ImageOps

            if image.mode.startswith("I"):  # deep grey: Pillow would clip it
                image = _pillow().fromarray(decode(data))
            image = ImageOps.exif_transpose(image)
        mode = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}[self.color_mode]
        keeps = mode == "L" and image.mode in ("I", "I;16")
        if image.mode != mode and not keeps:
            image = image.convert(mode)
        height, width = self.target_size
        return _array(image if image.size == (width, height) else self._resize(image))

    def _box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return what is kept of a picture: left, top, right, bottom."""
        if not self.keep_aspect_ratio:
            return 0, 0, width, height
        to_height, to_width = self.target_size
        kept_height = max(1, min(height, width * to_height // to_width))
        kept_width = max(1, min(width, height * to_width // to_height))
        left, top = (width - kept_width) // 2, (height - kept_height) // 2
        return left, top, left + kept_width, top + kept_height

    def _resize(self, image: Image.Image) -> Image.Image:
        height, width = self.target_size
        how = getattr(_pillow().Resampling, self.interpolation.upper())
        return image.resize((width, height), how, box=self._box(image.height, image.width))

    def _pick(self, pixels: Picture) -> Picture:
        """Take the nearest pixel of each position, rounding ties as Pillow does."""
        height, width = self.target_size
        if not self.keep_aspect_ratio:
            return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        left, top, right, bottom = self._box(*pixels.shape[:2])
        rows, columns = _nearest(top, bottom, height), _nearest(left, right, width)
        return pixels.take(rows, axis=0).take(columns, axis=1)

    def _colour(self, pixels: Picture) -> Picture:
        grey = pixels.ndim == 2
        if self.color_mode == "rgb":
            return np.repeat(pixels[:, :, None], 3, axis=2) if grey else pixels
        if grey:
            return pixels[:, :, None]
        red, green, blue = (pixels[:, :, c].astype(np.uint32) for c in range(3))
        luma = red * 19595 + green * 38470 + blue * 7471 + 0x8000  # ITU-R 601-2, as in Pillow
        return (luma >> 16).astype(np.uint8)[:, :, None]


def _nearest(start: int, stop: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` positions in start..stop: the middles of ``count`` equal parts.

    Steps are added up one after the other, so that ties round as in Pillow.

    Example:
        >>> _nearest(0, 9, 3).tolist()
        [1, 4, 7]
    """
    step = (stop - start) / count
    steps = np.full(count, step)
    steps[0] = start + step * 0.5
    return np.minimum(np.add.accumulate(steps).astype(np.int64), stop - 1)


def _squeeze(pixels: Picture) -> Picture:
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _array(image: Image.Image) -> Picture:
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "Pillow is not installed; it is needed for `interpolation` other than nearest, for "
            '`color_mode="rgba"` and for `like="keras-3"`. Install it: `pip install pillow`.'
        ) from error
    return Image


class Budget:
    """Bytes that several caches share; safe with several threads.

    Args:
        size_bytes: None = a third of the memory that is free when it is first asked.
    """

    def __init__(self, size_bytes: int | None = None) -> None:
        self._left = size_bytes
        self._returned: deque[int] = deque()
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Take ``count`` bytes, or none where fewer are left; say which."""
        with self._lock:
            left = default_budget_bytes() if self._left is None else self._left
            while self._returned:
                left += self._returned.popleft()
            fits = count <= left
            self._left = left - count if fits else left
            return fits

    def give_back(self, kept: Mapping[str, Picture]) -> None:
        """Return the bytes of pictures that nobody holds any more.

        It takes no lock: the garbage collector may call it in the middle of ``take``.
        """
        self._returned.append(sum(each.nbytes for each in kept.values()))


_shared = Budget()


class PictureCache:
    """Pictures kept after they were read once, within a budget; safe with several threads.

    Args:
        read: Given a path, the pixels.
        budget: None = the one that all caches of the process share. What this cache took
            of it is given back when the cache goes.
    """

    def __init__(self, read: Callable[[str], Picture], budget: Budget | None = None) -> None:
        self._read = read
        self._budget = _shared if budget is None else budget
        self._kept: dict[str, Picture] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, self._budget.give_back, self._kept).atexit = False

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, path: str) -> Picture:
        """Return the picture of a file, read now or before; it must not be changed."""
        kept = self._kept.get(path)
        if kept is not None:
            return kept
        picture = self._read(path)
        with self._lock:
            if path not in self._kept and self._budget.take(picture.nbytes):
                self._kept[path] = picture
        return picture
