"""The drawing of a network: what is drawn, and that nothing lies on anything else."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nunbit.errors import StorageError
from nunbit.networks import (
    Description,
    NetworkInfo,
    _registry,
    describe,
    find_network,
    network_names,
    register,
)
from nunbit.report.architecture import check_drawing_place, draw_architecture, write_drawing
from nunbit.report.architecture_page import FILL, LETTER
from nunbit.report.architecture_parts import Block, Box, boxes_of, make_parts

SVG = "{http://www.w3.org/2000/svg}"
Area = tuple[float, float, float, float]


def drawn(name: str) -> ET.Element:
    return ET.fromstring(draw_architecture(describe(name)))  # noqa: S314  # our own text


def area_of(text: ET.Element) -> Area:
    """Return left, top, right, bottom of a text as the widest of the fonts would have it."""
    x, y, size = (float(text.get(key, "0")) for key in ("x", "y", "font-size"))
    wide = len(text.text or "") * size * LETTER
    left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")] * wide
    return left, y - 0.75 * size, left + wide, y + 0.2 * size


def overlap(one: Area, other: Area) -> bool:
    return (
        min(one[2], other[2]) - max(one[0], other[0]) > 0.5
        and min(one[3], other[3]) - max(one[1], other[1]) > 0.5
    )


@pytest.mark.parametrize("name", network_names())
def test_every_network_is_drawn_and_no_text_lies_on_another(name: str) -> None:
    root = drawn(name)
    assert root.tag == f"{SVG}svg"
    _, _, width, height = map(float, root.get("viewBox", "").split())
    texts = [(text.text, area_of(text)) for text in root.iter(f"{SVG}text")]
    for words, area in texts:
        assert area[0] >= 0, words
        assert area[2] <= width, words
        assert area[1] >= 0, words
        assert area[3] <= height, words
    for (words, one), (others, other) in combinations(texts, 2):
        assert not overlap(one, other), (words, others)
    for shape in root.iter(f"{SVG}rect"):
        if shape.get("class") in FILL:
            x, y, wide, high = (float(shape.get(k, "0")) for k in ("x", "y", "width", "height"))
            assert min(wide, high) > 5
            assert 0 <= x < x + wide <= width
            assert 0 <= y < y + high <= height
            box = (x, y, x + wide, y + high)
            for words, area in texts:
                is_inside = x <= area[0] and area[2] <= x + wide and y <= area[1] <= y + high
                assert is_inside or not overlap(box, area), words
    for shape in root.iter():
        for value in shape.attrib.values():
            assert "nan" not in value.split()
            assert "inf" not in value.split()


def test_a_drawing_names_the_network_and_its_sums() -> None:
    root = drawn("cnn-mnist")
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words[:2] == [
        "cnn-mnist",
        "1×28×28 → 10, 1,199,882 parameters, 11,992,448 multiply-adds",
    ]
    for expected in ("input", "3×3, 32", "26×26", "3×3, 64", "max-pool 2×2", "dropout 0.25", "128"):
        assert expected in words, expected
    assert words[-1] == "Not drawn: 3 ReLU, 1 flatten."
    title = root.find(f"{SVG}title")
    assert title is not None
    assert title.text is not None
    assert title.text.startswith("cnn-mnist. 1×28×28")


def test_boxes_are_as_high_as_maps_are_wide() -> None:
    root = drawn("vgg-a")
    convs = [shape for shape in root.iter(f"{SVG}rect") if shape.get("class") == "conv"][:-1]
    assert len(convs) == 8
    highs = [float(shape.get("height", "0")) for shape in convs]
    wides = [float(shape.get("width", "0")) for shape in convs]
    assert highs == sorted(highs, reverse=True)
    assert wides == sorted(wides)
    assert highs[0] == 120
    assert highs[1] == pytest.approx(14 + 106 / math.sqrt(2), abs=0.1)


def test_residual_blocks_have_arcs_and_equal_ones_are_drawn_once() -> None:
    items, folded = make_parts(describe("resnet-50"))
    blocks = [item for item in items if isinstance(item, Block)]
    assert [block.repeat for block in blocks] == [1, 2, 1, 3, 1, 5, 1, 2]
    assert {block.join for block in blocks} == {"+"}
    first, second = blocks[0].branches
    assert [box.label for box in boxes_of(first)] == ["1×1, 64", "3×3, 64", "1×1, 256"]
    assert [box.label for box in boxes_of(second)] == ["1×1, 256"]
    assert blocks[1].branches[1] == ()
    assert folded == {"batch norm": 53, "ReLU": 49, "flatten": 1}
    words = [text.text for text in drawn("resnet-50").iter(f"{SVG}text")]
    assert [word for word in words if word and word.startswith("×")] == ["×2", "×3", "×5", "×2"]
    assert "1×1, 512 stride 2" in words


def test_inception_modules_are_frames_with_their_branches() -> None:
    items, _ = make_parts(describe("googlenet"))
    modules = [item for item in items if isinstance(item, Block)]
    assert len(modules) == 9
    assert [[box.label for box in boxes_of(branch)] for branch in modules[0].branches] == [
        ["1×1, 64"],
        ["1×1, 96", "3×3, 128"],
        ["1×1, 16", "5×5, 32"],
        ["max-pool 3×3", "1×1, 32"],
    ]
    assert (modules[0].join, modules[0].channels, modules[0].size) == ("concat", 256, "28×28")


def test_labels_can_be_read_on_a_slide() -> None:
    """On a page of 960 by 540 points."""
    for name in ("alexnet", "auto", "googlenet", "lenet-5", "resnet-20", "resnet-50", "vgg-d"):
        text = draw_architecture(describe(name), title=find_network(name).title)
        root = ET.fromstring(text)  # noqa: S314  # our own text
        _, _, width, height = map(float, root.get("viewBox", "").split())
        sizes = [float(each.get("font-size", "0")) for each in root.iter(f"{SVG}text")]
        least = 7.5 if name == "googlenet" else 8.5  # 27 boxes with their branches
        assert min(sizes) * min(960 / width, 540 / height) >= least, name


def test_what_only_training_uses_is_said() -> None:
    words = [text.text or "" for text in drawn("googlenet").iter(f"{SVG}text")]
    assert words[-1].endswith(", 2 auxiliary classifiers, used in training.")
    assert not any("auxiliary" in (text.text or "") for text in drawn("vgg-a").iter())


def test_boxes_of_towers_say_where_the_map_shrinks() -> None:
    words = [text.text or "" for text in drawn("alexnet").iter(f"{SVG}text")]
    sizes = [word.partition(" → ")[2] for word in words[2:] if " → " in word]
    assert sizes == ["55×55", "27×27", "13×13"] * 2 + ["13×13", "6×6"] * 2
    assert sum(word == "max-pool 3×3 /2 → 27×27" for word in words) == 2
    of_one_size = [text.text or "" for text in drawn("googlenet").iter(f"{SVG}text")]
    assert not any(" → " in word for word in of_one_size[2:])


def test_convolutions_along_time_are_named_and_heights_explained() -> None:
    words = [text.text or "" for text in drawn("conv1d").iter(f"{SVG}text")]
    assert any(re.fullmatch(r"conv \d, 16", word) for word in words), words
    said = "Height: side of the map (square root), or number of neurons (logarithm). "
    assert f"{said}Width: channels (logarithm)." in words
    dense = [text.text or "" for text in drawn("lenet-5").iter(f"{SVG}text")]
    assert any(word.startswith(said) for word in dense)


def test_a_long_plain_network_is_folded_and_a_short_one_is_not() -> None:
    def boxes(name: str) -> list[tuple[str, int]]:
        items, _ = make_parts(describe(name))
        return [(box.label, box.repeat) for box in boxes_of(items) if box.kind == "conv"]

    assert boxes("vgg-d")[:3] == [("3×3, 64", 1), ("3×3, 64", 1), ("3×3, 128", 1)]
    folded = boxes("plain-34")
    assert folded[1] == ("3×3, 64", 6)
    assert sum(repeat for _, repeat in folded) == 33


class Own(nn.Module):
    """A network of a test with the arguments that registered ones have."""

    def __init__(self, *, outputs: int, channels: int, image_size: int) -> None:
        super().__init__()


class Crossing(Own):
    """Branches that no series or parallel order describes."""

    def __init__(self, *, outputs: int, channels: int, image_size: int) -> None:
        super().__init__(outputs=outputs, channels=channels, image_size=image_size)
        self.a, self.b, self.c, self.d, self.e = (nn.Conv2d(1, 1, 1) for _ in range(5))
        self.head = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        c = self.c(a)
        d = self.d(a + b)
        return self.head((self.e(b) + d + c).flatten(1))


class Groups(Own):
    def __init__(self, *, outputs: int, channels: int, image_size: int) -> None:
        super().__init__(outputs=outputs, channels=channels, image_size=image_size)
        self.one, self.two = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=2)
        self.flatten, self.head = nn.Flatten(), nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flatten(self.two(self.one(x))))


class Dense(Own):
    def __init__(self, *, outputs: int, channels: int, image_size: int) -> None:
        super().__init__(outputs=outputs, channels=channels, image_size=image_size)
        self.flatten, self.head = nn.Flatten(), nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flatten(x))


Describe = Callable[..., Description]


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Describe:
    """Describe a network of a test as a registered one, and forget it afterwards."""
    monkeypatch.setattr(_registry, "_NETWORKS", dict(_registry._NETWORKS))

    def one(network: type[nn.Module], name: str = "mine") -> Description:
        register(NetworkInfo(name, title="", source="", image_size=8, channels=1))(network)
        return describe(name, outputs=2)

    return one


def test_branches_that_cross_are_still_drawn(described: Describe) -> None:
    description = described(Crossing)
    items, _ = make_parts(description)
    paths = sorted(box.path for box in boxes_of(items) if box.path)
    assert paths == ["a", "b", "c", "d", "e", "head"]
    ET.fromstring(draw_architecture(description))  # noqa: S314  # our own text


def test_groups_are_drawn_as_pieces(described: Describe) -> None:
    description = described(Groups)
    items, _ = make_parts(description)
    assert [item.pieces for item in items if isinstance(item, Box)] == [1, 1, 2, 1]
    root = ET.fromstring(draw_architecture(description))  # noqa: S314  # our own text
    assert sum(shape.get("class") == "conv" for shape in root.iter()) == 3 + 1  # and the legend


def test_text_is_escaped(described: Describe) -> None:
    text = draw_architecture(described(Dense, name='<script>"&'), title="a < b & c")
    assert "<script>" not in text
    words = [each.text for each in ET.fromstring(text).iter(f"{SVG}text")]  # noqa: S314
    assert words[0] == '<script>"&: a < b & c'


def test_an_older_drawing_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "mlp.svg"
    write_drawing(describe("mlp"), place)
    first = place.read_text(encoding="utf-8")
    write_drawing(describe("mlp", outputs=3), place, title="again")
    assert place.read_text(encoding="utf-8") != first
    other = tmp_path / "photo.svg"
    other.write_text("<svg/>", encoding="utf-8")
    for path in (other, tmp_path):
        with pytest.raises(StorageError, match="is there already and is no drawing of"):
            check_drawing_place(path)
    assert other.read_text(encoding="utf-8") == "<svg/>"


def test_drawing_makes_no_weights() -> None:
    before = torch.get_rng_state()
    draw_architecture(describe("vgg-e"))
    assert torch.get_rng_state().equal(before)
