"""Pooling before ReLU: the same bits, forward and back, and the network as it was afterwards."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nunbit.networks import create_network
from nunbit.training.pooling import pooling_first


def passed(network: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return outputs, and the gradients of images and weights."""
    images = images.clone().requires_grad_()
    network.zero_grad()
    torch.manual_seed(0)
    outputs = network(images)
    outputs.square().sum().backward()
    assert images.grad is not None
    found = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    return outputs.detach(), [images.grad, *found]


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(2, 3),
    stride=st.integers(1, 3),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_bits_are_the_same(size: int, stride: int, seed: int, dtype: torch.dtype) -> None:
    # Rounded, so that windows have ties and zeros.
    values = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(seed))
    images = (values * 2).round().to(dtype)
    network = nn.Sequential(nn.Identity(), nn.ReLU(), nn.MaxPool2d(size, stride))
    usual = passed(network, images)
    with pooling_first(network):
        assert isinstance(network[1], nn.MaxPool2d)
        ours = passed(network, images)
    assert torch.equal(ours[0], usual[0])
    assert all(map(torch.equal, ours[1], usual[1]))


@pytest.mark.parametrize("name", ["cnn-mnist", "cnn-cats-dogs", "vgg-16", "alexnet"])
def test_networks_have_the_same_gradients_and_are_left_as_they_were(name: str) -> None:
    size = 32 if name != "alexnet" else 67
    network = create_network(name, outputs=3, channels=3, image_size=size, seed=0).train()
    before, names = str(network), list(network.state_dict())
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    usual = passed(network, images)
    with pooling_first(network):
        assert str(network) != before
        assert list(network.state_dict()) == names
        ours = passed(network, images)
    assert str(network) == before
    assert torch.equal(ours[0], usual[0])
    assert all(map(torch.equal, ours[1], usual[1]))


def test_a_layer_that_somebody_looks_at_stays_where_it_is() -> None:
    network = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(), nn.MaxPool2d(2))
    network[0].register_forward_hook(lambda *_: None)
    with pooling_first(network):
        kinds = [type(layer).__name__ for layer in network]
    assert kinds == ["ReLU", "MaxPool2d", "MaxPool2d", "ReLU"]


def test_what_pools_otherwise_stays() -> None:
    class Backwards(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            for layer in reversed(self):
                images = layer(images)
            return images

    network = nn.Sequential(
        nn.Sequential(nn.GELU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.ReLU(), nn.AvgPool2d(2)),
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, return_indices=True)),
        Backwards(nn.ReLU(), nn.MaxPool2d(2)),
    )
    before = str(network)
    with pooling_first(network):
        assert str(network) == before
