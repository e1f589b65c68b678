"""From the data of a run to the page, and the page to a file.

All text goes through Jinja's autoescape; nothing in this package writes HTML from
Python, so no class or file name can become markup.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nunbit.errors import StorageError
from nunbit.report.data import ReportData
from nunbit.report.view import make_view
from nunbit.report.words import capitalize_first, make_language

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["make_environment", "render_report", "sayable", "write_report"]

TEMPLATES = Path(__file__).parent / "templates"


def render_report(data: ReportData, *, lang: Literal["en", "ko"] = "en") -> str:
    """Return a whole HTML page that needs no other file and no network.

    The same data gives the same text.

    Args:
        data: What to show; empty parts are left out.
        lang: Language of the page: English or Korean.

    Raises:
        OptionError: The report does not speak ``lang``.
        ShapeError: A misread picture is not uint8 (H, W) or (H, W, 3).
    """
    language = make_language(lang)
    environment = make_environment()
    environment.globals["t"] = language.say
    environment.filters["capitalize_first"] = capitalize_first
    page = environment.get_template("report.html.j2").render(make_view(data, language))
    return sayable(page)


def make_environment() -> Environment:
    """Return what turns our templates into pages: everything is escaped, nothing is undefined."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def sayable(page: str) -> str:
    """Return a page as UTF-8 can hold it; file names that are none arrive as lone surrogates."""
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def write_report(data: ReportData, path: Path, *, lang: Literal["en", "ko"] = "en") -> Path:
    """Write the page to a file, whole or not at all.

    Args:
        data: What to show.
        path: Where to; its folder is made where it is missing.
        lang: Language of the page.

    Raises:
        StorageError: The file could not be written; an older one is untouched.
    """
    page = render_report(data, lang=lang)
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        raise StorageError(
            f"the report could not be written to `{path}`: {error.strerror or error}. "
            "Choose another place, or make room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()
    return path
