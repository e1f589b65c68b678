"""A run whose process was killed before its first checkpoint begins at its first step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import nunbit
from nunbit.errors import CheckpointError
from nunbit.runs import RunFolder

HOW: dict[str, Any] = {"epochs": 2, "ema": 0.9, "schedule": "constant"}


@pytest.fixture
def left(run: Any, tiny: nunbit.Pictures, tmp_path: Path) -> Path:
    """Return the folder of a run, with what is there before its first checkpoint."""
    whole, folder = tmp_path / "whole", tmp_path / "left"
    run(tiny, **HOW, out=whole)
    folder.mkdir()
    record = json.loads((whole / "options.json").read_text())
    record = {k: v for k, v in record.items() if k not in ("finished", "stop_reason")}
    (folder / "options.json").write_text(json.dumps(record))
    (folder / ".lock").write_text("1 here")
    (folder / ".split.csv-0a1b2c3d").write_text("path")
    return folder


@pytest.mark.parametrize("given", [True, False])
def test_it_ends_as_if_never_killed(
    tiny: nunbit.Pictures, tmp_path: Path, left: Path, given: bool
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    options = nunbit.TrainOptions(batch_size=24, lr=0.001, **HOW) if given else None
    nunbit.fit(model, tiny, resume=left, options=options, progress=False)
    whole = tmp_path / "whole"
    for name in ("model.safetensors", "split.csv"):
        assert (left / name).read_bytes() == (whole / name).read_bytes()
    (entry,) = json.loads((left / "options.json").read_text())["continued"]
    assert (entry["epoch"], entry["step"], entry["changed"]) == (0, 0, {})
    names = {p.name for p in (whole / "checkpoints").iterdir()}
    assert {p.name for p in (left / "checkpoints").iterdir()} == names


def test_other_options_are_refused_and_overridden(tiny: nunbit.Pictures, left: Path) -> None:
    other = nunbit.TrainOptions(batch_size=24, lr=0.5, **{**HOW, "epochs": 1})
    with pytest.raises(CheckpointError, match=r"other options: .*lr was 0.001, got 0.5"):
        nunbit.fit(
            nunbit.create_model_for(tiny, network="mlp"), tiny, resume=left, options=other,
            progress=False,
        )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"network was 'mlp', got 'cnn-mnist'"):
        nunbit.fit(
            nunbit.create_model_for(tiny, network="cnn-mnist"), tiny, resume=left, progress=False
        )
    history = nunbit.fit(
        nunbit.create_model_for(tiny, network="mlp"), tiny, resume=left, options=other,
        override=True, progress=False,
    )  # fmt: skip
    assert history["lr"] == [0.5]


def test_weights_that_are_nowhere_are_asked_for(tiny: nunbit.Pictures, left: Path) -> None:
    path = left / "options.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "weights": {"name": "other"}}))
    model = nunbit.create_model_for(tiny, network="mlp")
    with pytest.raises(CheckpointError, match="began with weights that this model was not made"):
        nunbit.fit(model, tiny, resume=left, progress=False)


@pytest.mark.parametrize("made", ["history.jsonl", "model.safetensors", "finished"])
def test_one_whose_checkpoints_were_taken_away_does_not_begin_anew(
    tiny: nunbit.Pictures, tmp_path: Path, left: Path, made: str
) -> None:
    """What it has learnt would be written over."""
    if made == "finished":
        shutil.copy(tmp_path / "whole/options.json", left)
    else:
        shutil.copy(tmp_path / "whole" / made, left)
    assert RunFolder(left).is_begun is (made != "finished")
    model = nunbit.create_model_for(tiny, network="mlp")
    with pytest.raises(CheckpointError, match="is missing, so there is nothing to continue from"):
        nunbit.fit(model, tiny, resume=left, progress=False)
