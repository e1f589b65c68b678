"""Where and how to compute: what is chosen changes speed, never meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import nunbit
from nunbit.errors import OptionError
from nunbit.training import device as device_module
from nunbit.training.device import make_plan

DENSE = nunbit.create_model("mlp", classes=2).network
CONVOLVING = nunbit.create_model("cnn-mnist", classes=2).network


@pytest.mark.parametrize(
    ("precision", "able", "expected"),
    [
        ("float32", True, False),
        ("bfloat16", True, True),
        ("bfloat16", False, True),
        ("auto", True, True),
        ("auto", False, False),
    ],
)
def test_bfloat16_where_asked_for_or_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, precision: str, able: bool, expected: bool
) -> None:
    monkeypatch.setattr(device_module, "_has_bfloat16", lambda device: able)
    assert (
        make_plan(nunbit.TrainOptions(device="cpu", precision=precision), network=DENSE).bfloat16
        is expected
    )


def test_channels_last_where_there_are_convolutions() -> None:
    assert not make_plan(
        nunbit.TrainOptions(device="cpu", precision="float32"), network=DENSE
    ).channels_last
    assert make_plan(
        nunbit.TrainOptions(device="cpu", precision="float32"), network=CONVOLVING
    ).channels_last


def test_the_plan_in_a_line() -> None:
    plan = make_plan(nunbit.TrainOptions(device="cpu", precision="bfloat16"), network=CONVOLVING)
    assert plan.describe() == f"cpu, {torch.get_num_threads()} threads, bfloat16, channels last"
    assert plan.loader_threads >= 1


def test_auto_takes_the_best_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert make_plan(
        nunbit.TrainOptions(device="auto", precision="float32"), network=DENSE
    ).device == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert make_plan(
        nunbit.TrainOptions(device="auto", precision="float32"), network=DENSE
    ).device == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert make_plan(
        nunbit.TrainOptions(device="auto", precision="float32"), network=DENSE
    ).device == torch.device("cuda")


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "gpu", "cpu:", "cpu:00", "cuda:²", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"device is `{name}`, expected auto, cpu, cuda"):
        make_plan(nunbit.TrainOptions(device=name, precision="float32"), network=DENSE)


@pytest.mark.parametrize(("name", "there"), [("cuda", 0), ("cuda:1", 1), ("mps", 0), ("cpu:1", 1)])
def test_an_absent_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, there: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    kind = name.partition(":")[0]
    message = (
        f"device `{name}` is not there: this machine has {there} `{kind}` devices.*--device cpu"
    )
    with pytest.raises(OptionError, match=message):
        make_plan(nunbit.TrainOptions(device=name, precision="float32"), network=DENSE)


def test_an_absent_device_leaves_no_folder(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(OptionError, match="device `cuda` is not there"):
        run(tiny, device="cuda")
    assert not (tmp_path / "run").exists()


def test_both_precisions_learn_alike(run: Any, digits: nunbit.Pictures, tmp_path: Path) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        found[precision] = run(
            digits, epochs=4, batch_size=64, lr=0.002, precision=precision, out=tmp_path / precision
        )
    one, two = found["float32"], found["bfloat16"]
    assert one["loss"] != two["loss"]  # bfloat16 was in fact used
    assert two["loss"][-1] == pytest.approx(one["loss"][-1], rel=0.1)
    assert two["val_accuracy"][-1] == pytest.approx(one["val_accuracy"][-1], abs=0.03)
    assert "bfloat16" in two.plan
    assert (one.options.precision, two.options.precision) == ("float32", "bfloat16")


def test_scores_are_computed_in_float32(run: Any, tiny: nunbit.Pictures) -> None:
    model = nunbit.create_model_for(tiny, network="cnn-mnist")
    seen: dict[bool, set[Any]] = {True: set(), False: set()}
    model.network.head.register_forward_hook(  # type: ignore[union-attr]
        lambda layer, given, made: seen[layer.training].add((given[0].dtype, made.dtype))
    )
    history = run(tiny, model=model, epochs=1, precision="bfloat16")
    assert seen[True] == {(torch.bfloat16, torch.bfloat16)}
    assert seen[False] == {(torch.float32, torch.float32)}
    assert {value.dtype for value in model.network.state_dict().values()} == {torch.float32}
    scored = nunbit.evaluate(model, tiny.validation)
    assert history["val_loss"][0] == pytest.approx(scored["loss"], rel=1e-5)
