"""``nunbit networks [NAME]``: which networks there are; one of them layer by layer."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._layer_lines import layer_lines
from nunbit.cli._network_facts import (
    layer_facts,
    network_facts,
    option_texts,
    weight_facts,
)
from nunbit.cli._network_list import left_out_lines, list_lines
from nunbit.cli._output import Output
from nunbit.cli._places import check_drawing
from nunbit.errors import OptionError
from nunbit.options import Option, Options

if TYPE_CHECKING:
    from nunbit.networks import NetworkInfo

__all__ = ["NetworksOptions", "networks"]

WIDTH, LEAST_WIDTH = 100, 80
"""In characters: where there is no terminal, and in the narrowest one."""


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

    With nunbit[timm] installed, timm/NAME shows a network of timm.

    Counted are weights and biases; multiplications with their addition;
    what each layer writes (float32), all for one picture; and how many
    pixels one value sees per side.
    """
    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    own = pick(NetworksOptions, given)
    options = NetworksOptions(**own)
    if options.weights:
        _refuse_beside_weights([each for each in own if each != "weights"])
        _weights(name, output)
        return 0
    if name is None and (options.plot is not None or options.network_option):
        flag = "--plot" if options.plot is not None else "--network-option"
        raise OptionError(f"`{flag}` needs a network: `nunbit networks vgg-d {flag} ...`.")
    if name is None:
        _list(options, output)
    else:
        _show(name, options, output)
    return 0


def _refuse_beside_weights(others: Sequence[str]) -> None:
    if others:
        flags = ", ".join(f"`--{each.replace('_', '-')}`" for each in others)
        raise OptionError(
            f"`--weights` lists published weights as they are; {flags} would change nothing "
            f"there. Leave out either `--weights` or {flags}."
        )


def _width() -> int:
    return max(LEAST_WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


def _list(options: NetworksOptions, output: Output) -> None:
    from nunbit.networks import describe, find_network, network_names

    members, left_out = [], []
    for name in network_names():
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
            left_out.append((name, str(error)))
            continue
        members.append((find_network(name), shown))
    for line in [*list_lines(members, _width()), *left_out_lines(left_out, _width())]:
        output.say(line)
    output.result(
        {
            "networks": [network_facts(info, shown) for info, shown in members],
            "left_out": [f"{name}: {said}" for name, said in left_out],
        }
    )


def _show(name: str, options: NetworksOptions, output: Output) -> None:
    from nunbit.networks import describe, find_network, published_weights, read_network_options

    info = find_network(name)
    if options.plot is not None:
        from nunbit.report.architecture import check_drawing_place

        check_drawing("--plot", options.plot, example="network.svg")
        check_drawing_place(options.plot)
    chosen = read_network_options(info, options.network_option)
    shown = describe(
        name,
        outputs=options.outputs,
        channels=options.channels,
        image_size=options.image_size,
        options=chosen,
    )
    if options.plot is not None:  # first of all: a reader of the text may leave early
        from nunbit.report.architecture import write_drawing

        write_drawing(shown, options.plot, title=info.title)
    weights = [each.name for each in published_weights() if each.network == info.name]
    facts = {
        "Network": f"{info.name}: {info.title}",
        "Also named": ", ".join(info.aliases),
        "Source": info.source,
        "Reported": info.reported,
        "Weights": ", ".join(weights),
        "Input": "×".join(map(str, shown.input)),
    }
    facts = {key: text for key, text in facts.items() if text}
    output.facts(facts)
    in_use = {**info.options, **chosen}
    for line in _option_lines(info, in_use, max(map(len, facts))):
        output.say(line)
    output.say()
    for line in layer_lines(shown, _width()):
        output.say(line)
    if options.plot is not None:
        output.say(f"\ndrawn in {options.plot}")
    output.result(
        {
            **network_facts(info, shown),
            "options": in_use,
            "weights": weights,
            "memory_bytes": shown.memory_bytes,
            "plot": options.plot,
            "layers": [layer_facts(layer) for layer in shown.layers],
        }
    )


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


def _option_lines(info: NetworkInfo, in_use: Mapping[str, object], wide: int) -> list[str]:
    """Return the options with their values, aligned with the facts above them."""
    helps = option_texts(info)
    lines: list[str] = []
    for key, value in in_use.items():
        first = "" if lines else "Options"
        text = f"{key}={_as_typed(value)}  {helps.get(key, '').replace('`', '')}".rstrip()
        lines += textwrap.wrap(
            text,
            _width(),
            initial_indent=f"{first:{wide}}  ",
            subsequent_indent=" " * (wide + 6),
            break_on_hyphens=False,
        )
    return lines


def _as_typed(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
