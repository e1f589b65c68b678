"""What OpenCV leaves unsaid about a picture file: a few numbers from its header.

Nothing here decodes pixels, and nothing raises: a number that is not there, or lies
in a damaged part, is the default.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["PngHeader", "avif_turns", "exif_orientation", "is_tiff", "png_header", "tiff_tag"]

_ORIENTATION_TAG = 0x0112
_TYPES = {4: "I", 16: "Q"}  # TIFF's types of 32 and 64 bits; those of 16 are the rest
_BYTE_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
_BIG_ORDERS = {b"II+\x00": "<", b"MM\x00+": ">"}


def is_tiff(data: bytes) -> bool:
    """Return whether a file starts as a TIFF or a BigTIFF; the content of EXIF is one too."""
    return data[:4] in _BYTE_ORDERS or data[:4] in _BIG_ORDERS


def tiff_tag(data: bytes, tag: int, *, default: int) -> int:
    """Return the number, of 16 to 64 bits, of a tag of the first directory.

    Source: TIFF 6.0, section 2: offset of the directory at byte 4, then entries of
    12 bytes: tag, type, count, value. In a BigTIFF (AWare Systems, "The BigTIFF File
    Format") the offset is at byte 8, and counts and values have 64 bits.
    """
    order = _BYTE_ORDERS.get(data[:4])
    big = order is None
    order = order or _BIG_ORDERS.get(data[:4])
    if order is None:
        return default
    try:
        start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        entries = struct.unpack_from(order + ("Q" if big else "H"), data, start)[0]
        first, step, value = (8, 20, 12) if big else (2, 12, 8)
        for at in range(start + first, min(start + first + step * entries, len(data)), step):
            number, kind = struct.unpack_from(order + "HH", data, at)
            if number == tag:
                return int(struct.unpack_from(order + _TYPES.get(kind, "H"), data, at + value)[0])
    except (struct.error, OverflowError):
        return default
    return default


def exif_orientation(blob: bytes) -> int:
    """Return the orientation 1..8 written in an EXIF block; 1 where there is none."""
    value = tiff_tag(blob.removeprefix(b"Exif\x00\x00"), _ORIENTATION_TAG, default=1)
    return value if 1 <= value <= 8 else 1


@dataclass(frozen=True)
class PngHeader:
    """Size in pixels, bits per sample, and the grey value that means transparent."""

    width: int
    height: int
    depth: int
    clear_grey: int | None
    is_whole: bool
    """Whether the file reaches its end, and every checksum holds."""

    @property
    def clear_pixel(self) -> int | None:
        """The transparent grey as it is after decoding: 0..255, or 0..65535 at depth 16."""
        if self.clear_grey is None or self.depth == 16:
            return self.clear_grey
        return self.clear_grey * 255 // ((1 << self.depth) - 1)


def png_header(data: bytes) -> PngHeader | None:
    """Return what stands around the pixels of a PNG file; None for other files.

    Source: PNG (W3C, third edition), sections 5.3, 11.2.1 and 11.3.1.1.
    """
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or len(data) < 26:
        return None
    width, height, depth, kind = struct.unpack_from(">IIBB", data, 16)
    clear, name = None, b""
    for name, content in _png_chunks(data):
        if name == b"tRNS" and kind == 0 and len(content) == 2:
            clear = int.from_bytes(content)
    return PngHeader(width, height, depth, clear, is_whole=name == b"IEND")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield name and content of each chunk, up to the end or to the first damaged one."""
    view, start, name = memoryview(data), 8, b""
    while len(data) >= start + 12 and name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, start)
        end = start + 8 + length
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4]):
            return
        yield name, view[start + 8 : end]
        start = end + 4


def avif_turns(data: bytes) -> tuple[int, int | None]:
    """Return quarter turns anticlockwise, then the axis to mirror: 0 = upside down.

    EXIF inside AVIF says nothing about how to show it; these two boxes do.

    Source: ISO/IEC 23008-12, 6.5.10 and 6.5.12: a box is its length, name and content.
    """
    turn = re.search(rb"\x00\x00\x00\x09irot([\x00-\x03])", data)
    mirror = re.search(rb"\x00\x00\x00\x09imir([\x00\x01])", data)
    return turn[1][0] if turn else 0, mirror[1][0] if mirror else None
