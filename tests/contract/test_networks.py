"""What every registered network must do. A new network is tested by being registered."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nunbit.errors import OptionError, ShapeError
from nunbit.networks import (
    count_parameters,
    create_network,
    find_network,
    layer_table,
    network_names,
)

NAMES = network_names()
SIZES = (28, 32, 64, 128)
LEAST = {"auto": 4, "mlp": 1, "cnn-mnist": 6, "cnn-cats-dogs": 16}
"""The smallest picture each network takes, in pixels."""
SMALL: dict[str, dict[str, Any]] = {"auto": {"width": 8}, "mlp": {"width": 32}}
"""Options that make a tiny version."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny networks are quicker in one thread where others share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pictures(count: int, channels: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def weights(network: nn.Module) -> list[Tensor]:
    return [each.detach().clone() for each in network.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(a.equal(b) for a, b in zip(one, other, strict=True))


def make(name: str, *, size: int | None = None, seed: int = 0, outputs: int = 3) -> nn.Module:
    info = find_network(name)
    return create_network(
        name,
        outputs=outputs,
        channels=info.channels,
        image_size=size or info.image_size,
        seed=seed,
    )


def test_every_network_says_its_smallest_picture_here() -> None:
    assert set(LEAST) == set(NAMES)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_forward_is_finite_and_different_pictures_differ(
    name: str, size: int, channels: int
) -> None:
    network = create_network(name, outputs=5, channels=channels, image_size=size).eval()
    with torch.no_grad():
        logits = network(pictures(2, channels, size))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])
    assert logits.abs().max() < 50, "fresh weights give moderate logits"


@pytest.mark.parametrize("size", [None, 32])
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name: str, size: int | None) -> None:
    network = make(name, size=size)
    info = find_network(name)
    batch = pictures(4, info.channels, size or info.image_size)
    with torch.no_grad():
        for parameter in network.parameters():  # some gains start at 0 on purpose
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    torch.manual_seed(0)
    loss = network(batch).logsumexp(dim=1).sum() - network(batch)[:, 0].sum()
    loss.backward()
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.abs().max() > 0, path


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_the_weights(name: str) -> None:
    size = max(LEAST[name], 16)
    torch.manual_seed(1)
    first = weights(make(name, size=size))
    torch.manual_seed(2)
    assert same(weights(make(name, size=size)), first)
    assert not same(weights(make(name, size=size, seed=1)), first)


@pytest.mark.parametrize("name", NAMES)
def test_making_a_network_leaves_global_randomness_alone(name: str) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    make(name, size=max(LEAST[name], 16))
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x.contiguous(memory_format=torch.channels_last), id="channels_last"),
        pytest.param(lambda x: x.double(), id="float64"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_memory_format_and_precision_change_the_speed_and_not_the_answer(
    name: str, change: Callable[[Tensor], Tensor]
) -> None:
    network = make(name, size=32).eval()
    batch = pictures(3, find_network(name).channels, 32)
    other = copy.deepcopy(network)
    other = other.double() if change(batch).dtype == torch.float64 else other
    other = other.to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(
            other(change(batch)).float(), network(batch), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", NAMES)
def test_one_picture_does_not_see_its_neighbours(name: str) -> None:
    """Outside training, a picture's answer does not depend on its batch."""
    network = make(name, size=32).eval()
    batch = pictures(4, find_network(name).channels, 32)
    with torch.no_grad():
        alone = torch.cat([network(batch[k : k + 1]) for k in range(4)])
        torch.testing.assert_close(network(batch), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [None, 33])
@pytest.mark.parametrize("name", NAMES)
def test_the_layer_table_is_what_a_real_pass_shows(name: str, size: int | None) -> None:
    network, info = make(name, size=size).eval(), find_network(name)
    side = size or info.image_size
    table = layer_table(network, channels=info.channels, image_size=side)
    seen: list[tuple[str, tuple[int, ...]]] = []
    for path, module in network.named_modules():
        if not list(module.children()) and not isinstance(module, nn.Identity):
            module.register_forward_hook(
                lambda _, inputs, output, path=path: seen.append((path, tuple(output.shape[1:])))
            )
    with torch.no_grad():
        network(pictures(1, info.channels, side))
    assert [(row.name, row.output) for row in table] == seen
    assert sum(row.parameters for row in table) == count_parameters(network)
    assert all(each.device.type == "cpu" for each in network.parameters()), "left as it was"


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_are_those_of_a_slow_count(name: str) -> None:
    """Counted by the sizes of real weights and outputs, one layer at a time."""
    network, info = make(name, size=36).eval(), find_network(name)
    expected: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.weight
        assert isinstance(weight, Tensor)
        expected.append(int(weight[0].numel() * output[0].numel()))

    table = layer_table(network, channels=info.channels, image_size=36)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(pictures(1, info.channels, 36))
    assert [row.multiply_adds for row in table if row.multiply_adds] == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_picture_and_one_that_is_too_small(name: str) -> None:
    least = LEAST[name]
    network = make(name, size=least).eval()
    with torch.no_grad():
        assert network(pictures(2, find_network(name).channels, least)).isfinite().all()
    with pytest.raises(
        ShapeError,
        match=rf"network `{name}` needs pictures of at least {least}×{least} pixels, got "
        rf"{least - 1}×{least - 1}. Pass `--image-size {least}` or larger",
    ):
        create_network(name, outputs=3, channels=1, image_size=least - 1)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_options_are_refused_and_known_ones_taken(name: str) -> None:
    info = find_network(name)
    assert info.options, "each has something to set"
    for option in info.options:
        with pytest.raises(
            OptionError,
            match=rf"network `{name}` has no option `{option}x`.* Did you mean `{option}`",
        ):
            create_network(name, outputs=2, channels=1, image_size=32, options={f"{option}x": 1})
        assert option != "image_size"
    create_network(name, outputs=2, channels=1, image_size=32, options=dict(info.options))


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_are_there(name: str) -> None:
    info = find_network(name)
    assert info.name == name
    assert info.title
    assert info.source
    assert info.channels in (1, 3)
    assert info.image_size >= LEAST[name]
    assert 1e-4 <= info.lr <= 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_tiny_version_learns_32_pictures_by_heart(name: str) -> None:
    size = max(LEAST[name], 12)
    network = create_network(
        name, outputs=4, channels=1, image_size=size, options=SMALL.get(name), seed=1
    )
    batch, labels = pictures(32, 1, size), torch.arange(32) % 4
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    torch.manual_seed(0)
    for _ in range(120):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), labels).backward()
        optimizer.step()
    with torch.no_grad():
        assert network.eval()(batch).argmax(dim=1).equal(labels)
