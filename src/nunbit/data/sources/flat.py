"""Classes from the names of files: ``cat.0.jpg``, ``dog_12.png``, as Kaggle ships them.

The rule, for the files of one folder:

* Take the name without its folder and its last suffix: ``cat.0.jpg`` → ``cat.0``.
* Find the first separator (``.``, ``_``, ``-`` or a space) that is followed by a
  number, in brackets or not; the number ends at the next separator or the end of
  the name. What stands before is the class: ``great_pyrenees_12`` → ``great_pyrenees``,
  ``cat (3)`` → ``cat``.
* The class begins with a letter, and is no word that cameras and programs number
  their files with (``IMG_2034``, ``photo-1``, ``frame_7``).
* Every picture in the folder fits, and there are at least two classes.

Where any of this fails, no picture gets a label from its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from nunbit.data.sources.labels import clean_label, clip

__all__ = ["FLAT_EXAMPLE", "flat_label", "flat_labels"]

FLAT_EXAMPLE = "`cat.0.jpg`, `dog_12.png`"

_NUMBER = re.compile(r"[._\- ]\(?\d+(?=$|[._\-) ])")
_SEPARATORS = "._- "

_NUMBERED_BY_PROGRAMS = frozenset(
    (
        *("dcim", "dsc", "dscf", "dscn", "file", "frame", "gopr", "image", "images", "img"),
        *("imgp", "kakaotalk", "mvi", "p", "page", "pano", "photo", "photos", "pic", "picture"),
        *("pictures", "pxl", "scan", "screenshot", "untitled", "vid", "video", "wp"),
        *("사진", "그림", "이미지", "스크린샷"),
    )
)


def flat_label(name: str) -> str | None:
    """Return the class that the name of one file begins with, or None.

    Example:
        >>> flat_label("train/cat.0.jpg"), flat_label("t-shirt_12.png"), flat_label("7.png")
        ('cat', 't-shirt', None)
    """
    stem = clean_label(os.path.splitext(name.rpartition("/")[2])[0])
    number = _NUMBER.search(stem)
    if number is None:
        return None
    label = stem[: number.start()].rstrip(_SEPARATORS)
    is_class = label[:1].isalpha() and label.casefold() not in _NUMBERED_BY_PROGRAMS
    return label if is_class else None


def flat_labels(names: Sequence[str]) -> tuple[list[str], str]:
    """Return the class of each file by its name, and why there is none.

    Returns:
        The classes and an empty text; or no classes, and a reason to end a sentence
        with.
    """
    labels = []
    for name in names:
        label = flat_label(name)
        if label is None:
            return [], f"`{clip(name)}` does not begin with a class and a number"
        labels.append(label)
    if len(set(labels)) < 2:
        return (
            [],
            f"all names begin with `{clip(labels[0])}`" if labels else "there are no pictures",
        )
    return labels, ""
