"""Files appear whole or not at all, and only our own are read."""

from __future__ import annotations

import ast
import errno
import json
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

import nunbit
from nunbit.errors import ModelFileError, StorageError
from nunbit.storage import (
    FORMAT_VERSION,
    HEADER_KEY,
    load_tensors,
    read_header,
    save_tensors,
    write_atomic,
)

OLD = b"what was there before"
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b.c": torch.tensor([1, 2], dtype=torch.int64)}


@contextmanager
def full_disk(room_bytes: int) -> Iterator[None]:
    """Let no file grow beyond ``room_bytes``, as a full disk would (errno EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fail_with(error: BaseException) -> Callable[..., None]:
    def fail(*arguments: object) -> None:
        raise error

    return fail


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- Writing ------------------------------------------------------------------------


def test_a_file_is_written_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "deeper" / "file.txt"
    write_atomic(path, "눈빛\n")
    assert path.read_bytes() == "눈빛\n".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert files(path.parent) == ["file.txt"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_file_has_the_rights_that_the_user_gives_new_files(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "file", b"x")
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask
        assert os.umask(umask) == umask, "and the umask is left alone"
    finally:
        os.umask(before)


@pytest.mark.parametrize("has_old", [True, False])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, *, has_old: bool) -> None:
    path = tmp_path / "model.safetensors"
    if has_old:
        path.write_bytes(OLD)
    with full_disk(5_000), pytest.raises(StorageError) as caught:
        write_atomic(path, bytes(2_000_000))
    message = str(caught.value)
    assert message.startswith(f"disk full: `{path}` needs 2.0 MB, ")
    assert message.endswith("Free some room, or write elsewhere with `--out DIR`.")
    assert ("The file that was there before is untouched." in message) == has_old
    assert files(tmp_path) == (["model.safetensors"] if has_old else [])
    assert not has_old or path.read_bytes() == OLD


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    monkeypatch.setattr(f"nunbit.storage.os.{call}", fail_with(OSError(number, "full")))
    with pytest.raises(StorageError, match=r"disk full: .* is untouched. Free some room"):
        write_atomic(path, b"new")
    assert path.read_bytes() == OLD
    assert files(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_ctrl_c_while_writing_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    monkeypatch.setattr(f"nunbit.storage.os.{call}", fail_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert path.read_bytes() == OLD
    assert files(tmp_path) == ["file"]


def test_a_file_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        calls.append(f"sync {os.fstat(handle).st_size}")
        fsync(handle)

    def replaced(here: Path, there: Path) -> None:
        calls.append("rename")
        replace(here, there)

    monkeypatch.setattr("nunbit.storage.os.fsync", synced)
    monkeypatch.setattr("nunbit.storage.os.replace", replaced)
    write_atomic(tmp_path / "file", b"12345")
    assert calls == ["sync 5", "rename"]


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(
        StorageError, match=r"file/within` cannot be written: Not a directory. Give"
    ):
        write_atomic(tmp_path / "file" / "within", b"x")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"folder` cannot be written: Is a directory"):
        write_atomic(tmp_path / "folder", b"x")
    assert files(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == OLD


def test_names_that_are_no_utf8_are_written_as_they_are(tmp_path: Path) -> None:
    write_atomic(tmp_path / "split.csv", os.fsdecode(b"caf\xe9.jpg"))
    assert (tmp_path / "split.csv").read_bytes() == b"caf\xe9.jpg"


# --- Our files ------------------------------------------------------------------------


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = {"text": "눈빛 \udce9", "number": 0.1 + 0.2, "list": [1, None, {"a": True}]}
    save_tensors(path, {**TENSORS, "t": TENSORS["a"].t()}, header, kind="model")
    tensors, found = load_tensors(path, kind="model")
    assert found == {"format": FORMAT_VERSION, "kind": "model", **header}
    assert read_header(path, kind="model") == found
    assert set(tensors) == {"a", "b.c", "t"}
    assert tensors["a"].equal(TENSORS["a"])
    assert tensors["t"].equal(TENSORS["a"].t())
    assert tensors["b.c"].dtype == torch.int64


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    save_tensors(path, TENSORS, {"nunbit": "0.1.0", "note": "x" * 60}, kind="model")
    return path


def test_truncated_at_every_byte(saved: Path) -> None:
    whole = saved.read_bytes()
    for end in range(len(whole)):
        saved.write_bytes(whole[:end])
        with pytest.raises(ModelFileError, match=rf"is truncated: it has {end:,} bytes, at least "):
            load_tensors(saved, kind="model")


def test_another_kind_of_file_of_ours(saved: Path) -> None:
    with pytest.raises(
        ModelFileError, match=r"is a model file, expected a checkpoint file. Give the run folder"
    ):
        load_tensors(saved, kind="checkpoint")
    save_tensors(saved, TENSORS, {}, kind="checkpoint")
    with pytest.raises(ModelFileError, match=r"is a checkpoint file, expected a model file"):
        load_tensors(saved, kind="model")


def test_a_newer_format(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nunbit.storage.FORMAT_VERSION", FORMAT_VERSION + 1)
    save_tensors(saved, TENSORS, {"nunbit": "9.9.9"}, kind="model")
    monkeypatch.undo()
    with pytest.raises(
        ModelFileError,
        match=rf"has format {FORMAT_VERSION + 1} \(written by Nunbit 9.9.9\); this Nunbit reads up "
        rf"to {FORMAT_VERSION}. Update with `pip install -U nunbit`.",
    ):
        load_tensors(saved, kind="model")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(
        ModelFileError, match=r"model file `.*none` cannot be read: No such file or directory. Exp"
    ):
        read_header(tmp_path / "none", kind="model")


@pytest.mark.parametrize(
    "data",
    [
        b"This is a text, and a rather long one at that.",
        b"PK\x03\x04" + bytes(200),
        b"\x89PNG\r\n\x1a\n" + bytes(200),
        b"\x80\x02}q\x00." + bytes(99),
        (9).to_bytes(8, "little") + b"[[[[[[[[[",
        (5000).to_bytes(8, "little") + b"[" * 5000,
        (4).to_bytes(8, "little") + b"null",
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_files_of_others(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ModelFileError, match=r"is not a model file of Nunbit .no safetensors file"):
        load_tensors(tmp_path / "file", kind="model")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {HEADER_KEY: ""},
        {HEADER_KEY: "{"},
        {HEADER_KEY: "[1]"},
        {HEADER_KEY: "3"},
        {HEADER_KEY: "{}"},
        {HEADER_KEY: json.dumps({"format": None})},
        {HEADER_KEY: json.dumps({"format": "one"})},
        {HEADER_KEY: '{"format": Infinity}'},
    ],
)
def test_safetensors_files_of_others(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file(TENSORS, tmp_path / "file", metadata=metadata)
    with pytest.raises(ModelFileError, match=r"is not a model file of Nunbit"):
        load_tensors(tmp_path / "file", kind="model")


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "F99"},
        {"dtype": 3},
        {"shape": [2, 4]},
        {"shape": [-1]},
        {"shape": "ab"},
        {"data_offsets": [8, 24]},
        {"data_offsets": [0]},
        {"data_offsets": [0, 1e400]},
        {"data_offsets": None},
    ],
)
def test_a_header_whose_tensors_do_not_add_up(saved: Path, change: dict[str, Any]) -> None:
    raw = saved.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["a"] |= change
    text = json.dumps(header).encode()
    saved.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    with pytest.raises(ModelFileError, match=r"is damaged|is not a model file|is truncated"):
        load_tensors(saved, kind="model")


@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    more=st.binary(max_size=9),
)
def test_a_changed_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]], more: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    save_tensors(path, TENSORS, {"nunbit": "0.1.0"}, kind="model")
    raw = bytearray(path.read_bytes())
    for share, value in changes:
        raw[int(share * (len(raw) - 1))] = value
    path.write_bytes(bytes(raw) + more)
    try:
        tensors, header = load_tensors(path, kind="model")
    except ModelFileError as error:
        assert str(path) in str(error)  # noqa: PT017  # all raised errors are looked at
    else:
        assert header["kind"] == "model"
        assert all(isinstance(each, torch.Tensor) for each in tensors.values())


# --- No pickle ----------------------------------------------------------------------

LOADERS = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}


def pickle_uses(source: str) -> list[str]:
    """Return where a source text could load a pickle with programs in it."""
    found: list[str] = []
    nodes = list(ast.walk(ast.parse(source)))
    tensors_only = {  # PyTorch's own reader, which runs nothing
        id(part)
        for node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
        for keyword in node.keywords
        if ast.unparse(keyword) == "weights_only=True"
        for part in (node.func, keyword)
    }
    for node in nodes:
        if id(node) in tensors_only:
            continue
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in LOADERS]
        elif isinstance(node, ast.ImportFrom) and node.module:
            harmless = {alias.name for alias in node.names} == {"UnpicklingError"}
            is_loader = node.module.split(".")[0] in LOADERS and not harmless
            found += [node.module] if is_loader else []
        elif isinstance(node, ast.Attribute) and node.attr == "load":
            owner = ast.unparse(node.value)
            found += [f"{owner}.load"] if owner in {"torch", "np", "numpy"} else []
        elif isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "weights_only"}:
            found.append(node.arg)
    return found


def test_nothing_in_the_package_loads_a_pickle() -> None:
    root = Path(nunbit.__file__).parent
    sources = sorted(root.rglob("*.py"))
    assert len(sources) > 40
    for path in sources:
        assert pickle_uses(path.read_text(encoding="utf-8")) == [], path


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "x = torch.load(path)",
        "x = torch.load(path, weights_only=False)",
        "x = torch.load(path, weights_only=safe)",
        "from pickle import UnpicklingError, load",
        "np.load('a.npy')",
        "f(allow_pickle=True)",
    ],
)
def test_that_test_would_see_one(source: str) -> None:
    assert pickle_uses(source)
    assert not pickle_uses("import json\njson.load(file)\nModel.load(path)")
