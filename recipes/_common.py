"""What the recipes share: arguments, pictures, the loop over variants and seeds.

A recipe is one question. It names its variants, trains each with several seeds, prints a
table, and writes it with ``--json`` and draws it with ``--plot`` where asked.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nunbit
from nunbit.networks import count_parameters, layer_table
from nunbit.runs import RunFolder

__all__ = [
    "Schedule",
    "Setting",
    "Trained",
    "ask",
    "chosen",
    "load_pictures",
    "train",
    "train_all",
]

Variants = Mapping[str, tuple[str, Mapping[str, Any]]]
"""By the name in the table: the network's name and its own options."""


@dataclass(frozen=True)
class Schedule:
    """How much work a recipe is; ``pictures`` None means all training pictures."""

    epochs: int
    seeds: int = 1
    pictures: int | None = None
    image_size: int | None = None


@dataclass(frozen=True)
class Setting:
    """What was asked for on the command line, with the schedule filled in."""

    source: str
    epochs: int
    seeds: int
    pictures: int | None
    image_size: int | None
    full: bool
    only: tuple[str, ...]
    out: str | None
    json: str | None
    plot: str | None


@dataclass(frozen=True)
class Trained:
    """One network after training.

    Args:
        test_accuracy: 0..1, of the last epoch's network; nothing was chosen by it.
        parameters: Weights and biases.
        multiply_adds: For one picture.
    """

    name: str
    seed: int
    history: nunbit.History
    test_accuracy: float
    parameters: int
    multiply_adds: int

    @property
    def seconds_per_epoch(self) -> float:
        """Training time, without the look at the test pictures."""
        return self.history.seconds / max(len(self.history.epochs), 1)


def ask(
    text: str | None,
    *,
    source: str,
    quick: Schedule,
    full: Schedule,
    arguments: Sequence[str] | None = None,
) -> Setting:
    """Read the command line; what it leaves open comes from one of the two schedules.

    Args:
        text: The recipe's docstring, which ``--help`` prints.
        source: The set the recipe is written for.
        quick: For two cores.
        full: For ``--full``.
    """
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the long schedule, for a GPU")
    parser.add_argument("--seeds", type=_at_least_1, help="train each network so many times")
    parser.add_argument("--epochs", type=_at_least_1, help="times through the training pictures")
    parser.add_argument("--pictures", type=_at_least_1, help="of each split, at most; default: all")
    parser.add_argument("--image-size", type=_at_least_1, help="side in pixels")
    parser.add_argument("--source", default=source, help=f"other pictures than {source}")
    parser.add_argument("--only", nargs="*", default=[], help="rows of the table to make")
    parser.add_argument("--out", help="folder to keep the runs in; the same call again goes on")
    parser.add_argument("--json", help="file to write the table to")
    parser.add_argument("--plot", help="SVG file to draw to")
    asked = vars(parser.parse_args(arguments))
    for name, value in asdict(full if asked["full"] else quick).items():
        if asked[name] is None:
            asked[name] = value
    return Setting(**{**asked, "only": tuple(asked["only"])})


def _at_least_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected 1 or more")
    return number


def load_pictures(setting: Setting) -> nunbit.Pictures:
    """Load the pictures, all of them or the same random part for every network.

    The test pictures also stand in for validation, so that the history has the test
    error of every epoch, as the papers draw it. Nothing is chosen by it.
    """
    options = nunbit.DataOptions(image_size=setting.image_size, check="off", validation=0.0)
    whole = nunbit.load(setting.source, options=options)
    if whole.test is None:
        whole = nunbit.load(setting.source, options=replace(options, validation=0.2))
    train, test = whole.train, whole.test or whole.validation
    if test is None:
        sys.exit(f"`{setting.source}` has no pictures to test on.")
    if setting.pictures is not None:
        train, test = _some(train, setting.pictures), _some(test, setting.pictures)
    kept = np.isin(whole.table.ids, np.concatenate([train.ids, test.ids]))
    return replace(whole, table=whole.table.select(kept), train=train, validation=test, test=test)


def _some(pictures: nunbit.PictureSet, count: int) -> nunbit.PictureSet:
    """Return a random part, the same one every time."""
    order = np.random.default_rng(0).permutation(len(pictures))[:count]
    kept: NDArray[np.int64] = np.sort(order)
    return replace(
        pictures,
        rows=pictures.rows[kept],
        labels=pictures.labels[kept],
        ids=pictures.ids[kept],
        names=[pictures.names[k] for k in kept],
    )


def chosen(names: Iterable[str], setting: Setting) -> list[str]:
    """Return the rows to make: those of ``--only``, or all."""
    known = list(names)
    unknown = [name for name in setting.only if name not in known]
    if unknown:
        sys.exit(f"no row `{unknown[0]}`; there are: {', '.join(known)}")
    return [name for name in known if not setting.only or name in setting.only]


def train_all(
    variants: Variants,
    pictures: nunbit.Pictures,
    setting: Setting,
    *,
    options: nunbit.TrainOptions,
    augment: nunbit.Augment | str = "none",
    callbacks: Callable[[], Sequence[nunbit.Callback]] = tuple,
) -> dict[str, list[Trained]]:
    """Train every variant with every seed; returns them by variant.

    Args:
        callbacks: Called before each training, for fresh callbacks.
    """
    results: dict[str, list[Trained]] = {}
    for name in chosen(variants, setting):
        network, network_options = variants[name]
        for seed in range(setting.seeds):
            model = nunbit.create_model_for(
                pictures, network=network, network_options=network_options, seed=seed
            )
            run = train(
                model,
                pictures,
                setting,
                name=name,
                options=replace(options, seed=seed),
                augment=augment,
                callbacks=callbacks(),
            )
            results.setdefault(name, []).append(run)
    return results


def train(
    model: nunbit.Model,
    pictures: nunbit.Pictures,
    setting: Setting,
    *,
    name: str,
    options: nunbit.TrainOptions,
    augment: nunbit.Augment | str = "none",
    callbacks: Sequence[nunbit.Callback] = (),
) -> Trained:
    """Train one network, or go on where an interrupted call stopped."""
    options = replace(options, epochs=setting.epochs)
    seed = options.seed
    with _folder(setting, name, seed) as folder:
        started = folder.exists()
        if started and "finished" in RunFolder.open(folder).read_options():
            history = nunbit.History.of_run(RunFolder.open(folder))
            model = nunbit.Model.load(folder)
        else:
            try:
                history = nunbit.fit(
                    model,
                    pictures,
                    options=options,
                    augment=augment,
                    callbacks=callbacks,
                    out=None if started else folder,
                    resume=folder if started else None,
                    progress=False,
                )
            except KeyboardInterrupt:
                kept = setting.out and f"; the same call goes on from what is in `{setting.out}`"
                sys.exit(f"stopped{kept or ', nothing is kept without --out'}")
    accuracy = nunbit.evaluate(model, pictures.test)["accuracy"]
    parameters, multiply_adds = cost_of(model)
    trained = Trained(name, seed, history, accuracy, parameters, multiply_adds)
    print(
        f"{name}, seed {seed}: test accuracy {accuracy:.2%} after {len(history.epochs)} epochs "
        f"of {trained.seconds_per_epoch:.1f} s",
        file=sys.stderr,
        flush=True,
    )
    return trained


def cost_of(model: nunbit.Model) -> tuple[int, int]:
    """Return the parameters, and the multiply-adds for one picture."""
    made = model.preprocessing
    rows = layer_table(model.network, channels=made.channels, image_size=made.image_size)
    return count_parameters(model.network), sum(row.multiply_adds for row in rows)


@contextlib.contextmanager
def _folder(setting: Setting, name: str, seed: int) -> Iterator[Path]:
    """Give a run its folder: one to keep, or one that is gone afterwards."""
    words = "".join(c if c.isalnum() else "-" for c in name)
    if setting.out is not None:
        yield Path(setting.out) / f"{words}-{seed}"
    else:
        with tempfile.TemporaryDirectory() as parent:
            yield Path(parent) / words
