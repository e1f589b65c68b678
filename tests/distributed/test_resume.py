"""Interrupted and resumed equals uninterrupted, to the last bit, with the same ranks."""

from __future__ import annotations

from pathlib import Path

import pytest

import nunbit
from tests.distributed import work
from tests.distributed.start import together

CASE: work.Case = {
    "epochs": 4, "optimizer": "adamw", "lr": 0.01, "schedule": "constant", "plateau_patience": 1,
    "patience": 9, "save_best_only": True, "ema": 0.9, "network": "auto",
    "augment": nunbit.Augment(rotation_range=20, mixup=0.4),
}  # fmt: skip


@pytest.mark.parametrize("ranks", [2, 3])
def test_resumed_in_the_middle_of_an_epoch(source: str, out: Path, ranks: int) -> None:
    ended = together(ranks, work.resumed_and_whole, source, str(out), CASE, (1, 1))
    assert [each.error for each in ended] == [None] * ranks
    for each in ended:  # all of them stopped, and know how to go on
        assert f"torchrun ... -m nunbit train --resume {out}/parts" in each.value["said"]
    assert work.contents(out / "parts") == work.contents(out / "whole")


def test_resumed_with_another_number_of_ranks(source: str, out: Path) -> None:
    """No promise of bits: sums of another order. Every epoch's scores count all pictures."""
    case: work.Case = {"epochs": 3, "clip_norm": 1.0}
    at = (1, 1)
    for ranks, run in ((2, "two"), (1, "one")):
        ended = together(ranks, work.interrupted, source, str(out / run), case, at)
        assert [each.error for each in ended] == [None] * ranks
    ended = together(3, work.resumed, source, str(out / "two"), case, True)
    assert [each.error for each in ended] == [None] * 3
    more = together(2, work.resumed, source, str(out / "one"), case, True)
    assert [each.error for each in more] == [None] * 2
    alone = work.cases(source, str(out), {"whole": case})["whole"]
    for found in (*ended, *more):
        work.close(found.value["weights"], alone["weights"], atol=2e-6)
        for mine, whole in zip(found.value["epochs"], alone["epochs"], strict=True):
            assert mine["loss"] == pytest.approx(whole["loss"], rel=1e-5)
            assert mine["accuracy"] == whole["accuracy"]
