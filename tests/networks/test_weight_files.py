"""Files of weights from anywhere: what is taken, and what is refused in which words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from nunbit.errors import ModelFileError
from nunbit.networks._weight_files import file_sha256, read_weight_file

WEIGHTS = {"conv.weight": torch.arange(6.0).view(2, 3), "conv.bias": torch.tensor([0.5, -1])}


def same(found: dict[str, Tensor]) -> bool:
    return set(found) == set(WEIGHTS) and all(found[key].equal(WEIGHTS[key]) for key in WEIGHTS)


def write_old(what: Any, path: Path) -> None:
    torch.save(what, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [torch.save, write_old, save_file])
def test_all_three_formats_are_read_whatever_the_file_is_called(
    write: Callable[..., None], tmp_path: Path
) -> None:
    write(WEIGHTS, tmp_path / "weights.txt")
    assert same(read_weight_file(tmp_path / "weights.txt"))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: {"state_dict": w, "epoch": 3},
        lambda w: {"epoch": 3, "model": w, "optimizer": {"state": {}}},
        lambda w: {"state_dict": {"model": w}},
        lambda w: {f"module.{k}": v for k, v in w.items()},
        lambda w: {"state_dict": {f"module._orig_mod.{k}": v for k, v in w.items()}},
        lambda w: {"state_dict": {f"model.{k}": v for k, v in w.items()}},
    ],
    ids=["state_dict", "model", "nested", "parallel", "compiled", "lightning"],
)
def test_what_training_programs_put_around_weights_is_taken_off(
    wrap: Callable[[dict[str, Tensor]], Any], tmp_path: Path
) -> None:
    torch.save(wrap(WEIGHTS), tmp_path / "w.pth")
    assert same(read_weight_file(tmp_path / "w.pth"))


@pytest.mark.parametrize("write", [torch.save, write_old])
def test_a_file_that_would_run_code_is_not_opened(
    write: Callable[..., None], tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.system, (f"touch {tmp_path / 'exploded'}",))  # the point

    write({**WEIGHTS, "extra": Bomb()}, tmp_path / "w.pth")
    with pytest.raises(
        ModelFileError,
        match=r"`.*w.pth` holds more than weights: opening it would run `posix.system`, so it was "
        r"not opened.*torch.save\(model.state_dict\(\), FILE\)",
    ):
        read_weight_file(tmp_path / "w.pth")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (nn.Linear(2, 2), "would run `torch.nn.modules.linear.Linear`, so it was not opened"),
        ({"w": WEIGHTS["conv.bias"], "best": np.float64(3)}, "would run `numpy.*scalar`"),
        ([1, 2], "holds a list, expected tensors by name"),
        ({"epoch": 3}, "other things than tensors by name: `epoch` is a int"),
        ({**WEIGHTS, "lr": 0.1}, "other things than tensors by name: `lr` is a float"),
        ({}, "other things than tensors by name: is empty"),
        (
            {"a": torch.ones(2), "b": torch.tensor([1, float("nan")])},
            "no finite numbers: 1 of 2 tensors, the first `b`",
        ),
        ({"a": torch.tensor([float("inf")])}, "no finite numbers"),
    ],
)
def test_files_that_hold_something_else(what: Any, message: str, tmp_path: Path) -> None:
    torch.save(what, tmp_path / "w.pth")
    with pytest.raises(ModelFileError, match=message):
        read_weight_file(tmp_path / "w.pth")


def test_large_numbers_whose_sum_is_too_large_are_weights(tmp_path: Path) -> None:
    torch.save({"a": torch.full((9,), 3e38)}, tmp_path / "w.pth")
    assert read_weight_file(tmp_path / "w.pth")["a"].shape == (9,)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.995])
@pytest.mark.parametrize("write", [torch.save, write_old, save_file])
def test_a_truncated_file(write: Callable[..., None], share: float, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    write({"a": torch.rand(500)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelFileError, match=r"w.pth` is truncated.* damaged.*Get it again"):
        read_weight_file(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"none.pth` cannot be read: No such file or dir.*pth"):
        read_weight_file(tmp_path / "none.pth")
    with pytest.raises(ModelFileError, match="cannot be read: Is a directory"):
        read_weight_file(tmp_path)
    with pytest.raises(ModelFileError, match="No such file"):
        file_sha256(tmp_path / "none.pth")


@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=3)), max_size=3),
    end=st.one_of(st.none(), st.floats(0, 1)),
    kind=st.sampled_from(["new", "old", "safe"]),
)
def test_any_change_of_a_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[float, bytes]],
    end: float | None,
    kind: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz-{kind}.pth"
    {"new": torch.save, "old": write_old, "safe": save_file}[kind](WEIGHTS, path)
    raw = bytearray(path.read_bytes())
    for share, new in changes:
        start = int(share * (len(raw) - len(new)))
        raw[start : start + len(new)] = new
    path.write_bytes(raw if end is None else raw[: int(end * len(raw))])
    try:
        found = read_weight_file(path)
    except ModelFileError as error:
        assert path.name in str(error)  # noqa: PT017  # all raised errors are looked at
    else:
        assert all(isinstance(each, Tensor) for each in found.values())


# --- Kinds of numbers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("odd", "kind"),
    [
        (torch.empty(3, device="meta"), "without numbers"),
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.eye(3, dtype=torch.complex64), "of the type complex64"),
    ],
)
def test_kinds_of_numbers_that_no_network_has(odd: Tensor, kind: str, tmp_path: Path) -> None:
    torch.save({**WEIGHTS, "odd": odd}, tmp_path / "w.pth")
    with pytest.raises(
        ModelFileError,
        match=rf"w.pth` has weights that cannot be used: `odd` is {kind}.*each.float\(\)",
    ):
        read_weight_file(tmp_path / "w.pth")


@pytest.mark.filterwarnings("ignore")  # PyTorch's: quantised tensors are going away
def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    try:
        odd = torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.quint8)
    except (AttributeError, RuntimeError):
        pytest.skip("this PyTorch has no quantised tensors")
    torch.save({**WEIGHTS, "odd": odd}, tmp_path / "w.pth")
    with pytest.raises(ModelFileError, match=r"`odd` is quantised|would run|no file of weights"):
        read_weight_file(tmp_path / "w.pth")


@pytest.mark.parametrize("write", [torch.save, save_file])
def test_short_floats_are_read_as_what_they_are(write: Callable[..., None], tmp_path: Path) -> None:
    numbers = torch.tensor([0.5, -1.5, 3])
    kinds = {
        "eight": torch.float8_e4m3fn,
        "other": torch.float8_e5m2,
        "half": torch.float16,
        "brain": torch.bfloat16,
    }
    write({name: numbers.to(kind) for name, kind in kinds.items()}, tmp_path / "w.pth")
    found = read_weight_file(tmp_path / "w.pth")
    assert all(each.float().equal(numbers) for each in found.values())
    assert found["eight"].dtype is torch.float32
    assert found["half"].dtype is torch.float16


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: {"state_dict": w, "best": torch.tensor(0.9)},
        lambda w: {f"_orig_mod.module.{k}": v for k, v in w.items()},
        lambda w: {"model": {f"module._orig_mod.module.{k}": v for k, v in w.items()}},
    ],
    ids=["beside a tensor", "compiled parallel", "three times"],
)
def test_more_that_is_taken_off(wrap: Callable[[dict[str, Tensor]], Any], tmp_path: Path) -> None:
    torch.save(wrap(WEIGHTS), tmp_path / "w.pth")
    assert same(read_weight_file(tmp_path / "w.pth"))


def test_a_dictionary_that_holds_itself_ends(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "w.pth")
    with pytest.raises(ModelFileError, match="`model` is a dict"):
        read_weight_file(tmp_path / "w.pth")
