"""Optimizers without torch's compiler compute what those with it compute."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from nunbit.training.lean_optimizers import lean, lean_adam, match_layout

KINDS = [
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (torch.optim.SGD, {}),
    (torch.optim.Adam, {}),
    (torch.optim.AdamW, {"fused": True}),
    (torch.optim.AdamW, {"foreach": True}),
]


def step(network: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    images = torch.randn(8, 6, generator=torch.Generator().manual_seed(number))
    optimizer.zero_grad(set_to_none=True)
    network(images).square().mean().backward()
    optimizer.step()


def groups(network: nn.Module) -> list[dict]:
    return [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in network.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_bits_are_those_of_the_optimizer_as_torch_makes_it(kind, options):
    first = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    second = copy.deepcopy(first)
    theirs = kind(groups(first), lr=0.1, **options)
    ours = lean(kind)(groups(second), lr=0.1, **options)
    for number in range(5):
        step(first, theirs, number)
        step(second, ours, number)
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_state_goes_over_to_the_optimizer_as_torch_makes_it_and_back(kind, options):
    first = nn.Linear(6, 5)
    ours = lean(kind)(groups(first), lr=0.1, **options)
    step(first, ours, 0)
    second = copy.deepcopy(first)
    theirs = kind(groups(second), lr=0.1, **options)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    step(first, ours, 1)
    step(second, theirs, 1)
    third = copy.deepcopy(second)
    back = lean(kind)(groups(third), lr=0.1, **options)
    back.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for network, optimizer in ((first, ours), (second, theirs), (third, back)):
        step(network, optimizer, 2)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.weight, third.weight)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_lean_adam_has_the_bits_of_torchs_fused_one(kind):
    first = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 2))
    first = first.to(memory_format=torch.channels_last)
    second = copy.deepcopy(first)
    theirs = kind(groups(first), lr=0.1, fused=True)
    ours = lean_adam(kind, second.parameters())(groups(second), lr=0.1, fused=True)
    for number in range(6):
        images = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(number))
        for network, optimizer in ((first, theirs), (second, ours)):
            optimizer.zero_grad()
            network(images).square().mean().backward()
            if number in (0, 3):  # a weight without a gradient stays as it is
                network[2].bias.grad = None
            optimizer.step()
        for each in second.parameters():  # a layout that the kernel would mix up
            each.grad = None if each.grad is None else each.grad.contiguous()
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    theirs_state, ours_state = theirs.state_dict()["state"], ours.state_dict()["state"]
    assert theirs_state.keys() == ours_state.keys()
    for place, state in theirs_state.items():
        for name, value in state.items():
            assert torch.equal(value, ours_state[place][name]), (place, name)


def test_lean_adam_takes_gradients_whose_layout_another_has_changed():
    weight = nn.Parameter(torch.randn(3, 4, 2, 2).to(memory_format=torch.channels_last))
    other = nn.Parameter(weight.detach().clone(memory_format=torch.preserve_format))
    ours = lean_adam(torch.optim.Adam, [weight])([weight], lr=0.1, fused=True)
    ours.register_step_pre_hook(lambda optimizer, *_: match_layout(optimizer))
    theirs = torch.optim.Adam([other], lr=0.1, foreach=True)
    for number in range(3):
        gradient = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(number))
        weight.grad, other.grad = gradient.contiguous(), gradient.contiguous()
        ours.step()
        theirs.step()
    torch.testing.assert_close(weight, other)


def test_lean_adam_calls_hooks_and_leaves_rare_kinds_to_torch():
    for rare in ({"maximize": True}, {"amsgrad": True}, {}):
        weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        other = nn.Parameter(weight.detach().clone())
        ours = lean_adam(torch.optim.Adam, [weight])([weight], lr=0.1, fused=True, **rare)
        theirs = torch.optim.Adam([other], lr=0.1, fused=True, **rare)
        called = []
        ours.register_step_pre_hook(lambda *_, called=called: called.append("before"))
        ours.register_step_post_hook(lambda *_, called=called: called.append("after"))
        for number in range(4):
            gradient = torch.tensor([1.0, -2.0]) * (number - 1.5)
            weight.grad, other.grad = gradient.clone(), gradient.clone()
            ours.step()
            theirs.step()
        assert torch.equal(weight, other), rare
        assert called == ["before", "after"] * 4


def test_lean_adam_leaves_other_numbers_to_torch():
    weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
    kind = lean_adam(torch.optim.Adam, [weight])
    optimizer = kind([weight], lr=0.5, fused=True)
    for _ in range(2):
        weight.grad = torch.ones(3, dtype=torch.float64)
        optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.zeros(3, dtype=torch.float64))


def test_gradients_can_be_set_to_zero_instead_of_none():
    weight = nn.Parameter(torch.ones(3))
    optimizer = lean(torch.optim.SGD)([weight], lr=0.1)
    weight.grad = torch.ones(3)
    optimizer.zero_grad(set_to_none=False)
    assert weight.grad.tolist() == [0, 0, 0]
    optimizer.zero_grad()
    assert weight.grad is None


def test_hooks_of_a_step_are_called():
    network = nn.Linear(6, 5)
    optimizer = lean(torch.optim.SGD)(network.parameters(), lr=0.1)
    called = []
    optimizer.register_step_post_hook(lambda *_: called.append(1))
    step(network, optimizer, 0)
    assert called == [1]


def test_closures_still_get_their_gradients():
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = lean(torch.optim.SGD)([weight], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss.detach()

    assert float(optimizer.step(closure)) == 4.0
    assert float(weight.detach()) == 1.0


TRAINS = """
import sys, torch
from nunbit.training.lean_optimizers import lean
kind = getattr(torch.optim, sys.argv[1])
kind = lean(kind) if sys.argv[2] == "lean" else kind
layer = torch.nn.Linear(3, 2)
optimizer = kind(layer.parameters(), lr=0.1)
for _ in range(2):
    optimizer.zero_grad(set_to_none=True)
    layer(torch.ones(4, 3)).sum().backward()
    optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def loads_compiler(kind: str, way: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", TRAINS, kind, way], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_no_compiler_is_loaded(kind):
    assert loads_compiler(kind, "lean") == "False"


@pytest.mark.slow
def test_torch_still_loads_its_compiler_by_itself():
    # Where this fails, torch has mended it: `lean` can go.
    assert loads_compiler("SGD", "plain") == "True"
