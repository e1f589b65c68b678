"""Pictures that lie on the device give the batches of the ordinary path.

No GPU is needed: the processor stands in for the device.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nunbit.augment import Augment
from nunbit.data import device_pixels
from nunbit.data.batches import Batch, Batches, Mixing
from nunbit.data.device_pixels import DevicePixels, keep_on_device
from nunbit.data.pictures import PictureSet
from nunbit.tasks import Classification
from nunbit.training.augmenting import make_augmenting

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


def pictures(count: int = 23, channels: int = 3) -> PictureSet:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (count + 5, 6, 6, channels), dtype=np.uint8)
    rows = rng.permutation(count + 5)[:count]
    ids = np.arange(count) * 2 + 1
    return PictureSet("train", pixels, rows, ids % 3, ids, [str(i) for i in ids])


def batches(part: PictureSet, resident: DevicePixels | None, mixing: Mixing | None) -> list[Batch]:
    made = Batches(
        part,
        torch.from_numpy(part.labels),
        batch_size=5,
        seed=4,
        mixing=mixing,
        resident=resident,
    )
    return list(made.of_epoch(2, start=1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("chunk_bytes", [1, 300, 1 << 20])
def test_batches_are_the_same_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, channels: int, chunk_bytes: int
) -> None:
    monkeypatch.setattr(device_pixels, "CHUNK_BYTES", chunk_bytes)
    part = pictures(channels=channels)
    expected = batches(part, None, None)
    found = batches(part, DevicePixels(part, CPU), None)
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.images, other.images)
        assert one.images.stride() == other.images.stride()
        assert torch.equal(one.targets, other.targets)
        assert np.array_equal(np.asarray(one.ids), np.asarray(other.ids))
        assert one.whole == other.whole


def test_partners_and_augmentation_on_the_device_are_the_same() -> None:
    part = pictures()
    augment = Augment(mixup=0.4, horizontal_flip=True, rotation_range=20)
    task = Classification(("a", "b", "c"))
    made = make_augmenting(augment, task=task, seed=4, shape=(23, 6, 6), on_device=True)
    assert made.on_device is not None
    expected = batches(part, None, made.mixing)
    found = batches(part, DevicePixels(part, CPU), made.mixing)
    for one, other in zip(found, expected, strict=True):
        assert one.partners is not None
        assert other.partners is not None
        assert torch.equal(one.partners.images, other.partners.images)
        assert torch.equal(one.targets, other.targets)
        mixed = made.on_device(one, one.images)
        assert torch.equal(mixed, made.on_device(other, other.images))
        assert not torch.equal(mixed, one.images)


def test_a_processor_needs_no_copy() -> None:
    assert keep_on_device(pictures(), CPU, free=1 << 40) is None


def test_a_quarter_of_the_free_memory_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_pixels, "DevicePixels", lambda part, device: "kept")
    part, size = pictures(), 23 * 6 * 6 * 3
    assert keep_on_device(part, CUDA, free=4 * size) == "kept"
    assert keep_on_device(part, CUDA, free=4 * size - 1) is None


def test_pictures_in_a_file_stay_there() -> None:
    class InFile:
        shape = (28, 6, 6, 3)

        def __getitem__(self, rows: NDArray[np.int64]) -> Any:
            raise AssertionError("was read")

    part = SimpleNamespace(pixels=InFile())
    assert keep_on_device(part, CUDA, free=1 << 40) is None  # type: ignore[arg-type]
