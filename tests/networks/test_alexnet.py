"""AlexNet: the paper's counts, its two towers as one grouped network, and on two devices."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from nunbit.errors import OptionError, ShapeError
from nunbit.networks import count_parameters, create_network, layer_table
from nunbit.networks.alexnet import AlexNet

TINY: dict[str, Any] = {"width": 0.125, "dense": 32}
CPU = torch.device("cpu")


def tiny(side: int = 67, **options: Any) -> AlexNet:
    made = create_network(
        "alexnet", outputs=5, channels=3, image_size=side, options={**TINY, **options}
    )
    assert isinstance(made, AlexNet)
    return made


def pictures(count: int, side: int = 67) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def whole(side: int) -> AlexNet:
    with torch.device("meta"):
        return AlexNet(outputs=1000, channels=3, image_size=side)


@pytest.mark.parametrize("side", [227, 224])
def test_each_layer_is_the_papers(side: int) -> None:
    table = layer_table(whole(side), channels=3, image_size=side)
    halves = {
        "maps1.conv1": ((48, 55, 55), 34_944, 105_415_200),
        "maps1.pool1": ((48, 27, 27), 0, 0),
        "maps2.conv2": ((128, 27, 27), 307_456, 223_948_800),
        "maps2.pool2": ((128, 13, 13), 0, 0),
        "maps5.conv3": ((192, 13, 13), 885_120, 149_520_384),
        "maps5.conv4": ((192, 13, 13), 663_936, 112_140_288),
        "maps5.conv5": ((128, 13, 13), 442_624, 74_760_192),
        "maps5.pool5": ((128, 6, 6), 0, 0),
        "dense6": ((2048,), 37_752_832, 37_748_736),
        "dense7": ((2048,), 16_781_312, 16_777_216),
    }
    rows = {row.name: row for row in table}
    for name, (output, parameters, multiply_adds) in halves.items():
        both = [rows[f"tower0.{name}"], rows[f"tower1.{name}"]]
        assert [row.output for row in both] == [output, output], name
        assert sum(row.parameters for row in both) == parameters, name
        assert sum(row.multiply_adds for row in both) == multiply_adds, name
    head = rows["head"]
    assert (head.output, head.parameters, head.multiply_adds) == ((1000,), 4_097_000, 4_096_000)
    assert sum(row.parameters for row in table) == 60_965_224
    assert sum(row.multiply_adds for row in table) == 724_406_816
    kinds = [row.kind for row in table if row.name.startswith("tower0.maps1")]
    assert kinds[1:] == ["ReLU", "LRN 5", "max-pool 3, stride 2"]


@pytest.mark.parametrize("side", [227, 224])
def test_the_stages_of_the_paper(side: int) -> None:
    network = whole(side).eval()
    maps = network.features(torch.empty(1, 3, side, side, device="meta"))
    assert [tuple(each.shape[1:]) for each in maps] == [(96, 27, 27), (256, 13, 13), (256, 6, 6)]


@pytest.mark.parametrize("side", [64, 65, 66, 67, 68, 71, 96, 131])
def test_every_size_from_the_least_on_works(side: int) -> None:
    with torch.no_grad():
        assert tiny(side).eval()(pictures(1, side)).isfinite().all()


def grouped(network: AlexNet, images: Tensor) -> Tensor:
    """One network with grouped convolutions and PyTorch's own LRN in each half."""
    towers = [dict(tower.named_parameters()) for tower in (network.tower0, network.tower1)]

    def weights(name: str) -> tuple[Tensor, Tensor]:
        both = [(each[f"{name}.weight"], each[f"{name}.bias"]) for each in towers]
        return torch.cat([w for w, _ in both]), torch.cat([b for _, b in both])

    def pool(values: Tensor) -> Tensor:
        return functional.max_pool2d(values, 3, 2)

    def normalise(values: Tensor) -> Tensor:
        halves = values.chunk(2, dim=1)
        return torch.cat(
            [functional.local_response_norm(half, 5, 5e-4, 0.75, 2.0) for half in halves], 1
        )

    x = functional.conv2d(images, *weights("maps1.conv1"), stride=4)
    x = pool(normalise(x.relu()))
    x = functional.conv2d(x, *weights("maps2.conv2"), padding=2, groups=2)
    x = pool(normalise(x.relu()))
    x = functional.conv2d(x, *weights("maps5.conv3"), padding=1).relu()
    x = functional.conv2d(x, *weights("maps5.conv4"), padding=1, groups=2).relu()
    x = pool(functional.conv2d(x, *weights("maps5.conv5"), padding=1, groups=2).relu())
    x = functional.linear(x.flatten(1), *weights("dense6")).relu()
    x = functional.linear(x, *weights("dense7")).relu()
    return network.head(x)  # type: ignore[no-any-return]  # modules are untyped


def gradients(network: nn.Module, outputs: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    outputs.square().sum().backward()
    return {k: p.grad.clone() for k, p in network.named_parameters() if p.grad is not None}


def test_two_towers_are_one_grouped_network() -> None:
    network, images = tiny().double().eval(), pictures(3).double() * 20  # LRN has work to do
    expected = grouped(network, images)
    torch.testing.assert_close(network(images), expected, rtol=1e-10, atol=1e-10)
    ours, theirs = gradients(network, network(images)), gradients(network, expected)
    assert set(ours) == set(dict(network.named_parameters()))
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-8, atol=1e-9)


def test_a_tower_sees_the_other_only_where_the_paper_says() -> None:
    """Change tower 1's conv1: tower 0's maps change from conv3 on, and not before."""
    network, images = tiny().eval(), pictures(2)
    before = network.features(images)
    with torch.no_grad():
        network.tower1.get_parameter("maps1.conv1.weight").mul_(2)
    after = network.features(images)
    for stage, sees in ((0, False), (1, False), (2, True)):
        half = before[stage].shape[1] // 2
        assert before[stage][:, :half].equal(after[stage][:, :half]) is not sees
        assert not before[stage][:, half:].equal(after[stage][:, half:])


def test_split_over_two_processors_gives_the_same_bits() -> None:
    one, images = tiny(), pictures(4)
    two = copy.deepcopy(one)
    keys = list(two.state_dict())
    two.split_over([torch.device("cpu", 0), torch.device("cpu", 1)])
    assert list(two.state_dict()) == keys
    for network in (one, two):
        network.train()
    torch.manual_seed(3)
    expected = one(images)
    torch.manual_seed(3)
    made = two(images)
    assert made.equal(expected), "dropout draws the same masks"
    ours, theirs = gradients(two, made), gradients(one, expected)
    assert set(ours) == set(keys)
    assert all(ours[key].equal(theirs[key]) for key in keys)


def test_tower_1_goes_to_the_second_device_and_nothing_else_does() -> None:
    network = tiny()
    network.split_over([CPU, torch.device("meta")])
    places = {key: value.device.type for key, value in network.state_dict().items()}
    assert {key for key, place in places.items() if place == "meta"} == {
        key for key in places if key.startswith("tower1.")
    }
    network = tiny()
    network.split_over([CPU, CPU])
    assert network.tower1.device == CPU


class TwoProcessors(TorchFunctionMode):
    """Make-believe: tensors are on cpu:0 or cpu:1, and no operation takes some of both.

    PyTorch knows one processor only and drops the number.
    """

    def __init__(self, second: Iterable[Tensor]) -> None:
        super().__init__()
        self.kept: list[Tensor] = []  # so that no address is used again
        self.places: dict[int, int] = {}
        self.crossed: list[tuple[int, tuple[int, ...]]] = []
        for tensor in second:
            self.put(tensor, 1)

    def put(self, tensor: Tensor, place: int) -> Tensor:
        self.kept.append(tensor)
        self.places[tensor.untyped_storage().data_ptr()] = place
        return tensor

    def place(self, tensor: Tensor) -> int:
        return self.places.get(tensor.untyped_storage().data_ptr(), 0)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return torch.device("cpu", self.place(args[0]))
        if func is Tensor.to and isinstance(args[1], torch.device):
            self.crossed.append((args[1].index, tuple(args[0].shape)))
            return self.put(args[0].clone(), args[1].index)
        places = {self.place(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        if len(places) > 1:
            raise RuntimeError(f"{func} got tensors of two devices")
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.put(tensor, max(places, default=0))
        return made


@pytest.mark.parametrize("train", [False, True])
def test_between_two_devices_only_what_must_cross_does(train: bool) -> None:
    network, images = tiny(227).train(train), pictures(2, 227)
    torch.manual_seed(0)
    alone = network(images)
    expected = gradients(network, alone)
    torch.manual_seed(0)
    with TwoProcessors(network.tower1.parameters()) as devices:
        outputs = network(images)
        assert outputs.device == torch.device("cpu", 0)
        assert network.tower1.device == torch.device("cpu", 1)
    assert outputs.equal(alone)
    made = gradients(network, outputs)
    assert set(made) == set(dict(network.named_parameters()))
    assert all(made[name].equal(expected[name]) for name in made), "through the crossings"
    assert devices.crossed == [
        (1, (2, 3, 227, 227)),  # the picture
        (0, (2, 16, 13, 13)),  # each tower gets the other's maps for conv3
        (1, (2, 16, 13, 13)),
        (0, (2, 16, 6, 6)),  # the dense layers see both
        (1, (2, 32 * 36)),
        (0, (2, 16)),
        (1, (2, 32)),
        (0, (2, 16)),  # and so does the head
    ]


def test_make_believe_devices_notice_a_missing_crossing() -> None:
    layer = nn.Linear(3, 2)
    with (
        TwoProcessors(layer.parameters()),
        pytest.raises(RuntimeError, match="tensors of two devices"),
    ):
        layer(torch.zeros(1, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_split_over_a_processor_and_a_gpu() -> None:
    one, images = tiny().eval(), pictures(2)
    two = copy.deepcopy(one)
    two.split_over([CPU, torch.device("cuda", 0)])
    made = two(images)
    torch.testing.assert_close(made, one(images), rtol=1e-3, atol=1e-4)
    ours, theirs = gradients(two, made), gradients(one, one(images))
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient.cpu(), theirs[name], rtol=1e-2, atol=1e-3)
    assert two.to("cpu")(images).device == CPU, "together again"


def test_the_number_of_devices() -> None:
    assert AlexNet.splits == 2
    for count in (0, 1, 3):
        with pytest.raises(OptionError, match=rf"alexnet has 2 towers, got {count} devices\. Pass"):
            tiny().split_over([CPU] * count)


def test_derivatives() -> None:
    network = tiny(64).double().eval()
    images = pictures(1, 64).double().requires_grad_()
    assert gradcheck(network, (images,), fast_mode=True)


def test_dropout_comes_after_each_dense_layer() -> None:
    network, seen = tiny(dropout=0.25), {}
    for name in ("dropout6", "dropout7"):
        network.get_submodule(name).register_forward_hook(
            lambda layer, inputs, output, name=name: seen.update({name: (inputs[0], output)})
        )
    network(pictures(64))
    assert set(seen) == {"dropout6", "dropout7"}
    for values, dropped in seen.values():
        assert values.shape == (64, 32)
        kept = dropped[values > 0] > 0
        assert 0.65 < kept.float().mean() < 0.85


def test_both_kinds_of_fresh_weights() -> None:
    he, paper = (
        {key: p.detach() for key, p in tiny(dense=512, width=1.0, init=init).named_parameters()}
        for init in ("he", "paper")
    )
    for key in ("tower0.dense6.weight", "tower1.dense7.weight", "tower1.maps5.conv3.weight"):
        assert he[key].std().item() == pytest.approx((2 / he[key][0].numel()) ** 0.5, rel=0.03)
    assert he["head.weight"].std().item() == pytest.approx(0.01, rel=0.1)
    assert not any(value.any() for key, value in he.items() if key.endswith("bias"))
    biases = {key: value for key, value in paper.items() if key.endswith("bias")}
    ones = {key.split(".")[-2] for key, value in biases.items() if value.eq(1).all()}
    assert ones == {"conv2", "conv4", "conv5", "dense6", "dense7"}
    assert all(value.eq(0).all() or value.eq(1).all() for value in biases.values())
    for key in set(paper) - set(biases):
        assert paper[key].std().item() == pytest.approx(0.01, rel=0.1), key


def test_values_that_are_refused() -> None:
    with pytest.raises(
        OptionError,
        match=r"network `alexnet`: `dense` is 7, expected an even number, .*, such as 8\.",
    ):
        AlexNet(outputs=2, channels=3, image_size=64, dense=7)
    with pytest.raises(ShapeError, match=r"network `alexnet` needs pictures of at least 64×64"):
        AlexNet(outputs=2, channels=3, image_size=63)


def test_the_tiny_one_is_tiny() -> None:
    assert count_parameters(tiny()) < 60_000
