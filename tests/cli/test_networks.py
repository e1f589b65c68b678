"""``nunbit networks`` as a user types it."""

from __future__ import annotations

import io
import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from nunbit.cli._network_facts import option_texts, short_count
from nunbit.cli.main import run
from nunbit.networks import describe, find_network, network_names, published_weights


def json_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run(["networks", *words, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert isinstance(made, dict)
    return made


def text_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["networks", *words]) == 0
    return capsys.readouterr().out


def test_the_list_has_every_network_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = text_of([], capsys).splitlines()
    assert max(map(len, lines)) <= 100
    for name in network_names():
        rows = [line for line in lines if re.match(rf"{re.escape(name)}[, ]", line)]
        assert len(rows) == 1, name
    row = next(line for line in lines if line.startswith("vgg-d,"))
    assert re.fullmatch(
        r"vgg-d, vgg16 +3×224×224 +138,357,544 +15\.47 G  2014  25\.6 % top-1, 8\.1 % top-5", row
    )
    assert any("arXiv:1409.1556; reported error on ImageNet (paper)" in line for line in lines)
    assert "LeCun et al. 1998 – LeNet-5 with its connection table and learnt sub-sampling" in lines
    assert "`nunbit networks NAME` shows one" in lines[-2]
    assert lines[-1].endswith("timm/NAME is a network of timm.")


def test_what_reported_values_depend_on_are_footnotes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = text_of([], capsys)
    row = re.search(r"^resnet-18 .* 2015  27\.88 % top-1 (\[\d\])$", text, re.M)
    assert row is not None
    assert f"{row[1]} 10 crops, shortcut A" in text
    row = re.search(r"^resnet-152 .* 21\.43 % top-1, 5\.71 % top-5 (\[\d\])$", text, re.M)
    assert row is not None
    assert f"{row[1]} 10 crops, v1" in text


@pytest.mark.parametrize("width", [80, 100, 150, 220])
def test_the_list_is_as_wide_as_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = text_of([], capsys).splitlines()
    assert max(map(len, lines)) <= width
    row = next(line for line in lines if line.startswith("resnet-18"))
    assert ("11,689,512" in row, " 11.69 M " in row) == (width >= 100, width < 100)
    assert ("residual network of" in row) == (width >= 150)
    assert re.search(r" 2015  27\.88 % top-1 \[\d\]", row)


@pytest.mark.parametrize("name", ["resnet-152", "googlenet", "conv1d", "alexnet", "mlp"])
@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_layer_table_is_as_wide_as_the_terminal(
    name: str, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = text_of([name], capsys).partition("\n\n")[2]
    assert max(map(len, text.splitlines())) <= width
    shown = describe(name)
    for layer in shown.layers:
        assert re.search(rf"^{re.escape(layer.name)} ", text, re.M), layer.name
    if width == 160:
        assert re.search(rf"^total +{shown.parameters:,} +{shown.multiply_adds:,} ", text, re.M)
    if (name, width) == ("resnet-152", 80):
        assert re.search(r"^conv1 +conv 7×7 /2 +64×112×112 +9\.41k +118M +7$", text, re.M)
        assert re.search(r"^memory of all outputs: \d+\.\d MB$", text, re.M)
        assert "/2 is stride 2" in text


def test_the_list_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in json_of([], capsys)["networks"]}
    assert list(rows) == network_names()
    assert rows["vgg-d"] == {
        "name": "vgg-d",
        "aliases": list(find_network("vgg-d").aliases),
        "title": find_network("vgg-d").title,
        "source": find_network("vgg-d").source,
        "year": 2014,
        "reported": find_network("vgg-d").reported,
        "input": [3, 224, 224],
        "outputs": 1000,
        "parameters": 138_357_544,
        "multiply_adds": 15_470_264_320,
    }
    assert rows["cnn-mnist"]["outputs"] == 10
    assert rows["cnn-mnist"]["year"] is None


def test_the_list_for_small_pictures_says_what_does_not_fit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = json_of(["--image-size", "8", "--channels", "1", "--outputs", "7"], capsys)
    rows = {row["name"]: row for row in made["networks"]}
    assert rows["auto"]["input"] == [1, 8, 8]
    assert rows["auto"]["outputs"] == 7
    assert "cnn-cats-dogs" not in rows
    assert any(
        re.match(r"cnn-cats-dogs: .*at least 16×16 pixels, got 8×8", text)
        for text in made["left_out"]
    )
    assert set(rows) | {text.split(":")[0] for text in made["left_out"]} == set(network_names())
    lines = text_of(["--image-size", "4"], capsys).splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("left out"))
    assert lines[first].startswith("left out, with the least side they need: cnn-mnist (6), conv1d")
    assert " ".join(lines).endswith("vgg-e-bn (32), alexnet-owt (63), alexnet (64)")
    assert len(lines) - first <= 4


def test_one_network_by_any_of_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    made = json_of(["vgg16"], capsys)
    assert made["name"] == "vgg-d"
    assert sum(layer["parameters"] for layer in made["layers"]) == made["parameters"]
    assert sum(layer["memory_bytes"] for layer in made["layers"]) == made["memory_bytes"]
    assert made["weights"] == ["imagenet"]
    assert made["options"] == find_network("vgg-d").options
    assert made["layers"][2] == {
        "name": "body.2",
        "kind": "conv 3×3, padding 1",
        "output": [64, 224, 224],
        "parameters": 36_928,
        "multiply_adds": 1_849_688_064,
        "receptive_field": [5, 5],
        "memory_bytes": 64 * 224 * 224 * 4,
    }
    assert made["layers"][-1]["receptive_field"] == "all"


def test_one_network_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    text = text_of(["cnn-mnist"], capsys)
    assert re.search(r"^body\.2 +conv 3×3 +64×24×24 +18,496 +10,616,832 +5 +147\.5 kB$", text, re.M)
    assert re.search(r"^head +dense +10 +1,290 +1,280 +all +40 bytes$", text, re.M)
    assert re.search(r"^total +1,199,882 +11,992,448 +\d+\.\d kB$", text, re.M)
    assert re.search(r"^Options +dropout=0\.25  Share of values dropped after pooling", text, re.M)
    assert "99.01 % on MNIST (course)" in text
    aliased = text_of(["vgg-d"], capsys)
    assert re.search(r"^Also named +vgg16$", aliased, re.M)
    assert re.search(r"^Weights +imagenet$", aliased, re.M)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("lenet5", "lenet-5"),
        ("LeNet-5", "lenet-5"),
        ("VGG16", "vgg-d"),
        ("vgg-16", "vgg-d"),
        ("VGG16_BN", "vgg-d-bn"),
        ("ResNet-18", "resnet-18"),
        ("resnet_18", "resnet-18"),
        ("GoogLeNet", "googlenet"),
        ("Inception_v1", "googlenet"),
    ],
)
def test_capitals_and_dashes_of_a_name_make_no_difference(typed: str, name: str) -> None:
    assert find_network(typed) is find_network(name)
    assert find_network(typed).name == name


@pytest.mark.parametrize(("name", "end"), [("plain-34", "ImageNet"), ("plain-56", "CIFAR-10")])
def test_titles_of_plain_networks_stand_by_themselves(name: str, end: str) -> None:
    depth = name.removeprefix("plain-")
    expected = f"plain network of {depth} layers, without shortcuts, for {end}"
    assert find_network(name).title == expected


def test_layers_of_training_only_are_listed_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = json_of(["googlenet"], capsys)
    extra = [layer for layer in made["layers"] if not layer["output"]]
    assert sum(layer["parameters"] for layer in extra) == 6_379_728
    assert made["parameters"] - 6_379_728 == 6_998_552
    assert all("(training only)" in layer["kind"] for layer in extra)


def test_options_of_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    made = json_of(["mlp", "--network-option", "width=8", "--image-size", "10"], capsys)
    assert made["parameters"] == 100 * 8 + 8 + 8 * 10 + 10
    assert made["options"] == {"width": 8}
    text = text_of(["cnn-mnist", "--network-option", "dropout=0.333333333"], capsys)
    assert re.search(r"^Options +dropout=0\.333333  Share", text, re.M)


def test_options_are_aligned_with_the_facts_and_bare_of_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("mlp", "vgg-d", "resnet-18"):
        lines = text_of([name], capsys).splitlines()
        options = [line for line in lines[: lines.index("")] if re.search(r"^[ \w]+  \w+=", line)]
        assert len(options) == len(find_network(name).options)
        start = lines[0].index(name)
        assert {re.match(r"(Options)? +", line).end() for line in options} == {start}  # type: ignore[union-attr]
        assert "`" not in "".join(lines)


def test_published_weights(capsys: pytest.CaptureFixture[str]) -> None:
    made = json_of(["--weights"], capsys)["weights"]
    assert len(made) == len(published_weights())
    assert {"network": "resnet-50", "name": "imagenet-v2", "top1_percent": 80.858}.items() <= next(
        row for row in made if row["file"] == "resnet50-11ad3fa6.pth"
    ).items()
    lines = text_of(["resnet50", "--weights"], capsys).splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["resnet-50", "imagenet"],
        ["resnet-50", "imagenet-v2"],
    ]
    assert re.search(r"80\.86 % +95\.43 % +102\.5 MB", lines[2])


def test_the_drawing_is_written_before_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", Closed())
    run(["networks", "mlp", "--plot", "mlp.svg"])
    assert (tmp_path / "mlp.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize("words", [["networks", "mlp"], ["networks", "mlp", "--json"], ["--help"]])
def test_output_that_takes_ascii_alone(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert run(words) == 0
    sys.stdout.flush()
    text = raw.getvalue().decode("ascii")
    if "--json" in words:
        assert json.loads(text)["input"] == [1, 28, 28]
    elif "mlp" in words:
        assert re.search(r"^Input +1x28x28$", text, re.M)


def test_the_help_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    text = text_of(["--help"], capsys)
    assert "Counted are weights and biases; multiplications with their addition;\nwhat" in text
    assert "timm/NAME" in text


def test_a_drawing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "drawn in lenet.svg" in text_of(["cnn-mnist", "--plot", "lenet.svg"], capsys)
    root = ET.fromstring((tmp_path / "lenet.svg").read_text(encoding="utf-8"))  # noqa: S314
    assert root.tag.endswith("svg")
    again = json_of(["cnn-mnist", "--outputs", "3", "--plot", "lenet.svg"], capsys)
    assert again["plot"] == "lenet.svg"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vgg-dd"], r"unknown network `vgg-dd`\. Did you mean `vgg-d`\?"),
        (["vgg"], r"unknown network `vgg`\. It is a family; name one of it: vgg-a, vgg-a-lrn, "),
        (["ResNet"], r"name one of it: resnet-18, .*resnet-20, .*resnet-110\. `nunbit networks`"),
        (["inception"], r"name one of it: googlenet \(inception-v1\)\."),
        (["lenet"], r"name one of it: lenet-5, lenet-5-modern\."),
        (
            ["cnn-mnist", "--image-size", "5"],
            r"at least 6×6 pixels, got 5×5\. Pass `--image-size 6`",
        ),
        (["mlp", "--channels", "4"], r"1 <= value <= 3"),
        (["mlp", "--network-option", "widht=8"], r"no option `widht`\. Did you mean `width`"),
        (["mlp", "--network-option", "width"], r"expected NAME=VALUE"),
        (["--plot", "all.svg"], r"`--plot` needs a network"),
        (["mlp", "--plot", "gone/mlp.svg"], r"the folder `gone` is not there\. Make it first"),
        (["mlp", "--plot", "notes.svg"], r"is no drawing of `nunbit networks`; it is not overwr"),
        (
            ["mlp", "--weights"],
            r"no published weights for the network `mlp`; there are for alexnet",
        ),
        (
            ["resnet-18", "--weights", "--plot", "r.svg"],
            r"lists published weights as they are; `--plot` would change nothing there\. "
            r"Leave out either `--weights` or `--plot`\.",
        ),
        (["--weights", "--image-size", "64", "--outputs", "3"], r"`--image-size`, `--outputs` wo"),
        (["vgg-d", "--weights", "--network-option", "dropout=0"], r"`--network-option` would ch"),
        (["mlp", "--plot", ""], r"`--plot` is empty\. Give the drawing a name"),
        (["--weights", "--image-szie", "8"], r"nunbit networks --help"),
    ],
)
def test_what_the_user_gave_is_wrong(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.svg").write_text("mine", encoding="utf-8")
    assert run(["networks", *words]) == 2
    said = capsys.readouterr()
    assert re.search(message, said.err), said.err
    assert said.out == ""
    assert (tmp_path / "notes.svg").read_text(encoding="utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.svg"]


@pytest.mark.parametrize("name", network_names())
def test_every_option_is_explained(name: str) -> None:
    info = find_network(name)
    texts = option_texts(info)
    for option in info.options:
        assert texts.get(option), f"{name}: `{option}` has no sentence"


def test_counts_are_written_short() -> None:
    assert short_count(999_000_000) == "999.00 M"
    assert short_count(1_000_000_000) == "1.00 G"
    assert short_count(1_000) == "1.00 k"
