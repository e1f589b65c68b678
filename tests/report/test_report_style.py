"""Colours can be read by everybody, on light and on dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nunbit.report

CSS = (Path(nunbit.report.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")


def colours(part):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part))


LIGHT = colours(CSS[: CSS.index("@media")])
DARK = LIGHT | colours(CSS[CSS.index("@media") : CSS.index("* {")])


def luminance(colour):
    """Return relative luminance as WCAG 2.1 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first, second):
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_enough_contrast(theme):
    for ground in ("page", "soft"):
        for text in ("text", "quiet", "train", "validation"):
            assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
    for kind in ("right", "wrong"):
        for level in range(1, 6):
            text = theme["on-strong" if level > 3 else "on-pale"]
            assert contrast(text, theme[f"{kind}-{level}"]) >= 4.5, (kind, level)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_stronger_means_further_from_the_page(theme):
    for kind in ("right", "wrong"):
        steps = [contrast(theme[f"{kind}-{level}"], theme["page"]) for level in range(1, 6)]
        assert steps == sorted(steps)


def test_dark_theme_sets_every_colour_again():
    dark = colours(CSS[CSS.index("@media") : CSS.index("* {")])
    assert dark.keys() == LIGHT.keys()
