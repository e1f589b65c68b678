"""The run folder: everything that one training leaves behind.

runs/mnist-auto-1/
    options.json           what was asked, what was chosen, versions, device
    split.csv              which picture was trained on, validated on, tested on
    history.jsonl          one line of scores per epoch
    checkpoints/last.safetensors   to continue with ``--resume``
    model.safetensors      the network: weights, preprocessing, classes, scores
    scores.json            the final evaluation
    report.html            the same, to look at
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nunbit._version import __version__
from nunbit.errors import CheckpointError, StorageError
from nunbit.model import MODEL_FILE
from nunbit.storage import write_atomic

__all__ = ["RunFolder", "versions"]

RECORDED_PACKAGES = ("torch", "numpy", "opencv-python-headless", "safetensors")


def versions() -> dict[str, str]:
    """Return the versions that a run depends on."""
    found = {"nunbit": __version__, "python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        found[name] = metadata.version(name)
    return found


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, by its parts."""

    path: Path

    @classmethod
    def create(cls, out: str | os.PathLike[str] | None, *, source: str, network: str) -> RunFolder:
        """Make a new folder; an existing one is never written into.

        Args:
            out: The folder, or None for ``runs/<source>-<network>-<number>``.

        Raises:
            StorageError: The folder exists and holds something, or cannot be made.
        """
        try:
            if out is not None:
                cls.check_free(out)
                Path(out).mkdir(parents=True, exist_ok=True)
                return cls(Path(out))
            name = "".join(c if c.isalnum() or c in "-_." else "-" for c in f"{source}-{network}")
            Path("runs").mkdir(exist_ok=True)
            number = 1
            while True:
                path = Path("runs") / f"{name}-{number}"
                try:
                    path.mkdir()
                    return cls(path)
                except FileExistsError:
                    number += 1
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(
                f"the run folder `{out or 'runs'}` cannot be made: {error.strerror}. "
                "Pass a folder that you may write to with `--out DIR`."
            ) from error

    @staticmethod
    def check_free(out: str | os.PathLike[str] | None) -> None:
        """Refuse a folder that holds something; nothing is made yet.

        Raises:
            StorageError: The folder exists and is not empty.
        """
        if out is not None and Path(out).is_dir() and any(Path(out).iterdir()):
            raise StorageError(
                f"`{out}` is not empty, and a run never writes over another. Pass a new folder "
                f"with `--out`, or continue that run with `--resume {out}`."
            )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Open the folder of an earlier run.

        Raises:
            CheckpointError: It is no run folder.
        """
        folder = cls(Path(path))
        if not folder.options_file.is_file():
            raise CheckpointError(
                f"`{path}` is no run folder (it has no `options.json`). "
                "Expected a folder that `nunbit train` made, such as `runs/mnist-auto-1`."
            )
        return folder

    @property
    def options_file(self) -> Path:
        """What was asked and chosen, as JSON."""
        return self.path / "options.json"

    @property
    def history_file(self) -> Path:
        """One line of JSON per epoch."""
        return self.path / "history.jsonl"

    @property
    def split_file(self) -> Path:
        """Which picture is in which split, as CSV."""
        return self.path / "split.csv"

    @property
    def checkpoint_file(self) -> Path:
        """The state that ``--resume`` continues from."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def model_file(self) -> Path:
        """The trained network."""
        return self.path / MODEL_FILE

    @property
    def scores_file(self) -> Path:
        """The final evaluation, as JSON."""
        return self.path / "scores.json"

    @property
    def report_file(self) -> Path:
        """The report, as one HTML page."""
        return self.path / "report.html"

    def write_options(self, options: Mapping[str, Any]) -> None:
        """Write ``options.json``.

        Raises:
            StorageError: It cannot be written.
        """
        write_atomic(self.options_file, _json(options))

    def read_options(self) -> dict[str, Any]:
        """Read ``options.json``.

        Raises:
            CheckpointError: It is missing or damaged.
        """
        try:
            # Names that are no UTF-8 keep their bytes, as `write_atomic` has written them.
            text = self.options_file.read_text(encoding="utf-8", errors="surrogateescape")
            options: dict[str, Any] = json.loads(text)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"`{self.options_file}` cannot be read: {error}.") from error
        return options

    def withdraw(self) -> None:
        """Leave a folder in which no training has begun, so that its name is free again."""
        for path in (self.options_file, self.split_file):
            path.unlink(missing_ok=True)
        for folder in (self.checkpoint_file.parent, self.path):
            with contextlib.suppress(OSError):  # it holds something, or was never made
                folder.rmdir()

    def write_split(self, text: str) -> None:
        """Write ``split.csv``."""
        write_atomic(self.split_file, text)

    def read_split(self) -> dict[str, list[str]]:
        """Return the names of the pictures of each split, as ``split.csv`` keeps them.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        try:
            text = self.split_file.read_bytes().decode("utf-8", "surrogateescape")
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
            found: dict[str, list[str]] = {}
            for row in rows:
                found.setdefault(row["split"], []).append(row["path"])
        except (OSError, KeyError, csv.Error) as error:
            raise CheckpointError(f"`{self.split_file}` cannot be read: {error}.") from error
        return found

    def read_history(self) -> list[dict[str, float]]:
        """Return the scores of each epoch, as ``history.jsonl`` keeps them.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        try:
            lines = self.history_file.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
        except (OSError, ValueError) as error:
            raise CheckpointError(f"`{self.history_file}` cannot be read: {error}.") from error

    def write_history(self, epochs: Sequence[Mapping[str, float]]) -> None:
        """Write ``history.jsonl`` anew: one line per epoch; a score that is no number is null."""
        plain = [{k: v if math.isfinite(v) else None for k, v in e.items()} for e in epochs]
        write_atomic(self.history_file, "".join(json.dumps(e) + "\n" for e in plain))

    def write_scores(self, scores: Mapping[str, Any]) -> None:
        """Write ``scores.json``."""
        write_atomic(self.scores_file, _json(scores))


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
