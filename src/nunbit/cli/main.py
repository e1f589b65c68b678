"""``nunbit``: the command line. One thin file per verb; this one puts them together.

Only the options are imported here. What a command needs is imported when it runs,
so that help is quick.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import NoReturn

from cyclopts import App, CycloptsError

from nunbit._version import __version__
from nunbit.cli._asked import FileOptions, NetworkOptions
from nunbit.cli._flags import Positional, add_command
from nunbit.cli._output import mend_streams, printable
from nunbit.cli._said_once import say_once
from nunbit.cli.augment import SheetOptions, augment
from nunbit.cli.check import CheckOptions, check
from nunbit.cli.datasets import DatasetsOptions, datasets
from nunbit.cli.evaluate import evaluate
from nunbit.cli.find_lr import RangeOptions, StepOptions, find_lr
from nunbit.cli.networks import NetworksOptions, networks
from nunbit.cli.predict import PredictOptions, predict
from nunbit.cli.recipes import recipes
from nunbit.cli.train import RunOptions, train
from nunbit.data.options import DataOptions
from nunbit.errors import NunbitError
from nunbit.training.options import TrainOptions

__all__ = ["app", "main", "run"]

RUN = Positional("run", str, "A run folder or a model file.")
SOURCE_HELP = (
    "A folder of class folders, with train/ validation/ test/ inside or not; a folder of files "
    "such as cat.0.jpg; a CSV (path,label[,split][,group]); a zip or tar of any of these; shards "
    "(train-{000..012}.tar, a folder of tars, a URL); or a name: digits, shapes, signals, "
    "mnist, fashion-mnist, cifar10, cats-dogs."
)

app = App(
    name="nunbit",
    help="Nunbit (눈빛): point it at pictures, get a network you can trust and look inside.",
    version=f"nunbit {__version__}",
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
add_command(
    app,
    train,
    name="train",
    positional=[Positional("source", str | None, SOURCE_HELP, default=None)],
    parts=[DataOptions, NetworkOptions, TrainOptions, FileOptions, RunOptions],
)
add_command(
    app,
    check,
    name="check",
    positional=[Positional("source", str, SOURCE_HELP)],
    parts=[CheckOptions],
)
add_command(
    app,
    find_lr,
    name="find-lr",
    positional=[Positional("source", str, SOURCE_HELP)],
    parts=[DataOptions, NetworkOptions, StepOptions, FileOptions, RangeOptions],
)
add_command(
    app,
    evaluate,
    name="evaluate",
    positional=[
        RUN,
        Positional(
            "source",
            str | None,
            "Labelled pictures; default: what the run kept apart for its test.",
            default=None,
        ),
    ],
    parts=[],
)
add_command(
    app,
    predict,
    name="predict",
    positional=[RUN, Positional("pictures", tuple, "Files, folders, or patterns such as '*.jpg'.")],
    parts=[PredictOptions],
)
add_command(
    app,
    networks,
    name="networks",
    positional=[Positional("name", str | None, "Show this one, layer by layer.", default=None)],
    parts=[NetworksOptions],
)
add_command(
    app,
    recipes,
    name="recipes",
    positional=[Positional("name", str | None, "Show this one.", default=None)],
    parts=[],
)
add_command(
    app,
    datasets,
    name="datasets",
    positional=[Positional("name", str | None, "Show this one.", default=None)],
    parts=[DatasetsOptions],
)
add_command(
    app,
    augment,
    name="augment",
    positional=[Positional("source", str, SOURCE_HELP)],
    parts=[SheetOptions],
)


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit status.

    0 done; 2 what the user gave is wrong; 1 our fault; 130 interrupted, after saving.
    """
    words = sys.argv[1:] if arguments is None else arguments
    mend_streams()
    try:
        status = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        verb = f" {words[0]}" if words and words[0] in app else ""
        _complain(f"{str(error).strip()} `nunbit{verb} --help` lists what there is.", error)
        return 2
    except NunbitError as error:
        if "--debug" in words:
            traceback.print_exc()
        _complain(str(error), error)
        return error.exit_status
    except KeyboardInterrupt as error:
        saved = f"; all is saved: {error}" if str(error) else ""
        _complain(f"interrupted{saved}.", error)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if "--debug" in words:
            traceback.print_exc()
        _complain(
            f"this is a fault of Nunbit: {type(error).__name__}: {error}. Run the same command "
            "with `--debug` and report what it prints.",
            error,
        )
        return 1
    return status if isinstance(status, int) else 0


def _complain(text: str, error: BaseException) -> None:
    def say(words: str) -> None:
        print(f"nunbit: {printable(words, keep=chr(10))}", file=sys.stderr, flush=True)

    say_once(text, error, say)


def main() -> NoReturn:
    """Entry point of the ``nunbit`` command."""
    sys.exit(run())
