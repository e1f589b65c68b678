"""Options of a network: from Python, as they are typed, and in a run that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from torch import nn

import nunbit
from nunbit.cli._network_facts import option_texts
from nunbit.cli.main import run
from nunbit.errors import CheckpointError, OptionError
from nunbit.networks import NetworkInfo, find_network, read_network_options, replace_head
from nunbit.networks._options import check_network_options
from nunbit.networks._split import split_network
from nunbit.networks._timm import TimmNetwork
from nunbit.options import Option


class Odd(nn.Module):
    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        shortcut: Literal["A", "B"] = "A",
        rate: Annotated[float, Option("Share of the odd.", low=0, high=1)] = 0.5,
        filters: tuple[int, ...] = (8,),
        zero: bool = False,
        depth: int = 3,
    ) -> None:
        super().__init__()


ODD = NetworkInfo("odd", "a network", "here", 8, 1, fixed={"depth": 4}, make=Odd)


def test_options_as_they_are_typed() -> None:
    typed = ["shortcut=B", "rate = 1", "filters=[4, 8]", "zero=true"]
    assert read_network_options(ODD, typed) == {
        "shortcut": "B",
        "rate": 1.0,
        "filters": (4, 8),
        "zero": True,
    }
    assert read_network_options(ODD, []) == {}
    assert "depth" not in ODD.options, "it belongs to the name"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("shortcut", r"`shortcut` is not understood, expected NAME=VALUE, such as `shortcut=A`"),
        ("=3", r"network option `=3` is not understood"),
        ("shortcut=C", r"network `odd`: `shortcut` is 'C', expected one of `A`, `B`\."),
        ("shortcutt=A", r"network `odd` has no option `shortcutt`. Did you mean `shortcut`\?"),
        ("depth=9", r"network `odd` has no option `depth`"),
        ("zero=1", r"`zero` is 1, expected bool"),
        ("rate=fast", r"`rate` is 'fast', expected float"),
        ("filters=8", r"`filters` is 8, expected tuple"),
        ("rate=2", r"network `odd`: `rate` is 2\.0, expected 0 <= value <= 1\."),
        ("rate=nan", r"`rate` is nan, expected 0 <= value <= 1"),
        ("rate=-inf", r"`rate` is -inf, expected 0 <= value <= 1"),
        (f"rate=1{'0' * 150}", r"`rate` is 1e\+150, expected 0 <= value <= 1"),
        (f"rate=1{'0' * 400}", r"`rate` is '1000*', expected float 0 <= value <= 1"),
        (f"depht_=1{'0' * 5000}", r"network `odd` has no option `depht_`"),
        ("rate=1979-05-27", r"`rate` is '1979-05-27', expected float 0 <= value <= 1"),
        ("rate=07:32:00", r"`rate` is '07:32:00', expected float"),
        ("rate={low = 1}", r"`rate` is '{low = 1}', expected float"),
        ("rate=0.5\nzero = true", r"`rate` is '0.5\\nzero = true', expected float"),
        ("rate=", r"`rate` is '', expected float"),
        (f"filters={'[' * 190}", r"`filters` is '\[\[.*, expected tuple"),
    ],
)
def test_wrong_options(typed: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_network_options(ODD, [typed])


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["rate=1", "rate=1"], r"`rate` is given twice: `rate=1` and `rate=1`. Pass it once\."),
        (["zero=true", "rate=1", "rate = 0"], r"`rate` is given twice: `rate=1` and `rate = 0`"),
    ],
)
def test_the_same_option_twice(typed: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_network_options(ODD, typed)


def test_numbers_too_large_for_a_float() -> None:
    for value in (10**400, -(10**400)):
        with pytest.raises(OptionError, match=r"`rate` is -?1000*, expected 0 <= value <= 1"):
            check_network_options(ODD, {"rate": value})


def test_what_the_command_line_says_of_a_wrong_number(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "digits", "--network", "mlp", "--network-option", "width=0"]
    assert run(words) == 2
    assert "network `mlp`: `width` is 0, expected 1 <= value <= " in capsys.readouterr().err


def test_all_wrong_kinds_are_told_at_once() -> None:
    with pytest.raises(OptionError, match=r"`rate` is 'x'.*; `zero` is 3"):
        check_network_options(ODD, {"rate": "x", "zero": 3})


def test_what_is_said_of_an_option() -> None:
    assert option_texts(ODD) == {
        "shortcut": "(one of A, B)",
        "rate": "Share of the odd. (0 <= value <= 1)",
        "filters": "",
        "zero": "",
    }
    assert option_texts(find_network("vgg-a"))["pool_to"].endswith(
        "pixels. (cells, 0 <= value <= 64)"
    )


def test_networks_of_timm_have_ranges_too() -> None:
    info = NetworkInfo("timm/x", "a network", "timm", 8, 3, fixed={"model": "x"}, make=TimmNetwork)
    with pytest.raises(OptionError, match=r"`timm/x`: `dropout` is 2\.0, expected 0 <= value <= 1"):
        check_network_options(info, {"dropout": 2})


def test_create_model_takes_them_and_the_file_keeps_them(tmp_path: Path) -> None:
    model = nunbit.create_model("mlp", classes=3, image_size=8, network_options={"width": 7})
    assert model.parameters == 64 * 7 + 7 + 7 * 3 + 3
    again = nunbit.Model.load(model.save(tmp_path / "m.safetensors"))
    assert again.network_options == {"width": 7}
    assert again.parameters == model.parameters


def test_a_run_has_them_and_goes_on_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", "digits", "--network", "mlp", "--network-option", "width=9"]
    assert run([*command, "--epochs", "2", "--out", "one", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["parameters"] == 64 * 9 + 9 + 9 * 10 + 10
    page = Path("one/report.html").read_text("utf-8")
    assert "--network-option width=9" in page, "the command that repeats it"
    assert run([*command[:-1], "wdith=9"]) == 2
    assert "Did you mean `width`?" in capsys.readouterr().err


class StopOnce(nunbit.Callback):
    asked = True

    def on_epoch_begin(self, moment: nunbit.Moment) -> None:
        if moment.epoch == 1 and StopOnce.asked:
            StopOnce.asked = False
            raise KeyboardInterrupt


def test_a_run_that_was_stopped_goes_on_with_its_network_options(tmp_path: Path) -> None:
    pictures = nunbit.load("digits")

    def fit(width: int, **how: Any) -> None:
        options = {"width": width}
        model = nunbit.create_model_for(pictures, network="mlp", network_options=options)
        how |= {"epochs": 2, "callbacks": [StopOnce()], "progress": False}
        nunbit.fit(model, pictures, **how)

    StopOnce.asked = True
    with pytest.raises(KeyboardInterrupt):
        fit(9, out=tmp_path / "r")
    assert json.loads((tmp_path / "r" / "options.json").read_text())["network_options"] == {
        "width": 9
    }
    with pytest.raises(
        CheckpointError, match=r"network_options was {'width': 9}, got {'width': 8}"
    ):
        fit(8, resume=tmp_path / "r")
    fit(9, resume=tmp_path / "r")
    assert nunbit.Model.load(tmp_path / "r").network_options == {"width": 9}


def test_a_new_head_for_other_classes() -> None:
    network = nunbit.create_model("mlp", classes=3, image_size=8).network.double()
    replace_head(network, 5)
    assert network(torch.zeros(2, 1, 8, 8, dtype=torch.float64)).shape == (2, 5)


def test_a_network_of_one_part_is_not_split() -> None:
    network = nunbit.create_model("mlp", classes=3, image_size=8).network
    with pytest.raises(OptionError, match=r"`mlp` is one part and cannot be split over 2 devices"):
        split_network(network, [torch.device("cpu")] * 2, name="mlp")
    split_network(network, [torch.device("cpu")], name="mlp")


def test_find_network_knows_other_names() -> None:
    assert find_network("mlp").aliases == ()
