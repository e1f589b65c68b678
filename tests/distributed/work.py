"""What ranks do in tests. Each function also works in a process of its own, as the one rank."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nunbit
from nunbit.data.preprocessing import Preprocessing
from nunbit.evaluation.evaluate import evaluate
from nunbit.storage import load_tensors
from nunbit.training.ranks import current_ranks

Case = dict[str, Any]
"""Options of training, besides ``network``, ``augment`` and ``callbacks``."""

CLOCKS = (
    "seconds", "total_seconds", "images_per_second", "started", "finished", "header", "plan",
    "continued",
)  # fmt: skip
"""What may differ between runs that are otherwise the same: clocks, ranks, interruptions."""


class At(nunbit.Callback):
    """Does something at one step of the run, on the first rank, as any callback."""

    def __init__(self, epoch: int, step: int, what: str) -> None:
        self.epoch, self.step, self.what = epoch, step, what

    def on_train_batch_end(self, moment: nunbit.Moment) -> None:
        if (moment.epoch, moment.step) == (self.epoch, self.step):
            if self.what == "interrupt":
                signal.raise_signal(signal.SIGINT)
            elif self.what == "fail":
                raise ValueError("the callback has failed")


def number() -> int:
    return int(os.environ.get("RANK", "0"))


def weights(model: nunbit.Model) -> dict[str, NDArray[Any]]:
    return {name: value.numpy() for name, value in model.network.state_dict().items()}


def train(
    source: str,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    validation: float = 0.2,
    **case: Any,
) -> tuple[nunbit.Model, nunbit.Pictures, nunbit.History]:
    """Train as a case says."""
    case = dict(case)
    plain = {name: case.pop(name) for name in ("augment", "callbacks") if name in case}
    network = case.pop("network", "mlp")
    pictures = nunbit.load(source, validation=validation)
    model = nunbit.create_model_for(pictures, network=network)
    options = nunbit.TrainOptions(
        **{"precision": "float32", "batch_size": 20, "lr": 0.02, "optimizer": "sgd", **case}
    )
    history = nunbit.fit(
        model, pictures, options=options, out=out, resume=resume, progress=False, **plain
    )
    return model, pictures, history


def cases(source: str, out: str, given: dict[str, Case]) -> dict[str, Any]:
    """Train several cases one after the other; returns what is left of each."""
    found = {}
    for name, case in given.items():
        model, _, history = train(source, out=Path(out) / name, **case)
        found[name] = {
            "weights": weights(model),
            "epochs": history.epochs,
            "stop_reason": history.stop_reason,
            "run": str(history.run),
        }
    return found


def scores(source: str, count: int) -> dict[str, Any]:
    """Score the first so many pictures with an untrained network, all ranks together."""
    pictures = nunbit.load(source, validation=0.5)
    model = nunbit.create_model_for(pictures, network="mlp")
    whole = pictures.validation
    assert whole is not None
    part = type(whole)(
        whole.split, whole.pixels, whole.rows[:count], whole.labels[:count], whole.ids[:count],
        whole.names[:count],
    )  # fmt: skip
    return evaluate(model, part, ranks=current_ranks()).to_dict()


def decoded(source: str) -> tuple[int, int]:
    """Load pictures; returns how many this rank has decoded, and the sum of all pixels."""
    count = 0
    prepare = Preprocessing.prepare

    def counting(self: Preprocessing, data: Any) -> NDArray[np.uint8]:
        nonlocal count
        count += 1
        time.sleep(0.01)  # so that the others come while one is at it
        return prepare(self, data)

    Preprocessing.prepare = counting  # type: ignore[method-assign]
    pictures = nunbit.load(source, image_size=10, validation=0.2)
    return count, int(pictures.train.take(slice(None)).astype(np.int64).sum())


def interrupted(source: str, out: str, case: Case, at: tuple[int, int]) -> str:
    """Train until Ctrl-C; returns what the error said, and at which step it was."""
    try:
        train(source, out=Path(out), callbacks=[At(*at, "interrupt")], **case)
    except KeyboardInterrupt as error:
        return str(error)
    return "not interrupted"


def resumed_and_whole(source: str, out: str, case: Case, at: tuple[int, int]) -> dict[str, Any]:
    """Interrupt a run and resume it; and train one that nothing interrupts."""
    said = interrupted(source, f"{out}/parts", case, at)
    nothing = [At(-1, 0, "nothing")]  # the same callbacks in all of them
    train(source, resume=Path(out) / "parts", callbacks=nothing, **case)
    train(source, out=Path(out) / "whole", callbacks=nothing, **case)
    return {"said": said}


def resumed(source: str, run: str, case: Case, had_callback: bool = False) -> dict[str, Any]:
    """Go on with a run."""
    callbacks = [At(-1, 0, "nothing")] if had_callback else []
    model, _, history = train(source, resume=Path(run), callbacks=callbacks, **case)
    return {"weights": weights(model), "epochs": history.epochs}


def fails_in_callback(source: str, out: str, case: Case) -> None:
    train(source, out=Path(out), callbacks=[At(1, 1, "fail")], **case)


def goes_wrong(source: str, out: str, case: Case, rank: int, at: int, how: str) -> None:
    """Train; at a forward pass (counted from 0) something happens to one rank."""
    pictures = nunbit.load(source, validation=0.2)
    model = nunbit.create_model_for(pictures, network="mlp")
    count = iter(range(10**9))

    def hook(module: Any, given: Any, outputs: Any) -> Any:
        if not module.training or number() != rank or next(count) != at:
            return None
        if how == "nan":
            return outputs * float("nan")
        if how == "fail":
            raise ValueError("something of this rank alone")
        os.kill(os.getpid(), getattr(signal, how))
        return time.sleep(0)

    model.network.register_forward_hook(hook)
    options = nunbit.TrainOptions(
        **{"precision": "float32", "batch_size": 20, "lr": 0.02, "optimizer": "sgd", **case}
    )
    nunbit.fit(model, pictures, options=options, out=out, progress=False)


def contents(run: Path) -> dict[str, Any]:
    """Return what a run folder holds, apart from clocks; tensors as bytes."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in run.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = str(path.relative_to(run))
        if path.suffix == ".safetensors":
            kind = "checkpoint" if path.parent.name == "checkpoints" else "model"
            kind = "model" if path.name.startswith("best") else kind
            tensors, header = load_tensors(path, kind=kind)  # type: ignore[arg-type]
            found[name] = _without_clocks(header)
            found |= {f"{name}:{k}": v.numpy().tobytes() for k, v in tensors.items()}
        elif path.suffix in (".json", ".jsonl"):
            lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            found[name] = [_without_clocks(json.loads(line)) for line in lines]
        else:
            found[name] = path.read_bytes()
    return found


def _without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_clocks(v) for k, v in value.items() if k not in CLOCKS}
    return [_without_clocks(v) for v in value] if isinstance(value, list) else value


def close(one: dict[str, NDArray[Any]], two: dict[str, NDArray[Any]], *, atol: float) -> float:
    """Return the largest difference of weights, having checked that it is allowed."""
    largest = 0.0
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], atol=atol, rtol=1e-4, err_msg=name)
        largest = max(largest, float(np.abs(value - two[name]).max()))
    return largest
