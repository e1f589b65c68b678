"""Hashes survive what happens to copies; the search finds every near pair, quickly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn

from nunbit.data.checks.perceptual import (
    FREQUENCIES,
    MAX_DISTANCE,
    hash_thumbnails,
    hashed_pairs,
    likeness,
)


def thumbnail(picture):
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)


def distance(one, other):
    first, second = hash_thumbnails(np.stack([one, other]))
    return int(np.bitwise_count(first ^ second))


def brute_force(hashes):
    """Return all pairs within the distance, by comparing each with each."""
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    first, second = np.nonzero(np.triu(apart <= MAX_DISTANCE, k=1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def found(hashes):
    pairs = hashed_pairs(hashes)
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def test_bits_are_the_signs_of_the_lowest_cosines():
    """SciPy's transform gives the same 64 bits, in the same order over the bands."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (20, 32, 32), dtype=np.uint8)
    for picture, hashed in zip(pictures, hash_thumbnails(pictures), strict=True):
        waves = dctn(picture.astype(np.float64), norm="ortho")
        lowest = np.array([waves[at] for at in FREQUENCIES])
        ones = lowest > np.median(lowest)
        assert int(np.bitwise_count(hashed)) == int(ones.sum()) == 32
        in_bands = np.concatenate([ones[band::4] for band in range(4)])
        assert np.packbits(in_bands).tobytes() == hashed.tobytes()


def test_the_constant_is_no_bit_and_frequencies_are_the_lowest():
    assert (0, 0) not in FREQUENCIES
    assert len(set(FREQUENCIES)) == 64
    assert max(u + v for u, v in FREQUENCIES) == 10


def test_copies_stay_near_and_others_far(photo):
    for number in range(20):
        picture = photo(number)
        original = thumbnail(picture)
        file = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        smaller = cv2.resize(picture, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        brighter = np.clip(picture * 0.8 + 30, 0, 255).astype(np.uint8)
        for copy in (cv2.imdecode(file, 1)[:, :, ::-1], smaller, brighter):
            assert distance(original, thumbnail(np.ascontiguousarray(copy))) <= 5
        assert distance(original, thumbnail(photo(number + 100))) > 2 * MAX_DISTANCE


@given(st.integers(0, 2**32), st.integers(0, MAX_DISTANCE + 2), st.integers(2, 60))
def test_every_near_pair_is_found_and_no_other(seed, turned, count):
    """Hashes made of others by turning bits lie on both sides of the limit."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    for k in range(1, count, 2):
        bits = rng.choice(64, turned, replace=False).astype(np.uint64)
        hashes[k] = hashes[k - 1] ^ np.bitwise_or.reduce(np.uint64(1) << bits, initial=0)
    assert found(hashes) == brute_force(hashes)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare(count):
    pairs = hashed_pairs(np.zeros(count, np.uint64))
    assert len(pairs) == 0
    assert not pairs.is_capped


def test_pictures_alike_without_end_are_capped_and_it_is_said():
    """20,000 hashes within 2 bits of one another: 200 million pairs are not looked at."""
    rng = np.random.default_rng(0)
    turned = np.uint64(1) << rng.integers(0, 64, 20_000).astype(np.uint64)
    pairs = hashed_pairs(np.uint64(0x0123456789ABCDEF) ^ turned)
    assert pairs.is_capped
    assert 20_000 < len(pairs) < 60 * 20_000
    assert (pairs.first < pairs.second).all()


def test_random_hashes_cost_about_as_much_as_they_are_many():
    """Counted, not timed: pairs looked at grow far slower than the square."""
    from nunbit.data.checks.perceptual import _Band

    looked = []
    for count in (4_000, 16_000):
        hashes = np.random.default_rng(1).integers(0, 2**64, count, dtype=np.uint64)
        table = _Band(hashes, 0)
        looked.append(sum(len(a) for bit in (None, *range(16)) for a, _ in table.candidates(bit)))
    assert looked[1] < 17 * 16_000**2 / 2 / 65_536 * 1.2
    assert looked[1] < 0.0005 * 16_000**2 / 2


def test_likeness_is_the_correlation():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (6, 32, 32), dtype=np.uint8)
    pictures[1] = 255 - pictures[0]
    pictures[3] = pictures[2] // 2 + 20
    first, second = np.array([0, 0, 2, 4]), np.array([0, 1, 3, 5])
    whole, fine = likeness(pictures, first, second)
    flat = pictures.reshape(6, -1).astype(np.float64)
    expected = [np.corrcoef(flat[a], flat[b])[0, 1] for a, b in zip(first, second, strict=True)]
    assert whole == pytest.approx(expected, abs=1e-4)
    assert fine[:2] == pytest.approx([1, -1], abs=1e-4)
    assert fine[2] > 0.99
    assert abs(fine[3]) < 0.2


def test_plain_pictures_are_not_alike_by_likeness():
    flat = np.full((2, 32, 32), 7, np.uint8)
    whole, fine = likeness(flat, np.array([0]), np.array([1]))
    assert whole[0] == fine[0] == 0
