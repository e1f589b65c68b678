"""The residual networks for CIFAR-10: numbers of section 4.2."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.gradients import check_gradients
from torch import Tensor, nn

from nunbit.errors import OptionError
from nunbit.networks import count_parameters, create_network, find_network, layer_table
from nunbit.networks.resnet_cifar import Block, PaddedShortcut, ResnetCifar

COUNTS = {
    # depth: n, parameters of plain and option A, parameters of option B, multiply-adds of A
    20: (3, 269_722, 272_474, 40_551_040),
    32: (5, 464_154, 466_906, 68_862_592),
    44: (7, 658_586, 661_338, 97_174_144),
    56: (9, 853_018, 855_770, 125_485_696),
    110: (18, 1_727_962, 1_730_714, 252_887_680),
}
STATED_MILLIONS = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}
PROJECTIONS = 16 * 32 * 16 * 16 + 32 * 64 * 8 * 8
"""Multiply-adds that option B has more: two 1×1 convolutions."""


def make(name: str, **options: Any) -> nn.Module:
    """Make a network without room for its weights."""
    with torch.device("meta"):
        return create_network(name, outputs=10, channels=3, image_size=32, options=options or None)


def tiny(name: str, **options: Any) -> nn.Module:
    return create_network(
        name, outputs=3, channels=3, image_size=16, options={"width": 4, **options}
    )


def pictures(count: int = 2, size: int = 16) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def counts(network: nn.Module) -> tuple[int, int]:
    table = layer_table(network, channels=3, image_size=32)
    return count_parameters(network), sum(row.multiply_adds for row in table)


@pytest.mark.parametrize("depth", COUNTS)
def test_parameters_and_multiply_adds(depth: int) -> None:
    n, parameters, with_projections, multiply_adds = COUNTS[depth]
    assert parameters == 97_216 * n - 21_926
    assert parameters / 1e6 == pytest.approx(STATED_MILLIONS[depth], rel=0.02), "Table 6"
    if depth < 110:
        assert counts(make(f"plain-{depth}")) == (parameters, multiply_adds)
    assert counts(make(f"resnet-{depth}")) == (parameters, multiply_adds)
    assert counts(make(f"resnet-{depth}", shortcut="A")) == (parameters, multiply_adds)
    assert counts(make(f"resnet-{depth}", shortcut="B")) == (
        with_projections,
        multiply_adds + PROJECTIONS,
    )


@pytest.mark.parametrize(
    ("kind", "depth"),
    [(k, d) for k in ("resnet", "plain") for d in COUNTS if (k, d) != ("plain", 110)],
)
def test_the_shapes_of_the_paper_and_the_depth_in_the_name(kind: str, depth: int) -> None:
    network = make(f"{kind}-{depth}")
    shapes = {row.name: row.output for row in layer_table(network, channels=3, image_size=32)}
    n = COUNTS[depth][0]
    for stage, shape in (("stage1", (16, 32, 32)), ("stage2", (32, 16, 16))):
        assert {shapes[f"{stage}.{k}.relu2"] for k in range(n)} == {shape}
        assert f"{stage}.{n}.relu2" not in shapes
    maps = network.features(torch.empty(1, 3, 32, 32, device="meta"))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth == 6 * n + 2
    assert find_network(f"{kind}{depth}").name == f"{kind}-{depth}"


def test_names_that_resemble_each_other_say_what_they_are_for() -> None:
    small, large = find_network("resnet-32"), find_network("resnet-34")
    assert small.title.endswith("for CIFAR-10")
    assert large.title.endswith("for ImageNet")
    assert (small.image_size, large.image_size) == (32, 224)


def test_shortcut_a_is_every_second_cell_and_zeros() -> None:
    x = torch.arange(2 * 2 * 4 * 4.0).reshape(2, 2, 4, 4)
    made = PaddedShortcut(2, 4)(x)
    assert made[:, :2].equal(x[:, :, ::2, ::2])
    assert made.shape == (2, 4, 2, 2)
    assert made[:, 2:].abs().sum() == 0
    paths = [path for path, _ in make("resnet-20", shortcut="B").named_modules()]
    assert [path for path in paths if path.endswith("shortcut.conv")] == [
        "stage2.0.shortcut.conv",
        "stage3.0.shortcut.conv",
    ]


@pytest.mark.parametrize("depth", [20, 56])
def test_a_residual_network_is_its_plain_twin_with_shortcuts(depth: int) -> None:
    plain, residual = tiny(f"plain-{depth}"), tiny(f"resnet-{depth}")
    residual.load_state_dict(plain.state_dict())  # strict: the same names and shapes
    plain.eval()
    residual.eval()
    with torch.no_grad():
        assert not torch.allclose(plain(pictures()), residual(pictures()))
        for block in residual.modules():
            if isinstance(block, Block):
                block.shortcut = None
        assert residual(pictures()).equal(plain(pictures()))


def test_a_fresh_residual_network_does_nothing_in_its_blocks() -> None:
    network = tiny("resnet-110").eval()
    with torch.no_grad():
        first = network.relu1(network.norm1(network.conv1(pictures())))
        maps = network.features(pictures())
    assert maps[0].equal(first)
    assert maps[2][:, :4].equal(first[:, :, ::4, ::4])
    assert maps[2][:, 4:].abs().sum() == 0
    gains = [m.norm2.weight for m in tiny("resnet-20", zero_init=False).modules() if _block(m)]
    gains += [m.norm2.weight for m in tiny("plain-20").modules() if _block(m)]
    assert len(gains) == 18
    assert all(gain.eq(1).all() for gain in gains)


def _block(module: nn.Module) -> bool:
    return isinstance(module, Block)


@pytest.mark.parametrize("shortcut", ["A", "B", "none"])
def test_gradients_of_a_block_against_differences(shortcut: str) -> None:
    torch.manual_seed(0)
    for before in (2, 4):
        check_gradients(Block(before, 4, shortcut=shortcut), (2, before, 3, 4))


def test_gradients_of_shortcut_a() -> None:
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(PaddedShortcut(2, 5), (x,))


def test_the_gradient_reaches_the_first_layer_through_shortcuts_alone() -> None:
    """With all gains at 0, it takes the way beside the 54 blocks and arrives whole."""
    network = tiny("resnet-110")
    network(pictures(4)).square().sum().backward()
    assert network.conv1.weight.grad.abs().max() > 1e-3
    assert all(m.conv1.weight.grad.abs().max() == 0 for m in network.modules() if _block(m))


def test_depths_between_and_options_out_of_range() -> None:
    network = ResnetCifar(outputs=10, channels=3, image_size=32, depth=14)
    assert count_parameters(network) == 97_216 * 2 - 21_926
    for depth in (2, 21, 0):
        with pytest.raises(OptionError, match=f"depth = {depth}, expected 6n \\+ 2, such as 20"):
            ResnetCifar(outputs=10, channels=3, image_size=32, depth=depth)
    with pytest.raises(OptionError, match=r"network `plain-20`: `width` is 0, expected 1 <= value"):
        tiny("plain-20", width=0)
    with pytest.raises(OptionError, match=r"resnet-20.*shortcut"):
        tiny("resnet-20", shortcut="C")
