"""The checkpoint: everything that a continued run needs, in one file without pickle.

Tensors lie in the file as tensors; all else is JSON in its header. Floats survive
JSON exactly (Python writes the shortest text that reads back as the same number).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nunbit._version import __version__
from nunbit.data.table import PictureTable
from nunbit.errors import CheckpointError, ModelFileError
from nunbit.storage import UNUSABLE, load_tensors, save_tensors

if TYPE_CHECKING:
    from nunbit.training.job import Job, Progress

__all__ = ["load_checkpoint", "load_network", "save_checkpoint", "table_digest"]

TENSOR = "$tensor"


def table_digest(table: PictureTable) -> str:
    """Return a short text that changes with the pictures, their labels and splits."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update("\0".join(table.names).encode("utf-8", "surrogateescape"))
    digest.update(table.labels.tobytes())
    digest.update("\0".join(table.split.tolist()).encode())
    return digest.hexdigest()


def pack(value: Any, tensors: dict[str, Tensor], prefix: str) -> Any:
    """Replace the tensors in plain data by their names and collect them."""
    if isinstance(value, Tensor):
        tensors[prefix] = value
        return {TENSOR: prefix}
    if isinstance(value, Mapping):
        return {str(k): pack(v, tensors, f"{prefix}.{k}") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(v, tensors, f"{prefix}.{k}") for k, v in enumerate(value)]
    return value


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put the tensors back where :func:`pack` took them from."""
    if isinstance(value, dict):
        if set(value) == {TENSOR}:
            return tensors[value[TENSOR]]
        return {k: unpack(v, tensors) for k, v in value.items()}
    if isinstance(value, list):
        return [unpack(v, tensors) for v in value]
    return value


def save_checkpoint(path: Path, job: Job, progress: Progress) -> None:
    """Write the state of a run, whole or not at all.

    Raises:
        StorageError: It cannot be written; the last checkpoint stays as it was.
    """
    tensors: dict[str, Tensor] = {}
    state = pack(
        {
            "network": job.model.network.state_dict(),
            "optimizer": job.optimizer.state_dict()["state"],
            "callbacks": [
                {"type": type(callback).__name__, "state": callback.state_dict()}
                for callback in job.callbacks
            ],
            "average": None
            if job.average is None
            else {"steps": job.average.steps, "weights": job.average.weights},
            "progress": progress.to_dict(),
        },
        tensors,
        "",
    )
    header = {"nunbit": __version__, "identity": job.identity, "state": state}
    save_tensors(path, tensors, header, kind="checkpoint")


def load_checkpoint(path: Path, job: Job) -> dict[str, Any]:
    """Put a saved state into a job; returns the saved progress.

    Raises:
        CheckpointError: There is no checkpoint, it is damaged, or it belongs to
            other pictures, other options, other callbacks or another network.
    """
    if not path.is_file():
        raise CheckpointError(
            f"`{path}` is missing, so there is nothing to continue from. Start a new run."
        )
    try:
        tensors, header = load_tensors(path, kind="checkpoint")
    except ModelFileError as error:
        raise CheckpointError(f"the run cannot be continued: {error}") from error
    try:
        identity, state = dict(header["identity"]), unpack(header["state"], tensors)
        network, optimizer = state["network"], state["optimizer"]
        saved = [entry["type"] for entry in state["callbacks"]]
        progress: dict[str, Any] = dict(state["progress"])
    except UNUSABLE as error:
        raise CheckpointError(
            f"`{path}` cannot be understood ({type(error).__name__}: {error}). Start a new run."
        ) from error
    _check_identity(path, identity, json.loads(json.dumps(job.identity)))
    given = [type(callback).__name__ for callback in job.callbacks]
    if saved != given:
        raise CheckpointError(
            f"`{path}` was written with the callbacks {', '.join(saved) or 'none'}, got "
            f"{', '.join(given) or 'none'}. Pass the same callbacks in the same order."
        )
    _load_network(path, job, network)
    _load_optimizer(job.optimizer, optimizer)
    if job.average is not None and state.get("average"):
        job.average.steps = int(state["average"]["steps"])
        job.average.load(state["average"]["weights"])
    for callback, entry in zip(job.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(entry["state"])
    return progress


def load_network(path: Path, job: Job) -> None:
    """Put the weights of a checkpoint back into the network, and nothing else."""
    tensors, header = load_tensors(path, kind="checkpoint")
    _load_network(path, job, unpack(header["state"]["network"], tensors))


def _check_identity(path: Path, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if saved.get("pictures") != given["pictures"]:
        raise CheckpointError(
            f"`{path}` was written with other pictures, labels or splits than the source has now. "
            "Restore the source, or start a new run."
        )
    differ = [
        f"{name} was {value!r}, got {given.get(name)!r}"
        for name, value in saved.items()
        if given.get(name) != value
    ]
    if differ:
        raise CheckpointError(
            f"`{path}` was written with other options: {'; '.join(differ)}. A run goes on with the "
            "options it had: pass those, or start a new run."
        )


def _load_network(path: Path, job: Job, weights: Mapping[str, Tensor]) -> None:
    try:
        job.model.network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"`{path}` holds the weights of another network than `{job.model.network_name}`."
        ) from error


def _load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    whole = optimizer.state_dict()
    whole["state"] = {int(key): value for key, value in state.items()}
    optimizer.load_state_dict(whole)
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            # As the optimizer makes it: laid out in memory like the weight. Sums of another
            # layout could be rounded in another way.
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter).copy_(value)
