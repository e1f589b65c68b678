"""The checkpoint file: plain data and tensors go in and come out the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nunbit
from nunbit.errors import CheckpointError
from nunbit.storage import load_tensors, save_tensors
from nunbit.training.callbacks import Callback, Moment
from nunbit.training.checkpoint import pack, table_digest, unpack
from nunbit.training.optimizer_state import load_optimizer, optimizer_state
from nunbit.training.optimizers import make_optimizer
from nunbit.training.parallel import Parallel

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.floats(width=32, allow_nan=False).map(torch.tensor)
    | st.lists(st.integers(-5, 5), max_size=3).map(torch.tensor)
)
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    if isinstance(one, dict):
        return list(one) == list(two) and all(equal(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(equal, one, two))
    return type(one) is type(two) and one == two


@given(data=DATA)
def test_plain_data_and_tensors_come_back_bit_for_bit(data: Any) -> None:
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(pack(data, tensors, ""))
    assert equal(unpack(json.loads(text), tensors), data)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_the_optimizer_lies_in_memory_as_if_never_saved(name: Any, tmp_path: Path) -> None:
    """Channels last: sums over another layout could be rounded in another way."""
    options = nunbit.TrainOptions(optimizer=name, lr=0.1, weight_decay=0.0)

    def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        network = nunbit.create_model("auto", classes=2, image_size=8, channels=3).network
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network, make_optimizer(network, options)

    network, optimizer = make()
    images = torch.rand(4, 3, 8, 8).to(memory_format=torch.channels_last)
    network(images).square().sum().backward()
    optimizer.step()
    tensors: dict[str, torch.Tensor] = {}
    before: Any = SimpleNamespace(optimizer=optimizer, parallel=Parallel(network))
    state = pack(optimizer_state(before), tensors, "")
    save_tensors(tmp_path / "file", tensors, {"state": state}, kind="checkpoint")
    loaded, header = load_tensors(tmp_path / "file", kind="checkpoint")
    fresh, again = make()
    job: Any = SimpleNamespace(optimizer=again, parallel=Parallel(fresh))
    assert load_optimizer(job, unpack(header["state"], loaded), options) == []

    flat = zip(optimizer.state.values(), again.state.values(), strict=True)
    pairs = [(one[key], two[key]) for one, two in flat for key in one if one[key] is not None]
    assert any(one.ndim == 4 and not one.is_contiguous() for one, _ in pairs)
    for one, two in pairs:
        assert torch.equal(one, two)
        assert one.stride() == two.stride()
        assert one.dtype == two.dtype


def test_the_digest_changes_with_names_labels_and_splits(tiny: nunbit.Pictures) -> None:
    table = tiny.table
    labels, split = table.labels.copy(), table.split.copy()
    labels[3] = (labels[3] + 1) % 3
    split[0] = "test"
    others = [
        dataclasses.replace(table, labels=labels),
        dataclasses.replace(table, split=split),
        table.select(np.arange(len(table))[::-1]),
        table.select(np.arange(len(table) - 1)),
    ]
    digests = {table_digest(each) for each in [table, *others]}
    assert len(digests) == 5
    assert table_digest(dataclasses.replace(table)) == table_digest(table)


def test_state_of_any_callback_is_carried_over(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    """Numbers, texts, lists, tensors: what a user's own callback may keep."""

    class Keeps(Callback):
        def on_train_begin(self, moment: Moment) -> None:
            self.state: dict[str, Any] = {"losses": [], "sum": torch.zeros(2), "name": "눈빛"}

        def on_epoch_begin(self, moment: Moment) -> None:
            if moment.epoch == 1 and crash:
                raise ZeroDivisionError

        def on_epoch_end(self, moment: Moment) -> None:
            self.state["losses"].append(moment.logs["loss"])
            self.state["sum"] += moment.epoch + 1

        def state_dict(self) -> dict[str, Any]:
            return self.state

        def load_state_dict(self, state: Any) -> None:
            self.state = dict(state)

    crash = [True]
    with pytest.raises(ZeroDivisionError):
        run(tiny, epochs=3, callbacks=[Keeps()])
    crash.clear()
    keeps = Keeps()
    history = run(tiny, epochs=3, callbacks=[keeps], resume=tmp_path / "run")
    assert keeps.state["losses"] == history["loss"]
    assert keeps.state["sum"].tolist() == [6.0, 6.0]
    assert keeps.state["name"] == "눈빛"


@pytest.mark.parametrize("header", [{}, {"identity": {}, "state": {"callbacks": 3}}])
def test_a_checkpoint_of_another_make_is_refused(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path, header: dict[str, Any]
) -> None:
    class Crash(Callback):
        def on_epoch_begin(self, moment: Moment) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tiny, epochs=1, callbacks=[Crash()])
    save_tensors(tmp_path / "run/checkpoints/last.safetensors", {}, header, kind="checkpoint")
    with pytest.raises(CheckpointError, match=r"cannot be understood .* Start a new run"):
        run(tiny, epochs=1, callbacks=[Crash()], resume=tmp_path / "run")
