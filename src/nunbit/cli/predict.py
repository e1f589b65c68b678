"""``nunbit predict RUN PICTURES...``: say what pictures show."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output
from nunbit.cli._places import check_parent
from nunbit.errors import DataError, OptionError, PictureError, StorageError
from nunbit.options import Option, Options

if TYPE_CHECKING:
    from nunbit.model import Model
    from nunbit.tasks import Prediction

__all__ = ["PredictOptions", "predict"]

COLUMNS = ("path", "label", "probability")
"""First columns of the table, by which it is known."""
CHUNK = 256
"""Pictures in memory at a time."""


@dataclass(frozen=True)
class PredictOptions(Options):
    """How predictions are given."""

    csv: Annotated[
        str | None,
        Option(
            "Also write path, label, probability here; an older such table is replaced.",
            group="Prediction",
        ),
    ] = None
    top: Annotated[
        int, Option("Labels to give for each picture, best first.", low=1, group="Prediction")
    ] = 5


def predict(run: str, *rest: Any) -> int:
    """Say what pictures show, with probabilities.

    Unreadable pictures are listed, the others are done; then the exit status is 2.
    """
    *pictures, given = rest
    options = PredictOptions(**pick(PredictOptions, given))
    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    if options.csv is not None:
        check_parent("--csv", options.csv)
        check_table_place(options.csv)
    paths = find_pictures(pictures)

    from nunbit.model import Model

    model = Model.load(run)
    done: list[tuple[str, Prediction]] = []
    failed: list[tuple[str, str]] = []
    for path, answer in predict_files(model, paths, top=options.top):
        if isinstance(answer, str):
            failed.append((path, answer))
        else:
            done.append((path, answer))
    if options.csv is not None:
        _write_csv(Path(options.csv), done)
    rows = [
        [path, each.label, f"{100 * each.probability:.2f} %", _others(each)] for path, each in done
    ]
    if not output.as_json and rows:
        output.table(["picture", "label", "probability", "next"], rows, left=2)
    for path, reason in failed:
        output.say(f"failed: {path}: {reason}")
    output.result(
        {
            "predictions": [
                {
                    "path": path,
                    "label": each.label,
                    "probability": each.probability,
                    "top": [[label, p] for label, p in each.top],
                }
                for path, each in done
            ],
            "failed": [{"path": path, "reason": reason} for path, reason in failed],
        }
    )
    return 2 if failed else 0


def find_pictures(asked: Sequence[str]) -> list[str]:
    """Turn files, folders and patterns into paths of pictures, each once, in order.

    Raises:
        OptionError: Nothing was asked for.
        DataError: A folder or a pattern holds no pictures.
    """
    from nunbit.data.sources.tree import PICTURE_SUFFIXES, walk_files

    if not asked:
        raise OptionError(
            "predict needs pictures: files, folders, or a pattern. "
            "Try `nunbit predict RUN photo.jpg`."
        )
    found: dict[str, None] = {}
    for each in asked:
        if os.path.isdir(each):
            names = [
                os.path.join(each, name)
                for name in walk_files(Path(each))
                if Path(name).suffix.lower() in PICTURE_SUFFIXES
            ]
            if not names:
                raise DataError(f"folder `{each}` has no pictures. Check the path.")
        elif not os.path.exists(each) and glob.has_magic(each):
            names = sorted(p for p in glob.glob(each, recursive=True) if os.path.isfile(p))
            if not names:
                raise DataError(f"no file matches `{each}`. Check the pattern.")
        else:
            names = [each]
        found |= dict.fromkeys(names)
    return list(found)


def predict_files(
    model: Model, paths: Sequence[str], *, top: int
) -> Iterator[tuple[str, Prediction | str]]:
    """Yield each path with its prediction, or with the reason why there is none."""
    import numpy as np
    import torch

    from nunbit.data.pixels import processors
    from nunbit.data.sources.stores import read_file

    def prepare(path: str) -> Any:
        try:
            return model.preprocessing.prepare(read_file(path))
        except PictureError as error:
            return str(error)

    with ThreadPoolExecutor(processors()) as pool:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            ready = list(pool.map(prepare, chunk))
            good = [each for each in ready if not isinstance(each, str)]
            answers: Iterator[Prediction] = iter(())
            if good:
                outputs = torch.from_numpy(model.outputs(np.stack(good)))
                answers = iter(model.task.predict(outputs, top=top))
            for path, each in zip(chunk, ready, strict=True):
                yield path, each if isinstance(each, str) else next(answers)


def _others(prediction: Prediction) -> str:
    return ", ".join(f"{label} {100 * p:.1f} %" for label, p in prediction.top[1:3])


def _write_csv(path: Path, done: Sequence[tuple[str, Prediction]]) -> None:
    from nunbit.data.split_files import csv_text
    from nunbit.storage import write_atomic

    width = max((len(each.top) for _, each in done), default=1)
    extra = [f"{what}_{k}" for k in range(2, width + 1) for what in ("label", "probability")]
    lines: list[list[str]] = [[*COLUMNS, *extra]]
    for name, each in done:
        rest = [cell for label, p in each.top[1:] for cell in (label, f"{p:.6f}")]
        lines.append([name, each.label, f"{each.probability:.6f}", *rest])
    write_atomic(path, csv_text(lines))


def check_table_place(path: str) -> None:
    """Refuse a place where something lies that predict has not written.

    Raises:
        StorageError: There is such a thing.
    """
    if not os.path.lexists(path):
        return
    first = ",".join(COLUMNS).encode()
    try:
        with open(path, "rb") as file:
            is_table = file.read(len(first)) == first
    except OSError:
        is_table = False
    if not is_table:
        raise StorageError(
            f"`{path}` is there already and is no table of `nunbit predict`; it is not "
            "overwritten. Give another name with `--csv`, or remove it first."
        )
