"""Whether the network may be used."""

from __future__ import annotations

import os

__all__ = ["OFFLINE", "is_offline"]

OFFLINE = "NUNBIT_OFFLINE"
"""The variable of the environment that forbids it."""


def is_offline() -> bool:
    """Return whether ``NUNBIT_OFFLINE`` forbids the network."""
    return os.environ.get(OFFLINE, "").strip().lower() not in ("", "0", "false", "no")
