"""One file from the first of several places that gives the right bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["NoPlaceError", "WrongBytesError", "fetch_from_any", "page_hint"]


class WrongBytesError(Exception):
    """What arrived is not what was expected; the message says how it differs."""


class NoPlaceError(Exception):
    """No place gave the file; the message names each with its reason."""


def fetch_from_any(
    urls: Sequence[str],
    part: Path,
    *,
    limit_bytes: int,
    accept: Callable[[], None],
    progress: Callable[[int, int | None], None] | None = None,
) -> None:
    """Download a file to ``part`` and hand it to ``accept``; nothing of ``part`` is left.

    A download that was interrupted is gone on with, at the place where it was begun.

    Args:
        urls: In the order in which they are asked.
        limit_bytes: More than this is refused.
        accept: Checks what lies at ``part`` and puts it in its place; raises
            :class:`WrongBytesError` where it is something else.
        progress: As :func:`nunbit.transfer.fetch.fetch` takes it.
    Raises:
        NoPlaceError: No place gives it.
        OSError: The disk does not take it.
    """
    from nunbit.transfer.fetch import TransferError, drop_part, fetch, read_state

    begun = read_state(part).url
    tried = []
    for url in sorted(urls, key=lambda each: each != begun):
        again = True
        while again:
            try:
                resumed = fetch(url, part, limit_bytes=limit_bytes, progress=progress)
                accept()
            except TransferError as error:
                tried.append(f"{url}: {error}")
                again = False
            except WrongBytesError as error:
                drop_part(part)
                # Joined from two versions of the file, perhaps: once more, in one piece.
                again = resumed
                if not again:
                    tried.append(f"{url}: {error}")
            except OSError:
                drop_part(part)
                raise
            else:
                drop_part(part)
                return
    raise NoPlaceError("; ".join(tried))


def page_hint(path: Path) -> str:
    """Return what to add to a message where a file is a web page; else an empty text."""
    with open(path, "rb") as raw:
        head = raw.read(64).lstrip()
    return "; it is a web page, perhaps of a login" if head.startswith(b"<") else ""
