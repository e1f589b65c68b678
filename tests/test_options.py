"""Options: checked when made, every mistake in one message, to plain data and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from nunbit.errors import OptionError
from nunbit.options import Option, Options


@dataclass(frozen=True)
class Sample(Options):
    count: Annotated[int, Option("How many.", unit="pictures", low=1, high=9)] = 2
    share: Annotated[float, Option("How much.", low=0.0, high=1.0, open_low=True)] = 0.5
    speed: Annotated[float | None, Option("How fast.", low=0.0)] = None
    least: Annotated[int, Option("At most this.", high=5)] = 0
    loose: Annotated[float, Option("Any number.")] = 0.0
    kind: Annotated[Literal["fine", "coarse"], Option("Which.")] = "fine"
    names: Annotated[tuple[str, ...], Option("Whose.")] = ()
    pair: Annotated[float | tuple[float, float], Option("One or two.")] = 0.0
    is_on: Annotated[bool, Option("Whether.")] = False
    title: Annotated[str, Option("What.")] = ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, r"`count` is 0, expected 1 <= value <= 9 \(pictures\)\.$"),
        ({"count": 10}, "`count` is 10, expected 1 <= value <= 9"),
        ({"count": 2.0}, "`count` is 2.0, expected int 1 <= value <= 9"),
        ({"count": True}, "`count` is True, expected int"),
        ({"count": "2"}, "`count` is '2', expected int"),
        ({"count": None}, "`count` is None, expected int"),
        ({"share": 0.0}, r"`share` is 0.0, expected 0 < value <= 1\.$"),
        ({"share": False}, "`share` is False, expected float"),
        ({"speed": -1}, r"`speed` is -1, expected >= 0\.$"),
        ({"speed": "x"}, "`speed` is 'x', expected float or None >= 0"),
        ({"least": 6}, r"`least` is 6, expected <= 5\.$"),
        ({"loose": float("inf")}, r"`loose` is inf, expected a finite number\.$"),
        ({"share": float("nan")}, r"`share` is nan, expected 0 < value <= 1\.$"),
        ({"kind": "corse"}, "`kind` is 'corse', expected one of `fine`, `coarse`"),
        ({"kind": ["fine"]}, "`kind` is .'fine'., expected one of"),
        ({"names": ["a"]}, "`names` is .'a'., expected tuple"),
        ({"names": ("a", 1)}, "`names` is .'a', 1., expected tuple"),
        ({"names": "ab"}, "`names` is 'ab', expected tuple"),
        ({"pair": (1.0,)}, "`pair` is .1.0,., expected float or tuple"),
        ({"pair": (1.0, "2")}, "`pair` is .1.0, '2'., expected float or tuple"),
        ({"is_on": 1}, "`is_on` is 1, expected bool"),
        ({"title": 1}, "`title` is 1, expected str"),
    ],
)
def test_wrong_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Sample(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"count": 1},
        {"count": 9},
        {"share": 1},
        {"speed": 0},
        {"speed": None},
        {"least": -100},
        {"pair": (1, 2.5)},
        {"pair": 3},
        {"names": ("a", "b")},
    ],
)
def test_right_values(values: dict[str, Any]) -> None:
    made = Sample(**values)
    assert all(getattr(made, name) == value for name, value in values.items())


def test_all_mistakes_are_gathered() -> None:
    with pytest.raises(OptionError) as caught:
        Sample(count=0, share=2.0, kind="x", is_on=None)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message == (
        "`count` is 0, expected 1 <= value <= 9 (pictures); "
        "`share` is 2.0, expected 0 < value <= 1; "
        "`kind` is 'x', expected one of `fine`, `coarse`; "
        "`is_on` is None, expected bool."
    )


def test_plain_data_says_lists_and_whole_numbers_and_dashes() -> None:
    made = Sample.from_dict({"is-on": True, "names": ["a"], "pair": [1, 2], "share": 1})
    assert made == Sample(is_on=True, names=("a",), pair=(1, 2), share=1.0)
    assert type(made.share) is float
    assert made.to_dict()["names"] == ["a"]
    assert made.to_dict()["pair"] == [1, 2]
    assert Sample.from_dict(made.to_dict()) == made
    assert Sample.from_dict({}) == Sample()


def test_all_unknown_names_are_listed() -> None:
    with pytest.raises(
        OptionError,
        match=r"file.toml: unknown option `cuont`, `zzz`. Did you mean `count`\? Known: count, is",
    ):
        Sample.from_dict({"cuont": 3, "share": 0.1, "zzz": 1}, where="file.toml")


def test_fields_say_all_that_a_command_line_needs() -> None:
    fields = {info.name: info for info in Sample.fields()}
    assert list(fields) == list(Sample().to_dict())
    assert fields["is_on"].flag == "--is-on"
    assert fields["kind"].choices == ("fine", "coarse")
    assert fields["count"].choices == ()
    assert fields["count"].default == 2
    assert fields["share"].option.range_text == "0 < value <= 1"
    assert fields["title"].option.range_text == ""


def test_a_field_without_meaning_is_our_own_mistake() -> None:
    @dataclass(frozen=True)
    class Careless(Options):
        count: int = 1

    with pytest.raises(TypeError, match=r"Careless.count has no Option"):
        Careless()
