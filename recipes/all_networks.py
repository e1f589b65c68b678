"""What do all networks weigh and cost? Parameters and multiply-adds, one table, one plot.

    python recipes/all_networks.py [--plot networks.svg] [--json table.json]

Takes: seconds; nothing is trained and no weight gets memory.
Measured: nothing, it is counted.

Counted for the picture size that each network was made for, with 1,000 classes for ImageNet's and
10 for the others. Multiply-adds: convolutions and dense layers, one multiplication with its
addition is 1. Accuracy in the plot: that of the weights that torchvision publishes, on
ImageNet's validation pictures, one crop of each (`nunbit networks --weights`).

What to look at:

* AlexNet and VGG have most of their weights in dense layers, most of their work in convolutions;
* GoogLeNet has a tenth of VGG-16's parameters (a twentieth without the two auxiliary classifiers,
  which are used in training only) and a tenth of its work: inception modules, and average
  pooling instead of dense layers;
* ResNet-152 is eight times as deep as VGG-19 and does less work.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _plot import Circle, draw_circles
from _table import print_table

from nunbit.networks import (
    count_parameters,
    create_network,
    find_network,
    layer_table,
    network_names,
    published_weights,
)


def row_of(name: str) -> dict[str, Any]:
    """Return what the table says of a network."""
    info = find_network(name)
    classes = 1000 if info.image_size >= 224 else 10
    with torch.device("meta"):  # shapes without numbers: VGG's 144 million weights take no memory
        network = create_network(
            name, outputs=classes, channels=info.channels, image_size=info.image_size
        )
    layers = layer_table(network, channels=info.channels, image_size=info.image_size)
    dense = sum(layer.parameters for layer in layers if layer.kind == "dense")
    return {
        "network": name,
        "year": str(info.year or "-"),
        "picture": f"{info.channels}×{info.image_size}×{info.image_size}",
        "parameters": count_parameters(network),
        "in dense layers %": round(100 * dense / count_parameters(network)),
        "multiply-adds": sum(layer.multiply_adds for layer in layers),
        "reported": info.reported or "-",
    }


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
            asked.plot,
            circles,
            title="Published weights: accuracy against work",
            x="multiply-adds for one picture",
            y="ImageNet top-1 accuracy in %",
            note="area: parameters",
        )


if __name__ == "__main__":
    main()
