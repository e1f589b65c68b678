"""``signals``: time series of five forms, made by us, each kept as a small picture.

What a sensor gives is a row of numbers, not a picture. Here 256 samples of a signal
are the 256 pixels of a grey picture of 16×16 in reading order: the first row holds the
first 16 samples. Frequency, phase, amplitude, offset and noise are drawn anew for each
signal, so that only the form tells the class, wherever in the row it stands. A network
that slides filters along the time (``conv1d`` with ``read="pixels"``) learns the forms;
a dense one, which must learn each place anew, does not get far.

Every signal is a function of its class, its number and its split alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nunbit.data.named.base import NamedSet
from nunbit.data.named.drawn import draw_table
from nunbit.data.table import PictureTable
from nunbit.randomness import make_rng

__all__ = ["SIGNALS", "draw_signal"]

CLASSES = ("chirp", "sawtooth", "sine", "square", "triangle")
SIZE = 16
SAMPLES = SIZE * SIZE
TRAIN_PER_CLASS, TEST_PER_CLASS = 200, 100
CYCLES = (4.0, 12.0)
"""How often a signal repeats itself within its samples."""
CHIRP_FACTOR = (3.0, 5.0)
"""How many times the frequency grows, or shrinks, in a chirp."""


def _form(kind: str, turns: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return values in -1..1 at times given in turns."""
    place = turns % 1.0
    if kind == "square":
        return np.where(place < rng.uniform(0.35, 0.65), 1.0, -1.0)
    if kind == "sawtooth":
        return (2 * place - 1) * (1 if rng.uniform() < 0.5 else -1)  # rising, or falling
    if kind == "triangle":
        return 1 - 4 * np.abs(place - 0.5)
    return np.sin(2 * np.pi * turns)  # sine, and chirp whose turns are not even


def draw_signal(kind: str, number: int, *, split: str = "train") -> NDArray[np.uint8]:
    """Make one signal: 256 samples as a picture, dark is low.

    Shape:
        returns: uint8 (16, 16); the samples in reading order.
    Args:
        kind: One of ``chirp``, ``sawtooth``, ``sine``, ``square``, ``triangle``.
        number: Which one; the same number is the same signal.
        split: ``train`` or ``test``; the signals of one are not those of the other.
    """
    rng = make_rng(0, "signals", kind, number, split)
    time = np.arange(SAMPLES) / SAMPLES
    cycles, phase = rng.uniform(*CYCLES), rng.uniform()
    if kind == "chirp":  # the frequency grows evenly from cycles/s to its factor of that
        factor = rng.uniform(*CHIRP_FACTOR)
        slow = 2 * cycles / (1 + factor)  # so that it has as many turns as the others
        turns = slow * (time + (factor - 1) * time**2 / 2)
        turns = turns if rng.uniform() < 0.5 else turns[-1] - turns[::-1]
    else:
        turns = cycles * time
    amplitude = rng.uniform(50, 105)
    offset = 127.5 + rng.uniform(-1, 1) * (115 - amplitude)
    noise = rng.normal(0, rng.uniform(0.03, 0.15) * amplitude, SAMPLES)
    values = offset + amplitude * _form(kind, turns + phase, rng) + noise
    return np.clip(np.round(values), 0, 255).astype(np.uint8).reshape(SIZE, SIZE)


def _open(place: Path | None) -> PictureTable:
    return draw_table(
        "signals",
        CLASSES,
        {"train": TRAIN_PER_CLASS, "test": TEST_PER_CLASS},
        lambda kind, number, split: draw_signal(kind, number, split=split),
        digits=4,
    )


SIGNALS = NamedSet(
    name="signals",
    title="time series of five forms: 256 samples as 16×16 pixels in reading order",
    title_ko="다섯 가지 파형의 시계열, 표본 256개를 16×16 화소로",
    classes=CLASSES,
    classes_ko=("처프", "톱니파", "사인파", "사각파", "삼각파"),
    train_images=5 * TRAIN_PER_CLASS,
    test_images=5 * TEST_PER_CLASS,
    image_size=SIZE,
    colour="grey",
    licence="made by Nunbit, Apache-2.0",
    files="",
    open=_open,
)
