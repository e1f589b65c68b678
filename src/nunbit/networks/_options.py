"""A network's own options: the keyword arguments of its class besides the shapes."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nunbit.errors import OptionError, did_you_mean
from nunbit.options import FieldInfo, Option, coerce

if TYPE_CHECKING:
    from nunbit.networks._registry import NetworkInfo

__all__ = ["check_network_options", "read_network_options"]


def read_network_options(info: NetworkInfo, texts: Sequence[str]) -> dict[str, Any]:
    """Read options as they are typed: ``width=32``, ``shortcut=C``, ``zero_init=true``.

    Raises:
        OptionError: A text is no ``name=value``, the network has no such option, or the
            value is of another kind.
    """
    chosen: dict[str, Any] = {}
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
        chosen[name] = _read(value.strip())
    return check_network_options(info, chosen)


def _read(text: str) -> Any:
    """Read a number, a truth value or a list as TOML writes it; all else is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def check_network_options(info: NetworkInfo, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a network with the kinds that its class takes.

    Raises:
        OptionError: The network has no such option, or a value is of another kind.
    """
    known = info.options
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise OptionError(
            f"network `{info.name}` has no option `{unknown[0]}`."
            f"{did_you_mean(unknown[0], known)} It has: {', '.join(known) or 'none'}."
        )
    hints = typing.get_type_hints(getattr(info.make, "__init__", info.make))
    clean, problems = {}, []
    for name, value in chosen.items():
        hint = hints.get(name, Any)
        clean[name] = value if hint is Any else coerce(value, hint)
        if hint is not Any:
            problems.append(FieldInfo(name, hint, known[name], Option("")).check(clean[name]))
    found = [problem for problem in problems if problem is not None]
    if found:
        raise OptionError(f"network `{info.name}`: {'; '.join(found)}.")
    return clean
