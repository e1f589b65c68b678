"""What every named set must do. A new set is tested by being registered."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nunbit.data.decode import decode
from nunbit.data.named import NAMED_SETS, open_named
from nunbit.data.named.base import places
from nunbit.data.named.remote import BY_HAND, REMOTE
from nunbit.transfer import is_offline

EMBEDDED = [name for name, each in NAMED_SETS.items() if each.is_embedded]


@pytest.mark.parametrize("name", NAMED_SETS)
def test_the_facts_are_there_and_fit_each_other(name: str) -> None:
    known = NAMED_SETS[name]
    assert known.name == name
    assert known.title
    assert known.title_ko
    assert known.licence
    assert len(set(known.classes)) == len(known.classes) >= 2
    assert len(known.classes_ko) in (0, len(known.classes))
    assert len(set(known.classes_ko)) == len(known.classes_ko)
    assert all(not text.isascii() for text in (known.title_ko, *known.classes_ko))
    assert known.classes_ko or all(text.isdigit() for text in known.classes), "or Korean names"
    assert known.colour in ("grey", "rgb")
    assert known.train_images > 0
    assert known.test_images > 0
    assert next(iter(inspect.signature(known.open).parameters)) == "place"
    assert [place.name for place in places(name)][-1] == name


@pytest.mark.parametrize("name", NAMED_SETS)
def test_a_set_ships_with_us_or_is_downloaded_or_says_why_not(name: str) -> None:
    ways = [NAMED_SETS[name].is_embedded, name in REMOTE, name in BY_HAND]
    assert sum(ways) == 1
    for file in REMOTE.get(name, ()):
        assert len(file.places) >= 2, "an official place and a mirror"


def test_tests_never_touch_the_network() -> None:
    assert is_offline()


def _check(name: str) -> None:
    """The table holds what the facts promise."""
    known, table = NAMED_SETS[name], open_named(name)
    assert table.source == name
    assert table.classes == known.classes
    assert table.image_size == known.image_size
    assert table.titles == ({"ko": known.classes_ko} if known.classes_ko else {})
    assert len(table.of_split("train")) == known.train_images
    assert len(table.of_split("test")) == known.test_images
    assert len(table) == known.train_images + known.test_images
    assert set(table.labels.tolist()) == set(range(len(known.classes)))
    assert table.labels.dtype == np.int64
    assert len(set(table.names)) == len(table)
    assert len(set(table.ids.tolist())) == len(table)
    for split in ("train", "test"):
        assert set(table.of_split(split).labels.tolist()) == set(range(len(known.classes)))
    for position in table.ids[:: max(1, len(table) // 50)].tolist():
        data = table.store.read(position)
        pixels = decode(data) if isinstance(data, bytes) else data
        assert pixels.dtype == np.uint8
        assert pixels.ndim == (2 if known.colour == "grey" else 3)
        assert pixels.std() > 0
    again = open_named(name)
    assert again.names == table.names, "the same order on every machine and day"
    assert np.array_equal(again.labels, table.labels)


@pytest.mark.parametrize("name", EMBEDDED)
def test_sets_that_ship_with_us_need_nothing(name: str, no_data: Path) -> None:
    _check(name)


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in NAMED_SETS if name not in EMBEDDED])
def test_real_sets_are_what_their_facts_say(name: str, real_data: Callable[[str], Path]) -> None:
    real_data(name)
    _check(name)


def test_a_missing_real_set_skips_only_where_nobody_promised_it(
    no_data: Path, real_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard's own test: with NUNBIT_DATA or CI set, a missing set fails."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.fail.Exception, match="the set `mnist` is not on this machine"):
        real_data("mnist")
    monkeypatch.delenv("NUNBIT_DATA")
    with pytest.raises(pytest.skip.Exception, match="no real pictures of mnist"):
        real_data("mnist")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="the set `mnist` is not on this machine"):
        real_data("mnist")
