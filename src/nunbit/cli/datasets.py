"""``nunbit datasets [NAME]``: the sets that have a name; one of them, or one picture.

``--download`` fetches a set now; without it, a set is fetched when it is first used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from nunbit.cli._flags import CommonOptions, pick
from nunbit.cli._output import Output
from nunbit.errors import OptionError, did_you_mean
from nunbit.options import Option, Options

if TYPE_CHECKING:
    from nunbit.data.named import NamedSet

__all__ = ["DatasetsOptions", "datasets"]

SHADES = " .:-=+*#%@"
LARGEST_PRINTED = 32
"""Pictures up to this side are printed as numbers, too."""


@dataclass(frozen=True)
class DatasetsOptions(Options):
    """What to show of a set."""

    show: Annotated[
        int | None,
        Option("Draw picture number N and print its numbers.", low=0, group="Pictures"),
    ] = None
    download: Annotated[
        bool,
        Option(
            "Download the set now, or check the files of an earlier download.", group="Pictures"
        ),
    ] = False


def datasets(name: str | None, given: dict[str, Any]) -> int:
    """List the named sets, or show one of them, or one of its pictures."""
    from nunbit.data.named import NAMED_SETS

    output = Output(as_json=CommonOptions(**pick(CommonOptions, given)).json)
    options = DatasetsOptions(**pick(DatasetsOptions, given))
    if name is None and (options.download or options.show is not None):
        raise OptionError(
            f"which set? Give a name: `nunbit datasets mnist`. Known: {', '.join(NAMED_SETS)}."
        )
    if name is None:
        _list(output)
    elif name not in NAMED_SETS:
        raise OptionError(
            f"unknown set `{name}`.{did_you_mean(name, NAMED_SETS)} Known: {', '.join(NAMED_SETS)}."
        )
    elif options.download and options.show is None:
        _download(NAMED_SETS[name], output)
    elif options.show is None:
        _show_set(NAMED_SETS[name], output)
    else:
        _show_picture(name, options.show, output)
    return 0


def _place(known: NamedSet) -> str | None:
    from nunbit.data.named import find_place

    if known.is_embedded:
        return "ships with Nunbit"
    place = find_place(known)
    return None if place is None else str(place)


def _download_bytes(known: NamedSet) -> int | None:
    """Return how much is downloaded for a set; None for sets that are not downloaded."""
    from nunbit.data.named.remote import REMOTE

    files = REMOTE.get(known.name)
    return sum(file.size_bytes for file in files) if files else None


def _where(facts: dict[str, Any]) -> str:
    from nunbit.transfer.meter import size_text

    if facts["place"] is not None:
        return str(facts["place"])
    if facts["download_bytes"] is None:
        return "not on this machine"
    return f"not here yet, downloaded when used ({size_text(facts['download_bytes'])})"


def _download(known: NamedSet, output: Output) -> None:
    from nunbit.data.named import download_set, find_place
    from nunbit.data.named.download import set_folder

    place = find_place(known)
    if place is None or place == set_folder(known.name):
        place = download_set(known)
        output.say(f"{known.name} is in {place}, checked by SHA-256.")
    else:
        output.say(f"{known.name} is in {place} already; nothing was downloaded.")
    output.result(_facts(known))


def _facts(known: NamedSet) -> dict[str, Any]:
    return {
        "name": known.name,
        "title": known.title,
        "title_ko": known.title_ko,
        "classes": list(known.classes),
        "classes_ko": list(known.classes_ko),
        "train_images": known.train_images,
        "test_images": known.test_images,
        "image_size": known.image_size,
        "colour": known.colour,
        "licence": known.licence,
        "place": _place(known),
        "download_bytes": _download_bytes(known),
    }


def _list(output: Output) -> None:
    from nunbit.data.named import NAMED_SETS

    all_facts = [_facts(known) for known in NAMED_SETS.values()]
    rows = [
        [
            f["name"],
            _where(f),
            f"{f['train_images']:,}",
            f"{f['test_images']:,}",
            f"{len(f['classes'])}",
        ]
        for f in all_facts
    ]
    output.table(["set", "where", "train", "test", "classes"], rows, left=2)
    output.result({"datasets": all_facts})


def _show_set(known: NamedSet, output: Output) -> None:
    from nunbit.data.named.base import places
    from nunbit.data.named.remote import BY_HAND

    facts = _facts(known)
    names = [
        f"{en} ({ko})" if ko else en
        for en, ko in zip(known.classes, known.classes_ko or [""] * len(known.classes), strict=True)
    ]
    output.facts(
        {
            "Set": f"{known.name}: {known.title} / {known.title_ko}",
            "Pictures": f"{known.train_images:,} to train, {known.test_images:,} to test, "
            f"{known.colour}, seen at {known.image_size}×{known.image_size}",
            "Classes": ", ".join(names),
            "Licence": known.licence,
            "Where": _where(facts),
        }
    )
    if facts["place"] is None:
        if known.name in BY_HAND:
            output.say(BY_HAND[known.name])
        else:
            output.say(f"`nunbit datasets {known.name} --download` fetches it now.")
        output.say(f"Or put {known.files} into one of:")
        for place in places(known.name):
            output.say(f"  {place}")
    output.result(facts)


def _show_picture(name: str, number: int, output: Output) -> None:
    from nunbit.data.decode import decode
    from nunbit.data.sources.opening import open_source

    table = open_source(name)
    if number >= len(table):
        raise OptionError(f"`--show {number}`: `{name}` has pictures 0 to {len(table) - 1}.")
    data = table.store.read(int(table.ids[number]))
    pixels = decode(data) if isinstance(data, bytes) else data
    label = table.classes[int(table.labels[number])]
    shape = "×".join(map(str, pixels.shape))
    output.facts(
        {
            "Picture": f"{table.store.name(int(table.ids[number]))} ({table.split[number]})",
            "Label": label,
            "Values": f"{shape}, {pixels.dtype}, {pixels.min()} to {pixels.max()}",
        }
    )
    output.say()
    for line in _draw(pixels):
        output.say(line)
    if max(pixels.shape[:2]) <= LARGEST_PRINTED:
        planes = [pixels] if pixels.ndim == 2 else [pixels[:, :, k] for k in range(3)]
        for plane, title in zip(planes, ["", ""] if pixels.ndim == 2 else "RGB", strict=False):
            output.say(f"\n{title}".rstrip(" "))
            for row in plane:
                output.say(" ".join(f"{value:3d}" for value in row))
    output.result(
        {
            "set": name,
            "number": number,
            "label": label,
            "split": str(table.split[number]),
            "pixels": pixels.tolist(),
        }
    )


def _draw(pixels: Any) -> list[str]:
    """Return the picture as lines of text, two letters a cell, at most 64 cells wide."""
    import cv2
    import numpy as np

    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    side = max(grey.shape)
    if side > 64:
        new = (max(1, grey.shape[1] * 64 // side), max(1, grey.shape[0] * 64 // side))
        grey = cv2.resize(grey, new, interpolation=cv2.INTER_AREA)
    shades = np.array(list(SHADES))[grey.astype(int) * (len(SHADES) - 1) // 255]
    return ["".join(letter * 2 for letter in row) for row in shades]
