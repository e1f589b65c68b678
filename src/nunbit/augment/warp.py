"""One picture, one matrix, one interpolation: by OpenCV on the CPU, by PyTorch anywhere.

The border is what Keras' documentation draws: ``wrap`` repeats the picture with
its own period n, ``constant`` blends into the edge. SciPy calls these two
``grid-wrap`` and ``grid-constant``.

Source: scipy.ndimage.affine_transform, against which both are tested.
Departs: ``keras_edges`` gives SciPy's ``wrap`` (period n-1) and ``constant`` (no
blending), which is what Keras' code does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from nunbit.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FillMode", "Pictures", "warp", "warp_batch", "warp_torch"]

FillMode = Literal["nearest", "constant", "reflect", "wrap"]
Pixel = TypeVar("Pixel", np.uint8, np.float32)
Pictures = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""uint8 (B, H, W, C), or B pictures (H, W, C)."""

_BORDERS = {
    "nearest": cv2.BORDER_REPLICATE,
    "constant": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_WRAP,
}
_METHODS = {0: cv2.INTER_NEAREST, 1: cv2.INTER_LINEAR}


def warp(
    picture: NDArray[Pixel],
    matrix: NDArray[np.float64],
    *,
    fill_mode: FillMode = "nearest",
    cval: float = 0.0,
    order: int = 1,
    keras_edges: bool = False,
    out: NDArray[Pixel] | None = None,
) -> NDArray[Pixel]:
    """Return the picture seen through a matrix, interpolated once.

    Shape:
        picture: uint8 or float32 (H, W, C), any C; not changed.
        matrix: (2, 3), from output (column, row, 1) to input (column, row).
        returns: like ``picture``.
    Args:
        fill_mode: What lies beyond the border.
        cval: Value beyond the border for ``constant``.
        order: Of the spline: 0 = nearest pixel, 1 = linear, 2 to 5 by SciPy, slowly.
        keras_edges: Whether ``wrap`` and ``constant`` are those of Keras' code.
        out: Where the result may be put, contiguous and of the same kind; it need not be.
    Raises:
        OptionError: The fill mode or the order is none of these.
    """
    if fill_mode not in _BORDERS or order not in range(6):
        raise OptionError(
            f"`fill_mode` is {fill_mode!r} and `order` is {order!r}, expected "
            f"{', '.join(_BORDERS)}, and 0 to 5."
        )
    own_edges = keras_edges and fill_mode in ("wrap", "constant")
    if order > 1:
        return _warp_scipy(picture, matrix, fill_mode, cval, order, own_edges)
    if out is not None and not own_edges and picture.shape[2] in (1, 3, 4):
        flags = _METHODS[order] | cv2.WARP_INVERSE_MAP
        size, border = picture.shape[1::-1], _BORDERS[fill_mode]
        cv2.warpAffine(picture, matrix, size, out, flags, border, (cval,) * 4)
        return out
    moved = np.empty_like(picture, order="C")
    for part in _channel_groups(picture.shape[2]):
        source, target = picture[:, :, part], moved[:, :, part]
        if own_edges:
            found = _remap_keras(source, matrix, fill_mode, cval, order)
        else:
            found = cv2.warpAffine(  # type: ignore[assignment]  # it keeps the dtype
                source,
                matrix,
                picture.shape[1::-1],
                flags=_METHODS[order] | cv2.WARP_INVERSE_MAP,
                borderMode=_BORDERS[fill_mode],
                borderValue=(cval,) * 4,
            )
        target[...] = found.reshape(target.shape)
    return moved


def warp_batch(
    pictures: Pictures,
    matrices: NDArray[np.float64],
    *,
    fill_mode: FillMode = "nearest",
    cval: float = 0.0,
    order: int = 1,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Return a batch seen through one matrix each, picture by picture.

    Shape:
        pictures: uint8 (B, H, W, C), or B pictures (H, W, C); not changed.
        matrices: (B, 2, 3), from output (column, row, 1) to input (column, row).
        returns: uint8 (B, H, W, C).
    Args:
        out: Where the result is put, contiguous.
    """
    height, width, channels = pictures[0].shape
    moved = np.empty((len(pictures), height, width, channels), np.uint8) if out is None else out
    still = (matrices == np.eye(3)[:2]).all((1, 2)).tolist()
    if order > 1 or channels not in (1, 3, 4):
        for picture, matrix, target in zip(pictures, matrices, moved, strict=True):
            target[...] = warp(picture, matrix, fill_mode=fill_mode, cval=cval, order=order)
        return moved
    flags, border = _METHODS[order] | cv2.WARP_INVERSE_MAP, _BORDERS[fill_mode]
    size, outside = (width, height), (cval,) * 4
    if channels == 3:  # OpenCV 5 is a quarter quicker with four channels than with three
        source, found = np.empty((2, height, width, 4), np.uint8)
        for picture, matrix, target, stays in zip(pictures, matrices, moved, still, strict=True):
            if stays:
                target[...] = picture
            else:
                cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA, source)
                cv2.warpAffine(source, matrix, size, found, flags, border, outside)
                cv2.cvtColor(found, cv2.COLOR_RGBA2RGB, target)
        return moved
    # Straight into its place and with positional arguments: microseconds count here.
    for picture, matrix, target, stays in zip(pictures, matrices, moved, still, strict=True):
        if stays:
            target[...] = picture
        else:
            cv2.warpAffine(picture, matrix, size, target, flags, border, outside)
    return moved


def _channel_groups(channels: int) -> list[slice]:
    """Cut channels into groups of 4, 3 or 1: with 2, OpenCV rounds positions to 1/32 pixel."""
    groups, start = [], 0
    while start < channels:
        left = channels - start
        step = 4 if left >= 4 else 3 if left == 3 else 1
        groups.append(slice(start, start + step))
        start += step
    return groups


def _remap_keras(
    picture: NDArray[Pixel], matrix: NDArray[np.float64], fill_mode: str, cval: float, order: int
) -> NDArray[Pixel]:
    """Warp with the edges of SciPy's ``wrap`` and ``constant``; positions are float64."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    maps, beyond = [], np.zeros((height, width), bool)
    for line, last in zip(matrix, (width - 1, height - 1), strict=True):
        at = line[0] * columns + line[1] * rows + line[2]
        outside = (at < 0) | (at > last)
        beyond |= outside
        if last == 0:
            at = np.zeros_like(at)
        elif fill_mode == "wrap":
            turns = np.where(at < 0, -np.floor(-at / last) - 1, np.floor(at / last))
            at = np.where(outside, at - last * turns, at)
        maps.append(np.clip(at, 0, last).astype(np.float32))
    if order == 0:
        maps = [np.floor(each + 0.5) for each in maps]
    moved = cv2.remap(
        picture, maps[0], maps[1], _METHODS[order], borderMode=cv2.BORDER_REPLICATE
    ).reshape(picture.shape)
    if fill_mode == "constant":
        moved[beyond] = cval
    return moved  # type: ignore[return-value]  # OpenCV keeps the dtype


def _warp_scipy(
    picture: NDArray[Pixel],
    matrix: NDArray[np.float64],
    fill_mode: str,
    cval: float,
    order: int,
    own_edges: bool,
) -> NDArray[Pixel]:
    from scipy import ndimage

    mode = f"grid-{fill_mode}" if fill_mode in ("wrap", "constant") and not own_edges else fill_mode
    linear, offset = matrix[:, :2][::-1, ::-1], matrix[:, 2][::-1]  # SciPy counts (row, column)
    moved = np.empty_like(picture, order="C")
    for c in range(picture.shape[2]):
        moved[:, :, c] = ndimage.affine_transform(
            picture[:, :, c], linear, offset, order=order, mode=mode, cval=cval
        )
    return moved


def warp_torch(
    images: Tensor,
    matrices: NDArray[np.float64],
    *,
    fill_mode: FillMode = "nearest",
    cval: float = 0.0,
    order: int = 1,
) -> Tensor:
    """Return a batch seen through one matrix each, on the device where it is.

    Shape:
        images: uint8 or floating point (B, C, H, W); not changed.
        matrices: (B, 2, 3), from output (column, row, 1) to input (column, row).
        returns: like ``images``, channels-last in memory where they were.
    Args:
        fill_mode: What lies beyond the border.
        cval: Value beyond the border for ``constant``.
        order: 0 = nearest pixel, 1 = linear.
    Raises:
        OptionError: The fill mode or the order is none of these.
    """
    import torch
    import torch.nn.functional as F

    if fill_mode not in _BORDERS or order not in (0, 1):
        raise OptionError(
            f"`fill_mode` is {fill_mode!r} and `order` is {order!r}, expected "
            f"{', '.join(_BORDERS)}, and 0 or 1 (higher orders only in `warp`)."
        )
    height, width = images.shape[2:]
    device = images.device
    lines = torch.from_numpy(np.asarray(matrices, np.float32)).to(device)[:, :, None, None, :]
    rows = torch.arange(height, device=device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=device, dtype=torch.float32)
    # Not affine_grid: its matrix product is rounded to TF32 where that is switched on.
    at = lines[..., 0] * columns + lines[..., 1] * rows + lines[..., 2]  # (B, 2, H, W)
    pixels = images.float()
    if fill_mode == "constant":
        pixels = pixels - cval
    if fill_mode == "wrap":
        pixels = torch.cat([pixels, pixels[:, :, :1]], dim=2)
        pixels = torch.cat([pixels, pixels[:, :, :, :1]], dim=3)
        at = at.remainder(torch.tensor([width, height], device=device)[:, None, None])
    if order == 0:
        at = torch.floor(at + 0.5)  # ties go up, as in SciPy; grid_sample would round to even
    extent = torch.tensor(list(pixels.shape[:1:-1]), device=device, dtype=torch.float32)
    grid = ((2 * at + 1) / extent[:, None, None] - 1).permute(0, 2, 3, 1)
    moved = F.grid_sample(
        pixels,
        grid,
        mode="nearest" if order == 0 else "bilinear",
        padding_mode={"constant": "zeros", "reflect": "reflection"}.get(fill_mode, "border"),
        align_corners=False,
    )
    if fill_mode == "constant":
        moved = moved + cval
    if images.is_contiguous(memory_format=torch.channels_last):
        moved = moved.contiguous(memory_format=torch.channels_last)
    return moved.round().to(images.dtype) if images.dtype == torch.uint8 else moved.to(images.dtype)
