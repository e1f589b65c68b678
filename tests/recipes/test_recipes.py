"""Every recipe runs in its smallest setting, and its table says what it must."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from nunbit.networks import _registry, network_names

RECIPES = Path(__file__).parents[2] / "recipes"
ALL = sorted(path.stem for path in RECIPES.glob("[a-z]*.py"))
SMALL = ["--source", "digits", "--pictures", "150", "--epochs", "1", "--seeds", "1"]

Run = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def load_recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that imports a recipe; its networks are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(RECIPES))
    for name in ("_NETWORKS", "_ALIASES"):
        monkeypatch.setattr(_registry, name, dict(getattr(_registry, name)))
    before = set(sys.modules)

    def find(name: str) -> ModuleType:
        return __import__(name)

    yield find
    for name in {"_common", "_plot", "_table", *ALL} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.fixture
def run(
    load_recipe: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Return a function that runs a recipe and gives what it wrote as JSON."""
    monkeypatch.chdir(tmp_path)

    def go(name: str, *arguments: str) -> dict[str, Any]:
        load_recipe(name).main([*arguments, "--json", "table.json"])
        found: dict[str, Any] = json.loads(Path("table.json").read_text())
        printed = capsys.readouterr().out
        for row in found["rows"]:
            assert f"| {next(iter(row.values()))} " in printed
        return found

    return go


def percent(text: str) -> float:
    """Return the mean of a cell such as ``91.20 ± 0.31``."""
    value = float(text.split(" ± ")[0])
    assert 0 <= value <= 100
    return value


def by_name(found: dict[str, Any], column: str = "network") -> dict[str, dict[str, Any]]:
    return {row[column]: row for row in found["rows"]}


def texts_of(path: Path) -> set[str]:
    return {element.text or "" for element in ElementTree.parse(path).iter()}  # noqa: S314


def names_on_circles(path: Path) -> list[tuple[str, str]]:
    """Return names that lie on a circle or on each other, as (name, what it lies on)."""
    root = ElementTree.parse(path).getroot()  # noqa: S314  # our own text
    boxes: dict[str, tuple[float, float, float, float]] = {}
    circles = []
    for element in root:
        tag = element.tag.rpartition("}")[2]
        if tag == "text" and element.get("font-size") == "11":
            text, wide = element.text or "", 6 * len(element.text or "")
            right, bottom = float(element.get("x", 0)), float(element.get("y", 0)) + 2
            right += 0 if element.get("text-anchor") == "end" else wide
            boxes[text] = (right - wide, bottom - 10, right, bottom)
        elif tag == "circle":
            circles.append([float(element.get(key, 0)) for key in ("cx", "cy", "r")])
    found = []
    for text, (left, top, right, bottom) in boxes.items():
        for x, y, radius in circles:
            nearest = min(max(x, left), right), min(max(y, top), bottom)
            if math.dist(nearest, (x, y)) < radius:
                found.append((text, "circle"))
        for other, box in boxes.items():
            apart = right <= box[0] or box[2] <= left or bottom <= box[1] or box[3] <= top
            if other != text and not apart:
                found.append((text, other))
    return found


def test_names_on_circles_are_found(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    plot = load_recipe("_plot")
    circles = [plot.Circle(f"network-{k}", 10**6 + k, 50 + k / 1000, 1) for k in range(12)]
    plot.draw_circles(
        str(tmp_path / "a.svg"),
        [*circles, plot.Circle("far", 10**8, 90, 5)],
        title="t",
        x="x",
        y="y",
        note="area",
    )
    assert names_on_circles(tmp_path / "a.svg") == []
    (tmp_path / "b.svg").write_text(
        '<svg><circle cx="10" cy="10" r="5"/><text x="12" y="10" font-size="11">on</text>'
        '<text x="40" y="40" font-size="11">free</text></svg>'
    )
    assert names_on_circles(tmp_path / "b.svg") == [("on", "circle")]


def test_dense_against_convolution(run: Run, tmp_path: Path) -> None:
    found = run(
        "dense_against_convolution",
        *["--source", "digits", "--pictures", "600", "--epochs", "4", "--seeds", "2"],
        *["--plot", "errors.svg"],
    )
    rows = by_name(found)
    assert list(rows) == ["mlp", "cnn-mnist"]
    # 8×8 pictures: 64·512 + 512 + 512·10 + 10, and 2·2·64 = 256 values before the dense layer.
    assert rows["mlp"]["parameters"] == 38_410
    assert rows["mlp"]["multiply-adds"] == 64 * 512 + 512 * 10
    assert rows["cnn-mnist"]["parameters"] == 320 + 18_496 + 256 * 128 + 128 + 1_290
    assert rows["mlp"]["n"] == 2
    assert " ± " in rows["mlp"]["test accuracy %"]
    assert percent(rows["mlp"]["test accuracy %"]) > 50  # ten digits: guessing gives 10
    curve = found["test accuracy"]["mlp"]
    assert len(curve) == 4
    assert curve[-1] > curve[0]
    assert found["setting"]["seeds"] == 2
    assert {"cpu", "threads", "versions"} <= set(found["machine"])
    drawn = texts_of(tmp_path / "errors.svg")
    assert {"mlp, test", "mlp, training", "cnn-mnist, test", "epoch"} <= drawn


def test_padding_stride_pooling(run: Run) -> None:
    found = run("padding_stride_pooling", *SMALL, "--image-size", "12")
    rows = by_name(found)
    maps = {name: (row["map"], row["field"]) for name, row in rows.items()}
    assert maps == {
        "valid, max 2/2": ("12 → 5 → 1", 10),
        "same, max 2/2": ("12 → 6 → 3", 10),
        "same, average 2/2": ("12 → 6 → 3", 10),
        "same, max 3/2": ("12 → 6 → 3", 13),
        "same, stride 2": ("12 → 6 → 3", 7),
        "same, nothing": ("12 → 12 → 12", 5),
    }
    convs, head = 160 + 4_640, 32 * 10
    assert rows["valid, max 2/2"]["parameters"] == convs + head + 10
    assert rows["same, nothing"]["parameters"] == convs + head * 144 + 10
    work = {name: row["multiply-adds"] for name, row in rows.items()}
    assert work["same, max 2/2"] == 9 * 16 * 144 + 9 * 16 * 32 * 36 + head * 9
    assert work["same, stride 2"] == 9 * 16 * 36 + 9 * 16 * 32 * 9 + head * 9


def test_more_filters(run: Run, tmp_path: Path) -> None:
    rows = by_name(run("more_filters", *SMALL, "--plot", "filters.svg"))
    assert list(rows) == ["8 filters", "16 filters", "32 filters", "64 filters"]
    work = [row["multiply-adds"] for row in rows.values()]
    growth = [after / before for before, after in itertools.pairwise(work)]
    assert growth == sorted(growth)
    assert 2 < growth[0] < growth[-1] < 4
    assert set(rows) <= texts_of(tmp_path / "filters.svg")


def test_activations(run: Run) -> None:
    found = run("activations", *["--source", "digits", "--pictures", "500", "--epochs", "3"])
    rows = by_name(found, "activation")
    assert list(rows) == ["relu", "tanh", "sigmoid"]
    for name, row in rows.items():
        curves = found["training accuracy by rate"][name]
        assert set(curves) == {"0.003", "0.01", "0.03"}
        best = curves[row["best rate"]]
        assert row["training error %"] == f"{100 - 100 * best[-1]:.2f}"
        # A training ends with the epoch that reaches the target, and not before.
        reached = {rate: len(line) for rate, line in curves.items() if line[-1] >= 0.75}
        assert all(max(line[:-1], default=0) < 0.75 for line in curves.values())
        expected = f"{min(reached.values()):.1f}" if reached else "> 3"
        assert row["epochs to 25% error"] == expected
    assert percent(rows["relu"]["training error %"]) <= 25
    assert percent(rows["tanh"]["training error %"]) <= 25
    assert rows["sigmoid"]["epochs to 25% error"] == "> 3"


@pytest.mark.parametrize(
    ("accuracies", "epoch"),
    [([0.2, 0.74, 0.75, 0.9], 3), ([0.8], 1), ([0.1, 0.7499], math.inf)],
)
def test_epochs_to_the_target(
    load_recipe: Callable[[str], ModuleType], accuracies: list[float], epoch: float
) -> None:
    run = SimpleNamespace(history={"accuracy": accuracies})
    recipe = load_recipe("activations")
    assert recipe.epochs_to_target(run) == epoch
    assert recipe.speed([run, run]) == (epoch, pytest.approx(1 - accuracies[-1]))


def test_activations_stop_when_the_target_is_reached(
    load_recipe: Callable[[str], ModuleType],
) -> None:
    import nunbit

    stop = load_recipe("activations").StopAt(0.25)
    assert stop.on_epoch_end(nunbit.Moment(logs={"accuracy": 0.74})) is None
    answer = stop.on_epoch_end(nunbit.Moment(logs={"accuracy": 0.75}))
    assert answer == nunbit.Stop("training error is at most 25%")


def test_initialisation(run: Run, tmp_path: Path) -> None:
    found = run("initialisation", *SMALL, "--plot", "loss.svg")
    assert list(by_name(found, "start")) == ["glorot", "he", "too small", "too large"]
    last = {start: spreads[-1] for start, spreads in found["spread by layer"].items()}
    assert all(len(spreads) == 16 for spreads in found["spread by layer"].values())
    assert last["too small"] < 1e-4 < last["glorot"] < 0.02 < last["he"] < 2
    assert last["too large"] > 1e3
    # Same random numbers, each layer's weights twice as large: 2^16, and no bias adds to it.
    assert last["too large"] / last["he"] == pytest.approx(2**16, rel=1e-3)
    assert found["loss"]["too large"][0] > 100 > 3 > found["loss"]["he"][0]
    assert "too large" in texts_of(tmp_path / "loss.svg")
    assert "layer" in texts_of(tmp_path / "loss-spread.svg")


def test_dropout_lrn_overlap(run: Run) -> None:
    rows = by_name(run("dropout_lrn_overlap", *SMALL))
    assert set(rows) == {
        "none of them",
        "LRN, alpha as printed",
        "LRN",
        "overlapping pooling",
        "dropout",
        "all three",
    }
    assert len({row["parameters"] for row in rows.values()}) == 1  # nothing here has weights
    assert rows["none of them"]["gain, points"] == 0
    gain = percent(rows["LRN"]["test accuracy %"]) - percent(
        rows["none of them"]["test accuracy %"]
    )
    assert rows["LRN"]["gain, points"] == pytest.approx(gain, abs=0.02)


def test_degradation(run: Run) -> None:
    small = ["--source", "digits", "--pictures", "70", "--epochs", "1", "--image-size", "8"]
    found = run("degradation", *small)
    rows = by_name(found)
    assert list(rows) == ["plain-20", "plain-56", "resnet-20", "resnet-56"]
    for kind in ("plain", "resnet"):  # grey pictures: 2·9·16 weights fewer than the paper's
        assert rows[f"{kind}-20"]["parameters"] == 269_722 - 288
        assert rows[f"{kind}-56"]["parameters"] == 853_018 - 288
    assert rows["plain-56"]["multiply-adds"] == rows["resnet-56"]["multiply-adds"]
    for name, row in rows.items():
        assert row["training error %"] == f"{100 - 100 * found['training accuracy'][name][-1]:.2f}"
        assert row["test error %"] == f"{100 - 100 * found['test accuracy'][name][-1]:.2f}"
    assert found["setting"]["full"] is False


def test_shortcuts_help_twenty_layers_to_learn(run: Run, tmp_path: Path) -> None:
    small = ["--source", "digits", "--pictures", "200", "--epochs", "3", "--image-size", "8"]
    found = run("degradation", *small, *["--only", "plain-20", "resnet-20", "--plot", "e.svg"])
    rows = by_name(found)
    assert list(rows) == ["plain-20", "resnet-20"]
    assert percent(rows["resnet-20"]["training error %"]) < 30
    assert percent(rows["plain-20"]["training error %"]) > 50
    assert {"plain-20, test", "resnet-20, training"} <= texts_of(tmp_path / "e.svg")


def test_sequences(run: Run) -> None:
    found = run("sequences", "--epochs", "5", "--seeds", "1")
    rows = by_name(found)
    assert list(rows) == ["mlp", "conv1d, rows", "conv1d, pixels"]
    # A filter over 5 steps: 16 values a step by rows, one by pixels; then 16, 32, 64 filters.
    deeper = 5 * 16 * 32 + 32 + 5 * 32 * 64 + 64 + 64 * 64 + 64 + 64 * 5 + 5
    assert rows["conv1d, rows"]["parameters"] == 5 * 16 * 16 + 16 + deeper
    assert rows["conv1d, pixels"]["parameters"] == 5 * 16 + 16 + deeper
    # 16, 8, 4 steps by rows; 256, 128, 64 by pixels.
    dense = 64 * 64 + 64 * 5
    rest = 8 * 5 * 16 * 32 + 4 * 5 * 32 * 64
    assert rows["conv1d, rows"]["multiply-adds"] == 16 * 5 * 16 * 16 + rest + dense
    assert rows["conv1d, pixels"]["multiply-adds"] == 256 * 5 * 16 + 16 * rest + dense
    assert percent(rows["mlp"]["test accuracy %"]) < 50
    assert percent(rows["conv1d, pixels"]["test accuracy %"]) > 80


def test_degradation_drops_the_rate_after_the_papers_steps(
    load_recipe: Callable[[str], ModuleType],
) -> None:
    import nunbit

    recipe = load_recipe("degradation")
    drop = recipe.DropAtSteps(*recipe.DROPS)
    asked = [
        (epoch, step, answer.lr)
        for epoch in range(recipe.FULL.epochs)
        for step in range(1, 392)
        if (answer := drop.on_train_batch_end(nunbit.Moment(epoch, step, 164, 391, lr=0.1)))
    ]
    # 391 steps of 128 pictures are an epoch of 50,000; both drops lie within the 164 epochs.
    assert asked == [(81, 32_000 - 81 * 391, 0.01), (122, 48_000 - 122 * 391, 0.01)]


def test_the_drop_reaches_the_optimizer(
    load_recipe: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    import nunbit

    recipe, common = load_recipe("degradation"), load_recipe("_common")
    arguments = ["--source", "digits", "--pictures", "64", "--epochs", "3"]
    setting = common.ask("", source="", quick=recipe.QUICK, full=recipe.FULL, arguments=arguments)
    model = nunbit.create_model("mlp", classes=10, image_size=16, channels=1)
    history = nunbit.fit(
        model,
        common.load_pictures(setting),
        epochs=3,
        options=nunbit.TrainOptions(optimizer="sgd", schedule="constant", lr=0.1, batch_size=32),
        callbacks=[recipe.DropAtSteps(2, 4)],
        out=tmp_path / "run",
        progress=False,
    )
    assert history["lr"] == pytest.approx([0.1, 0.01, 0.001])  # two steps an epoch


def test_all_networks(run: Run, tmp_path: Path) -> None:
    rows = by_name(run("all_networks", "--plot", "networks.svg"))
    assert list(rows) == network_names()
    assert rows["cnn-mnist"]["parameters"] == 1_199_882
    assert rows["resnet-50"]["parameters"] == 25_557_032
    assert rows["resnet-50"]["multiply-adds"] == 4_089_184_256
    assert rows["resnet-20"]["multiply-adds"] == 40_551_040
    assert rows["mlp"]["in dense layers %"] == 100
    # The head, 1,025,000, and in training two auxiliary classifiers of 3,123,176 each.
    assert rows["googlenet"]["in dense layers %"] == 54
    assert rows["lenet-5"]["picture"] == "1×28×28"
    assert {"resnet-50", "vgg-d", "googlenet-bn"} <= texts_of(tmp_path / "networks.svg")
    drawn = {
        name
        for text in texts_of(tmp_path / "networks-size.svg")
        for name in text.split(", ")
        if name in rows
    }
    assert drawn == set(rows)
    assert "resnet-20, plain-20" in texts_of(tmp_path / "networks-size.svg")
    for name in ("networks.svg", "networks-size.svg"):
        assert names_on_circles(tmp_path / name) == []


def test_runs_that_are_kept_are_not_made_again(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["more_filters", *SMALL, "--only", "8 filters", "--out", "kept"]
    first = run(*words)
    model = tmp_path / "kept" / "8-filters-0" / "model.safetensors"
    written = model.stat().st_mtime_ns
    second = run(*words)
    assert model.stat().st_mtime_ns == written
    assert second["rows"] == first["rows"]


@pytest.mark.parametrize("name", ALL)
def test_the_head_says_what_and_how(name: str) -> None:
    text = (RECIPES / f"{name}.py").read_text()
    head = text.split('"""')[1]
    assert f"python recipes/{name}.py" in head
    assert "What to look at:" in head
    assert "Takes:" in head
    assert "Measured:" in head
    assert f"`{name}.py`" in (RECIPES / "README.md").read_text()


def test_a_recipe_is_a_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(RECIPES / "more_filters.py"), "--seeds", "0"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path))),
        },
        check=False,
    )
    assert done.returncode == 2
    assert "argument --seeds: 0, expected 1 or more" in done.stderr


def test_an_unknown_row_is_said(run: Run) -> None:
    with pytest.raises(SystemExit, match="no row `9 filters`; there are: 8 filters, 16 filters"):
        run("more_filters", *SMALL, "--only", "9 filters")
