"""Freed memory that stays in the process: fewer pages to fill, and all given back in the end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from nunbit.allocation import _libc

WORK = """
import ctypes, os, resource, sys
from nunbit.allocation import memory_kept
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
BLOCK = 48 * 2**20  # more than glibc would ever keep by itself

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        place = libc.malloc(BLOCK)
        ctypes.memset(place, 1, BLOCK)
        libc.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

outside, empty = faults(), held()
with memory_kept():
    faults()
    with memory_kept():
        faults()
    inside = faults()
    full = held()
after = held()
print(outside, inside, full - empty, after - empty, faults())
"""

glibc_alone = pytest.mark.skipif(_libc() is None or sys.platform != "linux", reason="no glibc")


def measure(**environment: str) -> list[int]:
    ran = subprocess.run(
        [sys.executable, "-c", WORK],
        capture_output=True,
        text=True,
        check=True,
        env={**clean_environment(), **environment},
    )
    return [int(each) for each in ran.stdout.split()]


def clean_environment() -> dict[str, str]:
    drop = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
    return {name: value for name, value in os.environ.items() if not name.startswith(drop)}


@glibc_alone
def test_pages_are_filled_once_and_given_back() -> None:
    outside, inside, full, after, later = measure()
    assert outside > 100, "else there is nothing to save"
    assert inside <= outside / 50
    assert full >= 40 * 2**20
    assert after < 8 * 2**20
    assert later >= outside / 2, "it is as it was"


@glibc_alone
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_who_has_said_how_to_allocate_is_obeyed(name: str) -> None:
    value = {"MALLOC_TRIM_THRESHOLD_": "131072"}.get(name, "")
    outside, inside, *_ = measure(**{name: value})
    assert inside >= outside / 2
