"""Where Nunbit keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return ``$NUNBIT_CACHE``, else ``$XDG_CACHE_HOME/nunbit``, else ``~/.cache/nunbit``.

    Everything below it may be deleted at any time.
    """
    if chosen := os.environ.get("NUNBIT_CACHE"):
        return Path(chosen).expanduser()
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "nunbit"
