"""Many ranks train as one process does: sums of gradients, batch norm, parted weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.distributed.start import together
from tests.training.parallel_work import (
    CASES,
    Presses,
    bits,
    branches,
    fit_case,
    normed,
    normed_once,
    on_ranks,
    train,
)
from torch import Tensor, nn

import nunbit
from nunbit.errors import OptionError
from nunbit.training.sharding import find_stages
from nunbit.training.sync_norm import SyncedBatchNorm, put_back, synchronise

TOLERANCE = {"rtol": 2e-4, "atol": 2e-5}
"""Of float32 weights after 12 steps: sums are added in another order, and AdamW divides by them."""


def run_ranks(work: str, folder: Path, *, size: int, timeout_s: int = 120) -> list[dict[str, Any]]:
    """Return what a work gave on each rank."""
    ended = together(size, on_ranks, work, folder, timeout_s, wait_s=timeout_s + 5)
    assert [(each.error, each.status) for each in ended] == [(None, 0)] * size
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(size)]


@pytest.fixture(scope="module", autouse=True)
def alone(one_thread: None) -> None:
    """As each rank does."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, Any]]:
    return run_ranks("everything", folder, size=2)


def same_bits(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(v, two[k]) for k, v in one.items())


def assert_near(one: dict[str, Tensor], two: dict[str, Tensor], **how: float) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            value, two[name], **(how or TOLERANCE), msg=lambda m, n=name: f"{n}: {m}"
        )


def test_a_resumed_run_of_three_ranks_has_the_same_bits(tmp_path: Path) -> None:
    """With three, a sum of gradients depends on where in a message a gradient lies."""
    found = run_ranks("resumes", tmp_path, size=3)
    for name in found[0]:
        whole, resumed = found[0][name]
        assert same_bits(whole, resumed), name
        for other in found[1:]:
            assert same_bits(whole, other[name][0]), f"{name}: all ranks have the same network"


# --- Gradients -----------------------------------------------------------------------------


@pytest.mark.parametrize("bucket_bytes", [1, 40, 1 << 20])
def test_gradients_are_those_of_the_whole_batch(
    two: list[dict[str, Any]], bucket_bytes: int
) -> None:
    network, values = branches()
    (network(values[:4], left=True).sum() + network(values[4:], left=False).sum()).backward()
    expected = {name: p.grad for name, p in network.named_parameters()}
    for rank in two:
        found = rank["gradients"][bucket_bytes]
        assert [n for n, g in found.items() if g is None] == [
            n for n, g in expected.items() if g is None
        ], "what nobody uses, and what is frozen, has no gradient"
        for name, value in expected.items():
            if value is not None:
                torch.testing.assert_close(found[name], value, msg=name)


def test_buckets_are_cut_from_the_last_layer_to_the_first(two: list[dict[str, Any]]) -> None:
    for rank in two:
        assert rank["gradients"]["layout 1"] == [[1], [4], [1], [4], [1], [4], [4], [12]]
        assert rank["gradients"]["layout 40"] == [[1, 4, 1, 4], [1, 4, 4], [12]]
        assert rank["gradients"][f"layout {1 << 20}"] == [[1, 4, 1, 4, 1, 4, 4, 12]]


def test_a_part_that_is_not_the_last_stays_with_its_rank(two: list[dict[str, Any]]) -> None:
    assert [rank["gradients"]["alone 40"].item() for rank in two] == [4.0, 2.0]


def test_buffers_are_the_mean_over_ranks_and_constants_stay(two: list[dict[str, Any]]) -> None:
    for rank in two:
        assert rank["buffers"]["running_mean"].tolist() == [100.0, 100.0]
        assert rank["buffers"]["constant"].item() == torch.tensor(0.1).item()


# --- Batch norm over ranks -----------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 4])
@pytest.mark.parametrize("kind", ["pictures", "vectors"])
def test_synchronised_batch_norm_sees_the_whole_batch(
    two: list[dict[str, Any]], kind: str, cut: int
) -> None:
    """Outputs, running statistics, and gradients of weights and inputs; parts of unequal size."""
    expected = normed_once(*normed(kind))
    parts = [rank["norms"][kind, cut][0] for rank in two]
    for name, value in expected.items():
        if name in ("outputs", "inputs", "evaluated"):
            found = torch.cat([part[name] for part in parts])
        elif name.startswith("gradient"):
            found = sum(part[name] for part in parts)
        else:
            assert torch.equal(parts[0][name], parts[1][name])
            found = parts[0][name]
        torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-9, msg=lambda m, n=name: n + m)


def test_batch_norm_is_plain_again_afterwards(two: list[dict[str, Any]]) -> None:
    kinds = two[0]["norms"]["pictures", 1][1]
    assert kinds == ["Sequential", "Conv2d", "BatchNorm2d", "Tanh", "BatchNorm2d"]


class SetUp(nn.BatchNorm2d):
    """Computes as torch's own, as ``airbench`` has it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.4)


class Strange(nn.BatchNorm2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 1


def test_batch_norms_that_compute_as_torchs_are_synchronised() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), SetUp(3), nn.GroupNorm(1, 3))
    before = list(network.state_dict())
    changed = synchronise(network, None)
    assert list(changed) == [network[0], network[1]]
    assert type(network[1]) is SyncedBatchNorm
    assert list(network.state_dict()) == before
    evaluated = network.eval()(torch.ones(1, 3, 2, 2))
    put_back(changed)
    assert torch.equal(evaluated, network(torch.ones(1, 3, 2, 2)))
    assert [type(norm) for norm in network[:2]] == [nn.BatchNorm2d, SetUp]
    assert "process_group" not in vars(network[0])


def test_every_batch_norm_of_airbench_is_synchronised() -> None:
    network = nunbit.create_model("airbench", classes=3, channels=3, image_size=32).network
    kinds = [type(module) for module in network.modules()]
    changed = synchronise(network, None)
    assert len(changed) == 6
    assert not any(type(m).forward is nn.BatchNorm2d.forward for m in network.modules())
    put_back(changed)
    assert [type(module) for module in network.modules()] == kinds


def test_a_batch_norm_that_computes_otherwise_is_refused() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), Strange(3))
    with pytest.raises(OptionError, match=r"cannot make `Strange` see all ranks.* Leave the opti"):
        synchronise(network, None)
    assert [type(norm) for norm in network] == [nn.BatchNorm2d, Strange]


# --- Whole trainings -----------------------------------------------------------------------


@pytest.mark.parametrize("name", list(CASES))
def test_two_ranks_are_one_process_with_the_whole_batch(
    two: list[dict[str, Any]], name: str, tmp_path: Path
) -> None:
    expected, taken = fit_case(tmp_path / "alone", name)
    loose = {"rtol": 2e-2, "atol": 2e-3} if CASES[name].get("network") else TOLERANCE
    for rank in two:
        for way in ("ddp", "fsdp"):
            assert_near(rank["fits"][name, way][0], expected, **loose)
        assert same_bits(rank["fits"][name, "ddp"][0], two[0]["fits"][name, "ddp"][0])
        assert same_bits(rank["fits"][name, "fsdp"][0], two[0]["fits"][name, "fsdp"][0])
    for way in ("ddp", "fsdp"):
        assert_near(two[0]["fits"][name, way][1], taken, **loose)


def test_with_fsdp_a_rank_holds_half_of_the_weights(two: list[dict[str, Any]]) -> None:
    held = [rank["fits"]["plain", "held"] for rank in two]
    total = held[0]["all"]
    assert [each["plain"] for each in held] == [0, 0]
    assert sum(each["own"] for each in held) == total
    for each in held:
        assert each["own"] / total == pytest.approx(0.5, abs=0.05)


def test_a_run_goes_on_with_another_way_to_share_it(
    two: list[dict[str, Any]], folder: Path
) -> None:
    """Checkpoints hold whole weights, whoever wrote them."""
    expected = two[0]["fits"]["never interrupted"]
    assert same_bits(two[0]["fits"]["fsdp", "fsdp"], expected)
    assert_near(two[0]["fits"]["fsdp", "ddp"], expected)
    assert_near(two[0]["fits"]["ddp", "fsdp"], expected)
    resumed = train(folder / "fsdp-alone", resume=True, callbacks=(Presses(9, 9),), ema=0.9)
    assert_near(bits(resumed), expected)


def test_stages_are_layers_that_are_called_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.Sequential(*(nn.Linear(8, 8) for _ in range(20)))
            self.shared = nn.Linear(8, 8)
            self.loose = nn.Linear(8, 8)
            self.list = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))])

        def forward(self, x: Tensor) -> Tensor:
            x = self.shared(self.shared(x.mean((1, 2))))
            for block in self.blocks:
                x = block(x)
            x = self.list[0](x)
            return x @ self.loose.weight

    stages = find_stages(Twice(), (2, 3, 8, 8))
    assert stages == [*(f"blocks.{k}" for k in range(20)), "list.0"]
