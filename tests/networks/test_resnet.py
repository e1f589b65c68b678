"""The residual networks for ImageNet: numbers of the paper and of the published weights."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from tests.gradients import check_gradients
from torch import Tensor, nn

from nunbit.errors import OptionError
from nunbit.networks import (
    count_parameters,
    create_network,
    find_network,
    layer_table,
    network_names,
)
from nunbit.networks.resnet import BLOCKS, Basic, Bottleneck, PaddedShortcut, make_shortcut

COUNTS: list[tuple[str, dict[str, Any], int, int]] = [
    # name, options, parameters, multiply-adds at 224×224 with 1,000 classes
    ("plain-18", {}, 11_515_688, 1_794_805_760),
    ("plain-34", {}, 21_623_848, 3_644_493_824),
    ("resnet-18", {"shortcut": "A"}, 11_515_688, 1_794_805_760),
    ("resnet-18", {"shortcut": "B"}, 11_689_512, 1_814_073_344),
    ("resnet-18", {"shortcut": "C"}, 12_043_816, 1_878_298_624),
    ("resnet-34", {"shortcut": "A"}, 21_623_848, 3_644_493_824),
    ("resnet-34", {"shortcut": "B"}, 21_797_672, 3_663_761_408),
    ("resnet-34", {"shortcut": "C"}, 22_716_840, 3_830_747_136),
    ("resnet-50", {"stride_in": "v1"}, 25_557_032, 3_857_973_248),
    ("resnet-50", {"stride_in": "v1.5"}, 25_557_032, 4_089_184_256),
    ("resnet-101", {"stride_in": "v1"}, 44_549_160, 7_570_194_432),
    ("resnet-101", {"stride_in": "v1.5"}, 44_549_160, 7_801_405_440),
    ("resnet-152", {"stride_in": "v1"}, 60_192_808, 11_282_415_616),
    ("resnet-152", {"stride_in": "v1.5"}, 60_192_808, 11_513_626_624),
]
FAMILY = [f"resnet-{depth}" for depth in BLOCKS] + ["plain-18", "plain-34"]


def make(name: str, *, size: int = 224, outputs: int = 1000, **options: Any) -> nn.Module:
    """Make a network without room for its weights."""
    with torch.device("meta"):
        return create_network(
            name, outputs=outputs, channels=3, image_size=size, options=options or None
        )


def tiny(name: str, **options: Any) -> nn.Module:
    return create_network(
        name, outputs=3, channels=3, image_size=32, options={"width": 4, **options}
    )


def pictures(count: int = 2, size: int = 32) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "options", "parameters", "multiply_adds"), COUNTS)
def test_parameters_and_multiply_adds(
    name: str, options: dict[str, Any], parameters: int, multiply_adds: int
) -> None:
    network = make(name, **options)
    assert count_parameters(network) == parameters
    table = layer_table(network, channels=3, image_size=224)
    assert sum(row.multiply_adds for row in table) == multiply_adds


@pytest.mark.parametrize("name", FAMILY)
def test_what_is_made_unasked_takes_the_published_weights(name: str) -> None:
    options = {"shortcut": "B"} if name in ("resnet-18", "resnet-34") else {"stride_in": "v1.5"}
    options = {} if name.startswith("plain") else options
    expected = next(row[2:] for row in COUNTS if row[:2] == (name, options))
    network = make(name)
    table = layer_table(network, channels=3, image_size=224)
    assert (count_parameters(network), sum(row.multiply_adds for row in table)) == expected


@pytest.mark.parametrize("name", FAMILY)
def test_the_shapes_of_table_1(name: str) -> None:
    wide = 4 if name in ("resnet-50", "resnet-101", "resnet-152") else 1
    stages = [
        (64 * wide, 56, 56),
        (128 * wide, 28, 28),
        (256 * wide, 14, 14),
        (512 * wide, 7, 7),
    ]
    network = make(name)
    maps = network.features(torch.empty(1, 3, 224, 224, device="meta"))
    assert [tuple(each.shape[1:]) for each in maps] == [(64, 112, 112), *stages]
    shapes = {row.name: row.output for row in layer_table(network, channels=3, image_size=224)}
    assert shapes["pool1"] == (64, 56, 56)
    assert shapes["pool"] == (512 * wide, 1, 1)
    assert shapes["head"] == (1000,)


@pytest.mark.parametrize("name", FAMILY)
def test_the_depth_in_the_name_is_the_number_of_layers_with_weights(name: str) -> None:
    """On the longest way: projections beside a block do not count."""
    layers = [
        path
        for path, module in make(name).named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and "shortcut" not in path
    ]
    assert len(layers) == int(name.partition("-")[2])
    assert name in network_names()
    assert find_network(name.replace("-", "")).name == name


@pytest.mark.parametrize(("stride_in", "halved"), [("v1", "conv1"), ("v1.5", "conv2")])
def test_where_bottlenecks_halve_the_size(stride_in: str, halved: str) -> None:
    network = make("resnet-50", stride_in=stride_in)
    strided = [
        path
        for path, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2) and path.startswith("conv")
    ]
    assert strided == [
        "conv1",
        *[f"conv{n}_x.0.{layer}" for n in (3, 4, 5) for layer in sorted([halved, "shortcut.conv"])],
    ]


@pytest.mark.parametrize(
    ("name", "option", "projections"),
    [
        *[("resnet-34", "A", 0), ("resnet-34", "B", 3), ("resnet-34", "C", 16)],
        *[("resnet-50", "A", 0), ("resnet-50", "B", 4), ("resnet-50", "C", 16)],
    ],
)
def test_projections_of_each_option(name: str, option: str, projections: int) -> None:
    """C has 13 more than B in ResNet-34, as section 4.1 says."""
    paths = [path for path, _ in make(name, shortcut=option).named_modules()]
    assert sum(path.endswith("shortcut.conv") for path in paths) == projections
    assert sum(path.endswith("shortcut.norm") for path in paths) == projections


def test_shortcut_a_is_every_second_cell_and_zeros() -> None:
    x = torch.arange(2 * 3 * 5 * 5.0).reshape(2, 3, 5, 5)
    made = PaddedShortcut(3, 8, stride=2)(x)
    assert made.shape == (2, 8, 3, 3)
    for row in range(3):
        for column in range(3):
            assert made[:, :3, row, column].equal(x[:, :, 2 * row, 2 * column])
    assert made[:, 3:].abs().sum() == 0
    whole = PaddedShortcut(3, 8, stride=1)
    assert whole(x)[:, :3].equal(x)
    assert (whole.kind, PaddedShortcut(3, 8, stride=2).kind) == (
        "shortcut A",
        "shortcut A, stride 2",
    )
    assert isinstance(make_shortcut("A", 8, 8, stride=1), nn.Identity)
    assert make_shortcut("none", 8, 16, stride=2) is None


@pytest.mark.parametrize("depth", [18, 34])
def test_a_residual_network_is_its_plain_twin_with_shortcuts(depth: int) -> None:
    """Option A has the very weights of the plain network; cut its shortcuts, and they agree."""
    plain, residual = tiny(f"plain-{depth}"), tiny(f"resnet-{depth}", shortcut="A")
    residual.load_state_dict(plain.state_dict())  # strict: the same names and shapes
    plain.eval()
    residual.eval()
    with torch.no_grad():
        assert not torch.allclose(plain(pictures()), residual(pictures()))
        for block in residual.modules():
            if isinstance(block, Basic):
                block.shortcut = None
        assert residual(pictures()).equal(plain(pictures()))


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_a_block_adds_its_input_to_what_it_learns(kind: str) -> None:
    torch.manual_seed(0)
    block = (
        Basic(8, 8, stride=1, shortcut="B")
        if kind == "basic"
        else Bottleneck(8, 2, strides=(1, 1), shortcut="B")
    ).eval()
    x = torch.randn(2, 8, 5, 5)
    with torch.no_grad():
        whole = block(x)
        block.shortcut = None
        last = block.norm2 if isinstance(block, Basic) else block.norm3
        seen: list[Tensor] = []
        last.register_forward_hook(lambda module, inputs, output: seen.append(output))
        block(x)
        assert whole.equal((seen[0] + x).relu())
        assert seen[0].abs().max() > 0.1


@pytest.mark.parametrize("name", ["resnet-18", "resnet-50"])
def test_zero_gains_make_fresh_blocks_their_shortcuts(name: str) -> None:
    kinds = (Basic, Bottleneck)
    for zero_init in (True, False):
        blocks = list(tiny(name, zero_init=zero_init).modules())
        last = [b.norm2 if isinstance(b, Basic) else b.norm3 for b in blocks if type(b) in kinds]
        assert all(norm.weight.eq(0 if zero_init else 1).all() for norm in last)
    block = tiny(name).conv2_x[1].eval()
    x = pictures(2, 8).repeat(1, 6, 1, 1)[:, : block.conv1.in_channels]
    with torch.no_grad():
        assert block(x).equal(x.relu())


def test_a_plain_network_has_no_zero_gains() -> None:
    """Behind a gain of 0 and without a shortcut nothing would be left."""
    for network in (tiny("plain-18"), tiny("resnet-18", shortcut="none")):
        gains = [m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(gain.eq(1).all() for gain in gains)
    assert "zero_init" not in find_network("plain-18").options


def test_first_weights_keep_the_spread() -> None:
    """He et al. 2015, equation 10: variance 2 / (cells of the filter · channels before)."""
    network = create_network("resnet-18", outputs=3, channels=3, image_size=32)
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            expected = 2 / module.weight[0].numel()
            assert module.weight.var().item() == pytest.approx(expected, rel=0.1), path


@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_gradients_pass_every_kind_of_shortcut(option: str) -> None:
    """Checked against differences, in float64, for the input and every weight."""
    torch.manual_seed(0)
    for block in (
        Basic(3, 4, stride=2, shortcut=option),
        Basic(4, 4, stride=1, shortcut=option),
        Bottleneck(3, 2, strides=(1, 2), shortcut=option),
        Bottleneck(8, 2, strides=(1, 1), shortcut=option),
    ):
        check_gradients(block, (2, block.conv1.in_channels, 3, 4))


def test_gradients_of_shortcut_a() -> None:
    for stride in (1, 2):
        layer = PaddedShortcut(2, 5, stride=stride)
        x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer, (x,))
        layer(x).sum().backward()
        assert x.grad is not None
        assert x.grad[:, :, ::stride, ::stride].eq(1).all(), "what is kept passes as it is"
        assert x.grad.sum() == x[:, :, ::stride, ::stride].numel(), "the rest gets nothing"


def torchvision_keys(depth: int) -> list[str]:
    """Return the names in torchvision's files, in their order."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

    def unit(conv: str, bn: str) -> list[str]:
        return [f"{conv}.weight", *[f"{bn}.{each}" for each in norm]]

    keys = unit("conv1", "bn1")
    for stage, count in enumerate(BLOCKS[depth], start=1):
        for number in range(count):
            block = f"layer{stage}.{number}"
            for k in range(1, 3 if depth < 50 else 4):
                keys += unit(f"{block}.conv{k}", f"{block}.bn{k}")
            if number == 0 and (stage > 1 or depth >= 50):
                keys += unit(f"{block}.downsample.0", f"{block}.downsample.1")
    return [*keys, "fc.weight", "fc.bias"]


@pytest.mark.parametrize(
    ("depth", "entries"), [(18, 122), (34, 218), (50, 320), (101, 626), (152, 932)]
)
def test_published_names_become_ours_one_for_one(depth: int, entries: int) -> None:
    network, keys = make(f"resnet-{depth}"), torchvision_keys(depth)
    assert len(keys) == entries
    for pattern, replacement in network.published_keys:
        keys = [re.sub(pattern, replacement, key) for key in keys]
    assert keys == list(network.state_dict())


def test_a_shortcut_that_is_none_of_the_paper() -> None:
    with pytest.raises(OptionError, match=r"resnet-18.*shortcut"):
        tiny("resnet-18", shortcut="D")
    with pytest.raises(
        OptionError, match=r"network `resnet-18`: `width` is 0, expected 1 <= value"
    ):
        tiny("resnet-18", width=0)
