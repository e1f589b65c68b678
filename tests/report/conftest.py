"""A run to report on, and a reader of the page it becomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from nunbit.report import MisreadPicture, ReportData
from nunbit.tasks.base import Evaluation, Matrix, Mistake, Score

VOID = {"br", "hr", "img", "input", "link", "meta"}
DIGITS = [str(digit) for digit in range(10)]


class Node:
    """One element of a page."""

    def __init__(self, tag: str, attrs: dict[str, str]) -> None:
        self.tag, self.attrs = tag, attrs
        self.parts: list[Node | str] = []

    def walk(self) -> Iterator[Node]:
        yield self
        for part in self.parts:
            if isinstance(part, Node):
                yield from part.walk()

    def all(self, tag: str, **attrs: str) -> list[Node]:
        """Return elements by tag; ``cls`` stands for ``class``, compared word by word."""
        wanted = {key.replace("cls", "class"): value for key, value in attrs.items()}
        return [
            node
            for node in self.walk()
            if node.tag == tag
            and all(
                value in node.attrs.get(key, "").split()
                if key == "class"
                else node.attrs.get(key) == value
                for key, value in wanted.items()
            )
        ]

    def one(self, tag: str, **attrs: str) -> Node:
        found = self.all(tag, **attrs)
        assert len(found) == 1, f"{len(found)} elements <{tag} {attrs}>"
        return found[0]

    @property
    def text(self) -> str:
        """All text in it, white space as people see it; no-break spaces as spaces."""
        parts = (part if isinstance(part, str) else f" {part.text} " for part in self.parts)
        return " ".join("".join(parts).split())

    def table(self) -> list[list[str]]:
        return [
            [cell.text for cell in row.walk() if cell.tag in ("td", "th")]
            for row in self.one("tbody").all("tr")
        ]


class PageParser(HTMLParser):
    """Builds nodes, and fails on an element that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {key: value or "" for key, value in attrs})
        self.open[-1].parts.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].parts.append(Node(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def read_page(html: str) -> Node:
    parser = PageParser()
    parser.feed(html)
    parser.close()
    assert parser.open == [parser.root], f"left open: {[node.tag for node in parser.open]}"
    return parser.root


def evaluate(names: Sequence[str], counts: Any, **changes: Any) -> Evaluation:
    """Return an evaluation with made-up intervals, so that a mix-up of ends shows."""
    counts = np.asarray(counts, dtype=np.int64)
    total, right = int(counts.sum()), int(np.trace(counts))
    per_class = {}
    for k, name in enumerate(names):
        there = max(int(counts[k].sum()), 1)
        recall = counts[k, k] / there
        per_class[name] = {
            "count": int(counts[k].sum()),
            "precision": float(counts[k, k] / max(int(counts[:, k].sum()), 1)),
            "recall": float(recall),
            "recall_low": float(max(recall - 0.021, 0)),
            "recall_high": float(min(recall + 0.013, 1)),
            "f1": 0.4321,
        }
    share = right / total
    fields: dict[str, Any] = {
        "count": total,
        "scores": (
            Score("accuracy", share, max(share - 0.0021, 0), min(share + 0.0017, 1)),
            Score("loss", 0.03125, is_fraction=False),
            Score("ece", 0.0041),
        ),
        "per_class": per_class,
        "matrix": Matrix(tuple(names), counts),
        "mistakes": [Mistake(i, names[0], names[1], 0.5) for i in range(total - right)],
    }
    return Evaluation(**(fields | changes))


def digits_counts() -> np.ndarray:
    """10,000 pictures, 9,912 right; 4 is read as 9 most often."""
    counts = np.diag([1000] * 10)
    for row, column, wrong in ((4, 9, 40), (9, 4, 25), (7, 1, 20), (3, 5, 3)):
        counts[row, row] -= wrong
        counts[row, column] += wrong
    return counts


def digits_run() -> ReportData:
    rng = np.random.default_rng(0)
    return ReportData(
        source="mnist",
        network="cnn-mnist",
        facts={"Parameters": "77,754", "Device": "cpu, 2 threads"},
        notes=["2 files were skipped."],
        history=[
            {"epoch": 1, "loss": 3.0, "accuracy": 0.90, "val_loss": 2.0, "val_accuracy": 0.92}
            | {"lr": 0.002, "seconds": 12.5},
            {"epoch": 2, "loss": 2.0, "accuracy": 0.94, "val_loss": 0.5, "val_accuracy": 0.98}
            | {"lr": 0.001, "seconds": 12.5},
            {"epoch": 3, "loss": 1.0, "accuracy": 0.96, "val_loss": 1.0, "val_accuracy": 0.97}
            | {"lr": 0.0, "seconds": 12.5},
        ],
        evaluations={
            "validation": evaluate(DIGITS, digits_counts() // 2),
            "test": evaluate(DIGITS, digits_counts()),
        },
        misread=[
            MisreadPicture(
                f"t10k/{i:05d}", rng.integers(0, 255, (28, 28), dtype=np.uint8), "4", "9", 0.5
            )
            for i in range(24)
        ],
        misread_split="test",
        options={"epochs": 3, "augment": {"zoom_range": [0.9, 1.1], "flip": False}, "lr": None},
        versions={"nunbit": "0.1.0", "torch": "2.13.0"},
        command="nunbit train mnist --epochs 3",
    )


@pytest.fixture
def run() -> ReportData:
    return digits_run()


@pytest.fixture
def change() -> Callable[..., ReportData]:
    """Return a function that gives the run with some fields changed."""
    return lambda **fields: dataclasses.replace(digits_run(), **fields)


@pytest.fixture
def empty_run() -> ReportData:
    return ReportData("mnist", "mlp", {}, [], [], {}, [], None, {}, {}, "")


@pytest.fixture(name="evaluate")
def _evaluate() -> Callable[..., Evaluation]:
    return evaluate


@pytest.fixture(name="read_page")
def _read_page() -> Callable[[str], Node]:
    return read_page
