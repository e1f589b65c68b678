"""``nunbit recipes``: settings that were tuned and measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output
from nunbit.errors import OptionError, did_you_mean

__all__ = ["recipes"]


def recipes(name: str | None, given: dict[str, Any]) -> int:
    """List the recipes with what they gave, or show one: a file that --options takes."""
    from nunbit.recipes import list_recipes

    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    known = {f"{each.source}-{each.kind}": each for each in list_recipes()}
    if name is None:
        output.table(
            ["recipe", "command", "test accuracy", "n", "training"],
            [[label, each.command, *_columns(each.measured)] for label, each in known.items()],
            left=2,
        )
        output.say()
        output.say(f"`nunbit recipes {next(iter(known))}` shows one. Any other pictures take")
        output.say("`--recipe fast`, `best` or `course`, too, by their number and size.")
        output.result({"recipes": [_plain(label, each) for label, each in known.items()]})
        return 0
    if name not in known:
        raise OptionError(
            f"unknown recipe `{name}`.{did_you_mean(name, known)} There are: {', '.join(known)}."
        )
    found = known[name]
    output.say(found.text.rstrip())
    output.say()
    output.say(f"`{found.command}`")
    output.result({**_plain(name, found), "text": found.text})
    return 0


def _columns(measured: Any) -> list[str]:
    if measured is None:
        return ["", "", ""]
    accuracy = f"{100 * measured.accuracy:.2f} ± {100 * measured.sd:.2f} %"
    return [accuracy, str(measured.n), f"{measured.seconds:,.0f} s"]


def _plain(label: str, recipe: Any) -> Mapping[str, Any]:
    measured = recipe.measured
    return {
        "name": label,
        "command": recipe.command,
        "options": dict(recipe.options),
        "measured": None if measured is None else vars(measured),
    }
