"""The first line of a table of pictures, and all that is wrong with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nunbit.data.sources.labels import clip
from nunbit.errors import DataError, name_list

__all__ = ["Mistakes", "check_header"]

_OTHER_WORDS = {
    **dict.fromkeys(("filename", "file", "filepath", "file_name", "image", "img"), "path"),
    **dict.fromkeys(("class", "category", "labels", "y", "target_class", "name"), "label"),
}
"""What others call the columns; only to say which one to rename."""


@dataclass
class Mistakes:
    """All that is wrong with a source, told at once: ten of each kind, and how many."""

    where: str
    kinds: dict[str, tuple[str, list[str]]] = field(default_factory=dict)

    def add(self, what: str, place: str, *, advice: str) -> None:
        """Note a mistake.

        Args:
            what: Its kind, in the plural: ``missing files``.
            place: Where it is, and what is there.
            advice: What to do about this kind.
        """
        self.kinds.setdefault(what, (advice, []))[1].append(place)

    def raise_any(self) -> None:
        """Raise all mistakes as one error, if there are any.

        Raises:
            DataError: There are.
        """
        texts = [
            f"{what} ({len(places):,}): {name_list(places)}. {advice}"
            for what, (advice, places) in self.kinds.items()
        ]
        if texts:
            start = "\n- " if len(texts) > 1 else " "
            raise DataError(f"{self.where} cannot be used:" + "".join(start + t for t in texts))


def check_header(names: Sequence[str], *, where: str) -> tuple[dict[str, int], list[str]]:
    """Find the columns that count, by name in any case.

    Returns:
        The position of each, and the names of unknown columns.

    Raises:
        DataError: Columns are missing, there twice, or contradict each other.
    """
    found: dict[str, int] = {}
    unknown = []
    for position, written in enumerate(names):
        name = written.strip().lower()
        if name not in ("path", "label", "split", "group") and not _is_target(name):
            unknown.append(clip(written.strip(), 60) or "without a name")
        elif name in found:
            raise DataError(f"{where} has two columns `{name}`. Keep one.")
        else:
            found[name] = position
    targets = [name for name in found if _is_target(name)]
    missing = [name for name in ("path", "label") if name not in found]
    if targets and "label" in found:
        raise DataError(
            f"{where} has both `label` and `{targets[0]}`. Keep `label` to learn classes, or "
            "`target` to learn numbers."
        )
    if targets:
        missing = [name for name in missing if name != "label"]
    if missing:
        have = name_list(f"`{clip(name.strip(), 60)}`" for name in names) or "none"
        other = [(u, _OTHER_WORDS.get(u.lower())) for u in unknown]
        renames = [f"rename `{u}` to `{word}`" for u, word in other if word in missing]
        advice = "; ".join(dict.fromkeys(renames))
        raise DataError(
            f"{where} has the columns {have}, expected path,label[,split][,group], or target in "
            f"place of label; missing: {', '.join(missing)}. The first line names the columns"
            f"{f': {advice}' if advice else ''}."
        )
    return found, unknown


def _is_target(name: str) -> bool:
    return name == "target" or (name.startswith("target_") and len(name) > 7)
