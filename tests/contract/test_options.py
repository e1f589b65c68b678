"""What every options dataclass must do, wherever it is. A new one is tested by existing."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pkgutil
from typing import Any, get_origin

import pytest

import nunbit
from nunbit.errors import OptionError
from nunbit.options import FieldInfo, Option, Options


def _all_options() -> list[type[Options]]:
    for module in pkgutil.walk_packages(nunbit.__path__, "nunbit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = [], list(Options.__subclasses__())
    while waiting:
        each = waiting.pop()
        waiting += each.__subclasses__()
        if each.__module__.startswith("nunbit."):
            found.append(each)
    return sorted(found, key=lambda each: each.__qualname__)


OPTIONS = _all_options()
FIELDS = [
    pytest.param(kind, info, id=f"{kind.__name__}.{info.name}")
    for kind in OPTIONS
    for info in kind.fields()
]


def plain(kind: type[Options]) -> Options:
    """Make the options with nothing asked for; fields without a default get an example."""
    given = {
        info.name: _example(info) for info in kind.fields() if info.default is dataclasses.MISSING
    }
    return kind.from_dict(given)


def _example(info: FieldInfo) -> Any:
    if info.choices:
        return info.choices[-1]
    if get_origin(info.type) is tuple:
        return ["a", "b"]
    return {int: 3, float: 0.5, str: "text", bool: True}.get(info.type, "text")


def test_all_parts_are_found() -> None:
    assert {"Augment", "DataOptions", "TrainOptions"} <= {kind.__name__ for kind in OPTIONS}


@pytest.mark.parametrize("kind", OPTIONS)
def test_defaults_are_values_that_are_taken(kind: type[Options]) -> None:
    made = plain(kind)
    for info in kind.fields():
        assert info.check(getattr(made, info.name)) is None
    assert dataclasses.is_dataclass(made)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, kind.fields()[0].name, 1)


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_go_through_json_and_back(kind: type[Options]) -> None:
    made = plain(kind)
    assert kind.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert list(made.to_dict()) == [info.name for info in kind.fields()]


@pytest.mark.parametrize(("kind", "info"), FIELDS)
def test_a_name_with_one_letter_changed_is_an_error_that_names_the_right_one(
    kind: type[Options], info: FieldInfo
) -> None:
    known = {each.name for each in kind.fields()}
    for at in range(len(info.name)):
        changed = f"{info.name[:at]}q{info.name[at + 1 :]}"
        if changed in known:
            continue
        with pytest.raises(OptionError, match=f"here: unknown option `{changed}`") as caught:
            kind.from_dict({changed: 1}, where="here")
        if len(info.name) > 2:
            assert f"Did you mean `{info.name}`?" in str(caught.value)
        assert f"Known: {', '.join(sorted(known))}." in str(caught.value)


@pytest.mark.parametrize(("kind", "info"), FIELDS)
def test_each_field_says_what_it_means_and_refuses_what_it_does_not_take(
    kind: type[Options], info: FieldInfo
) -> None:
    assert isinstance(info.option, Option)
    assert info.option.help
    assert info.option.help.rstrip().endswith((".", ")"))
    for wrong in (object(), {"a": 1}, 1j):
        with pytest.raises(OptionError, match=f"`{info.name}` is .*, expected "):
            kind.from_dict({**plain(kind).to_dict(), info.name: wrong})


@pytest.mark.parametrize(("kind", "info"), FIELDS)
def test_the_ends_of_a_range_hold(kind: type[Options], info: FieldInfo) -> None:
    low, high = info.option.low, info.option.high
    whole = "int" in str(info.type) and "float" not in str(info.type)
    small = 1 if whole else 1e-9
    if low is not None:
        edge = int(low) if whole else float(low)
        assert (info.check(edge) is None) != info.option.open_low
        assert f"`{info.name}` is" in (info.check(edge - small) or "")
    if high is not None:
        edge = int(high) if whole else float(high)
        assert info.check(edge) is None
        assert f"`{info.name}` is" in (info.check(edge + edge * 1e-6 + small) or "")
    for never in (float("nan"), float("inf"), True):
        if info.type is not bool and low is not None:
            assert info.check(never) is not None
