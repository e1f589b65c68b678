"""A network's own options: the keyword arguments of its class besides the shapes."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from nunbit.errors import OptionError, did_you_mean
from nunbit.options import FieldInfo, Option, coerce

if TYPE_CHECKING:
    from nunbit.networks._registry import NetworkInfo

__all__ = ["check_network_options", "option_fields", "read_network_options"]

LONGEST = 200
"""Of a value that is read as TOML, in characters; a longer one is text, so no number."""


def option_fields(info: NetworkInfo) -> dict[str, FieldInfo]:
    """Return the network's own options by name, with type, default, sentence and range.

    They stand in the signature of its class, ``width: Annotated[int, Option("…")] = 64``;
    an option without :class:`Option` has no sentence and takes every value of its type.
    """
    hints = typing.get_type_hints(getattr(info.make, "__init__", info.make), include_extras=True)
    fields = {}
    for name, default in info.options.items():
        kind, option = hints.get(name, object), Option("")
        if get_origin(kind) is Annotated:
            kind, *extras = get_args(kind)
            option = next((each for each in extras if isinstance(each, Option)), option)
        fields[name] = FieldInfo(name, object if kind is Any else kind, default, option)
    return fields


def read_network_options(info: NetworkInfo, texts: Sequence[str]) -> dict[str, Any]:
    """Read options as they are typed: ``width=32``, ``shortcut=C``, ``zero_init=true``.

    Raises:
        OptionError: A text is no ``name=value``, an option is given twice, the network has
            no such option, or the value is of another kind or outside its range.
    """
    chosen: dict[str, Any] = {}
    typed: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            example = next(iter(info.options), "width")
            raise OptionError(
                f"network option `{text}` is not understood, expected NAME=VALUE, such as "
                f"`{example}={info.options.get(example, 64)}`. `nunbit networks {info.name}` lists "
                "what there is."
            )
        if name in typed:
            raise OptionError(
                f"network option `{name}` is given twice: `{typed[name]}` and `{text}`. "
                "Pass it once."
            )
        typed[name], chosen[name] = text, _read(value.strip())
    return check_network_options(info, chosen)


def _read(text: str) -> Any:
    """Read a number, a truth value or a list as TOML writes it; all else is text."""
    if len(text) > LONGEST:
        return text
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = found["value"]
    is_plain = isinstance(value, (bool, int, float, str, list)) and len(found) == 1
    return value if is_plain else text  # a date, a table, or more than one line


def check_network_options(info: NetworkInfo, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a network with the kinds that its class takes.

    Raises:
        OptionError: The network has no such option, or a value is of another kind or
            outside its range.
    """
    fields = option_fields(info)
    unknown = [name for name in chosen if name not in fields]
    if unknown:
        raise OptionError(
            f"network `{info.name}` has no option `{unknown[0]}`."
            f"{did_you_mean(unknown[0], fields)} It has: {', '.join(fields) or 'none'}."
        )
    clean = {name: coerce(value, fields[name].type) for name, value in chosen.items()}
    problems = [fields[name].check(value) for name, value in clean.items()]
    found = [problem for problem in problems if problem is not None]
    if found:
        raise OptionError(f"network `{info.name}`: {'; '.join(found)}.")
    return clean
