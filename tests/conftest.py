"""What several tests need: pictures made on the spot, and the real ones where they are."""

from __future__ import annotations

import io
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray

from nunbit.data.named import NAMED_SETS, find_set
from nunbit.errors import DataError
from tests.file_server import Server, serve

# The same examples on every run: a failure seen once is seen again. NUNBIT_FUZZ=20000 tries so
# many new ones instead.
FUZZ = os.environ.get("NUNBIT_FUZZ")
settings.register_profile(
    "nunbit", deadline=None, derandomize=FUZZ is None, max_examples=int(FUZZ or 60)
)
settings.load_profile("nunbit")

Paint = Callable[..., NDArray[np.uint8]]
WriteFolder = Callable[..., Path]

_cache = tempfile.TemporaryDirectory(prefix="nunbit-test-cache-")
os.environ["NUNBIT_CACHE"] = _cache.name  # tests leave the user's cache alone

if "NUNBIT_DATA" in os.environ:  # tests work in folders of their own
    os.environ["NUNBIT_DATA"] = os.path.abspath(os.environ["NUNBIT_DATA"])
os.environ["NUNBIT_OFFLINE"] = "1"  # no test touches the network; those of downloads say where to


def paint(name: str, height: int = 12, width: int = 10, channels: int = 1) -> NDArray[np.uint8]:
    """Return a picture of noise that belongs to ``name`` alone."""
    rng = np.random.default_rng(zlib.crc32(name.encode("utf-8", "surrogateescape")))
    shape = (height, width) if channels == 1 else (height, width, channels)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    bgr = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[:, :, ::-1])
    return cv2.imencode(".png", bgr)[1].tobytes()


@pytest.fixture(name="paint")
def _paint() -> Paint:
    return paint


@pytest.fixture(name="encode_png")
def _encode_png() -> Callable[[NDArray[np.uint8]], bytes]:
    return encode_png


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Return a function that writes class folders and gives their root.

    ``{"cat": 3}`` becomes ``cat/0.png`` to ``cat/2.png``, each painted after its own
    name; ``{"cat/x.png": b"..."}`` is written as it is.
    """

    def write(
        files: Mapping[str, int | bytes], *, root: str = "pictures", channels: int = 1
    ) -> Path:
        folder = tmp_path / root
        contents: dict[str, bytes] = {}
        for name, content in files.items():
            if isinstance(content, bytes):
                contents[name] = content
            else:
                for k in range(content):
                    each = f"{name}/{k}.png"
                    contents[each] = encode_png(paint(each, channels=channels))
        for name, data in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return write


@pytest.fixture
def truncated_png() -> bytes:
    whole = encode_png(paint("truncated", 40, 40))
    return whole[: len(whole) // 2]


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Return a function from the name of a set to the place where its real pictures are.

    Where nobody has said that they are here, the test is skipped. Where ``NUNBIT_DATA``
    or ``CI`` is set, a missing set is a failure.
    """

    def find(name: str) -> Path:
        try:
            place = find_set(NAMED_SETS[name])
        except DataError as error:
            if os.environ.get("NUNBIT_DATA") or os.environ.get("CI"):
                pytest.fail(str(error))
            pytest.skip(f"no real pictures of {name}: set NUNBIT_DATA")
        assert place is not None, f"{name} is embedded"
        return place

    return find


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Hide every real set; return the empty folder that ``NUNBIT_DATA`` points to."""
    folder = tmp_path / "nunbit-data"
    folder.mkdir()
    monkeypatch.setenv("NUNBIT_DATA", str(folder))
    monkeypatch.setenv("NUNBIT_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setattr("nunbit.data.named.base.SYSTEM_FOLDER", tmp_path / "no-system")
    return folder


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Return a function that writes a Pillow image as the bytes of a file."""

    def write(image: object, kind: str, **how: object) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **how)
        return file.getvalue()

    return write


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Compute in one thread: quicker for tiny networks where others share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on this machine; it gives what is put into its ``files``."""
    yield from serve()
