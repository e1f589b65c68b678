"""``shapes``: triangles, rectangles and circles, drawn by us as with a pencil.

The training pictures are few and tidy: upright, centred, of like size. The test
split is the *challenge*: rotated, scaled, shifted, drawn with a shaky hand. A
network that has only learnt the tidy ones fails there; augmentation closes the
gap. That is the course's experiment, here without anybody's drawings.

Every picture is a function of its number alone.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.data.named.base import NamedSet
from nunbit.data.named.drawn import draw_table
from nunbit.data.table import PictureTable
from nunbit.randomness import make_rng

__all__ = ["SHAPES", "draw_shape"]

CLASSES = ("circle", "rectangle", "triangle")
SIZE = 32
TRAIN_PER_CLASS, TEST_PER_CLASS = 50, 100
_DETAIL = 4  # drawn this much larger, then shrunk: smooth lines without jagged steps
_PAPER = 0.87  # how far from the centre a line may run, so that it stays on the paper whole


def _outline(kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the outline as (N, 2) points x, y in units of its radius, centre 0."""
    steps = np.linspace(0, 1, 24, endpoint=False)[:, None]
    if kind == "circle":
        return np.hstack([np.cos(2 * np.pi * steps), np.sin(2 * np.pi * steps)])
    if kind == "rectangle":
        aspect = rng.uniform(0.6, 1.0)
        corners = np.array([[-1, -aspect], [1, -aspect], [1, aspect], [-1, aspect]]) * 0.85
    else:
        corners = np.array([[0, -1], [0.9, 0.75], [-0.9, 0.75]])
    following = np.roll(corners, -1, axis=0)
    sides = [a + (b - a) * steps for a, b in zip(corners, following, strict=True)]
    return np.concatenate(sides)


def draw_shape(kind: str, number: int, *, challenge: bool) -> NDArray[np.uint8]:
    """Draw one shape: dark pencil on white paper.

    Shape:
        returns: uint8 (32, 32).
    Args:
        kind: ``"circle"``, ``"rectangle"`` or ``"triangle"``.
        number: Which one; the same number is the same picture.
        challenge: Rotated, scaled, shifted and shaky instead of tidy.
    """
    rng = make_rng(0, "shapes", kind, number, int(challenge))
    points = _outline(kind, rng)
    if challenge:
        angle, scale = rng.uniform(-180, 180), rng.uniform(0.35, 0.8)
        shift, shake = rng.uniform(-0.2, 0.2, 2), 0.05
        points = points * [rng.uniform(0.75, 1.0), 1.0]
    else:
        angle, scale = rng.uniform(-3, 3), rng.uniform(0.62, 0.72)
        shift, shake = rng.uniform(-0.04, 0.04, 2), 0.015
    wobble = rng.normal(0, shake, (len(points), 2))
    wobble = (wobble + np.roll(wobble, 1, axis=0) + np.roll(wobble, -1, axis=0)) / np.sqrt(3)
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    half = SIZE * _DETAIL / 2
    outline = (points + wobble) @ rotation.T * scale
    room = _PAPER - outline.max(axis=0)
    outline += np.clip(shift, np.minimum(-_PAPER - outline.min(axis=0), room), room)
    pixels = outline * half + half
    paper = np.full((SIZE * _DETAIL, SIZE * _DETAIL), int(rng.integers(235, 256)), dtype=np.uint8)
    cv2.polylines(
        paper,
        [np.round(pixels * 16).astype(np.int32)],
        isClosed=True,
        color=int(rng.integers(20, 90)),
        thickness=int(rng.integers(5, 9)),
        lineType=cv2.LINE_AA,
        shift=4,
    )
    return cv2.resize(paper, (SIZE, SIZE), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _open(place: Path | None) -> PictureTable:
    return draw_table(
        "shapes",
        CLASSES,
        {"train": TRAIN_PER_CLASS, "test": TEST_PER_CLASS},
        lambda kind, number, split: draw_shape(kind, number, challenge=split == "test"),
        digits=3,
    )


SHAPES = NamedSet(
    name="shapes",
    title="triangles, rectangles, circles; the test is a harder challenge set",
    title_ko="삼각형·사각형·원, 시험용은 더 어려운 도전 세트",
    classes=CLASSES,
    classes_ko=("원", "사각형", "삼각형"),
    train_images=3 * TRAIN_PER_CLASS,
    test_images=3 * TEST_PER_CLASS,
    image_size=SIZE,
    colour="grey",
    licence="drawn by Nunbit, Apache-2.0",
    files="",
    open=_open,
)
