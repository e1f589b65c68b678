"""The size that a file claims, and JPEGs that shrink while they are decoded."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nunbit.data.decode import MAX_PIXELS, decode, shrink_for
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sizes import is_heic, jpeg_frame, picture_size
from nunbit.errors import PictureError

Encode = Callable[..., bytes]
FILES = Path(__file__).parents[1] / "files"


def smooth(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif", "avif"])
@pytest.mark.parametrize("shape", [(33, 57), (1, 300), (300, 1), (16, 16)])
def test_the_size_is_read_from_every_kind(suffix: str, shape: tuple[int, int]) -> None:
    height, width = shape
    if suffix == "avif" and 1 in shape:
        return  # the encoder takes no such thin picture
    file = cv2.imencode(f".{suffix}", smooth(height, width))[1].tobytes()
    assert picture_size(file) == (width, height)


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("JPEG", {"progressive": True}),
        ("JPEG", {"exif": b"Exif\0\0" + bytes(3000)}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 50}),
        ("WEBP", {"exif": b"Exif\0\0II*\0"}),
        ("TIFF", {"big_tiff": False}),
        ("TIFF", {"big_tiff": True}),
        ("GIF", {}),
    ],
)
def test_the_size_is_read_from_other_writers(kind: str, how: dict, encode: Encode) -> None:
    assert picture_size(encode(Image.new("RGB", (123, 45)), kind, **how)) == (123, 45)


def test_large_numbers_in_a_tiff_of_motorola_order() -> None:
    """Width and height are 32-bit there; read as 16 bits they would be 0."""
    entries = struct.pack(">HHHIIHHII", 2, 256, 4, 1, 70_001, 257, 4, 1, 50_002)
    assert picture_size(b"MM\0*" + struct.pack(">I", 8) + entries) == (70_001, 50_002)


STARTS = [
    b"",
    b"\xff\xd8\xff",
    b"RIFF....WEBPVP8 ",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"GIF89a",
    b"\0\0\0\x18ftypavif",
    b"\x89PNG\r\n\x1a\n",
]


@given(st.binary(max_size=60), st.sampled_from(STARTS))
def test_no_bytes_break_it(rest: bytes, start: bytes) -> None:
    found = picture_size(start + rest)
    assert found is None or (len(found) == 2 and all(side >= 0 for side in found))


def huge(kind: str) -> bytes:
    """Return a file of a few bytes that claims 60,000 x 60,000 pixels."""
    side, small = 60_000, cv2.imencode(f".{kind}", smooth(8, 8))[1].tobytes()
    if kind == "jpg":
        at = small.index(b"\xff\xc0") + 5
        return small[:at] + struct.pack(">HH", side, side) + small[at + 4 :]
    if kind == "bmp":
        return small[:18] + struct.pack("<ii", side, side) + small[26:]
    if kind == "gif":
        return small[:6] + struct.pack("<HH", side, side) + small[10:]
    image = io.BytesIO()
    Image.new("L", (8, 8)).save(image, "TIFF")
    data = bytearray(image.getvalue())
    start = struct.unpack_from("<I", data, 4)[0]
    for k in range(struct.unpack_from("<H", data, start)[0]):
        if struct.unpack_from("<H", data, start + 2 + 12 * k)[0] in (256, 257):
            struct.pack_into("<HII", data, start + 4 + 12 * k, 4, 1, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["jpg", "bmp", "gif", "tif"])
def test_a_file_that_claims_to_be_huge_is_refused_before_decoding(kind: str) -> None:
    with pytest.raises(
        PictureError, match=f"claims to have 60000×60000 pixels, expected at most {MAX_PIXELS:,}"
    ):
        decode(huge(kind))


@pytest.mark.parametrize("junk", [b"\0\0", b"\x12", b"\xff\xff\xff", b"\0\xff\xff\0ab\xff\0"])
def test_the_size_of_a_jpeg_is_found_behind_junk_as_libjpeg_finds_it(junk: bytes) -> None:
    whole = jpeg(smooth(48, 40))
    at = whole.index(b"\xff\xc0")
    assert jpeg_frame(whole[:at] + junk + whole[at:]) == (40, 48, 3)
    file = huge("jpg")
    with pytest.raises(PictureError, match="claims to have 60000×60000 pixels"):
        decode(file[:at] + junk + file[at:])


OTHER_KINDS = {
    "jpeg-2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(80),
    "jpeg-2000-stream": b"\xff\x4f\xff\x51" + bytes(80),
    "grey-map": b"P5\n4 4\n255\n" + bytes(16),
    "grey-map-that-says-it-is-avif": b"P5\n#ftypavif ispe\0\0\0\0\0\0\0\1\0\0\0\1\n4 4\n255\n"
    + bytes(16),
    "any-map": b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n1234",
    "sun": b"\x59\xa6\x6a\x95" + struct.pack(">7I", 4, 4, 8, 16, 1, 0, 0) + bytes(16),
    "radiance": cv2.imencode(".hdr", np.ones((4, 4, 3), np.float32))[1].tobytes(),
}


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_kinds_whose_size_is_not_known_are_refused_before_decoding(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cv2.imdecodeWithMetadata", lambda *_, **__: pytest.fail("was decoded"))
    with pytest.raises(PictureError, match="of a kind that is not read, expected JPEG, PNG, "):
        decode(OTHER_KINDS[name])


def jpeg(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
@pytest.mark.parametrize("grey", [False, True])
def test_a_shrunk_jpeg_is_the_same_picture(shrink: int, grey: bool) -> None:
    whole = smooth(240, 336)
    whole = whole[:, :, 0] if grey else whole
    small = decode(jpeg(whole), shrink=shrink)  # type: ignore[arg-type]
    height, width = 240 // shrink, 336 // shrink
    assert small.shape == ((height, width) if grey else (height, width, 3))
    truth = cv2.resize(decode(jpeg(whole)), (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - truth).mean() < 1.5


def test_a_side_that_is_no_multiple_is_rounded_up() -> None:
    assert decode(jpeg(smooth(241, 331)), shrink=8).shape == (31, 42, 3)


def test_a_truncated_jpeg_is_refused_at_every_scale() -> None:
    file = jpeg(smooth(240, 331))
    for shrink in (1, 2, 4, 8):
        with pytest.raises(PictureError):
            decode(file[: len(file) // 2], shrink=shrink)  # type: ignore[arg-type]


def test_the_turn_of_a_camera_is_applied_at_every_scale(encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encode(Image.fromarray(smooth(80, 120)), "JPEG", exif=exif, quality=95)
    upright = decode(file)
    assert upright.shape == (120, 80, 3)
    small = decode(file, shrink=2)
    truth = cv2.resize(upright, (40, 60), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - truth).mean() < 3.0


@pytest.mark.parametrize(
    ("shape", "size", "longest", "shrink"),
    [
        ((256, 300), 128, False, 2),
        ((255, 300), 128, False, 1),
        ((512, 4000), 128, False, 4),
        ((1024, 1024), 128, False, 8),
        ((9000, 9000), 128, False, 8),
        ((100, 1024), 128, True, 8),
        ((100, 1024), 128, False, 1),
    ],
)
def test_the_scale_is_the_nearest_that_is_large_enough(
    shape: tuple[int, int], size: int, longest: bool, shrink: int
) -> None:
    assert shrink_for(jpeg(smooth(*shape)), size, longest=longest) == shrink


def test_other_kinds_are_not_shrunk() -> None:
    file = cv2.imencode(".png", smooth(512, 512))[1].tobytes()
    assert shrink_for(file, 16) == 1
    assert decode(file, shrink=8).shape == (512, 512, 3)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_what_the_network_sees_hardly_changes(fit: str) -> None:
    whole = smooth(704, 896, seed=3)
    steps = Preprocessing(64, 3, fit=fit)  # type: ignore[arg-type]
    slow = steps.prepare(decode(jpeg(whole)))
    assert np.abs(steps.prepare(jpeg(whole)).astype(int) - slow).mean() < 1.5


def test_heic_is_told_from_avif() -> None:
    assert is_heic(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(20))
    assert not is_heic(b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf" + bytes(20))
    assert not is_heic(cv2.imencode(".avif", smooth(32, 32))[1].tobytes())


def test_heic_without_its_reader_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nunbit.data.decode._HEIC_READERS", ("no_such_reader",))
    with pytest.raises(PictureError, match=r"pip install 'nunbit\[heic\]'"):
        decode((FILES / "upright.heic").read_bytes())


RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 200, 40), (30, 40, 220), (240, 240, 240)


def corners(pixels: np.ndarray) -> list[list[int]]:
    return [pixels[y, x].tolist() for y in (5, -6) for x in (5, -6)]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("upright", (40, 64, 3), (RED, GREEN, BLUE, WHITE)),
        ("turned", (64, 40, 3), (BLUE, RED, WHITE, GREEN)),  # a quarter clockwise
    ],
)
def test_heic_as_phones_write_it(name: str, shape: tuple, expected: tuple) -> None:
    pixels = decode((FILES / f"{name}.heic").read_bytes())
    assert pixels.shape == shape
    assert np.abs(np.array(corners(pixels)) - np.array(expected)).max() <= 4


def test_grey_heic_stays_grey() -> None:
    assert decode((FILES / "grey.heic").read_bytes()).shape == (40, 64)


def test_a_truncated_heic_is_refused() -> None:
    whole = (FILES / "upright.heic").read_bytes()
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(PictureError):
            decode(whole[: int(len(whole) * share)])
