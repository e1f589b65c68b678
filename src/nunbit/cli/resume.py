"""``nunbit train --resume RUN``: go on with a run, or finish one that lacks its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nunbit.cli._asked import FileOptions, read_options_file
from nunbit.cli._flags import pick
from nunbit.cli._output import Output
from nunbit.cli._run_text import say_findings
from nunbit.cli.train import (
    RunOptions,
    as_typed,
    command_of,
    load_pictures,
    weights_of,
)
from nunbit.data.options import DataOptions
from nunbit.errors import OptionError
from nunbit.training.options import TrainOptions

if TYPE_CHECKING:
    from nunbit.evaluation.finish import Result
    from nunbit.runs import RunFolder

__all__ = ["resume"]

DECIDED_LATER = ("augment", "teacher")
"""Not compared by their names: what they stand for decides, which may be elsewhere by now."""


def resume(
    run_options: RunOptions, source: str | None, given: Mapping[str, Any], output: Output
) -> Result:
    """Go on with a run.

    Args:
        run_options: ``resume`` is the run folder.
        source: What was typed as SOURCE, which must be the run's own.
        given: What was typed; it goes before the options file.
    Raises:
        OptionError: Something is not as the run has it, and may not be changed.
    """
    from nunbit.runs import RunFolder

    folder = run_options.resume or ""
    if "out" in given:
        raise OptionError(f"`--resume {folder}` goes on in that folder: leave `--out` away.")
    files = FileOptions(**pick(FileOptions, given))
    if files.recipe is not None:
        raise OptionError(
            f"`--resume {folder}` goes on with the options that the run began with: leave "
            "`--recipe` away, or start a new run."
        )
    run = RunFolder.open(folder)
    record = run.read_options()
    data = DataOptions.from_dict(record["pictures"])
    training = TrainOptions.from_dict(record["training"])
    asked = {**read_options_file(files.options), **given}
    changed = _changes(record, data, training, asked)
    if not record["origin"]:
        raise OptionError(
            f"`{folder}` was trained on pictures that came from Python (arrays or columns). Go on "
            "there, with `nunbit.fit(..., resume=...)`."
        )
    _check(folder, record, source, changed, override=run_options.override)
    return _go_on(
        run, record, data, _options(training, asked, changed), changed, run_options, output
    )


def _changes(
    record: Mapping[str, Any],
    data: DataOptions,
    training: TrainOptions,
    asked: Mapping[str, Any],
) -> dict[str, tuple[Any, Any]]:
    """Return by name what it was and what was asked for."""
    from nunbit.training.continuing import RESOLVED
    from nunbit.training.prepare import WHERE

    made = record["preprocessing"]
    kept = {
        **data.to_dict(),
        **training.to_dict(),
        "image_size": made["image_size"],
        "channels": "rgb" if made["channels"] == 3 else "grey",
        "network": record["network"],
        "head": record["task"].get("head"),
        "network_option": as_typed(record.get("network_options", {})),
        "weights": weights_of(record),
    }
    left_open = (*RESOLVED, "channels")  # by `auto`: as the run has filled them in
    changed = {
        name: (kept[name], value)
        for name, value in _plain(asked).items()
        if name in kept
        and name not in (*WHERE, *DECIDED_LATER)
        and _canonical(name, value) != kept[name]
        and not (name in left_open and value == "auto")
    }
    if "augment" in asked:
        changed |= _other_augment(record, asked["augment"])
    return changed


def _other_augment(record: Mapping[str, Any], asked: str) -> dict[str, tuple[Any, Any]]:
    """Compare what an augmentation does, not what it is called: its file may have been edited."""
    from nunbit.augment import Augment, choose_augment
    from nunbit.training.continuing import without_name

    old = Augment.from_dict(without_name(record["augment"])).to_dict()
    _, chosen = choose_augment(asked, channels=record["preprocessing"]["channels"])
    new = chosen.to_dict()
    if old == new:
        return {}
    names = record["augment"]["name"], asked
    if Path(names[0]).name != Path(names[1]).name:
        return {"augment": names}
    differ = [name for name in new if old[name] != new[name]]
    return {"augment": ({n: old[n] for n in differ}, {n: new[n] for n in differ})}


def _check(
    folder: str,
    record: Mapping[str, Any],
    source: str | None,
    changed: Mapping[str, tuple[Any, Any]],
    *,
    override: bool,
) -> None:
    """Refuse what may not change, before pictures are read."""
    from nunbit.data.reading import origin_of
    from nunbit.training.continuing import is_longer

    may_change = {info.name for info in TrainOptions.fields()}
    refused = {
        name: pair
        for name, pair in changed.items()
        if name not in may_change or not (override or is_longer(name, *pair))
    }
    differ = [f"{name} was {old!r}, got {new!r}" for name, (old, new) in refused.items()]
    here = (record["source"], record["origin"])
    if source is not None and source not in here and origin_of(source) not in here:
        differ.append(f"SOURCE was {record['origin']!r}, got {source!r}")
    if not differ:
        return
    more = " `--override` goes on with those that a run can change." if refused else ""
    if not may_change & refused.keys():
        more = ""
    raise OptionError(
        f"`{folder}` was started with other options: {'; '.join(differ)}. A run goes on with "
        f"the options it had: leave them away, or start a new run.{more}"
    )


def _options(
    training: TrainOptions, asked: Mapping[str, Any], changed: Mapping[str, tuple[Any, Any]]
) -> TrainOptions:
    """Return the options of training to go on with."""
    from nunbit.training.prepare import WHERE

    taken = {*changed, *WHERE, "teacher"}
    typed = pick(TrainOptions, asked)
    return replace(training, **{name: value for name, value in typed.items() if name in taken})


def _go_on(
    run: RunFolder,
    record: Mapping[str, Any],
    data: DataOptions,
    training: TrainOptions,
    changed: Mapping[str, Any],
    run_options: RunOptions,
    output: Output,
) -> Result:
    from nunbit.augment import Augment
    from nunbit.create import create_model_for
    from nunbit.data.preprocessing import Preprocessing
    from nunbit.evaluation.finish import finish
    from nunbit.model import Model
    from nunbit.training.continuing import without_name
    from nunbit.training.fit import fit
    from nunbit.training.history import History

    pictures = load_pictures(record["origin"], data)
    if "finished" in record and not changed and not _is_reported(run):
        # It was stopped after its last step and before its report.
        history, model = History.of_run(run), Model.load(run.path)
        return finish(model, pictures, history, command=command_of(run))
    model = create_model_for(
        pictures,
        network=record["network"],
        head=record["task"].get("head"),
        network_options=record.get("network_options", {}),
        seed=training.seed,
    )
    if record.get("recipe"):
        model.facts["recipe"] = record["recipe"]
    if record.get("weights") and not run.is_begun:
        raise OptionError(
            f"`{run.path}` ended before its first checkpoint, and the weights that it was to begin "
            f"with (`{weights_of(record)}`) are not in it. Remove the folder and start anew."
        )
    if record.get("weights"):  # they are in the checkpoint
        model.facts["weights"] = record["weights"]
        model.preprocessing = Preprocessing.from_dict(record["preprocessing"])
    say_findings(pictures, output)
    augment = None if "augment" in changed else Augment.from_dict(without_name(record["augment"]))
    history = fit(
        model,
        pictures,
        augment=augment,
        options=training,
        resume=run.path,
        override=run_options.override,
    )
    return finish(model, pictures, history, command=command_of(run))


def _is_reported(run: RunFolder) -> bool:
    """Return whether the report is there and not one of before the run was prolonged."""
    try:
        written = run.report_file.stat().st_mtime_ns
        return written >= run.options_file.stat().st_mtime_ns
    except OSError:
        return False


def _canonical(name: str, value: Any) -> Any:
    """Return an option as a run keeps it: one of several names, a file without its folder."""
    if name == "network":
        from nunbit.networks import find_network

        return find_network(value).name
    if name == "weights" and isinstance(value, str):
        return Path(value).name
    return value


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as ``options.json`` keeps them: lists, and paths from anywhere."""
    from nunbit.data.reading import without_folder

    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
    paths = {k: v for k, v in given.items() if k in ("split", "exclude") and v is not None}
    kept = without_folder(DataOptions(**paths)).to_dict()
    return {**plain, **{name: kept[name] for name in paths}}
