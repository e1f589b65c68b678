"""What ``nunbit networks`` says of networks, as plain data and short texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nunbit.networks import Description, Layer, NetworkInfo, PublishedWeights

__all__ = [
    "layer_facts",
    "network_facts",
    "option_texts",
    "other_names",
    "short_count",
    "weight_facts",
]


def other_names(info: NetworkInfo) -> list[str]:
    """Return the other names that are more than another spelling."""

    def plain(name: str) -> str:
        return re.sub(r"[-_]", "", name)

    seen, found = {plain(info.name)}, []
    for each in info.aliases:
        if plain(each) not in seen:
            seen.add(plain(each))
            found.append(each)
    return found


def layer_facts(layer: Layer) -> dict[str, Any]:
    """Return a row of the layer table as plain data."""
    sees = layer.receptive_field
    return {
        "name": layer.name,
        "kind": layer.kind,
        "output": list(layer.output),
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
        "receptive_field": list(sees) if isinstance(sees, tuple) else sees,
        "memory_bytes": layer.memory_bytes,
    }


def network_facts(info: NetworkInfo, shown: Description) -> dict[str, Any]:
    """Return what is known of a network, and its sums, as plain data."""
    return {
        "name": info.name,
        "aliases": list(info.aliases),
        "title": info.title,
        "source": info.source,
        "year": info.year or None,
        "reported": info.reported,
        "input": list(shown.input),
        "outputs": shown.outputs,
        "parameters": shown.parameters,
        "multiply_adds": shown.multiply_adds,
    }


def weight_facts(weights: PublishedWeights) -> dict[str, Any]:
    """Return what is known of published weights as plain data."""
    return {
        "network": weights.network,
        "name": weights.name,
        "published_as": weights.published_as,
        "file": weights.file,
        "size_bytes": weights.size_bytes,
        "top1_percent": weights.top1_percent,
        "top5_percent": weights.top5_percent,
        "image_size": weights.image_size,
        "is_cached": weights.is_cached,
        "urls": list(weights.urls),
    }


def short_count(count: int) -> str:
    """Return a number with two digits after the point and its unit.

    Example:
        >>> short_count(15_470_264_320), short_count(406_528), short_count(290)
        ('15.47 G', '406.53 k', '290')
    """
    for factor, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    return str(count)


def option_texts(info: NetworkInfo) -> dict[str, str]:
    """Return what each option of a network means and which values it takes, by name."""
    from nunbit.networks import option_fields

    texts = {}
    for name, field in option_fields(info).items():
        words = f"one of {', '.join(field.choices)}" if field.choices else ""
        notes = [text for text in (field.option.unit, field.option.range_text, words) if text]
        texts[name] = (field.option.help + (f" ({', '.join(notes)})" if notes else "")).strip()
    return texts
