"""The page about training: the options and files that it names are there."""

from __future__ import annotations

import re

import pytest

from nunbit.cli.main import run
from tests.docs.test_docs import ROOT

TEXT = (ROOT / "docs/craft.md").read_text(encoding="utf-8")


def test_the_options_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"--[a-z-]+[a-z]", TEXT))
    assert run(["train", "--help"]) == 0
    there = set(re.findall(r"--[a-z-]+[a-z]", capsys.readouterr().out))
    assert len(named) > 15
    assert named <= there, named - there


def test_the_files_are_there() -> None:
    named = re.findall(r"`((?:training|layers)/[a-z_]+\.py)`", TEXT)
    assert len(named) >= 7
    assert [name for name in named if not (ROOT / "src/nunbit" / name).is_file()] == []
