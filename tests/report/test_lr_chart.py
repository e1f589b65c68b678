"""The drawing of a learning-rate trial."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from nunbit.errors import StorageError
from nunbit.report.lr_chart import draw_lr_chart, write_lr_chart

SVG = "{http://www.w3.org/2000/svg}"
RATES = [1e-4, 1e-3, 1e-2, 1e-1]
SMOOTHED = [2.0, 1.5, 1.0, 3.0]


def draw(title: str = "mlp on digits") -> ET.Element:
    losses = [2.0, 1.4, 0.9, 90.0]
    return ET.fromstring(  # noqa: S314  # our own
        draw_lr_chart(RATES, losses, SMOOTHED, suggestion=1e-3, title=title)
    )


def test_rates_are_spread_by_their_logarithm() -> None:
    raw, smooth = draw().findall(f"{SVG}polyline")
    places = [tuple(map(float, pair.split(","))) for pair in smooth.attrib["points"].split()]
    steps = [b[0] - a[0] for a, b in itertools.pairwise(places)]
    assert max(steps) - min(steps) < 0.2
    heights = [y for _, y in places]
    assert heights.index(max(heights)) == 2  # the smallest loss stands lowest
    top = min(float(pair.split(",")[1]) for pair in raw.attrib["points"].split())
    assert top == pytest.approx(44.0)  # a loss that soars ends at the frame


def test_the_suggestion_stands_at_its_rate() -> None:
    dashed = next(p for p in draw().findall(f"{SVG}path") if "stroke-dasharray" in p.attrib)
    x = float(dashed.attrib["d"][1:].split()[0])
    assert x == pytest.approx(64 + (640 - 64 - 24) * (math.log10(1e-3) + 4) / 3, abs=0.1)


def test_any_title_is_text() -> None:
    texts = [node.text for node in draw('<b>&"\x1b').iter(f"{SVG}text")]
    assert texts[0] == '<b>&"?'


def test_it_is_written_over_its_own_kind_only(tmp_path: Path) -> None:
    svg = draw_lr_chart(RATES, SMOOTHED, SMOOTHED, suggestion=1e-3, title="a")
    for _ in range(2):
        write_lr_chart(tmp_path / "lr.svg", svg)
    (tmp_path / "other.svg").write_text("<svg/>")
    with pytest.raises(StorageError, match="is no drawing of `nunbit find-lr`"):
        write_lr_chart(tmp_path / "other.svg", svg)
