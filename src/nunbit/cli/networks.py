"""``nunbit networks [NAME]``: which networks there are; one of them layer by layer."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._network_facts import (
    layer_facts,
    network_facts,
    option_texts,
    other_names,
    short_count,
    weight_facts,
)
from nunbit.cli._output import Output
from nunbit.cli._places import check_parent
from nunbit.errors import OptionError
from nunbit.options import Option, Options

if TYPE_CHECKING:
    from nunbit.networks import Description, Layer, NetworkInfo

__all__ = ["NetworksOptions", "networks"]

WIDTH = 100
"""Of the list of all networks, in characters."""
GAP = "  "


@dataclass(frozen=True)
class NetworksOptions(Options):
    """For which pictures the network is shown, and how."""

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
    outputs: Annotated[
        int | None,
        Option(
            "Width of the last layer; default: 1000 for ImageNet's networks, 10 for others.",
            low=1,
            group="Network",
        ),
    ] = None
    network_option: Annotated[
        tuple[str, ...],
        Option(
            "An option of the network as NAME=VALUE; may be given several times.", group="Network"
        ),
    ] = ()
    weights: Annotated[
        bool, Option("List published weights instead: accuracy and size.", group="Network")
    ] = False
    plot: Annotated[
        str | None,
        Option("Draw the network here (SVG); an older drawing is replaced.", group="Output"),
    ] = None


def networks(name: str | None, given: dict[str, Any]) -> int:
    """List the networks, or show one layer by layer.

    Counted are weights and biases, multiplications with their addition for one picture,
    pixels that one value sees per side, and what each layer writes (float32).
    """
    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    options = NetworksOptions(**pick(NetworksOptions, given))
    if name is None and (options.plot is not None or options.network_option):
        flag = "--plot" if options.plot is not None else "--network-option"
        raise OptionError(f"`{flag}` needs a network: `nunbit networks vgg-d {flag} ...`.")
    if options.weights:
        _weights(name, output)
    elif name is None:
        _list(options, output)
    else:
        _show(name, options, output)
    return 0


def _list(options: NetworksOptions, output: Output) -> None:
    from nunbit.networks import describe, find_network, network_names

    groups: dict[str, list[tuple[NetworkInfo, Description]]] = {}
    left_out, data = [], []
    for name in network_names():
        info = find_network(name)
        try:
            shown = describe(
                name,
                outputs=options.outputs,
                channels=options.channels,
                image_size=options.image_size,
            )
        except OptionError:
            raise
        except ValueError as error:  # one that is made for larger pictures
            if options.image_size is None:
                raise
            left_out.append(f"{name}: {error}")
            continue
        groups.setdefault(info.source, []).append((info, shown))
        data.append(network_facts(info, shown))
    _print_groups(groups, output)
    for each in left_out:
        output.say(f"left out: {each}")
    output.result({"networks": data, "left_out": left_out})


def _print_groups(groups: dict[str, list[tuple[NetworkInfo, Description]]], output: Output) -> None:
    texts: list[tuple[str, list[list[str]]]] = []
    for source, members in sorted(groups.items(), key=lambda group: group[1][0][0].year):
        reported = [re.sub(r" *\([^()]*\)", "", info.reported) for info, _ in members]
        ends = {match[0] if (match := re.search(r" on \S+$", r)) else r for r in reported if r}
        common = ends.pop() if len(ends) == 1 and len(members) > 1 else ""
        common = common if common.startswith(" on ") else ""
        rows = [
            [
                ", ".join([info.name, *other_names(info)]),
                "×".join(map(str, shown.input)),
                f"{shown.parameters:,}",
                short_count(shown.multiply_adds),
                text.removesuffix(common),
            ]
            for (info, shown), text in zip(members, reported, strict=True)
        ]
        texts.append((source + (f"; reported{common}" if common else ""), rows))
    header = ["network", "input", "parameters", "mult-adds", "reported"]
    every = [row for _, rows in texts for row in rows]
    widths = [max(len(row[k]) for row in [header, *every]) for k in range(4)]
    room = WIDTH - sum(widths) - 4 * len(GAP)
    output.say(_line(header, widths, room))
    for heading, rows in texts:
        output.say()
        output.say(textwrap.shorten(heading, WIDTH, placeholder=" …"))
        for row in rows:
            output.say(_line(row, widths, room))


def _line(cells: Sequence[str], widths: Sequence[int], room: int) -> str:
    name, size, parameters, multiply_adds, reported = cells
    return GAP.join(
        [
            f"{name:{widths[0]}}",
            f"{size:{widths[1]}}",
            f"{parameters:>{widths[2]}}",
            f"{multiply_adds:>{widths[3]}}",
            textwrap.shorten(reported, room, placeholder=" …"),
        ]
    ).rstrip()


def _show(name: str, options: NetworksOptions, output: Output) -> None:
    from nunbit.networks import describe, find_network, published_weights, read_network_options
    from nunbit.transfer.meter import size_text

    info = find_network(name)
    if options.plot is not None:
        from nunbit.report.architecture import check_drawing_place, write_drawing

        _check_plot(options.plot)
        check_drawing_place(options.plot)
    shown = describe(
        name,
        outputs=options.outputs,
        channels=options.channels,
        image_size=options.image_size,
        options=read_network_options(info, options.network_option),
    )
    weights = [each.name for each in published_weights() if each.network == info.name]
    facts = {
        "Network": f"{info.name}: {info.title}",
        "Also named": ", ".join(info.aliases),
        "Source": info.source,
        "Reported": info.reported,
        "Weights": ", ".join(weights),
        "Input": "×".join(map(str, shown.input)),
    }
    output.facts({key: text for key, text in facts.items() if text})
    helps = option_texts(info)
    for key, default in info.options.items():
        text = f"{key}={_as_typed(default)}{GAP}{helps.get(key, '')}".rstrip()
        first, later = ("Options" if key == next(iter(info.options)) else ""), " " * 16
        output.say(textwrap.fill(f"{first:12}{text}", WIDTH, subsequent_indent=later))
    output.say()
    header = ["layer", "kind", "output", "parameters", "multiply-adds", "sees", "memory"]
    rows = [_row(layer) for layer in shown.layers]
    total = f"{shown.parameters:,}", f"{shown.multiply_adds:,}"
    rows.append(["total", "", "", *total, "", size_text(shown.memory_bytes)])
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    for row in [header, *rows]:
        cells = [f"{row[k]:{'<' if k < 2 else '>'}{widths[k]}}" for k in range(len(row))]
        output.say(GAP.join(cells).rstrip())
    if options.plot is not None:
        write_drawing(shown, options.plot, title=info.title)
        output.say(f"\ndrawn in {options.plot}")
    output.result(
        {
            **network_facts(info, shown),
            "options": dict(info.options),
            "weights": weights,
            "memory_bytes": shown.memory_bytes,
            "plot": options.plot,
            "layers": [layer_facts(layer) for layer in shown.layers],
        }
    )


def _check_plot(place: str) -> None:
    path = Path(place)
    if path.is_dir():
        raise OptionError(
            f"`--plot {place}` is a folder. Give the drawing a name: "
            f"`--plot {path / 'network.svg'}`."
        )
    if path.suffix.lower() != ".svg":
        raise OptionError(
            f"`--plot {place}`: the drawing is an SVG. Pass `--plot {path.with_suffix('.svg')}`."
        )
    check_parent("--plot", place)


def _row(layer: Layer) -> list[str]:
    from nunbit.transfer.meter import size_text

    sees = layer.receptive_field
    field = sees if isinstance(sees, str) else "×".join(map(str, dict.fromkeys(sees or ())))
    return [
        layer.name,
        layer.kind,
        "×".join(map(str, layer.output)),
        f"{layer.parameters:,}",
        f"{layer.multiply_adds:,}",
        field,
        size_text(layer.memory_bytes) if layer.memory_bytes else "",
    ]


def _weights(name: str | None, output: Output) -> None:
    from nunbit.networks import find_network, find_weights, published_weights
    from nunbit.transfer.meter import size_text

    chosen = published_weights()
    if name is not None:
        own = find_network(name).name
        chosen = [each for each in chosen if each.network == own]
        if not chosen:
            find_weights(own, "imagenet")  # says which networks have some
    rows = [
        [
            each.network,
            each.name,
            f"{each.top1_percent:.2f} %",
            f"{each.top5_percent:.2f} %",
            size_text(each.size_bytes),
            "here" if each.is_cached else "",
        ]
        for each in chosen
    ]
    output.table(["network", "weights", "top-1", "top-5", "size", "cached"], rows, left=2)
    output.result({"weights": [weight_facts(each) for each in chosen]})


def _as_typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
