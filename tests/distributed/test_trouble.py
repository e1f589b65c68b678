"""What happens to all ranks when something happens to one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.distributed import work
from tests.distributed.start import together

CASE: work.Case = {"epochs": 4, "rank_timeout": 3}
GO_ON = r"go on with `torchrun ... -m nunbit train --resume "


def test_a_loss_that_is_no_number_on_one_rank_stops_all(source: str, out: Path) -> None:
    """At step 2 of epoch 2; the network after epoch 1 is kept."""
    ended = together(2, work.goes_wrong, source, str(out), CASE, 1, 4, "nan")
    for each in ended:
        assert each.error is not None
        assert each.error[0] == "NotFiniteError"
        assert "the loss of rank 1 is nan at step 2 of epoch 2" in each.error[1]
        assert "The network after epoch 1 is kept" in each.error[1]
    assert (out / "model.safetensors").exists()


@pytest.mark.parametrize(("ranks", "lost"), [(2, 1), pytest.param(3, 0, marks=pytest.mark.slow)])
def test_a_killed_rank_ends_the_others_and_the_run_goes_on(
    source: str, out: Path, ranks: int, lost: int
) -> None:
    began = time.monotonic()
    ended = together(ranks, work.goes_wrong, source, str(out), CASE, lost, 7, "SIGKILL")
    assert time.monotonic() - began < 25
    assert ended[lost].status == -9
    for rank, each in enumerate(ended):
        if rank != lost:
            assert each.error is not None
            assert each.error[0] == "RankLostError"
            assert f"rank {lost} of {ranks} was lost at step 2 of epoch 3. " in each.error[1]
            assert "The last checkpoint is from the end of epoch 2; " in each.error[1]
            assert GO_ON.replace("\\", "") + str(out) in each.error[1]
    resumed = together(ranks, work.resumed, source, str(out), CASE)
    whole = together(ranks, work.cases, source, str(out.parent), {"whole": CASE})
    assert [each.error for each in resumed + whole] == [None] * 2 * ranks
    assert work.contents(out) == work.contents(out.parent / "whole")


def test_a_stopped_rank_is_not_waited_for(source: str, out: Path) -> None:
    """It holds its connections, but does not answer."""
    began = time.monotonic()
    ended = together(2, work.goes_wrong, source, str(out), CASE, 1, 4, "SIGSTOP")
    assert 3 <= time.monotonic() - began < 25  # rank_timeout, and 5 s in which it could answer
    assert ended[0].error is not None
    assert ended[0].error[0] == "RankLostError"
    assert "rank 1 of 2 did not answer within 3 s at step 2 of epoch 2. " in ended[0].error[1]
    assert "The last checkpoint is from the end of epoch 1; " in ended[0].error[1]


def test_an_error_of_one_rank_is_known_to_the_others(source: str, out: Path) -> None:
    ended = together(2, work.goes_wrong, source, str(out), CASE, 1, 4, "fail")
    assert ended[1].error == ("ValueError", "something of this rank alone")
    assert ended[0].error is not None
    assert "rank 1 of 2 failed on " in ended[0].error[1]
    assert ": something of this rank alone at step 2 of epoch 2. " in ended[0].error[1]


def test_an_error_of_a_callback_reaches_all(source: str, out: Path) -> None:
    ended = together(2, work.fails_in_callback, source, str(out), CASE)
    assert [each.error for each in ended] == [("ValueError", "the callback has failed")] * 2


def test_more_ranks_than_pictures_in_a_batch(source: str, out: Path) -> None:
    ended = together(3, work.cases, source, str(out), {"small": {"epochs": 1, "batch_size": 2}})
    for each in ended:
        assert each.error is not None
        assert each.error[0] == "OptionError"
        assert "batches of 2 pictures cannot be shared by 3 processes" in each.error[1]
        assert "--batch-size 6" in each.error[1]
    assert not out.exists() or not any(out.iterdir())


def test_one_rank_of_a_machine_decodes_and_the_others_wait(source: str) -> None:
    ended = together(3, work.decoded, source)
    counts, sums = zip(*[each.value for each in ended], strict=True)
    assert sum(counts) == 72
    assert sorted(counts) == [0, 0, 72]
    assert len(set(sums)) == 1
