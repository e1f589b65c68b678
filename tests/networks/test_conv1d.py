"""The network for sequences: what it reads, its sizes, and that it finds a form anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.gradients import check_gradients
from torch import Tensor, nn
from torch.autograd import gradcheck

from nunbit.data.named import open_named
from nunbit.errors import OptionError, ShapeError
from nunbit.networks import count_parameters, create_network
from nunbit.networks.conv1d import ReadPixels, ReadRows


def make(*, size: int = 16, channels: int = 1, outputs: int = 5, **options: Any) -> nn.Module:
    return create_network(
        "conv1d", outputs=outputs, channels=channels, image_size=size, options=options or None
    )


def test_rows_are_steps_with_all_their_values() -> None:
    images = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    steps = ReadRows()(images)
    assert steps.shape == (2, 15, 4)
    for row in range(4):
        assert steps[1, :, row].equal(images[1, :, row, :].flatten())


def test_pixels_are_steps_in_reading_order() -> None:
    images = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    steps = ReadPixels()(images)
    assert steps.shape == (2, 3, 20)
    for row in range(4):
        for column in range(5):
            assert steps[:, :, 5 * row + column].equal(images[:, :, row, column])
    other = images.contiguous(memory_format=torch.channels_last)
    assert ReadPixels()(other).equal(steps)
    assert ReadRows()(other).equal(ReadRows()(images))


@pytest.mark.parametrize(
    ("read", "values", "lengths"),
    [("rows", 16, (8, 4, 2)), ("pixels", 1, (128, 64, 32))],
)
def test_parameters_and_maps_counted_by_hand(
    read: str, values: int, lengths: tuple[int, ...]
) -> None:
    network = make(read=read)
    assert count_parameters(network) == (
        (5 * values * 16 + 16)
        + (5 * 16 * 32 + 32)
        + (5 * 32 * 64 + 64)
        + (64 * 64 + 64)
        + (64 * 5 + 5)
    )
    maps = network.features(torch.zeros(2, 1, 16, 16))
    assert [tuple(each.shape) for each in maps] == [
        (2, filters, 1, length) for filters, length in zip((16, 32, 64), lengths, strict=True)
    ]


def test_a_convolution_along_time_is_what_the_paper_draws() -> None:
    """Against sums over the steps that a filter sees, zeros beyond both ends."""
    network = make(read="pixels", size=4, width=2).double()
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    conv, series = network.body[0], x.flatten().detach().numpy()
    padded = np.concatenate([np.zeros(2), series, np.zeros(2)])
    weights, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
    by_hand = [
        [(weights[f, 0] * padded[t : t + 5]).sum() + bias[f] for t in range(16)] for f in range(2)
    ]
    np.testing.assert_allclose(conv(network.read(x)).detach().numpy()[0], by_hand, atol=1e-12)


@pytest.mark.parametrize("pool", ["max", "average"])
def test_a_form_is_found_wherever_it_comes(pool: str) -> None:
    """A bump far from both ends gives the same answer 8 steps later: one step after 3 poolings."""
    network = make(read="pixels", pool=pool).eval()

    def bump(start: int) -> Tensor:
        series = torch.zeros(256)
        series[start : start + 12] = torch.hann_window(12)
        return series.view(1, 1, 16, 16)

    with torch.no_grad():
        torch.testing.assert_close(network(bump(96)), network(bump(104)), rtol=1e-5, atol=1e-6)
        dense = create_network("mlp", outputs=5, channels=1, image_size=16).eval()
        assert (dense(bump(96)) - dense(bump(104))).abs().max() > 0.01


def test_pools_differ_as_their_names_say() -> None:
    maps = torch.randn(2, 64, 1, 7, generator=torch.Generator().manual_seed(0))
    largest, mean = make(pool="max"), make(pool="average")
    assert largest.pool(maps.flatten(2))[..., 0].equal(maps.amax((2, 3)))
    torch.testing.assert_close(mean.pool(maps.flatten(2))[..., 0], maps.mean((2, 3)))


@pytest.mark.parametrize(("read", "least"), [("rows", 8), ("pixels", 3)])
def test_the_least_size_of_each_way_to_read(read: str, least: int) -> None:
    network = make(size=least, read=read, channels=3)
    assert network(torch.zeros(2, 3, least, least)).shape == (2, 5)
    with pytest.raises(
        ShapeError, match=rf"network `conv1d` needs pictures of at least {least}×{least} pixels"
    ):
        make(size=least - 1, read=read)


def test_options_out_of_range() -> None:
    with pytest.raises(OptionError, match=r"`kernel` is 4, expected an odd number, such as 5\."):
        make(kernel=4)
    with pytest.raises(OptionError, match=r"`width` is 0, expected 1 <= .*; `kernel` is -1, exp"):
        make(width=0, kernel=-1)
    with pytest.raises(OptionError, match=r"network `conv1d`.*read"):
        make(read="columns")


@pytest.mark.parametrize("reader", [ReadRows(), ReadPixels()])
def test_gradients_of_the_readers(reader: nn.Module) -> None:
    """Each value of the picture stands once in the sequence, and its gradient comes back there."""
    images = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(reader, (images,))
    made = reader(images)
    (made * made.detach()).sum().backward()
    assert images.grad is not None
    assert images.grad.equal(images.detach())


@pytest.mark.parametrize("read", ["rows", "pixels"])
def test_gradients_of_the_whole(read: str) -> None:
    check_gradients(make(size=8, read=read, width=2), (2, 1, 8, 8))


def test_it_learns_signals_that_a_dense_network_does_not() -> None:
    """A tenth of the work of `nunbit train signals`: the order of the two is plain already."""
    table = open_named("signals")
    pixels = np.stack([table.store.read(int(i)) for i in table.ids]).astype(np.float32)
    images = torch.from_numpy((pixels - 127.5) / 64).unsqueeze(1)
    labels, train = torch.from_numpy(table.labels), torch.from_numpy(table.split == "train")

    def accuracy(name: str, **options: Any) -> float:
        network = create_network(
            name, outputs=5, channels=1, image_size=16, options=options or None
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=0.004)
        there, known = images[train], labels[train]
        order = torch.Generator().manual_seed(0)
        for _ in range(6):
            for rows in torch.randperm(len(there), generator=order).split(25):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(there[rows]), known[rows]).backward()
                optimizer.step()
        with torch.no_grad():
            right = network.eval()(images[~train]).argmax(dim=1) == labels[~train]
        return float(right.float().mean())

    along_time, dense = accuracy("conv1d", read="pixels"), accuracy("mlp")
    assert along_time > 0.9
    assert dense < 0.7
