"""Reading a CSV that lists pictures: ``path,label[,split][,group]``.

UTF-8 with or without a byte order mark; commas, or semicolons or tabs where only they
make the first line name the columns; any line ends; cells in quotes. Spaces around
cells do not count.
Source: RFC 4180, read by :mod:`csv` in its strict mode.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from nunbit.data.sources.column_names import Mistakes, check_header
from nunbit.data.sources.columns import Columns
from nunbit.data.sources.labels import clip
from nunbit.errors import DataError, name_list

__all__ = ["names_pictures", "parse_csv"]

DELIMITERS = (",", ";", "\t")

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def parse_csv(data: bytes, *, where: str) -> Columns:
    """Read the bytes of a CSV.

    Raises:
        DataError: It is no CSV of pictures, or lines are broken; the message names
            the lines.
    """
    text = _decode(data, where)
    mistakes = Mistakes(where)
    header, delimiter = _read_header(text, where)
    found, unknown = check_header(header, where=where)
    rows, cells = [], []
    for line, row in _lines(text, delimiter, where):
        if len(row) != len(header):
            first = clip(row[0], 60)
            mistakes.add(
                f"lines that have not {len(header)} cells as the first line has",
                f"line {line}: {len(row)} from `{first}` on",
                advice='Put cells that hold a comma in quotes: "a, b".',
            )
            continue
        rows.append(f"line {line}")
        cells.append([cell.strip() for cell in row])
    mistakes.raise_any()
    if not cells:
        raise DataError(f"{where} has a first line, but no pictures below it. Add a row for each.")
    column = {name: [row[k] for row in cells] for name, k in found.items()}
    targets = {name: column[name] for name in found if name.startswith("target")}
    notes: tuple[str, ...] = ()
    if unknown:
        notes = (f"columns that are not used: {name_list(f'`{name}`' for name in unknown)}",)
    return Columns(
        paths=column["path"],
        rows=rows,
        labels=column.get("label"),
        targets=targets,
        splits=column.get("split"),
        groups=column.get("group"),
        notes=notes,
    )


def names_pictures(data: bytes) -> bool:
    """Return whether the first line of a CSV has a column ``path``."""
    start = data[:100_000].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    cells = re.split(r"[,;\t]", (start.splitlines() or [""])[0])
    return "path" in {cell.strip().strip('"').lower() for cell in cells}


def _decode(data: bytes, where: str) -> str:
    if data.startswith(_UTF16_MARKS):
        raise DataError(f"{where} is written in UTF-16, expected UTF-8. Save it as `CSV UTF-8`.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        wrong = error.object[error.start]
        raise DataError(
            f"{where} is not UTF-8: line {line} has the byte {wrong:02x}. Save it as `CSV UTF-8`."
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{where} has a zero byte in line {line}, so it is no text, or not UTF-8. Save it as "
            "`CSV UTF-8`."
        )
    return text


def _read_header(text: str, where: str) -> tuple[list[str], str]:
    """Return the names of the columns, and what parts them.

    Raises:
        DataError: The first line is broken.
    """
    headers: dict[str, list[str]] = {}
    problem: DataError | None = None
    for delimiter in DELIMITERS:
        try:
            for _, row in _lines(text, delimiter, where, with_header=True):
                headers[delimiter] = row
                break
        except DataError as error:
            problem = problem or error
    if problem and not headers:
        raise problem
    if not headers:
        raise DataError(f"{where} is empty, expected a first line path,label[,split][,group].")

    def is_good(names: list[str]) -> bool:
        try:
            check_header(names, where=where)
        except DataError:
            return False
        return True

    good = [each for each in headers if is_good(headers[each])]
    best = good[0] if good else max(headers, key=lambda each: len(headers[each]))
    return headers[best], best


def _lines(
    text: str, delimiter: str, where: str, *, with_header: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with the number of its first line.

    Raises:
        DataError: Quotes are broken, or a cell is too long.
    """
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    is_header = True
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                raise DataError(
                    f"{where}, line {line}: a cell of more than {csv.field_size_limit():,} "
                    "characters. Is a quote never closed?"
                ) from error
            raise DataError(
                f"{where}, line {line}: broken quotes ({error}). Close each quote, and write a "
                'quote within a cell twice: "a ""b"" c".'
            ) from error
        if not any(cell.strip() for cell in row):
            continue
        if not is_header or with_header:
            yield line, row
        is_header = False
