"""Receptive fields, and from where to where values flow, while a network runs.

A torch function mode sees every operation of the pass and keeps for each tensor
how many pixels of the picture one of its values sees (the receptive field) and how
many pixels lie between two neighbours (the jump), per axis of the picture:

    picture             field 1, jump 1
    window k, stride s,
    dilation d          field ← field + d · (k − 1) · jump,  jump ← jump · s
    sum, concatenation  the larger of both
    dense, global pool  everything: infinite

Padding counts as picture, so that a field may be larger than the picture. What a
normalisation learns from the whole map, such as its mean, is not counted.

Source: Araujo et al. 2019, "Computing receptive fields of convolutional neural
networks", doi:10.23915/distill.00021.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from nunbit.networks._reshaped import axes_after_reshape
from nunbit.networks._windows import Window, quick_output, spread

__all__ = ["FieldMode", "Flow"]

Number = Fraction | float
"""Whole, or a part where adaptive pooling does not divide; infinite where all is seen."""

SLIDING = ("conv", "max_pool", "avg_pool", "lp_pool")
REDUCING = (
    *("sum", "mean", "amax", "amin", "max", "min", "var", "std", "logsumexp", "prod"),
    *("softmax", "log_softmax", "cumsum"),
)
RESHAPING = ("flatten", "reshape", "view", "unflatten", "squeeze", "unsqueeze")
MERGING = ("add", "sub", "rsub", "mul", "cat", "concat", "stack", "maximum", "minimum")
"""Operations that join branches; :class:`FieldMode` tells its owner."""


@dataclass(frozen=True)
class Flow:
    """What is known of one tensor of the pass.

    Args:
        field: Per axis of the picture, in pixels.
        jump: Likewise.
        axes: Per dimension of the tensor, which axes of the picture lie along it.
        source: Number of the step that made it.
    """

    field: tuple[Number, ...]
    jump: tuple[Number, ...]
    axes: tuple[frozenset[int], ...]
    source: int

    @property
    def pixels(self) -> tuple[int, ...] | None:
        """The field in whole pixels; None where everything is seen."""
        if math.inf in self.field:
            return None
        return tuple(math.ceil(each) for each in self.field)

    def seeing_all(self, axes: frozenset[int]) -> Flow:
        """Return the same with infinite fields along some axes."""
        field = tuple(math.inf if k in axes else r for k, r in enumerate(self.field))
        return replace(self, field=field)


class FieldMode(TorchFunctionMode):
    """Follows the tensors of a pass; what it knows of one is at :meth:`flow`.

    Args:
        images: (B, C, H, W) or (B, C, T), the input of the pass.
        on_merge: Called with the name of an operation that joins branches, the steps that
            made its inputs, and its output; returns the number of the new step. It is
            asked outside of layers only: see :attr:`depth`.
    """

    def __init__(
        self, images: Tensor, *, on_merge: Callable[[str, Sequence[int], Tensor], int]
    ) -> None:
        super().__init__()
        count = images.ndim - 2
        axes = (frozenset[int](), frozenset[int](), *(frozenset({k}) for k in range(count)))
        one: tuple[Number, ...] = (Fraction(1),) * count
        self.on_merge = on_merge
        self.depth = 0
        # The tensors are kept too: the number of one that is gone may be given again.
        self._known: dict[int, tuple[Tensor, Flow]] = {}
        self.keep(images, Flow(one, one, axes, source=0))

    def keep(self, tensor: Tensor, flow: Flow) -> None:
        """Say what is known of a tensor."""
        self._known[id(tensor)] = (tensor, flow)

    def flow(self, tensor: Tensor) -> Flow | None:
        """Return what is known of a tensor; None where it does not come from the picture."""
        known = self._known.get(id(tensor))
        return known[1] if known is not None else None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        quick = quick_output(getattr(func, "__name__", ""), args, named)
        made = func(*args, **named) if quick is None else quick
        flows = [flow for each in tensors((args, named)) if (flow := self.flow(each))]
        outputs = [each for each in tensors(made) if each.ndim > 0]
        if not flows or not outputs:
            return made
        name = getattr(func, "__name__", "").strip("_")
        sources = list(dict.fromkeys(flow.source for flow in flows))
        for output in outputs:
            flow = self._after(name, args, named, output)
            if len(sources) > 1 and self.depth == 0:
                flow = replace(flow, source=self.on_merge(name, sources, output))
            self.keep(output, flow)
        return made

    def _after(self, name: str, args: Any, named: dict[str, Any], output: Tensor) -> Flow:
        first = next(each for each in tensors((args, named)) if self.flow(each))
        flow = self.flow(first)
        if flow is None:  # pragma: no cover  # it was found by having one
            raise LookupError(name)
        if name.startswith(SLIDING):
            return slide(flow, Window.of_call(name, args, named, first), name)
        if name.startswith("adaptive_"):
            return adapt(flow, first.shape, output.shape)
        if name in ("linear", "matmul", "bmm"):
            flow = flow.seeing_all(flow.axes[-1])
            return replace(flow, axes=(*flow.axes[:-1], frozenset()))
        if name in REDUCING and not any(isinstance(each, Tensor) for each in args[1:]):
            return reduce(flow, _dimension(args, named), output.ndim)
        if name in RESHAPING:
            return replace(flow, axes=axes_after_reshape(flow.axes, first.shape, output.shape))
        if name in ("transpose", "permute", "swapaxes", "movedim"):
            order = _order(name, args, named, first.ndim)
            return replace(flow, axes=tuple(flow.axes[k] for k in order))
        if name == "getitem":
            return index(flow, args[1], output.ndim)
        if name == "pad":
            return flow
        every = [(each, found) for each in tensors((args, named)) if (found := self.flow(each))]
        return merge([found for _, found in every], [e.shape for e, _ in every], output.shape, name)


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in arguments or results, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors(each)


def slide(flow: Flow, window: Window, name: str) -> Flow:
    """Return what follows a window; a convolution mixes the channels besides."""
    rank = len(window.size)
    field, jump = list(flow.field), list(flow.jump)
    everything: frozenset[int] = frozenset()
    for k, along in enumerate(flow.axes[-rank:]):
        size, stride, dilation = window.size[k], window.stride[k], window.dilation[k]
        if len(along) > 1 and size > 1:  # a map written as one line: neighbours may be far apart
            everything |= along
        elif len(along) == 1:
            axis = next(iter(along))
            if "transpose" in name:
                reach = math.ceil((dilation * (size - 1) + 1) / stride) - 1
                field[axis] += reach * jump[axis]
                jump[axis] = jump[axis] / stride
            else:
                field[axis] += dilation * (size - 1) * jump[axis]
                jump[axis] = jump[axis] * stride
    after = replace(flow, field=tuple(field), jump=tuple(jump))
    if name.startswith("conv"):
        everything |= flow.axes[-rank - 1]
        channels = (*flow.axes[: -rank - 1], frozenset[int](), *flow.axes[-rank:])
        after = replace(after, axes=channels)
    return after.seeing_all(everything)


def adapt(flow: Flow, before: Sequence[int], after: Sequence[int]) -> Flow:
    """Return what follows pooling to a given size: windows as large as they must be."""
    field, jump = list(flow.field), list(flow.jump)
    for k, along in enumerate(flow.axes):
        cells, places = before[k], after[k]
        if cells == places:
            continue
        window = max(-(-(at + 1) * cells // places) - at * cells // places for at in range(places))
        for axis in along:
            is_global = places == 1 or len(along) > 1
            field[axis] = math.inf if is_global else field[axis] + (window - 1) * jump[axis]
            jump[axis] = jump[axis] * Fraction(cells, places)
    return replace(flow, field=tuple(field), jump=tuple(jump))


def reduce(flow: Flow, dimension: Any, rank: int) -> Flow:
    """Return what follows a sum or the like over some dimensions, or over all."""
    count = len(flow.axes)
    chosen = range(count) if dimension is None else spread(dimension, 1)
    gone = {k % count for k in chosen}
    after = flow.seeing_all(frozenset[int]().union(*(flow.axes[k] for k in gone)))
    if rank == count:
        return after
    return replace(after, axes=tuple(a for k, a in enumerate(flow.axes) if k not in gone))


def index(flow: Flow, key: Any, rank: int) -> Flow:
    """Return what follows ``x[key]``: steps of slices lengthen the jump."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if any(isinstance(each, (Tensor, list)) for each in keys):
        return merge([flow], [()], (0,) * rank, "gather")
    taken = sum(each is not None and each is not Ellipsis for each in keys)
    rest = [slice(None)] * (len(flow.axes) - taken)
    at = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    keys[at : at + 1] = rest
    jump, axes, place = list(flow.jump), [], 0
    for each in keys:
        if each is None:
            axes.append(frozenset[int]())
            continue
        along = flow.axes[place]
        place += 1
        if isinstance(each, slice):
            axes.append(along)
            for axis in along:
                jump[axis] = jump[axis] * (each.step or 1)
    return replace(flow, jump=tuple(jump), axes=tuple(axes))


def merge(
    flows: Sequence[Flow], before: Sequence[Sequence[int]], after: Sequence[int], name: str
) -> Flow:
    """Return the larger of what comes together, dimension by dimension from the last.

    An unknown operation that changes sizes along the picture may have looked anywhere.
    """
    first, rank = flows[0], len(after)
    axes = [frozenset[int]() for _ in range(rank)]
    everything: frozenset[int] = frozenset()
    for flow, shape in zip(flows, before, strict=True):
        if name != "stack" and len(flow.axes) > rank:
            everything |= frozenset(range(len(first.field)))
            continue
        for k in range(1, len(flow.axes) + 1):
            axes[-k] |= flow.axes[-k]
            is_known = name in MERGING or not shape or shape[-k] in (1, after[-k])
            everything |= frozenset() if is_known else flow.axes[-k]
        if not shape:
            everything |= frozenset(range(len(first.field)))
    field = tuple(max(column) for column in zip(*(f.field for f in flows), strict=True))
    jump = tuple(max(column) for column in zip(*(f.jump for f in flows), strict=True))
    return Flow(field, jump, tuple(axes), first.source).seeing_all(everything)


def _dimension(args: Any, named: dict[str, Any]) -> Any:
    given = named.get("dim", named.get("axis", args[1] if len(args) > 1 else None))
    return None if isinstance(given, Tensor) else given


def _order(name: str, args: Any, named: dict[str, Any], rank: int) -> list[int]:
    """Return which old dimension each new one is."""
    keys = ("dims", "dim0", "dim1", "axis0", "axis1", "source", "destination")
    given = [*args[1:], *(named[key] for key in keys if key in named)]
    lists = [[k % rank for k in spread(each, 1)] for each in given]
    if name == "permute":
        return [k for each in lists for k in each]
    sources, targets = lists[0], lists[1]
    if name == "movedim":
        order = [k for k in range(rank) if k not in sources]
        for target, source in sorted(zip(targets, sources, strict=True)):
            order.insert(target, source)
        return order
    order = list(range(rank))
    order[sources[0]], order[targets[0]] = targets[0], sources[0]
    return order
