"""What the benchmark scripts share: the machine, the table, the result file."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from nunbit.runs import versions

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Return what a figure depends on."""
    model = platform.processor() or platform.machine()
    flags: set[str] = set()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
            if line.startswith("flags"):
                flags = {"avx512_bf16", "amx_tile", "avx2"} & set(line.split())
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "features": sorted(flags),
        "system": platform.platform(),
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean, standard deviation, median, smallest and largest."""
    return {
        "n": len(values),
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }


def publish(
    name: str, header: Sequence[str], rows: Sequence[dict[str, Any]], *, peers: Sequence[str] = ()
) -> None:
    """Print the rows as a Markdown table and write them with the machine's facts.

    Args:
        peers: Packages that were measured beside ours; their versions are kept, too.
    """
    facts = machine()
    for peer in peers:
        with contextlib.suppress(metadata.PackageNotFoundError):
            facts["versions"][peer] = metadata.version(peer)
    print(f"\n{facts['cpu']}, {facts['cores']} cores, torch {facts['versions']['torch']}\n")
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(row[column]) for column in header) + " |")
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{name}.json"
    target.write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n")
    print(f"\n{target}")
