"""What every registered network must do. A new network is tested by being registered."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nunbit.errors import OptionError, ShapeError
from nunbit.networks import (
    WithAuxiliary,
    count_parameters,
    create_network,
    find_network,
    layer_table,
    network_heads,
    network_names,
    replace_head,
    split_auxiliary,
)
from nunbit.networks._options import option_fields
from nunbit.options import FieldInfo

NAMES = network_names()
FIRST = {find_network(name).make: name for name in reversed(NAMES)}
"""One name of each family: the first."""


def every(names: Iterable[str] = NAMES) -> list[Any]:
    """Return names as parameters: one of each family always, the others among the slow tests."""
    quick = set(FIRST.values())
    return [n if n in quick else pytest.param(n, marks=pytest.mark.slow) for n in names]


VGGS = [name for name in NAMES if name.startswith("vgg-")]
RESNETS = [name for name in NAMES if name.startswith("resnet-")]
PLAIN = [name for name in NAMES if name.startswith("plain-")]
LEAST = {
    **{"auto": 4, "mlp": 1, "cnn-mnist": 6, "cnn-cats-dogs": 16, "conv1d": 8},
    **{"lenet-5": 12, "lenet-5-modern": 12, "alexnet": 64, "alexnet-owt": 63},
    **{"googlenet": 31, "googlenet-bn": 15},
    **{"cnn-quick": 10, "airbench": 9, "airbench-photo": 18},
    **dict.fromkeys(VGGS, 32),
    **dict.fromkeys([*RESNETS, *PLAIN], 1),
}
"""The smallest picture each network takes, in pixels."""
SMALL: dict[str, dict[str, Any]] = {
    "auto": {"width": 8},
    "mlp": {"width": 32},
    "conv1d": {"width": 8},
    "cnn-quick": {"width": 8},
    **{name: {"width": 16, "middle": 16, "wide": 16} for name in ("airbench", "airbench-photo")},
    **{name: {"width": 4, "dense": 64} for name in VGGS},
    **{name: {"width": 0.125, "dense": 64} for name in ("alexnet", "alexnet-owt")},
    **{name: {"width": 0.125} for name in ("googlenet", "googlenet-bn")},
    **{name: {"width": 8} for name in RESNETS},
    **{name: {"width": 32} for name in PLAIN},
}
"""Options that make a tiny version."""
UNTEACHABLE = ("plain-34",)
"""Too deep to learn 32 pictures in 120 steps without shortcuts: the paper's point."""


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


def tiny_size(name: str, least: int = 32) -> int:
    """Return a side that is quick, and enough for this network."""
    return max(LEAST[name], least)


def make(
    name: str,
    *,
    size: int | None = None,
    seed: int = 0,
    outputs: int = 3,
    channels: int | None = None,
) -> nn.Module:
    """Make the tiny version of a network."""
    return create_network(
        name,
        outputs=outputs,
        channels=channels or find_network(name).channels,
        image_size=size or tiny_size(name),
        seed=seed,
        options=SMALL.get(name),
    )


def main_outputs(made: Tensor | WithAuxiliary) -> Tensor:
    return split_auxiliary(made)[0]


def total(made: Tensor | WithAuxiliary) -> Tensor:
    """Return all outputs in one sum, the auxiliary ones too."""
    first, others = split_auxiliary(made)
    return first + sum(weight * each for weight, each in others)


def test_every_network_says_its_smallest_picture_here() -> None:
    assert set(LEAST) == set(NAMES)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("more", [0, 1, 40])
@pytest.mark.parametrize("name", every())
def test_forward_is_finite_and_different_pictures_differ(
    name: str, more: int, channels: int
) -> None:
    size = tiny_size(name, 28) + more
    network = make(name, size=size, channels=channels, outputs=5).eval()
    with torch.no_grad():
        logits = network(pictures(2, channels, size))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])
    assert logits.abs().max() < 50, "fresh weights give moderate logits"


@pytest.mark.parametrize("name", every())
def test_stages_lead_to_the_answer(name: str) -> None:
    size, channels = tiny_size(name), find_network(name).channels
    network, batch = make(name).eval(), pictures(2, channels, size)
    with torch.no_grad():
        maps = network.features(batch)
        assert network.classify(maps[-1]).equal(network(batch))
    assert all(each.ndim == 4 and len(each) == 2 for each in maps)
    areas = [each.shape[2] * each.shape[3] for each in maps]
    assert areas == sorted(areas, reverse=True), "the largest first"


@pytest.mark.parametrize("name", every())
def test_the_head_can_be_replaced(name: str) -> None:
    size, channels = tiny_size(name), find_network(name).channels
    network, batch = make(name), pictures(3, channels, size)
    assert network_heads(network)[0] == "head"
    assert isinstance(network.head, nn.Linear)
    assert network.head.out_features == 3
    body = {k: v.clone() for k, v in network.state_dict().items() if "head" not in k}
    replace_head(network, 7)
    after = network.state_dict()
    assert all(after[key].equal(value) for key, value in body.items())
    assert network.eval()(batch).shape == (3, 7)
    first, others = split_auxiliary(network.train()(batch))
    assert {each.shape for each in (first, *(made for _, made in others))} == {(3, 7)}


@pytest.mark.parametrize("name", every())
def test_every_parameter_gets_a_gradient(name: str) -> None:
    network, size = make(name), tiny_size(name)
    batch = pictures(6, find_network(name).channels, size)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():  # some gains start at 0 on purpose
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    got = dict.fromkeys(dict(network.named_parameters()), 0.0)
    for _ in range(3):  # dropout hides some of them once
        made = total(network(batch))
        network.zero_grad()
        (made.logsumexp(dim=1).sum() - made[:, 0].sum()).backward()
        for path, parameter in network.named_parameters():
            if not parameter.requires_grad:  # worked out from pictures, or fixed by its paper
                got[path] = 1.0
                continue
            assert parameter.grad is not None, path
            assert parameter.grad.isfinite().all(), path
            got[path] = max(got[path], float(parameter.grad.abs().max()))
    assert [path for path, largest in got.items() if largest == 0] == []


@pytest.mark.parametrize("name", every())
def test_the_seed_alone_decides_the_weights(name: str) -> None:
    torch.manual_seed(1)
    first = weights(make(name))
    before = torch.manual_seed(2).get_state()
    assert same(weights(make(name)), first)
    assert torch.get_rng_state().equal(before), "global randomness stays as it was"
    assert not same(weights(make(name, seed=1)), first)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: x.contiguous(memory_format=torch.channels_last), id="channels_last"),
        pytest.param(lambda x: x.double(), id="float64"),
    ],
)
@pytest.mark.parametrize("name", every())
def test_memory_format_and_precision_change_the_speed_and_not_the_answer(
    name: str, change: Callable[[Tensor], Tensor]
) -> None:
    network, size = make(name).eval(), tiny_size(name)
    batch = pictures(3, find_network(name).channels, size)
    other = copy.deepcopy(network)
    other = other.double() if change(batch).dtype == torch.float64 else other
    other = other.to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(
            other(change(batch)).float(), network(batch), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("name", every())
def test_bfloat16_gives_nearly_the_same_answer_and_gradient(name: str) -> None:
    network, size = make(name).eval(), tiny_size(name)
    batch = pictures(4, find_network(name).channels, size)

    def pass_through(context: AbstractContextManager[object]) -> tuple[Tensor, Tensor]:
        network.zero_grad()
        with context:
            outputs = network(batch)
        outputs.float().square().sum().backward()
        grads = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        return outputs.detach().float(), torch.cat(grads)

    exact, slope = pass_through(contextlib.nullcontext())
    rough, other = pass_through(torch.autocast("cpu", torch.bfloat16))
    assert rough.isfinite().all()
    spread = float(exact.abs().max())
    assert float((rough - exact).abs().max()) < 0.06 * spread
    assert float(nn.functional.cosine_similarity(slope, other, dim=0)) > 0.97


@pytest.mark.parametrize("name", every())
def test_one_picture_does_not_see_its_neighbours(name: str) -> None:
    """Outside training, a picture's answer does not depend on its batch."""
    network, size = make(name).eval(), tiny_size(name)
    batch = pictures(4, find_network(name).channels, size)
    with torch.no_grad():
        alone = torch.cat([network(batch[k : k + 1]) for k in range(4)])
        torch.testing.assert_close(network(batch), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", every())
def test_it_can_be_exported(name: str) -> None:
    network, size = make(name).eval(), tiny_size(name)
    batch = pictures(2, find_network(name).channels, size)
    with torch.no_grad():
        made = torch.export.export(network, (batch,)).module()
        torch.testing.assert_close(made(batch), network(batch), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("name", every())
def test_the_layer_table_is_what_a_real_pass_shows(name: str, more: int) -> None:
    channels, side = find_network(name).channels, tiny_size(name) + more
    network = make(name, size=side).eval()
    table = [row for row in layer_table(network, channels=channels, image_size=side) if row.output]
    seen: list[tuple[str, tuple[int, ...]]] = []
    for path, module in network.named_modules():
        if not list(module.children()) and not isinstance(module, nn.Identity):
            module.register_forward_hook(
                lambda _, inputs, output, path=path: seen.append((path, tuple(output.shape[1:])))
            )
    with torch.no_grad():
        network(pictures(1, channels, side))
    assert [(row.name, row.output) for row in table if not row.is_join] == seen
    assert all(each.device.type == "cpu" for each in network.parameters()), "left as it was"


@pytest.mark.parametrize("name", every())
def test_the_layer_table_forgets_no_parameter(name: str) -> None:
    channels, network = find_network(name).channels, make(name)
    table = layer_table(network, channels=channels, image_size=tiny_size(name))
    assert sum(row.parameters for row in table) == count_parameters(network)


@pytest.mark.parametrize("name", every())
def test_multiply_adds_are_those_of_a_slow_count(name: str) -> None:
    """Counted by the sizes of real weights and outputs, one layer at a time."""
    channels, side, network = find_network(name).channels, tiny_size(name), make(name).eval()
    expected: dict[str, int] = {}
    for path, module in network.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):

            def count(
                module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, path: str = path
            ) -> None:
                weight = module.weight
                assert isinstance(weight, Tensor)
                expected[path] = int(weight[0].numel() * output[0].numel())

            module.register_forward_hook(count)
    with torch.no_grad():
        network(pictures(1, channels, side))
    table = layer_table(network, channels=channels, image_size=side)
    found = {row.name: row.multiply_adds for row in table if row.multiply_adds}
    assert {path: found[path] for path in expected} == expected
    for path in set(found) - set(expected):
        assert hasattr(network.get_submodule(path), "multiply_adds"), "a layer of ours"


@pytest.mark.parametrize("name", every())
def test_the_smallest_picture_and_one_that_is_too_small(name: str) -> None:
    least = LEAST[name]
    network, batch = make(name, size=least), pictures(2, find_network(name).channels, least)
    assert main_outputs(network.train()(batch)).isfinite().all()
    with torch.no_grad():
        assert network.eval()(batch).isfinite().all()
    with pytest.raises(
        ShapeError,
        match=rf"network `{name}` needs pictures of at least {least}×{least} pixels, got "
        rf"{least - 1}×{least - 1}. Pass `--image-size {least}` or larger",
    ):
        create_network(name, outputs=3, channels=1, image_size=least - 1, options=SMALL.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_options_are_refused(name: str) -> None:
    info = find_network(name)
    assert info.options, "each has something to set"
    for option in info.options:
        with pytest.raises(
            OptionError,
            match=rf"network `{name}` has no option `{option}x`.* Did you mean `{option}`",
        ):
            create_network(name, outputs=2, channels=1, image_size=32, options={f"{option}x": 1})
        assert option != "image_size"


def outside(field: FieldInfo) -> list[Any]:
    """Return numbers that an option must refuse: past its ends, and no numbers at all."""
    low, high = field.option.low, field.option.high
    assert low is not None, f"`{field.name}` has no least value"
    assert high is not None, f"`{field.name}` has no largest value"
    values: list[Any] = [low - 1, high + 1, 10**400, -(10**400)]
    if field.option.open_low:
        values.append(low)
    if field.type is float:
        return [*values, -1e-9, math.nan, math.inf, -math.inf]
    return [int(value) for value in values]


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_range_and_every_option_a_text(name: str) -> None:
    info = find_network(name)
    fields = option_fields(info)
    assert set(fields) == set(info.options)
    for field in fields.values():
        assert field.option.help.endswith("."), f"`{field.name}` has no sentence"
        assert field.check(field.default) is None, "the default is one that it takes"
        if field.type not in (int, float):
            assert field.type is bool or field.choices
            continue
        for value in outside(field):
            with pytest.raises(
                OptionError, match=rf"network `{name}`: `{field.name}` is .*, expected .*[<>]"
            ):
                create_network(
                    name, outputs=2, channels=1, image_size=64, options={field.name: value}
                )


@pytest.mark.parametrize("name", every())
def test_the_ends_of_the_ranges_work(name: str) -> None:
    """The least value of each number, and the largest of shares, make a network that runs."""
    info = find_network(name)
    size = tiny_size(name)
    batch = pictures(3, info.channels, size)
    for field in option_fields(info).values():
        if field.type not in (int, float):
            continue
        low, high = field.option.low, field.option.high
        assert low is not None
        ends = [low + 1e-6 if field.option.open_low else low, *([1.0] if high == 1 else [])]
        for value in map(field.type, ends):
            options = {**SMALL.get(name, {}), field.name: value}
            network = create_network(
                name, outputs=2, channels=info.channels, image_size=size, options=options
            )
            outputs = main_outputs(network.train()(batch))
            assert outputs.isfinite().all(), f"{field.name}={value}"
            outputs.sum().backward()


@pytest.mark.parametrize("name", every())
def test_defaults_given_as_options_change_nothing(name: str) -> None:
    info, size = find_network(name), tiny_size(name)
    how: dict[str, Any] = {"outputs": 2, "channels": 1, "image_size": size}
    full = {**info.options, **SMALL.get(name, {})}
    made = create_network(name, **how, options=full)
    assert same(weights(made), weights(create_network(name, **how, options=SMALL.get(name))))


@pytest.mark.parametrize("name", NAMES)
def test_the_facts_are_there(name: str) -> None:
    info = find_network(name)
    assert info.name == name
    assert info.title
    assert info.source
    assert info.channels in (1, 3)
    assert info.image_size >= LEAST[name]
    assert 1e-4 <= info.lr <= 0.1
    assert info.year == 0 or 1980 < info.year < 2030
    assert all(find_network(alias) is info for alias in info.aliases)
    module = inspect.getmodule(info.make)
    assert module is not None
    assert len((module.__doc__ or "").splitlines()) > 5, "its page tells the story"


@pytest.mark.parametrize("name", every(n for n in NAMES if n not in UNTEACHABLE))
def test_a_tiny_version_learns_32_pictures_by_heart(name: str) -> None:
    size = tiny_size(name, 12)
    options = {**SMALL.get(name, {}), **{k: 0.0 for k in find_network(name).options if "drop" in k}}
    network = create_network(name, outputs=4, channels=1, image_size=size, options=options, seed=1)
    batch, labels = pictures(32, 1, size), torch.arange(32) % 4
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    torch.manual_seed(0)
    for _ in range(120):
        optimizer.zero_grad()
        nn.functional.cross_entropy(total(network(batch)), labels).backward()
        optimizer.step()
    with torch.no_grad():
        assert network.eval()(batch).argmax(dim=1).equal(labels)
