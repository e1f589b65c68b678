"""The commands as a user types them: output, JSON, exit status, messages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from nunbit.cli.main import run

TRAIN_KEYS = {
    "run",
    "network",
    "classes",
    "epochs",
    "seconds",
    "train_images",
    "validation_accuracy",
    "test_accuracy",
    "parameters",
    "images_per_second",
}
EVALUATE_KEYS = {
    "count",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "top5_accuracy",
    "loss",
    "ece",
    "per_class",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the embedded digits."""
    out = tmp_path_factory.mktemp("trained") / "run"
    words = ["train", "digits", "--network", "mlp", "--epochs", "4", "--out", str(out)]
    assert run(words) == 0
    return out


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of small colour pictures, bright and dark, sizes all different."""
    rng = np.random.default_rng(0)
    for name, level in (("bright", 190), ("dark", 60)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(12):
            noise = rng.integers(-40, 40, (20 + k, 30 - k, 3))
            picture = np.clip(level + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / name / f"{k}.png"), picture)
    return tmp_path / "photos"


def out_of(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    captured = capsys.readouterr()
    return captured.out, captured.err


def json_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """Run a command with ``--json``; standard output must be one object and nothing else."""
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    out, _ = out_of(capsys)
    assert out.count("\n") == 1
    data = json.loads(out)
    assert isinstance(data, dict)
    return data


def test_train_json_keeps_its_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "digits", "--network", "mlp", "--epochs", "3", "--out", str(tmp_path / "r")]
    data = json_of(words, capsys)
    assert set(data) >= TRAIN_KEYS
    assert data["classes"] == list("0123456789")
    assert data["epochs"] == 3
    assert data["train_images"] == 1290
    assert data["parameters"] == 64 * 512 + 512 + 512 * 10 + 10
    assert 0.8 < data["test_accuracy"] <= 1
    assert data["test_accuracy_low"] < data["test_accuracy"] < data["test_accuracy_high"]
    history = (tmp_path / "r" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [1, 2, 3]


def test_train_without_a_test_split_says_null(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(photos), "--epochs", "1", "--image-size", "16", "--out"]
    data = json_of([*words, str(tmp_path / "r")], capsys)
    assert data["test_accuracy"] is None
    assert data["validation_accuracy"] is not None
    assert data["classes"] == ["bright", "dark"]


def test_train_names_the_run_folder_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run(["train", "shapes", "--network", "mlp", "--epochs", "1"]) == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["shapes-mlp-1", "shapes-mlp-2"]
    found = {p.name for p in Path("runs/shapes-mlp-1").iterdir()}
    assert found == {
        "options.json",
        "split.csv",
        "history.jsonl",
        "checkpoints",
        "model.safetensors",
        "scores.json",
        "report.html",
    }


def test_text_says_what_people_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "r")
    assert run(["train", "digits", "--network", "mlp", "--epochs", "2", "--out", out]) == 0
    text, progress = out_of(capsys)
    assert "fit: squash" in progress
    assert "Network   mlp, 38,410 parameters" in progress
    assert f"nunbit evaluate {out}" in text
    assert f"nunbit predict {out} PICTURE" in text
    assert re.search(r"Test accuracy +\d+\.\d\d % \(95 %: \d+\.\d\d–\d+\.\d\d\) on 364", text)
    assert f"{out}/model.safetensors" in text
    assert f"{out}/report.html" in text
    assert re.search(r"epoch 1/2  loss \d\.\d+  accuracy", progress)


def test_evaluate_uses_what_the_run_kept_apart(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json_of(["evaluate", str(trained)], capsys)
    assert set(data) >= EVALUATE_KEYS
    assert data["count"] == 364
    assert data["split"] == "test"
    saved = json.loads((trained / "scores.json").read_text())["test"]
    assert data["accuracy"] == saved["accuracy"]
    assert data["loss"] == saved["loss"]
    assert list(data["per_class"]) == list("0123456789")


def test_evaluate_without_a_test_split_takes_the_same_validation_pictures(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder = tmp_path / "r"
    words = ["train", str(photos), "--epochs", "2", "--image-size", "16", "--validation", "0.25"]
    trained = json_of([*words, "--out", str(run_folder)], capsys)
    data = json_of(["evaluate", str(run_folder)], capsys)
    assert data["split"] == "validation"
    assert data["count"] == 6
    assert data["accuracy"] == trained["validation_accuracy"]


def test_evaluate_a_model_file_needs_pictures(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(trained / "model.safetensors")]) == 2
    assert "nunbit evaluate" in out_of(capsys)[1]
    data = json_of(["evaluate", str(trained / "model.safetensors"), "digits"], capsys)
    assert data["count"] == 364


def test_evaluate_reads_class_folders_by_name(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders `7` and `3` only: labels are those of the network, not 0 and 1."""
    from nunbit import load

    test = load("digits").test
    assert test is not None
    for digit in (7, 3):
        (tmp_path / "some" / str(digit)).mkdir(parents=True)
        rows = np.flatnonzero(test.labels == digit)[:10]
        for k, picture in enumerate(test.take(rows)):
            cv2.imwrite(str(tmp_path / "some" / str(digit) / f"{k}.png"), picture)
    data = json_of(["evaluate", str(trained), str(tmp_path / "some")], capsys)
    assert data["count"] == 20
    assert data["accuracy"] > 0.7
    (tmp_path / "some" / "tree").mkdir()
    cv2.imwrite(str(tmp_path / "some" / "tree" / "a.png"), picture)
    assert run(["evaluate", str(trained), str(tmp_path / "some")]) == 2
    assert "`tree`, which the network does not know" in out_of(capsys)[1]


def test_predict_files_folders_patterns(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nunbit import load

    test = load("digits").test
    assert test is not None
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for k in range(5):
        name = "deep/4.png" if k == 4 else f"{k}.png"
        cv2.imwrite(str(tmp_path / "in" / name), test.take(np.array([k]))[0])
    by_folder = json_of(["predict", str(trained), str(tmp_path / "in"), "--top", "3"], capsys)
    by_pattern = json_of(
        ["predict", str(trained), str(tmp_path / "in" / "**" / "*.png"), "--top", "3"], capsys
    )
    assert by_folder["failed"] == []
    assert len(by_folder["predictions"]) == 5
    key = lambda row: row["path"]  # noqa: E731  # a name for one line
    assert sorted(by_folder["predictions"], key=key) == sorted(by_pattern["predictions"], key=key)
    for row in by_folder["predictions"]:
        assert set(row) == {"path", "label", "probability", "top"}
        assert len(row["top"]) == 3
        assert row["top"][0] == [row["label"], row["probability"]]
    both = [str(tmp_path / "in"), str(tmp_path / "in" / "0.png")]
    assert len(json_of(["predict", str(trained), *both], capsys)["predictions"]) == 5


def test_predict_lists_what_failed_and_does_the_rest(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), np.full((9, 9), 200, np.uint8))
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:40])
    table = tmp_path / "out.csv"
    words = ["predict", str(trained), str(bad), str(good), str(tmp_path / "gone.png")]
    assert run([*words, "--json", "--csv", str(table)]) == 2
    data = json.loads(out_of(capsys)[0])
    assert [row["path"] for row in data["predictions"]] == [str(good)]
    reasons = {row["path"]: row["reason"] for row in data["failed"]}
    assert "damaged" in reasons[str(bad)]
    assert "No such file" in reasons[str(tmp_path / "gone.png")]
    lines = table.read_text().splitlines()
    assert lines[0].startswith("path,label,probability")
    assert len(lines) == 2


def test_networks_lists_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {row["name"]: row for row in json_of(["networks"], capsys)["networks"]}
    assert {"auto", "mlp", "cnn-mnist", "cnn-cats-dogs"} <= set(listed)
    shown = json_of(["networks", "cnn-mnist"], capsys)
    assert shown["parameters"] == listed["cnn-mnist"]["parameters"] == 1_199_882
    assert sum(layer["parameters"] for layer in shown["layers"]) == 1_199_882
    assert [layer["output"] for layer in shown["layers"]][:2] == [[32, 26, 26], [32, 26, 26]]
    assert run(["networks", "cnn-mnist"]) == 0
    text = out_of(capsys)[0]
    assert re.search(r"body\.2 +conv 3×3 +64×24×24 +18,496 +10,616,832", text)


def test_datasets_lists_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {row["name"]: row for row in json_of(["datasets"], capsys)["datasets"]}
    offline = {"digits", "shapes", "signals"}
    assert offline | {"mnist", "fashion-mnist", "cifar10", "cats-dogs"} == set(listed)
    assert listed["digits"]["place"] == "ships with Nunbit"
    clothes = json_of(["datasets", "fashion-mnist"], capsys)
    assert clothes["classes_ko"][-1] == "앵클 부츠"
    picture = json_of(["datasets", "digits", "--show", "0"], capsys)
    assert picture["label"] == "0"
    assert len(picture["pixels"]) == 8
    assert run(["datasets", "digits", "--show", "0"]) == 0
    text = out_of(capsys)[0]
    assert "%%++%%" in text
    assert " ".join(f"{v:3d}" for v in picture["pixels"][2]) in text


def test_options_from_a_file_give_way_to_what_is_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "course.toml"
    file.write_text('network = "mlp"\nepochs = 5\nbatch-size = 100\nlr = 1\nschedule = "cosine"\n')
    out = tmp_path / "r"
    words = ["train", "digits", "--options", str(file), "--epochs", "1", "--lr", "0.01"]
    json_of([*words, "--out", str(out)], capsys)
    training = json.loads((out / "options.json").read_text())["training"]
    assert (training["epochs"], training["batch_size"]) == (1, 100)
    assert (training["lr"], training["schedule"]) == (0.01, "cosine")


def test_resume_finishes_an_interrupted_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in epoch 2: exit 130, a checkpoint, a model; then the same end as without."""
    import signal

    from nunbit.training.progress import ProgressPrinter

    base = ["train", "digits", "--network", "mlp", "--epochs", "3"]
    whole = json_of([*base, "--out", str(tmp_path / "whole")], capsys)
    real = ProgressPrinter.on_train_batch_end

    def press(self: ProgressPrinter, moment: object) -> None:
        real(self, moment)  # type: ignore[arg-type]  # a Moment
        if (moment.epoch, moment.step) == (1, 7):  # type: ignore[attr-defined]
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ProgressPrinter, "on_train_batch_end", press)
    part = tmp_path / "part"
    assert run([*base, "--out", str(part)]) == 130
    assert f"nunbit train --resume {part}" in out_of(capsys)[1]
    monkeypatch.undo()
    assert (part / "checkpoints" / "last.safetensors").is_file()
    assert (part / "model.safetensors").is_file()
    resumed = json_of(["train", "--resume", str(part)], capsys)
    for key in ("epochs", "validation_accuracy", "test_accuracy"):
        assert resumed[key] == whole[key]
    import nunbit

    first = nunbit.Model.load(tmp_path / "whole").network.state_dict()
    second = nunbit.Model.load(part).network.state_dict()
    assert all(bool((first[name] == second[name]).all()) for name in first)


def test_resume_refuses_changed_options(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "mnist", "--resume", str(trained), "--lr", "0.5", "--epochs", "4"]) == 2
    message = out_of(capsys)[1]
    assert "lr was" in message
    assert "got 0.5" in message
    assert "SOURCE was 'digits', got 'mnist'" in message
    assert "epochs was" not in message
    assert run(["train", "--resume", str(trained)]) == 2
    assert "is finished" in out_of(capsys)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "train needs a SOURCE"),
        (["trian", "digits"], 'Did you mean "train"'),
        (["train", "digits", "--epoch", "3"], "Did you mean --epochs"),
        (["train", "digits", "--epochs", "many"], "--epochs"),
        (["train", "digits", "--epochs", "0"], "expected int or None >= 1|expected >= 1"),
        (["train", "digits", "--fit", "zoom"], '"crop", "pad", "squash"'),
        (["train", "digits", "--network", "cnn-mnst"], "Did you mean `cnn-mnist`"),
        (["train", "digits", "--augment", "lite"], "Did you mean `light`"),
        (["train", "digits", "--device", "cuda:9"], "this machine has"),
        (["train", "digits", "--device", "gpu"], "expected auto, cpu, cuda"),
        (["train", "digits", "--monitor", "val_acc", "--patience", "3"], "`val_accuracy`"),
        (["train", "digits", "--plateau-patience", "2"], "--schedule constant"),
        (["train", "digits", "--network", "cnn-cats-dogs"], "at least 16×16 pixels, got 8×8"),
        (["train", "digits", "--head", "sigmoid"], "Use head `softmax`"),
        (["train", "digitz"], "no such folder or set: `digitz`. Did you mean `digits`"),
        (["train", "digits", "--skip-class", "11"], "has no such class"),
        (["train", "digits", "--options", "none.toml"], "`none.toml` cannot be read"),
        (["train", "--resume", "nowhere"], "is no run folder"),
        (["evaluate", "nowhere"], "cannot be read"),
        (["predict", "nowhere"], "predict needs pictures"),
        (["predict", "nowhere", "*.nothing"], "no file matches"),
        (["networks", "vgg"], "unknown network `vgg`"),
        (["datasets", "minst"], "Did you mean `mnist`"),
        (["datasets", "digits", "--show", "5000"], "has pictures 0 to 1796"),
    ],
)
def test_what_the_user_gave_is_wrong(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One message, exit status 2, nothing on standard output, no traceback, no run folder."""
    monkeypatch.chdir(tmp_path)
    assert run([*words, "--json"]) == 2
    out, err = out_of(capsys)
    assert out == ""
    assert any(part in err for part in message.split("|")), err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_an_unknown_option_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "o.toml"
    file.write_text("epocs = 3\n")
    assert run(["train", "digits", "--options", str(file)]) == 2
    assert "unknown option `epocs`. Did you mean `epochs`" in out_of(capsys)[1]


def test_our_own_fault_is_said_to_be_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("nunbit.networks.find_network", broken)
    assert run(["networks", "mlp"]) == 1
    err = out_of(capsys)[1]
    assert "fault of Nunbit" in err
    assert "--debug" in err
    assert "Traceback" not in err
    assert run(["networks", "mlp", "--debug"]) == 1
    assert "Traceback" in out_of(capsys)[1]


def test_a_loss_that_is_not_finite_ends_the_run_clearly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "digits", "--network", "mlp", "--optimizer", "sgd", "--lr", "1e30"]
    assert run([*words, "--epochs", "3", "--out", str(tmp_path / "r")]) == 2
    message = out_of(capsys)[1]
    assert re.search(r"the loss is (nan|inf) at step \d+ of epoch 1", message)
    assert re.search(r"Try `--lr 0\.0\d+`", message)  # what suits the network, not 1e+29
    assert "--clip-norm 1" in message


def test_resume_stays_in_its_folder_and_may_change_the_device(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--resume", str(trained), "--out", str(tmp_path / "other")]) == 2
    assert "leave `--out` away" in out_of(capsys)[1]
    words = ["train", "--resume", str(trained), "--device", "cpu", "--precision", "auto"]
    assert run(words) == 2
    assert "is finished" in out_of(capsys)[1]  # neither was a difference
