"""From options dataclasses to a command line, by way of cyclopts (ADR 0003).

A command is a plain function of its positional arguments and ``given``: the
options that the user typed, and only those, by field name. So a command knows
what was asked and what is default.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from nunbit.options import FieldInfo, Option, Options

__all__ = ["CommonOptions", "Positional", "add_command", "pick"]

GROUPS = (
    "Pictures",
    "Network",
    "Training",
    "Fine points",
    "Machine",
    "Prediction",
    "Options",
    "Output",
)


@dataclass(frozen=True)
class CommonOptions(Options):
    """What every command takes."""

    json: Annotated[
        bool,
        Option("Print one JSON object on standard output and nothing else.", group="Output"),
    ] = False
    debug: Annotated[bool, Option("Show where an error came from.", group="Output")] = False


@dataclass(frozen=True)
class Positional:
    """A positional argument of a command."""

    name: str
    type: Any
    help: str
    default: Any = inspect.Parameter.empty


def add_command(
    app: App,
    function: Callable[..., int],
    *,
    name: str,
    positional: Sequence[Positional],
    parts: Sequence[type[Options]],
) -> None:
    """Register ``function`` as the command ``name``.

    Args:
        function: Takes the positional arguments and ``given``; returns the exit status.
        parts: Options dataclasses; a field of the same name in two is one flag.
    """
    fields: dict[str, FieldInfo] = {}
    every: list[type[Options]] = [*parts, CommonOptions]
    for part in every:
        for info in part.fields():
            fields.setdefault(info.name, info)
    parameters = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.POSITIONAL_ONLY
            if each.type is not tuple
            else inspect.Parameter.VAR_POSITIONAL,
            default=each.default if each.type is not tuple else inspect.Parameter.empty,
            annotation=Annotated[
                str if each.type is tuple else each.type,
                Parameter(help=each.help, show_default=False),
            ],
        )
        for each in positional
    ]
    parameters += [
        inspect.Parameter(
            info.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=info.default,
            annotation=_annotation(info),
        )
        for info in fields.values()
    ]

    @functools.wraps(function)
    def command(*arguments: Any, **given: Any) -> int:
        left_open = [each.default for each in positional if each.type is not tuple]
        return function(*arguments, *left_open[len(arguments) :], given)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    app.command(command, name=name)


def _annotation(info: FieldInfo) -> Any:
    notes = [text for text in (info.option.unit, info.option.range_text) if text]
    text = info.option.help + (f" ({', '.join(notes)})" if notes else "")
    group = info.option.group
    return Annotated[
        info.type,
        Parameter(
            name=info.flag,
            help=text,
            negative="",
            show_default=not (info.default is None or info.default is False or info.default == ()),
            group=Group(group, sort_key=GROUPS.index(group)),
        ),
    ]


def pick(part: type[Options], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the given options that belong to ``part``."""
    names = {info.name for info in part.fields()}
    return {name: value for name, value in given.items() if name in names}
