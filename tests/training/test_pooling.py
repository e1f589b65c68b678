"""Pooling before ReLU: the same bits, forward and back, and the network as it was made."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nunbit
from nunbit.networks import create_network
from nunbit.training.pooling import PoolingFirst, pooling_first


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
        assert type(network) is PoolingFirst
        ours = passed(network, images)
    assert type(network) is nn.Sequential
    assert torch.equal(ours[0], usual[0])
    assert all(map(torch.equal, ours[1], usual[1]))


def test_relu_sees_a_quarter() -> None:
    seen: list[int] = []

    class Counting(nn.Identity):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.numel())
            return x

    network = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), Counting())
    relu = nn.ReLU.forward

    def counted(self: nn.ReLU, x: Tensor) -> Tensor:
        seen.append(x.numel())
        return relu(self, x)

    with pytest.MonkeyPatch.context() as patch, pooling_first(network):
        patch.setattr(nn.ReLU, "forward", counted)
        network(torch.rand(1, 1, 8, 8))
    assert seen == [16, 16]


@pytest.mark.parametrize("name", ["cnn-mnist", "cnn-cats-dogs", "vgg-16", "alexnet"])
def test_networks_have_the_same_gradients_and_the_same_features(name: str) -> None:
    size = 32 if name != "alexnet" else 67
    network = create_network(name, outputs=3, channels=3, image_size=size, seed=0).train()
    before, names = str(network), list(network.state_dict())
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    usual, maps = passed(network, images), network.features(images)
    with pooling_first(network):
        assert str(network) == before
        assert list(network.state_dict()) == names
        ours = passed(network, images)
        assert all(map(torch.equal, network.features(images), maps))
    assert torch.equal(ours[0], usual[0])
    assert all(map(torch.equal, ours[1], usual[1]))


def test_what_goes_through_its_layers_itself_computes_what_its_file_computes(
    tmp_path: Path,
) -> None:
    class Loops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
            self.tap = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.body[:2]:
                x = layer(x)
            return self.tap[0](x).sum(dim=(1, 2, 3)) + self.tap(x).sum(dim=(1, 2, 3))

    network = Loops()
    images = torch.randn(2, 1, 8, 8)
    usual = passed(network, images)
    with pooling_first(network):
        ours = passed(network, images)
    assert all(map(torch.equal, [ours[0], *ours[1]], [usual[0], *usual[1]]))


def test_copies_compute_by_themselves() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
    images = torch.randn(1, 1, 6, 6)
    with pooling_first(network):
        copied = copy.deepcopy(network)
        file = io.BytesIO()
        torch.save(network, file)
    nn.init.zeros_(network[0].weight)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(copied(images), loaded(images))
    assert not torch.equal(copied(images), network(images))


def test_a_layer_that_somebody_looks_at_is_called_in_its_turn() -> None:
    network = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(), nn.MaxPool2d(2))
    shapes: list[int] = []
    with pooling_first(network):
        network[0].register_forward_hook(lambda layer, inputs, out: shapes.append(out.shape[-1]))
        network(torch.rand(1, 1, 8, 8))
    assert shapes == [8]


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
        nn.Sequential(nn.ReLU(inplace=True), nn.MaxPool2d(2)),
        Backwards(nn.ReLU(), nn.MaxPool2d(2)),
    )
    with pooling_first(network):
        assert not [each for each in network.modules() if type(each) is PoolingFirst]


def test_the_history_tells_what_the_model_file_answers(tmp_path: Path) -> None:
    pictures = nunbit.load("digits")
    model = nunbit.create_model_for(pictures, network="cnn-mnist", seed=0)
    history = nunbit.fit(model, pictures, epochs=1, out=tmp_path / "run", progress=False)
    assert pictures.validation is not None
    again = nunbit.evaluate(nunbit.Model.load(tmp_path / "run"), pictures.validation)
    assert history["val_accuracy"][-1] == again["accuracy"]
