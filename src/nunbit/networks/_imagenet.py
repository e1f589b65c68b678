"""The 1,000 classes of ImageNet, in the order of the outputs of published weights.

The names in ``imagenet_classes.txt`` are torchvision's (``torchvision.models._meta``,
BSD-3-Clause), one a line: short, in English, none twice.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["imagenet_classes"]


def imagenet_classes() -> tuple[str, ...]:
    """Return the names of the 1,000 classes; the first is ``tench``.

    Example:
        >>> imagenet_classes()[281:284]
        ('tabby', 'tiger cat', 'Persian cat')
    """
    text = files("nunbit.networks").joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple(text.splitlines())
