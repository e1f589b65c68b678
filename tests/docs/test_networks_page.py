"""The page about networks: its numbers are those of the code, and what it says runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nunbit.cli.main import run
from tests.docs.test_docs import ROOT, blocks, commands
from tests.docs.write_networks import TARGET, render

PAGE = "docs/networks.md"


def test_the_table_is_up_to_date() -> None:
    text = TARGET.read_text(encoding="utf-8")
    assert text == render(text), "run `make docs`"
    assert "| 138,357,544 | 15,470,264,320 |" in text


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands(PAGE):
        assert run(words) == 0, words
    assert (tmp_path / "googlenet.svg").is_file()


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(PAGE, "python"):
        exec(compile(block, PAGE, "exec"), names)  # noqa: S102  # our own page
    assert (tmp_path / "vgg-d.svg").is_file()


def test_links_lead_somewhere() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:]+)\)", text)
    assert targets
    for target in targets:
        assert ((ROOT / PAGE).parent / target).exists(), target
