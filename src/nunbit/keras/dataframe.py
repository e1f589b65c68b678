"""``DataFrameIterator``: pictures that a table names, with labels or targets of any kind.

A table is anything that gives a column by its name: a pandas or polars frame, or a
dictionary of lists. Neither library is imported.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nunbit.errors import OptionError, did_you_mean
from nunbit.keras._errors import OptionTypeError, UnknownClassError
from nunbit.keras.files import FileIterator, FileOptions

if TYPE_CHECKING:
    from nunbit.keras.generator import ImageDataGenerator

__all__ = ["DataFrameIterator", "old_arguments"]

_WITHOUT_CLASSES = ("input", "multi_output", "raw", None)

_OLD = {
    "has_ext": "file names must be given with their endings.",
    "sort": "without shuffling, batches have the order of the table.",
    "drop_duplicates": "drop them from the table before.",
}


class DataFrameIterator(FileIterator):
    """Yield ``(x, y)``, ``(x, y, weights)`` or ``x`` from the pictures that a table names.

    Arguments, their order and their defaults are those of Keras, hence their number; see
    :meth:`nunbit.keras.ImageDataGenerator.flow_from_dataframe`.

    Raises:
        OptionError: An option has an unknown value, or there are not two classes for binary.
        OptionTypeError: A column holds values of another type than its use asks for.
        UnknownClassError: The table lacks a column.
    """

    allowed_class_modes = (
        "binary",
        "categorical",
        "input",
        "multi_output",
        "raw",
        "sparse",
        None,
    )

    def __init__(
        self,
        dataframe: Any,
        directory: str | None,
        image_data_generator: ImageDataGenerator,
        x_col: str = "filename",
        y_col: str | list[str] = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = "channels_last",
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = "float32",
        validate_filenames: bool = True,
    ) -> None:
        options = FileOptions(
            target_size=target_size,
            color_mode=color_mode,
            interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
            subset=subset,
            data_format=data_format,
            dtype=dtype,
            save_to_dir=save_to_dir,
            save_prefix=save_prefix,
            save_format=save_format,
        )
        self._set_options(image_data_generator, options)
        self.directory = os.fspath(directory) if directory else ""
        self.class_mode = class_mode
        self._check_class_mode(self.allowed_class_modes)
        self._check_columns(dataframe, x_col, y_col, weight_col, classes)
        names = _column(dataframe, x_col)
        rows = list(range(len(names)))
        if validate_filenames:
            rows = self._rows_with_files(names, x_col)
        with_classes = class_mode not in _WITHOUT_CLASSES
        if with_classes:
            labels = _column(dataframe, y_col)
            labels, known = _choose_classes([labels[row] for row in rows], classes)
            rows = [row for row, label in zip(rows, labels, strict=True) if label is not None]
            labels = [label for label in labels if label is not None]
            self.class_indices = {name: number for number, name in enumerate(known)}
            numbered = [self._number(label) for label in labels]
            self.classes = numbered[self._part(len(rows))]
        elif classes:
            warnings.warn(
                f"`classes` will be ignored given the class_mode={class_mode!r}.", stacklevel=3
            )
        rows = rows[self._part(len(rows))]
        self.filenames = [names[row] for row in rows]
        self.samples = len(self.filenames)
        self._filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        weights = np.asarray(dataframe[weight_col])[rows] if weight_col else None
        self._sample_weight = weights
        if class_mode == "multi_output":
            self._targets: Any = [np.array(_pick(dataframe, column, rows)) for column in y_col]
        elif class_mode == "raw":
            several = isinstance(y_col, (list, tuple))
            columns = [
                np.asarray(dataframe[each])[rows] for each in (y_col if several else [y_col])
            ]
            self._targets = np.stack(columns, axis=1) if several else columns[0]
        kind = "validated" if validate_filenames else "non-validated"
        belonging = f" belonging to {len(self.class_indices)} classes" if with_classes else ""
        print(f"Found {self.samples} {kind} image filenames{belonging}.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    @property
    def labels(self) -> Any:
        return self._targets if self.class_mode in ("multi_output", "raw") else self.classes

    @property
    def sample_weight(self) -> Any:
        return self._sample_weight

    def _check_columns(
        self,
        table: Any,
        x_col: str,
        y_col: str | list[str],
        weight_col: str | None,
        classes: Sequence[str] | None,
    ) -> None:
        """Raise unless the columns hold what the class mode needs."""
        mode = self.class_mode
        if mode == "multi_output" and not isinstance(y_col, list):
            raise OptionTypeError(
                f'If class_mode="multi_output", y_col must be a list. Received '
                f"{type(y_col).__name__}. Pass `y_col=[{y_col!r}]`."
            )
        asked = [x_col, *([weight_col] if weight_col else [])]
        if mode not in ("input", None):
            asked += y_col if isinstance(y_col, (list, tuple)) else [y_col]
        missing = [name for name in asked if name not in _column_names(table)]
        if missing:
            raise UnknownClassError(
                f"the table has no column {', '.join(map(repr, missing))}; it has: "
                f"{', '.join(map(str, _column_names(table)))}."
            )
        if not all(isinstance(value, str) for value in _column(table, x_col)):
            raise OptionTypeError(
                f"All values in column x_col={x_col} must be strings. "
                "Convert paths with `str` first."
            )
        types: tuple[type, ...] = (str, list, tuple) if mode == "categorical" else (str,)
        labels = _column(table, y_col) if mode not in _WITHOUT_CLASSES else []
        if not all(isinstance(value, types) for value in labels):
            expected = "type string, list or tuple" if len(types) > 1 else "strings"
            raise OptionTypeError(
                f'If class_mode="{mode}", y_col="{y_col}" column values must be {expected}. '
                'For numbers convert them with `str`, or pass `class_mode="raw"`.'
            )
        found = len(set(classes)) if classes else len(set(labels)) if mode == "binary" else 0
        if mode == "binary" and found != 2:
            raise OptionError(
                f'If class_mode="binary" there must be 2 classes. Found {found}. '
                'Pass `class_mode="sparse"` or `class_mode="categorical"`.'
            )
        if weight_col:
            kind = np.asarray(table[weight_col]).dtype
            if not np.issubdtype(kind, np.number):
                raise OptionTypeError(
                    f"Column weight_col={weight_col} must be numeric, received {kind}."
                )

    def _rows_with_files(self, names: list[str], x_col: str) -> list[int]:
        endings = self._endings
        kept = [
            row
            for row, name in enumerate(names)
            if name.lower().endswith(endings) and os.path.isfile(os.path.join(self.directory, name))
        ]
        if len(kept) < len(names):
            warnings.warn(
                f'Found {len(names) - len(kept)} invalid image filename(s) in x_col="{x_col}". '
                "These filename(s) will be ignored.",
                stacklevel=4,
            )
        return kept

    def _number(self, label: Any) -> Any:
        if isinstance(label, (list, tuple)):
            return [self.class_indices[each] for each in label]
        return self.class_indices[label]


def _column_names(table: Any) -> list[Any]:
    return list(table.columns) if hasattr(table, "columns") else list(table)


def _column(table: Any, name: Any) -> list[Any]:
    values = table[name]
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _pick(table: Any, name: str, rows: Iterable[int]) -> list[Any]:
    values = _column(table, name)
    return [values[row] for row in rows]


def _choose_classes(
    labels: list[Any], classes: Sequence[str] | None
) -> tuple[list[Any], list[str]]:
    """Return the labels that are among the classes, None for the others, and the classes."""
    if not classes:
        names: set[str] = set()
        for label in labels:
            names.update(label if isinstance(label, (list, tuple)) else [label])
        return labels, sorted(names)
    known = list(dict.fromkeys(classes))

    def keep(label: Any) -> Any:
        if isinstance(label, (list, tuple)):
            return [each for each in label if each in known] or None
        return label if label in known else None

    return [keep(label) for label in labels], known


def old_arguments(
    given: dict[str, Any], class_mode: str | None, *, like: str | None
) -> tuple[str | None, bool]:
    """Return the class mode and whether aspects are kept, from arguments beyond the named ones.

    Raises:
        OptionError: An argument is unknown; Keras 3 takes and ignores any.
    """
    for name, reason in _OLD.items():
        if name in given:
            warnings.warn(f"`{name}` is deprecated: {reason}", DeprecationWarning, stacklevel=3)
    if class_mode == "other":
        warnings.warn(
            '`class_mode="other"` is deprecated, please use `class_mode="raw"`.',
            DeprecationWarning,
            stacklevel=3,
        )
        class_mode = "raw"
    if like == "keras-3":
        return class_mode, False
    known = [*_OLD, "keep_aspect_ratio"]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise OptionError(
            "\n".join(
                f"`flow_from_dataframe` has no argument `{name}`.{did_you_mean(name, known)}"
                for name in unknown
            )
        )
    return class_mode, bool(given.get("keep_aspect_ratio", False))
