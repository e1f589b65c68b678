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
from typing import TypeVar, cast

import torch

__all__ = ["lean"]

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
    # The mark around a step switches gradients off, too.
    step = torch.no_grad()(inspect.unwrap(kind.step))
    members = {**plain, "step": step, "__doc__": kind.__doc__}
    return cast("type[Kind]", type(kind.__name__, (kind,), members))
