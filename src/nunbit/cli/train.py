"""``nunbit train SOURCE``: from pictures to a trained network in one command."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from nunbit.cli._asked import PARTS, FileOptions, NetworkOptions, read_asked, with_recipe
from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output
from nunbit.cli._places import check_outside, source_folder
from nunbit.cli._run_text import command_words, say_end, say_findings
from nunbit.cli._said_once import is_first_rank, started_ranks
from nunbit.cli.launch import as_words, check_started, launch
from nunbit.data.options import DataOptions
from nunbit.errors import OptionError
from nunbit.options import Option, Options
from nunbit.recipes import Facts, Recipe, any_pictures
from nunbit.training.options import TrainOptions

if TYPE_CHECKING:
    from nunbit.data.pictures import Pictures
    from nunbit.data.preprocessing import Preprocessing
    from nunbit.data.table import PictureTable
    from nunbit.evaluation.finish import Result
    from nunbit.model import Model
    from nunbit.runs import RunFolder

__all__ = ["RunOptions", "train"]


@dataclass(frozen=True)
class RunOptions(Options):
    """Where a run goes, and how it goes on."""

    out: Annotated[
        str | None,
        Option("The run folder; default: runs/<source>-<network>-<number>.", group="Output"),
    ] = None
    resume: Annotated[
        str | None,
        Option(
            "Continue this run folder; SOURCE is not needed. More --epochs prolong it.",
            group="Output",
        ),
    ] = None
    override: Annotated[
        bool,
        Option(
            "With --resume: go on although options are others than before, such as --lr. Not "
            "needed for more --epochs or a larger --patience.",
            group="Output",
        ),
    ] = False
    devices: Annotated[
        int | None,
        Option(
            "Train in so many processes on this machine, each with a GPU of its own or a part of "
            "the processor; for many machines there is `torchrun`.",
            unit="processes",
            low=1,
            high=1024,
            group="Machine",
        ),
    ] = None


def train(source: str | None, given: dict[str, Any]) -> int:
    """Train a network on pictures, evaluate it, and write a run folder with a report."""
    common = CommonOptions(**pick(CommonOptions, given))
    output = Output(as_json=common.json)
    run_options = RunOptions(**pick(RunOptions, given))
    if run_options.devices is not None:
        if started_ranks() > 1:
            check_started(run_options.devices)
        elif run_options.devices > 1:
            device = str(given.get("device", "auto"))
            words = as_words(source, given, [*PARTS, FileOptions, RunOptions, CommonOptions])
            return launch(run_options.devices, words, device=device)
    if run_options.override and run_options.resume is None:
        raise OptionError(
            "`--override` goes on with a run under other options: name it with `--resume RUN`."
        )
    if run_options.resume is not None:
        from nunbit.cli.resume import resume

        result = resume(run_options, source, given, output)
    elif source is None:
        raise OptionError(
            "train needs a SOURCE: a folder of class folders, or a name such as `digits`. "
            "Try `nunbit train digits`."
        )
    else:
        result = _start(source, run_options, given, output)
    say_end(result, output)
    return 0


def _start(source: str, run: RunOptions, given: Mapping[str, Any], output: Output) -> Result:
    asked, recipe = read_asked(source, given)
    training = TrainOptions(**pick(TrainOptions, asked))

    from nunbit.evaluation.finish import finish
    from nunbit.runs import RunFolder
    from nunbit.training.fit import fit
    from nunbit.training.loggers import check_loggers
    from nunbit.training.prepare import check_monitored

    check_loggers(training.log)
    check_monitored(training)
    RunFolder.check_free(run.out)
    if run.out is not None:
        check_outside("--out", run.out, source_folder(source))
    if recipe is not None:
        output.say(f"recipe: {recipe}")
    pictures, model, training = make_both(source, asked, recipe=recipe)
    say_findings(pictures, output)
    within = [Path(os.path.realpath(folder)) for folder in source_folder(source)]
    if run.out is None and any(Path.cwd().is_relative_to(folder) for folder in within):
        output.say("note: the folder `runs` is made among the pictures; `--out DIR` puts it apart")
    history = fit(model, pictures, options=training, out=run.out)
    return finish(model, pictures, history, command=command_of(RunFolder(history.run)))


def make_both(
    source: str, asked: Mapping[str, Any], *, recipe: Recipe | None = None
) -> tuple[Pictures, Model, TrainOptions]:
    """Read the pictures and make the network for them; return the options of training, too.

    What can be wrong without any picture is said before pictures are read.

    Args:
        asked: What was typed or stands in a file or a recipe, by name of the option.
        recipe: One for any pictures fills in what they tell it to.
    """
    data = DataOptions(**pick(DataOptions, asked))
    network = NetworkOptions(**pick(NetworkOptions, asked))
    training = TrainOptions(**pick(TrainOptions, asked))

    from nunbit.augment import choose_augment
    from nunbit.create import create_model_for
    from nunbit.networks import check_split, find_network, open_weights, read_network_options
    from nunbit.training.device import find_device, find_parts

    own = read_network_options(find_network(network.network), network.network_option)
    device = find_device(training.device)
    check_split(network.network, find_parts(device, training.split_model))
    weights = None if network.weights is None else open_weights(network.network, network.weights)
    if weights is not None and weights.image_size is not None and "image_size" not in asked:
        data = replace(data, image_size=weights.image_size)
    choose_augment(training.augment, channels=3)
    if recipe is not None and not recipe.source:
        pictures, asked = _by_rules(source, data, asked, kind=recipe.kind, device=device.type)
        network = NetworkOptions(**pick(NetworkOptions, asked))
        training = TrainOptions(**pick(TrainOptions, asked))
        own = read_network_options(find_network(network.network), network.network_option)
    else:
        pictures = load_pictures(source, data)
    model = create_model_for(
        pictures,
        network=network.network,
        head=network.head if "head" in asked else None,
        weights=weights,
        network_options=own,
        seed=training.seed,
    )
    if recipe is not None:
        model.facts["recipe"] = recipe.name
    return pictures, model, training


def _by_rules(
    source: str, data: DataOptions, asked: Mapping[str, Any], *, kind: str, device: str
) -> tuple[Pictures, Mapping[str, Any]]:
    """Read pictures as a recipe for any pictures says; returns them and all options by name."""
    whole = dict(asked)

    def adapt(table: PictureTable, made: Preprocessing) -> DataOptions:
        count = len(table.of_split("train"))
        found = any_pictures(kind, Facts(count, made.image_size, made.channels, device), asked)
        whole.update(with_recipe(found, asked, where=f"recipe `{kind}`"))
        return replace(data, **pick(DataOptions, whole))

    return load_pictures(source, data, adapt=adapt), whole


def as_typed(options: Mapping[str, Any]) -> list[str]:
    """Return options of a network as they are typed."""
    return [
        f"{name}={json.dumps(value) if not isinstance(value, str) else value}"
        for name, value in options.items()
    ]


def weights_of(record: Mapping[str, Any]) -> str | None:
    """Return the weights that a run began with, as they are typed."""
    weights = record.get("weights") or {}
    return weights.get("name") or weights.get("file")


def load_pictures(
    source: str,
    options: DataOptions,
    *,
    adapt: Callable[[PictureTable, Preprocessing], DataOptions | None] = lambda table, made: None,
) -> Pictures:
    """Read pictures with a bar on a terminal; the arguments are those of ``read_pictures``."""
    from nunbit.create import check_trainable
    from nunbit.data.pictures import read_pictures

    if not (sys.stderr.isatty() and is_first_rank()):
        return read_pictures(source, options, accept=check_trainable, adapt=adapt)
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading pictures", total=None)
        return read_pictures(
            source,
            options,
            accept=check_trainable,
            adapt=adapt,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def command_of(run: RunFolder) -> str:
    """Return the command that repeats a run: all that differs from the defaults."""
    record = run.read_options()
    used = {**record["pictures"], **record["training"], "network": record["network"]}
    used["head"] = record["task"].get("head", "softmax")
    used["network_option"] = as_typed(record.get("network_options", {}))
    used["weights"] = weights_of(record)
    return command_words(["nunbit", "train", record["origin"]], PARTS, used)
