"""Batch norm cannot normalise one value: said before the first step, and only where it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nunbit
from nunbit.errors import OptionError


def train(network: str, out: Path, *, count: int = 12, size: int = 32, **how: Any) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, size, size), dtype=np.uint8)
    quiet = nunbit.DataOptions(check="off", validation=0.0)
    pictures = nunbit.load((pixels, np.arange(count) % 2), options=quiet)
    model = nunbit.create_model_for(pictures, network=network, network_options={"width": 4})
    options = nunbit.TrainOptions(epochs=1, device="cpu", **how)
    nunbit.fit(model, pictures, options=options, out=out, progress=False)


@pytest.mark.parametrize(
    "how",
    [{"batch_size": 1}, {"batch_size": 6, "accumulate": 6}, {"batch_size": 6, "accumulate": 4}],
)
def test_single_pictures_are_refused_where_the_last_map_is_one_cell(
    how: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(
        OptionError,
        match=r"`resnet-18` normalises over the batch, and its last maps are one cell: it cannot "
        r"be trained on 1 picture at a time .*`--batch-size 2` or more, a smaller `--accumulate`",
    ):
        train("resnet-18", tmp_path / "run", **how)
    assert not (tmp_path / "run").exists()


def test_a_last_batch_of_one_is_seen(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"1 picture at a time \(batches of 1, in 1 parts\)"):
        train("resnet-18", tmp_path / "run", count=3, batch_size=2)


@pytest.mark.parametrize(
    ("network", "how"),
    [
        ("resnet-18", {"batch_size": 4, "accumulate": 2}),
        ("resnet-18", {"batch_size": 1, "size": 64}),  # the last map has 2×2 cells
        ("mlp", {"batch_size": 1}),
    ],
)
def test_what_can_be_trained_is_not_refused(
    network: str, how: dict[str, Any], tmp_path: Path
) -> None:
    train(network, tmp_path / "run", **how)
    assert (tmp_path / "run" / "model.safetensors").exists()
