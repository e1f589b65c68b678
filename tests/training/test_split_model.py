"""One network on two devices: the run is the same as on one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nunbit
import nunbit.networks
from nunbit.errors import OptionError
from nunbit.networks import find_network
from nunbit.training.device import find_parts

TINY = {"width": 0.1, "dense": 16}


def train(out: Path, **how: Any) -> dict[str, torch.Tensor]:
    """Train a tiny AlexNet, with dropout, on a few pictures; returns its weights."""
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    pixels = rng.integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    pictures = nunbit.load((pixels, labels), options=nunbit.DataOptions(check="off"))
    model = nunbit.create_model_for(pictures, network="alexnet", network_options=TINY, seed=1)
    options = nunbit.TrainOptions(batch_size=8, epochs=2, device="cpu", **how)
    nunbit.fit(model, pictures, options=options, out=out, progress=False)
    return model.network.state_dict()


def test_a_run_in_two_parts_is_the_run_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []
    make = find_network("alexnet").make
    split = make.split_over  # type: ignore[attr-defined]  # a method of AlexNet

    def watch(network: object, devices: object) -> None:
        called.append(devices)
        split(network, devices)

    monkeypatch.setattr(make, "split_over", watch)
    one = train(tmp_path / "one")
    assert called == []
    two = train(tmp_path / "two", split_model=2)
    assert called == [(torch.device("cpu"), torch.device("cpu"))]
    assert all(one[key].equal(two[key]) for key in one)
    assert (
        "network in 2 parts" in json.loads((tmp_path / "two" / "options.json").read_text())["plan"]
    )


def test_a_network_that_is_one_part(tmp_path: Path) -> None:
    pictures = nunbit.load("digits")
    model = nunbit.create_model_for(pictures, network="mlp")
    with pytest.raises(OptionError, match=r"`mlp` is one part and cannot be split over 2 devices"):
        nunbit.fit(
            model,
            pictures,
            options=nunbit.TrainOptions(split_model=2, device="cpu"),
            progress=False,
        )
    model = nunbit.create_model("alexnet", classes=2, image_size=64, network_options=TINY)
    with pytest.raises(OptionError, match=r"`alexnet` has 2 parts .* 3 devices.*`--split-model 2`"):
        nunbit.networks.split_network(model.network, [torch.device("cpu")] * 3, name="alexnet")


def test_too_few_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_parts(torch.device("cuda"), 2) == [
        torch.device("cuda", 0),
        torch.device("cuda", 1),
    ]
    assert find_parts(torch.device("cuda"), 1) == [torch.device("cuda")]
    assert find_parts(torch.device("cpu"), 2) == [torch.device("cpu")] * 2
    with pytest.raises(
        OptionError,
        match=r"`--split-model 2` needs 2 `cuda` devices from number 1 on, this machine has 2",
    ):
        find_parts(torch.device("cuda:1"), 2)
