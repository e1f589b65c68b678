"""``nunbit check`` as a user has it: folders with something wrong in them; nothing is touched."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest

from nunbit.cli.main import run
from nunbit.data.options import DataOptions
from nunbit.errors import DataError
from nunbit.evaluation.label_suspects import load_for_suspects


def photo(number, height=120, width=160):
    rng = np.random.default_rng(number)
    large = cv2.resize(rng.normal(0, 40, (6, 8, 3)), (width, height), interpolation=2)
    small = cv2.resize(rng.normal(0, 25, (24, 32, 3)), (width, height), interpolation=2)
    return np.clip(128 + large + small, 0, 255).astype(np.uint8)


def jpeg(picture, quality=95):
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def smaller(picture, factor=0.7):
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


@pytest.fixture
def pets(write_folder):
    """Twelve pictures of each class to train on, two to test on, and one leak of each kind."""
    files = {}
    for k in range(12):
        files[f"train/cat/c{k:02d}.jpg"] = jpeg(photo(k))
        files[f"train/dog/d{k:02d}.jpg"] = jpeg(photo(100 + k))
    for k in range(2):
        files[f"test/cat/t{k}.jpg"] = jpeg(photo(200 + k))
        files[f"test/dog/t{k}.jpg"] = jpeg(photo(300 + k))
    files["test/cat/same.jpg"] = files["train/cat/c00.jpg"]
    files["test/dog/recompressed.jpg"] = jpeg(photo(101), 60)
    files["test/dog/smaller.jpg"] = jpeg(smaller(photo(102)), 90)
    files["train/cat/cut.jpg"] = files["train/cat/c01.jpg"][:2000]
    files["train/cat/empty.jpg"] = b""
    return write_folder(files, root="pets")


def checked(words, capsys):
    capsys.readouterr()
    assert run(["check", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def of_kind(data, kind):
    return next(item for item in data["findings"] if item["kind"] == kind)


def test_leaks_and_unreadable_files_are_found(pets, capsys):
    data = checked([str(pets)], capsys)
    assert data["counts"]["error"] == 3
    assert data["splits"] == {"train": 26, "test": 7}
    unreadable = of_kind(data, "unreadable")
    assert [each["path"] for each in unreadable["pictures"]] == [
        "train/cat/cut.jpg",
        "train/cat/empty.jpg",
    ]
    assert unreadable["pictures"][1]["remark"] == "the file is empty"
    exact, near = of_kind(data, "exact-across"), of_kind(data, "near-across")
    assert [group["pairs"] for group in exact["groups"]] == [
        [["test/cat/same.jpg", "train/cat/c00.jpg"]]
    ]
    assert [group["pairs"] for group in near["groups"]] == [
        [["test/dog/recompressed.jpg", "train/dog/d01.jpg"]],
        [["test/dog/smaller.jpg", "train/dog/d02.jpg"]],
    ]
    assert near["groups"][0]["pictures"][1] == {
        "path": "train/dog/d01.jpg",
        "split": "train",
        "label": "dog",
    }


def test_text_for_people(pets, capsys):
    assert run(["check", str(pets)]) == 0
    said = capsys.readouterr().out
    assert "Pictures  33 (train 26, test 7), opened in" in said
    assert re.search(r"Identical pictures on both sides of a split +error +1 group\n", said)
    assert "  test/cat/same.jpg = train/cat/c00.jpg\n" in said
    assert "  train/cat/empty.jpg: the file is empty\n" in said


def test_the_list_is_what_train_can_leave_out(pets, tmp_path, capsys):
    place = tmp_path / "leave out.csv"
    data = checked([str(pets), "--exclude-file", str(place)], capsys)
    with open(place, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["reason"]) for row in rows] == [
        ("train/cat/c00.jpg", "identical to test/cat/same.jpg"),
        ("train/cat/cut.jpg", "unreadable: damaged, truncated, or not a picture"),
        ("train/cat/empty.jpg", "unreadable: the file is empty"),
        ("train/dog/d01.jpg", "nearly the same as test/dog/recompressed.jpg"),
        ("train/dog/d02.jpg", "nearly the same as test/dog/smaller.jpg"),
    ]
    assert data["exclude_file"] == {"path": str(place), "pictures": 5}
    place.write_text("mine")
    assert run(["check", str(pets), "--exclude-file", str(place)]) == 2
    assert "is there already and may have been edited" in capsys.readouterr().err
    assert place.read_text() == "mine"


def snapshot(folder):
    """Return everything about a folder that a program could change."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.stat()
        content = path.read_bytes() if path.is_file() else None
        found[str(path)] = (status.st_mtime_ns, status.st_mode, status.st_size, content)
    return found


def test_the_source_is_never_written_to(pets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = snapshot(pets)
    words = ["--sheet", "sheet.html", "--exclude-file", "out.csv", "--lang", "ko"]
    checked([str(pets), *words], capsys)
    assert snapshot(pets) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "pets", "sheet.html"]


def test_a_source_that_cannot_be_written_to_is_checked(pets, tmp_path, capsys):
    folders = [pets, *(path for path in pets.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert checked([str(pets)], capsys)["counts"]["error"] == 3
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("flag", ["--sheet", "--exclude-file"])
def test_places_inside_the_source_are_refused(pets, flag, capsys, monkeypatch):
    before = snapshot(pets)
    assert run(["check", str(pets), flag, str(pets / "train" / "x.html")]) == 2
    said = capsys.readouterr().err
    assert f"`{flag} {pets}/train/x.html` lies inside the pictures" in said
    assert f"`{flag} {pets.parent / 'x.html'}`" in said
    link = pets.parent / "link"
    link.symlink_to(pets)
    assert run(["check", str(pets), flag, str(link / "x.html")]) == 2
    monkeypatch.chdir(pets)
    assert run(["check", ".", flag, "x.html"]) == 2
    assert snapshot(pets) == before


def test_places_that_cannot_be_used(pets, tmp_path, capsys):
    assert run(["check", str(pets), "--sheet", str(tmp_path / "none" / "x.html")]) == 2
    assert "none` is not there. Make it first." in capsys.readouterr().err
    other = tmp_path / "page.html"
    other.write_text("my page")
    assert run(["check", str(pets), "--sheet", str(other)]) == 2
    assert "is no sheet of `nunbit check`; it is not overwritten" in capsys.readouterr().err
    assert other.read_text() == "my page"


def test_a_sheet_takes_the_place_of_an_older_one(pets, tmp_path, capsys):
    place = tmp_path / "sheet.html"
    checked([str(pets), "--sheet", str(place)], capsys)
    first = place.read_text(encoding="utf-8")
    data = checked([str(pets), "--sheet", str(place), "--lang", "ko"], capsys)
    assert data["sheet"] == str(place)
    assert place.read_text(encoding="utf-8") != first


def test_one_picture_only(write_folder, capsys):
    data = checked([str(write_folder({"cat/1.jpg": jpeg(photo(1))}))], capsys)
    assert data["pictures"] == 1
    assert [item["kind"] for item in data["findings"]] == ["one-class", "tiny-class"]


def test_a_class_of_one_picture(write_folder, capsys):
    folder = write_folder({"cat": 12, "dog": 1})
    data = checked([str(folder)], capsys)
    assert of_kind(data, "tiny-class")["text"].endswith("to train on: `dog` (1).")


def test_nothing_can_be_read(write_folder, capsys):
    folder = write_folder({"cat/1.jpg": b"", "dog/2.jpg": b"no"})
    assert of_kind(checked([str(folder)], capsys), "unreadable")["count"] == 2
    assert run(["check", str(folder)]) == 0


ODD_NAMES = [
    "<script>alert(1)<.jpg",
    "q\"u'o&te.jpg",
    "two\nlines.jpg",
    "\x1b[31mred.jpg",
    os.fsdecode(b"bad\xff.jpg"),
    "고양이 {name}.jpg",
    "[bold]x[red].jpg",
    "x" * 240 + ".jpg",
]


def test_odd_names_come_through_everywhere(write_folder, tmp_path, capsys):
    """Each name twice, in both classes: every one is in a finding."""
    files = {}
    for k, name in enumerate(ODD_NAMES):
        files[f"a/{name}"] = files[f"b/{name}"] = jpeg(photo(k))
    folder = write_folder(files)
    sheet, out = tmp_path / "sheet.html", tmp_path / "out.csv"
    words = [str(folder), "--sheet", str(sheet), "--exclude-file", str(out)]
    data = checked(words, capsys)
    groups = of_kind(data, "exact-conflict")["groups"]
    said = {pair[0].removeprefix("a/") for group in groups for pair in group["pairs"]}
    assert said == {name.encode("utf-8", "backslashreplace").decode() for name in ODD_NAMES}
    from nunbit.data.exclusions import read_exclusions

    assert set(read_exclusions(out)) == {f"{c}/{name}" for c in "ab" for name in ODD_NAMES}
    page = sheet.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;.jpg" in page
    assert "\x1b" not in page
    assert run(["check", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "\x1b[31m" not in text
    assert "a/[bold]x[red].jpg = b/[bold]x[red].jpg" in text


@pytest.mark.parametrize("source", ["nowhere", ""])
def test_a_source_that_is_not_there(source, capsys):
    assert run(["check", source]) == 2
    assert "no such folder or set" in capsys.readouterr().err


def test_labels_that_cannot_be_judged_leave_the_rest(write_folder, capsys):
    data = checked([str(write_folder({"cat": 12})), "--labels"], capsys)
    item = of_kind(data, "labels-not-judged")
    assert item["severity"] == "note"
    assert "has one class only (`cat`)" in item["text"]
    assert of_kind(data, "one-class")["severity"] == "error"


def test_a_wrong_label_is_found_and_told(write_folder, capsys, one_thread, tmp_path, monkeypatch):
    """Bright and dark pictures, one of each in the wrong folder."""
    monkeypatch.chdir(tmp_path)  # where there are no runs of anybody's
    rng = np.random.default_rng(0)
    files = {}
    for k in range(40):
        for name, level in (("dark", 60), ("light", 190)):
            picture = np.clip(rng.normal(level, 25, (12, 12)), 0, 255).astype(np.uint8)
            files[f"{name}/{k:02d}.png"] = cv2.imencode(".png", picture)[1].tobytes()
    files["dark/07.png"], files["light/07.png"] = files["light/07.png"], files["dark/07.png"]
    folder = write_folder(files)
    before = snapshot(folder)
    data = checked([str(folder), "--labels"], capsys)
    item = of_kind(data, "label-suspects")
    assert {each["path"] for each in item["pictures"][:2]} == {"dark/07.png", "light/07.png"}
    assert item["pictures"][0]["remark"].startswith(
        "light" if item["pictures"][0]["label"] == "dark" else "dark"
    )
    assert snapshot(folder) == before
    assert not Path("runs").exists()


def test_labels_are_judged_without_the_classes_that_are_left_out(write_folder, capsys, monkeypatch):
    asked = []

    def refuse(source, *, options):
        asked.append(options)
        raise DataError("seen")

    monkeypatch.setattr("nunbit.evaluation.label_suspects.load_for_suspects", refuse)
    folder = write_folder({"cat": 12, "dog": 12, "odd": 1})
    checked([str(folder), "--labels", "--skip-class", "odd", "--seed", "3"], capsys)
    assert asked == [DataOptions(skip_class=("odd",), seed=3)]


def test_suspects_are_looked_for_among_what_is_left(write_folder, tmp_path):
    folder = write_folder({"cat": 12, "dog": 12, "odd": 1})
    (tmp_path / "leave.csv").write_text("cat/1.png\n")
    options = DataOptions(skip_class=("odd",), exclude=str(tmp_path / "leave.csv"), fold="1/2")
    pictures = load_for_suspects(folder, options=options)
    assert pictures.classes == ("cat", "dog")
    assert len(pictures.train) == 23
    assert pictures.validation is None


@pytest.mark.parametrize(
    "words",
    [
        ["--validation", "0.25"],
        ["--fold", "2/4", "--seed", "5"],
        ["--split", "position", "--validation", "0.4"],
        ["--group-by", "([ab])[.]png", "--validation", "0.3"],
        ["--split", "mine.csv", "--skip-class", "odd"],
    ],
)
def test_train_names_the_check_that_sees_its_cut(
    write_folder, words, tmp_path, monkeypatch, capsys
):
    """A picture that is there twice is parted by the cut; one cannot be read."""
    files = {f"{c}/{k:02d}{x}.png": jpeg(photo(k)) for c in ("cat", "dog", "odd")
             for k in range(12) for x in "ab"}  # fmt: skip
    files["cat/zb.png"] = b""
    folder = write_folder(files, root="pets and more")
    monkeypatch.chdir(tmp_path)
    rows = [f"{c}/{k:02d}{x}.png,{s}" for c in ("cat", "dog") for k in range(12)
            for x, s in (("a", "train"), ("b", "validation"))]  # fmt: skip
    (tmp_path / "mine.csv").write_text("path,split\n" + "\n".join(rows) + "\n")
    short = ["--network", "mlp", "--epochs", "1", "--image-size", "8", "--out", "run", "--json"]
    capsys.readouterr()
    assert run(["train", "pets and more", *words, *short]) == 0
    told = capsys.readouterr()
    command = shlex.split(re.search("`(nunbit check .*)` shows all of it", told.err)[1])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    data = checked(command[2:], capsys)
    with open(tmp_path / "run" / "split.csv", newline="") as file:
        kept = [row["split"] for row in csv.DictReader(file)]
    unread = 0 if "mine.csv" in words else 1
    assert data["splits"] == {
        "train": kept.count("train") + unread,
        "validation": kept.count("validation"),
    }
    across = [i for i in json.loads(told.out)["findings"] if i["kind"] == "exact-across"]
    assert [i["count"] for i in data["findings"] if i["kind"] == "exact-across"] == [
        i["count"] for i in across
    ]
    assert across
    assert str(folder) in command


def test_a_list_that_was_given_stays_in_the_new_one(pets, tmp_path, capsys):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("path,reason\ntrain/cat/empty.jpg,mine\n")
    data = checked([str(pets), "--exclude", str(first), "--exclude-file", str(second)], capsys)
    assert data["pictures"] == 32
    with open(second, newline="") as file:
        rows = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert rows["train/cat/empty.jpg"] == f"listed in {first}"
    assert "train/cat/cut.jpg" in rows


def test_help_tells_the_exit_status(capsys):
    assert run(["check", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The exit status is 0 whatever is found, 2 where the source cannot be used" in said
