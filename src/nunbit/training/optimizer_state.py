"""What an optimizer keeps of each weight, written down by the weight's name.

PyTorch counts weights in the order of their groups, and groups follow learning rates: with
another rate a weight gets another number. Its name stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nunbit.training.muon import Muon
from nunbit.training.optimizers import Joined, make_optimizer

if TYPE_CHECKING:
    from nunbit.training.job import Job
    from nunbit.training.options import TrainOptions

__all__ = ["load_optimizer", "optimizer_state", "options_of"]

RATES = ("optimizer", "rest_optimizer", "lr", "head_lr", "bias_lr")
"""Options that the order of weights followed where checkpoints still counted them."""

MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
KEPT: tuple[tuple[type[torch.optim.Optimizer], set[str]], ...] = (
    (Muon, {"momentum_buffer"}),
    (torch.optim.SGD, {"momentum_buffer"}),
    (torch.optim.Adam, MOMENTS),  # AdamW is one, too
)
"""What each optimizer keeps of a weight."""


def optimizer_state(job: Job) -> dict[str, dict[str, Any]]:
    """Return what the optimizer keeps of each weight, by name; on all ranks in one order."""
    state = job.optimizer.state
    named = job.parallel.network.named_parameters()
    return {name: dict(state[weight]) for name, weight in named if state.get(weight)}


def load_optimizer(job: Job, state: Mapping[str, Any], options: TrainOptions) -> list[str]:
    """Let the optimizer go on from a saved state; returns the weights where it does not fit.

    There it begins anew: the state is another kind of optimizer's.

    Args:
        state: By the names of weights, or in older checkpoints by their numbers.
        options: Those that the state was written under.
    """
    optimizer, network = job.optimizer, job.parallel.network
    names = {weight: name for name, weight in network.named_parameters()}
    if all(key.isdigit() for key in state) and not state.keys() <= set(names.values()):
        state = _by_name(state, network, names, options)
    order = [weight for group in optimizer.param_groups for weight in group["params"]]
    keys = _keys(optimizer)
    fitting: dict[int, Mapping[str, Any]] = {}
    anew = []
    for number, weight in enumerate(order):
        kept = state.get(names[weight])
        if not kept:
            continue
        if _fits(kept, weight, keys[weight]):
            fitting[number] = kept
        else:
            anew.append(names[weight])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": fitting})
    for number, kept in fitting.items():
        weight = order[number]
        for name, value in kept.items():
            # As the optimizer makes it: of the type it had, and laid out in memory like the
            # weight. Sums of another layout could be rounded in another way.
            if name != "step" and isinstance(value, Tensor):
                optimizer.state[weight][name] = job.parallel.part(value, like=weight)
    return anew


def _keys(optimizer: torch.optim.Optimizer) -> dict[Tensor, set[str]]:
    """Return the names of what is kept of each weight."""
    parts = optimizer.parts if isinstance(optimizer, Joined) else (optimizer,)
    found: dict[Tensor, set[str]] = {}
    for part in parts:
        keys = next(keys for kind, keys in KEPT if isinstance(part, kind))
        found |= {weight: keys for group in part.param_groups for weight in group["params"]}
    return found


def _fits(kept: Mapping[str, Any], weight: Tensor, keys: set[str]) -> bool:
    return kept.keys() == keys and all(
        isinstance(kept[name], Tensor) and kept[name].shape == weight.shape
        for name in keys - {"step"}
    )


def _by_name(
    state: Mapping[str, Any],
    network: nn.Module,
    names: Mapping[nn.Parameter, str],
    options: TrainOptions,
) -> dict[str, Any]:
    """Return the state of an older checkpoint by names: weights lay in the order of its rates."""
    groups = make_optimizer(network, options).param_groups
    order = [names[weight] for group in groups for weight in group["params"]]
    return {name: state[str(k)] for k, name in enumerate(order) if str(k) in state}


def options_of(options: TrainOptions, identity: Mapping[str, Any]) -> TrainOptions:
    """Return options with the rates that a checkpoint was written under."""
    return replace(options, **{name: identity[name] for name in RATES if name in identity})
