"""Small arithmetic that several networks need."""

from __future__ import annotations

from nunbit.errors import ShapeError

__all__ = ["need_size"]


def need_size(name: str, image_size: int, least: int) -> None:
    """Refuse pictures too small for a network.

    Raises:
        ShapeError: ``image_size`` is below ``least``.
    """
    if image_size < least:
        way_out = "" if name == "auto" else ", or use `--network auto`"
        raise ShapeError(
            f"network `{name}` needs pictures of at least {least}×{least} pixels, got "
            f"{image_size}×{image_size}. Pass `--image-size {least}` or larger{way_out}."
        )
