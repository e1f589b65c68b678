"""The checkpoint: everything that a continued run needs, in one file without pickle.

Tensors lie in the file as tensors; all else is JSON in its header. Floats survive
JSON exactly (Python writes the shortest text that reads back as the same number).

What the schedule of the learning rate, the order of pictures, augmentation and
dropout do is a function of (seed, epoch, step), so there is nothing of them to keep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nunbit._version import __version__
from nunbit.data.table import PictureTable
from nunbit.errors import CheckpointError, ModelFileError
from nunbit.storage import UNUSABLE, NewerFormatError, load_tensors, save_tensors
from nunbit.training.optimizer_state import load_optimizer, optimizer_state, options_of

if TYPE_CHECKING:
    from nunbit.training.job import Job, Progress

__all__ = [
    "DamagedError",
    "Saved",
    "Snapshot",
    "State",
    "gather_state",
    "put_in",
    "put_network",
    "read_checkpoint",
    "table_digest",
    "take_snapshot",
]

TENSOR = "$tensor"

State = dict[str, Any]
"""The state of a run as it is now: its tensors change with the next step."""


class DamagedError(CheckpointError):
    """A checkpoint cannot be read; an older one may do."""


@dataclass(frozen=True)
class Snapshot:
    """A copy of a run's state in the processor's memory: training may go on meanwhile.

    Args:
        tensors: By name, on the processor, shared with nobody.
        header: Plain data.
        place: Epochs done, and steps of the next.
    """

    tensors: Mapping[str, Tensor]
    header: Mapping[str, Any]
    place: tuple[int, int]

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            StorageError: It cannot be written; a file that was there stays as it was.
        """
        save_tensors(path, self.tensors, self.header, kind="checkpoint")


@dataclass(frozen=True)
class Saved:
    """A checkpoint as it was read.

    Args:
        identity: What the run was, as plain data: options, pictures, network.
        progress: How far it had come.
        is_begun: Whether there is a checkpoint at all; where not, the run is before its first
            step, and all of its state follows from the options.
        parts: Sums and pictures seen in this epoch, by rank.
        callbacks: Type and state of each, in order.
    """

    path: Path
    identity: Mapping[str, Any]
    progress: Mapping[str, Any]
    parts: list[tuple[dict[str, float], int]]
    callbacks: list[tuple[str, Mapping[str, Any]]]
    network: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    average: Mapping[str, Any] | None
    is_begun: bool = True

    @property
    def place(self) -> tuple[int, int]:
        """Epochs done, and steps of the next."""
        return int(self.progress["epoch"]), int(self.progress["step"])


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


def gather_state(job: Job, progress: Progress) -> State | None:
    """Return the state of a run; called by all ranks together, only the first gets it."""
    own = ({name: float(value) for name, value in progress.sums.items()}, progress.seen)
    parts = job.ranks.gather(own)
    network = job.parallel.weights()
    optimizer = job.parallel.gathered(optimizer_state(job))
    average = None if job.average is None else job.parallel.gathered(job.average.weights)
    if not job.ranks.is_first:
        return None
    return {
        "network": network,
        "optimizer": optimizer,
        "callbacks": [
            {"type": type(callback).__name__, "state": callback.state_dict()}
            for callback in job.callbacks
        ],
        "average": None
        if job.average is None
        else {"steps": job.average.steps, "weights": average},
        "progress": progress.to_dict(),
        "ranks": parts,
    }


def take_snapshot(state: State, *, identity: Mapping[str, Any]) -> Snapshot:
    """Copy the state of a run."""
    tensors: dict[str, Tensor] = {}
    plain = pack(state, tensors, "")
    return Snapshot(
        # Clones, also of what is shared: tied weights, a tensor that a callback keeps twice.
        {
            name: value.detach().clone() if value.device.type == "cpu" else value.detach().cpu()
            for name, value in tensors.items()
        },
        {"nunbit": __version__, "identity": identity, "state": plain},
        (state["progress"]["epoch"], state["progress"]["step"]),
    )


def read_checkpoint(path: Path) -> Saved:
    """Read a checkpoint; nothing is changed yet.

    Raises:
        DamagedError: It is truncated, damaged, or no checkpoint of ours.
        CheckpointError: It was written by a newer Nunbit.
    """
    try:
        tensors, header = load_tensors(path, kind="checkpoint")
    except NewerFormatError as error:
        raise CheckpointError(f"the run cannot be continued: {error}") from error
    except ModelFileError as error:
        raise DamagedError(f"the run cannot be continued: {error}") from error
    try:
        identity, state = dict(header["identity"]), unpack(header["state"], tensors)
        progress = dict(state["progress"])
        alone = [(progress["sums"], progress["seen"])]  # as it was written before there were ranks
        parts = [(dict(sums), int(seen)) for sums, seen in state.get("ranks", alone)]
        return Saved(
            path=path,
            identity=identity,
            progress={**progress, "epoch": int(progress["epoch"]), "step": int(progress["step"])},
            parts=parts,
            callbacks=[(entry["type"], entry["state"]) for entry in state["callbacks"]],
            network=state["network"],
            optimizer=state["optimizer"],
            average=state.get("average"),
        )
    except UNUSABLE as error:
        raise DamagedError(
            f"`{path}` cannot be understood ({type(error).__name__}: {error}). Start a new run."
        ) from error


def put_in(saved: Saved, job: Job, progress: Progress) -> list[str]:
    """Put a saved state into a job and its progress.

    State of a callback that was not there before, and of an optimizer or an average of
    weights that is another one now, begins anew.

    Returns the weights for which only a part of the optimizer is another one now.

    Raises:
        CheckpointError: It holds the weights of another network.
    """
    anew: list[str] = []
    if not saved.is_begun:
        return anew
    put_network(saved, job)
    if saved.identity.get("optimizer") == job.options.optimizer:
        anew = load_optimizer(job, saved.optimizer, options_of(job.options, saved.identity))
    if job.average is not None:
        weights = (saved.average or {}).get("weights", saved.network)
        job.average.load(job.parallel.parts(weights, job.average.weights))
        job.average.steps = int((saved.average or {}).get("steps", 0))
    left = list(saved.callbacks)
    for callback in job.callbacks:
        name = type(callback).__name__
        at = next((k for k, (kind, _) in enumerate(left) if kind == name), None)
        if at is not None:
            callback.load_state_dict(left[at][1])
            left = left[at + 1 :]
    known = {each.name for each in fields(progress)}
    for name, value in saved.progress.items():
        if name in known:
            setattr(progress, name, value)
    progress.sums, progress.seen = _own_part(saved, rank=job.ranks.rank, size=job.ranks.size)
    return anew


def _own_part(saved: Saved, *, rank: int, size: int) -> tuple[dict[str, float | Tensor], int]:
    """Return a rank's sums and pictures seen; with another number of ranks the first has all."""
    if len(saved.parts) == size:
        sums, seen = saved.parts[rank]
        return dict(sums), seen
    if rank > 0:
        return {}, 0
    total: dict[str, float | Tensor] = {}
    for part, _ in saved.parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total, sum(seen for _, seen in saved.parts)


def put_network(saved: Saved, job: Job) -> None:
    """Put saved weights back into the network, and nothing else.

    Raises:
        CheckpointError: They are another network's.
    """
    try:
        job.parallel.load(saved.network)
    except RuntimeError as error:
        raise CheckpointError(
            f"`{saved.path}` holds the weights of another network than `{job.model.network_name}`."
        ) from error
