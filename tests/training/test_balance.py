"""Class balance: weights by formula, draws counted, each repetition augmented by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.training.conftest import Fit

import nunbit
from nunbit.data.batches import TURN, Batches, times_before
from nunbit.errors import OptionError
from nunbit.training.balance import class_weights, draw_balanced, make_balance

COUNTS = {"a": 40, "b": 12, "c": 4}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> nunbit.Pictures:
    """56 pictures to train on: 40, 12 and 4 of a class, hard to tell apart."""
    root = tmp_path_factory.mktemp("uneven")
    rng = np.random.default_rng(3)
    for k, (name, count) in enumerate(COUNTS.items()):
        for split, number in (("train", count), ("val", 30)):
            (root / split / name).mkdir(parents=True)
            for each in range(number):
                picture = rng.integers(0, 200, (8, 8), dtype=np.uint8)
                picture[2 * k : 2 * k + 2] += 40
                cv2.imwrite(str(root / split / name / f"{each:03d}.png"), picture)
    return nunbit.load(root)


Labels = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(
    lambda found: np.array(found, np.int64)
)


@given(labels=Labels)
def test_weights_are_n_by_k_n_k_and_1_on_average(labels: NDArray[np.int64]) -> None:
    weights = class_weights(labels, classes=6)
    counts = np.bincount(labels, minlength=6)
    there = np.count_nonzero(counts)
    for weight, count in zip(weights, counts, strict=True):
        assert weight == (pytest.approx(len(labels) / (there * count)) if count else 0)
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)
    sums = (weights * counts)[counts > 0]
    assert sums == pytest.approx(len(labels) / there, rel=1e-5), "classes count the same"


@given(labels=Labels, seed=st.integers(0, 9), epoch=st.integers(0, 9))
def test_an_epoch_has_as_many_of_each_class(
    labels: NDArray[np.int64], seed: int, epoch: int
) -> None:
    drawn = draw_balanced(labels, seed, epoch)
    assert len(drawn) == len(labels)
    per_class = np.bincount(labels[drawn], minlength=6)[np.unique(labels)]
    assert per_class.max() - per_class.min() <= 1
    times = np.bincount(drawn, minlength=len(labels))
    for label in np.unique(labels):
        own = times[labels == label]
        assert own.max() - own.min() <= 1
        if len(own) >= len(labels) / len(per_class):
            assert own.max() <= 1, "of a common class none comes twice"
    assert np.array_equal(drawn, draw_balanced(labels, seed, epoch))


def test_epochs_and_seeds_differ_and_all_pictures_come_in_time() -> None:
    labels = np.repeat([0, 1], [90, 10])
    epochs = [draw_balanced(labels, 0, epoch) for epoch in range(12)]
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0], draw_balanced(labels, 1, 0))
    assert set(np.concatenate(epochs).tolist()) == set(range(100))
    assert np.bincount(np.concatenate(epochs))[90:].tolist() == [60] * 10
    assert np.abs(np.diff(labels[epochs[0]])).sum() > 25, "classes are shuffled"


def test_the_class_with_one_more_is_another_each_epoch() -> None:
    labels = np.repeat([0, 1, 2], [50, 25, 25])
    more = {int(np.bincount(labels[draw_balanced(labels, 0, e)]).argmax()) for e in range(30)}
    assert more == {0, 1, 2}


def test_one_class_is_as_ever() -> None:
    labels = np.zeros(7, np.int64)
    assert class_weights(labels, classes=1).tolist() == [1.0]
    assert sorted(draw_balanced(labels, 0, 0)) == list(range(7))


@given(st.lists(st.integers(0, 8), max_size=60).map(lambda x: np.array(x, np.int64)))
def test_times_before_are_counted(order: NDArray[np.int64]) -> None:
    seen: dict[int, int] = {}
    for number, times in zip(order.tolist(), times_before(order).tolist(), strict=True):
        assert times == seen.get(number, 0)
        seen[number] = times + 1


def test_a_repeated_picture_has_another_id_each_time(uneven: nunbit.Pictures) -> None:
    """So it is augmented in another way; and the same in each batch, thread and resumed epoch."""
    moved: list[NDArray[np.int64]] = []

    def move(pictures: Any, ids: Any, epoch: int, out: Any) -> None:
        moved.append(np.array(ids))
        for k, each in enumerate(pictures):
            out[k] = each

    options = nunbit.TrainOptions(balance="sampling")
    task = nunbit.create_model_for(uneven, network="mlp").task
    train = uneven.train
    draw = make_balance(options, task, train).draw
    targets = task.targets(train.labels)
    batches = Batches(train, targets, batch_size=9, seed=0, move=move, draw=draw)
    found = list(batches.of_epoch(2))
    ids = np.concatenate([batch.ids for batch in found])
    assert np.array_equal(np.sort(np.concatenate(moved)), np.sort(ids))
    assert len(set(ids.tolist())) == len(ids) == len(train)
    positions = batches.order(2)
    assert np.array_equal(ids % TURN, train.ids[positions])
    assert np.array_equal(ids // TURN, times_before(positions))
    for batch in found:
        own = batch.ids % TURN
        rows = [int(np.flatnonzero(train.ids == each)[0]) for each in own]
        assert np.array_equal(batch.targets.numpy(), train.labels[rows])
        assert np.array_equal(batch.images.permute(0, 2, 3, 1).numpy(), train.take(np.array(rows)))

    later = [batch.ids for batch in batches.of_epoch(2, start=3)]
    assert all(np.array_equal(a, b.ids) for a, b in zip(later, found[3:], strict=True))
    shares = [
        Batches(train, targets, batch_size=9, seed=0, draw=draw, share=(rank, 2)) for rank in (0, 1)
    ]
    parts = zip(*(list(share.of_epoch(2)) for share in shares), strict=True)
    for whole, (one, other) in zip(found, parts, strict=True):
        assert np.array_equal(np.concatenate([one.ids, other.ids]), whole.ids)


def test_repetitions_are_augmented_differently(uneven: nunbit.Pictures, run: Fit) -> None:
    from nunbit.augment import Augment
    from nunbit.training.augmenting import make_augmenting

    task = nunbit.create_model_for(uneven, network="mlp").task
    train = uneven.train
    augmenting = make_augmenting(
        Augment(rotation_range=40, width_shift_range=2),
        task=task, seed=0, shape=(len(train), 8, 8), on_device=False,
    )  # fmt: skip
    draw = make_balance(nunbit.TrainOptions(balance="sampling"), task, train).draw
    batches = Batches(
        train, task.targets(train.labels), batch_size=8, seed=0, move=augmenting.move, draw=draw
    )
    versions: dict[int, set[bytes]] = {}
    for batch in batches.of_epoch(0):
        for number, image in zip(batch.ids % TURN, batch.images, strict=True):
            versions.setdefault(int(number), set()).add(image.numpy().tobytes())
    rare = train.ids[train.labels == 2]
    assert all(len(versions[int(number)]) >= 4 for number in rare)


def test_pictures_are_mixed_with_balanced_ones(uneven: nunbit.Pictures) -> None:
    from nunbit.augment import Augment
    from nunbit.training.augmenting import make_augmenting

    task = nunbit.create_model_for(uneven, network="mlp").task
    train = uneven.train
    augmenting = make_augmenting(
        Augment(mixup=1.0), task=task, seed=0, shape=(len(train), 8, 8), on_device=True
    )
    draw = make_balance(nunbit.TrainOptions(balance="sampling"), task, train).draw
    batches = Batches(
        train, task.targets(train.labels), batch_size=56, seed=0, mixing=augmenting.mixing,
        draw=draw,
    )  # fmt: skip
    labels = np.concatenate(
        [b.partners.targets.numpy() for e in range(8) for b in batches.of_epoch(e)]
    )
    assert np.bincount(labels) / len(labels) == pytest.approx([1 / 3] * 3, abs=0.1)


def test_streams_refuse_sampling(uneven: nunbit.Pictures, tmp_path: Path, run: Fit) -> None:
    options = nunbit.DataOptions(stream=True)
    streamed = nunbit.load(uneven.origin, options=options)
    with pytest.raises(OptionError, match=r"streamed.*Pass `--balance weights`"):
        run(streamed, balance="sampling", epochs=1)
    assert len(run(streamed, balance="weights", epochs=1)["loss"]) == 1


def recall(model: nunbit.Model, pictures: nunbit.PictureSet, label: int) -> float:
    outputs = torch.from_numpy(model.outputs(pictures.take(slice(None))))
    own = pictures.labels == label
    return float((outputs.argmax(1).numpy()[own] == label).mean())


@pytest.mark.parametrize("how", ["weights", "sampling"])
def test_a_rare_class_is_found_more_often(
    uneven: nunbit.Pictures, run: Fit, tmp_path: Path, how: Any
) -> None:
    found = {}
    for balance in ("none", how):
        model = nunbit.create_model_for(uneven, network="mlp")
        run(uneven, model=model, balance=balance, epochs=8, out=tmp_path / balance)
        assert uneven.validation is not None
        found[balance] = recall(model, uneven.validation, 2)
    assert found[how] > found["none"] + 0.2


def test_sampling_goes_on_in_the_middle_of_an_epoch(
    uneven: nunbit.Pictures, run: Fit, tmp_path: Path
) -> None:
    class Halt(nunbit.Callback):
        halts = False

        def on_train_batch_begin(self, moment: nunbit.Moment) -> None:
            if self.halts and (moment.epoch, moment.step) == (1, 2):
                raise KeyboardInterrupt

    how: dict[str, Any] = {
        "balance": "sampling", "epochs": 2, "batch_size": 10, "augment": "light",
        "checkpoint_minutes": 1e-9,
    }  # fmt: skip
    model = nunbit.create_model_for(uneven, network="mlp")
    whole = run(uneven, model=model, callbacks=[Halt()], out=tmp_path / "whole", **how)
    halt = Halt()
    halt.halts = True
    with pytest.raises(KeyboardInterrupt):
        run(uneven, callbacks=[halt], out=tmp_path / "part", **how)
    again = nunbit.create_model_for(uneven, network="mlp")
    history = run(uneven, model=again, callbacks=[Halt()], resume=tmp_path / "part", **how)
    assert history["loss"] == whole["loss"]
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
