"""Numbers counted by hand, from the course and the papers."""

from __future__ import annotations

import pytest
import torch
from tests.gradients import check_gradients
from torch import nn

from nunbit.errors import OptionError
from nunbit.networks import (
    NetworkInfo,
    create_network,
    describe,
    find_network,
    layer_table,
    network_names,
    register,
)
from nunbit.networks._registry import _NETWORKS
from nunbit.networks.auto import Block

HAND = {
    "conv1d": (
        *(1, 16, 10),
        # 16 rows of 16 values: filters of 5 steps, then a dense layer and the head
        (5 * 16 * 16 + 16)
        + (5 * 16 * 32 + 32)
        + (5 * 32 * 64 + 64)
        + (64 * 64 + 64)
        + (64 * 10 + 10),
        16 * 5 * 16 * 16 + 8 * 5 * 16 * 32 + 4 * 5 * 32 * 64 + 64 * 64 + 640,
    ),
    # name: (channels, side, outputs, parameters, multiply-adds)
    "mlp": (1, 28, 10, 407_050, 784 * 512 + 512 * 10),
    "cnn-mnist": (
        *(1, 28, 10, 1_199_882),
        26 * 26 * 32 * 9 + 24 * 24 * 64 * 9 * 32 + 9_216 * 128 + 128 * 10,
    ),
    "cnn-cats-dogs": (
        *(3, 128, 1, 155_665),
        128**2 * 8 * 9 * 3
        + 64**2 * 16 * 9 * 8
        + 32**2 * 32 * 9 * 16
        + 16**2 * 64 * 9 * 32
        # dense 4,096 → 32 → 1
        + 4_096 * 32
        + 32,
    ),
    "auto": (
        *(1, 28, 10),
        # stem, block of 16, of 32, of 64 filters, head; each convolution with its batch norm
        (9 * 16 + 32)
        + (2 * 9 * 16 * 16 + 64)
        + (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32 + 3 * 64)
        + (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64 + 3 * 128)
        + (64 * 10 + 10),
        14**2 * 9 * 16
        + 14**2 * 2 * 9 * 16 * 16
        + 7**2 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32)
        + 4**2 * (9 * 32 * 64 + 9 * 64 * 64 + 32 * 64)
        + 640,
    ),
    "cnn-quick": (
        1,
        28,
        10,
        25 * 24 + 9 * 24 * 48 + 9 * 48 * 96 + 2 * (24 + 48 + 96) + 864 * 10 + 10,
        12**2 * 25 * 24 + 10**2 * 9 * 24 * 48 + 3**2 * 9 * 48 * 96 + 8640,
    ),
    "airbench": (
        3,
        32,
        10,
        13 * 24
        + 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
        + 2 * (2 * 64 + 4 * 256)
        + 2560,
        31**2 * (12 * 24 + 9 * 24 * 64)
        + 15**2 * 9 * (64 * 64 + 64 * 256)
        + 7**2 * 9 * 2 * 256 * 256
        + 3**2 * 9 * 256 * 256
        + 2560,
    ),
    "airbench-photo": (
        3,
        64,
        2,
        49 * 96
        + 9 * (96 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256)
        + 2 * 2 * (64 + 128 + 256)
        + 512,
        31**2 * (48 * 96 + 9 * 96 * 64)
        + 15**2 * 9 * (64 * 64 + 64 * 128)
        + 7**2 * 9 * (128 * 128 + 128 * 256)
        + 3**2 * 9 * 256 * 256
        + 512,
    ),
}


PAPERS = {
    "lenet-5": (1, 32, 10, 60_850, 326_520),
    "lenet-5-modern": (1, 32, 10, 61_706, 416_520),
    "alexnet": (3, 227, 1000, 60_965_224, 724_406_816),
    "alexnet-owt": (3, 224, 1000, 61_100_840, 714_188_480),
    "vgg-a": (3, 224, 1000, 132_863_336, 7_609_090_048),
    "vgg-a-lrn": (3, 224, 1000, 132_863_336, 7_609_090_048),
    "vgg-b": (3, 224, 1000, 133_047_848, 11_308_466_176),
    "vgg-c": (3, 224, 1000, 133_638_952, 11_770_888_192),
    "vgg-d": (3, 224, 1000, 138_357_544, 15_470_264_320),
    "vgg-e": (3, 224, 1000, 143_667_240, 19_632_062_464),
    "vgg-a-bn": (3, 224, 1000, 132_868_840, 7_609_090_048),
    "vgg-b-bn": (3, 224, 1000, 133_053_736, 11_308_466_176),
    "vgg-d-bn": (3, 224, 1000, 138_365_992, 15_470_264_320),
    "vgg-e-bn": (3, 224, 1000, 143_678_248, 19_632_062_464),
    "vgg-c-bn": (3, 224, 1000, 133_647_400, 11_770_888_192),
    "googlenet": (3, 224, 1000, 13_378_280, 1_582_671_872),
    "googlenet-bn": (3, 224, 1000, 13_004_888, 1_498_376_192),
    "plain-18": (3, 224, 1000, 11_515_688, 1_794_805_760),
    "resnet-18": (3, 224, 1000, 11_689_512, 1_814_073_344),
    "plain-34": (3, 224, 1000, 21_623_848, 3_644_493_824),
    "resnet-34": (3, 224, 1000, 21_797_672, 3_663_761_408),
    "resnet-50": (3, 224, 1000, 25_557_032, 4_089_184_256),
    "resnet-101": (3, 224, 1000, 44_549_160, 7_801_405_440),
    "resnet-152": (3, 224, 1000, 60_192_808, 11_513_626_624),
    "resnet-20": (3, 32, 10, 269_722, 40_551_040),
    "plain-20": (3, 32, 10, 269_722, 40_551_040),
    "resnet-32": (3, 32, 10, 464_154, 68_862_592),
    "plain-32": (3, 32, 10, 464_154, 68_862_592),
    "resnet-44": (3, 32, 10, 658_586, 97_174_144),
    "plain-44": (3, 32, 10, 658_586, 97_174_144),
    "resnet-56": (3, 32, 10, 853_018, 125_485_696),
    "plain-56": (3, 32, 10, 853_018, 125_485_696),
    "resnet-110": (3, 32, 10, 1_727_962, 252_887_680),
}
"""The papers' own numbers, or those of the same network counted elsewhere: LeNet-5's 60,000
trainable parameters with a dense output in place of the RBF (850); ResNets of 18 and 34
layers with shortcut B, the deeper ones with strides as published (v1.5); GoogLeNets with
their auxiliary heads; the smaller ResNets with shortcut A. Batch norm adds 2 per filter."""


@pytest.mark.parametrize("name", [*HAND, *PAPERS])
def test_parameters_and_multiply_adds_are_exactly_those_of_the_source(name: str) -> None:
    channels, side, outputs, parameters, multiply_adds = (HAND | PAPERS)[name]
    made = describe(name, outputs=outputs, channels=channels, image_size=side)
    assert made.parameters == parameters
    assert made.multiply_adds == multiply_adds


def test_every_network_has_been_counted() -> None:
    assert set(HAND) | set(PAPERS) == set(network_names())


def test_the_layers_of_the_course() -> None:
    network = create_network("cnn-mnist", outputs=10, channels=1, image_size=28)
    table = layer_table(network, channels=1, image_size=28)
    assert [(row.kind, row.output) for row in table] == [
        ("conv 3×3", (32, 26, 26)),
        ("ReLU", (32, 26, 26)),
        ("conv 3×3", (64, 24, 24)),
        ("ReLU", (64, 24, 24)),
        ("max-pool 2", (64, 12, 12)),
        ("dropout 0.25", (64, 12, 12)),
        ("flatten", (9216,)),
        ("dense", (128,)),
        ("ReLU", (128,)),
        ("dropout 0.5", (128,)),
        ("dense", (10,)),
    ]
    network = create_network("cnn-cats-dogs", outputs=1, channels=3, image_size=128)
    table = layer_table(network, channels=3, image_size=128)
    assert [(row.kind, row.output) for row in table if row.kind[:4] in ("conv", "max-")] == [
        ("conv 3×3, padding 1", (8, 128, 128)),
        ("max-pool 2", (8, 64, 64)),
        ("conv 3×3, padding 1", (16, 64, 64)),
        ("max-pool 2", (16, 32, 32)),
        ("conv 3×3, padding 1", (32, 32, 32)),
        ("max-pool 2", (32, 16, 16)),
        ("conv 3×3, padding 1", (64, 16, 16)),
        ("max-pool 2", (64, 8, 8)),
    ]
    assert [row.kind for row in table][-5:] == ["flatten", "dense", "ReLU", "dropout 0.4", "dense"]


@pytest.mark.parametrize(
    ("side", "maps"),
    [(4, [4]), (8, [8, 4]), (28, [14, 7, 4]), (32, [16, 8, 4]), (128, [32, 16, 8, 4])],
)
def test_auto_is_shaped_by_the_picture_as_its_page_says(side: int, maps: list[int]) -> None:
    network = create_network("auto", outputs=2, channels=1, image_size=side).eval()
    seen: list[int] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[-1]))
    with torch.no_grad():
        network(torch.zeros(1, 1, side, side))
    assert seen == maps


@pytest.mark.parametrize("side", [24, 41, 80, 81, 100, 200, 224, 256])
def test_the_last_map_of_auto_is_about_4_whatever_came_in(side: int) -> None:
    network = create_network("auto", outputs=2, channels=3, image_size=side)
    maps = [
        row.output[1]
        for row in layer_table(network, channels=3, image_size=side)
        if len(row.output) == 3 and row.output[1] > 1
    ]
    assert 3 <= maps[-1] <= 5


def test_a_fresh_block_of_auto_is_its_shortcut() -> None:
    """The last gain starts at 0: what comes out is the input, cut below 0."""
    block = Block(6, 6, stride=1).eval()
    x = torch.randn(2, 6, 9, 9)
    assert block(x).equal(x.relu())


@pytest.mark.parametrize(("before", "stride"), [(4, 1), (3, 1), (3, 2)])
def test_gradients_of_a_block_of_auto_against_differences(before: int, stride: int) -> None:
    check_gradients(Block(before, 4, stride=stride), (2, before, 3, 5))


def test_the_shortcut_that_halves_sees_every_cell() -> None:
    block = Block(1, 1, stride=2).eval()
    for row, column in ((0, 0), (1, 0), (0, 1), (1, 1), (4, 4)):
        x = torch.zeros(1, 1, 5, 5)
        x[0, 0, row, column] = 1
        mixed = block.shortcut(x)
        assert mixed.shape[-2:] == (3, 3)
        assert mixed.abs().max() > 0, f"cell {row}, {column} is lost"


def test_a_name_given_twice_is_refused() -> None:
    before = dict(_NETWORKS)
    with pytest.raises(ValueError, match="network `mlp` is registered twice"):
        register(NetworkInfo("mlp", title="another", source="nowhere", image_size=8, channels=1))(
            nn.Module
        )
    assert before == _NETWORKS


def test_an_unknown_name() -> None:
    with pytest.raises(
        OptionError,
        match=r"unknown network `cnn-mnits`. Did you mean `cnn-mnist`\? "
        r"`nunbit networks` lists all \d\d\.",
    ):
        find_network("cnn-mnits")
    with pytest.raises(OptionError, match=r"unknown network `zzzzz`. `nunbit networks`"):
        create_network("zzzzz", outputs=2, channels=1, image_size=8)


def test_kinds_of_layers_are_written_as_people_say_them() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), stride=2, padding="valid"),
        nn.Conv2d(8, 8, 3, stride=(1, 2), padding=1, groups=8),
        nn.MaxPool2d(3, stride=2),
        nn.AvgPool2d(2),
        nn.BatchNorm2d(8),
        nn.Identity(),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
    )
    table = layer_table(network, channels=3, image_size=32)
    assert [row.kind for row in table] == [
        "conv 3×5, stride 2",
        "conv 3×3, stride 1×2, padding 1, depthwise",
        "max-pool 3, stride 2",
        "average-pool 2",
        "batch norm",
        "GELU",
        "global average-pool",
    ]
    grouped = table[1]
    assert grouped.multiply_adds == 9 * 8 * grouped.output[1] * grouped.output[2]
