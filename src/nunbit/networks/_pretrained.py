"""``weights=...``: a name or a file becomes weights, with all that belongs to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from nunbit.errors import ModelFileError, OptionError
from nunbit.networks import _timm
from nunbit.networks._download import get_weights
from nunbit.networks._imagenet import imagenet_classes
from nunbit.networks._published import PublishedWeights, find_weights, published_weights
from nunbit.networks._registry import find_network
from nunbit.networks._weight_files import file_sha256, read_weight_file
from nunbit.storage import read_header
from nunbit.transfer import Progress

__all__ = ["Pretrained", "open_weights"]

FILE_ENDINGS = (".bin", ".ckpt", ".pt", ".pth", ".safetensors", ".tar", ".weights")
MODEL_FILE = "model.safetensors"
"""What a run folder calls its weights."""


@dataclass(frozen=True)
class Pretrained:
    """Weights that were read, and how they want to be used.

    Args:
        tensors: By the network's names, or by those it converts.
        source: How messages name the weights.
        facts: What a model file says about where its weights began.
        options: Options of the network that the weights need.
        image_size: Side of the pictures they were made with; None where nobody knows.
        preprocessing: Fields of ``Preprocessing`` besides size and channels.
        classes: Names of their outputs; empty where nobody knows.
    """

    tensors: Mapping[str, Tensor]
    source: str
    facts: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


def open_weights(
    network: str, weights: str | os.PathLike[str], *, progress: Progress | None = None
) -> Pretrained:
    """Read weights for a network, downloading them where they are known by name.

    A file is recognised as a published one by its hash. Any other is taken to be made
    with the same preprocessing and options as the network's weights ``imagenet``; a
    model file of ours says for itself.

    Args:
        network: A registered name, or ``timm/NAME``.
        weights: ``imagenet``, another name that ``nunbit networks --weights`` lists, or
            the path of a file or a run folder.
        progress: As :class:`nunbit.transfer.Meter`, which is the default.
    Raises:
        OptionError: The network has no weights of that name.
        ModelFileError: They cannot be had, are damaged, or are no weights.
        MissingExtraError: ``timm`` is not installed.
    """
    info = find_network(network)
    path, is_timm = Path(weights).expanduser(), info.name.startswith(_timm.PREFIX)
    if not _is_name(info.name, weights) and _is_path(path, weights):
        return _open_file(info.name, path / MODEL_FILE if path.is_dir() else path)
    if is_timm:
        if weights != "imagenet":
            raise OptionError(
                f"`{info.name}` has no weights `{weights}`. Expected `imagenet`, the weights that "
                "timm gives to this name, or the path of a file; another set of timm's is part of "
                "the name: `timm/resnet18.a1_in1k`."
            )
        return _of_timm(info.name)
    known = find_weights(info.name, os.fspath(weights))
    sha256 = get_weights(known, progress=progress)
    return _of_published(known, read_weight_file(known.path), sha256)


def _is_name(network: str, weights: object) -> bool:
    """Return whether a network has weights of this name; a folder `imagenet` is not meant then."""
    if network.startswith(_timm.PREFIX):
        return weights == "imagenet"
    return any(each.network == network and each.name == weights for each in published_weights())


def _is_path(path: Path, weights: object) -> bool:
    is_like_one = isinstance(weights, os.PathLike) or path.suffix in FILE_ENDINGS
    return is_like_one or len(path.parts) > 1 or path.exists()


def _of_published(
    known: PublishedWeights, tensors: Mapping[str, Tensor], sha256: str
) -> Pretrained:
    return Pretrained(
        tensors,
        source=f"`{known.file}`",
        facts={
            "name": known.name,
            "published_as": known.published_as,
            "file": known.file,
            "sha256": sha256,
        },
        options=known.options,
        image_size=known.image_size,
        preprocessing=_preprocessing(known),
        classes=imagenet_classes(),
    )


def _preprocessing(known: PublishedWeights) -> dict[str, Any]:
    return {"fit": "crop", "crop_frac": known.crop_frac, "mean": known.mean, "std": known.std}


def _open_file(network: str, path: Path) -> Pretrained:
    tensors, sha256 = read_weight_file(path), file_sha256(path)
    for known in published_weights():
        if sha256.startswith(known.hash_prefix):
            return _of_published(known, tensors, sha256)
        if path.name == known.file:
            raise ModelFileError(
                f"`{path}` is not what its name says: its SHA-256 begins with {sha256[:8]}, "
                f"expected {known.hash_prefix}. It is damaged or changed: get it again from "
                f"{known.urls[0]}, or give it another name if it is yours."
            )
    facts = {"file": path.name, "sha256": sha256}
    source = f"`{path}`"
    if (ours := _own_header(path)) is not None:
        made = dict(ours["preprocessing"])
        size = made.pop("image_size")
        del made["channels"]
        return Pretrained(
            tensors,
            source=source,
            facts=facts,
            options=ours["network_options"],
            image_size=size,
            preprocessing={k: tuple(v) if isinstance(v, list) else v for k, v in made.items()},
            classes=tuple(ours["task"]["classes"]),
        )
    like = next((each for each in published_weights() if each.network == network), None)
    if like is None:
        return Pretrained(tensors, source=source, facts=facts)
    return Pretrained(
        tensors,
        source=source,
        facts=facts,
        options=like.options,
        image_size=like.image_size,
        preprocessing=_preprocessing(like),
    )


def _own_header(path: Path) -> dict[str, Any] | None:
    """Return what a model file of Nunbit says of itself; None for any other file."""
    try:
        header = read_header(path, kind="model")
        made, task = header["preprocessing"], header["task"]
        whole = {"image_size", "channels"} <= set(made) and "classes" in task
    except (ModelFileError, LookupError, TypeError):
        return None
    return header if whole and isinstance(header.get("network_options"), dict) else None


def _of_timm(name: str) -> Pretrained:
    made = _timm.published(name)
    return Pretrained(
        made.tensors,
        source=f"timm's `{made.tag}`",
        facts={"name": "imagenet", "published_as": made.tag},
        image_size=made.image_size,
        preprocessing=made.preprocessing,
        classes=imagenet_classes() if made.outputs == len(imagenet_classes()) else (),
    )
