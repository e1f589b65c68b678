"""Published weights come into the cache: resumed, checked by their hash, from any host."""

from __future__ import annotations

import os
import secrets

from nunbit.errors import ModelFileError, StorageError
from nunbit.networks._published import MIRROR, PublishedWeights
from nunbit.networks._weight_files import file_sha256
from nunbit.transfer import (
    OFFLINE,
    Meter,
    NoPlaceError,
    Progress,
    WrongBytesError,
    fetch_from_any,
    is_offline,
    page_hint,
    sole_use,
)

__all__ = ["get_weights"]

SLACK_BYTES = 1 << 16
"""A file may be this much longer than its listed size, which is rounded."""


def get_weights(weights: PublishedWeights, *, progress: Progress | None = None) -> str:
    """Bring weights to :attr:`PublishedWeights.path`, unless they are there and right.

    Args:
        progress: Default: a bar or lines on standard error.
    Returns:
        The SHA-256 of the file.
    Raises:
        ModelFileError: No host gives the right file, or the network is forbidden; the
            message says what to get from where, and where to put it.
        StorageError: The cache cannot take it.
    """
    wrong = ""
    if weights.is_cached:
        sha256 = file_sha256(weights.path)
        if sha256.startswith(weights.hash_prefix):
            return sha256
        wrong = f" What lies there has another SHA-256: {sha256[:8]}."
    if is_offline():
        raise ModelFileError(
            f"{_what(weights)} {OFFLINE} is set, so nothing was downloaded.{wrong}"
            f" {_by_hand(weights)}"
        )
    try:
        if progress is not None:
            return _download(weights, progress)
        with Meter() as meter:
            return _download(weights, meter)
    except NoPlaceError as error:
        raise ModelFileError(
            f"{_what(weights)} Downloading failed: {error}.{wrong} {_by_hand(weights)}"
        ) from error


def _what(weights: PublishedWeights) -> str:
    return f"the weights `{weights.name}` of `{weights.network}` are not on this machine."


def _by_hand(weights: PublishedWeights) -> str:
    return (
        f"Get {weights.urls[0]} and put it at `{weights.path}`, or set {MIRROR} "
        "to a folder of the web that has it, or say where it is: "
        f'`--weights PATH/{weights.file}`, in Python `weights="PATH/{weights.file}"`.'
    )


def _download(weights: PublishedWeights, tell: Progress) -> str:
    folder, found = weights.path.parent, ""

    def accept() -> None:
        nonlocal found
        found = file_sha256(part)
        if not found.startswith(weights.hash_prefix):
            raise WrongBytesError(
                f"what came has SHA-256 {found[:8]}..., expected {weights.hash_prefix}...; "
                f"it has {part.stat().st_size:,} bytes{page_hint(part)}"
            )
        os.replace(part, weights.path)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with sole_use(
            folder, waiting=lambda: tell("waiting for another download of weights", 0, None)
        ) as alone:
            if weights.is_cached and (there := file_sha256(weights.path)).startswith(
                weights.hash_prefix
            ):
                return there  # another process was faster
            # Who is not alone works under a name of its own, and the last one wins.
            suffix = ".part" if alone else f".{secrets.token_hex(4)}.part"
            part = folder / f"{weights.file}{suffix}"
            fetch_from_any(
                weights.urls,
                part,
                limit_bytes=weights.size_bytes + SLACK_BYTES,
                accept=accept,
                progress=lambda done, total: tell(weights.file, done, total),
            )
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"`{folder}` cannot take the download: {error.strerror or error}. Give yourself the "
            "right to write there, or set NUNBIT_CACHE to another folder."
        ) from error
    return found
