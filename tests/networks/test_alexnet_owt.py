"""AlexNet of "one weird trick": torchvision's counts, keys and order."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional

from nunbit.errors import OptionError, ShapeError
from nunbit.networks import create_network, layer_table
from nunbit.networks.alexnet_owt import AlexNetOWT

TINY: dict[str, Any] = {"width": 0.125, "dense": 32}
PUBLISHED = {
    # torchvision's alexnet-owt-7be5be79.pth
    "features.0.weight": (64, 3, 11, 11),
    "features.0.bias": (64,),
    "features.3.weight": (192, 64, 5, 5),
    "features.3.bias": (192,),
    "features.6.weight": (384, 192, 3, 3),
    "features.6.bias": (384,),
    "features.8.weight": (256, 384, 3, 3),
    "features.8.bias": (256,),
    "features.10.weight": (256, 256, 3, 3),
    "features.10.bias": (256,),
    "classifier.1.weight": (4096, 9216),
    "classifier.1.bias": (4096,),
    "classifier.4.weight": (4096, 4096),
    "classifier.4.bias": (4096,),
    "classifier.6.weight": (1000, 4096),
    "classifier.6.bias": (1000,),
}


def tiny(side: int = 63, **options: Any) -> AlexNetOWT:
    made = create_network(
        "alexnet-owt", outputs=5, channels=3, image_size=side, options={**TINY, **options}
    )
    assert isinstance(made, AlexNetOWT)
    return made


def pictures(count: int, side: int = 63) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def whole(pool_to: int = 0) -> AlexNetOWT:
    with torch.device("meta"):
        return AlexNetOWT(outputs=1000, channels=3, image_size=224, pool_to=pool_to)


@pytest.mark.parametrize("pool_to", [0, 6])
def test_counts_and_shapes_are_torchvisions(pool_to: int) -> None:
    table = layer_table(whole(pool_to), channels=3, image_size=224)
    assert sum(row.parameters for row in table) == 61_100_840
    assert sum(row.multiply_adds for row in table) == 714_188_480
    convolutions = [row.output for row in table if row.kind.startswith("conv")]
    assert convolutions == [(64, 55, 55), (192, 27, 27), (384, 13, 13), *[(256, 13, 13)] * 2]
    pools = [row.output for row in table if row.kind.startswith("max-pool 3, stride 2")]
    assert pools == [(64, 27, 27), (192, 13, 13), (256, 6, 6)]


def test_published_keys_become_ours() -> None:
    renamed = {}
    for key, shape in PUBLISHED.items():
        for pattern, replacement in AlexNetOWT.published_keys:
            key = re.sub(pattern, replacement, key)
        renamed[key] = shape
    assert renamed == {key: tuple(value.shape) for key, value in whole(6).state_dict().items()}


def test_it_is_torchvisions_written_with_plain_operations() -> None:
    network, images = tiny(95, pool_to=6).double().eval(), pictures(2, 95).double()
    p = dict(network.named_parameters())

    def conv(x: Tensor, number: int, **how: int) -> Tensor:
        weight, bias = p[f"body.{number}.weight"], p[f"body.{number}.bias"]
        return functional.conv2d(x, weight, bias, **how).relu()

    x = functional.max_pool2d(conv(images, 0, stride=4, padding=2), 3, 2)
    x = functional.max_pool2d(conv(x, 3, padding=2), 3, 2)
    x = conv(conv(conv(x, 6, padding=1), 8, padding=1), 10, padding=1)
    x = functional.adaptive_avg_pool2d(functional.max_pool2d(x, 3, 2), 6).flatten(1)
    for name in ("dense1", "dense2"):
        x = functional.linear(x, p[f"{name}.weight"], p[f"{name}.bias"]).relu()
    expected = functional.linear(x, p["head.weight"], p["head.bias"])
    torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)


def test_pooling_to_6_makes_the_dense_layers_fit_any_picture() -> None:
    network = tiny(224, pool_to=6).eval()
    with torch.no_grad():
        for side in (63, 100, 224):
            assert network(pictures(1, side)).isfinite().all()
        plain = tiny(224).eval()
        plain.load_state_dict(network.state_dict())
        assert plain(pictures(1, 224)).equal(network(pictures(1, 224))), "at 224 it does nothing"


def test_dropout_comes_before_each_of_the_first_two_dense_layers() -> None:
    table = layer_table(tiny(), channels=3, image_size=63)
    kinds = [row.kind for row in table]
    assert kinds[kinds.index("flatten") :] == [
        *("flatten", "dropout 0.5", "dense", "ReLU", "dropout 0.5", "dense", "ReLU", "dense")
    ]


def test_derivatives() -> None:
    images = pictures(1).double().requires_grad_()
    assert gradcheck(tiny(pool_to=2).double().eval(), (images,), fast_mode=True)


def test_fresh_weights_keep_the_size_of_the_signal() -> None:
    torch.manual_seed(0)
    network = AlexNetOWT(outputs=5, channels=3, image_size=63, dense=64)
    with torch.no_grad():
        maps = network.eval().features(pictures(4))
        assert all(0.1 < each.std() < 10 for each in maps)
        assert network.classify(maps[-1]).abs().max() < 5


def test_values_that_are_refused() -> None:
    wrong = {"width": -1, "dense": 0, "pool_to": -1}
    with pytest.raises(
        OptionError,
        match=r"network `alexnet-owt`: `width` is -1\.0, expected 0 < value <= 16; `dense` is 0, "
        r"expected 1 <= .*; `pool_to` is -1, expected 0 <= value <= 64 \(cells\)\.",
    ):
        create_network("alexnet-owt", outputs=2, channels=3, image_size=64, options=wrong)
    with pytest.raises(ShapeError, match=r"network `alexnet-owt` needs pictures of at least 63×63"):
        AlexNetOWT(outputs=2, channels=3, image_size=62)
    assert isinstance(tiny().pool, nn.Identity)
