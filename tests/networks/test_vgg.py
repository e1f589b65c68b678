"""VGG: every configuration of Table 1, and the dense layers as convolutions."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from tests.gradients import check_gradients
from torch import Tensor, nn

from nunbit.errors import OptionError, ShapeError
from nunbit.layers import LocalResponseNorm
from nunbit.networks import count_parameters, create_network, find_network, layer_table
from nunbit.networks.vgg import Vgg

# name: (parameters, multiply-adds, millions in the paper's Table 2), for 224×224 RGB, 1,000 classes
COUNTS = {
    "vgg-a": (132_863_336, 7_609_090_048, 133),
    "vgg-a-lrn": (132_863_336, 7_609_090_048, 133),
    "vgg-b": (133_047_848, 11_308_466_176, 133),
    "vgg-c": (133_638_952, 11_770_888_192, 134),
    "vgg-d": (138_357_544, 15_470_264_320, 138),
    "vgg-e": (143_667_240, 19_632_062_464, 144),
    # torchvision's, and for c with two numbers more for each of its 4,224 filters
    "vgg-a-bn": (132_868_840, 7_609_090_048, 133),
    "vgg-b-bn": (133_053_736, 11_308_466_176, 133),
    "vgg-c-bn": (133_638_952 + 2 * 4_224, 11_770_888_192, 134),
    "vgg-d-bn": (138_365_992, 15_470_264_320, 138),
    "vgg-e-bn": (143_678_248, 19_632_062_464, 144),
}
PARAMETERS = {
    "vgg-a": [1_792, 73_856, 295_168, 590_080, 1_180_160, *[2_359_808] * 3],
    "vgg-b": [1_792, 36_928, 73_856, 147_584, 295_168, 590_080, 1_180_160, *[2_359_808] * 3],
    "vgg-c": [
        *(1_792, 36_928, 73_856, 147_584, 295_168, 590_080, 65_792),
        *(1_180_160, 2_359_808, 262_656, 2_359_808, 2_359_808, 262_656),
    ],
    "vgg-d": [
        *(1_792, 36_928, 73_856, 147_584, 295_168, 590_080, 590_080),
        *(1_180_160, *[2_359_808] * 5),
    ],
    "vgg-e": [
        *(1_792, 36_928, 73_856, 147_584, 295_168, *[590_080] * 3),
        *(1_180_160, *[2_359_808] * 7),
    ],
}
"""Of each convolution, in order."""
PER_STAGE = {
    "vgg-a": (1, 1, 2, 2, 2),
    "vgg-a-lrn": (1, 1, 2, 2, 2),
    "vgg-b": (2, 2, 2, 2, 2),
    "vgg-c": (2, 2, 3, 3, 3),
    "vgg-d": (2, 2, 3, 3, 3),
    "vgg-e": (2, 2, 4, 4, 4),
}
"""Convolutions of each stage; the side halves after each."""
TORCHVISION = {
    # where its convolutions stand in `features`
    "vgg-a": (0, 3, 6, 8, 11, 13, 16, 18),
    "vgg-b": (0, 2, 5, 7, 10, 12, 15, 17, 20, 22),
    "vgg-d": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg-e": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
    "vgg-d-bn": (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40),
}


def ghost(name: str, **options: object) -> Vgg:
    """Make the whole network without memory for its weights."""
    with torch.device("meta"):
        made = create_network(name, outputs=1000, channels=3, image_size=224, options=options)
    assert isinstance(made, Vgg)
    return made


def tiny(image_size: int = 64, **options: object) -> Vgg:
    """Make a narrow one whose hidden layers answer strongly, to see differences."""
    options = {"config": "a", "width": 4, "dense": 12, **options}
    torch.manual_seed(0)
    network = Vgg(outputs=3, channels=1, image_size=image_size, **options)  # type: ignore[arg-type]
    nn.init.normal_(network.head.weight)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- the paper's tables -----------------------------------------------------------------------


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_multiply_adds(name: str) -> None:
    parameters, multiply_adds, millions = COUNTS[name]
    network = ghost(name)
    assert count_parameters(network) == parameters
    assert round(parameters / 1e6) == millions
    table = layer_table(network, channels=3, image_size=224)
    assert sum(row.multiply_adds for row in table) == multiply_adds


def test_each_configuration_is_registered_once_by_its_letter() -> None:
    assert {name: find_network(name).year for name in COUNTS} == dict.fromkeys(COUNTS, 2014)
    with pytest.raises(OptionError, match="unknown network `vgg-a-lrn-bn`"):
        find_network("vgg-a-lrn-bn")


@pytest.mark.parametrize("name", PER_STAGE)
def test_every_convolution_has_the_shape_of_table_1(name: str) -> None:
    table = layer_table(ghost(name), channels=3, image_size=224)
    convolutions = [row for row in table if row.kind.startswith("conv")]
    expected = []
    for stage, count in enumerate(PER_STAGE[name]):
        filters, side = min(64 * 2**stage, 512), 224 // 2**stage
        expected += [(filters, side, side)] * count
    assert [row.output for row in convolutions] == expected
    letter = "vgg-a" if name == "vgg-a-lrn" else name
    assert [row.parameters for row in convolutions] == PARAMETERS[letter]
    dense = [row.parameters for row in table if row.kind == "dense"]
    assert dense == [102_764_544, 16_781_312, 4_097_000]


def test_c_has_a_1x1_convolution_at_the_end_of_the_last_three_stages() -> None:
    kinds = [row.kind for row in layer_table(ghost("vgg-c"), channels=3, image_size=224)]
    convolutions = [kind for kind in kinds if kind.startswith("conv")]
    three = "conv 3×3, padding 1"
    assert convolutions == [three] * 4 + [three, three, "conv 1×1"] * 3


def test_lrn_stands_after_the_first_relu_with_alexnets_constants() -> None:
    body = ghost("vgg-a-lrn").body
    assert [type(layer).__name__ for layer in body[:4]] == [
        *("Conv2d", "ReLU", "LocalResponseNorm", "MaxPool2d")
    ]
    lrn = body[2]
    assert isinstance(lrn, LocalResponseNorm)
    assert (lrn.n, lrn.k, lrn.alpha, lrn.beta, lrn.divide_alpha) == (5, 2.0, 1e-4, 0.75, False)
    assert sum(isinstance(layer, LocalResponseNorm) for layer in body) == 1


def test_the_dense_layers_and_where_dropout_stands() -> None:
    table = layer_table(ghost("vgg-d", dropout=0.4), channels=3, image_size=224)
    assert [(row.kind, row.output) for row in table[-9:]] == [
        ("max-pool 2", (512, 7, 7)),
        ("flatten", (25_088,)),
        ("dense", (4_096,)),
        ("ReLU", (4_096,)),
        ("dropout 0.4", (4_096,)),
        ("dense", (4_096,)),
        ("ReLU", (4_096,)),
        ("dropout 0.4", (4_096,)),
        ("dense", (1_000,)),
    ]


def test_batch_norm_stands_between_each_convolution_and_its_relu() -> None:
    kinds = [type(layer).__name__ for layer in ghost("vgg-b-bn").body]
    assert kinds == (["Conv2d", "BatchNorm2d", "ReLU"] * 2 + ["MaxPool2d"]) * 5


def test_the_stages_are_the_maps_after_each_pool() -> None:
    maps = ghost("vgg-e").features(torch.empty(2, 3, 224, 224, device="meta"))
    assert [tuple(each.shape) for each in maps] == [
        *((2, 64, 112, 112), (2, 128, 56, 56), (2, 256, 28, 28)),
        *((2, 512, 14, 14), (2, 512, 7, 7)),
    ]


def test_the_names_the_world_uses() -> None:
    aliases = {"vgg11": "vgg-a", "vgg13": "vgg-b", "vgg16": "vgg-d", "vgg19": "vgg-e"}
    for alias, name in aliases.items():
        assert find_network(alias).name == name
        for written in (f"{alias}-bn", f"{alias}_bn"):
            assert find_network(written).name == f"{name}-bn"
    assert ghost("vgg16").name == "vgg-d"


def test_an_unknown_configuration() -> None:
    with pytest.raises(
        OptionError, match=r"no configuration `d-nb`. Did you mean `d-bn`\? It has: a, a-lrn, b"
    ):
        Vgg(outputs=2, channels=1, image_size=32, config="d-nb")


# --- what one value sees ----------------------------------------------------------------------


def seen_cells(layers: nn.Sequential, side: int) -> int:
    """Return how wide the part of the picture is that the middle of the last map sees."""
    first = layers[0]
    assert isinstance(first, nn.Conv2d)
    picture = torch.zeros(1, first.in_channels, side, side, requires_grad=True)
    x = picture
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            x = F.conv2d(x, torch.full_like(layer.weight, 1 / 9), padding=layer.padding)
        elif isinstance(layer, nn.MaxPool2d):
            x = F.avg_pool2d(x, layer.kernel_size)  # whichever is the largest: all of them count
    x[0, 0, x.shape[2] // 2, x.shape[3] // 2].backward()
    assert picture.grad is not None
    return int((picture.grad[0] != 0).any(dim=0).any(dim=0).sum())


def test_two_3x3_convolutions_see_5x5_and_three_see_7x7() -> None:
    body = Vgg(outputs=2, channels=1, image_size=32, config="e", width=1, dense=1).body
    assert seen_cells(body[:2], 32) == 3
    assert seen_cells(body[:4], 32) == 5
    third_stage = body[10:]
    assert seen_cells(third_stage[:6], 32) == 7


@pytest.mark.parametrize(("config", "side"), [("a", 150), ("d", 212), ("e", 268)])
def test_a_value_of_the_last_map_sees_most_of_the_picture(config: str, side: int) -> None:
    body = Vgg(outputs=2, channels=1, image_size=32, config=config, width=1, dense=1).body
    assert seen_cells(body, 480) == side


# --- dense layers as convolutions (section 3.2) -----------------------------------------------


@pytest.mark.parametrize("made_for", [32, 64, 96])
def test_at_the_size_it_was_made_for_there_is_one_place(made_for: int) -> None:
    network, images = tiny(made_for), noise(2, 1, made_for, made_for)
    with torch.no_grad():
        scores = network.score_map(images)
        assert scores.shape == (2, 3, 1, 1)
        torch.testing.assert_close(scores[:, :, 0, 0], network(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (64, 96), (128, 160), (140, 100)])
def test_each_place_is_the_dense_layers_on_its_part_of_the_map(height: int, width: int) -> None:
    """Against windows cut from the map one by one, at a network made for 64×64."""
    network, images = tiny(64), noise(2, 1, height, width)
    with torch.no_grad():
        scores, maps = network.score_map(images), network.features(images)[-1]
        assert scores.shape == (2, 3, height // 32 - 1, width // 32 - 1)
        for row in range(scores.shape[2]):
            for column in range(scores.shape[3]):
                window = maps[:, :, row : row + 2, column : column + 2]
                torch.testing.assert_close(
                    scores[:, :, row, column], network.classify(window), rtol=1e-5, atol=1e-6
                )
        torch.testing.assert_close(network(images), scores.mean(dim=(2, 3)), rtol=1e-5, atol=1e-6)
        spread = scores.flatten(2).std(dim=2)
        assert scores[0, 0].numel() == 1 or spread.min() > 1e-3, "places differ"


def test_each_place_is_the_network_on_its_part_of_the_picture() -> None:
    """With filters that look at their own cell alone, padding plays no part."""
    network, images = tiny(64).double(), noise(1, 1, 128, 128).double()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight[:, :, 1, 1] *= 3
                middle = module.weight[:, :, 1, 1].clone()
                module.weight.zero_()
                module.weight[:, :, 1, 1] = middle
        scores = network.score_map(images)
        assert scores.shape == (1, 3, 3, 3)
        assert scores.flatten(2).std(dim=2).min() > 1e-3
        for row in range(3):
            for column in range(3):
                crop = images[:, :, 32 * row : 32 * row + 64, 32 * column : 32 * column + 64]
                torch.testing.assert_close(scores[:, :, row, column], network(crop))


def test_gradients_through_the_sliding_layers_are_those_of_the_windows() -> None:
    network = tiny(64).double()
    maps = noise(2, 32, 3, 4).double()

    def gradients(outputs: Tensor) -> list[Tensor]:
        dense = [*network.dense1.parameters(), *network.dense2.parameters()]
        return list(torch.autograd.grad(outputs.square().sum(), [*dense, network.head.weight]))

    windows = [maps[:, :, r : r + 2, c : c + 2] for r in range(2) for c in range(3)]
    slow = torch.stack([network.classify(window) for window in windows]).mean(dim=0)
    for one, other in zip(gradients(network.classify(maps)), gradients(slow), strict=True):
        torch.testing.assert_close(one, other)
        assert one.abs().max() > 0


def test_a_larger_picture_can_be_exported() -> None:
    network, images = tiny(32), noise(2, 1, 96, 64)
    with torch.no_grad():
        made = torch.export.export(network, (images,)).module()
        torch.testing.assert_close(made(images), network(images))


@pytest.mark.parametrize("side", [64, 96])
def test_gradients_of_the_sliding_dense_layers_against_differences(side: int) -> None:
    """On the last map: of one place and of several, as dense layers and as convolutions."""
    network = tiny(64, width=1, dense=3, dropout=0.0)
    maps = (2, 8, side // 32, side // 32)
    network.body = nn.Sequential()
    check_gradients(network, maps, call=network.score_map)
    check_gradients(network, maps, call=network.classify)


def test_a_replaced_head_slides_too() -> None:
    network = tiny(32)
    network.head = nn.Linear(12, 7, bias=False)
    with torch.no_grad():
        assert network.score_map(noise(1, 1, 64, 96)).shape == (1, 7, 2, 3)


def test_a_picture_smaller_than_the_network_was_made_for() -> None:
    message = re.escape(
        "this `vgg-a` was made for pictures of 96×96 pixels or more, got a last map of 2×3 cells, "
        "expected at least 3×3."
    )
    for use in (tiny(96), tiny(96).score_map):
        with pytest.raises(ShapeError, match=message):
            use(noise(1, 1, 64, 96))


# --- pool_to, published names, fresh weights --------------------------------------------------


def test_pool_to_gives_the_published_shape_at_any_size() -> None:
    small = Vgg(outputs=5, channels=3, image_size=32, width=4, dense=8, pool_to=7).eval()
    large = Vgg(outputs=5, channels=3, image_size=224, width=4, dense=8).eval()
    large.load_state_dict(small.state_dict())
    images = noise(1, 3, 224, 224)
    with torch.no_grad():
        assert small(images).equal(large(images)), "nothing to pool at 224"
        assert small(noise(1, 3, 40, 50)).shape == (1, 5)
        maps = noise(1, 32, 14, 21)
        by_hand = F.avg_pool2d(maps, (2, 3))
        torch.testing.assert_close(small.classify(maps), large.classify(by_hand))


@pytest.mark.parametrize("name", TORCHVISION)
def test_published_names_are_ours_under_another_name(name: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    before = 3
    per_stage = PER_STAGE[name.removesuffix("-bn")]
    filters = [min(64 * 2**k, 512) for k, count in enumerate(per_stage) for _ in range(count)]
    for place, count in zip(TORCHVISION[name], filters, strict=True):
        shapes |= {f"features.{place}.weight": (count, before, 3, 3)}
        shapes |= {f"features.{place}.bias": (count,)}
        if name.endswith("-bn"):
            for part in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"features.{place + 1}.{part}"] = (count,)
            shapes[f"features.{place + 1}.num_batches_tracked"] = ()
        before = count
    for place, sizes in {0: (4096, 25_088), 3: (4096, 4096), 6: (1000, 4096)}.items():
        shapes |= {f"classifier.{place}.weight": sizes, f"classifier.{place}.bias": sizes[:1]}
    ours = {}
    for key, shape in shapes.items():
        for pattern, replacement in Vgg.published_keys:
            key = re.sub(pattern, replacement, key)
        ours[key] = shape
    network = ghost(name, pool_to=7)
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == ours


@pytest.mark.parametrize("config", ["a", "c", "e"])
def test_fresh_weights_carry_the_signal_to_the_end(config: str) -> None:
    torch.manual_seed(3)
    network = Vgg(outputs=10, channels=3, image_size=64, config=config, width=16, dense=256)
    with torch.no_grad():
        maps = network.eval().features(noise(4, 3, 64, 64))
        logits = network.classify(maps[-1])
    strengths = [float(each.square().mean().sqrt()) for each in maps]
    assert all(0.3 < each < 10 for each in strengths), strengths
    assert 1e-3 < logits.abs().max() < 5
    assert not any(value.any() for key, value in network.state_dict().items() if "bias" in key)
