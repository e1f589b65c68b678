"""``nunbit networks [NAME]``: which networks there are; one of them layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output
from nunbit.options import Option, Options

__all__ = ["NetworksOptions", "networks"]


@dataclass(frozen=True)
class NetworksOptions(Options):
    """For which pictures the network is shown."""

    image_size: Annotated[
        int | None,
        Option(
            "Side of the pictures; default: the network's own.",
            unit="pixels",
            low=4,
            high=4096,
            group="Network",
        ),
    ] = None
    channels: Annotated[
        int | None,
        Option("1 = grey, 3 = RGB; default: the network's own.", low=1, high=3, group="Network"),
    ] = None
    outputs: Annotated[int, Option("Width of the last layer.", low=1, group="Network")] = 10


def networks(name: str | None, given: dict[str, Any]) -> int:
    """List the networks, or show one layer by layer: shape, parameters, multiply-adds."""
    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    options = NetworksOptions(**pick(NetworksOptions, given))
    if name is None:
        _list(options, output)
    else:
        _show(name, options, output)
    return 0


def _list(options: NetworksOptions, output: Output) -> None:
    from nunbit.networks import find_network, network_names

    rows, data = [], []
    for name in network_names():
        info = find_network(name)
        size = options.image_size or info.image_size
        channels = options.channels or info.channels
        layers, parameters = _table(name, size, channels, options.outputs)
        multiply_adds = sum(layer.multiply_adds for layer in layers)
        rows.append(
            [name, info.title, f"{channels}×{size}×{size}", f"{parameters:,}", f"{multiply_adds:,}"]
        )
        data.append(
            {
                "name": name,
                "title": info.title,
                "source": info.source,
                "reported": info.reported,
                "input": [channels, size, size],
                "parameters": parameters,
                "multiply_adds": multiply_adds,
            }
        )
    output.table(["network", "what it is", "input", "parameters", "multiply-adds"], rows, left=2)
    output.result({"networks": data})


def _show(name: str, options: NetworksOptions, output: Output) -> None:
    from nunbit.networks import find_network

    info = find_network(name)
    size = options.image_size or info.image_size
    channels = options.channels or info.channels
    layers, parameters = _table(name, size, channels, options.outputs)
    total = sum(layer.multiply_adds for layer in layers)
    facts = {
        "Network": f"{name}: {info.title}",
        "Source": info.source,
        "Input": f"{channels}×{size}×{size}",
    }
    output.facts(facts | ({"Reported": info.reported} if info.reported else {}))
    output.say()
    rows = [
        [
            layer.name,
            layer.kind,
            "×".join(map(str, layer.output)),
            f"{layer.parameters:,}",
            f"{layer.multiply_adds:,}",
        ]
        for layer in layers
    ]
    rows.append(["total", "", "", f"{parameters:,}", f"{total:,}"])
    output.table(["layer", "kind", "output", "parameters", "multiply-adds"], rows, left=2)
    output.result(
        {
            "name": name,
            "title": info.title,
            "source": info.source,
            "reported": info.reported,
            "input": [channels, size, size],
            "parameters": parameters,
            "multiply_adds": total,
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "output": list(layer.output),
                    "parameters": layer.parameters,
                    "multiply_adds": layer.multiply_adds,
                }
                for layer in layers
            ],
        }
    )


def _table(name: str, size: int, channels: int, outputs: int) -> tuple[list[Any], int]:
    from nunbit.networks import count_parameters, create_network, layer_table

    network = create_network(name, outputs=outputs, channels=channels, image_size=size)
    return layer_table(network, channels=channels, image_size=size), count_parameters(network)
