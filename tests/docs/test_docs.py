"""What the docs say, runs."""

from __future__ import annotations

import os
import re
import shlex
import signal
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from nunbit.augment import Augment
from nunbit.cli.main import run
from nunbit.training.callbacks import Moment
from nunbit.training.progress import ProgressPrinter
from tests.docs.write_options import TARGET, render

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "README.ko.md")
GUIDES = ("docs/pictures.md", "docs/keras.md")
REAL_SETS = ("mnist", "fashion-mnist", "cifar10", "cats-dogs")


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    """Return the commands of a page, each as words without the leading ``nunbit``."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    found = [shlex.split(line[2:]) for line in lines if line.startswith("$ ")]
    assert found
    assert all(words[0] == "nunbit" for words in found)
    return [words[1:] for words in found]


def needs_real_pictures(words: list[str]) -> bool:
    return words[0] == "train" and words[1] in REAL_SETS


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a folder `photos` of cats (bright) and dogs (dark)."""
    rng = np.random.default_rng(0)
    for name, level in (("cat", 170), ("dog", 80)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(1, 21):
            picture = np.clip(level + rng.integers(-60, 60, (40, 50, 3)), 0, 255)
            cv2.imwrite(str(tmp_path / "photos" / name / f"{k}.jpg"), picture.astype(np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_page_run(page: str, desk: Path) -> None:
    for words in commands(page):
        if not needs_real_pictures(words):
            assert run(words) == 0, words
    assert (desk / "guesses.csv").is_file()


def test_the_commands_of_the_guide_to_pictures_run(desk: Path) -> None:
    for words in commands("docs/pictures.md"):
        assert run(words) == 0, words
    assert (desk / "check.html").is_file()
    assert (desk / "sheet.png").is_file()
    first, again = ((desk / "runs" / name / "split.csv").read_text() for name in ("fold2", "again"))
    assert first == again


def test_the_options_files_of_the_guide_are_understood() -> None:
    for block in blocks("docs/pictures.md", "toml"):
        assert not Augment.from_dict(tomllib.loads(block)).is_identity


@pytest.mark.data
@pytest.mark.parametrize(
    "words", [w for w in commands("README.md") if needs_real_pictures(w)], ids=" ".join
)
def test_the_commands_on_real_pictures_run(words: list[str], desk: Path) -> None:
    if "NUNBIT_DATA" not in os.environ:
        pytest.skip("set NUNBIT_DATA to run it")
    assert run(words) == 0


@pytest.mark.parametrize("page", PAGES)
def test_the_resume_command_of_the_page_runs(
    page: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in the text, because it needs a run that was interrupted."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = set(re.findall(r"`(nunbit train --resume [^`]+)`", text))
    assert len(found) == 1
    words = shlex.split(found.pop())[1:]
    with monkeypatch.context() as patch:
        patch.setattr(ProgressPrinter, "on_epoch_end", _press_ctrl_c)
        start = ["train", "digits", "--network", "mlp", "--epochs", "2", "--out", words[-1]]
        assert run(start) == 130
    assert run(words) == 0
    assert (desk / words[-1] / "report.html").is_file()


def _press_ctrl_c(printer: ProgressPrinter, moment: Moment) -> None:
    signal.raise_signal(signal.SIGINT)


def test_make_demo_says_how_good_it_is_and_where_everything_lies(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one line of `make demo`, as the Makefile has it."""
    recipe = re.search(r"^demo:.*\n\t\$\(BIN\)/nunbit (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert recipe is not None
    assert run(shlex.split(recipe[1])) == 0
    said = capsys.readouterr().out
    score = re.search(r"Test accuracy +(\d+\.\d+) % \(95 %: \d+\.\d+–\d+\.\d+\) on 364", said)
    assert score is not None
    assert float(score[1]) > 97
    for what in ("Model", "Report"):
        path = re.search(rf"^{what} +(\S+)$", said, re.M)
        assert path is not None
        assert Path(path[1]).is_file()


@pytest.mark.parametrize("page", [*PAGES, *GUIDES])
def test_the_python_of_the_page_runs(page: str, desk: Path) -> None:
    names: dict[str, object] = {}  # a block may go on from the one before
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)  # noqa: S102  # our own page


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md"])
def test_the_make_targets_of_the_page_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word for block in blocks(page, "sh") for word in re.findall(r"^make (\S+)", block, re.M)
    }
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", [*PAGES, *GUIDES, "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_within_the_project_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_the_tree_in_the_architecture_page_is_the_tree() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    source = ROOT / "src" / "nunbit"
    for path in [*source.iterdir(), *(source / "data").iterdir(), *(source / "training").iterdir()]:
        if path.name.startswith(("_", ".")) or path.name == "py.typed":
            continue
        assert path.name in text, f"ARCHITECTURE.md does not know {path.relative_to(source)}"
    for name in set(re.findall(r"\b([a-z_]+\.py)\b", text)):
        assert list(source.rglob(name)), f"ARCHITECTURE.md names {name}, which is not there"


def test_the_options_page_is_up_to_date() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run `make docs`"


def test_the_python_words_of_the_design_work(desk: Path) -> None:
    """The contract of the Python API, word for word but for the network and the epochs."""
    import nunbit

    pictures = nunbit.load("photos/", image_size=32, validation=0.1, seed=0)
    model = nunbit.create_model("cnn-cats-dogs", classes=pictures.classes, image_size=32)
    history = nunbit.fit(
        model,
        pictures,
        epochs=3,
        augment=nunbit.Augment(shear_range=11.5, zoom_range=0.2, horizontal_flip=True),
        callbacks=[
            nunbit.ModelCheckpoint(save_best_only=True),
            nunbit.EarlyStopping(patience=3, restore_best_weights=True),
        ],
    )
    assert pictures.test is None
    scores = nunbit.evaluate(model, pictures.validation)
    assert model.summary().startswith("cnn-cats-dogs: 3×32×32 → cat, dog")
    predicted = model.predict(["photos/cat/1.jpg", desk / "photos" / "dog" / "2.jpg"])
    model.save("cats.safetensors")
    again = nunbit.Model.load("cats.safetensors")
    assert again.predict(["photos/cat/1.jpg", "photos/dog/2.jpg"]) == predicted
    assert (Path(history.run) / "checkpoints" / "best.safetensors").is_file()
    assert len(history["val_loss"]) == 3
    assert 0 <= scores["accuracy"] <= 1
