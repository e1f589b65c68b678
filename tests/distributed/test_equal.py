"""Two and three processes against one with the whole batch.

Float32 sums in another order, so not the same bits. Over three epochs (nine steps) the
weights stay within 2e-6 with sgd; adamw divides by gradients, which may be near zero,
and stays within 5e-5 (its steps are about 1e-3 long).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nunbit
from tests.distributed import work
from tests.distributed.start import together

SGD_ATOL, ADAMW_ATOL = 2e-6, 5e-5

CASES: dict[str, work.Case] = {
    "sgd": {},
    "parts": {"accumulate": 3, "clip_norm": 0.5, "label_smoothing": 0.1},
    "ema": {"ema": 0.9, "schedule": "cosine"},
    "augment": {"augment": nunbit.Augment(rotation_range=20, horizontal_flip=True)},
    "mixup": {"augment": nunbit.Augment(rotation_range=20, mixup=0.4)},
    "adamw": {"optimizer": "adamw", "lr": 0.001},
    "weights": {"balance": "weights"},
    "sampling": {"balance": "sampling"},
    "norm": {"network": "auto", "sync_batch_norm": True, "epochs": 1},
}


@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_many_ranks_equal_one(source: str, out: Path, ranks: int) -> None:
    given = {name: {"epochs": 3, **case} for name, case in CASES.items()}
    ended = together(ranks, work.cases, source, str(out / "many"), given)
    assert [each.error for each in ended] == [None] * ranks
    alone = work.cases(source, str(out / "one"), given)
    for name in CASES:
        atol = ADAMW_ATOL if name == "adamw" else SGD_ATOL
        first = ended[0].value[name]
        for other in ended[1:]:  # to the last bit, or they would drift apart
            for key, value in first["weights"].items():
                assert np.array_equal(other.value[name]["weights"][key], value), (name, key)
        work.close(first["weights"], alone[name]["weights"], atol=atol)
        for mine, whole in zip(first["epochs"], alone[name]["epochs"], strict=True):
            for score in ("loss", "val_loss", "lr"):
                assert mine[score] == pytest.approx(whole[score], rel=1e-4), (name, score)
            for score in ("accuracy", "val_accuracy"):  # counts: exactly
                assert mine[score] == whole[score], (name, score)


def as_counted(found: dict[str, Any]) -> Any:
    """Return what of an evaluation is counted: no rounding of sums in it."""
    return {k: v for k, v in found.items() if not isinstance(v, float) or k == "accuracy"}


@pytest.mark.parametrize("count", [14, 7, 1])
def test_each_picture_is_scored_once(source: str, count: int) -> None:
    """Also where ranks have different numbers of them, or one has none."""
    ended = together(3, work.scores, source, count)
    alone = work.scores(source, count)
    for each in ended:
        assert each.error is None
        assert as_counted(each.value) == as_counted(alone)
        assert each.value["loss"] == pytest.approx(alone["loss"], rel=1e-6)


def test_callbacks_act_alike_on_all_ranks(source: str, out: Path) -> None:
    """They see the first rank's scores; what they ask for happens on every rank."""
    given: dict[str, work.Case] = {
        "plateau": {
            "epochs": 8, "schedule": "constant", "plateau_patience": 0, "lr": 0.3,
            "save_best_only": True,
        },
        "stopping": {
            "epochs": 30, "schedule": "constant", "patience": 1, "lr": 0.3, "ema": 0.5,
            "save_best_only": True,
        },
    }  # fmt: skip
    ended = together(2, work.cases, source, str(out / "many"), given)
    alone = work.cases(source, str(out / "one"), given)
    assert [each.error for each in ended] == [None, None]
    first, second = (each.value for each in ended)
    for name in given:
        for key, value in first[name]["weights"].items():
            assert np.array_equal(second[name]["weights"][key], value), (name, key)
        assert second[name]["stop_reason"] == first[name]["stop_reason"]
        assert [e["lr"] for e in second[name]["epochs"]] == [e["lr"] for e in first[name]["epochs"]]
        files = [
            sorted(str(p.relative_to(root)) for p in root.rglob("*"))
            for root in (Path(first[name]["run"]), Path(alone[name]["run"]))
        ]
        assert files[0] == files[1]  # nothing of a second rank
        assert first[name]["stop_reason"] == alone[name]["stop_reason"]
        assert [e["lr"] for e in first[name]["epochs"]] == pytest.approx(
            [e["lr"] for e in alone[name]["epochs"]]
        )
    rates = [e["lr"] for e in first["plateau"]["epochs"]]
    assert rates[0] > rates[-1]  # it was cut
    assert "val_loss" in first["stopping"]["stop_reason"]
