"""One file from several places; what is done to whole sets is tested with the sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.file_server import Server

from nunbit.errors import StorageError
from nunbit.transfer import NoPlaceError, WrongBytesError, fetch, fetch_from_any, is_offline

GOOD = b"good bytes" * 500


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetch, "PAUSE_S", 0.001)


def get(server: Server, folder: Path, *names: str) -> bytes:
    """Fetch from these paths of the server, in order."""
    part, kept = folder / "x.part", []

    def accept() -> None:
        if part.read_bytes() != GOOD:
            raise WrongBytesError("other bytes came")
        kept.append(part.read_bytes())

    try:
        fetch_from_any(
            [f"{server.root}/{name}" for name in names], part, limit_bytes=10_000, accept=accept
        )
    finally:
        assert list(folder.iterdir()) == [], "nothing is left"
    return kept[0]


def test_the_first_place_that_has_it_right_is_the_last_that_is_asked(
    server: Server, tmp_path: Path
) -> None:
    server.files = {"/b": b"other", "/c": GOOD, "/d": GOOD}
    assert get(server, tmp_path, "a", "b", "c", "d") == GOOD
    assert [path for path, _ in server.asked] == ["/a", "/b", "/c"]


def test_where_nobody_has_it_every_place_is_named_with_its_reason(
    server: Server, tmp_path: Path
) -> None:
    server.files = {"/b": b"other"}
    with pytest.raises(NoPlaceError) as caught:
        get(server, tmp_path, "a", "b")
    assert str(caught.value) == (
        f"{server.root}/a: HTTP 404 Not Found; {server.root}/b: other bytes came"
    )


def test_a_broken_connection_is_taken_up_and_joined(server: Server, tmp_path: Path) -> None:
    server.files, server.cut = {"/a": GOOD}, {"/a": [1_000]}
    assert get(server, tmp_path, "a") == GOOD
    assert server.asked == [("/a", None), ("/a", "bytes=1000-")]


def test_what_was_begun_elsewhere_is_gone_on_with_there(server: Server, tmp_path: Path) -> None:
    server.files, server.cut = {"/b": GOOD}, {"/b": [2_000] * fetch.ATTEMPTS}
    server.ranges = False
    with pytest.raises(fetch.TransferError, match=r"stopped after 2,000 of 5,000 bytes"):
        fetch.fetch(f"{server.root}/b", tmp_path / "x.part", limit_bytes=10_000)
    server.ranges, server.files["/a"] = True, GOOD
    assert get(server, tmp_path, "a", "b") == GOOD
    assert server.asked[-1] == ("/b", "bytes=2000-"), "the second place first"


def test_an_error_of_the_disk_is_not_the_fault_of_a_place(server: Server, tmp_path: Path) -> None:
    server.files = {"/a": GOOD, "/b": GOOD}

    def full() -> None:
        raise StorageError("disk full")

    with pytest.raises(StorageError, match="disk full"):
        fetch_from_any(
            [f"{server.root}/{name}" for name in "ab"],
            tmp_path / "x.part",
            limit_bytes=10_000,
            accept=full,
        )
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("value", "forbidden"), [("1", True), ("yes", True), ("", False), ("0", False), ("No", False)]
)
def test_the_wish_to_stay_offline(
    monkeypatch: pytest.MonkeyPatch, value: str, *, forbidden: bool
) -> None:
    monkeypatch.setenv("NUNBIT_OFFLINE", value)
    assert is_offline() is forbidden
