"""Optimizers without the 1.2 s and 80 MB of torch's compiler, which no step of ours needs.

torch 2.13 marks ``add_param_group``, ``zero_grad``, ``state_dict`` and ``load_state_dict`` of
its optimizers as "not to be compiled", and ends each ``step`` with a break for the compiler.
Both marks import ``torch._dynamo`` on the first call: a third of the start-up of a small run.
We never compile an optimizer's step, so the functions below the marks do the same work.

Nothing of torch is patched: a subclass is made whose methods are those functions, found
by ``inspect.unwrap``. Where a later torch has other marks or none, the subclass still
computes the same, and at worst is as slow as before.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

__all__ = ["lean", "lean_adam", "match_layout"]

MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def lean(kind: type[Kind]) -> type[Kind]:
    """Return a subclass of an optimizer that computes the same and imports no compiler.

    Args:
        kind: An optimizer of ``torch.optim``, or one made like them.

    Example:
        >>> weights = [torch.nn.Parameter(torch.ones(3))]
        >>> optimizer = lean(torch.optim.SGD)(weights, lr=0.1)
        >>> isinstance(optimizer, torch.optim.SGD)
        True
    """
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in MARKED}
    usual_zero_grad = plain["zero_grad"]

    def zero_grad(self: torch.optim.Optimizer, set_to_none: bool = True) -> None:
        if not set_to_none:
            usual_zero_grad(self, set_to_none=False)
            return
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None

    # The mark around a step switches gradients off, too.
    step = torch.no_grad()(inspect.unwrap(kind.step))
    members = {**plain, "zero_grad": zero_grad, "step": step, "__doc__": kind.__doc__}
    return cast("type[Kind]", type(kind.__name__, (kind,), members))


def match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give gradients the memory layout of their weights.

    PyTorch's backward pass makes them so; others may have put new ones in their place. On a
    processor the fused kernels take memory as it lies and mix them up without a word
    (measured with PyTorch 2.13).
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is not None and weight.grad.stride() != weight.stride():
                weight.grad = torch.empty_like(weight).copy_(weight.grad)


def lean_adam(kind: type[torch.optim.Adam], weights: Iterable[Tensor]) -> type[torch.optim.Adam]:
    """Return Adam or AdamW, fused, as :func:`lean` makes it; on a processor leaner still.

    There a step is one call of torch's fused kernel for each group. What torch does before
    it (lists by device and type, a name for the profiler) took as long again for a network
    as small as ``mlp``. Elsewhere, and for the first step, it is torch's own.

    Args:
        kind: ``torch.optim.Adam`` or ``torch.optim.AdamW``.
        weights: What will be changed.
    """
    made = lean(kind)
    kernel = getattr(torch, "_fused_adamw_" if kind is torch.optim.AdamW else "_fused_adam_", None)
    plain = all(each.device.type == "cpu" and each.dtype == torch.float32 for each in weights)
    if kernel is None or not plain:
        return made
    usual_step = made.step

    @torch.no_grad()
    def step(self: torch.optim.Adam, closure: Callable[[], float] | None = None) -> float | None:
        for before in self._optimizer_step_pre_hooks.values():
            before(self, (), {})
        moved = [[each for each in g["params"] if each.grad is not None] for g in self.param_groups]
        known = all(self.state.get(each) for part in moved for each in part)
        rare = any(group["amsgrad"] or group["maximize"] for group in self.param_groups)
        if closure is None and known and not rare:
            for group, params in zip(self.param_groups, moved, strict=True):
                if params:
                    call(group, params, [self.state[each] for each in params])
            loss = None
        else:
            loss = cast("float | None", usual_step(self, closure))
        for after in self._optimizer_step_post_hooks.values():
            after(self, (), {})
        return loss

    def call(group: dict[str, Any], params: list[Tensor], states: list[dict[str, Any]]) -> None:
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        kernel(
            params,
            [each.grad for each in params],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    # Torch looks for this mark, and then adds nothing: hooks are called above.
    step.hooked = True  # type: ignore[attr-defined]  # a function has no such name
    return cast("type[torch.optim.Adam]", type(kind.__name__, (made,), {"step": step}))
