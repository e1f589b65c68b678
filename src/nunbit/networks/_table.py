"""The layer table: what each layer makes of the picture, holds, computes and sees.

Counting conventions (those of ``nunbit networks`` and of the tests):

* parameters: weights and biases, with BatchNorm's gamma and beta; running
  statistics are not counted;
* multiply-adds: one multiplication with its addition is 1; convolutions and dense
  layers only, and layers that count their own; batch 1;
* memory: what a layer writes, in float32, for one picture;
* receptive field: pixels of the picture that one value sees (``_fields.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nunbit.networks._fields import FieldMode, tensors
from nunbit.networks._kinds import kind_of
from nunbit.networks._meta import WithoutValues, ghost_of
from nunbit.networks._registry import (
    NetworkInfo,
    create_network,
    find_network,
    network_heads,
)

__all__ = ["Description", "Layer", "Step", "count_parameters", "describe", "layer_table"]

FLOAT_BYTES = 4
Field = tuple[int, ...] | Literal["all"] | None


@dataclass(frozen=True)
class Layer:
    """One row of the table.

    Args:
        name: Path within the network, such as ``features.0``.
        kind: As people say it: ``conv 3×3``, ``dense``, ``max-pool 2``.
        output: (C, H, W) or (C,). Empty where no picture passes: layers that only training
            uses, and parameters that belong to no single layer.
        parameters: Those of a layer that is used twice count once.
        multiply_adds: For one picture.
        memory_bytes: Of its output, in float32; 0 where the output is the input, seen
            differently.
        receptive_field: Pixels per axis of the picture, padding included; ``"all"`` where
            every value sees everything; None where no picture passes.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    memory_bytes: int = 0
    receptive_field: Field = None


@dataclass(frozen=True)
class Step:
    """A place in the graph of a pass: the picture, a layer, or a joining of branches.

    Args:
        kind: ``input``, ``layer``, or the operation that joins, such as ``add`` and ``cat``.
        inputs: Numbers of the steps it takes from.
        output: Shape without the batch.
        layer: The row of the table, for a layer.
        facts: For drawing: ``type`` (of the layer), ``kernel``, ``stride``, ``groups``.
    """

    kind: str
    inputs: tuple[int, ...]
    output: tuple[int, ...]
    layer: Layer | None = None
    facts: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Description:
    """A network's table and graph, with the sums."""

    name: str
    input: tuple[int, int, int]
    outputs: int
    layers: tuple[Layer, ...]
    steps: tuple[Step, ...]
    parameters: int

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def memory_bytes(self) -> int:
        """All outputs together, as training keeps them for the way back."""
        return sum(layer.memory_bytes for layer in self.layers)


def count_parameters(network: nn.Module) -> int:
    """Return the number of weights and biases that training changes or could change."""
    return sum(parameter.numel() for parameter in network.parameters())


def layer_table(network: nn.Module, *, channels: int, image_size: int) -> list[Layer]:
    """List the layers in the order in which a picture passes them.

    Nothing is computed and no weights are copied: the pass runs on the meta device. Rows
    without an output follow: layers that only training uses, and parameters that belong to
    no single layer, so that the rows add up to :func:`count_parameters`.
    """
    return _pass(ghost_of(network).eval(), channels, image_size)[0]


def usual_outputs(info: NetworkInfo) -> int:
    """Return for how many classes a network's parameters are usually counted.

    Networks of papers for large pictures were made for ImageNet's 1,000 classes; small
    ones mostly for 10.
    """
    return 1000 if info.year and info.image_size >= 128 else 10


def describe(
    name: str,
    *,
    outputs: int | None = None,
    channels: int | None = None,
    image_size: int | None = None,
    options: dict[str, Any] | None = None,
) -> Description:
    """Describe a registered network without making its weights.

    No random numbers are drawn and no memory is taken for weights.

    Args:
        outputs: Width of the last layer; default: 1,000 for networks made for ImageNet,
            10 for others.
        channels: Default: those it was made for.
        image_size: Default: that it was made for.
        options: The network's own.
    Raises:
        OptionError: Unknown network, or unknown option of it.
        ShapeError: The picture is too small for it.
    """
    info = find_network(name)
    outputs = outputs or usual_outputs(info)
    channels, image_size = channels or info.channels, image_size or info.image_size
    with torch.device("meta"), WithoutValues():
        network = create_network(
            name, outputs=outputs, channels=channels, image_size=image_size, options=options
        )
    layers, steps = _pass(network.eval(), channels, image_size)
    return Description(
        name=info.name,
        input=(channels, image_size, image_size),
        outputs=outputs,
        layers=tuple(layers),
        steps=tuple(steps),
        parameters=count_parameters(network),
    )


def _pass(ghost: nn.Module, channels: int, image_size: int) -> tuple[list[Layer], list[Step]]:
    images = torch.empty(1, channels, image_size, image_size, device="meta")
    steps = [Step("input", (), tuple(images.shape[1:]))]

    def join(kind: str, sources: Any, output: Tensor) -> int:
        steps.append(Step(kind, tuple(sources), tuple(output.shape[1:])))
        return len(steps) - 1

    mode = FieldMode(images, on_merge=join)
    counted: set[int] = set()
    handles = []
    for name, module in ghost.named_modules():
        if not any(module.children()) and not isinstance(module, nn.Identity):
            watch = _Watch(name, mode, steps, counted)
            handles.append(module.register_forward_pre_hook(watch.before))
            handles.append(module.register_forward_hook(watch.after))
    with torch.no_grad(), mode:
        ghost(images)
    for handle in handles:
        handle.remove()
    layers = [step.layer for step in steps if step.layer is not None]
    return layers + _not_passed(ghost, counted), steps


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
            multiply_adds=_multiply_adds(module, made),
            memory_bytes=0 if is_view else FLOAT_BYTES * made[0].numel(),
            receptive_field="all" if flow is None or flow.pixels is None else flow.pixels,
        )
        self.steps.append(Step("layer", tuple(self.sources), layer.output, layer, _facts(module)))
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


def _multiply_adds(module: nn.Module, output: Tensor) -> int:
    own = getattr(module, "multiply_adds", None)
    if callable(own):
        return int(own(output))
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        per_cell = module.weight[0].numel()
        return per_cell * output[0].numel()
    if isinstance(module, nn.Linear):
        return module.in_features * output[0].numel()
    return 0


def _facts(module: nn.Module) -> tuple[tuple[str, Any], ...]:
    names = ("kernel_size", "stride", "groups")
    found = {name: getattr(module, name) for name in names if hasattr(module, name)}
    return (("type", type(module).__name__), *found.items())
