"""``nunbit find-lr``: the suggestion, its drawing, and what it refuses."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import nunbit
import nunbit.training.find_lr
from nunbit.cli.main import run

SHORT = ["find-lr", "digits", "--network", "mlp", "--steps", "40"]


@pytest.fixture(autouse=True)
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_suggests_a_rate_and_draws_the_curve(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SHORT, "--plot", "lr.svg"]) == 0
    said = capsys.readouterr().out
    found = re.search(r"Suggested +--lr (\S+) \(a tenth of where the loss is smallest\)", said)
    assert found is not None
    assert 1e-4 < float(found[1]) < 0.1
    assert "loss by learning rate, smoothed" in said
    assert any("⠀" < c <= "⣿" for c in said)
    root = ET.parse("lr.svg").getroot()  # noqa: S314  # our own
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert f"suggested: {found[1]}" in texts
    assert list(Path().iterdir()) == [Path("lr.svg")]  # no run folder
    assert run([*SHORT, "--plot", "lr.svg"]) == 0  # its own drawing is replaced


def test_json_has_the_whole_curve(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SHORT, "--optimizer", "sgd", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    data = json.loads(out)
    assert len(data["rates"]) == len(data["losses"]) == len(data["smoothed"]) <= 40
    assert data["rates"][0] == 1e-6
    assert data["suggestion"] * 10 == pytest.approx(
        data["rates"][data["smoothed"].index(min(data["smoothed"][4:]))]
    )
    assert (data["source"], data["network"], data["plot"]) == ("digits", "mlp", None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lowest", "1", "--highest", "0.1"], "`lowest` is 1 and `highest` 0.1, expected lowest"),
        (["--lowest", "0"], "`lowest` is 0.0, expected > 0"),
        (["--steps=5"], "`steps` is 5, expected 20"),
        (["--lr", "0.1"], "--lr"),
        (["--epochs", "3"], "--epochs"),
        (["--plot", "lr.png"], "Pass `--plot lr.svg`"),
        (["--plot", ""], "`--plot` is empty"),
        (["--optimizer", "sdg"], "sdg"),
        (["--batch-size", "0"], "`batch_size` is 0, expected >= 1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["find-lr", "digits", "--network", "mlp", *words]) == 2
    assert said in capsys.readouterr().err


def test_it_writes_over_nothing_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.svg").write_text("<svg/>")
    assert run([*SHORT, "--plot", "mine.svg"]) == 2
    assert "is no drawing of `nunbit find-lr`" in capsys.readouterr().err
    assert Path("mine.svg").read_text() == "<svg/>"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--monitor", "val_acc", "--patience", "3"], "Did you mean `val_accuracy`?"),
        (["--monitor", "acc", "--save-best-only"], "ModelCheckpoint watches `acc`"),
        (["--log", "tensorbord"], "Did you mean `tensorboard`?"),
    ],
)
def test_a_wrong_name_is_said_before_pictures_are_read(
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("pictures were read")

    monkeypatch.setattr("nunbit.cli.train.load_pictures", read)
    assert run(["train", "digits", *words]) == 2
    assert said in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_recipe_or_a_file_says_what_is_tried(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []
    real = nunbit.find_lr

    def watched(model: nunbit.Model, pictures: nunbit.Pictures, **how: Any) -> Any:
        tried.append((model, pictures, how))
        return real(model, pictures, **how)

    monkeypatch.setattr("nunbit.training.find_lr.find_lr", watched)
    Path("mine.toml").write_text('network = "mlp"\nbatch_size = 48\nepochs = 3\npatience = 2\n')
    words = ["find-lr", "digits", "--steps", "30", "--json"]
    assert run([*words, "--options", "mine.toml", "--optimizer", "sgd"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] is None
    model, _, how = tried.pop()
    assert (model.network_name, how["options"].batch_size) == ("mlp", 48)
    assert (how["options"].optimizer, how["steps"]) == ("sgd", 30)
    assert run([*words, "--recipe", "course", "--batch-size", "64"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "course"
    model, _, how = tried.pop()
    chosen = how["options"]
    assert (model.network_name, chosen.optimizer, chosen.batch_size) == ("cnn-mnist", "adam", 64)
    assert run(["find-lr", "digits", "--steps", "30", "--recipe", "fast"]) == 0
    assert re.search(r"Recipe +fast\n", capsys.readouterr().out)


def test_a_file_with_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.toml").write_text("netwrok = 'mlp'\n")
    assert run([*SHORT, "--options", "mine.toml"]) == 2
    assert "unknown option `netwrok`" in capsys.readouterr().err


def test_pictures_that_are_kept_larger_are_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in training: the network sees its own size, whatever ``--train-size`` is."""
    sides: list[int] = []
    real = nunbit.training.find_lr._train_step

    def watched(job: Any, batch: Any, step: int) -> Any:
        hook = job.model.network.register_forward_pre_hook(
            lambda _, inputs: sides.append(inputs[0].shape[-1])
        )
        try:
            return real(job, batch, step)
        finally:
            hook.remove()

    monkeypatch.setattr("nunbit.training.find_lr._train_step", watched)
    words = ["--train-size", "12", "--image-size", "8", "--augment", "crops"]
    assert run(["find-lr", "shapes", "--network", "mlp", "--steps", "30", *words]) == 0
    assert set(sides) == {8}
