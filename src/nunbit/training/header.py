"""The head of a run: what is trained on what, and how; what was chosen here, and why.

The same facts are printed before the first step and kept in ``options.json``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from nunbit.data.pictures import Pictures
from nunbit.data.streaming import StreamedPixels
from nunbit.errors import name_list
from nunbit.training.defaults import PICTURES_SEEN
from nunbit.training.job import Job
from nunbit.training.options import TrainOptions

__all__ = ["Fact", "header_lines", "run_facts", "starving_advice"]

NAME_WIDTH = 10
"""Columns of a fact's name; the command's own facts stand in line with it."""


@dataclass(frozen=True)
class Fact:
    """Something that is so in this run.

    Args:
        text: As people read it.
        why: The rule by which it was chosen here; empty where the user said so, or where
            it is no choice.
    """

    text: str
    why: str = ""

    def __str__(self) -> str:
        """Return the fact, with its reason where it was chosen here."""
        return f"{self.text} (auto: {self.why})" if self.why else self.text


def run_facts(
    job: Job, pictures: Pictures, *, asked: TrainOptions, augment: str
) -> dict[str, list[Fact]]:
    """Return the facts of a run by the name of their line, in order.

    Args:
        asked: The options before gaps were filled: what is open in it was chosen here.
        augment: Name of the augmentation.
    """
    model, made = job.model, job.model.preprocessing
    named = {
        "train": pictures.train,
        "validation": pictures.validation,
        "test": pictures.test,
    }
    sets = [f"{len(each):,} {split}" for split, each in named.items() if each is not None]
    colour = "grey" if made.channels == 1 else "RGB"
    lines = {
        "Pictures": [Fact(f"{pictures.source}: {', '.join(sets)}"), *_streamed(pictures)],
        "Classes": [Fact(f"{len(pictures.classes)}: {name_list(pictures.classes)}")],
        "Seen as": [
            Fact(f"{made.image_size}×{made.image_size} {colour}"),
            Fact(f"fit: {made.fit}"),
            *_kept_larger(pictures),
        ],
        "Recipe": [Fact(name) for name in [model.facts.get("recipe")] if name],
        "Network": [Fact(model.network_name), Fact(f"{model.parameters:,} parameters")],
        "Training": _amount(job, asked),
        "Steps": _steps(job, asked),
        "Augment": [Fact(augment, _why_augment(made.channels) if asked.augment == "auto" else "")],
        "Extras": _extras(job),
        "Computed": _where(job, asked),
        "Threads": _threads(job),
    }
    return {name: facts for name, facts in lines.items() if facts}


def _kept_larger(pictures: Pictures) -> list[Fact]:
    side = pictures.train.pixels.shape[1]
    if side == pictures.preprocessing.image_size:
        return []
    return [Fact(f"training pictures kept at {side}×{side}")]


def header_lines(facts: Mapping[str, Sequence[Fact]], *, width: int) -> list[str]:
    """Return the facts as lines for people, names aligned, long ones continued below.

    Args:
        width: Columns of the terminal; a word that is longer stays whole.

    Example:
        >>> for line in header_lines(
        ...     {"Network": [Fact("mlp"), Fact("38,154 parameters", "for you")]}, width=32
        ... ):
        ...     print(line)
        Network   mlp, 38,154 parameters
                  (auto: for you)
    """
    lines: list[str] = []
    for name, each in facts.items():
        lines += textwrap.wrap(
            _printable(", ".join(map(str, each))),
            width=max(width, 2 * NAME_WIDTH),
            initial_indent=f"{name:{NAME_WIDTH}}",
            subsequent_indent=" " * NAME_WIDTH,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _printable(text: str) -> str:
    """Return text without signs that steer a terminal: names come from anywhere."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def starving_advice(pictures: Pictures) -> str:
    """Return what helps where training waits for its pictures."""
    if isinstance(pictures.train.pixels, StreamedPixels):
        decoded = "Without `--stream` they are decoded once." if pictures.options.stream else ""
        return decoded or "A faster disk or connection, or more processors, help."
    return "A lighter augmentation (`--augment light`) or more processors help."


def _streamed(pictures: Pictures) -> list[Fact]:
    if not isinstance(pictures.train.pixels, StreamedPixels):
        return []
    return [Fact("read anew each epoch", "" if pictures.options.stream else "they are shards")]


def _amount(job: Job, asked: TrainOptions) -> list[Fact]:
    """Return epochs and batches."""
    steps, chosen = job.batches.steps_per_epoch, job.options
    return [
        Fact(
            f"{job.epochs} {_plural(job.epochs, 'epoch')}",
            f"{PICTURES_SEEN:,} pictures in all" if asked.epochs is None else "",
        ),
        Fact(
            f"each {steps:,} {_plural(steps, 'step')} of {chosen.batch_size} pictures",
            "a fortieth of them" if asked.batch_size is None else "",
        ),
    ]


def _plural(count: float, word: str) -> str:
    return word if count == 1 else f"{word}s"


def _steps(job: Job, asked: TrainOptions) -> list[Fact]:
    """Return what a step does to the weights."""
    chosen = job.options
    rule = "by network, optimizer and batch"
    facts = [
        Fact(f"{chosen.optimizer}, {chosen.schedule}"),
        Fact(f"learning rate {chosen.lr:.3g}", rule if asked.lr is None else ""),
    ]
    if chosen.warmup_epochs:
        facts.append(
            Fact(f"rising for {chosen.warmup_epochs:g} {_plural(chosen.warmup_epochs, 'epoch')}")
        )
    if chosen.weight_decay:
        facts.append(Fact(f"weight decay {chosen.weight_decay:g}"))
    return facts


def _why_augment(channels: int) -> str:
    return "the pictures are grey" if channels == 1 else "the pictures have colours"


def _extras(job: Job) -> list[Fact]:
    """Return what is on besides, of what is off by default."""
    chosen = job.options
    said = {
        f"EMA {chosen.ema or 0:g}": chosen.ema is not None,
        f"label smoothing {chosen.label_smoothing:g}": chosen.label_smoothing,
        f"gradient at most {chosen.clip_norm or 0:g} long": chosen.clip_norm is not None,
        f"batches in {chosen.accumulate} parts": chosen.accumulate > 1,
        f"classes balanced by {chosen.balance}": chosen.balance != "none",
        "answers with mirror images (TTA)": chosen.tta == "flip",
        f"taught by {chosen.teacher} (weight {chosen.teacher_weight:g})": chosen.teacher,
    }
    facts = [Fact(text) for text, is_on in said.items() if is_on]
    if job.resizing is not None and job.resizing.steps:
        facts.append(
            Fact(
                f"pictures grow from {job.resizing.first} to {job.resizing.last} pixels in "
                f"{job.resizing.steps:,} steps"
            )
        )
    return facts


def _where(job: Job, asked: TrainOptions) -> list[Fact]:
    """Return device, numbers, layout and ranks."""
    plan, device = job.plan, job.plan.device
    name = device.type
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    facts = [Fact(f"on {name}")]
    if asked.device == "auto" and device.type == "cpu":
        facts = [Fact("on cpu", "no GPU is here")]
    if len(plan.parts) > 1:
        facts.append(Fact(f"network in {len(plan.parts)} parts"))
    machine = "processor" if device.type == "cpu" else "device"
    why = ""
    if asked.precision == "auto":
        multiplies = "multiplies" if plan.bfloat16 else "does not multiply"
        why = f"this {machine} {multiplies} in {'it' if plan.bfloat16 else 'bfloat16'}"
    facts.append(Fact("bfloat16" if plan.bfloat16 else "float32", why))
    if plan.channels_last:
        facts.append(Fact("channels last", "convolutions are quicker so"))
    if plan.compiled:
        facts.append(Fact("compiled", "a long run on a GPU" if asked.compile == "auto" else ""))
    if job.ranks.size > 1:
        how = ""
        if any(isinstance(m, _BatchNorm) for m in job.model.network.modules()):
            synced = job.options.sync_batch_norm
            how = ", synchronised batch norm" if synced else ", own batch norm each"
        facts.append(Fact(f"{job.ranks.size} ranks by {job.options.parallel}{how}"))
    return facts


def _threads(job: Job) -> list[Fact]:
    facts = [Fact(f"{job.plan.threads} compute")]
    if job.batches.move is not None or job.batches.mixing is not None:
        facts.append(Fact(f"{job.batches.threads} make batches"))
    return facts
