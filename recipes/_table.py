"""The table of a recipe: rows, means with their spread, and the file that keeps them."""

from __future__ import annotations

import contextlib
import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from _common import Setting, Trained

from nunbit.runs import versions

__all__ = ["curves", "finish", "mean_sd", "plain_row", "print_table"]


def mean_sd(values: Sequence[float], *, digits: int = 2) -> str:
    """Return ``mean ± sd``, or the value alone where there is one."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def plain_row(name: str, runs: Sequence[Trained]) -> dict[str, Any]:
    """Return what most tables say of a variant; ``runs`` has one entry per seed."""
    return {
        "network": name,
        "parameters": runs[0].parameters,
        "multiply-adds": runs[0].multiply_adds,
        "training accuracy %": mean_sd([100 * run.history["accuracy"][-1] for run in runs]),
        "test accuracy %": mean_sd([100 * run.test_accuracy for run in runs]),
        "s/epoch": round(statistics.median(run.seconds_per_epoch for run in runs), 1),
        "n": len(runs),
    }


def curves(runs: Mapping[str, Sequence[Trained]], score: str) -> dict[str, list[float]]:
    """Return one score over the epochs, by variant: the mean over seeds, while all were trained."""
    found: dict[str, list[float]] = {}
    for name, each in runs.items():
        by_epoch = zip(*(run.history[score] for run in each), strict=False)
        found[name] = [statistics.fmean(values) for values in by_epoch]
    return found


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows with the same keys as a Markdown table."""
    columns = list(rows[0])
    cells = [columns, *([_text(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns))]
    print()
    for number, line in enumerate(cells):
        print("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def machine() -> dict[str, Any]:
    """Return what a figure depends on."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    return {
        "cpu": name,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def finish(
    recipe: str,
    rows: Sequence[Mapping[str, Any]],
    setting: Setting,
    *,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print the table, and write it with what its figures depend on.

    Args:
        recipe: The script's name.
        more: What else the file keeps, such as curves.
    """
    print_table(rows)
    if setting.json is not None:
        record = {
            "recipe": recipe,
            "setting": asdict(setting),
            "machine": machine(),
            "rows": list(rows),
            **(more or {}),
        }
        Path(setting.json).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
