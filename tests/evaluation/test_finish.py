"""What follows training: scores in three places that agree, and the report."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nunbit
from nunbit import storage
from nunbit.errors import StorageError
from nunbit.evaluation import finish as finish_module
from nunbit.evaluation.finish import describe_facts, finish
from nunbit.report import ReportData


@pytest.fixture
def trained(
    pictures: nunbit.Pictures, tmp_path: Path
) -> tuple[nunbit.Model, nunbit.Pictures, nunbit.History]:
    model = nunbit.create_model_for(pictures, network="mlp")
    options = nunbit.TrainOptions(epochs=2, batch_size=16)
    history = nunbit.fit(model, pictures, options=options, out=tmp_path / "run", progress=False)
    return model, pictures, history


def test_scores_agree_wherever_they_are_kept(trained: Any) -> None:
    model, pictures, history = trained
    result = finish(model, pictures, history)
    flat = result.to_dict()
    kept = json.loads((history.run / "scores.json").read_text())
    facts = nunbit.Model.load(history.run).facts
    for split in ("test", "validation"):
        found = nunbit.evaluate(model, getattr(pictures, split)).to_dict()
        assert kept[split] == json.loads(json.dumps(found))
        assert facts["scores"][split] == {k: v for k, v in found.items() if k != "per_class"}
        for end in ("", "_low", "_high"):
            assert flat[f"{split}_accuracy{end}"] == found[f"accuracy{end}"]
    assert facts["trained_on"] == {"source": pictures.source, "images": len(pictures.train)}
    assert (history.run / "report.html").read_text().count("</html>") == 1


def test_the_result_is_what_the_contract_promises(trained: Any) -> None:
    model, pictures, history = trained
    flat = finish(model, pictures, history).to_dict()
    assert json.loads(json.dumps(flat)) == flat
    assert flat["run"] == str(history.run)
    assert flat["network"] == "mlp"
    assert flat["classes"] == ["a", "b", "c"]
    assert flat["epochs"] == 2
    assert flat["seconds"] == history.seconds > 0
    assert flat["train_images"] == len(pictures.train)
    assert flat["parameters"] == model.parameters
    assert flat["images_per_second"] == history.images_per_second > 0
    assert flat["stop_reason"] is None
    assert Path(flat["model"]).is_file()
    assert Path(flat["report"]).is_file()
    assert flat["unreadable"] == []


def test_without_test_or_validation_there_is_null(
    pictures: nunbit.Pictures, tmp_path: Path
) -> None:
    alone = nunbit.load(Path(pictures.origin) / "train", validation=0.0)
    model = nunbit.create_model_for(alone, network="mlp")
    history = nunbit.fit(model, alone, epochs=1, out=tmp_path / "run", progress=False)
    flat = finish(model, alone, history).to_dict()
    assert (flat["test_accuracy"], flat["validation_accuracy"]) == (None, None)
    assert json.loads((tmp_path / "run/scores.json").read_text()) == {}
    assert (tmp_path / "run/report.html").is_file()


def test_the_report_gets_the_pictures_that_were_misread(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pictures, history = trained
    seen: list[ReportData] = []

    def keep(data: ReportData, path: Path) -> Path:
        seen.append(data)
        return path

    monkeypatch.setattr("nunbit.report.write_report", keep)
    finish(model, pictures, history, command="nunbit train somewhere")
    data = seen[0]
    mistakes = nunbit.evaluate(model, pictures.test).mistakes[: finish_module.MISREAD_SHOWN]
    assert data.misread_split == "test"
    assert [m.name for m in data.misread] == [pictures.test.names[m.position] for m in mistakes]
    for shown in data.misread:
        pixels = pictures.test.take(slice(None))[pictures.test.names.index(shown.name)]
        assert np.array_equal(shown.pixels, pixels)
        assert shown.expected == Path(shown.name).parent.name != shown.received
    assert data.command == "nunbit train somewhere"
    assert data.options == {**pictures.options.to_dict(), **history.options.to_dict()}
    assert [epoch["val_loss"] for epoch in data.history] == history["val_loss"]


def test_facts_are_for_people(trained: Any) -> None:
    model, pictures, history = trained
    facts = describe_facts(model, pictures, history)
    assert facts["Pictures"] == "54 to train, 6 to validate, 73 to test"
    assert facts["Seen as"] == "8×8 grey, fit: squash"
    assert facts["Network"] == f"mlp, {model.parameters:,} parameters"
    assert facts["Training"].startswith("2 epochs in ")
    assert facts["Computed on"] == history.plan


def test_a_disk_that_is_full_at_the_end_keeps_the_model(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pictures, history = trained
    before = (history.run / "model.safetensors").read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(StorageError, match=r"disk full: `.*model.safetensors`"):
        finish(model, pictures, history)
    assert (history.run / "model.safetensors").read_bytes() == before


def test_scores_of_earlier_weights_do_not_outlive_them(trained: Any, tmp_path: Path) -> None:
    model, pictures, history = trained
    finish(model, pictures, history)
    assert "scores" in nunbit.Model.load(history.run).facts
    later = nunbit.fit(model, pictures, epochs=1, out=tmp_path / "later", progress=False)
    assert "scores" not in nunbit.Model.load(later.run).facts
