"""From the bytes of a picture file to uint8 pixels: grey (H, W) or RGB (H, W, 3).

The rules, the same for training, prediction and everything else:

* the orientation that a camera wrote into EXIF is applied;
* 16 bits are scaled by depth (value / 257, rounded), never clipped;
* transparency is laid on white;
* CMYK, palette and 1-bit pictures become RGB or grey;
* a truncated file is refused, never half-read; so is a damaged one wherever its
  format lets the damage be seen (PNG has checksums, JPEG has none);
* a file that claims more than :data:`MAX_PIXELS` is refused before it is decoded, and
  so is one that does not say its size, or is of another kind than :data:`KINDS`;
* of an animation the first frame is taken.

OpenCV releases the interpreter lock, so threads suffice (see ADR 0004).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.data.headers import avif_turns, exif_orientation, is_tiff, png_header, tiff_tag
from nunbit.data.sizes import is_heic, is_jpeg, jpeg_frame, picture_size
from nunbit.errors import PictureError

__all__ = ["BACKGROUND", "KINDS", "MAX_PIXELS", "Shrink", "decode", "orient", "shrink_for"]

Shrink = Literal[1, 2, 4, 8]
"""By how much the decoder of a JPEG can shrink the picture as it goes."""

BACKGROUND = 255
"""Grey value 0..255 under transparent pixels."""

MAX_PIXELS = 178_956_970
"""A file that claims more is refused before gigabytes are set aside for it, in pixels.

Source: the size at which Pillow raises ``DecompressionBombError``.
"""

KINDS = "JPEG, PNG, BMP, GIF, WebP, TIFF, AVIF or HEIC"
"""What is read; OpenCV knows more, of which some fill gigabytes from a few bytes."""

_OTHER_KINDS = re.compile(
    rb"P[1-7Ff]\s|\0\0\0\x0cjP  |\xff\x4f\xff\x51|\x59\xa6\x6a\x95|#\?R|\x76\x2f\x31\x01"
)
"""Portable maps, JPEG 2000, Sun raster, Radiance, OpenEXR."""

_REDUCED: dict[int, int] = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
"""Flags that add the scale to the flag of the colours."""

_HEIC_READERS = ("pi_heif", "pillow_heif")
_PHOTOMETRIC, _SAMPLES, _EXTRA_SAMPLES = 262, 277, 338  # TIFF tags
_WHITE_IS_ZERO, _UNASSOCIATED = 0, 2  # their values

cv2.setNumThreads(1)  # threads work on whole pictures; OpenCV's own would fight them
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # errors are ours to tell


def decode(data: bytes, *, shrink: Shrink = 1) -> NDArray[np.uint8]:
    """Decode a picture file.

    Shape:
        returns: uint8 (H, W) for a grey picture, (H, W, 3) RGB for any other.
    Args:
        shrink: A JPEG is decoded at 1/shrink of its size, each side rounded up; see
            :func:`shrink_for`. Other kinds of files pay it no heed.
    Raises:
        PictureError: Empty, damaged, truncated, too large, or of a kind that is not known.

    Example:
        >>> import cv2, numpy
        >>> ok, file = cv2.imencode(".png", numpy.full((2, 3), 7, numpy.uint8))
        >>> decode(file.tobytes()).tolist()
        [[7, 7, 7], [7, 7, 7]]
    """
    if not data:
        raise PictureError("the file is empty")
    size = picture_size(data)
    if size is None:
        if _OTHER_KINDS.match(data):
            raise PictureError(f"of a kind that is not read, expected {KINDS}")
        raise PictureError("damaged, truncated, or not a picture")
    if size[0] * size[1] > MAX_PIXELS:
        raise PictureError(
            f"claims to have {size[0]}×{size[1]} pixels, expected at most {MAX_PIXELS:,} in all"
        )
    if is_jpeg(data):
        return _decode_jpeg(data, shrink)
    png = png_header(data)
    if png is not None and not png.is_whole:  # libpng would print it, or pass over it
        raise PictureError("damaged or truncated")
    pixels = _checked(_read, data)
    if png is not None and pixels.ndim == 2 and png.clear_pixel is not None:
        pixels = np.where(pixels == png.clear_pixel, _white(pixels), pixels)
    return _to_grey_or_rgb(_to_8_bit(pixels))


def shrink_for(data: bytes, size: int, *, longest: bool = False) -> Shrink:
    """Return how far a JPEG may be shrunk while it is decoded, and still be large enough.

    Args:
        size: Pixels that the shorter side must keep.
        longest: Whether it is the longer side that must keep them.

    Source: libjpeg's scaled decoding takes 8/shrink of the 8 frequencies of a block.
    """
    found = picture_size(data) if is_jpeg(data) else None
    if found is None:
        return 1
    side = max(found) if longest else min(found)
    if side >= 8 * size:
        return 8
    if side >= 4 * size:
        return 4
    return 2 if side >= 2 * size else 1


def _checked(read: Callable[[bytes], NDArray[Any] | None], data: bytes) -> NDArray[Any]:
    """Call a decoder of OpenCV; whatever goes wrong is one kind of error."""
    try:
        pixels = read(data)
    except cv2.error as error:
        raise PictureError(f"cannot be decoded ({error.err})") from error
    if pixels is None or pixels.size == 0:
        raise PictureError("damaged, truncated, or not a picture")
    return pixels


def _decode_jpeg(data: bytes, shrink: Shrink) -> NDArray[np.uint8]:
    """Decode a JPEG: grey stays grey, CMYK becomes RGB, EXIF orientation is applied."""
    frame = jpeg_frame(data)
    is_rgb = frame is not None and frame[2] == 3
    flags = _REDUCED[shrink] | (cv2.IMREAD_COLOR_RGB if is_rgb else cv2.IMREAD_ANYCOLOR)
    pixels = _to_8_bit(_checked(lambda d: cv2.imdecode(np.frombuffer(d, np.uint8), flags), data))
    return pixels if is_rgb and pixels.ndim == 3 else _to_grey_or_rgb(pixels)


def _read(data: bytes) -> NDArray[np.generic] | None:
    buffer = np.frombuffer(data, dtype=np.uint8)
    if is_heic(data):
        return _read_heic(data)
    pixels: NDArray[np.generic] | None
    pixels, kinds, metadata = cv2.imdecodeWithMetadata(buffer, flags=cv2.IMREAD_UNCHANGED)
    if pixels is None or is_tiff(data):  # OpenCV applies the orientation of a TIFF
        return pixels if pixels is None else _mend_tiff(data, pixels)
    if data[4:8] == b"ftyp":
        turns, mirrored = avif_turns(data)
        pixels = np.rot90(pixels, turns)
        return pixels if mirrored is None else np.flip(pixels, mirrored)
    return orient(pixels, _orientation_of(kinds, metadata))


def _read_heic(data: bytes) -> NDArray[np.generic]:
    """Read a HEIC picture, as phones write them, by libheif; it comes out turned as it should."""
    for name in _HEIC_READERS:
        try:
            reader = importlib.import_module(name)
        except ImportError:
            continue
        try:
            picture = np.asarray(reader.open_heif(data))  # uint8 (H, W, 3 or 4) RGB
        except Exception as error:
            # libheif raises what it likes: ValueError, RuntimeError, EOFError, SyntaxError.
            raise PictureError(f"damaged HEIC ({error})") from error
        return picture if picture.ndim == 2 else _to_bgr(picture)
    raise PictureError("HEIC is read with an extra: pip install 'nunbit[heic]'")


def _to_bgr(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([pixels[:, :, 2::-1], pixels[:, :, 3:]], axis=2)


def _mend_tiff(data: bytes, pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Put right what OpenCV makes of the rarer kinds of TIFF."""
    if tiff_tag(data, _SAMPLES, default=1) == 2:
        raise PictureError("a grey TIFF with transparency is not read; save it as PNG")
    white, kind = _white(pixels), tiff_tag(data, _EXTRA_SAMPLES, default=0)
    if pixels.dtype == np.uint16 and tiff_tag(data, _PHOTOMETRIC, default=1) == _WHITE_IS_ZERO:
        return np.asarray(white - pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4 and (white == 255 or kind != _UNASSOCIATED):
        # Colours have been multiplied by alpha already, in the file or by libtiff.
        wide = pixels.astype(np.int64)
        flat = np.minimum(wide[:, :, :3] + white - wide[:, :, 3:], white)
        return np.asarray(flat, dtype=pixels.dtype)
    return pixels


def _white(pixels: NDArray[np.generic]) -> int:
    return 65_535 if pixels.dtype == np.uint16 else 255


def _to_8_bit(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels  # type: ignore[return-value]  # numpy cannot narrow a dtype
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    raise PictureError(f"pixels of type {pixels.dtype} have no agreed black and white")


def _to_grey_or_rgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.ascontiguousarray(pixels.reshape(pixels.shape[:2]))
    if pixels.shape[2] == 4:
        alpha = pixels[:, :, 3:].astype(np.uint16)
        mixed = pixels[:, :, :3] * alpha + BACKGROUND * (255 - alpha) + 127
        pixels = (mixed // 255).astype(np.uint8)
    if pixels.shape[2] != 3:
        raise PictureError(f"has {pixels.shape[2]} channels")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]  # cv2 stubs


def orient(pixels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Turn and mirror pixels as EXIF orientation 1..8 says.

    Source: EXIF 2.32, tag 0x0112: where row 0 and column 0 of the file belong.
    """
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _orientation_of(kinds: object, metadata: object) -> int:
    if kinds is None or metadata is None:
        return 1
    for kind, blob in zip(kinds, metadata, strict=False):  # type: ignore[call-overload]  # cv2 stubs
        if kind == cv2.IMAGE_METADATA_EXIF:
            return exif_orientation(np.asarray(blob, dtype=np.uint8).tobytes())
    return 1
