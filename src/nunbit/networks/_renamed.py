"""Model files from before a part of a network got its present name."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["accept_old_name"]


def accept_old_name(network: nn.Module, *, old: str, new: str) -> None:
    """Let ``network`` load weights in which the part ``new`` is called ``old``."""

    def rename(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
        for key in [key for key in state if key.startswith(f"{prefix}{old}.")]:
            state[f"{prefix}{new}{key.removeprefix(prefix + old)}"] = state.pop(key)

    network.register_load_state_dict_pre_hook(rename)  # type: ignore[no-untyped-call]  # torch
