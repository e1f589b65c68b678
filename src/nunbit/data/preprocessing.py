"""What happens to a picture before a network sees it; it travels with the model.

Two halves. On the processor, picture by picture: decode, make grey or RGB, bring
to the square the network takes. On the device, batch by batch: scale to 0..1 and
normalise (:class:`nunbit.model.Model` does that). Training, prediction and every
export go through the same object, so they cannot differ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.data.buffers import Scratch
from nunbit.data.decode import decode, shrink_for
from nunbit.data.options import Fit
from nunbit.errors import OptionError, PictureError, did_you_mean

__all__ = ["FITS", "PAD_VALUE", "Preprocessing", "fit_picture"]

FITS: tuple[str, ...] = get_args(Fit)

WHOLE_TIMES = 4
"""Up to this many times the size, areas of whole pixels are averaged."""

_scratch = Scratch()

PAD_VALUE = 128
"""Grey value 0..255 of the bars that ``pad`` adds."""


@dataclass(frozen=True)
class Preprocessing:
    """How pictures become the network's input.

    Args:
        image_size: Side of the square the network takes, in pixels.
        channels: 1 = grey, 3 = RGB.
        fit: How a picture that is no square becomes one: ``crop`` cuts the longer
            side at both ends, ``pad`` adds grey bars, ``squash`` ignores the
            aspect, so that nothing is cut off.
        mean: Per channel, of pixels scaled to 0..1; subtracted.
        std: Per channel, of pixels scaled to 0..1; divided by.
        samplewise_center: Whether each picture's own mean is subtracted after that.
        samplewise_std_normalization: Whether it is divided by its own spread, too.
        crop_frac: Share of the shorter side that ``crop`` keeps, 0 < value <= 1.
            Published weights want 0.875: 224 of 256 pixels.
    """

    image_size: int
    channels: int
    fit: Fit = "squash"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    samplewise_center: bool = False
    samplewise_std_normalization: bool = False
    crop_frac: float = 1.0

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise OptionError(
                f"`fit` is {self.fit!r}, expected one of {', '.join(FITS)}."
                f"{did_you_mean(str(self.fit), FITS)}"
            )
        if self.channels not in (1, 3):
            raise OptionError(f"`channels` is {self.channels!r}, expected 1 (grey) or 3 (RGB).")
        if self.image_size < 1:
            raise OptionError(f"`image_size` is {self.image_size!r}, expected at least 1 (pixels).")
        if not 0 < self.crop_frac <= 1 or (self.crop_frac < 1 and self.fit != "crop"):
            raise OptionError(
                f"`crop_frac` is {self.crop_frac!r} with fit `{self.fit}`, expected "
                "0 < value <= 1 with `crop`, and 1 with any other fit."
            )
        if not self.mean:
            object.__setattr__(self, "mean", (0.5,) * self.channels)
        if not self.std:
            object.__setattr__(self, "std", (0.25,) * self.channels)
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise OptionError(
                f"`mean` and `std` need one number per channel ({self.channels}), "
                f"got {len(self.mean)} and {len(self.std)}."
            )

    @property
    def needed_side(self) -> int:
        """Pixels of a picture's side below which it would have to be enlarged."""
        return round(self.image_size / self.crop_frac)

    def prepare(self, picture: bytes | NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn a picture file, or its pixels, into the network's uint8 input.

        Shape:
            picture: encoded bytes, or uint8 (H, W), (H, W, 1) or (H, W, 3) RGB.
            returns: uint8 (image_size, image_size, channels), contiguous.
        Raises:
            PictureError: The bytes cannot be decoded, or the pixels are of another kind.
        """
        if isinstance(picture, bytes):
            shrink = shrink_for(picture, self.needed_side, longest=self.fit == "pad")
            pixels = decode(picture, shrink=shrink)
        else:
            pixels = picture
        _check_pixels(pixels)
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[:, :, 0]
        if self.channels == 1 and pixels.ndim == 3:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
        elif self.channels == 3 and pixels.ndim == 2:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)  # type: ignore[assignment]
        fitted = fit_picture(pixels, self.image_size, fit=self.fit, crop_frac=self.crop_frac)
        return np.ascontiguousarray(fitted.reshape(self.image_size, self.image_size, self.channels))

    def to_dict(self) -> dict[str, Any]:
        """Return what a model file keeps, as plain data."""
        made = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(self).items()
        }
        if self.crop_frac == 1:  # runs begun before there was one can be continued
            del made["crop_frac"]
        return made

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make it again from what a model file kept."""
        return cls(
            image_size=int(data["image_size"]),
            channels=int(data["channels"]),
            fit=data["fit"],
            mean=tuple(map(float, data["mean"])),
            std=tuple(map(float, data["std"])),
            samplewise_center=bool(data.get("samplewise_center", False)),
            samplewise_std_normalization=bool(data.get("samplewise_std_normalization", False)),
            crop_frac=float(data.get("crop_frac", 1.0)),
        )


def _check_pixels(pixels: NDArray[np.generic]) -> None:
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))
    if not is_picture or pixels.size == 0 or pixels.dtype != np.uint8:
        raise PictureError(
            f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (H, W) grey or "
            "(H, W, 3) RGB, 0 to 255"
        )


def fit_picture(
    pixels: NDArray[np.uint8], size: int, *, fit: Fit, crop_frac: float = 1.0
) -> NDArray[np.uint8]:
    """Bring a picture to a square of ``size`` pixels.

    Shrinking averages over the area, so that fine patterns do not alias;
    enlarging interpolates linearly.

    Shape:
        pixels: uint8 (H, W) or (H, W, 3).
        returns: uint8 (size, size) or (size, size, 3).
    Args:
        crop_frac: Share of the shorter side that ``crop`` keeps, 0 < value <= 1.
    """
    height, width = pixels.shape[:2]
    if height == width == size and crop_frac == 1:
        return pixels
    if fit == "crop":
        side = max(1, round(min(height, width) * crop_frac))
        top, left = (height - side) // 2, (width - side) // 2
        return _resize(pixels[top : top + side, left : left + side], size, size)
    if fit == "squash":
        return _resize(pixels, size, size)
    scale = size / max(height, width)
    new_height = max(1, round(height * scale))
    new_width = max(1, round(width * scale))
    square = np.full((size, size, *pixels.shape[2:]), PAD_VALUE, dtype=np.uint8)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square[top : top + new_height, left : left + new_width] = _resize(pixels, new_height, new_width)
    return square


def _resize(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Shrink first, then enlarge: OpenCV averages only where neither side grows.

    Averaging over areas that are no whole pixels is slow in OpenCV. Up to 4 times the
    size, the picture is therefore enlarged to the next whole multiple, and whole
    areas are averaged: three times as fast, and 0.5 grey levels apart in the mean.
    """
    rows, columns = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    times_y, times_x = -(-pixels.shape[0] // rows), -(-pixels.shape[1] // columns)
    if max(times_y, times_x) <= WHOLE_TIMES:
        whole = (rows * times_y, columns * times_x)
        pixels = _scaled(pixels, whole, cv2.INTER_LINEAR, lasting=whole == (height, width))
    pixels = _scaled(pixels, (rows, columns), cv2.INTER_AREA)
    return _scaled(pixels, (height, width), cv2.INTER_LINEAR)


def _scaled(
    pixels: NDArray[np.uint8], size: tuple[int, int], how: int, *, lasting: bool = True
) -> NDArray[np.uint8]:
    """Bring pixels to (rows, columns); what does not last lies in this thread's scratch."""
    if pixels.shape[:2] == size:
        return pixels
    shape = (*size, *pixels.shape[2:])
    target = np.empty(shape, np.uint8) if lasting else _scratch.array("whole", shape, np.uint8)
    cv2.resize(np.ascontiguousarray(pixels), size[::-1], target, interpolation=how)
    return target
