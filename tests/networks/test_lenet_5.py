"""LeNet-5 against the counts of its paper, and against plain tensor operations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional

from nunbit.errors import OptionError, ShapeError
from nunbit.networks import count_parameters, create_network, layer_table
from nunbit.networks.lenet_5 import TABLE, LeNet5


def make(name: str, *, side: int = 28, channels: int = 1, **options: object) -> nn.Module:
    return create_network(name, outputs=10, channels=channels, image_size=side, options=options)


def of_layer(name: str, side: int) -> dict[str, tuple[tuple[int, ...], int, int]]:
    table = layer_table(make(name, side=side), channels=1, image_size=side)
    return {row.name: (row.output, row.parameters, row.multiply_adds) for row in table}


@pytest.mark.parametrize("side", [28, 32])
def test_each_layer_is_the_papers(side: int) -> None:
    rows = of_layer("lenet-5", side)
    expected = {
        "c1": ((6, 28, 28), 156, 117_600),
        "s2": ((6, 14, 14), 12, 0),
        "c3": ((16, 10, 10), 1_516, 150_000),
        "s4": ((16, 5, 5), 32, 0),
        "c5": ((120, 1, 1), 48_120, 48_000),
        "f6": ((84,), 10_164, 10_080),
        "head": ((10,), 850, 840),
    }
    assert {name: rows[name] for name in expected} == expected
    assert sum(row[1] for name, row in rows.items() if name != "head") == 60_000
    assert sum(row[1] for row in rows.values()) == 60_850
    assert sum(row[2] for row in rows.values()) == 326_520
    assert sum("squash" in name for name in rows) == 6


@pytest.mark.parametrize("side", [28, 32])
def test_each_layer_of_the_modern_one(side: int) -> None:
    rows = [row for row in of_layer("lenet-5-modern", side).values() if row[1]]
    assert rows == [
        ((6, 28, 28), 156, 117_600),
        ((16, 10, 10), 2_416, 240_000),
        ((120,), 48_120, 48_000),
        ((84,), 10_164, 10_080),
        ((10,), 850, 840),
    ]
    assert sum(row[1] for row in rows) == 61_706
    assert sum(row[2] for row in rows) == 416_520


def test_colour_adds_weights_to_c1_alone() -> None:
    network = make("lenet-5-modern", side=32, channels=3)
    assert count_parameters(network) == 62_006
    table = layer_table(network, channels=3, image_size=32)
    assert sum(row.multiply_adds for row in table) == 651_720
    assert count_parameters(make("lenet-5", side=32, channels=3)) == 60_850 + 300


@pytest.mark.parametrize("name", ["lenet-5", "lenet-5-modern"])
@pytest.mark.parametrize(
    ("side", "maps"),
    [(12, (6, 1)), (28, (14, 5)), (31, (15, 5)), (32, (14, 5)), (33, (14, 5)), (64, (30, 13))],
)
def test_the_stages(name: str, side: int, maps: tuple[int, int]) -> None:
    network = make(name, side=side).eval()
    with torch.no_grad():
        made = network.features(torch.zeros(2, 1, side, side))
        assert network.classify(made[-1]).shape == (2, 10)
    assert [tuple(each.shape) for each in made] == [
        (2, 6, maps[0], maps[0]),
        (2, 16, maps[1], maps[1]),
    ]


def test_the_table_is_the_papers() -> None:
    assert [len(row) for row in TABLE] == [3] * 6 + [4] * 9 + [6]
    seen_by = [sum(one in row for row in TABLE) for one in range(6)]
    assert seen_by == [10] * 6, "each map of S2 leads to ten of C3"
    assert len(set(TABLE)) == 16


def test_it_computes_what_the_paper_writes() -> None:
    """Every layer in plain operations: padding, table and sub-sampling by hand."""
    network, images = make("lenet-5").double().eval(), torch.randn(3, 1, 28, 28).double()
    p = dict(network.named_parameters())

    def squash(values: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(values * 2 / 3)

    def subsample(values: Tensor, name: str) -> Tensor:
        four = sum(values[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
        assert isinstance(four, Tensor)
        return squash(four * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None])

    x = functional.pad(images, (2, 2, 2, 2))
    x = squash(functional.conv2d(x, p["c1.weight"], p["c1.bias"]))
    x = subsample(x, "s2")
    kernels, maps = iter(p["c3.weight"]), []
    for here, row in enumerate(TABLE):
        made = sum(functional.conv2d(x[:, [one]], next(kernels)[None, None]) for one in row)
        maps.append(made + p["c3.bias"][here])
    x = subsample(squash(torch.cat(maps, 1)), "s4")
    x = squash(x.flatten(1) @ p["c5.weight"].flatten(1).T + p["c5.bias"])
    x = squash(x @ p["f6.weight"].T + p["f6.bias"])
    torch.testing.assert_close(network(images), x @ p["head.weight"].T + p["head.bias"])


def test_fresh_weights_lie_within_the_papers_limits() -> None:
    network = make("lenet-5")
    for name, fan_in in {"c1": 25, "c5": 400, "f6": 120, "head": 84, "s2": 4, "s4": 4}.items():
        weight = network.get_parameter(f"{name}.weight")
        assert weight.abs().max() <= 2.4 / fan_in
        assert weight.abs().max() > 0.5 * 2.4 / fan_in
    c3 = network.get_parameter("c3.weight").detach()
    assert 2.2 / 75 < c3[:18].abs().max() <= 2.4 / 75, "maps that see three"
    assert 2.2 / 150 < c3[-6:].abs().max() <= 2.4 / 150, "the one that sees six"
    assert all(not p.any() for key, p in network.named_parameters() if key.endswith("bias"))


@pytest.mark.parametrize("name", ["lenet-5", "lenet-5-modern"])
def test_derivatives_of_the_whole_network(name: str) -> None:
    options = {"activation": "tanh"} if name.endswith("modern") else {}
    network = create_network(name, outputs=2, channels=1, image_size=12, options=options).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2).add_(torch.randn_like(parameter), alpha=0.05)
    images = torch.randn(1, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    assert gradcheck(network, (images,), fast_mode=True)
    small = ("c1", "s2", "c3", "s4", "head", "body.0", "body.3")
    names = [key for key, _ in network.named_parameters() if key.startswith(small)]

    def of_weights(*values: Tensor) -> Tensor:
        changed = dict(zip(names, values, strict=True))
        return torch.func.functional_call(network, changed, (images.detach(),))

    values = tuple(network.get_parameter(key).detach().clone().requires_grad_() for key in names)
    assert gradcheck(of_weights, values, fast_mode=True)


def test_the_words_of_the_modern_one() -> None:
    made = make("lenet-5-modern", activation="sigmoid", pooling="average")
    kinds = [type(layer) for layer in made.body] + [type(layer) for layer in made.dense]
    assert kinds.count(nn.Sigmoid) == 4
    assert kinds.count(nn.AvgPool2d) == 2
    with pytest.raises(
        OptionError,
        match=r"network `lenet-5-modern`: `activation` is 'gelu', expected one of `relu`, `tanh`, "
        r"`sigmoid`; `pooling` is 'min', expected one of `max`, `average`\.",
    ):
        make("lenet-5-modern", activation="gelu", pooling="min")


def test_values_that_are_refused() -> None:
    with pytest.raises(OptionError, match=r"`init_limit` is 0\.0, expected 0 < value <= 100"):
        make("lenet-5", init_limit=0)
    with pytest.raises(OptionError, match=r"slope is -1, expected a number of at least 0"):
        LeNet5(outputs=2, channels=1, image_size=28, slope=-1)
    with pytest.raises(ShapeError, match=r"network `lenet-5` needs pictures of at least 12×12"):
        LeNet5(outputs=2, channels=1, image_size=11)
