"""What kinds of picture files become: grey or RGB in 8 bits, nothing turned white or black."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from nunbit.data.decode import MAX_PIXELS, decode
from nunbit.data.headers import png_header
from nunbit.errors import PictureError

Encode = Callable[..., bytes]


def slope(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:24, 0:40]
    return Image.fromarray(np.stack([x * 6, y * 10, (x + y) * 4], -1).astype(np.uint8)).convert(
        mode
    )


def chunk(name: bytes, content: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + crc


def png(depth: int, kind: int, rows: list[bytes], width: int, *more: bytes) -> bytes:
    """A PNG put together by hand, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\x00" + row for row in rows)))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + b"".join(more) + data + chunk(b"IEND", b"")


def tiff(pixels: NDArray[Any], *, photometric: int, extra: int | None = None) -> bytes:
    """A little-endian TIFF of one strip put together by hand."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    data, bits = pixels.tobytes(), pixels.dtype.itemsize * 8
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 274: 1}
    tags |= {277: samples, 278: height, 279: len(data), 284: 1}
    if extra is not None:
        tags[338] = extra
    depths = struct.pack(f"<{samples}H", *[bits] * samples)
    after = 8 + 2 + 12 * len(tags) + 4
    tags[273] = after + len(depths)
    directory = b""
    for tag, value in sorted(tags.items()):
        count, kind = (samples, 3) if tag == 258 else (1, 4 if tag in (273, 279) else 3)
        field = struct.pack("<I", value)
        if tag == 258 and samples > 2:
            field = struct.pack("<I", after)
        elif tag == 258:
            field = struct.pack("<HH", bits, bits)
        directory += struct.pack("<HHI", tag, kind, count) + field
    start = b"II*\x00" + struct.pack("<IH", 8, len(tags))
    return start + directory + struct.pack("<I", 0) + depths + data


@pytest.mark.parametrize("kind", [".png", ".tiff"])
def test_every_16_bit_value_is_scaled_by_depth(kind: str) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.floor(values / 257 + 0.5).astype(np.uint8)
    grey = decode(cv2.imencode(kind, values)[1].tobytes())
    assert np.array_equal(grey, expected)
    assert [int(grey[0, 0]), int(grey[-1, -1])] == [0, 255]
    assert len(np.unique(grey)) == 256, "clipped pictures are white"
    colour = np.stack([values, values.T, np.roll(values, 7, 0)], -1)  # BGR for OpenCV
    rgb = decode(cv2.imencode(kind, colour)[1].tobytes())
    assert np.array_equal(rgb, np.floor(colour[:, :, ::-1] / 257 + 0.5))


def test_pictures_of_fewer_than_8_bits_are_spread_over_all_greys() -> None:
    assert decode(png(1, 0, [b"\xa0"], 3)).tolist() == [[255, 0, 255]]
    assert decode(png(2, 0, [b"\x1b"], 4)).tolist() == [[0, 85, 170, 255]]
    assert decode(png(4, 0, [b"\x1f"], 2)).tolist() == [[17, 255]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_1_bit_pictures_become_grey(kind: str, encode: Encode) -> None:
    picture = slope("1")
    assert np.array_equal(decode(encode(picture, kind)), np.asarray(picture.convert("L")))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_palettes_become_rgb(kind: str, encode: Encode) -> None:
    picture = slope().quantize(16)
    assert np.array_equal(decode(encode(picture, kind)), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize(
    ("kind", "transparency"), [("PNG", 3), ("GIF", 3), ("PNG", bytes([0, 100, 200] + [255] * 13))]
)
def test_transparent_palette_entries_are_laid_on_white(
    kind: str, transparency: int | bytes, encode: Encode
) -> None:
    file = encode(slope().quantize(16), kind, transparency=transparency)
    with Image.open(io.BytesIO(file)) as stored:
        picture = stored.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    expected = np.asarray(Image.alpha_composite(white, picture).convert("RGB")).astype(int)
    assert (np.asarray(picture)[:, :, 3] < 255).any()
    assert abs(decode(file) - expected).max() <= 1


def _every_colour_with_every_alpha() -> NDArray[np.uint8]:
    alpha, value = np.mgrid[0:256, 0:256].astype(np.uint8)
    return np.stack([value, 255 - value, np.full_like(value, 77), alpha], -1)


def _on_white(rgba: NDArray[np.uint8]) -> NDArray[np.int64]:
    wide = rgba.astype(np.int64)
    alpha = wide[:, :, 3:]
    exact = (wide[:, :, :3] * alpha + 255 * (255 - alpha)) / 255
    return np.floor(exact + 0.5).astype(np.int64)


@pytest.mark.parametrize(
    ("kind", "how", "tolerance"),
    [
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True, "exact": True}, 0),
        ("TIFF", {}, 1),  # libtiff multiplies by alpha and rounds
        ("TIFF", {"compression": "tiff_lzw"}, 1),
    ],
)
def test_transparency_is_laid_on_white_exactly(
    kind: str, how: dict[str, Any], tolerance: int, encode: Encode
) -> None:
    rgba = _every_colour_with_every_alpha()
    got = decode(encode(Image.fromarray(rgba), kind, **how))
    assert abs(got - _on_white(rgba)).max() <= tolerance


@pytest.mark.parametrize(("extra", "premultiplied"), [(1, True), (2, False)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_says_whether_colours_are_multiplied_by_alpha(
    dtype: type, extra: int, *, premultiplied: bool
) -> None:
    rgba = _every_colour_with_every_alpha()
    expected = _on_white(rgba)
    if premultiplied:
        alpha = rgba[:, :, 3:].astype(np.float64) / 255
        rgba = np.concatenate([np.rint(rgba[:, :, :3] * alpha), rgba[:, :, 3:]], 2).astype(np.uint8)
    stored = rgba.astype(dtype) * (257 if dtype == np.uint16 else 1)
    got = decode(tiff(stored, photometric=2, extra=extra))
    assert abs(got - expected).max() <= 1


def test_grey_with_alpha_is_laid_on_white(encode: Encode) -> None:
    rgba = _every_colour_with_every_alpha()
    grey = Image.merge("LA", [Image.fromarray(rgba[:, :, 0]), Image.fromarray(rgba[:, :, 3])])
    got = decode(encode(grey, "PNG"))
    assert np.array_equal(got[:, :, 0], _on_white(rgba)[:, :, 0])


@pytest.mark.parametrize(
    ("depth", "row", "other"),
    [
        (1, b"\x40", 255),
        (2, b"\x10", 85),
        (4, b"\x01", 17),
        (8, b"\x00\x01", 1),
        (16, b"\x00\x00\x80\x00", 128),
    ],
)
def test_the_transparent_grey_of_a_png_becomes_white(depth: int, row: bytes, other: int) -> None:
    """Black is the transparent one of two; OpenCV would leave it black."""
    assert decode(png(depth, 0, [row], 2)).tolist() == [[0, other]]
    mark = chunk(b"tRNS", struct.pack(">H", 0))
    assert decode(png(depth, 0, [row], 2, mark)).tolist() == [[255, other]]
    clear = {1: 1, 2: 1, 4: 1, 8: 1, 16: 0x8000}[depth]
    mark = chunk(b"tRNS", struct.pack(">H", clear))
    assert decode(png(depth, 0, [row], 2, mark)).tolist() == [[0, 255]]


def test_the_transparent_colour_of_a_png_becomes_white() -> None:
    mark = chunk(b"tRNS", struct.pack(">HHH", 10, 20, 30))
    file = png(8, 2, [bytes([10, 20, 30, 10, 20, 31])], 2, mark)
    assert decode(file).tolist() == [[[255, 255, 255], [10, 20, 31]]]


def _without_adobe_marker(file: bytes) -> bytes:
    start = file.index(b"\xff\xee")
    return file[:start] + file[start + 2 + int.from_bytes(file[start + 2 : start + 4]) :]


def _as_ycck(file: bytes) -> bytes:
    """Say that the four planes are YCCK, as Photoshop writes them."""
    at = file.index(b"Adobe") + 11
    return file[:at] + b"\x02" + file[at + 1 :]


@pytest.mark.parametrize("change", [bytes, _without_adobe_marker, _as_ycck])
def test_cmyk_jpegs_look_as_pillow_shows_them(
    change: Callable[[bytes], bytes], encode: Encode
) -> None:
    """Pillow writes CMYK inverted, with Adobe's marker."""
    file = change(encode(slope("CMYK"), "JPEG", quality=95))
    with Image.open(io.BytesIO(file)) as stored:
        assert stored.mode == "CMYK"
        expected = np.asarray(stored.convert("RGB")).astype(int)
    got = decode(file)
    assert got.shape == (24, 40, 3)
    assert abs(got - expected).max() <= 3


def test_cmyk_tiffs_become_rgb(encode: Encode) -> None:
    picture = slope("CMYK")
    got = decode(encode(picture, "TIFF"))
    assert abs(got - np.asarray(picture.convert("RGB")).astype(int)).max() <= 1


def test_grey_jpegs_stay_grey(encode: Encode) -> None:
    got = decode(encode(slope("L"), "JPEG", quality=100))
    assert got.shape == (24, 40)
    assert abs(got - np.asarray(slope("L")).astype(int)).max() <= 2


@pytest.mark.parametrize(
    "how", [{"progressive": True}, {"keep_rgb": True}, {"subsampling": "4:4:4"}, {"optimize": True}]
)
def test_all_kinds_of_jpeg_are_rgb_in_that_order(how: dict[str, Any], encode: Encode) -> None:
    how = {"subsampling": "4:4:4", **how}
    got = decode(encode(slope(), "JPEG", quality=100, **how))
    assert abs(got - np.asarray(slope()).astype(int)).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_pictures_in_a_file_the_first_counts(kind: str, encode: Encode) -> None:
    frames = [slope(), ImageOps.invert(slope()), ImageOps.flip(slope())]
    if kind == "GIF":
        frames = [frame.quantize(256) for frame in frames]
    how = {"lossless": True} if kind == "WEBP" else {}
    file = encode(frames[0], kind, save_all=True, append_images=frames[1:], **how)
    with Image.open(io.BytesIO(file)) as stored:
        assert stored.n_frames == 3
    assert np.array_equal(decode(file), np.asarray(frames[0].convert("RGB")))


def test_bmp_is_rgb(encode: Encode) -> None:
    assert np.array_equal(decode(encode(slope(), "BMP")), np.asarray(slope()))


def test_16_bit_tiffs_whose_zero_is_white_are_not_negatives() -> None:
    values = np.array([[0, 25700, 65535]], dtype=np.uint16)
    assert decode(tiff(values, photometric=0)).tolist() == [[255, 155, 0]]
    assert decode(tiff(values, photometric=1)).tolist() == [[0, 100, 255]]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_numbers_without_agreed_black_and_white_are_refused(dtype: type, encode: Encode) -> None:
    picture = Image.fromarray(np.linspace(0, 1, 81).reshape(9, 9).astype(dtype))
    with pytest.raises(PictureError, match=rf"pixels of type {dtype.__name__} have no agreed"):
        decode(encode(picture, "TIFF"))


def test_grey_tiffs_with_transparency_are_refused(encode: Encode) -> None:
    """OpenCV would drop the transparency, or in 16 bits read nonsense."""
    with pytest.raises(PictureError, match="save it as PNG"):
        decode(encode(slope("LA"), "TIFF"))


def test_a_png_that_claims_to_be_huge_is_refused_at_once() -> None:
    small = png(8, 0, [b"\x00"], 1)
    side = int(MAX_PIXELS**0.5) + 1
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    huge = small[:8] + chunk(b"IHDR", header) + small[8 + 25 :]
    found = png_header(huge)
    assert found is not None
    assert found.width == found.height == side
    with pytest.raises(
        PictureError, match=f"claims to have {side}×{side} pixels, expected at most"
    ):
        decode(huge)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "I;16", "RGBA"])
def test_big_tiffs_are_read_as_tiffs_are(mode: str, encode: Encode) -> None:
    if mode == "RGBA":
        picture = Image.fromarray(_every_colour_with_every_alpha())
    elif mode == "I;16":
        picture = Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100)
    else:
        picture = slope(mode)
    small, big = (encode(picture, "TIFF", big_tiff=b) for b in (0, 1))
    assert (small[2], big[2]) == (42, 43)
    assert np.array_equal(decode(big), decode(small))


def test_big_tiffs_are_refused_where_tiffs_are(encode: Encode) -> None:
    with pytest.raises(PictureError, match="save it as PNG"):
        decode(encode(slope("LA"), "TIFF", big_tiff=True))
    file = encode(Image.new("L", (8, 8)), "TIFF", big_tiff=True)
    wide = struct.pack("<HHQQ", 256, 4, 1, 8)
    assert wide in file
    huge = file.replace(wide, struct.pack("<HHQQ", 256, 4, 1, MAX_PIXELS))
    with pytest.raises(PictureError, match=f"claims to have {MAX_PIXELS}×8 pixels"):
        decode(huge)


@pytest.mark.parametrize("orientation", [3, 6])
def test_big_tiffs_are_turned(orientation: int, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    small, big = (encode(slope(), "TIFF", exif=exif, big_tiff=b) for b in (0, 1))
    assert np.array_equal(decode(big), decode(small))
