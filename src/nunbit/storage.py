"""Writing files so that nothing is lost, and the one file format for weights.

A file appears whole or not at all: it is written beside its place, flushed to the
disk and renamed. If the disk is full, the old file stays and the new one is
removed.

Model files and checkpoints are safetensors files whose header carries a JSON text
under the key ``nunbit``. No pickle is written and none is ever loaded.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nunbit.errors import ModelFileError, StorageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "FORMAT_VERSION",
    "LEFTOVER",
    "UNUSABLE",
    "NewerFormatError",
    "is_free_for",
    "load_tensors",
    "read_header",
    "remove_leftovers",
    "save_tensors",
    "write_atomic",
]

FORMAT_VERSION = 1
"""Raised when an older Nunbit could not read what a newer one writes."""

HEADER_KEY = "nunbit"

SIGNED = re.compile(r'\{"crc32": "([0-9a-f]{8})", ')
"""How the header of a checkpoint begins, with what its bytes add up to; older ones have none."""

LEFTOVER = re.compile(r"\..+-[0-9a-f]{8}")
"""Names that :func:`write_atomic` writes under before a file gets its own."""

UNUSABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What reading plain data as ours can raise where it is not ours."""


class NewerFormatError(ModelFileError):
    """A file is whole, but only a newer Nunbit can read it."""


def is_free_for(path: str | os.PathLike[str], mark: str, *, within: int) -> bool:
    """Return whether nothing lies at a place, or a file that we wrote and may replace.

    Args:
        mark: Text that such a file has among its first bytes.
        within: How many bytes those are.
    """
    if not os.path.lexists(path):
        return True
    try:
        with open(path, "rb") as file:
            return mark.encode() in file.read(within)
    except OSError:
        return False


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all.

    Raises:
        StorageError: No room, no right, no such folder; the old file is untouched.
    """
    # File names that are no UTF-8 reach us with surrogates; they leave as they came.
    raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with contextlib.suppress(FileExistsError):  # where it is no folder, opening says so
            path.parent.mkdir(parents=True)
        with open(temporary, "xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(_explain(path, len(raw), error)) from error
    finally:  # gone after a rename; left by an error or by Ctrl-C
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a folder.

    Only where nobody writes into it meanwhile.
    """
    with contextlib.suppress(OSError):  # there is no such folder
        for path in list(folder.iterdir()):
            if LEFTOVER.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()


def _explain(path: Path, size_bytes: int, error: OSError) -> str:
    kept = " The file that was there before is untouched." if path.exists() else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(_existing(path)).free
        return (
            f"disk full: `{path}` needs {size_bytes / 1e6:.1f} MB, {free / 1e6:.1f} MB are free."
            f"{kept} Free some room, or write elsewhere with `--out DIR`."
        )
    return (
        f"`{path}` cannot be written: {error.strerror}.{kept} "
        "Give yourself the right to write there, or write elsewhere with `--out DIR`."
    )


def _existing(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def save_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any],
    *,
    kind: Literal["model", "checkpoint"],
) -> None:
    """Write tensors and a header of plain data into one file, atomically.

    Raises:
        StorageError: As :func:`write_atomic`.
    """
    from safetensors.torch import save

    text = json.dumps({"format": FORMAT_VERSION, "kind": kind, **header})
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if kind == "checkpoint":  # nobody edits it, and there is an older one where it is damaged
        text = f'{{"crc32": "{_digest(text, plain)}", {text[1:]}'
    write_atomic(path, save(plain, metadata={HEADER_KEY: text}))


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return eight digits that change where a bit of a header or of the tensors does.

    A CRC, which finds every damage but one in four billion and takes 0.03 s for 130 MB.
    """
    import torch

    found = zlib.crc32(text.encode())
    for name in sorted(tensors):
        flat = tensors[name].reshape(-1).view(torch.uint8)
        found = zlib.crc32(name.encode("utf-8", "replace"), found)
        found = zlib.crc32(flat.numpy().data, found)
    return f"{found:08x}"


def read_header(path: Path, *, kind: Literal["model", "checkpoint"]) -> dict[str, Any]:
    """Read the header of one of our files; weights are not touched.

    Raises:
        ModelFileError: There is no such file, it is truncated, not ours, of
            another kind, or from a newer Nunbit.
    """
    header: dict[str, Any] = json.loads(_header_text(path, kind=kind))
    header.pop("crc32", None)
    return header


def _header_text(path: Path, *, kind: Literal["model", "checkpoint"]) -> str:
    """Return the header as it is written, once it is known to be one that we can read."""
    try:
        size_bytes = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(9)
            length = int.from_bytes(start[:8], "little")
            file.seek(8)
            raw = file.read(length) if length < min(size_bytes, 1 << 28) else b""
    except OSError as error:
        raise ModelFileError(
            f"{kind} file `{path}` cannot be read: {error.strerror}. "
            "Expected a file `model.safetensors` or a run folder that `nunbit train` wrote."
        ) from error
    if start[8:] in (b"", b"{") and size_bytes < 8 + length < 1 << 28:
        raise _truncated(path, size_bytes, 8 + length)
    try:
        outer = json.loads(raw)
        ends = [int(v["data_offsets"][1]) for k, v in outer.items() if k != "__metadata__"]
        text: str = outer["__metadata__"][HEADER_KEY]
        header: dict[str, Any] = json.loads(text)
        newest = int(header["format"])
    except UNUSABLE as error:
        raise _not_ours(path, kind) from error
    expected = 8 + length + max(ends, default=0)
    if size_bytes < expected:
        raise _truncated(path, size_bytes, expected)
    if newest > FORMAT_VERSION:
        raise NewerFormatError(
            f"`{path}` has format {newest} (written by Nunbit "
            f"{header.get('nunbit', '?')}); this Nunbit reads up to {FORMAT_VERSION}. "
            "Update with `pip install -U nunbit`."
        )
    if header.get("kind") != kind:
        raise ModelFileError(
            f"`{path}` is a {header.get('kind')} file, expected a {kind} file. "
            "Give the run folder itself, or the `model.safetensors` in it."
        )
    return text


def _truncated(path: Path, size_bytes: int, expected: int) -> ModelFileError:
    return ModelFileError(
        f"`{path}` is truncated: it has {size_bytes:,} bytes, at least {expected:,} were written. "
        "Copy it again from where it was whole."
    )


def _not_ours(path: Path, kind: str) -> ModelFileError:
    return ModelFileError(
        f"`{path}` is not a {kind} file of Nunbit (no safetensors file with a Nunbit header). "
        "Expected a file `model.safetensors` or a run folder that `nunbit train` wrote."
    )


def load_tensors(
    path: Path, *, kind: Literal["model", "checkpoint"]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and header of one of our files.

    Raises:
        ModelFileError: As :func:`read_header`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    text = _header_text(path, kind=kind)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"`{path}` is damaged: {error}.") from error
    signed = SIGNED.match(text)
    if signed is not None and _digest("{" + text[signed.end() :], tensors) != signed[1]:
        raise ModelFileError(f"`{path}` is damaged: its bytes are not those that were written.")
    header: dict[str, Any] = json.loads(text)
    header.pop("crc32", None)
    return tensors, header
