"""What the layer table counts, and that describing a network costs nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nunbit.errors import OptionError, ShapeError
from nunbit.networks import (
    Layer,
    count_parameters,
    create_network,
    describe,
    find_network,
    layer_table,
    network_names,
)

IMAGENET = {
    # name: (parameters, multiply-adds) for 1,000 classes, as counted from the papers
    "vgg-a": (132_863_336, 7_609_090_048),
    "vgg-d": (138_357_544, 15_470_264_320),
    "vgg-e": (143_667_240, 19_632_062_464),
    "resnet-18": (11_689_512, 1_814_073_344),
    "resnet-50": (25_557_032, 4_089_184_256),
    "alexnet-owt": (61_100_840, 714_188_480),
}


class Scale(nn.Module):
    """A layer that counts its own multiply-adds and has its own name."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))

    @property
    def kind(self) -> str:
        return "gain by channel"

    def multiply_adds(self, output: Tensor) -> int:
        return output[0].numel()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain[:, None, None]


class Odd(nn.Module):
    """A parameter of its own, a layer used twice, one never, and a head for training only."""

    heads = ("head", "extra.head")

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(3))
        self.scale = Scale()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.extra = nn.ModuleDict({"head": nn.Linear(4, 2)})
        self.unused = nn.Linear(1, 1)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.conv(self.scale(x) + self.shift[:, None, None]))
        return self.head(x.mean((2, 3)))


def test_no_parameter_is_lost_and_none_counts_twice() -> None:
    network = Odd()
    rows = layer_table(network, channels=3, image_size=8)
    assert [(r.name, r.kind, r.output, r.parameters) for r in rows] == [
        ("scale", "gain by channel", (3, 8, 8), 3),
        ("conv", "conv 3×3, padding 1", (3, 8, 8), 84),
        ("conv", "conv 3×3, padding 1", (3, 8, 8), 0),
        ("head", "dense", (2,), 8),
        ("", "own parameters", (), 3),
        ("extra.head", "dense (training only)", (), 10),
        ("unused", "dense (not passed)", (), 2),
    ]
    assert sum(row.parameters for row in rows) == count_parameters(network)
    assert [row.multiply_adds for row in rows] == [192, 81 * 64, 81 * 64, 6, 0, 0, 0]
    assert [row.receptive_field for row in rows][3:] == ["all", None, None, None]


def test_shared_weights_count_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    network[1].weight = network[0].weight
    rows = layer_table(network, channels=3, image_size=4)
    assert [row.parameters for row in rows] == [12, 3]


def test_memory_is_what_each_layer_writes() -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    rows = layer_table(network, channels=1, image_size=8)
    assert [row.memory_bytes for row in rows] == [4 * 288, 4 * 288, 0, 20]


def test_joins_have_rows() -> None:
    """The maps after 3a and 5b of the paper's table 1, and what the last map sees."""
    joins = {row.name: row for row in describe("googlenet").layers if row.is_join}
    assert list(joins) == [
        f"inception{name}" for name in ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
    ]
    first, last = joins["inception3a"], joins["inception5b"]
    assert first == Layer(
        *("inception3a", "concat", (256, 28, 28), 0, 0, 4 * 256 * 28 * 28, (59, 59)), is_join=True
    )
    assert (last.output, last.receptive_field) == ((1024, 7, 7), (715, 715))
    adds = [row for row in describe("resnet-18").layers if row.is_join]
    assert [(row.name, row.kind, row.output[1]) for row in adds] == [
        (f"conv{k}_x.{n}", "add", side) for k, side in enumerate((56, 28, 14, 7), 2) for n in (0, 1)
    ]


class Joins(nn.Module):
    """Ways of writing the same sum."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.one, self.two = way, nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        one, two = self.one(x), self.two(x)
        if self.way == "in place":
            one += two
            return one
        if self.way == "function":
            return torch.add(one, two)
        return one + two if self.way == "operator" else one.add_(two)


@pytest.mark.parametrize("way", ["operator", "in place", "function", "method"])
def test_a_sum_is_a_sum_however_it_is_written(way: str) -> None:
    row = layer_table(nn.Sequential(Joins(way)), channels=1, image_size=5)[-1]
    assert (row.name, row.kind, row.memory_bytes, row.is_join) == ("0", "add", 100, True)


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    layer_table(network, channels=1, image_size=8)
    assert network.training
    assert not network[0]._forward_hooks
    assert not network[0]._forward_pre_hooks
    for key, value in network.state_dict().items():
        assert value.equal(before[key]), key


def test_kinds_in_peoples_words() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, groups=1, dilation=2),
        nn.Conv2d(8, 8, 3, groups=2, padding="same"),
        nn.LocalResponseNorm(5),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        nn.Dropout2d(0.2),
        nn.AdaptiveAvgPool2d(6),
        nn.AdaptiveMaxPool2d((2, 3)),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.AlphaDropout(0.1),
        nn.Softmax(dim=1),
        nn.Unflatten(1, (2, 4)),
        nn.Conv1d(2, 3, 3, padding=1),
        nn.BatchNorm1d(3),
        nn.MaxPool1d(2),
        nn.Dropout1d(0.3),
        nn.AdaptiveAvgPool1d(1),
    )
    rows = layer_table(network, channels=3, image_size=32)
    assert [row.kind for row in rows] == [
        "conv 3×3, dilation 2",
        "conv 3×3, padding same, 2 groups",
        "LRN 5",
        "tanh",
        "sigmoid",
        "max-pool 3, stride 2, padding 1, rounded up",
        "spatial dropout 0.2",
        "average-pool to 6×6",
        "max-pool to 2×3",
        "global max-pool",
        "flatten",
        "alpha dropout 0.1",
        "softmax",
        "Unflatten",
        "conv1d 3, padding 1",
        "batch norm",
        "max-pool 2",
        "spatial dropout 0.3",
        "global average-pool",
    ]
    conv1d = rows[14]
    assert conv1d.output == (3, 4)
    assert conv1d.multiply_adds == 3 * 2 * 3 * 4


@pytest.mark.parametrize("name", network_names())
def test_a_description_says_what_a_real_network_has(name: str) -> None:
    info = find_network(name)
    shown = describe(name)
    assert shown.input == (info.channels, info.image_size, info.image_size)
    assert sum(row.parameters for row in shown.layers) == shown.parameters
    assert shown.layers[-1].output in ((shown.outputs,), ())
    assert [step.layer or step.join for step in shown.steps[1:]] == [
        row for row in shown.layers if row.output
    ]
    for number, step in enumerate(shown.steps):
        assert all(source < number for source in step.inputs)
        assert bool(step.inputs) == (step.kind != "input")
    used = {source for step in shown.steps for source in step.inputs}
    assert used == set(range(len(shown.steps) - 1)), "all but the last lead somewhere"
    if shown.parameters < 3_000_000:
        network = create_network(
            name, outputs=shown.outputs, channels=info.channels, image_size=info.image_size
        )
        assert count_parameters(network) == shown.parameters
        table = layer_table(network, channels=info.channels, image_size=info.image_size)
        assert tuple(table) == shown.layers


@pytest.mark.parametrize("name", IMAGENET)
def test_sums_are_those_of_the_papers(name: str) -> None:
    shown = describe(name)
    assert (shown.outputs, shown.parameters, shown.multiply_adds) == (1000, *IMAGENET[name])


def test_describing_draws_no_random_numbers_and_makes_no_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_rng_state()
    describe("vgg-e")
    assert torch.get_rng_state().equal(before)
    seen: list[str] = []
    original = nn.Module.register_parameter

    def watch(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            seen.append(parameter.device.type)
        original(module, name, parameter)

    monkeypatch.setattr(nn.Module, "register_parameter", watch)
    describe("vgg-a-bn")
    assert len(seen) > 20
    assert set(seen) == {"meta"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted in its units")
def test_describing_takes_little_memory() -> None:
    """The weights of `vgg-e` are 575 MB: they are reserved, and never written."""
    code = (
        "import resource, torch; from nunbit.networks import describe\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "describe('vgg-e')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150_000, "kilobytes"


def test_describing_loads_no_compiler() -> None:
    """PyTorch's own shape functions would load it: seconds before the first line."""
    code = (
        "import sys; from nunbit.networks import describe, network_names\n"
        "for name in network_names(): describe(name)\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_description_takes_options_and_other_pictures() -> None:
    small = describe("cnn-mnist", outputs=3, channels=3, image_size=20)
    assert small.input == (3, 20, 20)
    assert small.layers[-1].output == (3,)
    assert describe("mlp", options={"width": 7}).layers[1].output == (7,)
    with pytest.raises(OptionError, match=r"has no option `widht`\. Did you mean `width`"):
        describe("mlp", options={"widht": 7})
    with pytest.raises(ShapeError, match="at least 6×6 pixels, got 5×5"):
        describe("cnn-mnist", image_size=5)


class Own(nn.Module):
    """A network whose way is a function of the picture and of two layers."""

    def __init__(self, way: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.way = way
        self.conv, self.relu = nn.Conv2d(1, 2, 1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.way(self, x))


def rows_of(*layers: nn.Module, size: int = 8) -> list[Layer]:
    return layer_table(nn.Sequential(*layers), channels=1, image_size=size)


def test_transposed_convolutions_count_each_cell_that_they_take() -> None:
    up = nn.ConvTranspose2d(6, 4, (2, 3), stride=2, groups=2)
    rows = rows_of(nn.Conv2d(1, 6, 1), up)
    assert (rows[1].kind, rows[1].output) == (
        "transposed conv 2×3, stride 2, 2 groups",
        (4, 16, 17),
    )
    assert rows[1].multiply_adds == (6 * 8 * 8) * (4 // 2) * (2 * 3)
    line = rows_of(nn.Flatten(2), nn.ConvTranspose1d(1, 5, 3))
    assert (line[1].kind, line[1].multiply_adds) == ("transposed conv1d 3", 64 * 5 * 3)


def test_groups_are_named() -> None:
    rows = rows_of(nn.Conv2d(1, 8, 1), nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(16, 8, 1, groups=4))
    assert [row.kind for row in rows] == ["conv 1×1", "conv 3×3, depthwise", "conv 1×1, 4 groups"]
    assert [row.multiply_adds for row in rows] == [8 * 64, 9 * 16 * 36, 4 * 8 * 36]


WAYS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "if": lambda net, x: net.conv(x) if x.sum() > 0 else x,
    "any": lambda net, x: net.conv(x) if (x > 0).any() else x,
    "item": lambda net, x: net.conv(x) * x.mean().item(),
    "float": lambda net, x: net.conv(x) * float(net.conv(x).max()),
    "list": lambda net, x: net.conv(x) * x.flatten().tolist()[0],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_way_that_depends_on_values_is_refused_in_clear_words(way: str) -> None:
    with pytest.raises(ShapeError, match=r"depends on the values in a picture .*`torch\.where`"):
        layer_table(Own(WAYS[way]), channels=1, image_size=8)


def test_lazy_layers_are_refused_until_they_know_their_sizes() -> None:
    network = nn.Sequential(nn.LazyConv2d(3, 3), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(
        ShapeError, match=r"lazy layers.*first: `network\(torch.zeros\(2, 1, 8, 8\)\)`"
    ):
        layer_table(network, channels=1, image_size=8)
    network(torch.zeros(2, 1, 8, 8))
    assert [row.output for row in layer_table(network, channels=1, image_size=8)][-1] == (2,)


def test_pictures_that_do_not_fit_are_refused_in_clear_words() -> None:
    for wrong in (
        [nn.Flatten(), nn.Linear(80, 2)],
        [nn.Conv2d(3, 2, 1)],
        [Own(lambda net, x: x.view(len(x), 1, 8, 8))],
        [Own(lambda net, x: net.conv(x) + torch.zeros(1, 2, 8, 8))],
    ):
        with pytest.raises(
            ShapeError, match=r"cannot be followed with pictures of 1×9×9: .*that it was made for"
        ):
            rows_of(*wrong, size=9)


@pytest.mark.parametrize(
    "way",
    [
        lambda net, x: net.conv(x[0][None]),
        lambda net, x: net.conv(x / x.amax()),
        lambda net, x: net.conv(x).reshape(x.shape[0], -1).unflatten(1, (2, 8, 8)),
        lambda net, x: net.conv(x.view(-1, 8, 8).unsqueeze(1)),
        lambda net, x: net.conv(x.reshape(-1, 1, 4, 8)).reshape(-1, 2, 8, 8),
    ],
)
def test_what_refuses_an_empty_batch_goes_another_way(
    way: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    rows = layer_table(Own(way), channels=1, image_size=8)
    assert [row.kind for row in rows] == ["conv 1×1", "ReLU"]
    assert rows[-1].output == (2, 8, 8)
    assert rows[0].multiply_adds in (2 * 64, 2 * 32), "for one of what passes"


class Attend(nn.Module):
    """Attention among pixels, by the module that uses its part's weights itself."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x.flatten(2).transpose(1, 2))
        return x + self.attention(x, x, x, need_weights=False)[0]


def test_a_module_that_uses_the_weights_of_its_parts_is_one_row() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), Attend(), nn.LSTM(4, 3, batch_first=True))
    rows = layer_table(network, channels=1, image_size=4)
    assert [(row.name, row.kind, row.output, row.parameters) for row in rows] == [
        ("0", "conv 1×1", (4, 4, 4), 8),
        ("1.norm", "layer norm", (16, 4), 8),
        ("1.attention", "MultiheadAttention", (16, 4), 80),
        ("1", "add", (16, 4), 0),
        ("2", "LSTM", (16, 3), 108),
    ]
    assert [row.multiply_adds for row in rows] == [64, 0, 0, 0, 0]
    assert [row.receptive_field for row in rows] == [(1, 1), (1, 1), "all", "all", "all"]
    assert sum(row.parameters for row in rows) == count_parameters(network)


def test_weights_of_any_kind_of_number_are_followed() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(torch.bfloat16)
    rows = layer_table(network, channels=1, image_size=8)
    assert [row.memory_bytes for row in rows] == [4 * 72, 4 * 72]
    assert network[0].weight.dtype == torch.bfloat16
