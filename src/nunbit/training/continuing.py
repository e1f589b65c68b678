"""Going on with a run: what may change, what may not, and what is written down of it.

A run goes on with the options it had, and then ends with the bits of one that never
stopped. Three kinds of changes are taken, and noted in ``options.json``:

* More ``epochs``, and a larger ``patience``: the run is prolonged. A schedule that
  depends on the length (one-cycle, cosine, linear) is from there on that of the new
  length, and that is said; step and constant go on as they were, and restarts where a
  cosine had just ended, so that 20 epochs prolonged by 20 are 40 at once.
* With ``override``: learning rate, schedule, optimizer, weight decay, augmentation,
  loss, callbacks and the like. ``batch_size``, ``seed`` and ``balance`` say which
  picture comes when, so they change only where an epoch begins.
* Never: the pictures, their classes and how they are prepared, the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nunbit.errors import CheckpointError, name_list
from nunbit.training.callbacks import EarlyStopping
from nunbit.training.checkpoint import Saved, put_in
from nunbit.training.checkpoints import note
from nunbit.training.job import Job, Progress
from nunbit.training.options import TrainOptions
from nunbit.training.resizing import follows
from nunbit.training.schedules import make_schedule
from nunbit.training.unbegun import find_saved

if TYPE_CHECKING:
    from nunbit.runs import RunFolder

__all__ = [
    "Continuation",
    "continued_options",
    "is_longer",
    "open_continuation",
    "without_name",
]

NEVER = ("network", "network_options", "task", "preprocessing")
"""What no option changes in a run, beside its pictures."""

AT_EPOCH = ("batch_size", "seed", "balance")

RESOLVED = (
    "epochs",
    "batch_size",
    "lr",
    "weight_decay",
    "warmup_epochs",
    "step_epochs",
    "restart_epochs",
    "precision",
    "compile",
)
"""Options that the run filled in where they were left open, so they are the run's again."""

Changes = Mapping[str, tuple[Any, Any]]
"""By name: what it was, and what it is."""


def continued_options(options: TrainOptions | None, record: Mapping[str, Any]) -> TrainOptions:
    """Return the options to go on with: what is left open is as the run has it.

    Args:
        options: None for all of the run's.
        record: Its ``options.json``.
    """
    kept = TrainOptions.from_dict(record["training"], where="options.json")
    if options is None:
        return kept
    given = options.to_dict()
    left_open = {name: getattr(kept, name) for name in RESOLVED if given[name] in (None, "auto")}
    return replace(options, **left_open)


def without_name(augment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the augmentation of a record without what it was called."""
    return {name: value for name, value in augment.items() if name != "name"}


def is_longer(name: str, old: Any, new: Any) -> bool:
    """Return whether a change only prolongs the run, which needs no ``override``."""
    if name not in ("epochs", "patience") or old is None or new is None:
        return False
    return bool(new > old)


@dataclass(frozen=True)
class Continuation:
    """A run that can be gone on with.

    Args:
        saved: Where it stands.
        changes: What is no longer as it was.
        stops: Whether a stop that a callback asked for stands.
        is_altered: Whether the checkpoint no longer says what the run is.
    """

    saved: Saved
    changes: Changes
    stops: bool
    is_altered: bool

    def restore(self, job: Job, progress: Progress) -> None:
        """Put the state in; called after the callbacks have begun.

        Raises:
            CheckpointError: It holds the weights of another network.
        """
        anew = put_in(self.saved, job, progress)
        if self.saved.identity["lr"] != job.options.lr:
            progress.peak_lr = job.options.lr or progress.peak_lr
        if not self.stops:
            progress.stop_reason = None
            for callback in job.callbacks:
                if isinstance(callback, EarlyStopping):
                    callback.stopped_epoch = None
        if anew and job.ranks.is_first:
            note(
                f"the optimizer's averages of {name_list(anew)} begin anew: another optimizer "
                "changes them now."
            )
        if self.changes and job.ranks.is_first:
            text = self._length_note(job, progress)
            if text:
                note(text)

    def record(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``options.json`` as it is from here on.

        Args:
            before: As it was.
            now: As this process would begin it.
        """
        epoch, step = self.saved.place
        entry = {
            "at": now["started"],
            "epoch": epoch,
            "step": step,
            "changed": {name: list(pair) for name, pair in self.changes.items()},
            "plan": now["plan"],
            "versions": now["versions"],
        }
        same = {k: v for k, v in before.items() if k not in ("finished", "stop_reason")}
        renewed = ("training", "augment", "header") if self.changes else ("training",)
        return {
            **same,
            **{name: now[name] for name in renewed if name in now},
            "continued": [*before.get("continued", []), entry],
        }

    def _length_note(self, job: Job, progress: Progress) -> str:
        """Say so where the learning rate would have gone another way from the start."""
        if "epochs" not in self.changes:
            return ""
        steps_per_epoch = job.batches.steps_per_epoch
        shorter = replace(job.options, epochs=int(self.changes["epochs"][0]))
        before = make_schedule(shorter, steps_per_epoch=steps_per_epoch)
        step = progress.epoch * steps_per_epoch + progress.step
        if all(before(k) == job.schedule(k) for k in range(0, step, max(1, step // 1000))):
            return ""
        return (
            f"schedule {job.options.schedule} is from here on that of {job.epochs} epochs: the "
            f"learning rate goes on at {progress.peak_lr * job.schedule(step):.3g}, it was "
            f"{progress.lr:.3g}."
        )


def open_continuation(job: Job, record: Mapping[str, Any], *, override: bool) -> Continuation:
    """Read where a run stands, and see whether this job can go on from there.

    Args:
        record: What its ``options.json`` says.
        override: Whether options may change.
    Raises:
        CheckpointError: There is no checkpoint, it is another run's, options differ, or
            nothing is left to do.
    """
    saved = find_saved(job, record)
    given = _plain(job.identity)
    kept = _kept(saved, record, given)
    changes = {
        name: (kept.get(name), value) for name, value in given.items() if kept.get(name) != value
    }
    other_pictures = changes.pop("pictures", None) is not None
    _check(job, saved, changes, other_pictures=other_pictures, override=override)
    reason = saved.progress.get("stop_reason")
    stops = reason is not None and not override and not _has_patience(job, saved)
    epoch, step = saved.place
    if step == 0 and "finished" in record and (stops or epoch >= job.epochs):
        raise CheckpointError(_finished(job.run, record, reason if stops else None, epoch))
    differs = any(saved.identity.get(name) != value for name, value in given.items())
    is_altered = differs or (reason is not None and not stops) or not saved.is_begun
    return Continuation(saved, changes, stops, is_altered)


def _kept(saved: Saved, record: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run was.

    Where a change was agreed on and written down, and the process then ended before its
    next checkpoint, the record says more than the checkpoint.
    """
    kept = {**given, **saved.identity}  # a checkpoint may be older than some option
    if record.get("continued"):
        training = record["training"]
        told = (given.keys() & training.keys()) - {"teacher"}  # a digest here
        kept |= {name: training[name] for name in told}
        kept["augment"] = without_name(record["augment"])
    return dict(_plain(kept))


def _check(
    job: Job, saved: Saved, changes: Changes, *, other_pictures: bool, override: bool
) -> None:
    """Gather everything that is in the way, and raise once."""
    path, before = saved.path, [name for name, _ in saved.callbacks]
    now = [type(callback).__name__ for callback in job.callbacks]
    wrong, advice = [], []
    if other_pictures:
        wrong.append("other pictures, labels or splits than the source has now")
        advice.append("Restore the source, or start a new run.")
    refused = {
        name: pair
        for name, pair in changes.items()
        if name in NEVER or not (override or is_longer(name, *pair) or name in follows(changes))
    }
    if refused:
        told = [f"{name} was {old!r}, got {new!r}" for name, (old, new) in refused.items()]
        wrong.append(f"other options: {'; '.join(told)}")
        fixed = [name for name in refused if name in NEVER]
        if fixed:
            advice.append(f"Never in a run changes: {', '.join(fixed)}. Start a new run for that.")
        if len(fixed) < len(refused):
            advice.append(
                "A run goes on with the options it had: pass those, or go on with the new ones "
                "by `--override` (in Python `override=True`)."
            )
    if before != now and not override:
        wrong.append(f"the callbacks {', '.join(before) or 'none'}, got {', '.join(now) or 'none'}")
        advice.append("Pass the same callbacks in the same order.")
    if wrong:
        raise CheckpointError(
            f"`{path}` was written with {'; with '.join(wrong)}. " + " ".join(advice)
        )
    epoch, step = saved.place
    late = [name for name in AT_EPOCH if name in changes and step > 0]
    if late:
        raise CheckpointError(
            f"{' and '.join(f'`{name}`' for name in late)} can change only where an epoch begins: "
            f"it says which picture comes when. `{path}` stands at step {step} of epoch "
            f"{epoch + 1}. Go on without the change until an epoch is over (Ctrl-C after its "
            "line), then with it."
        )
    if epoch + (step > 0) > job.epochs:
        raise CheckpointError(
            f"`epochs` is {job.epochs}, but {epoch} are done{' and one has begun' if step else ''}"
            f". Pass at least `--epochs {epoch + (step > 0)}`."
        )


def _has_patience(job: Job, saved: Saved) -> bool:
    """Return whether the early stop that ended the run would not stop it now."""
    mine = iter(saved.callbacks)
    pairs = []
    for callback in job.callbacks:
        name = type(callback).__name__
        state = next((state for kind, state in mine if kind == name), None)
        if state is not None and isinstance(callback, EarlyStopping):
            pairs.append((callback, state))
    stopped = [(c, s) for c, s in pairs if s.get("stopped_epoch") is not None]
    return bool(stopped) and all(c.patience > s["wait"] for c, s in stopped)


def _finished(
    run: RunFolder, record: Mapping[str, Any], stop_reason: str | None, epochs: int
) -> str:
    if stop_reason is None:
        return (
            f"`{run.path}` is finished: all its epochs are done. To train for longer ask for more "
            f"than {epochs}: `{run.resume_command} --epochs {2 * epochs}`, or in "
            f"Python `fit(..., epochs={2 * epochs})`."
        )
    patience = record["training"].get("patience")
    longer = f"`--patience {3 * patience}`, " if patience else "a larger patience, "
    return (
        f"`{run.path}` is finished: {stop_reason}. To train for longer pass {longer}or "
        "`--override` (in Python `override=True`) to go on whatever stopped it."
    )


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return data as it reads when it comes back from a file."""
    found: dict[str, Any] = json.loads(json.dumps(data))
    return found
