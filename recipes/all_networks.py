"""What do all networks weigh and cost? Parameters and multiply-adds, one table, one plot.

    python recipes/all_networks.py [--plot networks.svg] [--json table.json]

Takes: seconds; nothing is trained and no weight gets memory. `--plot` writes `networks.svg`,
accuracy against work, and `networks-size.svg`, parameters against work.
Measured: nothing, it is counted.

Counted for the picture size that each network was made for, with 1,000 classes for ImageNet's and
10 for the others. Multiply-adds: convolutions and dense layers, one multiplication with its
addition is 1. Accuracy in the first plot: that of the weights that torchvision publishes, on
ImageNet's validation pictures, one crop of each (`nunbit networks --weights`); only those
networks are in it. The second has all.

What to look at:

* AlexNet and VGG have most of their weights in dense layers, most of their work in convolutions;
* GoogLeNet has a tenth of VGG-16's parameters and a tenth of its work: inception modules, and
  average pooling instead of dense layers. Yet 54 % of its weights lie in dense layers, most of
  them in the two auxiliary classifiers, which are used in training only. Without these two it
  has a twentieth;
* ResNet-152 is eight times as deep as VGG-19 and does less work.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _plot import Circle, draw_circles
from _table import print_table

from nunbit.networks import describe, find_network, network_names, published_weights

Row = dict[str, Any]


def row_of(name: str) -> Row:
    """Return what the table says of a network."""
    info, found = find_network(name), describe(name)
    dense = sum(layer.parameters for layer in found.layers if layer.kind.startswith("dense"))
    return {
        "network": name,
        "year": str(info.year or "-"),
        "picture": "×".join(map(str, found.input)),
        "parameters": found.parameters,
        "in dense layers %": round(100 * dense / found.parameters),
        "multiply-adds": found.multiply_adds,
        "reported": info.reported or "-",
    }


def draw_accuracy(path: str, rows: Sequence[Row]) -> None:
    """Draw the published weights: accuracy against work."""
    found = {row["network"]: row for row in rows}
    circles = [
        Circle(
            each.network,
            found[each.network]["multiply-adds"],
            each.top1_percent,
            found[each.network]["parameters"],
            kind=each.network.partition("-")[0],
        )
        for each in published_weights()
        if each.name == "imagenet" and each.network in found
    ]
    draw_circles(
        path,
        circles,
        title="Published weights: accuracy against work",
        x="multiply-adds for one picture",
        y="ImageNet top-1 accuracy in %",
        note="area: parameters",
    )


def draw_sizes(path: str, rows: Sequence[Row]) -> None:
    """Draw all networks: parameters against work. Those in the same place share a circle."""
    places: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        places.setdefault((row["multiply-adds"], f"{row['parameters']:.2e}"), []).append(row)
    circles = [
        Circle(
            ", ".join(row["network"] for row in same),
            same[0]["multiply-adds"],
            same[0]["parameters"],
            size=1,
            kind=same[0]["network"].partition("-")[0] if same[0]["year"] != "-" else "",
        )
        for same in places.values()
    ]
    draw_circles(
        path,
        circles,
        title="All networks: parameters against work",
        x="multiply-adds for one picture",
        y="parameters",
        log_y=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", help="file to write the table to")
    parser.add_argument("--plot", help="SVG file to draw to")
    asked = parser.parse_args(arguments)
    rows = [row_of(name) for name in network_names()]
    print_table(rows)
    if asked.json is not None:
        record = {"recipe": "all_networks", "rows": rows}
        Path(asked.json).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if asked.plot is not None:
        target = Path(asked.plot)
        draw_accuracy(asked.plot, rows)
        draw_sizes(str(target.with_name(f"{target.stem}-size{target.suffix}")), rows)


if __name__ == "__main__":
    main()
