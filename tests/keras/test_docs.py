"""The page about the drop-in: its examples run, and each line of its table has its test."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import encode_png, paint

PAGE = Path(__file__).parents[2] / "docs" / "keras.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_examples_run(tmp_path, monkeypatch, capsys):
    for name in ("cat/1.jpg", "dog/1.jpg", "dog/2.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(paint(name, channels=3)))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks():
        exec(block, names)  # noqa: S102  # our own page
    printed = capsys.readouterr().out
    assert "(3, 128, 128, 3) float32 (3,) {'cat': 0, 'dog': 1}" in printed
    assert "[[1.0, 0.0], [0.0, 1.0]]" in printed


def departures() -> list[str]:
    return re.findall(r"^\|.*\| `(test_\w+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)


def test_each_departure_has_a_test_that_looks_at_both_ways():
    text = (Path(__file__).parent / "test_departures.py").read_text("utf-8")
    bodies = dict(re.findall(r"^def (test_\w+)\(.*?\n(.*?)(?=^(?:def |@)|\Z)", text, re.M | re.S))
    assert len(departures()) == len(set(departures())) > 25
    for name in departures():
        assert name in bodies, name
        if name == "test_brightness_of_a_set_from_0_to_1_is_decided_once":
            continue  # what Keras does there is the line above it
        around = text[: text.index(f"def {name}(")].rsplit("\n\n\n", 1)[-1] + bodies[name]
        takes_both = "like" in re.findall(rf"^def {name}\((.*?)\)", text, re.M | re.S)[0]
        assert takes_both or "keras-3" in around, name
