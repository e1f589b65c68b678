"""Of which kind a picture file is, from its first bytes: format, and what is unusual.

All of these kinds are read rightly; other programs read some of them wrongly or not
at all, so a set in which a few pictures are of another kind deserves a look. Nothing
here decodes pixels and nothing raises.
"""

from __future__ import annotations

import struct

from nunbit.data.headers import exif_orientation, tiff_tag

__all__ = ["odd_kinds", "picture_format", "suffix_format"]

_SUFFIXES = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), "JPEG"),
    **dict.fromkeys(("tif", "tiff"), "TIFF"),
    **{suffix: suffix.upper() for suffix in ("png", "gif", "bmp", "avif")},
    "webp": "WebP",
    **dict.fromkeys(("heic", "heif"), "HEIC"),
}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG markers that start a frame


def picture_format(data: bytes) -> str | None:
    """Return what a file is by its first bytes, or None where they are not known."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        return "TIFF"
    if data[4:8] == b"ftyp":
        return "AVIF" if b"avif" in data[8:40] or b"avis" in data[8:40] else "HEIC"
    return "BMP" if data.startswith(b"BM") else None


def suffix_format(name: str) -> str | None:
    """Return what a file says it is by its name, or None where it says nothing known."""
    return _SUFFIXES.get(name.rpartition(".")[2].lower())


def odd_kinds(data: bytes) -> tuple[str, ...]:
    """Return what is unusual about a file, in a word each: ``("CMYK", "EXIF-rotated")``."""
    look = {"JPEG": _jpeg, "PNG": _png, "GIF": _gif, "WebP": _webp, "TIFF": _tiff, "BMP": _bmp}
    found = look.get(picture_format(data) or "")
    try:
        return tuple(found(data)) if found else ()
    except (struct.error, IndexError):
        return ()  # cut off in its header; decoding says so


def _jpeg(data: bytes) -> list[str]:
    odd, start = [], 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        marker, length = data[start + 1], int.from_bytes(data[start + 2 : start + 4])
        if marker == 0xE1 and data[start + 4 : start + 10] == b"Exif\x00\x00":
            if exif_orientation(data[start + 4 : start + 2 + length]) != 1:
                odd.append("EXIF-rotated")
        elif marker in _FRAMES:
            if data[start + 4] > 8:
                odd.append(f"{data[start + 4]}-bit")
            if data[start + 9] == 4:
                odd.append("CMYK")
            break
        start += 2 + length
    return odd


def _png(data: bytes) -> list[str]:
    depth, kind = data[24], data[25]
    odd = [f"{depth}-bit"] if depth in (1, 16) else []
    head = data[: data.find(b"IDAT") if b"IDAT" in data else len(data)]
    if kind == 3:
        odd.append("palette")
    if kind in (4, 6) or b"tRNS" in head:
        odd.append("alpha")
    if b"acTL" in head:
        odd.append("animated")
    return odd


def _gif(data: bytes) -> list[str]:
    """Walk the blocks; a second image means that it moves. Source: GIF89a, appendix A."""
    start = 13 + _colour_table(data[10])
    frames = 0
    while data[start] in (0x21, 0x2C):
        if data[start] == 0x2C:
            frames += 1
            start += 11 + _colour_table(data[start + 9])
        else:
            start += 2
        while data[start]:  # sub-blocks, each with its length before it
            start += 1 + data[start]
        start += 1
        if frames > 1:
            return ["animated"]
    return []


def _colour_table(flags: int) -> int:
    """Return the length in bytes of the colour table that flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _webp(data: bytes) -> list[str]:
    if data[12:16] != b"VP8X":
        return []
    flags = data[20]
    return [word for bit, word in ((0x10, "alpha"), (0x02, "animated")) if flags & bit]


def _tiff(data: bytes) -> list[str]:
    odd = []
    bits = tiff_tag(data, 258, default=1)
    order = "<" if data[:2] == b"II" else ">"
    if tiff_tag(data, 277, default=1) > 2:  # too many samples to stand in the entry itself
        bits = struct.unpack_from(order + "H", data, _tiff_offset(data, 258, order))[0]
    if bits in (1, 16, 32, 64):
        odd.append(f"{bits}-bit")
    colours = {3: "palette", 5: "CMYK", 8: "Lab"}.get(tiff_tag(data, 262, default=1))
    odd += [colours] if colours else []
    if tiff_tag(data, 338, default=0):
        odd.append("alpha")
    if exif_orientation(data) != 1:
        odd.append("EXIF-rotated")
    start = struct.unpack_from(order + "I", data, 4)[0]
    entries = struct.unpack_from(order + "H", data, start)[0]
    if struct.unpack_from(order + "I", data, start + 2 + 12 * entries)[0]:
        odd.append("several pages")
    return odd


def _tiff_offset(data: bytes, tag: int, order: str) -> int:
    """Return where the values of a tag lie that do not fit into its entry."""
    start = struct.unpack_from(order + "I", data, 4)[0]
    for k in range(struct.unpack_from(order + "H", data, start)[0]):
        number, _, _, offset = struct.unpack_from(order + "HHII", data, start + 2 + 12 * k)
        if number == tag:
            return int(offset)
    return len(data)


def _bmp(data: bytes) -> list[str]:
    bits = struct.unpack_from("<H", data, 28)[0]
    return [f"{bits}-bit"] if bits == 1 else ["palette"] if bits <= 8 else []
