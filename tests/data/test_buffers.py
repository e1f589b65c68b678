"""Arrays that are used again: never while anybody holds them."""

from __future__ import annotations

import threading

import numpy as np
import torch

from nunbit.data.buffers import ArrayPool, Scratch


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_an_array_is_used_again_once_it_is_let_go() -> None:
    pool = ArrayPool()
    first = pool.empty((3, 4), np.float32)
    place = address(first)
    assert (first.shape, first.dtype) == ((3, 4), np.float32)
    del first
    assert address(pool.empty((4, 3), np.int32)) == place


def test_an_array_that_is_held_in_any_way_is_not_handed_out() -> None:
    pool = ArrayPool()
    held = pool.empty((8,), np.float32)
    held[:] = 7
    views = [held[2:5], torch.from_numpy(held)[:3], memoryview(held)[1:2], [held]]
    place = address(held)
    del held
    while views:
        other = pool.empty((8,), np.float32)
        assert address(other) != place
        other[:] = 0
        views.pop()
    assert address(pool.empty((8,), np.float32)) == place


def test_values_of_held_arrays_stay() -> None:
    pool = ArrayPool(limit=3)
    held = []
    for k in range(20):
        held.append(pool.empty((50,), np.float32))
        held[-1][:] = k
        pool.empty((50,), np.float32)[:] = -1
    assert [set(array.tolist()) for array in held] == [{float(k)} for k in range(20)]


def test_threads_never_share_an_array() -> None:
    pool, wrong = ArrayPool(), []

    def work(number: int) -> None:
        for _ in range(300):
            mine = pool.empty((64,), np.int64)
            mine[:] = number
            if not (mine == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_scratch_belongs_to_its_thread() -> None:
    scratch, places = Scratch(), []
    mine = scratch.array("a", (5,), np.uint8)
    assert scratch.array("a", (5,), np.uint8) is mine
    assert scratch.array("b", (5,), np.uint8) is not mine
    assert scratch.array("a", (6,), np.uint8).shape == (6,)
    again = scratch.array("a", (5,), np.uint8)
    other = threading.Thread(target=lambda: places.append(scratch.array("a", (5,), np.uint8)))
    other.start()
    other.join()
    assert places[0] is not again
