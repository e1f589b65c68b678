"""From the graph of a pass to what is drawn: boxes, and blocks of branches.

Activations, normalisation, dropout and flattening are folded into the box before
them. What is left is cut wherever all values pass one box; between two such places
lie branches: of a residual block, of an inception module, of two towers. Equal
neighbours become one with a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from nunbit.networks import Description, Step

__all__ = ["Block", "Box", "Item", "boxes_of", "make_parts"]

FOLD_ABOVE = 24
"""Equal plain boxes become one only where there are more boxes than this."""
NOTED = ("LRN", "dropout", "spatial dropout", "softmax")
"""Folded layers that are named at their box; the others are counted at the bottom."""
JOINS = {"add": "+", "sub": "−", "rsub": "−", "mul": "×"}


@dataclass(frozen=True)
class Box:
    """One drawn layer.

    Args:
        kind: ``input``, ``conv``, ``pool``, ``dense`` or ``other``.
        label: Such as ``3×3, 64``.
        notes: Lines below it, such as ``stride 2``.
        size: Of its map, such as ``56×56``; empty for a dense layer.
        side: Of its map, in cells; 0 for a dense layer.
        channels: Or neurons.
        pieces: Groups, drawn above one another.
        path: Of its layer within the network.
        repeat: How many such stand in a row.
    """

    kind: str
    label: str
    notes: tuple[str, ...]
    size: str
    side: int
    channels: int
    pieces: int = 1
    path: str = ""
    repeat: int = 1


@dataclass(frozen=True)
class Block:
    """Branches between two places.

    Args:
        branches: The longest first for a sum; an empty one is a plain shortcut.
        join: ``+`` or ``×`` for what is done value by value; ``concat`` otherwise.
        title: The name of the module that holds it, where there is one.
        notes: Layers folded into the join.
        size: Of the map that leaves.
        channels: Likewise.
        repeat: How many such stand in a row.
    """

    branches: tuple[tuple[Item, ...], ...]
    join: str
    title: str
    notes: tuple[str, ...]
    size: str
    channels: int
    repeat: int = 1


Item = Box | Block


def make_parts(description: Description) -> tuple[list[Item], dict[str, int]]:
    """Return what to draw from left to right, and how often each layer was folded away."""
    steps = description.steps
    home: dict[int, int] = {}
    notes: dict[int, list[str]] = {}
    folded: dict[str, int] = {}
    inputs: dict[int, list[int]] = {}
    for number, step in enumerate(steps):
        sources = list(dict.fromkeys(home[each] for each in step.inputs))
        if _is_folded(step, steps) and len(sources) == 1:
            home[number] = sources[0]
            kind = step.layer.kind if step.layer is not None else step.kind
            if kind.startswith(NOTED):
                notes[sources[0]].append(kind)
            else:
                folded[kind] = folded.get(kind, 0) + 1
            continue
        home[number] = number
        notes[number], inputs[number] = [], sources
    graph = _Graph(steps, inputs, notes)
    nodes = list(inputs)
    items = [graph.box(nodes[0]), *graph.series(nodes[0], nodes[1:], None)]
    many = sum(1 for _ in boxes_of(items)) > FOLD_ABOVE
    return _fold(items, also_boxes=many), folded


def boxes_of(items: Iterable[Item]) -> Iterable[Box]:
    """Yield all boxes, those within blocks too."""
    for item in items:
        if isinstance(item, Box):
            yield item
        else:
            for branch in item.branches:
                yield from boxes_of(branch)


class _Graph:
    def __init__(
        self, steps: Sequence[Step], inputs: dict[int, list[int]], notes: dict[int, list[str]]
    ) -> None:
        self.steps, self.inputs, self.notes = steps, inputs, notes

    def series(self, start: int, nodes: list[int], end: int | None) -> list[Item]:
        """Return the items after ``start`` up to ``end``, which is no item itself.

        With an ``end`` these are one branch: the way from ``start`` straight to ``end`` is
        another one.
        """
        order = [start, *nodes] + ([] if end is None else [end])
        place = {node: k for k, node in enumerate(order)}
        jumped = [False] * len(order)
        for node in order[1:]:
            for source in self.inputs[node]:
                if source in place and (source, node) != (start, end):
                    for k in range(place[source] + 1, place[node]):
                        jumped[k] = True
        cuts = [k for k in range(len(order)) if not jumped[k]]
        items: list[Item] = []
        for before, here in pairwise(cuts):
            node, within = order[here], order[before + 1 : here]
            is_end = node == end
            if within:
                is_own = order[before] != start or not is_end  # else the caller has it
                is_direct = is_own and order[before] in self.inputs[node]
                items += self._between(order[before], within, node, is_direct)
            if not is_end and self.steps[node].kind in ("input", "layer"):
                items.append(self.box(node))
        return items

    def _between(self, start: int, within: list[int], end: int, is_direct: bool) -> list[Item]:
        parts = self._components(within)
        if len(parts) + is_direct == 1:  # branches that cross: all boxes in their order
            return [self.box(k) for k in within if self.steps[k].kind == "layer"]
        branches = [tuple(self.series(start, part, end)) for part in parts]
        branches += [()] if is_direct else []
        step = self.steps[end]
        join = JOINS.get(step.kind, "concat")
        if join != "concat":
            branches.sort(key=lambda branch: -len(branch))
        return [
            Block(
                branches=tuple(branches),
                join=join,
                title=self._title(within),
                notes=tuple(self.notes[end]) if step.kind != "layer" else (),
                size=_size(step.output),
                channels=step.output[0],
            )
        ]

    def _components(self, nodes: list[int]) -> list[list[int]]:
        part = {node: k for k, node in enumerate(nodes)}
        for node in nodes:
            for source in self.inputs[node]:
                if source in part:
                    old, new = part[node], part[source]
                    part = {k: new if v == old else v for k, v in part.items()}
        return [[n for n in nodes if part[n] == k] for k in dict.fromkeys(part[n] for n in nodes)]

    def _title(self, nodes: list[int]) -> str:
        paths = [
            layer.name.split(".")[:-1] for k in nodes if (layer := self.steps[k].layer) is not None
        ]
        common = []
        for names in zip(*paths, strict=False):
            if len(set(names)) > 1:
                break
            common.append(names[0])
        return common[-1] if common and not common[-1].isdigit() else ""

    def box(self, node: int) -> Box:
        step = self.steps[node]
        shape = step.output
        side = shape[-1] if len(shape) > 1 else 0
        if step.layer is None:
            size = _size(shape)
            return Box(
                "input",
                "input",
                (f"{shape[0]} channel" + "s" * (shape[0] > 1),),
                size,
                side,
                shape[0],
            )
        kind = _kind(step)
        label, notes = _words(kind, step)
        return Box(
            kind=kind,
            label=label,
            notes=(*notes, *self.notes[node]),
            size=_size(shape),
            side=side,
            channels=shape[0],
            pieces=groups if (groups := int(dict(step.facts).get("groups", 1))) <= 4 else 1,
            path=step.layer.name,
        )


def _is_folded(step: Step, steps: Sequence[Step]) -> bool:
    if step.layer is None or not step.inputs:
        return False
    if _kind(step) != "other":
        return False
    before = steps[step.inputs[0]].output
    return step.output == before or len(step.output) == 1


def _kind(step: Step) -> str:
    layer = step.layer
    if layer is None:
        return "input"
    if "pool" in layer.kind or "sub-sampl" in layer.kind or "subsampl" in layer.kind:
        return "pool"
    if layer.multiply_adds:
        return "dense" if len(layer.output) == 1 else "conv"
    return "other"


def _words(kind: str, step: Step) -> tuple[str, tuple[str, ...]]:
    """Return the label of a layer and the notes below it."""
    layer, facts = step.layer, dict(step.facts)
    if layer is None:
        return "", ()
    name, *rest = layer.kind.split(", ")
    details = tuple(each for each in rest if not each.startswith(("padding", "rounded")))
    if kind == "dense":
        return name, (f"{layer.output[0]:,}", *details)
    if kind == "conv":
        size = facts.get("kernel_size")
        if isinstance(size, tuple) and len(size) == 1:
            return f"conv {size[0]}, {layer.output[0]:,}", details
        return f"{_by(size) if size else name}, {layer.output[0]:,}", details
    if kind == "pool":
        size = facts.get("kernel_size")
        size = (size,) if isinstance(size, int) and len(layer.output) == 2 else size
        first = name.removesuffix(name.split()[-1]).strip() if size and " " in name else name
        short = first.replace("average", "avg")
        return f"{short} {_by(size)}" if size else short, details
    return name, details


def _by(size: object) -> str:
    sides = size if isinstance(size, tuple) else (size, size)
    return "×".join(map(str, sides))


def _size(shape: Sequence[int]) -> str:
    if len(shape) == 2:
        return f"{shape[1]} long"
    return "×".join(map(str, shape[1:]))


def _fold(items: Sequence[Item], *, also_boxes: bool) -> list[Item]:
    made: list[Item] = []
    for item in items:
        last = made[-1] if made else None
        if last is not None and _same(last) == _same(item) and (also_boxes or _is_block(item)):
            made[-1] = replace(last, repeat=last.repeat + 1)
        else:
            made.append(item)
    return made


def _is_block(item: Item) -> bool:
    return isinstance(item, Block)


def _same(item: Item) -> Item:
    """Return an item without what may differ between equal ones: names, number."""
    if isinstance(item, Box):
        return replace(item, path="", repeat=1)
    branches = tuple(tuple(_same(each) for each in branch) for branch in item.branches)
    return replace(item, branches=branches, title="", repeat=1)
