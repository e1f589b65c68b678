"""Published weights on their way, against a server on this machine that misbehaves as asked."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.file_server import Server

from nunbit.errors import ModelFileError, StorageError
from nunbit.networks import PublishedWeights, find_weights
from nunbit.networks import _published as listed
from nunbit.networks._download import get_weights
from nunbit.transfer import fetch, lock

DATA = bytes(range(256)) * 400
DIGEST = hashlib.sha256(DATA).hexdigest()
NAME = f"resnet18-{DIGEST[:8]}.pth"


@pytest.fixture
def weights(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PublishedWeights:
    """Weights that two folders of the server have; nothing is here yet."""
    monkeypatch.delenv("NUNBIT_OFFLINE")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", listed.MIRROR):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NUNBIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "PAUSE_S", 0.001)
    monkeypatch.setattr(lock, "LOOK_S", 0.01)
    monkeypatch.setattr(listed, "HOSTS", (f"{server.root}/a/", f"{server.root}/b/"))
    server.files = {f"/a/{NAME}": DATA, f"/b/{NAME}": DATA}
    return replace(find_weights("resnet-18", "imagenet"), file=NAME, size_bytes=len(DATA))


def cached(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "weights"
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(each.name for each in found if each.name != ".lock")


def asked(server: Server) -> list[str]:
    return [path for path, _ in server.asked]


def test_weights_are_fetched_once_checked_and_kept(
    weights: PublishedWeights, server: Server, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int | None]] = []
    assert not weights.is_cached
    assert get_weights(weights, progress=lambda *what: told.append(what)) == DIGEST
    assert weights.is_cached
    assert weights.path == tmp_path / "cache" / "weights" / NAME
    assert weights.path.read_bytes() == DATA
    assert told[0] == (NAME, 0, len(DATA))
    assert told[-1] == (NAME, len(DATA), len(DATA))
    assert get_weights(weights) == DIGEST
    assert asked(server) == [f"/a/{NAME}"]
    assert cached(tmp_path) == [NAME]


def test_progress_is_told_on_standard_error(
    weights: PublishedWeights, capsys: pytest.CaptureFixture[str]
) -> None:
    get_weights(weights)
    assert capsys.readouterr() == ("", f"downloading {NAME} (102.4 kB)\n")


def test_ones_own_mirror_comes_first(
    weights: PublishedWeights,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("NUNBIT_WEIGHTS_MIRROR", f"{server.root}/own")
    server.files[f"/own/{NAME}"] = DATA
    get_weights(weights)
    weights.path.unlink()
    server.files[f"/own/{NAME}"] = b"<html>log in</html>"
    del server.files[f"/a/{NAME}"]
    get_weights(weights)
    assert asked(server) == [f"/{place}/{NAME}" for place in ("own", "own", "a", "b")]
    assert cached(tmp_path) == [NAME]


def test_a_broken_download_is_taken_up(
    weights: PublishedWeights, server: Server, tmp_path: Path
) -> None:
    server.cut[f"/a/{NAME}"] = [20_000] * fetch.ATTEMPTS
    server.cut[f"/b/{NAME}"] = [0] * fetch.ATTEMPTS
    server.etag = None
    with pytest.raises(ModelFileError, match="stopped after"):
        get_weights(weights)
    assert not weights.is_cached
    server.cut = {}
    assert get_weights(weights) == DIGEST
    assert any(wanted for _, wanted in server.asked), "a range was asked for"
    assert cached(tmp_path) == [NAME]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: data[:-1], f"expected {DIGEST[:8]}...; it has 102,399 bytes"),
        (lambda data: b"\x01" + data[1:], f"expected {DIGEST[:8]}...; it has 102,400 bytes"),
        (lambda data: b"<html>please log in", "it is a web page, perhaps of a login"),
        (lambda data: data * 2, r"it offers 204,800 bytes, expected at most 167,936"),
        (lambda data: b"", "it has 0 bytes"),
    ],
    ids=["truncated", "tampered", "page", "longer", "empty"],
)
def test_other_bytes_are_refused_and_nothing_is_left(
    weights: PublishedWeights,
    server: Server,
    tmp_path: Path,
    spoil: Callable[[bytes], bytes],
    reason: str,
) -> None:
    server.files = {path: spoil(DATA) for path in server.files}
    with pytest.raises(ModelFileError) as caught:
        get_weights(weights)
    said = str(caught.value)
    assert said.startswith(
        "the weights `imagenet` of `resnet-18` are not on this machine. Downloading failed: "
        f"{server.root}/a/{NAME}: "
    )
    assert said.count(reason) == 2, "each place with its reason"
    assert f"Get {server.root}/a/{NAME} and put it at `{weights.path}`, or set " in said
    assert cached(tmp_path) == []


def test_offline_by_wish_asks_nobody_and_says_what_to_do(
    weights: PublishedWeights,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("NUNBIT_OFFLINE", "1")
    with pytest.raises(ModelFileError) as caught:
        get_weights(weights)
    assert str(caught.value) == (
        "the weights `imagenet` of `resnet-18` are not on this machine. NUNBIT_OFFLINE is set, so "
        f"nothing was downloaded. Get {server.root}/a/{NAME} and put it at `{weights.path}`, or "
        "set NUNBIT_WEIGHTS_MIRROR to a folder of the web that has it, or say where it is: "
        f'`--weights PATH/{NAME}`, in Python `weights="PATH/{NAME}"`.'
    )
    assert server.asked == []
    weights.path.parent.mkdir(parents=True)
    weights.path.write_bytes(DATA)
    assert get_weights(weights) == DIGEST, "put there by hand"


def test_a_machine_without_a_network(
    weights: PublishedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listed, "HOSTS", ("http://nowhere.invalid/",))
    with pytest.raises(
        ModelFileError, match=rf"Downloading failed: http://nowhere.invalid/{NAME}: .*\. Get http"
    ):
        get_weights(weights)


def test_a_wrong_file_in_the_cache_is_replaced_or_named(
    weights: PublishedWeights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights.path.parent.mkdir(parents=True)
    weights.path.write_bytes(DATA[:-5])
    monkeypatch.setenv("NUNBIT_OFFLINE", "1")
    with pytest.raises(ModelFileError, match=r"What lies there has another SHA-256: [0-9a-f]{8}\."):
        get_weights(weights)
    monkeypatch.delenv("NUNBIT_OFFLINE")
    assert get_weights(weights) == DIGEST
    assert weights.path.read_bytes() == DATA


def test_a_cache_that_cannot_be_made(
    weights: PublishedWeights, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NUNBIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"cannot take the download: Not a directory.*NUNBIT_CA"):
        get_weights(weights)


WORK = """
import sys
from dataclasses import replace
from nunbit.networks import _published as listed
from nunbit.networks._download import get_weights
listed.HOSTS = (sys.argv[1],)
weights = replace(
    listed.find_weights("resnet-18", "imagenet"), file=sys.argv[2], size_bytes=int(sys.argv[3])
)
print(get_weights(weights))
"""


def test_two_processes_fetch_it_once(
    weights: PublishedWeights, server: Server, tmp_path: Path
) -> None:
    server.delay_s = 0.02
    command = [sys.executable, "-c", WORK, f"{server.root}/a/", NAME, str(len(DATA))]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=60) for each in both]
    assert [out for out, _ in said] == [f"{DIGEST}\n"] * 2, said
    assert asked(server) == [f"/a/{NAME}"]
    assert cached(tmp_path) == [NAME]
