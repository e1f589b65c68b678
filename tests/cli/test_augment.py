"""``nunbit augment``: the sheet shows what training will see."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nunbit.augment import PRESETS, Augment
from nunbit.cli.augment import CAPTION, GAP, SheetOptions, draw_sheet
from nunbit.cli.main import run
from nunbit.data.options import DataOptions
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sources.opening import open_source


def read(path: Path) -> NDArray[np.uint8]:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def tiles(sheet: NDArray[np.uint8], *, rows: int, columns: int, side: int) -> NDArray[np.uint8]:
    """Cut the pictures out of a sheet again: (rows, columns, side, side, 3)."""
    lefts = [GAP] + [4 * GAP + (k + 1) * (side + GAP) for k in range(columns - 1)]
    tops = [CAPTION + GAP + k * (side + GAP) for k in range(rows)]
    assert sheet.shape == (tops[-1] + side + GAP, lefts[-1] + side + GAP, 3)
    return np.array([[sheet[t : t + side, x : x + side] for x in lefts] for t in tops])


def test_a_sheet_is_originals_beside_what_training_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    words = ["augment", "digits", "--augment", "light", "--out", str(out), "--count", "3"]
    assert run([*words, "--variants", "4", "--seed", "5", "--epoch", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = tiles(read(out), rows=3, columns=5, side=96)
    assert printed["epochs"] == [2, 3, 4, 5]
    assert printed["augment"]["name"] == "light"
    assert printed["augment"]["rotation_range"] == 8
    assert printed["failed"] == []
    table = open_source("digits").of_split("train")
    names = {table.store.name(int(n)): int(n) for n in table.ids}
    for row, each in enumerate(printed["pictures"]):
        number = names[each["name"]]
        small = np.asarray(table.store.read(number)).reshape(1, 8, 8, 1)
        assert np.array_equal(found[row, 0, ::12, ::12, :1], small[0])
        for k, epoch in enumerate(printed["epochs"]):
            seen = PRESETS["light"].apply(small, ids=[number], seed=5, epoch=epoch - 1)[0]
            assert np.array_equal(found[row, k + 1, ::12, ::12, :1], seen)


def test_text_says_what_was_written_and_an_older_sheet_is_replaced(
    write_folder: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder({"cat": 4, "dog": 4}, channels=3)  # type: ignore[operator]
    out = tmp_path / "sheet.png"
    assert run(["augment", str(folder), "--out", str(out), "--count", "1"]) == 0
    capsys.readouterr()
    assert run(["augment", str(folder), "--out", str(out), "--image-size", "32"]) == 0
    text = capsys.readouterr().out
    assert "8 pictures, each with 7 variants, augment photo" in text
    assert tiles(read(out), rows=8, columns=8, side=96).std() > 0


@pytest.mark.parametrize("content", [b"mine", b"", None])
def test_what_is_no_sheet_is_not_replaced(
    content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "photo.png"
    picture = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    out.write_bytes(picture if content is None else content)
    before = out.read_bytes()
    assert run(["augment", "digits", "--out", str(out)]) == 2
    assert "photo.png` is there already and is no sheet of `nunbit augm" in capsys.readouterr().err
    assert out.read_bytes() == before
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "nowhere.png")
    assert run(["augment", "digits", "--out", str(link)]) == 2


def test_sheets_are_not_written_among_the_pictures(
    write_folder: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder({"cat": 2, "dog": 2})  # type: ignore[operator]
    (tmp_path / "lists").mkdir()
    table = tmp_path / "lists" / "mine.csv"
    rows = [f"{folder}/cat/{k}.png,cat" for k in range(2)] + [
        f"../pictures/dog/{k}.png,dog" for k in range(2)
    ]
    table.write_text("path,label\n" + "\n".join(rows) + "\n")
    for source, inside in ((folder, folder), (table, folder / "cat"), (table, folder / "dog")):
        assert run(["augment", str(source), "--out", str(inside / "sheet.png")]) == 2
        said = capsys.readouterr().err
        assert f"`--out {inside}/sheet.png` lies inside the pictures" in said
        assert run(["check", str(source), "--sheet", str(inside / "sheet.html")]) == 2
        assert f"`--sheet {inside}/sheet.html` lies inside the pictures" in capsys.readouterr().err
    assert sorted(p.name for p in folder.rglob("*")) == ["0.png"] * 2 + ["1.png"] * 2 + [
        "cat",
        "dog",
    ]


def test_a_sheet_may_lie_beside_a_csv(
    write_folder: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder({"cat": 2, "dog": 2})  # type: ignore[operator]
    rows = [f"pictures/{c}/{k}.png,{c}" for c in ("cat", "dog") for k in range(2)]
    (tmp_path / "mine.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    assert run(["augment", "mine.csv"]) == 0
    assert run(["check", "mine.csv", "--sheet", "sheet.html", "--exclude-file", "x.csv"]) == 0
    assert {"sheet.png", "sheet.html", "x.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert run(["augment", "mine.csv", "--out", "pictures/dog/sheet.png"]) == 2


def test_a_sheet_is_a_sound_png(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert run(["augment", "digits", "--out", str(out), "--count", "1", "--variants", "1"]) == 0
    with Image.open(out) as image:
        image.verify()
        assert image.info == {"Software": "nunbit augment"}


def test_a_file_of_options_mixes_too(
    write_folder: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder({"cat": 3, "dog": 3, "dog/x.png": b"no picture"}, channels=3)  # type: ignore[operator]
    file = tmp_path / "mine.toml"
    file.write_text(
        "mixup = 0.4\ncutmix = 1\nrescale = 0.1\ncrop_padding = 2\n"
        "colour_jitter = [0.4, 0.4, 0.4, 0.1]\nrand_augment = [2, 9]\nheight_shift_range = 2\n"
    )
    out = tmp_path / "sheet.png"
    assert run(["augment", str(folder), "--augment", str(file), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.split(" pictures")[0].rsplit(":", 1)[1] == " 6"
    assert "not shown: rescale" in text
    assert "failed: dog/x.png: " in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["augment"], "source|SOURCE"),
        (["augment", "digits", "--augment", "lite"], "Did you mean `light`"),
        (["augment", "digits", "--out", "nowhere/a.png"], "folder `nowhere` is not there"),
        (["augment", "digits", "--count", "0"], "`count` is 0, expected 1 <= value <= 100"),
        (
            ["augment", "digits", "--image-size", "4096"],
            "the sheet would have .* smaller `--count`",
        ),
        (
            ["augment", "digits", "--image-size", "95", "--count", "84"],
            "the sheet would have 1592×16492 pixels",  # 95 is enlarged to 190
        ),
        (["augment", "digitz"], "Did you mean `digits`"),
        (["augment", "digits", "--out", "a.jpg"], r"is a PNG\. Pass `--out a\.png`\."),
        (["augment", "digits", "--out", "sheet"], r"Pass `--out sheet\.png`\."),
        (["augment", "digits", "--out", "."], r"`--out \.` is a folder.*`--out sheet\.png`\."),
        (["augment", "digits", "--fit", "pads"], "fit"),
    ],
)
def test_messages(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_options_of_the_pictures_are_those_of_training() -> None:
    asked, trained = SheetOptions(), DataOptions()
    kinds = [{info.name: info.type for info in part.fields()} for part in (asked, trained)]
    for name in ("image_size", "fit", "channels", "exclude", "skip_class"):
        assert getattr(asked, name) == getattr(trained, name)
        assert kinds[0][name] == kinds[1][name]


def test_the_sheet_shows_what_the_network_sees(
    write_folder: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder({"cat": 2, "dog": 2, "owl": 2}, channels=3)  # type: ignore[operator]
    (tmp_path / "out.csv").write_text("path,reason\ndog/0.png,odd\n")
    out = tmp_path / "sheet.png"
    words = ["augment", str(folder), "--out", str(out), "--variants", "1", "--augment", "none"]
    words += ["--image-size", "96", "--fit", "pad", "--channels", "grey"]
    words += ["--exclude", str(tmp_path / "out.csv"), "--skip-class", "owl", "--json"]
    assert run(words) == 0
    printed = json.loads(capsys.readouterr().out)
    names = [each["name"] for each in printed["pictures"]]
    assert names == ["cat/0.png", "cat/1.png", "dog/1.png"]
    made = Preprocessing(image_size=96, channels=1, fit="pad")
    expected = [made.prepare((folder / name).read_bytes()) for name in names]
    found = tiles(read(out), rows=3, columns=2, side=96)
    assert np.array_equal(found[:, 0, :, :, :1], expected)
    assert np.array_equal(found[..., 0], found[..., 2])


def test_nothing_readable_is_an_error(
    write_folder: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder({"cat/a.png": b"x", "dog/b.png": b"y"})  # type: ignore[operator]
    assert run(["augment", str(folder)]) == 2
    assert "none of the 2 pictures looked at" in capsys.readouterr().err


def test_grey_and_colour_sheets_keep_their_pixels() -> None:
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        pictures = rng.integers(0, 256, (2, 100, 100, channels), dtype=np.uint8)
        sheet = draw_sheet(pictures, [pictures[::-1]], first_epoch=1)
        found = tiles(sheet, rows=2, columns=2, side=100)
        assert np.array_equal(found[:, 0], np.broadcast_to(pictures, (2, 100, 100, 3)))
        assert np.array_equal(found[:, 1], found[::-1, 0])


def test_the_plain_sheet_is_the_original_again(tmp_path: Path) -> None:
    assert Augment() == PRESETS["none"]
    out = tmp_path / "sheet.png"
    assert run(["augment", "digits", "--out", str(out), "--variants", "1"]) == 0
    found = tiles(read(out), rows=8, columns=2, side=96)
    assert np.array_equal(found[:, 0], found[:, 1])
