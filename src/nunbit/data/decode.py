"""From the bytes of a picture file to uint8 pixels: grey (H, W) or RGB (H, W, 3).

The rules, the same for training, prediction and everything else:

* the orientation that a camera wrote into EXIF is applied;
* 16 bits are scaled by depth (value / 257, rounded), never clipped;
* transparency is laid on white;
* CMYK, palette and 1-bit pictures become RGB or grey;
* a truncated or damaged file is refused, never half-read.

OpenCV releases the interpreter lock, so threads suffice (see ADR 0004).
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.errors import PictureError

__all__ = ["BACKGROUND", "decode", "exif_orientation", "orient"]

BACKGROUND = 255
"""Grey value 0..255 under transparent pixels."""

_JPEG = b"\xff\xd8\xff"
_ORIENTATION_TAG = 0x0112

cv2.setNumThreads(1)  # threads work on whole pictures; OpenCV's own would fight them


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture file.

    Shape:
        returns: uint8 (H, W) for a grey picture, (H, W, 3) RGB for any other.
    Raises:
        PictureError: Empty, damaged, truncated, or of a kind that is not known.

    Example:
        >>> import cv2, numpy
        >>> ok, file = cv2.imencode(".png", numpy.full((2, 3), 7, numpy.uint8))
        >>> decode(file.tobytes()).tolist()
        [[7, 7, 7], [7, 7, 7]]
    """
    if not data:
        raise PictureError("the file is empty")
    buffer = np.frombuffer(data, dtype=np.uint8)
    pixels: NDArray[np.generic] | None
    try:
        if data.startswith(_JPEG):
            # Greyscale stays grey, CMYK becomes BGR, EXIF orientation is applied.
            pixels = cv2.imdecode(buffer, cv2.IMREAD_ANYCOLOR)
        else:
            pixels, kinds, metadata = cv2.imdecodeWithMetadata(buffer, flags=cv2.IMREAD_UNCHANGED)
            if pixels is not None:
                pixels = orient(pixels, _orientation_of(kinds, metadata))
    except cv2.error as error:
        raise PictureError(f"cannot be decoded ({error.err})") from error
    if pixels is None or pixels.size == 0:
        raise PictureError("damaged, truncated, or not a picture")
    return _to_grey_or_rgb(_to_8_bit(pixels))


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


def exif_orientation(blob: bytes) -> int:
    """Return the orientation 1..8 written in an EXIF block; 1 where there is none."""
    blob = blob.removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(blob[:4])
    if order is None or len(blob) < 10:
        return 1
    try:
        start = struct.unpack(order + "I", blob[4:8])[0]
        entries = struct.unpack_from(order + "H", blob, start)[0]
        for k in range(entries):
            tag, _, _, value = struct.unpack_from(order + "HHIH", blob, start + 2 + 12 * k)
            if tag == _ORIENTATION_TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
