"""``nunbit augment SOURCE``: a sheet of what the network will see in training."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output
from nunbit.cli._places import check_outside, check_parent, folders_of
from nunbit.data.options import ChannelsOption, DataOptions, FitOption, SkipClassOption
from nunbit.errors import DataError, OptionError, PictureError, StorageError
from nunbit.options import Option, Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nunbit.augment import Augment
    from nunbit.data.preprocessing import Preprocessing
    from nunbit.data.table import PictureTable

    Bytes = NDArray[np.uint8]

__all__ = ["SheetOptions", "augment"]

SMALLEST_TILE = 96
"""Smaller pictures are enlarged by a whole number, so that pixels stay squares."""
GAP = 6
"""Pixels between pictures; four times as much after the original."""
CAPTION = 22
"""Height of the line above the pictures, in pixels."""
LARGEST_SIDE = 16_384
"""Pixels of a sheet that viewers still open."""
HEADER_BYTES = 33
"""Signature and first chunk (IHDR) of a PNG, in bytes."""
_TEXT = b"tEXtSoftware\0nunbit augment"
MARK = struct.pack(">I", len(_TEXT) - 4) + _TEXT + struct.pack(">I", zlib.crc32(_TEXT))
"""What a sheet is known by: a chunk of text after the first, which viewers pass over."""


@dataclass(frozen=True)
class SheetOptions(Options):
    """What the sheet shows."""

    augment: Annotated[
        str, Option("A preset (none, light, photo, ...), a TOML file, or auto.", group="Pictures")
    ] = "auto"
    out: Annotated[str, Option("The PNG to write; an older sheet is replaced.", group="Output")] = (
        "sheet.png"
    )
    count: Annotated[
        int, Option("Pictures, spread over the training set.", low=1, high=100, group="Pictures")
    ] = 8
    variants: Annotated[
        int, Option("Variants of each: one per epoch.", low=1, high=50, group="Pictures")
    ] = 7
    image_size: Annotated[
        int | None,
        Option(
            "Side of the square the network sees; default as in training.",
            unit="pixels",
            low=4,
            high=4096,
            group="Pictures",
        ),
    ] = None
    fit: FitOption = "squash"
    channels: ChannelsOption = "auto"
    exclude: Annotated[
        str | None, Option("File that lists pictures to leave out.", group="Pictures")
    ] = None
    skip_class: SkipClassOption = ()
    seed: Annotated[int, Option("The seed of the training.", low=0, group="Pictures")] = 0
    epoch: Annotated[int, Option("The first epoch shown.", low=1, group="Pictures")] = 1


def augment(source: str, given: dict[str, Any]) -> int:
    """Write a sheet of pictures as training will see them: the original, then an epoch each.

    With the same seed and the same options of the pictures, these are the very pictures
    that training gets; only the partner of MixUp and CutMix depends on the split, too.
    """
    options = SheetOptions(**pick(SheetOptions, given))
    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    out = Path(options.out)
    check_parent("--out", options.out)
    check_sheet(out)

    from nunbit.augment import choose_augment
    from nunbit.data.reading import choose_preprocessing, open_as_asked
    from nunbit.storage import write_atomic

    choose_augment(options.augment, channels=3)  # a wrong name is said before anything is read
    data = DataOptions(
        image_size=options.image_size,
        fit=options.fit,
        channels=options.channels,
        exclude=options.exclude,
        skip_class=options.skip_class,
    )
    table, where = open_as_asked(source, data)
    check_outside("--out", options.out, folders_of(source, table))
    preprocessing = choose_preprocessing(table, data, where)
    name, chosen = choose_augment(options.augment, channels=preprocessing.channels)
    if table.has_split("train"):
        table = table.of_split("train")
    _check_size(preprocessing.image_size, min(options.count, len(table)), options.variants)
    rows, originals, failed = _read(table, preprocessing, options.count)
    if not rows:
        raise DataError(f"none of the pictures looked at in {where} can be read: {failed[0]}.")
    variants = _variants(chosen, table, preprocessing, (rows, originals), options)
    sheet = draw_sheet(originals, variants, first_epoch=options.epoch)
    write_atomic(out, _encode(sheet))
    height, width = sheet.shape[:2]
    shown = f"{len(rows)} pictures, each with {options.variants} variants"
    output.say(f"{out}: {shown}, augment {name}, {width}×{height}")
    if chosen.standardizes:
        output.say(f"not shown: {', '.join(chosen.standardizes)}")
    for each in failed:
        output.say(f"failed: {each}")
    output.result(
        {
            "out": str(out),
            "augment": {"name": name, **chosen.to_dict()},
            "image_size": preprocessing.image_size,
            "seed": options.seed,
            "epochs": [options.epoch + k for k in range(options.variants)],
            "pictures": [
                {"name": table.store.name(int(table.ids[row])), "label": table.label_text(row)}
                for row in rows
            ],
            "failed": failed,
        }
    )
    return 0


def _read(
    table: PictureTable, preprocessing: Preprocessing, count: int
) -> tuple[list[int], Bytes, list[str]]:
    """Return rows spread over the table, their pictures, and what could not be read."""
    import numpy as np

    spread = np.unique(np.linspace(0, len(table) - 1, min(count, len(table))).round().astype(int))
    rows, pictures, failed = [], [], []
    for row in spread.tolist():
        number = int(table.ids[row])
        try:
            pictures.append(preprocessing.prepare(table.store.read(number)))
            rows.append(row)
        except PictureError as error:
            failed.append(f"{table.store.name(number)}: {error}")
    size, channels = preprocessing.image_size, preprocessing.channels
    return rows, np.array(pictures, np.uint8).reshape(-1, size, size, channels), failed


def _variants(
    chosen: Augment,
    table: PictureTable,
    preprocessing: Preprocessing,
    pictures: tuple[Sequence[int], Bytes],
    options: SheetOptions,
) -> list[Bytes]:
    """Return the pictures of each epoch as training makes them."""
    rows, originals = pictures
    ids, seed = table.ids[list(rows)], options.seed
    shape = (len(table), *originals.shape[1:3])
    found = []
    for epoch in range(options.epoch - 1, options.epoch - 1 + options.variants):
        changed = chosen.apply(originals, ids=ids, seed=seed, epoch=epoch)
        if chosen.mixes:
            plan = chosen.plan_mixing(ids, seed=seed, epoch=epoch, shape=shape)
            others = changed.copy()  # one that cannot be read is mixed with itself
            for k, row in enumerate(plan.partners.tolist()):
                partner = _partner(table, preprocessing, row)
                if partner is not None:
                    number = [int(table.ids[row])]
                    others[k] = chosen.apply(partner[None], ids=number, seed=seed, epoch=epoch)[0]
            changed = plan.mix(changed, others)
        found.append(changed)
    return found


def _partner(table: PictureTable, preprocessing: Preprocessing, row: int) -> Bytes | None:
    try:
        return preprocessing.prepare(table.store.read(int(table.ids[row])))
    except PictureError:
        return None


def draw_sheet(originals: Bytes, variants: Sequence[Bytes], *, first_epoch: int) -> Bytes:
    """Lay pictures out: a row for each, the original at the left, an epoch in each column.

    Shape:
        originals: uint8 (N, H, W, C), grey or RGB.
        variants: uint8 (N, H, W, C) for each epoch.
        returns: uint8 (height, width, 3), RGB.
    """
    import cv2
    import numpy as np

    count, height, width = originals.shape[:3]
    scale = _enlargement(max(height, width))
    tile_height, tile_width = height * scale + GAP, width * scale + GAP
    lefts = [GAP] + [GAP * 4 + (k + 1) * tile_width for k in range(len(variants))]
    whole = (CAPTION + GAP + count * tile_height, lefts[-1] + tile_width)
    sheet = np.full((*whole, 3), 255, np.uint8)
    titles = ["original", *(f"epoch {first_epoch + k}" for k in range(len(variants)))]
    for left, title, column in zip(lefts, titles, [originals, *variants], strict=True):
        place = (left, CAPTION - 6)
        cv2.putText(sheet, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1)
        for row, picture in enumerate(column):
            large = picture.repeat(scale, 0).repeat(scale, 1)
            top = CAPTION + GAP + row * tile_height
            sheet[top : top + height * scale, left : left + width * scale] = large
    return sheet


def _enlargement(side: int) -> int:
    """Return how many pixels of a sheet a pixel takes, each way."""
    return max(1, -(-SMALLEST_TILE // side))


def _check_size(side: int, count: int, variants: int) -> None:
    """Refuse a sheet larger than viewers open, before any picture is read."""
    tile = side * _enlargement(side) + GAP
    height, width = CAPTION + GAP + count * tile, 4 * GAP + (variants + 1) * tile
    if max(height, width) > LARGEST_SIDE:
        raise OptionError(
            f"the sheet would have {width}×{height} pixels, expected at most {LARGEST_SIDE} "
            "a side. Pass a smaller `--count`, `--variants` or `--image-size`."
        )


def _encode(sheet: Bytes) -> bytes:
    import cv2

    data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes()
    return data[:HEADER_BYTES] + MARK + data[HEADER_BYTES:]


def check_sheet(path: Path) -> None:
    """Refuse a name that is none of a PNG, and a place where something lies that is no sheet.

    Raises:
        OptionError: It is a folder, or has another ending.
        StorageError: There is such a thing.
    """
    if path.is_dir():
        raise OptionError(
            f"`--out {path}` is a folder. Give the sheet a name: `--out {path / 'sheet.png'}`."
        )
    if path.suffix.lower() != ".png":
        raise OptionError(
            f"`--out {path}`: the sheet is a PNG. Pass `--out {path.with_suffix('.png')}`."
        )
    if not os.path.lexists(path):
        return
    try:
        with open(path, "rb") as file:
            is_sheet = file.read(HEADER_BYTES + len(MARK)).endswith(MARK)
    except OSError:
        is_sheet = False
    if not is_sheet:
        raise StorageError(
            f"`{path}` is there already and is no sheet of `nunbit augment`; it is not "
            "overwritten. Give another name with `--out`, or remove it first."
        )
