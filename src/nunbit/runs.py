"""The run folder: everything that one training leaves behind.

runs/mnist-auto-1/
    options.json           what was asked, what was chosen, versions, device
    split.csv              which picture was trained on, validated on, tested on
    history.jsonl          one line of scores per epoch
    checkpoints/last.safetensors   to continue with ``--resume``
    checkpoints/epoch-0003-step-000120.safetensors   the one before it: 3 epochs were done and
                           120 steps of the next; taken where the last one is damaged
    model.safetensors      the network: weights, preprocessing, classes, scores
    scores.json            the final evaluation
    report.html            the same, to look at
    .lock                  there while a process writes into the folder
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import math
import os
import platform
import re
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nunbit._version import __version__
from nunbit.errors import CheckpointError, StorageError
from nunbit.model import MODEL_FILE
from nunbit.storage import LEFTOVER, remove_leftovers, write_atomic
from nunbit.transfer.lock import LOCK_NAME, try_lock

__all__ = ["RunFolder", "versions"]

OLDER = re.compile(r"epoch-(\d{4,})-step-(\d{6,})\.safetensors")

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
        if out is None or not Path(out).is_dir():
            return
        # What a process leaves that is killed before it has written anything.
        names = [path.name for path in Path(out).iterdir() if path.name != LOCK_NAME]
        if not all(LEFTOVER.fullmatch(name) for name in names):
            raise StorageError(
                f"`{out}` is not empty, and a run never writes over another. Pass a new folder "
                f"with `--out`, or go on with that run by `{RunFolder(Path(out)).resume_command}`."
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
    def resume_command(self) -> str:
        """What to type to go on with the run; other words may follow."""
        return f"nunbit train --resume {shlex.quote(str(self.path))}"

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

    def older_checkpoint(self, epoch: int, step: int) -> Path:
        """Return where a checkpoint is kept that is no longer the last.

        Args:
            epoch: Epochs that were done.
            step: Steps that were done of the next.
        """
        return self.path / "checkpoints" / f"epoch-{epoch:04d}-step-{step:06d}.safetensors"

    def checkpoint_files(self) -> list[Path]:
        """Return the checkpoints that there are, the newest first."""
        found: list[tuple[tuple[int, int], Path]] = []
        with contextlib.suppress(OSError):  # there is no such folder yet
            for path in self.checkpoint_file.parent.iterdir():
                name = OLDER.fullmatch(path.name)
                if name is not None:
                    found.append(((int(name[1]), int(name[2])), path))
        older = [path for _, path in sorted(found, reverse=True)]
        return [self.checkpoint_file, *older] if self.checkpoint_file.is_file() else older

    @property
    def is_begun(self) -> bool:
        """Whether there is more than the first process leaves before its first checkpoint."""
        made = (self.history_file, self.model_file, self.scores_file)
        return bool(self.checkpoint_files()) or any(path.exists() for path in made)

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

    @contextlib.contextmanager
    def sole_use(self) -> Iterator[None]:
        """Hold the folder, so that no other process writes into it meanwhile.

        The lock is the operating system's and ends with the process, however that ends:
        a lock file that was left behind locks nothing. Files that such a process had half
        written are removed. Where the file system knows no locks, or where nothing can be
        written, nothing is held.

        Raises:
            StorageError: Another process, or another training in this one, holds it; or the
                lock file cannot be opened.
        """
        place = self.path / LOCK_NAME
        while True:
            try:
                # Without a buffer: what a full disk does not take is not tried again at the end.
                file = open(place, "a+b", buffering=0)  # noqa: SIM115  # closed with the lock
            except OSError as error:
                if not self._is_closed_to_us(error):
                    raise StorageError(
                        f"the run folder `{self.path}` cannot be held for this process: `{place}` "
                        f"cannot be opened ({error.strerror}). Give yourself the right to write "
                        "there, or remove that file if no training runs in the folder."
                    ) from error
                yield  # the first write says so
                return
            held = try_lock(file)
            if held is not False and not _is_open_at(place, file.fileno()):
                file.close()  # the one that held it has just taken its file away
                continue
            break
        with file:
            if held is False:
                raise StorageError(
                    f"the run folder `{self.path}` is in use by {_holder(place)}, and two cannot "
                    "write into one. Wait for its end or stop it, or start a run of its own "
                    "with `--out DIR`."
                )
            with contextlib.suppress(OSError):
                file.truncate(0)
                file.write(f"{os.getpid()} {socket.gethostname()}".encode())
            if held:
                for folder in (self.path, self.checkpoint_file.parent):
                    remove_leftovers(folder)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    place.unlink()  # while it is held, so that nobody else's is taken away

    def _is_closed_to_us(self, error: OSError) -> bool:
        """Return whether nothing can be written into the folder, by what opening a file said."""
        if error.errno == errno.EROFS:
            return True
        return error.errno == errno.EACCES and not os.access(self.path, os.W_OK)

    def withdraw(self) -> None:
        """Leave a folder in which no training has begun, so that its name is free again."""
        for path in (self.options_file, self.split_file, self.path / LOCK_NAME):
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


def _is_open_at(path: Path, handle: int) -> bool:
    """Return whether the file that is open is the one that is there now."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except OSError:
        return False


def _holder(lock: Path) -> str:
    """Return who holds a run folder, in words."""
    try:
        number, _, host = lock.read_bytes().decode().partition(" ")
    except (OSError, ValueError):
        number = host = ""
    if not number.isdigit():
        return "another process"
    here = host in ("", socket.gethostname())
    return f"process {number}" + ("" if here else f" on {host}")


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
