"""Batches: each picture once per epoch, in an order that belongs to seed and epoch alone."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nunbit.augment import Augment
from nunbit.data.batches import Batch, Batches, Mixing, MixPlan, to_images
from nunbit.data.pictures import PictureSet

COUNT = 50
Shown = Sequence[NDArray[np.uint8]]


def _as_they_are(
    pixels: Shown, ids: NDArray[np.int64], number: int, out: NDArray[np.uint8]
) -> None:
    out[...] = pixels


def pictures(count: int = COUNT) -> PictureSet:
    """Pictures that each show their own id; rows of the array lie in another order."""
    rows = np.random.default_rng(0).permutation(count + 7)[:count]
    pixels = np.zeros((count + 7, 4, 4, 1), np.uint8)
    ids = np.arange(count) * 3 + 1
    pixels[rows] = ids[:, None, None, None]
    return PictureSet("train", pixels, rows, ids % 10, ids, [f"p{i}" for i in ids])


def batches(part: PictureSet, *, batch_size: int = 8, seed: int = 0, **how: object) -> Batches:
    targets = torch.from_numpy(part.labels)
    return Batches(part, targets, batch_size=batch_size, seed=seed, **how)  # type: ignore[arg-type]


def shown(batch: Batch) -> list[int]:
    """Return the ids of the pictures in a batch, read from their pixels."""
    return batch.images[:, 0, 0, 0].tolist()


def epoch(of: Batches, number: int, start: int = 0) -> list[list[int]]:
    return [shown(batch) for batch in of.of_epoch(number, start=start)]


@given(count=st.integers(1, 80), batch_size=st.integers(1, 90))
def test_every_picture_once_in_nearly_equal_batches(count: int, batch_size: int) -> None:
    part = pictures(count)
    made = batches(part, batch_size=batch_size)
    seen = epoch(made, 0)
    assert sorted(itertools.chain(*seen)) == part.ids.tolist()
    assert len(seen) == made.steps_per_epoch == -(-count // batch_size)
    sizes = {len(batch) for batch in seen}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_targets_belong_to_their_pictures() -> None:
    for batch in batches(pictures()).of_epoch(4):
        assert batch.targets.tolist() == [i % 10 for i in shown(batch)]


def test_order_differs_between_epochs_and_seeds_and_comes_again() -> None:
    made = batches(pictures())
    orders = [tuple(itertools.chain(*epoch(made, number))) for number in range(4)]
    orders += [tuple(itertools.chain(*epoch(batches(pictures(), seed=1), 0)))]
    assert len(set(orders)) == 5
    assert tuple(sorted(orders[0])) not in orders, "shuffled, not as on the disk"
    np.random.seed(3)
    torch.manual_seed(3)
    again = batches(pictures())
    assert [tuple(itertools.chain(*epoch(again, number))) for number in range(4)] == orders[:4]


@pytest.mark.parametrize("move", [None, _as_they_are])
def test_a_start_in_the_middle_gives_exactly_the_tail(move: object) -> None:
    made = batches(pictures(), move=move, threads=2)
    whole = epoch(made, 3)
    for start in range(len(whole) + 1):
        assert epoch(made, 3, start) == whole[start:]


def _moved(batch_size: int, threads: int) -> dict[int, bytes]:
    rng = np.random.default_rng(1)
    part = pictures()
    part.pixels[:] = rng.integers(0, 256, part.pixels.shape)
    augment = Augment(rotation_range=40, horizontal_flip=True, zoom_range=0.3)

    def move(pixels: Shown, ids: NDArray[np.int64], number: int, out: NDArray[np.uint8]) -> None:
        augment.apply(pixels, ids=ids, seed=5, epoch=number, out=out)

    made = Batches(
        part,
        torch.from_numpy(part.ids),
        batch_size=batch_size,
        seed=0,
        move=move,
        threads=threads,
    )
    return {
        int(i): image.numpy().tobytes()
        for batch in made.of_epoch(2)
        for i, image in zip(batch.targets, batch.images, strict=True)
    }


@pytest.mark.parametrize(("batch_size", "threads"), [(8, 4), (50, 1), (3, 2), (1, 3)])
def test_augmentation_depends_neither_on_batches_nor_on_threads(
    batch_size: int, threads: int
) -> None:
    assert _moved(batch_size, threads) == _moved(8, 1)


def test_the_mover_gets_pictures_with_their_own_ids_and_the_epoch() -> None:
    calls: list[tuple[list[int], list[int], int]] = []

    def move(pixels: Shown, ids: NDArray[np.int64], number: int, out: NDArray[np.uint8]) -> None:
        calls.append(([int(each[0, 0, 0]) for each in pixels], ids.tolist(), number))
        out[...] = pixels

    list(batches(pictures(), move=move, threads=3).of_epoch(6))
    assert all(seen == ids for seen, ids, _ in calls)
    assert {number for *_, number in calls} == {6}
    assert sorted(itertools.chain(*(ids for _, ids, _ in calls))) == pictures().ids.tolist()


def test_an_error_of_the_mover_arrives_and_an_epoch_may_be_left_early() -> None:
    def fail(pixels: Shown, ids: NDArray[np.int64], number: int, out: NDArray[np.uint8]) -> None:
        if 4 in ids:
            raise ZeroDivisionError("from the mover")

    with pytest.raises(ZeroDivisionError, match="from the mover"):
        list(batches(pictures(), move=fail, threads=2).of_epoch(0))
    left = batches(pictures(), move=_as_they_are, threads=2).of_epoch(0)
    assert len(next(left)) == 8
    left.close()


@given(size=st.integers(1, 20), count=st.integers(1, 25))
def test_parts_are_the_batch_in_order_and_nearly_equal(size: int, count: int) -> None:
    images = torch.arange(size, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    parts = Batch(images, torch.arange(size)).parts(count)
    assert len(parts) == min(size, count)
    assert torch.cat([part.images for part in parts]).equal(images)
    assert torch.cat([part.targets for part in parts]).tolist() == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_images_are_a_view_in_the_order_networks_want() -> None:
    pixels = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    images = to_images(pixels)
    assert images[1, 2, 0, 3] == pixels[1, 0, 3, 2]
    assert images.is_contiguous(memory_format=torch.channels_last)
    pixels[0, 0, 0, 1] = 99
    assert images[0, 1, 0, 0] == 99


# --- Mixing ------------------------------------------------------------------------------


def _mixing(on_device: bool = False) -> Mixing:
    augment = Augment(mixup=1.0, cutmix=1.0)

    def plan(ids: NDArray[np.int64], number: int) -> MixPlan:
        return augment.plan_mixing(ids, seed=5, epoch=number, shape=(COUNT, 4, 4))

    def targets(own: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        return own * share + other * (1 - share)

    return Mixing(plan, targets, on_device)


def _mixed(batch_size: int, threads: int) -> dict[int, tuple[bytes, float]]:
    made = batches(pictures(), batch_size=batch_size, mixing=_mixing(), threads=threads)
    found = {}
    for batch in made.of_epoch(2):
        assert batch.ids is not None
        for number, image, target in zip(batch.ids, batch.images, batch.targets, strict=True):
            found[int(number)] = (image.numpy().tobytes(), float(target))
    return found


@pytest.mark.parametrize(("batch_size", "threads"), [(50, 1), (7, 2), (1, 3)])
def test_mixing_depends_neither_on_batches_nor_on_threads(batch_size: int, threads: int) -> None:
    assert _mixed(batch_size, threads) == _mixed(8, 1)


def test_partners_come_from_all_training_pictures_with_their_targets() -> None:
    part = pictures()
    made = batches(part, batch_size=8, mixing=_mixing(on_device=True))
    beyond = 0
    for batch in made.of_epoch(0):
        assert batch.partners is not None
        assert batch.ids is not None
        assert batch.partners.ids is not None
        plan = _mixing().plan(batch.ids, 0)
        assert batch.partners.ids.tolist() == part.ids[plan.partners].tolist()
        assert shown(batch.partners) == batch.partners.ids.tolist()
        assert shown(batch) == batch.ids.tolist(), "the device mixes"
        own, other = batch.ids % 10, batch.partners.ids % 10
        expected = own * plan.share + other * (1 - plan.share)
        assert batch.targets.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
        beyond += len(set(batch.partners.ids.tolist()) - set(batch.ids.tolist()))
    assert beyond > COUNT / 2


def test_partners_are_augmented_as_they_are_themselves() -> None:
    def move(pixels: Shown, ids: NDArray[np.int64], number: int, out: NDArray[np.uint8]) -> None:
        out[...] = np.stack(pixels) + np.uint8(100)

    made = batches(pictures(), move=move, mixing=_mixing(on_device=True), threads=2)
    for batch in made.of_epoch(0):
        assert batch.partners is not None
        assert batch.partners.ids is not None
        assert shown(batch.partners) == ((batch.partners.ids + 100) % 256).tolist()


def test_parts_carry_ids_epoch_and_partners() -> None:
    (batch, *_) = batches(pictures(), mixing=_mixing(on_device=True)).of_epoch(3)
    parts = batch.parts(3)
    assert [part.epoch for part in parts] == [3, 3, 3]
    for name in ("ids", "partners.ids"):
        whole = np.concatenate([_get(part, name) for part in parts])
        assert whole.tolist() == _get(batch, name).tolist()
    assert [part.partners is not None and len(part.partners) for part in parts] == [
        len(part) for part in parts
    ]


def _get(batch: Batch, name: str) -> NDArray[np.int64]:
    found: NDArray[np.int64] = operator.attrgetter(name)(batch)
    return found
