"""TensorBoard, MLflow and Weights & Biases, for those who ask (``--log``).

``history.jsonl`` is always written, and is what a logger passes on: an epoch's line once
it is there. Which epochs were passed on, and to which run over there, is kept in
``loggers.json``: a resumed run goes on in the same place and says nothing twice. A logger
that fails is noted and left alone; the training goes on.
"""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from nunbit.errors import MissingExtraError, OptionError, did_you_mean
from nunbit.runs import RunFolder
from nunbit.storage import write_atomic
from nunbit.training.callbacks.base import Callback, Moment

__all__ = ["LOGGERS", "Logger", "Sink", "check_loggers", "make_loggers"]

STATE_FILE = "loggers.json"
PROJECT = "nunbit"
"""Experiment (MLflow) or project (W&B) that runs are filed under."""

REASON_LETTERS = 200
"""Of what a library says about its failure."""

Scores = Mapping[str, float]


class Sink(Protocol):
    """Where scores go. Made without arguments; only :meth:`open` may touch anything."""

    extra: ClassVar[str]
    """What brings its package: ``pip install 'nunbit[extra]'``."""

    def open(self, folder: Path, key: str | None, parameters: Mapping[str, Any]) -> str:
        """Begin, or go on with the run of a key; return the key of the run."""
        ...

    def write(self, epoch: int, scores: Scores) -> None:
        """Pass on the scores of an epoch, counted from 1."""
        ...

    def close(self, *, failed: bool) -> None:
        """End; called once where :meth:`open` was."""
        ...


class _TensorBoard:
    """Event files in the folder ``tensorboard`` of the run."""

    extra: ClassVar[str] = "tensorboard"

    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._make: Callable[..., Any] = SummaryWriter
        self._writer: Any = None

    def open(self, folder: Path, key: str | None, parameters: Mapping[str, Any]) -> str:
        self._writer = self._make(log_dir=str(folder / "tensorboard"))
        if key is None:
            rows = [f"| {name} | {value} |" for name, value in parameters.items()]
            self._writer.add_text("options", "\n".join(["| option | value |", "|---|---|", *rows]))
        return "tensorboard"

    def write(self, epoch: int, scores: Scores) -> None:
        for name, value in scores.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()  # a run that is killed has told what it knew

    def close(self, *, failed: bool) -> None:
        self._writer.close()


class _MLflow:
    """A run of the experiment ``nunbit``, where ``MLFLOW_TRACKING_URI`` says."""

    extra: ClassVar[str] = "mlflow"

    def __init__(self) -> None:
        import mlflow

        self._mlflow: Any = mlflow
        self._client: Any = None
        self._key = ""

    def open(self, folder: Path, key: str | None, parameters: Mapping[str, Any]) -> str:
        self._client = client = self._mlflow.MlflowClient()
        if key is not None:
            client.update_run(key, status="RUNNING")
            self._key = key
            return key
        found = client.get_experiment_by_name(PROJECT)
        place = client.create_experiment(PROJECT) if found is None else found.experiment_id
        self._key = str(client.create_run(place, run_name=folder.name).info.run_id)
        for name, value in parameters.items():
            client.log_param(self._key, name, value)
        return self._key

    def write(self, epoch: int, scores: Scores) -> None:
        for name, value in scores.items():
            self._client.log_metric(self._key, name, value, step=epoch)

    def close(self, *, failed: bool) -> None:
        self._client.set_terminated(self._key, "FAILED" if failed else "FINISHED")


class _WandB:
    """A run of the project ``nunbit``; ``WANDB_MODE=offline`` keeps it here."""

    extra: ClassVar[str] = "wandb"

    def __init__(self) -> None:
        import wandb

        self._wandb: Any = wandb
        self._run: Any = None

    def open(self, folder: Path, key: str | None, parameters: Mapping[str, Any]) -> str:
        self._run = self._wandb.init(
            project=PROJECT,
            name=folder.name,
            id=key,
            resume="allow",
            dir=str(folder),
            config=dict(parameters),
            settings=self._wandb.Settings(console="off"),  # the terminal stays ours
        )
        return str(self._run.id)

    def write(self, epoch: int, scores: Scores) -> None:
        self._run.log(dict(scores), step=epoch)

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


LOGGERS: dict[str, type[Sink]] = {"tensorboard": _TensorBoard, "mlflow": _MLflow, "wandb": _WandB}


def check_loggers(names: Sequence[str]) -> list[tuple[str, Sink]]:
    """Return the loggers of these names, each once; nothing is opened yet.

    Raises:
        OptionError: A name is unknown.
        MissingExtraError: The package of one is not installed.
    """
    unknown = [name for name in names if name not in LOGGERS]
    if unknown:
        raise OptionError(
            f"unknown logger `{unknown[0]}`.{did_you_mean(unknown[0], LOGGERS)} "
            f"`--log` takes {', '.join(LOGGERS)}."
        )
    found: list[tuple[str, Sink]] = []
    for name in dict.fromkeys(names):
        kind = LOGGERS[name]
        try:
            found.append((name, kind()))
        except ImportError as error:
            raise MissingExtraError(
                f"`--log {name}` needs a package that cannot be imported ({error}). Install it "
                f"with `pip install 'nunbit[{kind.extra}]'`."
            ) from error
    return found


def make_loggers(
    names: Sequence[str], parameters: Mapping[str, Any], *, say: Callable[[str], None] | None = None
) -> list[Logger]:
    """Return the loggers of these names as watchers of a training.

    Args:
        parameters: ``options.json``; what nests is named ``training/lr``.
        say: Takes a line for people; default: standard error.
    Raises:
        OptionError: A name is unknown.
        MissingExtraError: The package of one is not installed.
    """
    told = _flat({k: v for k, v in parameters.items() if k in TOLD})
    return [Logger(name, sink, told, say=say or _to_stderr) for name, sink in check_loggers(names)]


TOLD = ("source", "network", "network_options", "weights", "training", "augment", "header")
"""Parts of ``options.json`` that loggers pass on as parameters."""


class Logger(Callback):
    """Pass on the scores of each epoch; a watcher, which changes nothing.

    Args:
        name: In the notes, and in ``loggers.json``.
        sink: Where they go.
        parameters: Passed on when the run begins over there.
        say: Takes a line for people.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        parameters: Mapping[str, Any],
        *,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.sink = sink
        self.parameters = parameters
        self.say = say or _to_stderr
        self._is_open = self._has_ended = False

    def on_train_begin(self, moment: Moment) -> None:
        self._is_open = self._has_ended = False
        folder = moment.folder
        if folder is not None:
            self._try(lambda: self._open(folder))

    def on_epoch_end(self, moment: Moment) -> None:
        folder = moment.folder
        if self._is_open and folder is not None:
            self._try(lambda: self._write(folder, moment.epoch + 1))

    def on_train_end(self, moment: Moment) -> None:
        self._has_ended = True

    def teardown(self) -> None:
        if self._is_open:
            self._is_open = False
            self._try(lambda: self.sink.close(failed=not self._has_ended))

    def _open(self, folder: Path) -> None:
        state = _read_state(folder)
        own = state.get(self.name, {})
        key = self.sink.open(folder, own.get("key"), self.parameters)
        self._is_open = True
        _write_state(folder, {**state, self.name: {"key": key, "epochs": own.get("epochs", 0)}})

    def _write(self, folder: Path, epoch: int) -> None:
        """Pass on all epochs that were not yet, up to this one."""
        state = _read_state(folder)
        told = state[self.name]["epochs"]
        if epoch <= told:
            return
        # First, so that a run that is killed between says nothing twice.
        _write_state(folder, {**state, self.name: {**state[self.name], "epochs": epoch}})
        for entry in RunFolder(folder).read_history():
            number = int(entry["epoch"])
            if told < number <= epoch:
                scores = {k: v for k, v in entry.items() if k != "epoch" and v is not None}
                self.sink.write(number, scores)

    def _try(self, work: Callable[[], None]) -> None:
        """Do it; where it fails say so, and do no more."""
        try:
            work()
        except Exception as error:  # whatever it is: the training is worth more
            if self._is_open:
                self._is_open = False
                with contextlib.suppress(Exception):
                    self.sink.close(failed=True)
            why = textwrap.shorten(str(error), REASON_LETTERS, placeholder=" ...")
            self.say(
                f"note: {self.name} failed and gets no more ({type(error).__name__}: {why}); "
                "`history.jsonl` has everything."
            )


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return state


def _write_state(folder: Path, state: Mapping[str, Any]) -> None:
    write_atomic(folder / STATE_FILE, json.dumps(state, indent=2) + "\n")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, names joined by slashes; what is open is left out."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        elif value is not None and value != []:
            flat[prefix + name] = str(value) if isinstance(value, list | tuple) else value
    return flat


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
