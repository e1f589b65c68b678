"""Optimizers: which rule changes which weights, and which of them are pulled to 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from nunbit.errors import OptionError
from nunbit.networks import network_heads
from nunbit.training.lean_optimizers import lean, lean_adam, match_layout
from nunbit.training.muon import Muon
from nunbit.training.options import TrainOptions

__all__ = ["Joined", "make_optimizer"]

Group = dict[str, Any]
"""``params``, ``weight_decay``, and ``lr_factor``, which the loop multiplies its rate by."""

MUON_REST = 0.3
"""Learning rate of AdamW, as a share of muon's, for the weights that muon leaves to it; of shares
from 0.02 to 1 those from 0.25 to 0.5 were best on digits, with muon's at 0.1 and 0.2."""

REST_MOMENTUM = 0.85
"""Momentum of sgd for the weights that muon leaves to it, as in Jordan's CIFAR-10 runs."""

MOST_CHANNELS = 4
"""Of a picture."""


class Joined(torch.optim.Optimizer):
    """Several optimizers that look like one: each has its own parameter groups.

    State and groups are shared with the parts, so that saving, loading and setting the
    learning rate are those of any optimizer of PyTorch.

    Args:
        parts: Optimizers whose parameters differ; at least one.
    """

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        start = 0
        for part in self.parts:
            stop = start + len(part.param_groups)
            part.param_groups = self.param_groups[start:stop]
            part.state = self.state
            start = stop

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss


def make_optimizer(network: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """Make the optimizer; weight decay pulls on filters and matrices only.

    Biases, the gains of normalisation layers, and what a network learns besides layers
    (the places of a transformer) are no templates to be kept small: pulling on them
    costs accuracy (He et al. 2018, arXiv:1812.01187, 3.1).

    Args:
        options: Resolved: no None among the fields read here.
    Raises:
        OptionError: Muon is asked for and finds nothing to change.
    """
    lr = options.lr or 0.0
    trainable = {n: each for n, each in network.named_parameters() if each.requires_grad}
    # One pass over each weight: four to nine times as quick as torch's default on a processor.
    # Weights in parts (fsdp) are of another class, which torch's fused sgd does not know.
    fused = all(
        each.device.type in ("cpu", "cuda") and type(each) is nn.Parameter
        for each in trainable.values()
    )
    if options.optimizer == "muon":
        return _with_muon(network, trainable, options, fused=fused)
    groups = _groups(trainable, options, heads=network_heads(network))
    if options.optimizer == "sgd":
        return _sgd(groups, lr=lr, momentum=options.momentum, fused=fused)
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return _adam(kind, groups, lr=lr, fused=fused)


def _with_muon(
    network: nn.Module,
    trainable: Mapping[str, nn.Parameter],
    options: TrainOptions,
    *,
    fused: bool,
) -> torch.optim.Optimizer:
    """Make muon for filters, and what the options say for the rest."""
    lr, heads = options.lr or 0.0, network_heads(network)
    filters = _filters(network, heads)
    theirs = {id(each) for each in filters}
    muon = lean(Muon)(
        [{"params": filters, "lr_factor": 1.0}],
        lr=lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay or 0.0,
        steps=options.muon_steps,
        fixed_length=options.fixed_length,
        dtype=torch.bfloat16 if options.precision == "bfloat16" else torch.float32,
    )
    rest = {name: each for name, each in trainable.items() if id(each) not in theirs}
    if not rest:
        return muon
    groups = _groups(rest, options, heads=heads, usual=MUON_REST)
    if options.rest_optimizer == "sgd":
        other: torch.optim.Optimizer = _sgd(groups, lr=lr, momentum=REST_MOMENTUM, fused=fused)
    else:
        other = _adam(torch.optim.AdamW, groups, lr=lr, fused=fused)
    return lean(Joined)(muon, other)


def _sgd(groups: list[Group], *, lr: float, momentum: float, fused: bool) -> torch.optim.Optimizer:
    return _guarded(
        lean(torch.optim.SGD)(groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=fused)
    )


def _adam(
    kind: type[torch.optim.Adam], groups: list[Group], *, lr: float, fused: bool
) -> torch.optim.Optimizer:
    if not fused:
        return lean(kind)(groups, lr=lr, fused=False)
    weights = [each for group in groups for each in group["params"]]
    return _guarded(lean_adam(kind, weights)(groups, lr=lr, fused=True))


def _guarded(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Let an optimizer give gradients the memory layout of their weights before each step."""
    optimizer.register_step_pre_hook(lambda found, args, kwargs: match_layout(found))
    return optimizer


def _groups(
    weights: Mapping[str, nn.Parameter],
    options: TrainOptions,
    *,
    heads: Sequence[str],
    usual: float = 1.0,
) -> list[Group]:
    """Return parameter groups: weights of the same rate and decay are one.

    Args:
        weights: By name.
        heads: Paths of the last layers.
        usual: ``lr_factor`` where no option says another rate.
    """
    lr, decay = options.lr or 0.0, options.weight_decay or 0.0
    found: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, weight in weights.items():
        is_bias = not (weight.ndim > 1 and name.endswith("weight"))
        own = options.bias_lr if is_bias else None
        if name.rpartition(".")[0] in heads:
            own = options.head_lr
        factor = usual if own is None or lr == 0 else own / lr
        found.setdefault((is_bias, factor), []).append(weight)
    return [
        {"params": each, "weight_decay": 0.0 if is_bias else decay, "lr_factor": factor}
        for (is_bias, factor), each in sorted(found.items(), key=lambda item: item[0])
    ]


def _filters(network: nn.Module, heads: Sequence[str]) -> list[nn.Parameter]:
    """Return the weights that muon changes: of hidden layers, convolutions and dense ones.

    The last layers and the first one, whose inputs or outputs stand for something by
    themselves, are none of them; where a network has no other, its first layer is.

    Source: https://github.com/KellerJordan/Muon, README: "all the convolutional filters
    except the first one, and AdamW to optimize everything else".
    Raises:
        OptionError: There are none.
    """
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    layers = {name: each for name, each in network.named_modules() if isinstance(each, kinds)}
    first = next(iter(layers.values()), None)
    seeing = {id(layer) for layer in layers.values() if layer is first or _sees_all(layer, first)}
    body = [
        each for name, each in layers.items() if name not in heads and each.weight.requires_grad
    ]
    hidden = [each for each in body if id(each) not in seeing]
    weights: list[nn.Parameter] = [each.weight for each in hidden or body]  # type: ignore[misc]
    chosen = {id(each): each for each in weights}  # a shared weight once
    if not chosen:
        raise OptionError(
            "optimizer `muon` changes the filters of hidden layers, and of this network only "
            "the last layer is trained. Pass `--optimizer adamw` or `--optimizer sgd`."
        )
    return list(chosen.values())


def _sees_all(layer: nn.Module, first: nn.Module | None) -> bool:
    """Whether a layer looks at the picture as the first one does; AlexNet has two that do."""
    conv = nn.Conv2d
    return (
        isinstance(layer, conv)
        and isinstance(first, conv)
        and layer.in_channels == first.in_channels <= MOST_CHANNELS
    )
