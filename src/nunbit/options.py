"""Options as frozen dataclasses that describe themselves.

Each field is annotated with an :class:`Option`: one sentence, a unit and a
range. From that single place come the check of the value, the command line and
its help, the options file, and the table in ``docs/options.md``.

Values come in this order, the later one wins: default, file, command line.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, get_args, get_origin

from nunbit.errors import OptionError, did_you_mean, name_list

__all__ = ["FieldInfo", "Option", "Options", "coerce"]


@dataclass(frozen=True)
class Option:
    """What one field of an options dataclass means.

    Args:
        help: One sentence for people.
        unit: What a number counts, such as ``"pixels"``.
        low: Smallest value that is taken.
        high: Largest value that is taken.
        open_low: Whether ``low`` itself is refused.
        group: Heading under which the command line shows it.
    """

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    group: str = "Options"

    @property
    def range_text(self) -> str:
        """The accepted range as people write it, or an empty text."""
        if self.low is not None and self.high is not None:
            sign = "<" if self.open_low else "<="
            return f"{self.low:g} {sign} value <= {self.high:g}"
        if self.low is not None:
            return f"{'>' if self.open_low else '>='} {self.low:g}"
        return f"<= {self.high:g}" if self.high is not None else ""


@dataclass(frozen=True)
class FieldInfo:
    """One field of an options dataclass, taken apart."""

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The name on the command line: ``image_size`` is ``--image-size``."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts that a ``Literal`` field takes; empty for other fields."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    def check(self, value: object) -> str | None:
        """Return what is wrong with ``value``, or None."""
        if not _fits(value, self.type):
            return f"`{self.name}` is {value!r}, expected {self._expected()}"
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and not self._in_range(typing.cast(float, value)):
            unit = f" ({self.option.unit})" if self.option.unit else ""
            expected = self.option.range_text or "a finite number"
            return f"`{self.name}` is {value!r}, expected {expected}{unit}"
        return None

    def _in_range(self, value: float) -> bool:
        low, high = self.option.low, self.option.high
        if not _is_finite(value):
            return False
        if low is not None and (value < low or (self.option.open_low and value == low)):
            return False
        return high is None or value <= high

    def _expected(self) -> str:
        if self.choices:
            return "one of " + ", ".join(f"`{c}`" for c in self.choices)
        text = getattr(self.type, "__name__", str(self.type)).replace("typing.", "")
        if get_origin(self.type) in (types.UnionType, typing.Union, tuple):
            text = str(self.type).replace("NoneType", "None").replace(" | ", " or ")
        return f"{text} {self.option.range_text}".strip()


class Options:
    """Base of the options dataclasses: checked when made, to and from plain data."""

    title: ClassVar[str] = ""
    """Heading of this part in the options file."""

    def __post_init__(self) -> None:
        """Gather every wrong value, then raise once."""
        problems = [
            problem
            for info in self.fields()
            if (problem := info.check(getattr(self, info.name))) is not None
        ]
        if problems:
            raise OptionError("; ".join(problems) + ".")

    @classmethod
    def fields(cls) -> list[FieldInfo]:
        """All fields in order, with type, default and meaning."""
        hints = typing.get_type_hints(cls, include_extras=True)
        infos = []
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # subclasses are dataclasses
            hint = hints[field.name]
            if get_origin(hint) is not Annotated:
                raise TypeError(f"{cls.__name__}.{field.name} has no Option")
            kind, option = get_args(hint)[:2]
            infos.append(FieldInfo(field.name, kind, field.default, option))
        return infos

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, where: str = "options") -> Self:
        """Make the options from plain data; unknown names are an error.

        Raises:
            OptionError: A name is unknown (the nearest known one is named), or a
                value is wrong.
        """
        known = {info.name: info for info in cls.fields()}
        unknown = [name for name in values if name.replace("-", "_") not in known]
        if unknown:
            near = did_you_mean(unknown[0].replace("-", "_"), known)
            raise OptionError(
                f"{where}: unknown option {name_list(f'`{u}`' for u in unknown)}.{near} "
                f"Known: {', '.join(sorted(known))}."
            )
        clean = {}
        for name, value in values.items():
            info = known[name.replace("-", "_")]
            clean[info.name] = coerce(value, info.type)
        return cls(**clean)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that :meth:`from_dict` takes and JSON can hold."""
        return {
            info.name: list(value) if isinstance(value, tuple) else value
            for info in self.fields()
            for value in [getattr(self, info.name)]
        }


def coerce(value: Any, kind: Any) -> Any:
    """Turn what JSON and TOML cannot say (tuples, floats written as 1) into ``kind``."""
    wanted = get_args(kind) if get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    if isinstance(value, list) and any(get_origin(w) is tuple for w in wanted):
        return tuple(value)
    if type(value) is int and float in wanted and int not in wanted and _is_finite(value):
        return float(value)
    return value


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _fits(value: object, kind: Any) -> bool:
    origin = get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in get_args(kind))
    if origin is Literal:
        return value in get_args(kind)
    if origin is tuple:
        parts = get_args(kind)
        if not isinstance(value, tuple):
            return False
        if len(parts) == 2 and parts[1] is Ellipsis:
            return all(_fits(item, parts[0]) for item in value)
        return len(parts) == len(value) and all(map(_fits, value, parts))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if kind in (None, type(None)) else isinstance(value, kind)
