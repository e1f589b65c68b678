"""``nunbit train SOURCE``: from pictures to a trained network in one command."""

from __future__ import annotations

import json
import os
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output, percent, printable
from nunbit.cli._places import check_outside, source_folder
from nunbit.data.options import DataOptions
from nunbit.errors import OptionError, did_you_mean, name_list
from nunbit.options import Option, Options
from nunbit.training.options import TrainOptions

if TYPE_CHECKING:
    from nunbit.data.pictures import Pictures
    from nunbit.evaluation.finish import Result
    from nunbit.model import Model
    from nunbit.runs import RunFolder

__all__ = ["NetworkOptions", "RunOptions", "train"]


@dataclass(frozen=True)
class NetworkOptions(Options):
    """Which network."""

    network: Annotated[
        str, Option("Name of the network; `nunbit networks` lists them.", group="Network")
    ] = "auto"
    head: Annotated[
        Literal["softmax", "sigmoid"],
        Option("sigmoid gives two classes one output instead of two.", group="Network"),
    ] = "softmax"
    weights: Annotated[
        str | None,
        Option(
            "Start from weights that somebody trained: imagenet, another name that "
            "`nunbit networks --weights` lists, or a file.",
            group="Network",
        ),
    ] = None
    network_option: Annotated[
        tuple[str, ...],
        Option(
            "An option of the network as NAME=VALUE, such as shortcut=C; may be given several "
            "times. `nunbit networks NAME` lists them.",
            group="Network",
        ),
    ] = ()


PARTS: tuple[type[Options], ...] = (DataOptions, NetworkOptions, TrainOptions)


@dataclass(frozen=True)
class RunOptions(Options):
    """Where a run goes, and where its options come from."""

    out: Annotated[
        str | None,
        Option("The run folder; default: runs/<source>-<network>-<number>.", group="Output"),
    ] = None
    resume: Annotated[
        str | None, Option("Continue this run folder; SOURCE is not needed.", group="Output")
    ] = None
    options: Annotated[
        str | None,
        Option("TOML file of options; what is typed goes before it.", group="Options"),
    ] = None


def train(source: str | None, given: dict[str, Any]) -> int:
    """Train a network on pictures, evaluate it, and write a run folder with a report."""
    common = CommonOptions(**pick(CommonOptions, given))
    output = Output(as_json=common.json)
    run_options = RunOptions(**pick(RunOptions, given))
    if run_options.resume is not None:
        result = _resume(run_options.resume, source, given, output)
    elif source is None:
        raise OptionError(
            "train needs a SOURCE: a folder of class folders, or a name such as `digits`. "
            "Try `nunbit train digits`."
        )
    else:
        result = _start(source, run_options, given, output)
    _close(result, output)
    return 0


def _start(source: str, run: RunOptions, given: Mapping[str, Any], output: Output) -> Result:
    asked = {**_read_file(run.options), **given}
    data = DataOptions(**pick(DataOptions, asked))
    network = NetworkOptions(**pick(NetworkOptions, asked))
    training = TrainOptions(**pick(TrainOptions, asked))

    from nunbit.augment import choose_augment
    from nunbit.create import create_model_for
    from nunbit.evaluation.finish import finish
    from nunbit.networks import check_split, find_network, open_weights, read_network_options
    from nunbit.runs import RunFolder
    from nunbit.training.device import find_device, find_parts
    from nunbit.training.fit import fit

    # What can be wrong without any picture is said before pictures are read.
    own = read_network_options(find_network(network.network), network.network_option)
    check_split(network.network, find_parts(find_device(training.device), training.split_model))
    weights = None if network.weights is None else open_weights(network.network, network.weights)
    if weights is not None and weights.image_size is not None and "image_size" not in asked:
        data = replace(data, image_size=weights.image_size)
    choose_augment(training.augment, channels=3)
    RunFolder.check_free(run.out)
    if run.out is not None:
        check_outside("--out", run.out, source_folder(source))
    pictures = _load(source, data)
    model = create_model_for(
        pictures,
        network=network.network,
        head=network.head if "head" in asked else None,
        weights=weights,
        network_options=own,
        seed=training.seed,
    )
    _header(pictures, model, output)
    within = [Path(os.path.realpath(folder)) for folder in source_folder(source)]
    if run.out is None and any(Path.cwd().is_relative_to(folder) for folder in within):
        output.say("note: the folder `runs` is made among the pictures; `--out DIR` puts it apart")
    history = fit(model, pictures, options=training, out=run.out)
    return finish(model, pictures, history, command=_command(RunFolder(history.run)))


def _resume(folder: str, source: str | None, given: Mapping[str, Any], output: Output) -> Result:
    from nunbit.data.reading import origin_of
    from nunbit.runs import RunFolder
    from nunbit.training.prepare import WHERE

    if "out" in given:
        raise OptionError(f"`--resume {folder}` goes on in that folder: leave `--out` away.")
    run = RunFolder.open(folder)
    record = run.read_options()
    data = DataOptions.from_dict(record["pictures"])
    training = TrainOptions.from_dict(record["training"])
    kept = {
        **data.to_dict(),
        **training.to_dict(),
        "network": record["network"],
        "head": record["task"].get("head"),
        "network_option": _as_typed(record.get("network_options", {})),
        "weights": _weights_of(record),
    }
    differ = [
        f"{name} was {kept[name]!r}, got {value!r}"
        for name, value in _plain({**_read_file(given.get("options")), **given}).items()
        if name in kept
        and name not in WHERE
        and _canonical(name, value) not in (kept[name], "auto")
    ]
    if not record["origin"]:
        raise OptionError(
            f"`{folder}` was trained on pictures that came from Python (arrays or columns). Go on "
            "there, with `nunbit.fit(..., resume=...)`."
        )
    here = (record["source"], record["origin"])
    if source is not None and source not in here and origin_of(source) not in here:
        differ.append(f"SOURCE was {record['origin']!r}, got {source!r}")
    if differ:
        raise OptionError(
            f"`{folder}` was started with other options: {'; '.join(differ)}. A run goes on with "
            "the options it had: leave them away, or start a new run."
        )

    from nunbit.augment import Augment
    from nunbit.create import create_model_for
    from nunbit.data.preprocessing import Preprocessing
    from nunbit.evaluation.finish import finish
    from nunbit.model import Model
    from nunbit.training.fit import fit
    from nunbit.training.history import History

    augment = {k: v for k, v in record["augment"].items() if k != "name"}
    pictures = _load(record["origin"], data)
    if "finished" in record and not run.report_file.exists():
        # It was stopped after its last step and before its report.
        model, history = Model.load(folder), History.of_run(run)
        return finish(model, pictures, history, command=_command(run))
    model = create_model_for(
        pictures,
        network=record["network"],
        head=kept["head"],
        network_options=record.get("network_options", {}),
        seed=training.seed,
    )
    if record.get("weights"):  # they are in the checkpoint
        model.facts["weights"] = record["weights"]
        model.preprocessing = Preprocessing.from_dict(record["preprocessing"])
    _header(pictures, model, output)
    history = fit(
        model,
        pictures,
        augment=Augment.from_dict(augment),
        options=replace(training, **{name: given[name] for name in WHERE if name in given}),
        resume=folder,
    )
    return finish(model, pictures, history, command=_command(run))


def _as_typed(options: Mapping[str, Any]) -> list[str]:
    """Return options of a network as they are typed."""
    return [
        f"{name}={json.dumps(value) if not isinstance(value, str) else value}"
        for name, value in options.items()
    ]


def _canonical(name: str, value: Any) -> Any:
    """Return an option as a run keeps it: one of several names, a file without its folder."""
    if name == "network":
        from nunbit.networks import find_network

        return find_network(value).name
    if name == "weights" and isinstance(value, str):
        return Path(value).name
    return value


def _weights_of(record: Mapping[str, Any]) -> str | None:
    """Return the weights that a run began with, as they are typed."""
    weights = record.get("weights") or {}
    return weights.get("name") or weights.get("file")


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as ``options.json`` keeps them: lists, and paths from anywhere."""
    from nunbit.data.reading import without_folder

    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
    paths = {k: v for k, v in given.items() if k in ("split", "exclude") and v is not None}
    kept = without_folder(DataOptions(**paths)).to_dict()
    return {**plain, **{name: kept[name] for name in paths}}


def _read_file(path: str | None) -> dict[str, Any]:
    """Read options from a TOML file.

    Raises:
        OptionError: No such file, no TOML, or an unknown option.
    """
    if path is None:
        return {}
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"options file `{path}` cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"options file `{path}` is no TOML: {error}.") from error
    fields = {info.name: info for part in PARTS for info in part.fields()}
    unknown = [name for name in values if name.replace("-", "_") not in fields]
    if unknown:
        raise OptionError(
            f"options file `{path}`: unknown option {name_list(f'`{u}`' for u in unknown)}."
            f"{did_you_mean(unknown[0].replace('-', '_'), fields)} Known: {', '.join(fields)}."
        )
    clean: dict[str, Any] = {}
    for part in PARTS:
        mine = {k.replace("-", "_"): v for k, v in values.items()}
        made = part.from_dict(pick(part, mine), where=f"options file `{path}`")
        clean |= {name: getattr(made, name) for name in pick(part, mine)}
    return clean


def _load(source: str, options: DataOptions) -> Pictures:
    from nunbit.create import check_trainable
    from nunbit.data.pictures import read_pictures

    if not sys.stderr.isatty():
        return read_pictures(source, options, accept=check_trainable)
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading pictures", total=None)
        return read_pictures(
            source,
            options,
            accept=check_trainable,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _header(pictures: Pictures, model: Model, output: Output) -> None:
    made = pictures.preprocessing
    sets = {
        "train": pictures.train,
        "validation": pictures.validation,
        "test": pictures.test,
    }
    counts = ", ".join(f"{len(each):,} {split}" for split, each in sets.items() if each is not None)
    colour = "grey" if made.channels == 1 else "RGB"
    facts = {
        "Pictures": f"{printable(pictures.source)}: {counts}",
        "Classes": f"{len(pictures.classes)}: {name_list(map(printable, pictures.classes))}",
        "Seen as": f"{made.image_size}×{made.image_size} {colour}, fit: {made.fit}",
        "Network": f"{model.network_name}, {model.parameters:,} parameters",
    }
    output.facts(facts)
    for note in pictures.notes:
        output.say(f"note: {note}")
    found = [] if pictures.findings is None else pictures.findings.lines()
    for line in found:
        output.say(line)
    if found:
        output.say(f"`{_check_command(pictures)}` shows all of it.")


def _check_command(pictures: Pictures) -> str:
    """Return the command that checks the pictures as they are cut here."""
    from nunbit.cli.check import CheckOptions

    options = pictures.options
    asked: dict[str, Any] = {name: getattr(options, name) for name in ("group_by", "exclude")}
    asked |= {"skip_class": options.skip_class, "seed": options.seed}
    if options.fold is not None:
        asked["fold"] = options.fold
    elif options.split != "random":
        asked["split"] = options.split
    if options.fold is None and options.split in ("random", "position") and options.validation:
        asked["validation"] = f"{options.validation:g}"
    return _words(["nunbit", "check", pictures.origin], (CheckOptions,), asked)


def _close(result: Result, output: Output) -> None:
    history = result.history
    output.say()
    if history.stop_reason:
        output.say(f"Stopped early: {history.stop_reason}.")
    facts = {
        "Trained": f"{len(history.epochs)} epochs in {history.seconds:,.1f} s, "
        f"{history.images_per_second:,.0f} pictures/s ({history.plan})"
    }
    for split, evaluation in result.evaluations.items():
        first = evaluation.scores[0]
        value = percent(first.value, first.low, first.high)
        text = value if first.is_fraction else f"{first.value:.4f}"
        facts[f"{split.capitalize()} {first.name}"] = f"{text} on {evaluation.count:,} pictures"
    facts["Model"] = str(result.run.model_file)
    facts["Report"] = str(result.run.report_file)
    output.facts(facts)
    output.result(result.to_dict())


def _command(run: RunFolder) -> str:
    """Return the command that repeats a run: all that differs from the defaults."""
    record = run.read_options()
    used = {**record["pictures"], **record["training"], "network": record["network"]}
    used["head"] = record["task"].get("head", "softmax")
    used["network_option"] = _as_typed(record.get("network_options", {}))
    used["weights"] = _weights_of(record)
    return _words(["nunbit", "train", record["origin"]], PARTS, used)


def _words(words: list[str], parts: Sequence[type[Options]], used: Mapping[str, Any]) -> str:
    """Return a command with every option that differs from its default."""
    seen = set()
    for part in parts:
        for info in part.fields():
            value = used.get(info.name)
            is_default = value == info.default or (value == [] and info.default == ())
            if info.name in seen or value is None or is_default:
                continue
            seen.add(info.name)
            for each in value if isinstance(value, list | tuple) else [value]:
                words += [info.flag] if each is True else [info.flag, str(each)]
    return shlex.join(words)
