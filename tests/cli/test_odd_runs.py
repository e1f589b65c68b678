"""Runs under odd names, from other folders, from Python; files that are not to be replaced."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import nunbit
from nunbit.cli.main import run
from nunbit.errors import DataError

SHORT = ["--network", "mlp", "--epochs", "1", "--image-size", "8"]


@pytest.fixture(autouse=True)
def alone(one_thread: None) -> None:
    """Every test here computes in one thread."""


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of small pictures, in the folder that commands run in."""
    monkeypatch.chdir(tmp_path)
    return draw(tmp_path / "photos", ("left", "right"))


def draw(root: Path, classes: tuple[str, ...], count: int = 12) -> Path:
    rng = np.random.default_rng(1)
    for name in classes:
        (root / name).mkdir(parents=True)
        for k in range(count):
            picture = rng.integers(0, 256, (10, 10), dtype=np.uint8)
            data = cv2.imencode(".png", picture)[1].tobytes()
            (root / name / f"{k:02d}.png").write_bytes(data)
    return root


def json_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    data: dict[str, object] = json.loads(capsys.readouterr().out)
    return data


def test_a_source_whose_name_is_no_utf8(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = photos.rename(tmp_path / os.fsdecode(b"pets\xff"))
    assert run(["train", odd.name, *SHORT, "--out", "run"]) == 0
    assert Path("run/report.html").is_file()
    assert "pets\\udcff" in capsys.readouterr().err
    data = json_of(["evaluate", "run"], capsys)
    assert data["source"] == "pets\\udcff"
    assert data["count"] == 2
    assert run(["evaluate", "run", odd.name]) == 0


def test_line_ends_in_file_names(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted(photos.rglob("*.png")):
        path.rename(path.with_name(f"a\r{path.name}"))
    words = ["train", str(photos), *SHORT, "--validation", "0.5", "--out"]
    assert run([*words, "run"]) == 0
    data = json_of(["evaluate", "run"], capsys)
    assert data["count"] == 12
    assert run(["train", str(photos), *SHORT, "--split", "run", "--out", "again"]) == 0
    assert Path("again/split.csv").read_bytes() == Path("run/split.csv").read_bytes()
    assert run(["predict", "run", str(photos), "--csv", "out.csv"]) == 0
    with open("out.csv", newline="") as file:
        paths = {row["path"] for row in csv.DictReader(file)}
    assert paths == {str(path) for path in photos.rglob("*.png")}


def stopped(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, and stop before the report."""

    def press(*arguments: object, **others: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nunbit.evaluation.finish.evaluate", press)
        assert run(words) == 130


def test_a_run_goes_on_from_another_folder_with_the_options_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "base", ("a", "b", "zzz"))
    Path("leave.csv").write_text("path,reason\na/01.png,dark\n")
    words = ["--exclude", "leave.csv", "--skip-class", "zzz"]
    stopped(["train", "base", *words, *SHORT, "--out", "run"], monkeypatch)
    Path("elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    assert run(["train", "--resume", "../run", "--skip-class", "a"]) == 2
    assert "skip_class was ['zzz'], got ['a']" in capsys.readouterr().err
    assert run(["train", "--resume", "../run", "--exclude", "leave.csv"]) == 2
    assert "exclude was" in capsys.readouterr().err
    words = ["--exclude", "../leave.csv", "--skip-class", "zzz"]
    data = json_of(["train", "../base", "--resume", "../run", *words], capsys)
    assert data["classes"] == ["a", "b"]
    assert data["train_images"] == 21


def test_a_split_file_is_found_again_from_another_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["train", "photos", *SHORT, "--out", "first"]) == 0
    stopped(["train", "photos", "--split", "first", *SHORT, "--out", "second"], monkeypatch)
    Path("elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(["train", "--resume", "../second"]) == 0


def test_several_labels_are_refused_before_pictures_are_opened(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **others: object) -> None:
        raise DataError("pictures were read")

    monkeypatch.setattr("nunbit.data.pictures.choose_preprocessing", refuse)
    monkeypatch.setattr("nunbit.data.pictures.read_pixels", refuse)
    rows = [f"photos/left/{k:02d}.png,x|y" for k in range(6)]
    Path("many.csv").write_text("path,label\n" + "\n".join([*rows, "photos/right/00.png,y"]))
    assert run(["train", "many.csv"]) == 2
    assert "are of the kind multi-label, expected one class per pict" in capsys.readouterr().err


def test_pictures_from_python_cannot_be_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 8, 8), dtype=np.uint8)
    pictures = nunbit.load((images, np.arange(20) % 2))
    out = tmp_path / "run"
    model = nunbit.create_model_for(pictures, network="mlp")
    nunbit.fit(model, pictures, epochs=1, out=out, progress=False)
    assert run(["evaluate", str(out)]) == 2
    said = capsys.readouterr().err
    assert "came from Python (arrays or columns) and does not know where they are" in said
    assert f"`nunbit evaluate {out} SOURCE`" in said
    assert run(["train", "--resume", str(out)]) == 2
    assert "Go on there, with `nunbit.fit(..., resume=...)`" in capsys.readouterr().err


def test_a_run_is_not_made_among_the_pictures(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "photos", *SHORT, "--out", "photos/left/run"]) == 2
    said = capsys.readouterr().err
    assert "`--out photos/left/run` lies inside the pictures" in said
    assert not (photos / "left" / "run").exists()
    assert run(["train", "photos", *SHORT]) == 0
    assert "among the pictures" not in capsys.readouterr().out
    monkeypatch.chdir(photos)
    assert run(["train", ".", *SHORT]) == 0
    said = capsys.readouterr().out
    assert "note: the folder `runs` is made among the pictures; `--out DIR` puts it apart" in said


def test_names_of_classes_do_not_reach_the_terminal_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "pets", ("\x1b[31mred", "고양이 ", "two\nlines", "\u202eturned"), count=4)
    assert run(["train", "pets", *SHORT, "--out", "run"]) == 0
    assert run(["evaluate", "run"]) == 0
    assert run(["predict", "run", "pets"]) == 0
    assert run(["augment", "pets", "--out", "sheet.png"]) == 0
    assert run(["train", "pets", *SHORT, "--skip-class", "\x1b[31mrad"]) == 2
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "\u202e" not in said.out + said.err
    assert re.search(r"Classes +4: .*\\x1b\[31mred.*two\\nlines", said.err)
    assert "고양이" in said.out


def test_findings_are_in_the_json(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "right" / "00.png").write_bytes((photos / "left" / "00.png").read_bytes())
    data = json_of(["train", "photos", *SHORT, "--out", "run"], capsys)
    assert isinstance(data["findings"], list)
    (found,) = [each for each in data["findings"] if each["kind"] == "exact-conflict"]
    assert found["severity"] == "error"
    assert found["groups"][0]["pairs"] == [["left/00.png", "right/00.png"]]
    data = json_of(["train", "photos", *SHORT, "--check", "off", "--out", "other"], capsys)
    assert data["findings"] is None


def test_evaluate_keeps_to_the_cache_and_memory_of_the_run(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--cache", "off", "--memory", "0.5"]
    assert run(["train", "photos", *SHORT, *words, "--out", "run"]) == 0
    from nunbit.data import labelled

    seen = []
    read = labelled.read_pixels

    def watch(*arguments: object, **others: object) -> object:
        seen.append(others["options"])
        return read(*arguments, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(labelled, "read_pixels", watch)
    assert run(["evaluate", "run"]) == 0
    assert run(["evaluate", "run", "photos"]) == 0
    assert [(each.cache, each.memory) for each in seen] == [("off", 0.5)] * 2


def test_predict_replaces_its_own_tables_only(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "photos", *SHORT, "--out", "run"]) == 0
    labels = Path("labels.csv")
    labels.write_text("path,label\nphotos/left/00.png,left\n")
    assert run(["predict", "run", "photos/left", "--csv", "labels.csv"]) == 2
    assert "is there already and is no table of `nunbit predict`" in capsys.readouterr().err
    assert labels.read_text() == "path,label\nphotos/left/00.png,left\n"
    assert run(["predict", "run", "photos/left", "--csv", "mine.csv"]) == 0
    assert run(["predict", "run", "photos/right", "--csv", "mine.csv"]) == 0
    with open("mine.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 12
    Path("dangling.csv").symlink_to("nowhere.csv")
    assert run(["predict", "run", "photos/left", "--csv", "dangling.csv"]) == 2
    assert not Path("nowhere.csv").exists()
