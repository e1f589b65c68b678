"""Reading one file whole, whatever its size was a moment ago."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nunbit.data.sources.stores import read_file


@pytest.mark.parametrize("size", [0, 1, 4_096, 3_000_001])
@pytest.mark.parametrize("told", [-5, 0, 7])
def test_a_file_that_grows_or_shrinks_meanwhile_is_read_to_its_end(
    size: int, told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(size)
    path = tmp_path / "picture"
    path.write_bytes(content)
    true = os.fstat

    def before(file: int) -> os.stat_result:
        values = list(true(file))
        values[6] = max(0, values[6] + told)  # st_size
        return os.stat_result(values)

    monkeypatch.setattr("nunbit.data.sources.stores.os.fstat", before)
    assert read_file(path) == content


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, as Linux has it")
def test_a_file_that_says_it_has_no_size_is_read() -> None:
    assert read_file("/proc/self/stat")
