"""GoogLeNet in both forms: Table 1, the branches, and the auxiliary classifiers."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.gradients import check_gradients
from torch import Tensor, nn

import nunbit
from nunbit.layers import LocalResponseNorm
from nunbit.networks import (
    WithAuxiliary,
    count_parameters,
    create_network,
    googlenet,
    googlenet_bn,
    layer_table,
    network_heads,
)
from nunbit.networks.googlenet import AuxiliaryClassifier, GoogLeNet, Inception
from nunbit.networks.googlenet_bn import GoogLeNetBn

TABLE_1 = {
    # filters: 1×1; reduce, 3×3; reduce, 5×5; pool projection; output; parameters with biases;
    # multiply-adds; the paper's own count of these, in millions
    "3a": ((64, 96, 128, 16, 32, 32), (256, 28, 28), 163_696, 128_049_152, 128),
    "3b": ((128, 128, 192, 32, 96, 64), (480, 28, 28), 388_736, 304_267_264, 304),
    "4a": ((192, 96, 208, 16, 48, 64), (512, 14, 14), 376_176, 73_608_192, 73),
    "4b": ((160, 112, 224, 24, 64, 64), (512, 14, 14), 449_160, 87_908_352, 88),
    "4c": ((128, 128, 256, 24, 64, 64), (512, 14, 14), 510_104, 99_850_240, 100),
    "4d": ((112, 144, 288, 32, 64, 64), (528, 14, 14), 605_376, 118_515_712, 119),
    "4e": ((256, 160, 320, 32, 128, 128), (832, 14, 14), 868_352, 169_996_288, 170),
    "5a": ((256, 160, 320, 32, 128, 128), (832, 7, 7), 1_043_456, 51_079_168, 54),
    "5b": ((384, 192, 384, 48, 128, 128), (1024, 7, 7), 1_444_080, 70_697_984, 71),
}
NAMES = ("googlenet", "googlenet-bn")


def ghost(name: str, *, image_size: int = 224, **options: object) -> Any:
    """Make the whole network without memory for its weights."""
    with torch.device("meta"):
        return create_network(
            name, outputs=1000, channels=3, image_size=image_size, options=options
        )


def empty(side: int = 224, count: int = 2) -> Tensor:
    return torch.empty(count, 3, side, side, device="meta")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def outputs_of(network: nn.Module, images: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shape that each module gives out, by its path."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path, module in network.named_modules():
        module.register_forward_hook(
            lambda _, inputs, output, path=path: shapes.update(
                {path: tuple(output.shape[1:]) if isinstance(output, Tensor) else ()}
            )
        )
    network(images)
    return shapes


def multiply_adds_in_training(network: nn.Module) -> int:
    """Count by the sizes of weights and outputs, one picture, the auxiliary classifiers too."""
    counted = []
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(
                lambda layer, _, output: counted.append(layer.weight[0].numel() * output[0].numel())
            )
    network.train()(empty())
    return sum(counted)


# --- Table 1 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "auxiliary", "parameters", "multiply_adds"),
    [
        ("googlenet", False, 6_998_552, 1_582_671_872),
        ("googlenet", True, 13_378_280, 1_582_671_872),
        ("googlenet-bn", False, 6_624_904, 1_498_376_192),
        ("googlenet-bn", True, 13_004_888, 1_498_376_192),
    ],
)
def test_parameters_and_multiply_adds(
    name: str, auxiliary: bool, parameters: int, multiply_adds: int
) -> None:
    network = ghost(name, auxiliary=auxiliary)
    assert count_parameters(network) == parameters
    table = layer_table(network, channels=3, image_size=224)
    assert sum(row.multiply_adds for row in table if row.output) == multiply_adds


def test_the_auxiliary_classifiers_alone() -> None:
    network = ghost("googlenet")
    assert count_parameters(network.auxiliary1) == 3_188_840
    assert count_parameters(network.auxiliary2) == 3_190_888
    # 1×1 convolution on 4×4 cells, dense 2,048 → 1,024 → 1,000; both together
    both = 16 * 128 * (512 + 528) + 2 * (2_048 * 1_024 + 1_024 * 1_000)
    assert multiply_adds_in_training(network) == 1_582_671_872 + both == 1_591_044_096
    assert multiply_adds_in_training(ghost("googlenet", auxiliary=False)) == 1_582_671_872
    shapes = outputs_of(network.train(), empty())
    for path, channels in {"auxiliary1": 512, "auxiliary2": 528}.items():
        assert shapes[f"{path}.pool"] == (channels, 4, 4)
        assert shapes[f"{path}.conv"] == (128, 4, 4)
        assert shapes[f"{path}.dense"] == (1_024,)
        assert shapes[path] == (1_000,)
        assert network.get_submodule(f"{path}.dropout").p == 0.7


@pytest.mark.parametrize("name", NAMES)
def test_every_map_of_the_main_way_has_the_shape_of_table_1(name: str) -> None:
    shapes = outputs_of(ghost(name).eval(), empty())
    expected = {
        "conv1": (64, 112, 112),
        "pool1": (64, 56, 56),
        "conv2": (64, 56, 56),
        "conv3": (192, 56, 56),
        "pool2": (192, 28, 28),
        **{f"inception{row}": facts[1] for row, facts in TABLE_1.items()},
        "pool3": (480, 14, 14),
        "pool4": (832, 7, 7),
        "pool": (1024, 1, 1),
        "dropout": (1024,),
        "head": (1000,),
    }
    assert {path: shapes[path] for path in expected} == expected
    assert [path for path in shapes if path in expected] == [
        *("conv1", "pool1", "conv2", "conv3", "pool2", "inception3a", "inception3b", "pool3"),
        *(f"inception4{letter}" for letter in "abcde"),
        *("pool4", "inception5a", "inception5b", "pool", "dropout", "head"),
    ]


@pytest.mark.parametrize("row", TABLE_1)
def test_every_inception_module_has_the_numbers_of_its_row(row: str) -> None:
    filters, output, parameters, multiply_adds, paper_millions = TABLE_1[row]
    network = ghost("googlenet")
    table = layer_table(network, channels=3, image_size=224)
    mine = [each for each in table if each.name.startswith(f"inception{row}.")]
    convolutions = [each for each in mine if "conv" in each.kind]
    one, reduce3, three, reduce5, five, projection = filters
    assert [(each.kind, each.output[0]) for each in convolutions] == [
        ("conv 1×1", one),
        ("conv 1×1", reduce3),
        ("conv 3×3, padding 1", three),
        ("conv 1×1", reduce5),
        ("conv 5×5, padding 2", five),
        ("conv 1×1", projection),
    ]
    assert one + three + five + projection == output[0]
    assert sum(each.parameters for each in mine) == parameters
    assert sum(each.multiply_adds for each in mine) == multiply_adds
    if row != "5a":  # its printed 54 does not follow from the filters printed beside it
        assert abs(multiply_adds / 1e6 - paper_millions) < 1


def test_the_stem_has_the_numbers_of_its_rows() -> None:
    table = layer_table(ghost("googlenet"), channels=3, image_size=224)
    stem = {row.name: row for row in table if row.name.startswith(("conv", "pool", "lrn"))}
    facts = {name: (stem[name].parameters, stem[name].multiply_adds) for name in stem}
    assert facts["conv1.conv"] == (9_408 + 64, 118_013_952)
    assert facts["conv2.conv"] == (4_096 + 64, 4_096 * 56**2)
    assert facts["conv3.conv"] == (110_592 + 192, 110_592 * 56**2)
    assert abs((4_096 + 110_592) * 56**2 / 1e6 - 360) < 1, "the paper's 360 M"
    assert stem["conv1.conv"].kind == "conv 7×7, stride 2, padding 3"


def test_22_layers_with_weights_lie_one_behind_the_other() -> None:
    network = ghost("googlenet", auxiliary=False)
    images = torch.empty(1, 3, 224, 224, device="meta", requires_grad=True)
    outputs = network.eval()(images)
    assert most_weights_on_a_way(outputs.grad_fn) == 22
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 3 + 9 * 6 + 1, "beside them stand those of the other branches"


def most_weights_on_a_way(end: Any) -> int:
    """Return how many convolutions and dense layers lie on the longest way to the picture."""
    longest: dict[Any, int] = {}
    waiting = [end]
    while waiting:
        node = waiting[-1]
        before = [each for each, _ in node.next_functions if each is not None]
        if missing := [each for each in before if each not in longest]:
            waiting += missing
            continue
        waiting.pop()
        counts = node.name() in ("ConvolutionBackward0", "AddmmBackward0")
        longest[node] = counts + max((longest[each] for each in before), default=0)
    return longest[end]


def test_the_longest_way_is_counted_right() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    one, two = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
    assert most_weights_on_a_way(x.sum().grad_fn) == 0
    assert most_weights_on_a_way((one(x) + two(x)).grad_fn) == 1, "side by side"
    assert most_weights_on_a_way((x + two(one(x).relu())).grad_fn) == 2
    assert most_weights_on_a_way(nn.Linear(16, 2)(one(x).flatten(1)).grad_fn) == 2


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_halve_each_time(name: str) -> None:
    maps = ghost(name).features(empty())
    assert [tuple(each.shape[1:]) for each in maps] == [
        *((64, 112, 112), (192, 56, 56), (480, 28, 28), (832, 14, 14), (1024, 7, 7))
    ]


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("googlenet", {"conv1": 7, "pool1": 11, "conv3": 19, "pool2": 27, "inception3a": 59}),
        ("googlenet", {"inception3b": 91, "inception4a": 171, "inception5b": 715}),
        ("googlenet-bn", {"inception3a": 43, "inception4a": 107, "inception5b": 379}),
    ],
)
def test_how_many_pixels_one_value_sees(name: str, sides: dict[str, int]) -> None:
    """By the gradient, with averages for maxima: a module sees what its widest branch does."""
    options = {"width": 0.01}
    network = create_network(name, outputs=2, channels=1, image_size=800, options=options).eval()
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        elif isinstance(module, nn.MaxPool2d):
            parent, _, child = path.rpartition(".")
            pool = nn.AvgPool2d(
                module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode
            )
            setattr(network.get_submodule(parent), child, pool)
    kept: dict[str, Tensor] = {}
    for path in sides:
        network.get_submodule(path).register_forward_hook(
            lambda _, inputs, output, path=path: kept.update({path: output})
        )
    picture = torch.ones(1, 1, 800, 800, requires_grad=True)
    network(picture)
    found = {}
    for path, output in kept.items():
        middle = output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum()
        (slope,) = torch.autograd.grad(middle, picture, retain_graph=True)
        found[path] = int((slope[0, 0] != 0).any(dim=0).sum())
    assert found == sides


# --- modules ----------------------------------------------------------------------------------


def test_a_module_is_its_four_branches_in_the_papers_order() -> None:
    torch.manual_seed(0)
    module = Inception(5, [2, 3, 4, 2, 3, 1]).double()
    x = noise(2, 5, 6, 7).double()

    def conv(x: Tensor, name: str, padding: int) -> Tensor:
        layer = module.get_submodule(name)
        return F.conv2d(x, layer.conv.weight, layer.conv.bias, padding=padding).relu()

    by_hand = [
        conv(x, "branch1", 0),
        conv(conv(x, "branch2.0", 0), "branch2.1", 1),
        conv(conv(x, "branch3.0", 0), "branch3.1", 2),
        conv(F.max_pool2d(F.pad(x, (1,) * 4, value=-torch.inf), 3, 1), "branch4.1", 0),
    ]
    with torch.no_grad():
        made = module(x)
    assert module.filters == made.shape[1] == 2 + 4 + 3 + 1
    torch.testing.assert_close(made, torch.cat(by_hand, dim=1).detach())


def test_what_the_form_with_batch_norm_does_differently() -> None:
    paper, other = ghost("googlenet"), ghost("googlenet-bn")
    assert paper.inception4c.branch3[1].conv.kernel_size == (5, 5)
    assert other.inception4c.branch3[1].conv.kernel_size == (3, 3)
    assert all(m.bias is None for m in other.modules() if isinstance(m, nn.Conv2d))
    assert {m.eps for m in other.modules() if isinstance(m, nn.BatchNorm2d)} == {0.001}
    assert not any(isinstance(m, nn.BatchNorm2d) for m in paper.modules())
    assert [path for path, m in paper.named_modules() if isinstance(m, LocalResponseNorm)] == [
        *("lrn1", "lrn2")
    ]
    assert not any(isinstance(m, LocalResponseNorm) for m in other.modules())
    assert (paper.dropout.p, other.dropout.p) == (0.4, 0.2)
    assert (paper.pool4.kernel_size, other.pool4.kernel_size) == (3, 2)


def test_lrn_stands_after_the_first_pool_and_before_the_second() -> None:
    order = [row.name for row in layer_table(ghost("googlenet"), channels=3, image_size=224)]
    assert order[:9] == [
        *("conv1.conv", "conv1.relu", "pool1", "lrn1", "conv2.conv", "conv2.relu"),
        *("conv3.conv", "conv3.relu", "lrn2"),
    ]
    assert order[9] == "pool2"
    lrn = ghost("googlenet").lrn1
    assert (lrn.n, lrn.k, lrn.alpha, lrn.beta, lrn.divide_alpha) == (5, 1.0, 1e-4, 0.75, True)


def test_fresh_weights_carry_the_signal_to_the_end() -> None:
    network = create_network(
        "googlenet", outputs=10, channels=3, image_size=64, options={"width": 0.25}
    )
    with torch.no_grad():
        maps = network.eval().features(noise(4, 3, 64, 64))
        strengths = [float(each.square().mean().sqrt()) for each in maps]
        logits = network.classify(maps[-1])
    assert all(0.3 < each < 20 for each in strengths), strengths
    assert 1e-3 < logits.abs().max() < 10


@pytest.mark.parametrize("file", [googlenet, googlenet_bn])
def test_gradients_of_the_modules_against_differences(file: Any) -> None:
    check_gradients(file.Convolution(2, 3, 3, stride=2), (2, 2, 4, 5))
    check_gradients(file.Inception(3, [2, 2, 3, 1, 2, 2]), (2, 3, 3, 4))


def test_gradients_of_the_auxiliary_classifiers_against_differences() -> None:
    for each, side in (
        (AuxiliaryClassifier(3, 2, side=14, width=0.02), 14),
        (AuxiliaryClassifier(3, 2, side=5, width=0.02), 5),
        (googlenet_bn.AuxiliaryClassifier(3, 2, width=0.02), 5),
    ):
        each.dropout.p = 0.0
        check_gradients(each, (2, 3, side, side))


# --- auxiliary classifiers --------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_auxiliary_outputs_are_there_in_training_only(name: str) -> None:
    network = create_network(
        name, outputs=4, channels=1, image_size=32, options={"width": 0.1, "dropout": 0.0}
    )
    images = noise(3, 1, 32, 32)
    made = network.train()(images)
    assert isinstance(made, WithAuxiliary)
    assert made.weight == 0.3
    assert [each.shape for each in (made.outputs, *made.auxiliary)] == [(3, 4)] * 3
    assert isinstance(network.eval()(images), Tensor)
    assert network_heads(network) == ("head", "auxiliary1.head", "auxiliary2.head")


@pytest.mark.parametrize("name", NAMES)
def test_without_auxiliary_classifiers_the_rest_is_the_same(name: str) -> None:
    options = {"width": 0.1, "dropout": 0.0}
    how: dict[str, Any] = {"outputs": 4, "channels": 1, "image_size": 32}
    full = create_network(name, **how, options=options)
    plain = create_network(name, **how, options={**options, "auxiliary": False})
    assert network_heads(plain) == ("head",)
    assert isinstance(plain.train()(noise(3, 1, 32, 32)), Tensor)
    extra = {key for key in full.state_dict() if key.startswith("auxiliary")}
    assert set(full.state_dict()) - extra == set(plain.state_dict())
    plain.load_state_dict({k: v for k, v in full.state_dict().items() if k not in extra})
    images = noise(3, 1, 32, 32)
    with torch.no_grad():
        assert plain.eval()(images).equal(full.eval()(images))


def test_the_auxiliary_classifiers_hang_on_4a_and_4d() -> None:
    network = create_network(
        "googlenet", outputs=4, channels=1, image_size=64, options={"width": 0.1}
    ).train()
    made = network(noise(2, 1, 64, 64))
    reached = {}
    for k, output in enumerate(made.auxiliary):
        network.zero_grad()
        output.sum().backward(retain_graph=True)
        reached[k] = {
            path.split(".")[0]
            for path, p in network.named_parameters()
            if p.grad is not None and bool(p.grad.any())
        }
    below = {"conv1", "conv2", "conv3", "inception3a", "inception3b", "inception4a"}
    assert reached[0] == {*below, "auxiliary1"}
    between = {"inception4b", "inception4c", "inception4d"}
    assert reached[1] == {*below, *between, "auxiliary2"}


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *(("googlenet", side) for side in (31, 32, 96, 223, 224, 239, 256, 271, 272, 448)),
        *(("googlenet-bn", side) for side in (15, 31, 96, 224, 448)),
    ],
)
def test_auxiliary_classifiers_have_one_shape_for_all_pictures(name: str, side: int) -> None:
    network = ghost(name, image_size=side).train()
    assert count_parameters(network) == (13_378_280 if name == "googlenet" else 13_004_888)
    assert [tuple(each.shape) for each in network(empty(side)).auxiliary] == [(2, 1000)] * 2


@pytest.mark.parametrize("cells", [1, 2, 4, 5, 13, 14, 15, 16, 17, 28])
def test_auxiliary_pooling_is_the_papers_where_that_leaves_4x4(cells: int) -> None:
    torch.manual_seed(0)
    classifier = AuxiliaryClassifier(8, 3, side=cells, width=0.1)
    maps = noise(2, 8, cells, cells)
    pooled = classifier.pool(maps)
    if cells in (14, 15, 16):
        corner = maps[:, :, 9:14, 9:14].mean(dim=(2, 3))  # the last window: 3 · 3 = 9 onwards
        torch.testing.assert_close(pooled[:, :, 3, 3], corner)
        torch.testing.assert_close(pooled, F.avg_pool2d(maps, 5, 3))
    else:
        assert pooled.equal(F.adaptive_avg_pool2d(maps, 4))


def test_one_training_step_adds_three_tenths_of_each_auxiliary_loss(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 32, 32), dtype=np.uint8)
    labels = np.arange(12) % 3
    pictures = nunbit.load((images, labels), validation=0.0)
    model = nunbit.create_model_for(
        pictures, network="googlenet", network_options={"width": 0.1, "dropout": 0.0}
    )
    for module in model.network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # what is dropped would differ
    twin = copy.deepcopy(model.network).train()
    lr = 4.0  # large, so that little is lost where the step is taken back out of the weights
    nunbit.fit(
        model,
        pictures,
        options=nunbit.TrainOptions(
            epochs=1,
            batch_size=12,
            lr=lr,
            optimizer="sgd",
            momentum=0.0,
            weight_decay=0.0,
            schedule="constant",
            augment="none",
            device="cpu",
            precision="float32",
        ),
        out=tmp_path / "run",
        progress=False,
    )
    batch = model.normalise(torch.from_numpy(images)[:, None])
    outputs, (first, second), weight = twin(batch)
    assert weight == 0.3
    targets = torch.from_numpy(labels)
    loss = F.cross_entropy(outputs, targets) + 0.3 * (
        F.cross_entropy(first, targets) + F.cross_entropy(second, targets)
    )
    loss.backward()
    trained = dict(model.network.named_parameters())
    for path, before in twin.named_parameters():
        assert before.grad is not None
        step = (before - trained[path]).detach() / lr
        wrong = float((step - before.grad).norm())
        assert wrong <= 1e-3 * float(before.grad.norm()) + 1e-7, path
    for head in network_heads(twin):
        assert twin.get_submodule(head).weight.grad.norm() > 0.01


# --- published names --------------------------------------------------------------------------


def torchvision_shapes(*, auxiliary: bool) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes that the published file has."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(path: str, before: int, filters: int, kernel: int) -> None:
        shapes[f"{path}.conv.weight"] = (filters, before, kernel, kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{path}.bn.{part}"] = (filters,)
        shapes[f"{path}.bn.num_batches_tracked"] = ()

    conv("conv1", 3, 64, 7)
    conv("conv2", 64, 64, 1)
    conv("conv3", 64, 192, 3)
    before = 192
    for row, ((one, reduce3, three, reduce5, five, pooled), output, *_) in TABLE_1.items():
        conv(f"inception{row}.branch1", before, one, 1)
        conv(f"inception{row}.branch2.0", before, reduce3, 1)
        conv(f"inception{row}.branch2.1", reduce3, three, 3)
        conv(f"inception{row}.branch3.0", before, reduce5, 1)
        conv(f"inception{row}.branch3.1", reduce5, five, 3)
        conv(f"inception{row}.branch4.1", before, pooled, 1)
        before = output[0]
    for path, channels in {"aux1": 512, "aux2": 528}.items() if auxiliary else ():
        conv(f"{path}.conv", channels, 128, 1)
        shapes |= {f"{path}.fc1.weight": (1024, 2048), f"{path}.fc1.bias": (1024,)}
        shapes |= {f"{path}.fc2.weight": (1000, 1024), f"{path}.fc2.bias": (1000,)}
    return shapes | {"fc.weight": (1000, 1024), "fc.bias": (1000,)}


@pytest.mark.parametrize(("auxiliary", "entries"), [(True, 364), (False, 344)])
def test_published_names_are_ours_under_another_name(auxiliary: bool, entries: int) -> None:
    shapes = torchvision_shapes(auxiliary=auxiliary)
    assert len(shapes) == entries, "as recorded from torchvision"
    ours = {}
    for key, shape in shapes.items():
        for pattern, replacement in GoogLeNetBn.published_keys:
            key = re.sub(pattern, replacement, key)
        ours[key] = shape
    state = ghost("googlenet-bn", auxiliary=auxiliary).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == ours


def test_the_papers_form_takes_no_published_weights() -> None:
    assert not hasattr(GoogLeNet, "published_keys")
