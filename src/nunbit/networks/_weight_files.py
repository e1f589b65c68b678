"""Files of weights from anywhere: read without running anything that is in them.

PyTorch's files are pickles, which can hold programs. They are opened with
``weights_only``, which knows tensors and plain values and refuses all else.
"""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from nunbit.errors import ModelFileError

__all__ = ["file_sha256", "read_weight_file"]

WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "weights")
"""Under which of these keys training programs put the weights, beside other things."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers of PyTorch put before every key: DataParallel, ``torch.compile``, Lightning."""
DAMAGED = (OSError, EOFError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
DENSE_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool)
WHOLE_TYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
EXPECTED = "Expected a file of weights (.pth, .pt or .safetensors)."


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits.

    Raises:
        ModelFileError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def read_weight_file(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by their names; wrappers around them are taken off.

    Damage is noticed where it breaks the file's order. A flipped bit within the numbers
    is not: that takes a hash to compare with, which published files have in their name.

    Raises:
        ModelFileError: There is no such file, it is truncated or damaged, it holds other
            things than weights, or it wants to run code.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise _unreadable(path, error) from error
    found = _unwrap(path, _read_safe(path) if head[8:] == b"{" else _read_torch(path))
    tensors = {name: _plain(path, name, each) for name, each in found.items()}
    lost = [name for name, each in tensors.items() if not _is_finite(each)]
    if lost:
        raise ModelFileError(
            f"`{path}` has weights that are no finite numbers: {len(lost)} of {len(tensors)} "
            f"tensors, the first `{lost[0]}`. It is damaged, or its training failed."
        )
    return tensors


def _unreadable(path: Path, error: OSError) -> ModelFileError:
    return ModelFileError(
        f"the weight file `{path}` cannot be read: {error.strerror or error}. {EXPECTED}"
    )


def _read_safe(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, *DAMAGED) as error:
        raise ModelFileError(f"`{path}` is truncated or damaged: {error}. Get it again.") from error


def _read_torch(path: Path) -> Any:
    try:
        packed = zipfile.is_zipfile(path)
        with warnings.catch_warnings(action="ignore"):  # of file formats; what counts is raised
            # Mapped, the file needs no second copy in memory; older files cannot be mapped.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=packed)
    except UnpicklingError as error:
        wants = re.search(r"(?:GLOBAL|global:?) `?([\w.]+\.[\w.]+)", str(error))
        if wants is None:
            raise _damaged(path) from error
        raise ModelFileError(
            f"`{path}` holds more than weights: opening it would run `{wants[1]}`, so it was not "
            "opened. If you trust it, write the weights alone where it was made: "
            "`torch.save(model.state_dict(), FILE)`."
        ) from error
    except Exception as error:  # damaged bytes lead the reader anywhere: struct.error, KeyError...
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelFileError:
    return ModelFileError(
        f"`{path}` is truncated, damaged, or no file of weights ({path.stat().st_size:,} bytes). "
        f"{EXPECTED} Get it again."
    )


def _unwrap(path: Path, found: Any) -> dict[str, Tensor]:
    for _ in WRAPPERS:  # not for ever: a dictionary may hold itself
        inside = (found.get(key) for key in WRAPPERS) if isinstance(found, Mapping) else ()
        found = next((each for each in inside if isinstance(each, Mapping)), found)
    if not isinstance(found, Mapping):
        raise ModelFileError(
            f"`{path}` holds a {type(found).__name__}, expected tensors by name. Write it with "
            "`torch.save(model.state_dict(), FILE)`."
        )
    strange = [key for key, value in found.items() if not isinstance(value, Tensor)]
    if strange or not found:
        which = f"`{strange[0]}` is a {type(found[strange[0]]).__name__}" if strange else "is empty"
        raise ModelFileError(
            f"`{path}` holds other things than tensors by name: {which}. Expected what "
            "`model.state_dict()` gives, alone or under the key `state_dict`."
        )
    tensors = {str(name): tensor for name, tensor in found.items()}
    while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in tensors)), ""):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _plain(path: Path, name: str, tensor: Tensor) -> Tensor:
    """Return a tensor of ordinary numbers.

    Raises:
        ModelFileError: It is of a kind that networks here do not have.
    """
    kind = ""
    if tensor.is_meta:
        kind = "without numbers (device meta)"
    elif tensor.is_quantized:
        kind = "quantised"
    elif tensor.layout is not torch.strided or tensor.is_nested:
        kind = "sparse or nested"
    elif tensor.is_floating_point() and tensor.dtype.itemsize == 1:
        return tensor.detach().float()  # float8: every value is one of float32, too
    elif tensor.dtype not in (*DENSE_TYPES, *WHOLE_TYPES):
        kind = f"of the type {str(tensor.dtype).removeprefix('torch.')}"
    if kind:
        raise ModelFileError(
            f"`{path}` has weights that cannot be used: `{name}` is {kind}, expected dense float "
            "numbers. Write them so where they were made: `{name: each.float() for name, each in "
            "model.state_dict().items()}`."
        )
    return tensor.detach()


def _is_finite(tensor: Tensor) -> bool:
    # One sum instead of a mask as large as the weights; what it misses would be refused wrongly.
    total = tensor.sum() if tensor.is_floating_point() else torch.zeros(())
    return bool(total.isfinite()) or bool(tensor.isfinite().all())
