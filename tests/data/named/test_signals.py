"""The set of time series: functions of their number, of the form that their name says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nunbit.data.named import NAMED_SETS, open_named
from nunbit.data.named.signals import CLASSES, CYCLES, draw_signal
from nunbit.data.pictures import load

NUMBERS = range(40)


def series(kind: str, number: int, split: str = "train") -> NDArray[np.float64]:
    """Return the samples of a signal, in -1..1 about."""
    values = draw_signal(kind, number, split=split).ravel().astype(float)
    low, high = np.percentile(values, [2, 98])
    return (values - (low + high) / 2) / ((high - low) / 2)


def test_signals_are_functions_of_class_number_and_split() -> None:
    for kind in CLASSES:
        first = draw_signal(kind, 7)
        np.random.seed(0)  # global state must not matter
        assert first.shape == (16, 16)
        assert first.dtype == np.uint8
        assert np.array_equal(draw_signal(kind, 7), first)
        assert not np.array_equal(draw_signal(kind, 8), first)
        assert not np.array_equal(draw_signal(kind, 7, split="test"), first)
    one, other = open_named("signals"), open_named("signals")
    assert all(np.array_equal(one.store.read(i), other.store.read(i)) for i in range(len(one)))
    assert len({np.asarray(one.store.read(i)).tobytes() for i in range(len(one))}) == len(one)


def test_the_picture_holds_the_samples_in_reading_order() -> None:
    """Neighbours in time are close, over the end of a row too."""
    steps = np.stack([series("sine", number) for number in NUMBERS])
    within = np.abs(np.diff(steps, axis=1))
    over_the_end = within[:, 15::16]
    assert over_the_end.mean() == pytest.approx(within.mean(), rel=0.1)
    assert within.mean() < 0.35


def test_values_stay_within_the_range_and_use_it() -> None:
    table = open_named("signals")
    pixels = np.stack([table.store.read(int(i)) for i in table.ids]).reshape(len(table), -1)
    clipped = ((pixels == 0) | (pixels == 255)).mean()
    assert clipped < 0.01
    spread = np.percentile(pixels, 95, axis=1) - np.percentile(pixels, 5, axis=1)
    assert spread.min() > 60
    assert spread.max() > 180
    means = pixels.mean(axis=1)
    assert means.min() < 100
    assert means.max() > 155


def fundamental(values: NDArray[np.float64]) -> int:
    """Return the strongest frequency, in cycles per 256 samples."""
    strength = np.abs(np.fft.rfft(values - values.mean()))
    return int(strength[1:].argmax()) + 1


@pytest.mark.parametrize("kind", ["sawtooth", "sine", "square", "triangle"])
def test_frequencies_are_all_in_their_range_and_many(kind: str) -> None:
    found = [fundamental(series(kind, number)) for number in NUMBERS]
    assert min(found) >= CYCLES[0] - 1
    assert max(found) <= CYCLES[1] + 1
    assert len(set(found)) >= 6


def test_each_form_is_what_its_name_says() -> None:
    """Told by how values are spread, and by the steps between them."""
    for number in NUMBERS:
        values = {kind: series(kind, number) for kind in CLASSES}
        middle = {kind: float((np.abs(v) < 0.5).mean()) for kind, v in values.items()}
        assert middle["square"] < 0.15, "high or low, hardly between"
        assert middle["sine"] < 0.48, "a third: it turns slowly"
        assert middle["triangle"] > 0.35, "half: it is everywhere as long"
        jumps = {kind: float(np.abs(np.diff(v)).max()) for kind, v in values.items()}
        assert jumps["sawtooth"] > 0.9
        assert jumps["square"] > 0.9


def test_a_chirp_changes_its_frequency_and_a_sine_does_not() -> None:
    def ratio(kind: str, number: int) -> float:
        """Return how many times more crossings one half has than the other."""
        smooth = np.convolve(series(kind, number), np.ones(5) / 5, "same")
        halves = [int((np.diff(np.sign(half)) != 0).sum()) for half in np.split(smooth, 2)]
        return max(halves) / max(1, min(halves))

    chirps = [ratio("chirp", number) for number in NUMBERS]
    sines = [ratio("sine", number) for number in NUMBERS]
    assert np.median(chirps) > 1.6
    assert np.median(sines) < 1.25
    rising = [
        fundamental(series("chirp", number)[:128]) < fundamental(series("chirp", number)[128:])
        for number in NUMBERS
    ]
    assert 8 < sum(rising) < 32, "some rise, some fall"


def test_phases_are_all_over() -> None:
    """No sample tells the class by its place: the mean of many is flat."""
    for kind in CLASSES:
        mean = np.mean([series(kind, number) for number in range(200)], axis=0)
        assert np.abs(mean).max() < 0.3


def test_what_load_makes_of_it() -> None:
    pictures = load("signals")
    assert pictures.classes == CLASSES
    assert pictures.preprocessing.image_size == 16
    assert pictures.preprocessing.channels == 1
    assert len(pictures.train) + len(pictures.validation) == 1000
    assert len(pictures.test) == 500
    known = NAMED_SETS["signals"]
    assert known.is_embedded
    assert dict(zip(known.classes, known.classes_ko, strict=True))["square"] == "사각파"
