"""``nunbit check SOURCE``: what is wrong with pictures, before anything is trained on them."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output
from nunbit.cli._places import check_outside, check_parent, folders_of
from nunbit.data.options import DataOptions, SkipClassOption
from nunbit.errors import DataError
from nunbit.options import Option, Options

if TYPE_CHECKING:
    from nunbit.data.checks import Facts, Finding, Findings
    from nunbit.data.table import PictureTable

__all__ = ["CheckOptions", "check"]

LISTED = 5
"""Pictures or groups named on the terminal for each finding."""


@dataclass(frozen=True)
class CheckOptions(Options):
    """What to check, and where to write what was found."""

    labels: Annotated[
        bool,
        Option(
            "Also look for wrong labels: train three quick networks, which takes minutes.",
            group="Pictures",
        ),
    ] = False
    skip_class: SkipClassOption = ()
    validation: Annotated[
        float | None,
        Option(
            "Cut as in training: share of the training pictures kept for validation; default: "
            "the source's own splits only.",
            low=0.0,
            high=0.9,
            group="Pictures",
        ),
    ] = None
    split: Annotated[
        str | None,
        Option(
            "Cut as in training: random, position, or the split.csv of a run, or its folder.",
            group="Pictures",
        ),
    ] = None
    fold: Annotated[
        str | None,
        Option("Cut as in training: one of several folds, such as 2/5.", group="Pictures"),
    ] = None
    group_by: Annotated[
        str | None,
        Option(
            "Regular expression that finds the group in a picture's name, such as 'patient(\\d+)'.",
            group="Pictures",
        ),
    ] = None
    exclude: Annotated[
        str | None,
        Option("File that lists pictures to leave out of the check.", group="Pictures"),
    ] = None
    sheet: Annotated[
        str | None,
        Option("Write a page with the pictures that were found (HTML).", group="Output"),
    ] = None
    exclude_file: Annotated[
        str | None,
        Option(
            "Write the list of pictures to leave out: unreadable ones, copies but one (kept: of "
            "test, else validation, else train), and all copies whose labels differ.",
            group="Output",
        ),
    ] = None
    lang: Annotated[
        Literal["en", "ko"], Option("Language of the page: English or Korean.", group="Output")
    ] = "en"
    seed: Annotated[
        int,
        Option("The seed of the training; also of --labels.", low=0, group="Pictures"),
    ] = 0


def check(source: str, given: dict[str, Any]) -> int:
    """Check pictures before training: unreadable files, copies, leaks between splits, odd ones.

    The source is only read. Its own splits are looked at; pass the cut of a training to look
    at that one. The exit status is 0 whatever is found, 2 where the source cannot be used.
    """
    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    options = CheckOptions(**pick(CheckOptions, given))

    from nunbit.data.checks import check_pictures, scan
    from nunbit.data.exclusions import check_free, read_exclusions, write_exclusions
    from nunbit.data.reading import open_as_asked
    from nunbit.data.splits import check_cut, cut_validation

    started = time.perf_counter()
    data, cuts = _cut_options(options)
    check_cut(data)
    table, _ = open_as_asked(source, data)
    if cuts == "file":
        table = cut_validation(table, data)
    for flag, place in (("--sheet", options.sheet), ("--exclude-file", options.exclude_file)):
        if place is not None:
            check_outside(flag, place, folders_of(source, table))
            check_parent(flag, place)
    if options.exclude_file is not None:
        check_free(options.exclude_file)
    if options.sheet is not None:
        from nunbit.report.check_sheet import check_sheet_place

        check_sheet_place(options.sheet)
    with _bar("opening pictures") as show:
        facts, unreadable = scan(table, on_progress=lambda done: show(done, len(table)))
    if cuts == "seed":
        table = _cut_readable(table, [row for row, _ in unreadable], data)
    findings = check_pictures(table, facts, unreadable)
    if options.labels:
        findings = findings.with_items(_judge_labels(source, table, data))
    seconds = time.perf_counter() - started
    _print(findings, facts, output, seconds)
    result = {**findings.to_dict(), "seconds": round(seconds, 3)}
    if options.exclude_file is not None:
        left_out = findings.exclusions()
        if options.exclude is not None:  # one list for `train`, which takes one
            before = read_exclusions(options.exclude)
            left_out += [(name, f"listed in {options.exclude}") for name in before]
        write_exclusions(options.exclude_file, left_out)
        result["exclude_file"] = {"path": options.exclude_file, "pictures": len(left_out)}
        output.say(
            f"\n{options.exclude_file}: {len(left_out):,} of {len(table):,} pictures to leave out "
            f"(`{shlex.join(['nunbit', 'train', source, '--exclude', options.exclude_file])}`)"
        )
    if options.sheet is not None:
        from nunbit.report.check_sheet import write_check_sheet

        write_check_sheet(findings, options.sheet, lang=options.lang)
        result["sheet"] = options.sheet
        output.say(f"\n{options.sheet}: the pictures, to look at")
    output.result(result)
    return 0


def _cut_options(options: CheckOptions) -> tuple[DataOptions, Literal["", "file", "seed"]]:
    """Return the options of training that are asked for, and what the cut follows."""
    data = DataOptions(
        split=options.split or "random",
        fold=options.fold,
        group_by=options.group_by,
        exclude=options.exclude,
        skip_class=options.skip_class,
        seed=options.seed,
    )
    if options.validation is not None:
        data = replace(data, validation=options.validation)
    if options.validation is None and options.split is None and options.fold is None:
        return data, ""
    return data, "seed" if data.split in ("random", "position") else "file"


def _cut_readable(table: PictureTable, unreadable: list[int], data: DataOptions) -> PictureTable:
    """Cut as training does, which never sees what cannot be read."""
    import numpy as np

    from nunbit.data.splits import cut_validation

    readable = np.setdiff1d(np.arange(len(table)), unreadable)
    split = table.split.astype("<U10")
    split[readable] = cut_validation(table.select(readable), data).split
    return replace(table, split=split)


def _judge_labels(source: str, table: PictureTable, data: DataOptions) -> list[Finding]:
    from nunbit.data.checks import Finding
    from nunbit.evaluation.label_suspects import (
        find_label_suspects,
        load_for_suspects,
        suspects_finding,
    )

    try:
        with _bar("judging labels") as show:
            pictures = load_for_suspects(source, options=data)
            judgement = find_label_suspects(pictures, seed=data.seed, on_progress=show)
    except DataError as error:  # all else that was found is still worth knowing
        text = f"labels were not judged: {error}"
        return [Finding("labels-not-judged", "note", text, values={"reason": str(error)})]
    return suspects_finding(table, judgement)


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(findings: Findings, facts: Facts, output: Output, seconds: float) -> None:
    from nunbit.report.check_texts import TITLES

    table = findings.table
    splits = findings.to_dict(limit=0)["splits"]
    listed = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    told: dict[str, str] = {
        "Pictures": f"{len(table):,} ({listed}), opened in {seconds:.1f} s",
        "Classes": f"{len(table.classes):,}",
    }
    if len(facts):
        areas = facts.width.astype(int) * facts.height
        ends = [f"{facts.width[k]}×{facts.height[k]}" for k in (areas.argmin(), areas.argmax())]
        told["Sizes"] = ends[0] if ends[0] == ends[1] else " to ".join(ends)
    output.facts(told)
    output.say()
    if not findings.items:
        output.say("Nothing was found.")
        return
    counted = [i for i in findings.items if i.severity != "note"]
    if not counted:
        output.say("Nothing wrong was found.\n")
    rows = []
    for item in findings.items:
        rows.append([TITLES["en"].get(item.kind, item.kind), item.severity, _number(item)])
    output.table(["found", "severity", "number"], rows, left=2)
    for item in findings.items:
        _print_item(findings, item, output)


def _number(item: Finding) -> str:
    """Return what is counted, such as ``3 groups``; empty where it is one fact."""
    if item.groups or item.rows:
        what, count = "group" if item.groups else "picture", item.count
    elif "count" in item.values:
        what = "picture" if item.kind == "near-not-searched" else "class"
        count = int(item.values["count"])
    else:
        return ""
    plural = "classes" if what == "class" else f"{what}s"
    return f"{count:,} {what if count == 1 else plural}"


def _print_item(findings: Findings, item: Finding, output: Output) -> None:
    from nunbit.data.checks import printable

    output.say(f"\n{item.severity}: {item.text}")
    for group in item.groups[:LISTED]:
        for one, other in group.pairs[:LISTED]:
            output.say(f"  {_with_label(findings, one)} = {_with_label(findings, other)}")
        if len(group.pairs) > LISTED:
            output.say(f"  … {len(group.pairs) - LISTED:,} more pairs of this group")
    remarks = item.remarks or ("",) * len(item.rows)
    for row, remark in zip(item.rows[:LISTED], remarks, strict=False):
        output.say(f"  {printable(findings.name(row))}{f': {remark}' if remark else ''}")
    if item.count > LISTED:
        output.say(f"  … {item.count - LISTED:,} more (`--json` lists them)")
    if item.suggestion:
        output.say(f"  {item.suggestion}")


def _with_label(findings: Findings, row: int) -> str:
    """Return the name of a picture; with its label where the path does not show it."""
    from nunbit.data.checks import printable

    name, label = findings.name(row), findings.table.label_text(row)
    shown = printable(name)
    return shown if label in name.split("/") else f"{shown} ({printable(label, limit=30)})"
