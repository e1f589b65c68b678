"""What a command says: text for people, or one JSON object."""

from __future__ import annotations

import codecs
import json
import math
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nunbit.cli._said_once import is_first_rank

__all__ = ["Output", "mend_streams", "percent", "printable"]


TURNS = frozenset(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
"""Signs that turn the direction of writing, so that a name reads as another."""


NEAREST = str.maketrans({"×": "x", "–": "-", "−": "-", "…": "...", "→": "->", "’": "'"})
"""For terminals and files that have no such sign."""


def percent(value: float, low: float | None = None, high: float | None = None) -> str:
    """Return a share as people read it, with its interval where there is one.

    Example:
        >>> percent(0.9937, 0.9919, 0.9951)
        '99.37 % (95 %: 99.19–99.51)'
    """
    text = f"{100 * value:.2f} %"
    if low is not None and high is not None:
        text += f" (95 %: {100 * low:.2f}–{100 * high:.2f})"
    return text


def printable(text: str, *, keep: str = "") -> str:
    r"""Return text that any terminal can show: no control characters, no odd bytes.

    Args:
        keep: Characters that stay, such as line ends that are meant.

    Example:
        >>> printable("red" + chr(27) + "[31m")
        'red\\x1b[31m'
    """

    def is_harmless(c: str) -> bool:
        if c.isprintable() or c in keep:
            return True
        return unicodedata.category(c) in ("Zs", "Cf") and c not in TURNS

    return "".join(c if is_harmless(c) else c.encode("unicode_escape").decode() for c in text)


def mend_streams() -> None:
    """Let output streams that cannot write every sign write the nearest that they can."""
    for stream in (sys.stdout, sys.stderr):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and not encoding.lower().startswith("utf"):
            reconfigure(errors="nunbit-nearest")


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(NEAREST)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error("nunbit-nearest", _nearest)


class Output:
    """Text goes to standard output, or with ``--json`` to standard error.

    Of many ranks only the first says anything.

    Args:
        as_json: Whether standard output is kept for one JSON object.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.speaks = is_first_rank()
        self.as_json = as_json and self.speaks
        stream = sys.stderr if as_json else sys.stdout
        width = None if stream.isatty() else 100
        self.console = Console(
            file=stream, highlight=False, width=width, soft_wrap=True, quiet=not self.speaks
        )

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        self.console.print(escape(printable(text, keep="\n")))

    def facts(self, facts: Mapping[str, str]) -> None:
        """Print facts, one a line, their names aligned."""
        wide = max((len(name) for name in facts), default=0)
        for name, value in facts.items():
            self.console.print(f"[bold]{escape(name):{wide}}[/bold]  {escape(printable(value))}")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
        """Print a table; the first ``left`` columns are text, the others numbers."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for k, name in enumerate(header):
            table.add_column(escape(name), justify="left" if k < left else "right", no_wrap=k > 0)
        for row in rows:
            table.add_row(*(escape(printable(cell)) for cell in row))
        self.console.print(table, soft_wrap=False)

    def result(self, data: Mapping[str, Any]) -> None:
        """Print the JSON object, if one was asked for."""
        if self.as_json:
            encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
            in_ascii = not encoding.lower().startswith("utf")
            sys.stdout.write(json.dumps(_finite(data), ensure_ascii=in_ascii) + "\n")
            sys.stdout.flush()


def _finite(value: Any) -> Any:
    """Replace what JSON cannot say: nan and infinity by null, odd bytes by what they are."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {_finite(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
