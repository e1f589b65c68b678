"""Write ``docs/options.md`` from the options dataclasses (``make docs``)."""

from __future__ import annotations

from pathlib import Path

from nunbit.augment import Augment
from nunbit.cli._asked import FileOptions, NetworkOptions
from nunbit.cli.augment import SheetOptions
from nunbit.cli.check import CheckOptions
from nunbit.cli.datasets import DatasetsOptions
from nunbit.cli.find_lr import RangeOptions, StepOptions
from nunbit.cli.networks import NetworksOptions
from nunbit.cli.predict import PredictOptions
from nunbit.cli.train import RunOptions
from nunbit.data.options import DataOptions
from nunbit.options import Options
from nunbit.training.options import TrainOptions

TARGET = Path(__file__).parents[2] / "docs" / "options.md"

SECTIONS: list[tuple[str, list[type[Options]]]] = [
    ("nunbit train", [DataOptions, NetworkOptions, TrainOptions, FileOptions, RunOptions]),
    ("nunbit find-lr", [DataOptions, NetworkOptions, StepOptions, FileOptions, RangeOptions]),
    ("nunbit check", [CheckOptions]),
    ("nunbit augment", [SheetOptions]),
    ("nunbit predict", [PredictOptions]),
    ("nunbit networks", [NetworksOptions]),
    ("nunbit datasets", [DatasetsOptions]),
    ("Augmentation (`--augment FILE`, `nunbit.Augment`)", [Augment]),
]

HEAD = """# Options

Made from the code by `make docs`. Every command also takes `--json` (one JSON object on standard
output and nothing else) and `--debug`. The options of `train` can stand in a TOML file
(`--options FILE`): default < file < command line.
"""


def render() -> str:
    """Return the page."""
    lines = [HEAD]
    for title, parts in SECTIONS:
        lines += [f"## {title}", "", "| option | default | meaning |", "|---|---|---|"]
        seen: set[str] = set()
        for part in parts:
            for info in part.fields():
                if info.name in seen:
                    continue
                seen.add(info.name)
                name = info.name if part is Augment else info.flag
                notes = [f"`{' '.join(info.choices)}`"] if info.choices else []
                notes += [text for text in (info.option.unit, info.option.range_text) if text]
                text = info.option.help + (f" ({', '.join(notes)})" if notes else "")
                default = "" if info.default in (None, ()) else f"`{info.default}`"
                lines.append(f"| `{name}` | {default} | {text.replace('|', '/')} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    print(TARGET)
