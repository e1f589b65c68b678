"""Loggers: what they are told, once; that they change nothing; that their failure is no one's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

import nunbit
from nunbit.training.loggers import LOGGERS, Logger, check_loggers, make_loggers


class Fake:
    """Records what it is told; a class attribute, as loggers are made anew on resume."""

    extra: ClassVar[str] = "fake"
    told: ClassVar[list[Any]] = []
    fails_at: ClassVar[str] = ""

    def _do(self, what: str, *more: Any) -> None:
        if self.fails_at == what:
            raise ConnectionError("the network is down")
        self.told.append((what, *more))

    def open(self, folder: Path, key: str | None, parameters: Mapping[str, Any]) -> str:
        self._do("open", key, dict(parameters))
        return key or "run-7"

    def write(self, epoch: int, scores: Mapping[str, float]) -> None:
        self._do("write", epoch, dict(scores))

    def close(self, *, failed: bool) -> None:
        self._do("close", failed)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    monkeypatch.setitem(LOGGERS, "fake", Fake)
    monkeypatch.setattr(Fake, "told", [])
    monkeypatch.setattr(Fake, "fails_at", "")
    return Fake


def test_an_unknown_logger_is_refused_with_the_nearest() -> None:
    with pytest.raises(nunbit.OptionError, match=r"unknown logger `tensorbord`\. Did you mean"):
        check_loggers(["mlflow", "tensorbord"])


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent(Fake):
        extra: ClassVar[str] = "wandb"

        def __init__(self) -> None:
            raise ImportError("No module named 'wandb'")

    monkeypatch.setitem(LOGGERS, "wandb", Absent)
    with pytest.raises(nunbit.MissingExtraError, match=r"pip install 'nunbit\[wandb\]'"):
        make_loggers(["wandb"], {})


def test_every_logger_has_an_extra() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    assert {kind.extra for kind in LOGGERS.values()} <= set(extras)


def test_it_is_told_options_and_each_epoch(run: Any, tiny: nunbit.Pictures, fake: Any) -> None:
    history = run(tiny, epochs=3, log=("fake", "fake"))
    (_, key, parameters), *writes, closed = fake.told
    assert key is None
    assert parameters["training/epochs"] == 3
    assert parameters["training/lr"] == 0.001
    assert parameters["network"] == "mlp"
    assert "training/ema" not in parameters  # left open
    assert [(what, epoch) for what, epoch, _ in writes] == [("write", n) for n in (1, 2, 3)]
    for (_, _, scores), entry in zip(writes, history.epochs, strict=True):
        assert scores == {k: v for k, v in entry.items() if k != "epoch"}
        assert {"lr", "val_loss", "seconds"} <= set(scores)
    assert closed == ("close", False)


def test_a_resumed_run_goes_on_in_the_same_place(
    run: Any, tiny: nunbit.Pictures, fake: Any, tmp_path: Path
) -> None:
    class Interrupted(nunbit.Callback):
        def on_epoch_end(self, moment: nunbit.Moment) -> None:
            if moment.epoch == 1 and not fake.told.count("went on"):
                raise OSError("pulled the plug")

    with pytest.raises(OSError, match="plug"):
        run(tiny, epochs=4, log=("fake",), callbacks=[Interrupted()])
    assert fake.told[-1] == ("close", True)
    fake.told.append("went on")
    run(tiny, epochs=4, log=("fake",), callbacks=[Interrupted()], resume=tmp_path / "run")
    assert [e[1] for e in fake.told if e[0] == "write"] == [1, 2, 3, 4]
    assert [e[1] for e in fake.told if e[0] == "open"] == [None, "run-7"]
    state = json.loads((tmp_path / "run" / "loggers.json").read_text())
    assert state == {"fake": {"key": "run-7", "epochs": 4}}


def test_an_epoch_that_is_done_again_is_told_once(fake: Any, tmp_path: Path) -> None:
    def line(epoch: int) -> str:
        return json.dumps({"epoch": epoch, "loss": epoch / 2, "accuracy": None}) + "\n"

    def train(first: int) -> None:
        logger = Logger("fake", fake(), {})
        logger.on_train_begin(nunbit.Moment(folder=tmp_path))
        for epoch in (first, first + 1):
            (tmp_path / "history.jsonl").write_text("".join(map(line, range(1, epoch + 2))))
            logger.on_epoch_end(nunbit.Moment(epoch=epoch, folder=tmp_path))
        logger.teardown()

    train(0)
    train(1)  # killed after epoch 2 was told and before its checkpoint
    assert [e[1:] for e in fake.told if e[0] == "write"] == [
        (n, {"loss": n / 2}) for n in (1, 2, 3)
    ]


def test_a_logger_that_joins_later_is_told_the_past(fake: Any, tmp_path: Path) -> None:
    entries = [{"epoch": n, "loss": 1.0} for n in (1, 2, 3)]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    logger = Logger("fake", fake(), {})
    logger.on_train_begin(nunbit.Moment(folder=tmp_path))
    logger.on_epoch_end(nunbit.Moment(epoch=2, folder=tmp_path))
    assert [e[1] for e in fake.told if e[0] == "write"] == [1, 2, 3]


@pytest.mark.parametrize("place", ["open", "write", "close"])
def test_its_failure_is_noted_and_the_training_goes_on(
    run: Any,
    tiny: nunbit.Pictures,
    fake: Any,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(fake, "fails_at", place)
    history = run(tiny, epochs=2, log=("fake",))
    assert len(history.epochs) == 2
    said = capsys.readouterr().err
    assert said.count("note: fake failed and gets no more (ConnectionError: the network") == 1
    assert not any(e[0] == "write" for e in fake.told) or place == "close"


def test_an_error_of_the_training_closes_it_as_failed(
    run: Any, tiny: nunbit.Pictures, fake: Any
) -> None:
    with pytest.raises(nunbit.TrainingError):
        run(tiny, epochs=2, lr=1e30, schedule="constant", log=("fake",))
    assert fake.told[-1] == ("close", True)


def test_logging_changes_no_bit(run: Any, tiny: nunbit.Pictures, fake: Any, tmp_path: Path) -> None:
    def weights(name: str, log: tuple[str, ...]) -> bytes:
        model = nunbit.create_model_for(tiny, network="mlp")
        run(tiny, model=model, epochs=2, log=log, out=tmp_path / name)
        return b"".join(v.numpy().tobytes() for v in model.network.state_dict().values())

    assert weights("with", ("fake",)) == weights("without", ())


def test_tensorboard_gets_curves_and_options(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = run(tiny, epochs=2, log=("tensorboard",))
    history = run(tiny, epochs=3, log=("tensorboard",), resume=first.run)
    found = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    events = found.Scalars("val_loss")
    assert [event.step for event in events] == [1, 2, 3]
    assert [event.value for event in events] == pytest.approx(history["val_loss"])
    assert found.Tags()["tensors"] == ["options/text_summary"]


class _Record:
    """Stands for a package: records every call by its dotted name."""

    def __init__(self, calls: list[Any], name: str = "") -> None:
        self._calls, self._name = calls, name

    def __getattr__(self, name: str) -> _Record:
        if name in ("id", "run_id", "experiment_id"):
            return "id-1"  # type: ignore[return-value]
        return _Record(self._calls, f"{self._name}.{name}".lstrip("."))

    def __call__(self, *args: Any, **given: Any) -> _Record:
        self._calls.append((self._name, args, given))
        return _Record(self._calls, self._name)


def _calls(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Return the calls of a run of one epoch, and of one that goes on."""
    import sys

    calls: list[Any] = []
    monkeypatch.setitem(sys.modules, name, _Record(calls))
    for epoch in (0, 1):
        lines = [json.dumps({"epoch": n + 1, "loss": 0.5}) + "\n" for n in range(epoch + 1)]
        (tmp_path / "history.jsonl").write_text("".join(lines))
        (logger,) = make_loggers([name], {"network": "mlp"})
        logger.on_train_begin(nunbit.Moment(folder=tmp_path))
        logger.on_epoch_end(nunbit.Moment(epoch=epoch, folder=tmp_path))
        if epoch:
            logger.on_train_end(nunbit.Moment())
        logger.teardown()
    return calls


def test_what_wandb_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = _calls("wandb", monkeypatch, tmp_path)
    inits = [given for name, _, given in calls if name == "init"]
    assert [given["id"] for given in inits] == [None, "id-1"]
    assert all(given["resume"] == "allow" for given in inits)
    assert inits[0]["config"] == {"network": "mlp"}
    assert [(a, g) for n, a, g in calls if n == "init.log"] == [
        (({"loss": 0.5},), {"step": 1}),
        (({"loss": 0.5},), {"step": 2}),
    ]
    ends = [given["exit_code"] for name, _, given in calls if name == "init.finish"]
    assert ends == [1, 0]


def test_what_mlflow_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = _calls("mlflow", monkeypatch, tmp_path)
    of = {name: [(a, g) for n, a, g in calls if n == f"MlflowClient.{name}"] for name in (
        "create_run", "log_param", "log_metric", "update_run", "set_terminated"
    )}  # fmt: skip
    assert of["create_run"] == [(("id-1",), {"run_name": tmp_path.name})]
    assert of["update_run"] == [(("id-1",), {"status": "RUNNING"})]
    assert of["log_metric"] == [(("id-1", "loss", 0.5), {"step": n}) for n in (1, 2)]
    assert [a for a, _ in of["set_terminated"]] == [("id-1", "FAILED"), ("id-1", "FINISHED")]
