"""What is measured about pictures is right, from files and from decoded pixels alike."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from nunbit.data.checks.facts import facts_of_pixels, scan
from nunbit.data.checks.perceptual import hash_thumbnails
from nunbit.data.sources.stores import ArrayStore
from nunbit.data.table import PictureTable
from nunbit.errors import PictureError


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_numbers_of_a_picture(make_table, photo):
    picture = photo(1, 90, 130)
    facts, unreadable = scan(make_table([png(picture)]), threads=1)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    assert unreadable == []
    assert (facts.width[0], facts.height[0]) == (130, 90)
    assert facts.brightness[0] == pytest.approx(grey.mean(), abs=1e-3)
    assert facts.contrast[0] == pytest.approx(grey.std(), abs=1e-3)
    assert facts.thumbnails.shape == (1, 32, 32)
    assert facts.perceptual[0] == hash_thumbnails(facts.thumbnails)[0]
    assert facts.compared.tolist() == [True]
    assert facts.kinds == ((),)
    assert facts.lies == ("",)


def test_content_is_of_shape_and_pixels_not_of_the_file(make_table):
    """Another compression is the same picture; another shape or one level is not."""
    picture = np.arange(64 * 60, dtype=np.uint8).reshape(64, 60)
    other = picture.copy()
    other[3, 3] ^= 1
    squeezed = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    files = [png(picture), squeezed, png(picture.reshape(60, 64)), png(other)]
    assert files[0] != files[1]
    content = [bytes(each) for each in scan(make_table(files))[0].content]
    assert content[0] == content[1]
    assert len(set(content)) == 3


def test_a_turned_picture_is_measured_as_it_is_shown(make_table, photo, encode):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encode(Image.fromarray(photo(2, 60, 100)), "JPEG", exif=exif)
    facts, _ = scan(make_table([file], names=["a.jpg"]))
    assert (facts.width[0], facts.height[0]) == (60, 100)
    assert facts.kinds == (("EXIF-rotated",),)


def test_unreadable_ones_are_listed_with_reasons_and_the_others_keep_their_rows(make_table, photo):
    whole = png(photo(3))
    files = [whole[:500], png(photo(4)), b"", PictureError("gone"), png(photo(5)), b"hello"]
    facts, unreadable = scan(make_table(files))
    assert facts.rows.tolist() == [1, 4]
    assert [row for row, _ in unreadable] == [0, 2, 3, 5]
    reasons = [each.reason for _, each in unreadable]
    assert reasons[:3] == ["damaged or truncated", "the file is empty", "gone"]
    assert unreadable[1][1].name == "2.png"


def test_all_unreadable(make_table):
    facts, unreadable = scan(make_table([b"", b""]))
    assert len(facts) == 0
    assert len(unreadable) == 2


def test_a_lying_suffix_is_told(make_table, photo):
    names = ["a.jpg", "b.png", "c.dat", "no suffix"]
    facts, _ = scan(make_table([png(photo(6))] * 4, names=names))
    assert facts.lies == ("PNG", "", "", "")


def test_progress_and_threads_change_nothing(make_table, photo):
    table = make_table([png(photo(k, 50, 60)) for k in range(150)])
    seen: list[int] = []
    one, _ = scan(table, threads=1, on_progress=seen.append)
    many, _ = scan(table, threads=4)
    assert seen == [64, 128, 150]
    assert one.content.tolist() == many.content.tolist()
    assert one.perceptual.tolist() == many.perceptual.tolist()


def test_small_pictures_are_not_searched(make_table, photo):
    facts, _ = scan(make_table([photo(1, 47, 200), photo(1, 48, 48)]))
    assert facts.compared.tolist() == [False, True]
    assert not facts.thumbnails[0].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_decoded_pixels_give_the_same_facts_as_files(make_table, photo, channels):
    pictures = np.stack([photo(k, 56, 56) for k in range(70)])
    if channels == 1:
        pictures = pictures[:, :, :, :1]
    files = [png(each[:, :, 0] if channels == 1 else each) for each in pictures]
    of_files, _ = scan(make_table(files))
    of_pixels = facts_of_pixels(pictures)
    assert of_pixels.perceptual.tolist() == of_files.perceptual.tolist()
    assert (of_pixels.thumbnails == of_files.thumbnails).all()
    assert of_pixels.brightness == pytest.approx(of_files.brightness, abs=1e-3)
    assert of_pixels.contrast == pytest.approx(of_files.contrast, abs=1e-2)
    assert set(of_pixels.width) == set(of_pixels.height) == {56}


def test_rows_choose_and_order_pixels(photo):
    pictures = np.stack([photo(k, 50, 50) for k in range(5)])
    whole, some = facts_of_pixels(pictures), facts_of_pixels(pictures, rows=np.array([3, 1]))
    assert (some.content == whole.content[[3, 1]]).all()
    assert some.rows.tolist() == [0, 1]


def test_an_array_is_not_read_picture_by_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 9, 9), dtype=np.uint8)
    store = ArrayStore(pixels, lambda k: f"#{k}")
    ids = np.array([4, 2, 2])
    table = PictureTable(store, ids, np.zeros(3, int), ("a",), np.array(["train"] * 3), "made")
    facts, unreadable = scan(table)
    assert unreadable == []
    assert facts.rows.tolist() == [0, 1, 2]
    assert facts.content[1] == facts.content[2] != facts.content[0]
    assert facts.brightness[0] == pytest.approx(pixels[4].mean(), abs=1e-3)


def cut_jpeg(pixels, keep: float = 0.5, **how):
    """A JPEG that lost its end, as a broken download does, but for the mark of the end."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, **how)
    data = file.getvalue()
    start = data.rindex(b"\xff\xda")
    return data[: start + int((len(data) - start) * keep)] + b"\xff\xd9"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 5])
def test_jpegs_that_are_grey_at_an_end_are_told(make_table, photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = photo(1, 128, 96)
    cut = cut_jpeg(picture, exif=exif)
    grey = cut_jpeg(picture[:, :, 0], exif=exif)
    whole = cut_jpeg(picture, 1.0, exif=exif)
    facts, unreadable = scan(make_table([cut, grey, whole], names=["a.jpg", "b.jpg", "c.jpg"]))
    assert unreadable == []
    assert facts.is_cut.tolist() == [True, True, False]


def test_borders_of_whole_pictures_are_no_cuts(make_table, photo):
    framed = photo(2, 128, 96)
    framed[:16] = framed[-16:] = 128
    on_grey = np.full((128, 96, 3), 128, np.uint8)
    on_grey[40:80, 40:80] = photo(3, 40, 40)
    black = photo(4, 128, 96)
    black[100:] = 0
    plain = np.full((64, 64, 3), 128, np.uint8)
    files = [cut_jpeg(each, 1.0) for each in (framed, on_grey, black, plain)]
    half = photo(5, 128, 96)
    half[64:] = 128
    facts, _ = scan(make_table([*files, png(half)]))
    assert facts.is_cut.tolist() == [False] * 5
    assert not facts_of_pixels(np.stack([half])).is_cut.any()
