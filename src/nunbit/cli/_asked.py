"""Where options come from: what is typed, a file, a recipe."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from nunbit.cli._flags import pick
from nunbit.data.options import DataOptions
from nunbit.errors import OptionError, did_you_mean, name_list
from nunbit.options import Option, Options
from nunbit.recipes import Recipe, beside, find_recipe
from nunbit.training.options import TrainOptions

__all__ = [
    "PARTS",
    "FileOptions",
    "NetworkOptions",
    "read_asked",
    "read_options",
    "read_options_file",
    "with_recipe",
]


@dataclass(frozen=True)
class NetworkOptions(Options):
    """Which network."""

    network: Annotated[
        str, Option("Name of the network; `nunbit networks` lists them.", group="Network")
    ] = "auto"
    head: Annotated[
        Literal["softmax", "sigmoid"],
        Option("sigmoid gives two classes one output instead of two.", group="Network"),
    ] = "softmax"
    weights: Annotated[
        str | None,
        Option(
            "Start from weights that somebody trained: imagenet, another name that "
            "`nunbit networks --weights` lists, or a file.",
            group="Network",
        ),
    ] = None
    network_option: Annotated[
        tuple[str, ...],
        Option(
            "An option of the network as NAME=VALUE, such as shortcut=C; may be given several "
            "times. `nunbit networks NAME` lists them.",
            group="Network",
        ),
    ] = ()


@dataclass(frozen=True)
class FileOptions(Options):
    """Where options come from that are not typed."""

    options: Annotated[
        str | None,
        Option("TOML file of options; what is typed goes before it.", group="Options"),
    ] = None
    recipe: Annotated[
        Literal["fast", "best", "course"] | None,
        Option(
            "Tuned settings for the set, or for any pictures by their number and size; what is "
            "typed or in a file goes before them; beside another --network or --optimizer, what "
            "was tuned for the recipe's is left out. `nunbit recipes` lists them.",
            group="Options",
        ),
    ] = None


PARTS: tuple[type[Options], ...] = (DataOptions, NetworkOptions, TrainOptions)


def read_asked(source: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], Recipe | None]:
    """Return options by name, those of the recipe and the file among them, and the recipe.

    Args:
        given: What was typed; it goes before the file, and that before the recipe.
    Raises:
        OptionError: The file cannot be used.
    """
    files = FileOptions(**pick(FileOptions, given))
    asked = {**read_options_file(files.options), **given}
    if files.recipe is None:
        return asked, None
    recipe = find_recipe(files.recipe, source)
    return with_recipe(recipe.options, asked, where=f"recipe `{recipe.kind}`"), recipe


def with_recipe(
    options: Mapping[str, Any], asked: Mapping[str, Any], *, where: str
) -> dict[str, Any]:
    """Return what is asked for, and what counts of a recipe beside it."""
    named = dict(asked)
    if "network" in asked:
        from nunbit.networks import find_network

        named["network"] = find_network(asked["network"]).name  # it has other names, too
    return {**read_options(beside(options, named), where=where), **asked}


def read_options_file(path: str | None) -> dict[str, Any]:
    """Read options from a TOML file.

    Raises:
        OptionError: No such file, no TOML, or an unknown option.
    """
    if path is None:
        return {}
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"options file `{path}` cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"options file `{path}` is no TOML: {error}.") from error
    if isinstance(values.get("measured"), dict):  # a recipe, copied with what it gave
        del values["measured"]
    return read_options(values, where=f"options file `{path}`")


def read_options(values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Check options by name, as a file or a recipe has them.

    Raises:
        OptionError: One is unknown or has a value that it does not take.
    """
    fields = {info.name: info for part in PARTS for info in part.fields()}
    unknown = [name for name in values if name.replace("-", "_") not in fields]
    if unknown:
        raise OptionError(
            f"{where}: unknown option {name_list(f'`{u}`' for u in unknown)}."
            f"{did_you_mean(unknown[0].replace('-', '_'), fields)} Known: {', '.join(fields)}."
        )
    clean: dict[str, Any] = {}
    for part in PARTS:
        mine = {k.replace("-", "_"): v for k, v in values.items()}
        made = part.from_dict(pick(part, mine), where=where)
        clean |= {name: getattr(made, name) for name in pick(part, mine)}
    return clean
