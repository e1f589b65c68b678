"""Downloads, against a server on this machine that misbehaves as asked."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import re
import signal
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.file_server import Server

from nunbit.cli.main import run
from nunbit.data.named import (
    NAMED_SETS,
    download_set,
    find_place,
    find_set,
    open_named,
)
from nunbit.data.named.download import NotDownloadedError, download, is_unfinished
from nunbit.data.named.remote import BY_HAND, REMOTE, RemoteFile, Unpacked
from nunbit.errors import DataError, StorageError
from nunbit.transfer import Meter, is_offline, lock
from nunbit.transfer import fetch as transfer


def idx(values: np.ndarray) -> bytes:
    head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.tobytes()


RNG = np.random.default_rng(0)
PLAIN = {
    "train-images-idx3-ubyte": idx(RNG.integers(0, 256, (40, 28, 28), dtype=np.uint8)),
    "train-labels-idx1-ubyte": idx((np.arange(40) % 10).astype(np.uint8)),
    "t10k-images-idx3-ubyte": idx(RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8)),
    "t10k-labels-idx1-ubyte": idx((np.arange(20) % 10).astype(np.uint8)),
}
FIRST = "train-images-idx3-ubyte.gz"


def unpacked(name: str, data: bytes) -> Unpacked:
    return Unpacked(name, len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def mnist(
    server: Server, no_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[RemoteFile, ...]:
    """A tiny MNIST in two places of the server, packed differently; nothing is here yet."""
    monkeypatch.delenv("NUNBIT_OFFLINE")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "PAUSE_S", 0.001)
    for name, data in PLAIN.items():
        server.files[f"/a/{name}.gz"] = gzip.compress(data, 1, mtime=1)
        server.files[f"/b/{name}.gz"] = gzip.compress(data, 9, mtime=2)
    files = tuple(
        RemoteFile(
            f"{name}.gz",
            len(data),
            (f"{server.root}/a/", f"{server.root}/b/"),
            (unpacked(name, data),),
        )
        for name, data in PLAIN.items()
    )
    monkeypatch.setitem(REMOTE, "mnist", files)
    return files


def cache(tmp_path: Path, name: str = "mnist") -> Path:
    return tmp_path / "no-cache" / "datasets" / name


def visible(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.name != ".lock")


WHOLE = sorted(f"{name}.gz" for name in PLAIN)


# --- All goes well --------------------------------------------------------------------


def test_a_set_that_is_nowhere_is_downloaded_once_and_read(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path
) -> None:
    assert find_place(NAMED_SETS["mnist"]) is None
    table = open_named("mnist")
    assert table.store.read(0).tobytes() == PLAIN["train-images-idx3-ubyte"][16 : 16 + 784]
    assert np.bincount(table.labels).tolist() == [6] * 10
    assert visible(cache(tmp_path)) == WHOLE, "no parts are left"
    assert [path for path, _ in server.asked] == [f"/a/{file.name}" for file in mnist]
    open_named("mnist")
    assert len(server.asked) == 4, "the second time nothing is asked"


def test_places_on_this_machine_come_first(
    mnist: tuple[RemoteFile, ...], server: Server, no_data: Path
) -> None:
    (no_data / "mnist").mkdir()
    assert find_set(NAMED_SETS["mnist"]) == no_data / "mnist"
    assert server.asked == []


def test_progress_tells_every_file_from_its_first_byte_to_its_last(
    mnist: tuple[RemoteFile, ...],
) -> None:
    told: dict[str, list[tuple[int, int | None]]] = {}
    download(
        "mnist", progress=lambda what, done, total: told.setdefault(what, []).append((done, total))
    )
    assert list(told) == [file.name for file in mnist]
    for steps in told.values():
        done = [step[0] for step in steps]
        assert done[0] == 0
        assert done == sorted(done)
        assert done[-1] == steps[-1][1], "the last report says that all is there"


def test_a_server_that_does_not_say_how_long_a_file_is(
    mnist: tuple[RemoteFile, ...], server: Server
) -> None:
    server.with_length = False
    totals = set()
    download("mnist", progress=lambda what, done, total: totals.add(total))
    assert totals == {None}
    assert len(open_named("mnist")) == 60


# --- Resuming --------------------------------------------------------------------------


def test_a_broken_connection_is_taken_up_where_it_broke(
    mnist: tuple[RemoteFile, ...], server: Server
) -> None:
    server.cut[f"/a/{FIRST}"] = [5_000, 7_000]
    open_named("mnist")
    assert [wanted for path, wanted in server.asked if path == f"/a/{FIRST}"] == [
        None,
        "bytes=5000-",
        "bytes=12000-",
    ]


def test_a_later_run_takes_up_what_an_interrupted_one_left(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path
) -> None:
    server.cut[f"/a/{FIRST}"] = [5_000] * transfer.ATTEMPTS
    server.status[f"/b/{FIRST}"] = [404]

    def stop(what: str, done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download("mnist", progress=stop)
    left = cache(tmp_path) / f"{FIRST}.part"
    assert left.read_bytes() == server.files[f"/a/{FIRST}"][:5_000]
    assert find_place(NAMED_SETS["mnist"]) is None, "half a set is no set"
    server.asked.clear()
    server.cut.clear()
    open_named("mnist")
    assert server.asked[0] == (f"/a/{FIRST}", "bytes=5000-")


def test_another_version_of_the_file_is_not_joined_to_the_first(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path
) -> None:
    server.cut[f"/a/{FIRST}"] = [5_000]
    with pytest.raises(KeyboardInterrupt):
        download("mnist", progress=_interrupt)
    server.etag = '"two"'
    server.files[f"/a/{FIRST}"] = server.files[f"/b/{FIRST}"]
    server.asked.clear()
    open_named("mnist")
    assert [path for path, _ in server.asked].count(f"/a/{FIRST}") == 1, "answered in one piece"
    assert (cache(tmp_path) / FIRST).read_bytes() == server.files[f"/b/{FIRST}"]


def test_versions_joined_by_a_careless_server_are_fetched_again_in_one_piece(
    mnist: tuple[RemoteFile, ...], server: Server
) -> None:
    server.cut[f"/a/{FIRST}"] = [5_000]
    with pytest.raises(KeyboardInterrupt):
        download("mnist", progress=_interrupt)
    data = PLAIN["train-images-idx3-ubyte"]
    server.files[f"/a/{FIRST}"] = gzip.compress(data, 5, mtime=9)  # under the same ETag
    server.asked.clear()
    open_named("mnist")
    first = [wanted for path, wanted in server.asked if path == f"/a/{FIRST}"]
    assert first == ["bytes=5000-", None]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_version_the_length_decides(
    mnist: tuple[RemoteFile, ...], server: Server, etag: str | None
) -> None:
    server.etag = etag
    server.cut[f"/a/{FIRST}"] = [5_000]
    open_named("mnist")
    assert server.asked[1] == (f"/a/{FIRST}", "bytes=5000-")


def test_a_server_without_ranges_starts_again(
    mnist: tuple[RemoteFile, ...], server: Server
) -> None:
    server.ranges = False
    server.cut[f"/a/{FIRST}"] = [5_000]
    assert len(open_named("mnist")) == 60


def test_a_file_that_shrank_since_is_fetched_anew(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path
) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    (folder / f"{FIRST}.part").write_bytes(bytes(10**6))
    (folder / f"{FIRST}.part.json").write_text(
        f'{{"url": "{server.root}/a/{FIRST}", "version": "\\"one\\"", "total_bytes": 2000000}}'
    )
    assert len(open_named("mnist")) == 60
    assert server.asked[:2] == [(f"/a/{FIRST}", "bytes=1000000-"), (f"/a/{FIRST}", None)]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"url": 3}', '{"other": 1}', "\x00"])
def test_a_damaged_note_beside_a_part_means_from_the_start(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path, text: str
) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    (folder / f"{FIRST}.part").write_bytes(b"rubbish")
    (folder / f"{FIRST}.part.json").write_text(text)
    assert len(open_named("mnist")) == 60
    assert server.asked[0] == (f"/a/{FIRST}", None)


def _interrupt(what: str, done: int, total: int | None) -> None:
    if done:
        raise KeyboardInterrupt


# --- Mirrors, wrong bytes, failures ----------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: b"<html>sign in here</html>" * 9, "it is a web page, perhaps of a login"),
        (
            lambda data: gzip.compress(b"other bytes"),
            "has SHA-256 {other} unpacked, expected {right}",
        ),
        (lambda data: gzip.compress(bytes(10**5)), "has more than 31,376 bytes unpacked"),
        (lambda data: data[:3_000], r"what came is damaged \("),
        (lambda data: data[:3_000] + b"\x00" + data[3_001:], "what came is damaged|SHA-256"),
        (lambda data: b"", "SHA-256 e3b0c442"),
        (lambda data: bytes(3 * 10**6), "it offers 3,000,000 bytes, expected at most 1,079,952"),
    ],
    ids=["page", "other", "longer", "truncated", "flipped", "empty", "huge"],
)
def test_wrong_bytes_are_thrown_away_and_the_next_place_is_asked(
    mnist: tuple[RemoteFile, ...],
    server: Server,
    tmp_path: Path,
    spoil: Callable[[bytes], bytes],
    reason: str,
) -> None:
    right = mnist[0].unpacked[0].sha256
    other = hashlib.sha256(b"other bytes").hexdigest()
    server.files[f"/a/{FIRST}"] = spoil(server.files[f"/a/{FIRST}"])
    good = server.files[f"/b/{FIRST}"]
    download("mnist")
    assert (cache(tmp_path) / FIRST).read_bytes() == good, "from the second place"
    (cache(tmp_path) / FIRST).unlink()
    server.files[f"/b/{FIRST}"] = spoil(good)
    with pytest.raises(NotDownloadedError) as caught:
        download("mnist")
    message = str(caught.value)
    assert message.startswith(f"Downloading `{FIRST}` failed: {server.root}/a/{FIRST}: ")
    assert f"; {server.root}/b/{FIRST}: " in message
    assert len(re.findall(reason.format(other=other, right=right), message)) == 2
    assert FIRST not in visible(cache(tmp_path))
    assert find_place(NAMED_SETS["mnist"]) is None


def test_more_bytes_than_promised_to_anyone(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path
) -> None:
    server.with_length = False
    server.files[f"/a/{FIRST}"] = bytes(3 * 10**6)
    del server.files[f"/b/{FIRST}"]
    with pytest.raises(NotDownloadedError, match=r"it sends more than 1,079,952 bytes; http.* 404"):
        download("mnist")
    assert visible(cache(tmp_path)) == []


@pytest.mark.parametrize(
    ("status", "asked"), [(404, 1), (403, 1), (503, transfer.ATTEMPTS), (500, transfer.ATTEMPTS)]
)
def test_what_may_pass_is_tried_again_and_what_may_not_is_not(
    mnist: tuple[RemoteFile, ...], server: Server, status: int, asked: int
) -> None:
    server.status[f"/a/{FIRST}"] = [status] * 9
    download("mnist")
    assert [path for path, _ in server.asked].count(f"/a/{FIRST}") == asked
    assert (f"/b/{FIRST}", None) in server.asked


def test_offline_every_place_is_named_with_its_reason(
    mnist: tuple[RemoteFile, ...],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    no_data: Path,
    tmp_path: Path,
) -> None:
    dead = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    port = dead.server_port
    dead.server_close()
    places = (f"http://127.0.0.1:{port}/", "http://nowhere.invalid/")
    file = RemoteFile(FIRST, 1, places, mnist[0].unpacked)
    monkeypatch.setitem(REMOTE, "mnist", (file,))
    with pytest.raises(DataError) as caught:
        open_named("mnist")
    message = str(caught.value)
    assert message.startswith("the set `mnist` is not on this machine; looked in ")
    assert f"`{no_data / 'mnist'}`" in message
    assert f"http://127.0.0.1:{port}/{FIRST}: Connection refused" in message
    assert re.search(
        rf"http://nowhere.invalid/{FIRST}: [A-Z][^;]+\. Put the four official", message
    )
    assert "set NUNBIT_DATA to the folder that holds `mnist`" in message


@pytest.mark.parametrize("value", ["1", "yes", "true"])
def test_offline_by_wish_asks_nobody(
    mnist: tuple[RemoteFile, ...], server: Server, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("NUNBIT_OFFLINE", value)
    with pytest.raises(DataError, match="NUNBIT_OFFLINE is set, so nothing was downloaded: unset"):
        open_named("mnist")
    assert server.asked == []


@pytest.mark.parametrize("value", ["", "0", "no", "False"])
def test_the_wish_can_be_taken_back(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NUNBIT_OFFLINE", value)
    assert not is_offline()


def test_a_silent_server_is_left(
    mnist: tuple[RemoteFile, ...], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    server.silent_s = 0.4
    with pytest.raises(NotDownloadedError, match=rf"a/{FIRST}: silent for 0.1 s; .*b/{FIRST}: sil"):
        download("mnist")


def test_a_server_that_drips_is_left(
    mnist: tuple[RemoteFile, ...], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "SLOW_WINDOW_S", 0.1)
    server.delay_s = 0.06
    with pytest.raises(NotDownloadedError, match=r"too slow: [\d,]+ bytes in 0.1 s"):
        download("mnist")


def test_only_the_web_is_opened(mnist: tuple[RemoteFile, ...], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    with pytest.raises(transfer.TransferError, match="unknown url type: file"):
        transfer.fetch(secret.as_uri(), tmp_path / "x.part", limit_bytes=9)


# --- The disk --------------------------------------------------------------------------


def test_no_room_is_seen_before_anything_is_written(
    mnist: tuple[RemoteFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = transfer.shutil.disk_usage
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: real(path)._replace(free=100))
    with pytest.raises(StorageError, match=r"cannot take the download: [\d,]+ bytes are needed"):
        download("mnist")
    assert visible(cache(tmp_path)) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_disk_that_fills_up_leaves_nothing(mnist: tuple[RemoteFile, ...], tmp_path: Path) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    (folder / f"{FIRST}.part").symlink_to("/dev/full")
    with pytest.raises(
        StorageError, match=r"cannot take the download: No space left on device. Nothing of it was"
    ):
        download("mnist")
    assert visible(folder) == []


def test_a_cache_that_cannot_be_made(
    mnist: tuple[RemoteFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUNBIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"Not a directory\. Give yourself .* set NUNBIT_CACHE"):
        open_named("mnist")


# --- What lies in the cache ------------------------------------------------------------


def test_what_counts_as_unfinished(mnist: tuple[RemoteFile, ...], tmp_path: Path) -> None:
    folder = cache(tmp_path)
    assert not is_unfinished("mnist", folder), "no folder at all"
    folder.mkdir(parents=True)
    for name in (".lock", f"{FIRST}.part", f"{FIRST}.part.json", f"{FIRST}.ab12.part", FIRST):
        (folder / name).touch()
        assert is_unfinished("mnist", folder), name
    for name in WHOLE:
        (folder / name).touch()
    assert not is_unfinished("mnist", folder), "all files are there"
    (folder / FIRST).unlink()
    (folder / "zero").mkdir()
    assert not is_unfinished("mnist", folder), "somebody put a folder of pictures there"


def test_files_by_hand_stay_and_only_the_missing_ones_are_fetched(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path
) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    for name in WHOLE[:3]:
        (folder / name).write_bytes(server.files[f"/b/{name}"])
    open_named("mnist")
    assert [path for path, _ in server.asked] == [f"/a/{WHOLE[3]}"]


def test_asking_for_a_download_checks_what_is_there_and_mends_it(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path
) -> None:
    download_set(NAMED_SETS["mnist"])
    file = cache(tmp_path) / WHOLE[0]
    file.write_bytes(file.read_bytes()[:-20] + bytes(20))
    server.asked.clear()
    download_set(NAMED_SETS["mnist"])
    assert [path for path, _ in server.asked] == [f"/a/{WHOLE[0]}"]
    assert gzip.decompress(file.read_bytes()) == PLAIN[WHOLE[0][:-3]]


def test_files_by_hand_are_not_lost_where_nothing_better_comes(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path
) -> None:
    folder = cache(tmp_path)
    folder.mkdir(parents=True)
    for name in WHOLE:
        (folder / name).write_bytes(b"my own")
    server.files.clear()
    with pytest.raises(DataError, match="HTTP 404 Not Found"):
        download_set(NAMED_SETS["mnist"])
    assert all((folder / name).read_bytes() == b"my own" for name in WHOLE)


def test_sets_that_are_not_downloaded_say_why(no_data: Path) -> None:
    with pytest.raises(DataError, match=r"Kaggle.* account, so it is not downloaded: fetch it"):
        open_named("cats-dogs")
    with pytest.raises(DataError, match="`digits` ships with Nunbit; nothing has to be downloaded"):
        download_set(NAMED_SETS["digits"])


# --- Archives ----------------------------------------------------------------------------


def tar_gz(members: dict[str, bytes], *, link: str | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        if link is not None:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{link}")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


BATCHES = {
    name: bytes([k]) + RNG.integers(0, 256, 3_072, dtype=np.uint8).tobytes()
    for k, name in enumerate([*(f"data_batch_{j}.bin" for j in range(1, 6)), "test_batch.bin"])
}
INSIDE = {f"cifar-10-batches-bin/{name}": data for name, data in BATCHES.items()}


@pytest.fixture
def cifar(
    mnist: tuple[RemoteFile, ...], server: Server, monkeypatch: pytest.MonkeyPatch
) -> RemoteFile:
    file = RemoteFile(
        "cifar-10-binary.tar.gz",
        1,
        (f"{server.root}/a/", f"{server.root}/b/"),
        tuple(unpacked(name, data) for name, data in BATCHES.items()),
    )
    monkeypatch.setitem(REMOTE, "cifar10", (file,))
    return file


def test_an_archive_is_taken_apart_and_removed(
    cifar: RemoteFile, server: Server, tmp_path: Path
) -> None:
    extra = {"../../escape": b"x", "cifar-10-batches-bin/readme.html": b"y", **INSIDE}
    server.files["/a/cifar-10-binary.tar.gz"] = tar_gz(extra)
    table = open_named("cifar10")
    assert visible(cache(tmp_path, "cifar10")) == sorted(BATCHES)
    assert table.labels.tolist() == [0, 1, 2, 3, 4, 5]
    planes = np.frombuffer(BATCHES["test_batch.bin"][1:], np.uint8).reshape(3, 32, 32)
    assert np.array_equal(table.store.read(5), planes.transpose(1, 2, 0))
    assert not (tmp_path / "no-cache" / "escape").exists()


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (tar_gz({k: v for k, v in INSIDE.items() if "3" not in k}), "it has no `data_batch_3.bin`"),
        (tar_gz({**INSIDE, "a/test_batch.bin": b"1"}), None),
        (tar_gz({**INSIDE, "cifar-10-batches-bin/test_batch.bin": bytes(3_073)}), "SHA-256"),
        (tar_gz({"a": bytes(10**5), **INSIDE}), "it is another archive than expected"),
        (tar_gz({str(k): b"" for k in range(101)} | INSIDE), "it is another archive than expected"),
        (tar_gz(INSIDE, link="test_batch.bin"), None),
        (tar_gz(INSIDE)[:-2_000], "what came is damaged"),
        (b"\x1f\x8b no gzip", "what came is damaged"),
    ],
    ids=["missing", "twice", "other", "large", "many", "link", "truncated", "rubbish"],
)
def test_archives_that_hold_something_else(
    cifar: RemoteFile, server: Server, tmp_path: Path, archive: bytes, reason: str | None
) -> None:
    server.files["/a/cifar-10-binary.tar.gz"] = archive
    folder = cache(tmp_path, "cifar10")
    if reason is None:
        open_named("cifar10")
        assert (folder / "test_batch.bin").read_bytes() == BATCHES["test_batch.bin"]
        assert not (folder / "test_batch.bin").is_symlink()
        return
    with pytest.raises(DataError, match=reason):
        open_named("cifar10")
    assert visible(folder) == [], "not one file of a wrong archive is kept"


# --- Several processes ---------------------------------------------------------------------


def test_threads_that_want_the_same_set_fetch_it_once(
    mnist: tuple[RemoteFile, ...], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOOK_S", 0.01)
    server.delay_s = 0.02
    waited, found = [], []

    def work() -> None:
        found.append(download("mnist", progress=lambda what, *_: waited.append(what)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(found)) == 1
    assert len(found) == 3
    assert len(server.asked) == 4, "each file once"
    assert "waiting for another download of mnist" in waited


HOLD = """
import sys, time
from pathlib import Path
from nunbit.transfer.lock import sole_use
with sole_use(Path(sys.argv[1]), waiting=lambda: None) as alone:
    print(alone, flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(parents=True, exist_ok=True)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    return other


def end(other: subprocess.Popen[str]) -> None:
    other.kill()
    other.communicate()


def test_the_lock_of_a_killed_process_is_no_lock(
    mnist: tuple[RemoteFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOOK_S", 0.01)
    other = hold(cache(tmp_path))
    killed = []

    def tell(what: str, done: int, total: int | None) -> None:
        if what.startswith("waiting") and not killed:
            killed.append(what)
            other.send_signal(signal.SIGKILL)

    try:
        download("mnist", progress=tell)
    finally:
        end(other)
    assert killed == ["waiting for another download of mnist"]
    assert visible(cache(tmp_path)) == WHOLE


def test_a_process_that_stands_still_is_passed(
    mnist: tuple[RemoteFile, ...], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "LOOK_S", 0.01)
    monkeypatch.setattr(lock, "STALL_S", 0.1)
    other = hold(cache(tmp_path))
    try:
        download("mnist")
    finally:
        end(other)
    assert visible(cache(tmp_path)) == WHOLE, "under names of its own, put in place whole"


def test_a_file_system_without_locks(
    mnist: tuple[RemoteFile, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "try_lock", lambda file: None)
    download("mnist")
    assert visible(cache(tmp_path)) == WHOLE


# --- What people see -------------------------------------------------------------------------


def test_the_command_downloads_checks_and_says_where(
    mnist: tuple[RemoteFile, ...],
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["datasets"]) == 0
    assert "not here yet, downloaded when used" in capsys.readouterr().out
    assert run(["datasets", "mnist"]) == 0
    assert "`nunbit datasets mnist --download` fetches it now." in capsys.readouterr().out
    assert run(["datasets", "mnist", "--download"]) == 0
    said = capsys.readouterr()
    assert said.out == f"mnist is in {cache(tmp_path)}, checked by SHA-256.\n"
    lines = [line.split(" (")[0] for line in said.err.splitlines()]
    assert lines == [f"downloading {file.name}" for file in mnist]
    assert re.search(r"images-idx3-ubyte.gz \(\d+\.\d kB\)$", said.err.splitlines()[0])
    assert run(["datasets", "mnist", "--download"]) == 0
    assert len(server.asked) == 4
    assert run(["datasets", "--download"]) == 2
    assert "which set? Give a name: `nunbit datasets mnist`" in capsys.readouterr().err
    assert run(["datasets", "digits", "--download"]) == 2
    assert "ships with Nunbit" in capsys.readouterr().err


def test_the_command_leaves_places_of_your_own_alone(
    mnist: tuple[RemoteFile, ...],
    server: Server,
    no_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (no_data / "mnist").mkdir()
    assert run(["datasets", "mnist", "--download"]) == 0
    assert "mnist already; nothing was downloaded." in capsys.readouterr().out
    assert server.asked == []


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar() -> None:
    stream = _Terminal()
    with Meter(stream) as meter:
        for done in range(0, 101, 10):
            meter("file.gz", done * 1_000, 100_000)
    assert "file.gz" in stream.getvalue()
    assert "100.0/100.0 kB" in stream.getvalue()


def test_a_log_gets_one_line_per_file() -> None:
    stream = io.StringIO()
    with Meter(stream) as meter:
        for done in (50, 100):
            meter("a.gz", done, 100)
        meter("waiting for another download of mnist", 0, None)
        meter("b.gz", 0, None)
    assert stream.getvalue().splitlines() == [
        "downloading a.gz (100 bytes), 50 bytes are there",
        "waiting for another download of mnist",
        "downloading b.gz",
    ]


# --- The list --------------------------------------------------------------------------------


def test_the_list_of_places_is_well_formed() -> None:
    assert not set(REMOTE) & set(BY_HAND)
    for name, files in REMOTE.items():
        assert len({file.name for file in files}) == len(files), name
        digests = [each.sha256 for file in files for each in file.unpacked]
        assert len(set(digests)) == len(digests)
        for file in files:
            assert len(file.urls) >= 2, "a place and a mirror"
            assert all(re.fullmatch(r"https?://\S+/[\w.-]+", url) for url in file.urls)
            assert all(re.fullmatch(r"[0-9a-f]{64}", each.sha256) for each in file.unpacked)
            assert all(each.size_bytes > 0 for each in file.unpacked)
            assert file.is_archive or len(file.unpacked) == 1


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_digests_are_those_of_the_real_files(
    name: str, real_data: Callable[[str], Path]
) -> None:
    place = real_data(name)
    for file in REMOTE[name]:
        raw = gzip.decompress((place / file.name).read_bytes())
        assert unpacked(file.unpacked[0].name, raw) == file.unpacked[0]
