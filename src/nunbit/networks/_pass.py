"""One pass through a network without values: the rows of the layer table, and its graph.

Hooks write a row for each layer; where branches come together, the mode that follows
receptive fields (``_fields.py``) tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from nunbit.errors import ShapeError
from nunbit.networks._fields import Field, FieldMode, tensors
from nunbit.networks._kinds import TRANSPOSED, kind_of
from nunbit.networks._meta import ghost_of
from nunbit.networks._registry import network_heads

__all__ = ["Layer", "Step", "follow"]

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Layer:
    """One row of the table.

    Args:
        name: Path within the network, such as ``features.0``; for a join, of the module
            that joins.
        kind: As people say it: ``conv 3×3``, ``dense``, ``max-pool 2``, ``concat``, ``add``.
        output: (C, H, W) or (C,). Empty where no picture passes: layers that only training
            uses, and parameters that belong to no single layer.
        parameters: Those of a layer that is used twice count once.
        multiply_adds: For one picture.
        memory_bytes: Of its output, in float32; 0 where the output is the input, seen
            differently.
        receptive_field: Pixels per axis of the picture, padding included; ``"all"`` for an
            axis, or alone for every axis, where all is seen; one number where the picture
            was written as one line; None where no picture passes.
        is_join: Whether this is no layer but a place where branches come together.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    memory_bytes: int = 0
    receptive_field: Field | None = None
    is_join: bool = False


@dataclass(frozen=True)
class Step:
    """A place in the graph of a pass: the picture, a layer, or a joining of branches.

    Args:
        kind: ``input``, ``layer``, or the operation that joins, such as ``add`` and ``cat``.
        inputs: Numbers of the steps it takes from.
        output: Shape without the batch.
        layer: The row of the table, for a layer.
        join: The row of the table, for a joining of branches.
        facts: For drawing: ``type`` (of the layer), ``kernel``, ``stride``, ``groups``.
    """

    kind: str
    inputs: tuple[int, ...]
    output: tuple[int, ...]
    layer: Layer | None = None
    join: Layer | None = None
    facts: tuple[tuple[str, Any], ...] = ()


def follow(network: nn.Module, channels: int, image_size: int) -> tuple[list[Layer], list[Step]]:
    """Pass a batch of 0 pictures; where an operation refuses it, one on the meta device.

    The meta device takes all, but its first operation loads PyTorch's compiler: a second.
    """
    if any(is_lazy(each) for each in (*network.parameters(), *network.buffers())):
        raise ShapeError(
            "the network has lazy layers, whose sizes its first batch decides. Pass one batch "
            f"through it first: `network(torch.zeros(2, {channels}, {image_size}, {image_size}))`."
        )
    try:
        return _Pass(ghost_of(network, "cpu")).run(torch.empty(0, channels, image_size, image_size))
    except Exception:  # whatever refuses an empty batch: errors that matter come again
        images = torch.empty(1, channels, image_size, image_size, device="meta")
    try:
        return _Pass(ghost_of(network, "meta")).run(images)
    except RuntimeError as error:
        raise ShapeError(
            f"the network cannot be followed with pictures of {channels}×{image_size}×"
            f"{image_size}: {str(error).strip().splitlines()[0]}. Pass the channels and the "
            "image size that it was made for."
        ) from error


class _Pass:
    """One pass through a network without values."""

    def __init__(self, ghost: nn.Module) -> None:
        self.ghost = ghost.eval()
        self.owners = {
            id(parameter): name
            for name, module in ghost.named_modules()
            for parameter in module.parameters(recurse=False)
        }
        self.whole: frozenset[str] = frozenset()
        """Modules that are one row although they have parts."""

    def run(self, images: Tensor) -> tuple[list[Layer], list[Step]]:
        while True:
            self.steps = [Step("input", (), tuple(images.shape[1:]))]
            self.within, self.called, self.used = [""], set[str](), set[tuple[str, str]]()
            counted: set[int] = set()
            self.mode = FieldMode(images, on_merge=self._join, on_weight=self._use)
            handles = list(self._hooks(counted))
            with torch.no_grad(), self.mode:
                self.ghost(images)
            for handle in handles:
                handle.remove()
            found = {name for name, part in self.used if part not in self.called} - self.whole
            if not found:
                break
            self.whole |= found
        layers = [row for step in self.steps if (row := step.layer or step.join) is not None]
        return layers + _not_passed(self.ghost, counted), self.steps

    def _hooks(self, counted: set[int]) -> Iterator[RemovableHandle]:
        for name, module in self.ghost.named_modules():
            if name.startswith(tuple(f"{each}." for each in self.whole)):
                continue
            has_parts = any(module.children()) and name not in self.whole
            if not has_parts and not isinstance(module, nn.Identity):
                watch = _Watch(name, self.mode, self.steps, counted)
                yield module.register_forward_pre_hook(watch.before)
                yield module.register_forward_hook(watch.after)
            yield module.register_forward_pre_hook(partial(self._enter, name))
            yield module.register_forward_hook(self._leave)

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self.called.add(name)
        self.within.append(name)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.within.pop()

    def _use(self, weight: Tensor) -> None:
        """Note that a module uses the weight of one of its parts itself."""
        name, owner = self.within[-1], self.owners.get(id(weight), "")
        if name and owner.startswith(f"{name}."):
            self.used.add((name, owner))

    def _join(self, kind: str, sources: Sequence[int], output: Tensor, sees: Field) -> int:
        words = "concat" if kind in ("cat", "concatenate") else kind
        shape = tuple(output.shape[1:])
        memory = FLOAT_BYTES * output.shape[1:].numel()
        row = Layer(self.within[-1], words, shape, 0, 0, memory, sees, is_join=True)
        self.steps.append(Step(kind, tuple(sources), shape, join=row))
        return len(self.steps) - 1


class _Watch:
    """Hooks of one layer that write its row."""

    def __init__(self, name: str, mode: FieldMode, steps: list[Step], counted: set[int]) -> None:
        self.name, self.mode, self.steps, self.counted = name, mode, steps, counted
        self.sources: list[int] = []

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        flows = [flow for each in tensors(inputs) if (flow := self.mode.flow(each))]
        self.sources = list(dict.fromkeys(flow.source for flow in flows))
        self.mode.depth += 1

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        made = next(tensors(output))
        taken = next(tensors(inputs), None)
        if made is taken and not getattr(module, "inplace", False):
            # Dropout outside training returns what it got; others may still use that.
            made = output = made.view_as(made)
        self.mode.depth -= 1
        flow = self.mode.flow(made)
        parameters = 0
        for parameter in module.parameters():
            if id(parameter) not in self.counted:
                self.counted.add(id(parameter))
                parameters += parameter.numel()
        is_view = isinstance(module, (nn.Flatten, nn.Unflatten))
        layer = Layer(
            name=self.name,
            kind=kind_of(module),
            output=tuple(made.shape[1:]),
            parameters=parameters,
            multiply_adds=_multiply_adds(module, taken, made),
            memory_bytes=0 if is_view else FLOAT_BYTES * made.shape[1:].numel(),
            receptive_field="all" if flow is None else flow.pixels,
        )
        self.steps.append(
            Step("layer", tuple(self.sources), layer.output, layer, facts=_facts(module))
        )
        for each in tensors(output):
            known = self.mode.flow(each)
            if known is not None:
                self.mode.keep(each, replace(known, source=len(self.steps) - 1))
        return output


def _not_passed(ghost: nn.Module, counted: set[int]) -> list[Layer]:
    """Return rows for the parameters that no row of the pass has."""
    rows = []
    heads = tuple(path.partition(".")[0] for path in network_heads(ghost)[1:])
    for name, module in ghost.named_modules():
        fresh = {id(each): each for each in module.parameters(recurse=False)}
        fresh = {key: each for key, each in fresh.items() if key not in counted}
        counted.update(fresh)
        if fresh:
            is_layer = not any(module.children())
            when = "training only" if name.partition(".")[0] in heads else "not passed"
            kind = f"{kind_of(module)} ({when})" if is_layer else "own parameters"
            rows.append(Layer(name, kind, (), sum(each.numel() for each in fresh.values()), 0))
    return rows


def _multiply_adds(module: nn.Module, taken: Tensor | None, output: Tensor) -> int:
    own = getattr(module, "multiply_adds", None)
    made = output.shape[1:].numel()
    if callable(own):
        return int(own(torch.empty(1, *output.shape[1:], device="meta")))
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return module.weight.shape[1:].numel() * made
    if isinstance(module, TRANSPOSED) and taken is not None:
        return module.weight.shape[1:].numel() * taken.shape[1:].numel()
    if isinstance(module, nn.Linear):
        return module.in_features * made
    return 0


def _facts(module: nn.Module) -> tuple[tuple[str, Any], ...]:
    names = ("kernel_size", "stride", "groups")
    found = {name: getattr(module, name) for name in names if hasattr(module, name)}
    return (("type", type(module).__name__), *found.items())
