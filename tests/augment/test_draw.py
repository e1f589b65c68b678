"""Random numbers by counting: uniform, unrelated, and tied to their address alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nunbit.augment.draw import MOST_POLICY_OPS, WIDTH, Column, Draws, uniforms


def test_the_mixing_is_splitmix64() -> None:
    """The first outputs of the reference implementation for the state 1234567."""
    from nunbit.augment.draw import GOLDEN, _mix

    state = np.uint64(1234567) + np.arange(1, 4, dtype=np.uint64) * GOLDEN
    assert _mix(state).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@pytest.mark.parametrize("column", [0, 1, 7, WIDTH - 1])
def test_numbers_are_uniform(column: int) -> None:
    numbers = uniforms(np.arange(20_000), seed=0, epoch=0, columns=WIDTH)[:, column]
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3


def test_columns_neighbours_and_epochs_are_unrelated() -> None:
    count = 4_000
    here = uniforms(np.arange(count), seed=0, epoch=0, columns=WIDTH)
    limit = 5 / np.sqrt(count)  # five standard errors
    correlation = np.corrcoef(here.T) - np.eye(WIDTH)
    assert abs(correlation).max() < limit
    for other in (
        uniforms(np.arange(1, count + 1), seed=0, epoch=0, columns=WIDTH),
        uniforms(np.arange(count), seed=0, epoch=1, columns=WIDTH),
        uniforms(np.arange(count), seed=1, epoch=0, columns=WIDTH),
    ):
        for column in range(0, WIDTH, 5):
            assert abs(np.corrcoef(here[:, column], other[:, column])[0, 1]) < limit
    assert len(np.unique(here)) == here.size


def test_neighbouring_columns_fill_the_square() -> None:
    pairs = uniforms(np.arange(20_000), seed=3, epoch=2, columns=2)
    cells = (pairs * 10).astype(int) @ [10, 1]
    assert stats.chisquare(np.bincount(cells, minlength=100)).pvalue > 1e-3


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=20), st.data())
def test_a_number_depends_on_its_address_alone(ids: list[int], data: st.DataObject) -> None:
    whole = uniforms(ids, seed=5, epoch=7, columns=WIDTH)
    order = data.draw(st.permutations(range(len(ids))))
    shuffled = uniforms([ids[k] for k in order], seed=5, epoch=7, columns=WIDTH)
    assert np.array_equal(shuffled, whole[list(order)])
    assert np.array_equal(uniforms(ids[:1], seed=5, epoch=7, columns=3)[0], whole[0, :3])


def test_every_column_has_its_own_place() -> None:
    places = [int(column) for column in Column]
    assert len(set(places)) == len(Column.__members__)
    assert max(places) == Column.POLICY
    assert WIDTH == Column.POLICY + 3 * MOST_POLICY_OPS


def test_the_numbers_of_today_stay() -> None:
    """A run that is continued with a newer Nunbit sees the same pictures."""
    assert uniforms([0, 1], seed=0, epoch=0, columns=2).round(6).tolist() == [
        [0.719228, 0.990372],
        [0.594317, 0.337574],
    ]


def test_ranges_chances_and_integers() -> None:
    draws = Draws(np.arange(10_000), seed=0, epoch=0)
    assert len(draws) == 10_000
    turned = draws.between(Column.THETA, -20, 30)
    assert (turned.min(), turned.max()) == pytest.approx((-20, 30), abs=0.1)
    assert draws.chance(Column.ERASING, 0.25).mean() == pytest.approx(0.25, abs=0.02)
    assert not draws.chance(Column.ERASING, 0).any()
    assert draws.chance(Column.ERASING, 1).all()
    found = np.bincount(draws.integers(Column.MIX_PARTNER, 7), minlength=7)
    assert len(found) == 7
    assert stats.chisquare(found).pvalue > 1e-3
