"""How many pixels a picture file claims to have, from its header alone.

Asked before decoding, so that a few bytes cannot make the decoder set gigabytes
aside. Where a header cannot be understood the answer is None, and the file is not
decoded.

Sources: JPEG (ITU-T T.81, B.2.2), PNG (W3C, 11.2.1), GIF89a (18), BMP (Microsoft,
BITMAPINFOHEADER), WebP (RFC 9649, 2.5 to 2.7), TIFF 6.0 (section 2) and
BigTIFF, AVIF and HEIC
(ISO/IEC 23008-12, 6.5.3).
"""

from __future__ import annotations

import re
import struct

from nunbit.data.headers import is_tiff, tiff_tag

__all__ = ["is_heic", "is_jpeg", "jpeg_frame", "picture_size"]

_NO_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))  # JPEG markers that stand alone, or none
_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG start of frame
_HEIC_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"))
_WIDTH, _HEIGHT = 256, 257  # TIFF tags


def is_jpeg(data: bytes) -> bool:
    """Return whether a file starts as a JPEG does."""
    return data.startswith(b"\xff\xd8\xff")


def is_heic(data: bytes) -> bool:
    """Return whether a file is a HEIF picture that is not AVIF."""
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIC_BRANDS:
        return False
    length = int.from_bytes(data[:4])
    return b"avif" not in data[8 : min(length, 256)]


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels as the file claims them, before it is turned.

    Example:
        >>> picture_size(b"GIF89a" + (7).to_bytes(2, "little") + (5).to_bytes(2, "little"))
        (7, 5)
        >>> picture_size(b"no picture") is None
        True
    """
    try:
        if is_jpeg(data):
            frame = jpeg_frame(data)
            return frame[:2] if frame else None
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _pair(">II", data, 16)
        if data[:6] in (b"GIF87a", b"GIF89a"):
            return _pair("<HH", data, 6)
        if data.startswith(b"BM"):
            core = struct.unpack_from("<I", data, 14)[0] == 12  # the oldest kind of header
            width, height = _pair("<HH" if core else "<ii", data, 18)
            return abs(width), abs(height)  # a negative height stores the top row first
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if is_tiff(data):
            width, height = (tiff_tag(data, tag, default=0) for tag in (_WIDTH, _HEIGHT))
            return (width, height) if width and height else None
        if data[4:8] == b"ftyp" and data[:2] == b"\0\0":  # its length: no text starts so
            sizes = [struct.unpack(">II", m) for m in re.findall(rb"ispe\0{4}(.{8})", data, re.S)]
            return max(sizes, key=lambda s: s[0] * s[1], default=None)
    except struct.error:
        return None
    return None


def _pair(form: str, data: bytes, start: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, start)
    return int(first), int(second)


def jpeg_frame(data: bytes) -> tuple[int, int, int] | None:
    """Return width, height and number of channels of a JPEG; None where it does not say."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:  # libjpeg passes over what stands before a marker, too
            at = data.find(0xFF, at)
            if at < 0 or at + 4 > len(data):
                return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif marker in _FRAME:
            if at + 10 > len(data):
                return None
            height, width = _pair(">HH", data, at + 5)
            return width, height, data[at + 9]
        elif marker == 0xDA:  # pixels begin before any frame was announced
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = _pair("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
