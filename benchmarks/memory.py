"""Memory of training on a folder whose decoded pictures take ten times the budget.

python benchmarks/memory.py [--budget-mb 100] [--times 10] [--batch-size 32]

The photographs of cats and dogs in $NUNBIT_DATA are repeated under new names (hard
links) until their decoded pixels take ``times`` the budget. Training runs in a
process of its own, twice: first with an empty cache, then with what the first one
kept. The figure is the largest resident set of the process, all of it: interpreter,
torch, network and pixels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from _common import publish

SIZE = 128
LIMIT_MB = 500
"""What the whole process may take above the budget."""


def make_folder(root: Path, wanted: int) -> int:
    """Fill a folder with links to photographs; return how many pictures it has."""
    source = Path(os.environ["NUNBIT_DATA"]) / "cats-dogs" / "train"
    files = sorted(source.glob("*/*.jpg"))
    for k in range(wanted):
        file = files[k * 997 % len(files)]  # both classes, however few
        (root / file.parent.name).mkdir(parents=True, exist_ok=True)
        link = root / file.parent.name / f"{k:06d}.jpg"
        try:
            os.link(file, link)
        except OSError:  # another disk
            link.write_bytes(file.read_bytes())
    return wanted


def peak_mb(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; return the largest resident set in MB, and its seconds."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    seen = [0]

    def watch() -> None:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                return
            for line in status.splitlines():
                if line.startswith("VmRSS:"):
                    seen[0] = max(seen[0], int(line.split()[1]))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, errors = process.communicate()
    watcher.join()
    if process.returncode:
        raise SystemExit(errors)
    return seen[0] / 1024, time.perf_counter() - started


def main() -> None:
    """Train on small and large folders and compare what the processes take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget-mb", type=float, default=100)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    given = parser.parse_args()
    each_mb = SIZE * SIZE * 3 / 1e6
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUNBIT_CACHE": f"{folder}/cache"}
        sizes = {"a tenth of the budget": 0.1, f"{given.times} times the budget": given.times}
        for name, times in sizes.items():
            count = make_folder(Path(folder) / name, int(times * given.budget_mb / each_mb))
            for state in ("empty", "filled"):
                command = [
                    *(sys.executable, "-m", "nunbit", "train", f"{folder}/{name}"),
                    *("--network", "cnn-cats-dogs", "--image-size", str(SIZE), "--epochs", "1"),
                    *("--memory", str(given.budget_mb / 1000), "--augment", "course"),
                    *("--batch-size", str(given.batch_size), "--check", "off"),
                    *("--out", f"{folder}/run {name} {state}"),
                ]
                peak, seconds = peak_mb(command, environment)
                rows.append(
                    {
                        "folder": name,
                        "pictures": count,
                        "decoded MB": round(count * each_mb),
                        "budget MB": given.budget_mb,
                        "cache": state,
                        "peak MB": round(peak),
                        "above budget MB": round(peak - given.budget_mb),
                        "limit MB": LIMIT_MB,
                        "seconds": round(seconds, 1),
                    }
                )
                print(rows[-1], flush=True)
    header = ["folder", "pictures", "decoded MB", "budget MB", "cache", "peak MB"]
    publish("memory", [*header, "above budget MB", "limit MB", "seconds"], rows)


if __name__ == "__main__":
    main()
