"""The run folder: made once, never written over, read back."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nunbit.errors import CheckpointError, StorageError
from nunbit.runs import RECORDED_PACKAGES, RunFolder, versions


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(out: str | None = None, *, source: str = "mnist", network: str = "auto") -> RunFolder:
    return RunFolder.create(out, source=source, network=network)


def test_names_count_up_and_fill_no_gap_that_is_taken() -> None:
    assert [make().path for _ in range(3)] == [Path(f"runs/mnist-auto-{k}") for k in (1, 2, 3)]
    assert make(network="mlp").path == Path("runs/mnist-mlp-1")
    Path("runs/mnist-mlp-2").write_text("a file in the way")
    assert make(network="mlp").path == Path("runs/mnist-mlp-3")


def test_runs_started_at_once_get_a_folder_each() -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: make().path, range(24)))
    assert sorted(paths) == sorted(Path(f"runs/mnist-auto-{k}") for k in range(1, 25))


@pytest.mark.parametrize(
    ("source", "name"),
    [("my photos", "my-photos"), ("눈빛", "눈빛"), ("a/b\\c:d", "a-b-c-d"), ("v1.2_x", "v1.2_x")],
)
def test_names_are_made_of_what_folders_may_be_called(source: str, name: str) -> None:
    assert make(source=source).path == Path(f"runs/{name}-auto-1")


def test_an_empty_folder_is_taken_a_full_one_refused() -> None:
    Path("mine").mkdir()
    assert make("mine").path == Path("mine")
    Path("mine/.hidden").write_text("x")
    with pytest.raises(StorageError, match=r"`mine` is not empty.*by `nunbit train --resume mine`"):
        make("mine")
    assert [path.name for path in Path("mine").iterdir()] == [".hidden"]


def test_missing_parents_are_made() -> None:
    assert make("a/b/c").path.is_dir()


def test_a_file_in_the_way_is_said() -> None:
    Path("file").write_text("x")
    with pytest.raises(StorageError, match=r"`file` cannot be made: File exists.*--out DIR"):
        make("file")
    Path("runs").write_text("x")
    with pytest.raises(StorageError, match=r"`runs` cannot be made: File exists"):
        make()


def test_a_withdrawn_folder_gives_its_name_back() -> None:
    run = make()
    run.write_options({})
    run.write_split("path,label,split\n")
    run.withdraw()
    assert not run.path.exists()
    assert make().path == run.path


def test_a_withdrawn_folder_keeps_what_is_not_its_own() -> None:
    run = make("mine")
    run.write_options({})
    (run.path / "notes.txt").write_text("mine")
    run.withdraw()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_what_is_no_run_is_not_opened() -> None:
    Path("photos").mkdir()
    for path in ("photos", "nowhere"):
        with pytest.raises(CheckpointError, match=f"`{path}` is no run folder"):
            RunFolder.open(path)


def test_options_come_back() -> None:
    run = make()
    run.write_options({"source": "눈빛", "training": {"lr": 0.1}})
    assert RunFolder.open(run.path).read_options() == {"source": "눈빛", "training": {"lr": 0.1}}
    assert "눈빛" in run.options_file.read_text(encoding="utf-8")
    run.options_file.write_bytes(b"\xff{")
    with pytest.raises(CheckpointError, match=r"options.json` cannot be read"):
        run.read_options()


def test_history_is_json_even_where_a_score_is_not_a_number() -> None:
    run = make()
    run.write_history([{"epoch": 1, "val_loss": math.nan}, {"epoch": 2, "val_loss": math.inf}])

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    lines = run.history_file.read_text().splitlines()
    assert [json.loads(line, parse_constant=refuse) for line in lines] == [
        {"epoch": 1, "val_loss": None},
        {"epoch": 2, "val_loss": None},
    ]


def test_floats_survive_exactly() -> None:
    run = make()
    values = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308]
    run.write_history([{"loss": value} for value in values])
    lines = run.history_file.read_text().splitlines()
    assert [json.loads(line)["loss"] for line in lines] == values


def test_versions_name_what_a_run_depends_on() -> None:
    found = versions()
    assert set(found) == {"nunbit", "python", *RECORDED_PACKAGES}
    assert all(found.values())


def test_options_keep_names_that_are_no_utf8() -> None:
    folder = make()
    folder.write_options({"origin": "/pictures/bad\udcff"})
    assert b"bad\xff" in folder.options_file.read_bytes()
    assert folder.read_options() == {"origin": "/pictures/bad\udcff"}
