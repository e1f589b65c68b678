"""One file over HTTP: resumed, retried, with a limit on size, silence and slowness.

Written on :mod:`urllib`, which is there already: ``pooch`` cannot resume, and
``fsspec`` needs ``aiohttp`` for the web.

Beside a file that is on its way (``x.part``) lies ``x.part.json``: where it comes
from, and what the server said about its version. Only the same version of the
same URL is resumed (``Range`` with ``If-Range``; RFC 9110, section 13.1.5).
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nunbit._version import __version__
from nunbit.errors import StorageError

__all__ = ["State", "TransferError", "drop_part", "fetch", "read_state"]

ATTEMPTS = 3
"""How often one URL is tried where trying again may help."""
PAUSE_S = 1.0
"""Before the second attempt; doubled before each further one."""
TIMEOUT_S = 30.0
"""Longest silence."""
SLOW_WINDOW_S = 60.0
SLOW_BYTES = 60_000
"""A server that sends less than this in the window above is left."""
CHUNK_BYTES = 1 << 18
PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
"""HTTP answers after which trying again may help."""


class TransferError(Exception):
    """A URL did not give the file; the message is the reason.

    Args:
        again: Whether trying again may help.
    """

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


@dataclass(frozen=True)
class State:
    """What is known of a file on its way."""

    url: str = ""
    version: str = ""
    """ETag or date, as the server gave it; empty where it gave none."""
    total_bytes: int | None = None


def read_state(part: Path) -> State:
    """Return what lies beside ``part``; an empty state where that is nothing of use."""
    try:
        found = json.loads(_state_file(part).read_text("utf-8"))
        state = State(**found)
    except (OSError, ValueError, TypeError):
        return State()
    total = state.total_bytes
    is_ours = isinstance(state.url, str) and isinstance(state.version, str)
    return state if is_ours and (total is None or type(total) is int) else State()


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def drop_part(part: Path) -> None:
    """Remove a file on its way and what is known of it."""
    for each in (part, _state_file(part)):
        with contextlib.suppress(OSError):
            each.unlink()


def fetch(
    url: str,
    part: Path,
    *,
    limit_bytes: int,
    progress: Callable[[int, int | None], None] | None = None,
) -> bool:
    """Download ``url`` to ``part``, going on where an earlier download stopped.

    Args:
        limit_bytes: More than this is refused.
        progress: Called with the bytes that are there and the bytes of the whole.
    Returns:
        Whether a part of the file is from an earlier attempt.
    Raises:
        TransferError: The URL does not give the file.
        StorageError: The file cannot be written; nothing of it is left.
    """
    attempt, resumed = 1, False
    while True:
        try:
            resumed |= _try(url, part, limit_bytes, progress or (lambda done, total: None))
        except TransferError as error:
            if not error.again or attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE_S * 2 ** (attempt - 1))
            attempt += 1
        else:
            return resumed


def _try(
    url: str, part: Path, limit_bytes: int, progress: Callable[[int, int | None], None]
) -> bool:
    state = read_state(part)
    have = part.stat().st_size if part.is_file() and state.url == url else 0
    if have and have == state.total_bytes:
        return True
    may_resume = have > 0 and bool(state.version or state.total_bytes)
    headers = {"User-Agent": f"nunbit/{__version__}", "Accept-Encoding": "identity"}
    if may_resume:
        headers["Range"] = f"bytes={have}-"
        if state.version:
            headers["If-Range"] = state.version
    try:
        # Only URLs of our own list come here.
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        with _opener().open(request, timeout=TIMEOUT_S) as response:
            start, total = _range(response, state if may_resume else State(), have)
            if total is not None and total > limit_bytes:
                raise TransferError(
                    f"it offers {total:,} bytes, expected at most {limit_bytes:,}", again=False
                )
            fresh = State(url, _version(response), total)
            _receive(response, part, fresh, start=start, limit=limit_bytes, progress=progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and may_resume:  # what is there belongs to another version
            drop_part(part)
            raise TransferError("cannot be resumed", again=True) from error
        raise TransferError(
            f"HTTP {error.code} {error.reason}", again=error.code in PASSING
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        if isinstance(error, StorageError):
            raise
        raise TransferError(_reason(error), again=_may_pass(error)) from error
    return start > 0


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https, with the proxies of the environment; no files."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _range(response: Any, state: State, have: int) -> tuple[int, int | None]:
    """Return at which byte the answer starts, and how long the whole file is."""
    length = response.headers.get("Content-Length")
    if response.status != 206:
        return 0, int(length) if length is not None else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    wanted = state.total_bytes
    if found is None or int(found[1]) != have or (wanted and int(found[2]) != wanted):
        raise TransferError("answers with another part of the file than asked for", again=False)
    return have, int(found[2])


def _version(response: Any) -> str:
    """Return what names this version of the file; a weak ETag does not (RFC 9110, 8.8.3)."""
    tag = response.headers.get("ETag") or ""
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified") or ""


def _receive(
    response: Any,
    part: Path,
    state: State,
    *,
    start: int,
    limit: int,
    progress: Callable[[int, int | None], None],
) -> None:
    total = state.total_bytes
    try:
        if total is not None and shutil.disk_usage(part.parent).free < total - start:
            raise OSError(errno.ENOSPC, f"{total - start:,} bytes are needed, fewer are free")
        file = open(part, "ab" if start else "wb")  # noqa: SIM115  # closed below
        _state_file(part).write_text(json.dumps(asdict(state)), "utf-8")
    except OSError as error:
        raise _no_room(part, error) from error
    done, mark, since = start, start, time.monotonic()
    progress(done, total)
    with contextlib.ExitStack() as stack:
        stack.callback(_close, file)
        while chunk := response.read1(CHUNK_BYTES):
            done += len(chunk)
            if done > limit:
                stack.callback(drop_part, part)
                raise TransferError(f"it sends more than {limit:,} bytes", again=False)
            try:
                file.write(chunk)
            except OSError as error:
                raise _no_room(part, error) from error
            progress(done, total)
            if time.monotonic() - since > SLOW_WINDOW_S:
                if done - mark < SLOW_BYTES:
                    raise TransferError(
                        f"too slow: {done - mark:,} bytes in {SLOW_WINDOW_S:g} s", again=False
                    )
                mark, since = done, time.monotonic()
        try:
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise _no_room(part, error) from error
    if total is not None and done != total:
        raise TransferError(f"stopped after {done:,} of {total:,} bytes", again=True)


def _close(file: Any) -> None:
    with contextlib.suppress(OSError):  # what could not be written is reported already
        file.close()


def _no_room(part: Path, error: OSError) -> StorageError:
    drop_part(part)
    return StorageError(
        f"`{part.parent}` cannot take the download: {error.strerror or error}. Nothing of it was "
        "left there. Make room, or set NUNBIT_CACHE to a folder with room."
    )


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return f"silent for {TIMEOUT_S:g} s"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner) or type(inner).__name__


def _may_pass(error: Exception) -> bool:
    """Return whether a second attempt may help: not where there is no such server."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    lost = (TimeoutError, ConnectionResetError, ConnectionAbortedError, http.client.HTTPException)
    return isinstance(inner, lost)
