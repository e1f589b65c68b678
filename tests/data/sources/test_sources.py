"""One set of pictures through every kind of source."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nunbit.data.pixels import decode_table
from nunbit.data.preprocessing import Preprocessing
from nunbit.data.sources.opening import open_source
from nunbit.errors import DataError

Paint = Callable[..., NDArray[np.uint8]]
EncodePng = Callable[[NDArray[np.uint8]], bytes]

NAMES = [(split, c, k) for split in ("train", "val", "test") for c in ("cat", "dog") for k in "01"]


def write_all(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pack_zip(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def pack_tar(folder: Path, path: Path, mode: Any) -> Path:
    with tarfile.open(path, mode) as tar:
        tar.add(folder, arcname=".")
    return path


@pytest.fixture
def sources(tmp_path: Path, paint: Paint, encode_png: EncodePng) -> dict[str, Any]:
    """The same twelve pictures as every kind of source."""
    pictures = {key: paint("/".join(key)) for key in NAMES}
    folders = {f"{s}/{c}/{k}.png": encode_png(p) for (s, c, k), p in pictures.items()}
    flat = {f"{s}/{c}.{k}.png": encode_png(p) for (s, c, k), p in pictures.items()}
    lines = [f"{s}/{c}/{k}.png,{c},{s}" for s, c, k in NAMES]
    csv = {**folders, "list.csv": "\n".join(["path,label,split", *lines]).encode()}
    folder = write_all(tmp_path / "folders", folders)
    with_csv = write_all(tmp_path / "with csv", csv)
    return {
        "folders": folder,
        "flat": write_all(tmp_path / "flat", flat),
        "csv": with_csv / "list.csv",
        "zip": pack_zip(folders, tmp_path / "folders.zip"),
        "flat zip": pack_zip({f"top/{n}": d for n, d in flat.items()}, tmp_path / "flat.zip"),
        "csv zip": pack_zip(csv, tmp_path / "csv.zip"),
        "tar": pack_tar(folder, tmp_path / "folders.tar", "w"),
        "tar.gz": pack_tar(folder, tmp_path / "folders.tar.gz", "w:gz"),
        "csv tar.xz": pack_tar(with_csv, tmp_path / "csv.tar.xz", "w:xz"),
        "columns": {
            "path": [folder / s / c / f"{k}.png" for s, c, k in NAMES],
            "label": [c for _, c, _ in NAMES],
            "split": [s for s, _, _ in NAMES],
        },
    }


def test_every_source_gives_the_same_pictures(sources: dict[str, Any], paint: Paint) -> None:
    steps = Preprocessing(12, 1)
    expected = sorted(
        ({"val": "validation"}.get(s, s), c, steps.prepare(paint(f"{s}/{c}/{k}")).tobytes())
        for s, c, k in NAMES
    )
    for what, source in sources.items():
        table = open_source(source)
        assert (table.kind, table.classes) == ("class", ("cat", "dog")), what
        pixels, failed = decode_table(table, steps, threads=2, budget_bytes=1 << 20)
        assert failed == []
        found = [
            (str(table.split[k]), table.label_text(k), pixels[k].tobytes())
            for k in range(len(table))
        ]
        assert sorted(found) == expected, what


def test_every_source_skips_classes(sources: dict[str, Any]) -> None:
    for what, source in sources.items():
        table = open_source(source, skip_classes=["cat"])
        assert table.classes == ("dog",), what
        assert table.labels.tolist() == [0] * 6
        assert "classes left out as asked: cat" in table.notes
        with pytest.raises(DataError, match=r"`--skip-class cow`: .* has no such class"):
            open_source(source, skip_classes=["cow"])


def test_paths_may_be_bytes_or_begin_with_a_tilde(
    sources: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(open_source(str(sources["zip"]))) == 12
    assert len(open_source("~/folders.zip")) == 12
    assert len(open_source(str(sources["zip"]).encode())) == 12  # type: ignore[arg-type]
