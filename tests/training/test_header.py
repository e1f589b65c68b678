"""The head of a run: the facts, which of them were chosen here, and how they are laid out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nunbit
from nunbit.training.header import Fact, header_lines


def header_of(run: Any, pictures: nunbit.Pictures, **given: Any) -> dict[str, str]:
    history = run(pictures, **{"epochs": 1, **given})
    record = json.loads((Path(history.run) / "options.json").read_text())
    found = record["header"]
    assert isinstance(found, dict)
    return found


def test_what_was_asked_is_not_marked_and_what_was_chosen_is(
    run: Any, tiny: nunbit.Pictures, tmp_path: Path
) -> None:
    asked = header_of(run, tiny, augment="light", device="cpu", precision="float32")
    assert asked["Training"] == "1 epoch, each 3 steps of 24 pictures"
    assert "learning rate 0.001" in asked["Steps"]
    assert asked["Augment"] == "light"
    assert asked["Computed"] == "on cpu, float32"
    assert asked["Threads"].endswith("make batches")
    assert "auto" not in " ".join(asked.values()).replace("auto-", "")
    model = nunbit.create_model_for(tiny, network="mlp")
    nunbit.fit(model, tiny, epochs=1, out=tmp_path / "open", progress=False)
    chosen = json.loads((tmp_path / "open" / "options.json").read_text())["header"]
    assert "16 pictures (auto: a fortieth of them)" in chosen["Training"]
    assert "(auto: by network, optimizer and batch)" in chosen["Steps"]
    assert chosen["Augment"] == "none (auto: the pictures are grey)"
    assert "in it)" in chosen["Computed"] or "not multiply in bfloat16)" in chosen["Computed"]
    assert chosen["Classes"] == "3: a, b, c"
    assert chosen["Seen as"] == "8×8 grey, fit: squash"


def test_what_is_off_by_default_is_named_where_it_is_on(run: Any, tiny: nunbit.Pictures) -> None:
    assert "Extras" not in header_of(run, tiny)
    on = header_of(
        run, tiny, out="on", ema=0.9, label_smoothing=0.1, clip_norm=1.0, accumulate=2,
        first_size=4, model=nunbit.create_model_for(tiny, network="auto"),
    )  # fmt: skip
    assert on["Extras"] == (
        "EMA 0.9, label smoothing 0.1, gradient at most 1 long, batches in 2 parts, "
        "pictures grow from 4 to 8 pixels in 2 steps"
    )


@pytest.fixture(autouse=True)
def within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_long_lines_go_on_below() -> None:
    facts = {"Data": [Fact("one two three", "four five"), Fact("six")], "Net": [Fact("mlp")]}
    assert header_lines(facts, width=30) == [
        "Data      one two three (auto:",
        "          four five), six",
        "Net       mlp",
    ]


@given(
    st.dictionaries(
        st.sampled_from(["Data", "Network"]), st.lists(st.text(max_size=90), min_size=1)
    ),
    st.integers(1, 200),
)
def test_nothing_in_it_steers_a_terminal(texts: dict[str, list[str]], width: int) -> None:
    facts = {name: [Fact(text) for text in each] for name, each in texts.items()}
    assert all(line.isprintable() for line in header_lines(facts, width=width))


@given(st.lists(st.text("abc ", max_size=15), min_size=1), st.integers(30, 120))
def test_lines_are_not_wider_than_asked(words: list[str], width: int) -> None:
    lines = header_lines({"Data": [Fact(word) for word in words]}, width=width)
    assert all(len(line) <= width for line in lines)
