"""Small pictures to train on, and a run folder read so that two can be compared bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import nunbit
from nunbit.storage import load_tensors

CLOCKS = {"seconds", "total_seconds", "images_per_second", "started", "finished", "continued"}
"""What may differ between runs that are otherwise the same: times, and when it was resumed."""

Contents = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def alone(one_thread: None) -> None:
    """Every test here computes in one thread."""


def _draw(root: Path, *, channels: int, size: int = 8) -> Path:
    rng = np.random.default_rng(11)
    for k, name in enumerate("abc"):
        (root / name).mkdir(parents=True)
        for number in range(24):
            picture = rng.integers(0, 120, (size, size, channels), dtype=np.uint8)
            picture[2 * k : 2 * k + 2] += 100
            cv2.imwrite(str(root / name / f"{number:03d}.png"), picture.squeeze())
    return root


@pytest.fixture(scope="session")
def grey(tmp_path_factory: pytest.TempPathFactory) -> nunbit.Pictures:
    """58 grey pictures to train on (8×8, three classes), 14 to validate with."""
    return nunbit.load(_draw(tmp_path_factory.mktemp("grey"), channels=1), validation=0.2)


@pytest.fixture(scope="session")
def colour(tmp_path_factory: pytest.TempPathFactory) -> nunbit.Pictures:
    """The same in colour."""
    return nunbit.load(_draw(tmp_path_factory.mktemp("colour"), channels=3), validation=0.2)


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_clocks(v) for k, v in value.items() if k not in CLOCKS}
    return [_without_clocks(v) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def contents() -> Contents:
    """Return what a run folder holds, apart from clocks; tensors as bytes.

    Checkpoints before the last are left out: which they are depends on when it was cut.
    """

    def read(run: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in sorted(p for p in run.rglob("*") if p.is_file()):
            if path.name.startswith("epoch-"):
                continue
            name = str(path.relative_to(run))
            if path.suffix == ".safetensors":
                kind = "checkpoint" if path.name == "last.safetensors" else "model"
                tensors, header = load_tensors(path, kind=kind)  # type: ignore[arg-type]
                found[name] = _without_clocks(header)
                found |= {f"{name}:{k}": v.numpy().tobytes() for k, v in tensors.items()}
            elif path.suffix in (".json", ".jsonl"):
                lines = (
                    path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
                )
                found[name] = [_without_clocks(json.loads(line)) for line in lines]
            else:
                found[name] = path.read_bytes()
        return found

    return read
