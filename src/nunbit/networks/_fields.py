"""Receptive fields, and from where to where values flow, while a network runs.

A torch function mode sees every operation of the pass and keeps for each tensor
how many pixels of the picture one of its values sees (the receptive field) and how
many pixels lie between two neighbours (the jump), per axis of the picture:

    picture             field 1, jump 1
    window k, stride s,
    dilation d          field ← field + d · (k − 1) · jump,  jump ← jump · s
    sum, concatenation  the larger of both
    dense, global pool  everything: infinite

A picture written as one line, pixel by pixel, has one axis from then on: the line.

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
from typing import Any, Literal

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nunbit.errors import ShapeError
from nunbit.networks._reshaped import axes_after_reshape
from nunbit.networks._windows import Window, spread

__all__ = ["Field", "FieldMode", "Flow"]

Field = tuple[int | Literal["all"], ...] | Literal["all"]
"""Pixels per axis of the picture; ``"all"`` alone where that holds for every axis."""

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

MIXING = (
    *("lstm", "gru", "rnn_tanh", "rnn_relu", "einsum"),
    *("multi_head_attention_forward", "scaled_dot_product_attention"),
)
"""Operations after which every value may have seen everything."""
READING = ("bool", "int", "float", "index", "item", "tolist")
"""Operations that turn values into Python's: a way that depends on them cannot be followed."""


@dataclass(frozen=True)
class Flow:
    """What is known of one tensor of the pass.

    Args:
        field: Per axis of the picture, in pixels.
        jump: Likewise.
        axes: Per dimension of the tensor, which axes of the picture lie along it.
        source: Number of the step that made it.
        line: Field and jump along the line that the picture was written as, once a window
            slid over it; they replace those per axis.
    """

    field: tuple[Number, ...]
    jump: tuple[Number, ...]
    axes: tuple[frozenset[int], ...]
    source: int
    line: tuple[Number, Number] | None = None

    @property
    def pixels(self) -> Field:
        """The field in whole pixels."""
        if set(self.field) == {math.inf}:
            return "all"
        shown = self.field if self.line is None else self.line[:1]
        return tuple("all" if each == math.inf else math.ceil(each) for each in shown)

    @property
    def is_fresh(self) -> bool:
        """Whether each value is one pixel, and neighbours are neighbours in the picture."""
        return self.line is None and {*self.field, *self.jump} == {1}

    def seeing_all(self, axes: frozenset[int]) -> Flow:
        """Return the same with infinite fields along some axes; a line is seen whole or not."""
        if self.line is not None and axes:
            axes = frozenset(range(len(self.field)))
        field = tuple(math.inf if k in axes else r for k, r in enumerate(self.field))
        return replace(self, field=field, line=None if axes else self.line)


class FieldMode(TorchFunctionMode):
    """Follows the tensors of a pass; what it knows of one is at :meth:`flow`.

    Args:
        images: (B, C, H, W) or (B, C, T), the input of the pass; B may be 0.
        on_merge: Called with the name of an operation that joins branches, the steps that
            made its inputs, its output, and what that sees; returns the number of the
            new step. It is asked outside of layers only: see :attr:`depth`.
        on_weight: Called with each weight that is used outside of layers.
    """

    def __init__(
        self,
        images: Tensor,
        *,
        on_merge: Callable[[str, Sequence[int], Tensor, Field], int],
        on_weight: Callable[[Tensor], None],
    ) -> None:
        super().__init__()
        count = images.ndim - 2
        axes = (frozenset[int](), frozenset[int](), *(frozenset({k}) for k in range(count)))
        one: tuple[Number, ...] = (Fraction(1),) * count
        self.on_merge, self.on_weight = on_merge, on_weight
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
        name = getattr(func, "__name__", "").strip("_")
        flows = [flow for each in tensors((args, named)) if (flow := self.flow(each))]
        if flows and name in READING:
            raise ShapeError(
                "the layer table cannot follow a network whose way depends on the values in a "
                "picture (an `if` on a tensor, `.item()` and the like): it knows shapes, not "
                "values. Write it with tensor operations, such as `torch.where`."
            )
        made = func(*args, **named)
        outputs = list(tensors(made))
        if outputs and self.depth == 0:
            for each in tensors((args, named)):
                if isinstance(each, nn.Parameter):
                    self.on_weight(each)
        if not flows or not outputs:
            return made
        sources = list(dict.fromkeys(flow.source for flow in flows))
        for output in outputs:
            flow = self._after(name, args, named, output)
            if len(sources) > 1 and self.depth == 0:
                step = self.on_merge(_plain(name), sources, output, flow.pixels)
                flow = replace(flow, source=step)
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
        if name in MIXING:
            return _mixed(flow, output.ndim)
        if name in ("matmul", "bmm", "rmatmul"):
            one, other = list(tensors((args, named)))[:2]
            return self._product(*((other, one) if name == "rmatmul" else (one, other)), output)
        if name == "linear":
            flow = flow.seeing_all(flow.axes[-1])
            return replace(flow, axes=(*flow.axes[:-1], frozenset()))
        if name in REDUCING and not any(isinstance(each, Tensor) for each in args[1:]):
            return reduce(flow, _dimension(args, named), output.ndim)
        if name in RESHAPING:
            _check_batch(first.shape, output.shape)
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

    def _product(self, one: Tensor, other: Tensor, output: Tensor) -> Flow:
        """Return what follows a product of matrices: all along what is summed is seen."""
        left, right = self.flow(one), self.flow(other)
        rank, none = output.ndim, frozenset[int]()
        parts, summed = [], none
        for flow, keeps, along in ((left, -2, -1), (right, -1, -2)):
            if flow is None:
                continue
            if min(one.ndim, other.ndim) < 2:
                return _mixed(flow, rank)
            axes = [none] * (rank - len(flow.axes)) + [*flow.axes[:-2], none, none]
            axes[keeps] = flow.axes[keeps]
            summed |= flow.axes[along]
            parts.append(replace(flow, axes=tuple(axes)))
        return merge(parts, [output.shape] * len(parts), output.shape, "mul").seeing_all(summed)


def _mixed(flow: Flow, rank: int) -> Flow:
    everything = frozenset(range(len(flow.field)))
    axes = flow.axes if len(flow.axes) == rank else (frozenset[int](),) * rank
    return replace(flow, axes=axes).seeing_all(everything)


def _check_batch(before: Sequence[int], after: Sequence[int]) -> None:
    """Refuse to guess what became of a batch of 0 that was joined with something else."""
    one, other = (math.prod(n for n in shape if n) for shape in (before, after))
    if one != other:
        raise ShapeError(f"{tuple(before)} became {tuple(after)}.")


def _plain(name: str) -> str:
    """Return ``add`` for ``a + b``, ``a += b`` and ``add``, and so on."""
    short = name[1:]
    return short if name[:1] in ("i", "r") and short in ("add", "sub", "mul", "truediv") else name


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
    field, jump, line = list(flow.field), list(flow.jump), flow.line
    everything: frozenset[int] = frozenset()
    is_transposed = "transpose" in name
    for k, along in enumerate(flow.axes[-rank:]):
        step = (window.size[k], window.stride[k], window.dilation[k])
        if len(along) > 1 and (line is not None or flow.is_fresh):
            start, apart = line or (Fraction(1), Fraction(1))
            line = _slid(start, apart, step, is_transposed)
        elif step[:2] != (1, 1) and (len(along) > 1 or (along and line is not None)):
            everything |= along  # a map written as one line: neighbours may be far apart
        elif along:
            axis = next(iter(along))
            field[axis], jump[axis] = _slid(field[axis], jump[axis], step, is_transposed)
    after = replace(flow, field=tuple(field), jump=tuple(jump), line=line)
    if name.startswith("conv"):
        everything |= flow.axes[-rank - 1]
        channels = (*flow.axes[: -rank - 1], frozenset[int](), *flow.axes[-rank:])
        after = replace(after, axes=channels)
    return after.seeing_all(everything)


def _slid(
    field: Number, jump: Number, step: tuple[int, int, int], is_transposed: bool
) -> tuple[Number, Number]:
    """Return field and jump after a window along one axis."""
    size, stride, dilation = step
    if is_transposed:
        reach = math.ceil((dilation * (size - 1) + 1) / stride) - 1
        return field + reach * jump, jump / stride
    return field + dilation * (size - 1) * jump, jump * stride


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
    whole = frozenset(axis for axis, each in enumerate(field) if each == math.inf)
    return replace(flow, field=tuple(field), jump=tuple(jump)).seeing_all(whole)


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
    jump, line, axes, place = list(flow.jump), flow.line, [], 0
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
            if line is not None and along:
                line = (line[0], line[1] * (each.step or 1))
    return replace(flow, jump=tuple(jump), axes=tuple(axes), line=line)


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
    lines = [flow.line for flow in flows if flow.line is not None]
    line = (max(r for r, _ in lines), max(j for _, j in lines)) if lines else None
    if line is not None and any(flow.line is None and not flow.is_fresh for flow in flows):
        everything = frozenset(range(len(field)))
    return Flow(field, jump, tuple(axes), first.source, line).seeing_all(everything)


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
