"""Which labels are probably wrong: pictures that a network, trained without them, denies.

A quick network is trained on two thirds of the training pictures and asked about the
rest, three times over, so that every picture is judged by a network that has not seen
it. A picture is a suspect where some other class is claimed with at least the
confidence that this class usually gets for its own pictures, and more strongly than
the class it carries. The surest come first.

Source: Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty
in dataset labels", sections 3.1 and 3.2 (the confident joint's thresholds).
Departs: suspects are ranked by the margin between the two classes and none are
dropped to match an estimated number.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nunbit.create import create_model_for
from nunbit.data.checks import Finding, printable
from nunbit.data.options import DataOptions
from nunbit.data.pictures import Pictures, PictureSet, load
from nunbit.data.splits import assign_folds
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, name_list
from nunbit.randomness import derive_seed
from nunbit.training.fit import fit
from nunbit.training.options import TrainOptions

__all__ = [
    "LabelJudgement",
    "LabelSuspect",
    "find_label_suspects",
    "judge_labels",
    "load_for_suspects",
    "suspects_finding",
]

FOLDS = 3
LARGEST_SIDE_PX = 48
"""Pictures are judged at most at this size: wrong labels show, and it is quick."""
PIXELS_SEEN = 32_000_000
"""Pixels that each network sees in all: 14,000 pictures of 48×48."""
SMALLEST_SIDE_PX = 16
"""Smaller pictures cost no less."""
FEWEST_EPOCHS, MOST_EPOCHS = 4, 20
LOW_AGREEMENT = 0.8
"""Below it most suspects are pictures that a quick network finds hard."""


@dataclass(frozen=True)
class LabelSuspect:
    """A picture whose label is probably wrong.

    Args:
        name: Of the picture, as in the table.
        label: The class it carries.
        suggested: The class the networks see.
        confidence: Probability 0..1 that they give to ``label``.
        suggested_confidence: Probability 0..1 that they give to ``suggested``.
    """

    name: str
    label: str
    suggested: str
    confidence: float
    suggested_confidence: float


@dataclass(frozen=True)
class LabelJudgement:
    """What networks say of labels.

    Args:
        suspects: Labels that are probably wrong, the surest first.
        agreement: Share 0..1 of all labels that the networks agree with: how far they
            can be believed.
    """

    suspects: tuple[LabelSuspect, ...]
    agreement: float


def load_for_suspects(
    source: str | os.PathLike[str], *, options: DataOptions | None = None
) -> Pictures:
    """Read a source for :func:`find_label_suspects`: all training pictures, made small.

    Args:
        options: What to leave out and to group; nothing is cut off for validation.

    Raises:
        DataError: The pictures cannot be trained on.
    """
    asked = options or DataOptions()
    whole = replace(asked, validation=0.0, split="random", fold=None)
    pictures = load(source, options=whole)
    if pictures.preprocessing.image_size <= LARGEST_SIDE_PX:
        return pictures
    return load(source, options=replace(whole, image_size=LARGEST_SIDE_PX))


def find_label_suspects(
    pictures: Pictures,
    *,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> LabelJudgement:
    """Train quick networks on parts of the pictures and return the labels they deny.

    Takes minutes. Pictures of validation and test are judged too; no network learns
    from them.

    Args:
        seed: Of the folds and of the networks.
        on_progress: Called with the networks trained so far, and how many there are.
    Raises:
        DataError: The pictures have no classes, or are fewer than the folds.
    """
    if pictures.table.kind != "class":
        raise DataError(
            f"`--labels` needs pictures of one class each; {pictures.source} has "
            f"{pictures.table.kind} labels. Run `nunbit check` without it."
        )
    on_progress(0, FOLDS)
    probabilities = _out_of_fold(pictures, seed=seed, on_progress=on_progress)
    sets = [s for s in (pictures.train, pictures.validation, pictures.test) if s is not None]
    labels = np.concatenate([each.labels for each in sets])
    names = [name for each in sets for name in each.names]
    classes = pictures.classes
    suspects, other = judge_labels(probabilities, labels)
    known = labels >= 0
    return LabelJudgement(
        suspects=tuple(
            LabelSuspect(
                name=names[row],
                label=classes[labels[row]],
                suggested=classes[suggested],
                confidence=round(float(probabilities[row, labels[row]]), 4),
                suggested_confidence=round(float(probabilities[row, suggested]), 4),
            )
            for row, suggested in zip(suspects.tolist(), other.tolist(), strict=True)
        ),
        agreement=float((probabilities.argmax(axis=1) == labels)[known].mean()),
    )


def judge_labels(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows whose labels are suspect, the surest first, and the class instead.

    Shape:
        probabilities: (N, K), 0..1, of networks that have not seen the picture.
        labels: (N,) positions of the classes; -1 where a picture has none.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.95, 0.05]])
        >>> rows, instead = judge_labels(p, np.array([0, 0, 1, 1]))
        >>> rows.tolist(), instead.tolist()
        ([3], [0])
    """
    count = probabilities.shape[1]
    thresholds = np.full(count, np.inf)  # how surely a class is read where it is the label
    for k in range(count):
        if (labels == k).any():
            thresholds[k] = probabilities[labels == k, k].mean()
    known = np.flatnonzero(labels >= 0)
    chosen = probabilities[known]
    own = chosen[np.arange(len(known)), labels[known]]
    claims = np.where(chosen >= thresholds, chosen, 0.0)
    claims[np.arange(len(known)), labels[known]] = 0.0
    instead = claims.argmax(axis=1)
    margin = claims.max(axis=1, initial=0.0) - own
    suspects = np.flatnonzero(margin > 0)
    suspects = suspects[np.argsort(-margin[suspects], kind="stable")]
    return known[suspects], instead[suspects]


def suspects_finding(table: PictureTable, judgement: LabelJudgement) -> list[Finding]:
    """Return what there is to say of suspects: one finding, or none."""
    row_of = {name: row for row, name in enumerate(table.names)}
    known = [each for each in judgement.suspects if each.name in row_of]
    if not known:
        return []
    share = round(100 * judgement.agreement)
    is_weak = judgement.agreement < LOW_AGREEMENT
    hard = "most are only hard" if is_weak else "some are only hard"
    first = name_list(
        [printable(each.name) for each in known[:3]] + [""] * (len(known) - 3), limit=3
    )
    plural = "label is" if len(known) == 1 else "labels are"
    return [
        Finding(
            "label-suspects",
            "note" if is_weak else "warning",
            f"{len(known):,} {plural} denied by networks that have not seen the picture (they "
            f"agree with {share} % of all labels): {first}.",
            f"Look at them, the surest first; {hard}. None goes into the list of `--exclude-file`.",
            {"count": len(known), "agreement_percent": share},
            rows=tuple(row_of[each.name] for each in known),
            remarks=tuple(
                f"{printable(each.suggested, limit=30)} {100 * each.suggested_confidence:.0f} %, "
                f"{printable(each.label, limit=30)} {100 * each.confidence:.0f} %"
                for each in known
            ),
        )
    ]


def _out_of_fold(
    pictures: Pictures, *, seed: int, on_progress: Callable[[int, int], None]
) -> NDArray[np.float64]:
    """Return what networks say of pictures they have not seen: train, validation, test."""
    train = pictures.train
    fold_of = assign_folds(pictures.table, folds=FOLDS, seed=seed)
    fold_of = fold_of[pictures.table.split == "train"]
    others = [s for s in (pictures.validation, pictures.test) if s is not None]
    own = np.zeros((len(train), len(pictures.classes)))
    apart = [np.zeros((len(each), len(pictures.classes))) for each in others]
    for fold in range(FOLDS):
        kept, held = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        predict = _train(pictures, kept, seed=derive_seed(seed, "label suspects", fold))
        own[held] = predict(_subset(train, held))
        for total, each in zip(apart, others, strict=True):
            total += predict(each) / FOLDS
        on_progress(fold + 1, FOLDS)
    return np.concatenate([own, *apart])


def _train(
    pictures: Pictures, rows: NDArray[np.int64], *, seed: int
) -> Callable[[PictureSet], NDArray[np.float64]]:
    """Train a quick network on some of the training pictures; return what it says."""
    seed %= 2**31
    of_train = np.flatnonzero(pictures.table.split == "train")
    part = replace(
        pictures,
        table=pictures.table.select(of_train[rows]),
        train=_subset(pictures.train, rows),
        validation=None,
        test=None,
    )
    side = max(pictures.preprocessing.image_size, SMALLEST_SIDE_PX)
    epochs = round(PIXELS_SEEN / (len(rows) * side**2))
    epochs = min(max(epochs, FEWEST_EPOCHS), MOST_EPOCHS)
    model = create_model_for(part, seed=seed)
    with tempfile.TemporaryDirectory(prefix="nunbit-labels-") as folder:
        options = TrainOptions(epochs=epochs, seed=seed)
        try:
            fit(model, part, options=options, out=Path(folder) / "run", progress=False)
        except KeyboardInterrupt:  # it would promise that the run can be continued
            raise KeyboardInterrupt from None

    def predict(asked: PictureSet) -> NDArray[np.float64]:
        outputs = model.outputs(asked.chunks(256)).astype(np.float64)
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    return predict


def _subset(pictures: PictureSet, rows: NDArray[np.int64]) -> PictureSet:
    return replace(
        pictures,
        rows=pictures.rows[rows],
        labels=pictures.labels[rows],
        ids=pictures.ids[rows],
        names=[pictures.names[row] for row in rows],
    )
