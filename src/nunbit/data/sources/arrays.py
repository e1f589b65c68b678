"""Sources from Python: a dataframe or other columns, and arrays of pixels.

Dataframes are known by what they can do (``columns`` and ``frame[name]``), so no
dataframe library is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from nunbit.data.sources.column_names import check_header
from nunbit.data.sources.columns import Columns, table_of
from nunbit.data.sources.labels import check_skips, clean_label, count, sort_classes, spellings
from nunbit.data.sources.stores import ArrayStore, FileStore, ListStore
from nunbit.data.table import PictureTable, TargetKind
from nunbit.errors import DataError, name_list

__all__ = ["is_columns", "table_from_arrays", "table_from_columns"]


def is_columns(source: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether something is a dataframe or a mapping of columns."""
    is_frame = hasattr(source, "columns") and hasattr(source, "__getitem__")
    return isinstance(source, Mapping) or is_frame


def table_from_columns(
    columns: Any,
    *,
    root: str | os.PathLike[str] = ".",
    skip_classes: Sequence[str] = (),
    source: str = "columns",
) -> PictureTable:
    """Make a table from columns ``path, label[, split][, group]``.

    Labels are texts, whole numbers, or lists of texts where pictures have several;
    a text ``a|b`` is two. Columns ``target`` or ``target_<name>`` in place of
    ``label`` hold numbers to learn. Missing values count as empty.

    Args:
        columns: A dataframe, or a mapping from names to sequences of equal length.
        root: What paths are relative to.
        skip_classes: Labels to leave out.
        source: Name of the source, for people.
    Raises:
        DataError: All mistakes, in one message.

    Example:
        >>> table_from_columns({"path": ["a.jpg"], "label": ["cat"]})
        Traceback (most recent call last):
        nunbit.errors.DataError: the table of columns cannot be used: missing files (1): ...
    """
    where = "the table of columns"
    written = list(columns.columns) if hasattr(columns, "columns") else list(columns)
    found, unknown = check_header([str(name) for name in written], where=where)
    cells = {name: list(columns[written[k]]) for name, k in found.items()}
    lengths = {name: len(each) for name, each in cells.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise DataError(
            f"{where} has columns of different lengths ({shown}). Give each picture one row."
        )
    if not cells["path"]:
        raise DataError(f"{where} has no rows, expected one for each picture.")
    base = Path(root)

    def find(path: str) -> str | None:
        return next((each for each in spellings(path) if os.path.isfile(base / each)), None)

    notes: tuple[str, ...] = ()
    if unknown:
        notes = (f"columns that are not used: {name_list(f'`{name}`' for name in unknown)}",)
    return table_of(
        Columns(
            paths=[_path(cell) for cell in cells["path"]],
            rows=[f"row {k}" for k in range(len(cells["path"]))],
            labels=_label_cells(cells["label"], where) if "label" in cells else None,
            targets={name: cells[name] for name in found if name.startswith("target")},
            splits=[_text(cell) for cell in cells["split"]] if "split" in cells else None,
            groups=[_text(cell) for cell in cells["group"]] if "group" in cells else None,
            notes=notes,
        ),
        find=find,
        make_store=lambda names: FileStore(base, names),
        source=source,
        where=where,
        skip_classes=skip_classes,
    )


def _is_missing(cell: object) -> bool:
    """Return whether a cell is None, NaN or a dataframe's own sign for nothing."""
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or _is_nan(cell)


def _is_nan(cell: object) -> bool:
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def _path(cell: object) -> str:
    return os.fsdecode(cell) if isinstance(cell, bytes | os.PathLike) else _text(cell)


def _text(cell: object) -> str:
    return "" if _is_missing(cell) else str(cell).strip()


def _label_cells(cells: Sequence[object], where: str) -> list[str | Sequence[str]]:
    """Return labels as texts; whole numbers that became 1.0 beside missing ones are 1."""
    labels: list[str | Sequence[str]] = []
    for row, cell in enumerate(cells):
        if _is_missing(cell):
            labels.append("")
        elif isinstance(cell, float | np.floating):
            if not float(cell).is_integer():
                raise DataError(
                    f"{where} has the label {cell} in row {row}, expected texts or whole numbers. "
                    "To learn numbers, name the column `target`."
                )
            labels.append(str(int(cell)))
        elif isinstance(cell, list | tuple | set | frozenset | np.ndarray):
            parts = sorted(cell, key=str) if isinstance(cell, set | frozenset) else cell
            labels.append([_text(part) for part in parts])
        else:
            labels.append(_text(cell))
    return labels


# --- Arrays -------------------------------------------------------------------


def table_from_arrays(
    images: Any,
    labels: Any,
    *,
    classes: Sequence[str] | None = None,
    skip_classes: Sequence[str] = (),
    source: str = "arrays",
) -> PictureTable:
    """Make a table from pictures and labels in memory; the pixels are not copied.

    Shape:
        images: uint8 (N, H, W), (N, H, W, 1) grey or (N, H, W, 3) RGB, 0..255; or a
            list of N such pictures of any sizes.
        labels: N texts or whole numbers: classes. (N, K) of 0 and 1: which of K
            classes each picture has. (N,) or (N, T) floating point: numbers to learn.
    Args:
        classes: Names of the classes 0, 1, 2, ..., or of the K columns.
        skip_classes: Classes to leave out.
        source: Name of the source, for people.
    Raises:
        DataError: Shapes or values are none of these.
    """
    where = "the pair of arrays"
    store = _make_store(images, where)
    values = _label_array(labels, where)
    if len(values) != len(store):
        raise DataError(
            f"{where} has {count(len(store), 'picture')}, but {count(len(values), 'label')}. Give "
            "each picture one."
        )
    kind, encoded, names, notes = _read_labels(values, where)
    if classes is not None:
        names, encoded = _rename(kind, values, encoded, names, classes, where)
    table = PictureTable(
        store=store,
        ids=np.arange(len(store), dtype=np.int64),
        labels=encoded,
        classes=tuple(names),
        split=np.full(len(store), "train"),
        source=source,
        notes=tuple(notes),
        kind=kind,
    )
    return _without(table, skip_classes, where) if skip_classes else table


def _make_store(images: Any, where: str) -> ArrayStore | ListStore:
    if isinstance(images, list | tuple) or str(getattr(images, "dtype", "")) == "object":
        pictures = []
        for k, each in enumerate(images):
            picture = np.asarray(each)
            _check_pixels(picture, f"{where}, picture {k}", dims=picture.ndim)
            if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] not in (1, 3)):
                raise DataError(
                    f"{where}, picture {k}: shape {picture.shape}, expected (H, W), (H, W, 1) or "
                    f"(H, W, 3).{_shape_advice(picture.shape)}"
                )
            pictures.append(picture[..., 0] if picture.shape[2:] == (1,) else picture)
        if not pictures:
            raise DataError(f"{where} has no pictures, expected at least one.")
        return ListStore(pictures, str)
    pixels = np.asarray(images)
    _check_pixels(pixels, where, dims=pixels.ndim - 1)
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] not in (1, 3)):
        raise DataError(
            f"{where} has the shape {pixels.shape}, expected (N, H, W), (N, H, W, 1) or "
            f"(N, H, W, 3).{_shape_advice(pixels.shape[1:])}"
        )
    return ArrayStore(pixels[..., 0] if pixels.shape[3:] == (1,) else pixels, str)


def _check_pixels(pixels: NDArray[Any], where: str, *, dims: int) -> None:
    if pixels.size == 0 and pixels.dtype != object:
        raise DataError(f"{where}: no pixels, the shape is {pixels.shape}. Leave empty ones out.")
    if pixels.dtype == np.uint8:
        return
    advice = "Give whole numbers of 0 to 255 as uint8."
    if pixels.dtype.kind == "f":
        top = float(np.nanmax(pixels)) if dims >= 2 else 0.0
        scale = " * 255" if top <= 1 else ""
        advice = f"Their largest value is {top:g}; pass (images{scale}).round().astype('uint8')."
        if np.nanmin(pixels) < 0:
            advice = "Some are negative: pass the pictures as they were before normalisation."
    elif pixels.dtype.kind in "ui":
        top = int(pixels.max())
        shift = f" // {top // 256 + 1}" if top > 255 else ""
        advice = f"Their largest value is {top}; pass (images{shift}).astype('uint8')."
    raise DataError(f"{where}: pixels are {pixels.dtype}, expected uint8 of 0 to 255. {advice}")


def _shape_advice(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3):
        return " Channels come last: pass np.moveaxis(images, -3, -1)."
    if len(shape) == 3 and shape[2] == 4:
        return " Leave the fourth channel away: pass images[..., :3]."
    return ""


def _label_array(labels: Any, where: str) -> NDArray[Any]:
    if not hasattr(labels, "dtype") and not isinstance(labels, Sequence):
        labels = list(labels) if isinstance(labels, Iterable) else [labels]
    try:
        values = np.asarray(labels)
    except ValueError as error:
        raise DataError(f"{where}: labels have rows of different lengths: {error}.") from error
    if values.dtype == object and values.ndim == 1 and all(isinstance(v, str) for v in values):
        values = values.astype(np.str_)
    if values.ndim not in (1, 2) or values.dtype.kind not in "USbuif" or values.size == 0:
        raise DataError(
            f"{where}: labels are {values.dtype} of shape {values.shape}, expected N texts or "
            "whole numbers, (N, K) of 0 and 1, or floating point numbers."
        )
    return values.astype(np.str_) if values.dtype.kind == "S" else values


def _read_labels(
    values: NDArray[Any], where: str
) -> tuple[TargetKind, NDArray[Any], Sequence[str], list[str]]:
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0])
            raise DataError(f"{where}: label {bad} is not finite. Leave such pictures out.")
        columns = values.reshape(len(values), -1).astype(np.float64)
        width = columns.shape[1]
        names = ["target"] if width == 1 else [f"target_{k}" for k in range(width)]
        return "regression", columns, names, []
    if values.ndim == 2:
        if values.dtype.kind == "U" or not np.isin(values, (0, 1)).all():
            raise DataError(
                f"{where}: labels of shape {values.shape} have values that are not 0 or 1. For "
                "classes give N labels; for numbers give floating point."
            )
        notes = []
        if (values.sum(axis=1) == 1).all() and values.shape[1] > 1:
            notes.append(
                "each picture has exactly one of its labels; if they exclude each other, pass "
                "labels.argmax(axis=1)"
            )
        names = [str(k) for k in range(values.shape[1])]
        return "multi-label", values.astype(np.uint8), names, notes
    if values.dtype.kind in "ui" and values.min() < 0:
        raise DataError(f"{where}: label {int(values.min())}, expected 0 or more, or texts.")
    texts = [clean_label(str(value).strip()) for value in values.tolist()]
    if "" in texts:
        raise DataError(f"{where}: label {texts.index('')} is empty. Leave such pictures out.")
    classes = sort_classes(texts)
    position = {name: k for k, name in enumerate(classes)}
    return "class", np.array([position[text] for text in texts], dtype=np.int64), classes, []


def _rename(
    kind: TargetKind,
    values: NDArray[Any],
    encoded: NDArray[Any],
    names: Sequence[str],
    classes: Sequence[str],
    where: str,
) -> tuple[Sequence[str], NDArray[Any]]:
    """Give classes that are numbers their names."""
    if kind == "class" and values.dtype.kind == "U":
        raise DataError(f"{where}: labels are names already; leave `classes` away.")
    least = int(values.max()) + 1 if kind == "class" else len(names)
    if len(classes) < least or (kind != "class" and len(classes) != least):
        raise DataError(f"{where} needs {least} names, `classes` has {len(classes)}.")
    if len(set(classes)) < len(classes):
        raise DataError(f"`classes` names one twice: {name_list(classes)}.")
    return list(classes), values.astype(np.int64) if kind == "class" else encoded


def _without(table: PictureTable, skip_classes: Sequence[str], where: str) -> PictureTable:
    check_skips(skip_classes, table.classes, where=where)
    kept = [k for k, name in enumerate(table.classes) if name not in skip_classes]
    if table.kind != "class":
        raise DataError(f"{where}: pass only the columns of labels to learn; no class is skipped.")
    position = np.full(len(table.classes), -1)
    position[kept] = np.arange(len(kept))
    part = table.select(np.flatnonzero(np.isin(table.labels, kept)))
    return replace(
        part,
        labels=position[part.labels],
        classes=tuple(table.classes[k] for k in kept),
        notes=(*part.notes, f"classes left out as asked: {', '.join(sorted(skip_classes))}"),
    )
