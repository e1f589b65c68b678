"""``weights=...``: a name or a file becomes weights, with all that belongs to them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nunbit.errors import ModelFileError, NunbitError, OptionError
from nunbit.networks import _timm
from nunbit.networks._download import get_weights
from nunbit.networks._imagenet import imagenet_classes
from nunbit.networks._published import PublishedWeights, find_weights, published_weights
from nunbit.networks._registry import NetworkInfo, create_network, find_network, network_heads
from nunbit.networks._weight_files import file_sha256, read_weight_file
from nunbit.networks._weights import convert_keys
from nunbit.storage import UNUSABLE, read_header
from nunbit.transfer import Progress

__all__ = ["Pretrained", "open_weights"]

FILE_ENDINGS = (".bin", ".ckpt", ".pt", ".pth", ".safetensors", ".tar", ".weights")
MODEL_FILE = "model.safetensors"
"""What a run folder calls its weights."""
WHITENING = "preprocessing:zca"
"""What a model file calls its ZCA matrix."""


@dataclass(frozen=True)
class Pretrained:
    """Weights that were read, and how they want to be used.

    Args:
        tensors: By the network's names, or by those it converts.
        source: How messages name the weights.
        facts: What a model file says about where its weights began.
        options: Options of the network that the weights need.
        options_if_needed: Options to be taken where the weights fit with them alone.
        image_size: Side of the pictures they were made with; None where nobody knows.
        channels: Of the pictures they were made with; None where nobody knows.
        preprocessing: Fields of ``Preprocessing`` besides size and channels.
        whitening: ZCA matrix that their pictures were multiplied by; None for none.
        classes: Names of their outputs; empty where nobody knows.
        titles: Those names in other languages.
        head: What the outputs are: ``softmax`` or ``sigmoid``; empty where nobody knows.
        made_for: Name of the network they say they are of; empty where nobody knows.
    """

    tensors: Mapping[str, Tensor]
    source: str
    facts: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    options_if_needed: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    channels: int | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    whitening: Tensor | None = None
    classes: tuple[str, ...] = ()
    titles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    head: str = ""
    made_for: str = ""


def open_weights(
    network: str, weights: str | os.PathLike[str], *, progress: Progress | None = None
) -> Pretrained:
    """Read weights for a network, downloading them where they are known by name.

    A file is recognised as a published one by its hash. Any other is taken to be made
    with the same preprocessing as the network's weights ``imagenet``, and with their
    options where it does not fit without; a model file of ours says for itself.

    Args:
        network: A registered name, or ``timm/NAME``.
        weights: ``imagenet``, another name that ``nunbit networks --weights`` lists, or
            the path of a file or a run folder.
        progress: As :class:`nunbit.transfer.Meter`, which is the default.
    Raises:
        OptionError: The network has no weights of that name.
        ModelFileError: They cannot be had, are damaged, no weights, or another network's.
        MissingExtraError: ``timm`` is not installed.
    """
    info = find_network(network)
    if not isinstance(weights, (str, os.PathLike)) or not os.fspath(weights):
        raise OptionError(
            f"`weights` is {weights!r}, expected a name such as `imagenet`, the path of a file "
            "(.pth, .safetensors) or a run folder, or nothing at all for fresh weights."
        )
    path, is_timm = Path(weights).expanduser(), info.name.startswith(_timm.PREFIX)
    if not _is_name(info.name, weights) and _is_path(path, weights):
        return _open_file(info, path / MODEL_FILE if path.is_dir() else path)
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
        channels=len(known.mean),
        preprocessing=_preprocessing(known),
        classes=imagenet_classes(),
        head="softmax",
        made_for=known.network,
    )


def _preprocessing(known: PublishedWeights) -> dict[str, Any]:
    return {"fit": "crop", "crop_frac": known.crop_frac, "mean": known.mean, "std": known.std}


def _open_file(info: NetworkInfo, path: Path) -> Pretrained:
    sha256 = file_sha256(path)  # before anything is read
    for known in published_weights():
        if sha256.startswith(known.hash_prefix):
            if info.name.startswith(_timm.PREFIX):  # some of timm's are torchvision's networks
                return replace(_of_published(known, read_weight_file(path), sha256), options={})
            if known.network != info.name:
                raise _of_another(path, known.network, info)
            return _of_published(known, read_weight_file(path), sha256)
        if path.name == known.file:
            raise ModelFileError(
                f"`{path}` is not what its name says: its SHA-256 begins with {sha256[:8]}, "
                f"expected {known.hash_prefix}. It is truncated, damaged or changed: get it again "
                f"from {known.urls[0]}, or give it another name if it is yours."
            )
    tensors = read_weight_file(path)
    facts = {"file": path.name, "sha256": sha256}
    if (header := _own_header(path)) is not None:
        return _of_run(info, path, tensors, header, facts)
    made = Pretrained(tensors, source=f"`{path}`", facts=facts)
    like = next((each for each in published_weights() if each.network == info.name), None)
    if like is None:
        return made
    return replace(
        made,
        options_if_needed=like.options,
        image_size=like.image_size,
        preprocessing=_preprocessing(like),
    )


def _of_another(path: Path, owner: str, info: NetworkInfo) -> ModelFileError:
    return ModelFileError(
        f"`{path}` has the weights of another network than `{info.name}`: they are those of "
        f"`{owner}`. Make that network, or give weights of `{info.name}`."
    )


def _of_run(
    info: NetworkInfo,
    path: Path,
    tensors: dict[str, Tensor],
    header: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> Pretrained:
    """Return what a model file of Nunbit holds.

    Raises:
        ModelFileError: It is another network's, or its header makes no sense.
    """
    try:
        made, task = _normalisation(header["preprocessing"]), header["task"]
        titles = {lang: tuple(names) for lang, names in (task.get("titles") or {}).items()}
    except UNUSABLE as error:
        raise ModelFileError(
            f"the header of `{path}` cannot be understood ({error}). It is damaged, or was "
            f"written by another Nunbit ({header.get('nunbit', '?')})."
        ) from error
    options, owner = header["network_options"], str(header.get("network") or info.name)
    whitening = tensors.pop(WHITENING, None)
    if owner != info.name:
        options = {key: value for key, value in options.items() if key in info.options}
        if not _has_names_of(info, tensors, options):
            raise _of_another(path, owner, info)
    return Pretrained(
        tensors,
        source=f"`{path}`",
        facts=facts,
        options=options,
        image_size=header["preprocessing"]["image_size"],
        channels=header["preprocessing"]["channels"],
        preprocessing=made,
        whitening=whitening,
        classes=tuple(task["classes"]),
        titles=titles,
        head=task.get("head", "softmax"),
        made_for=owner,
    )


def _normalisation(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a header says of its pictures, besides size and channels."""
    made: dict[str, Any] = {name: tuple(map(float, data[name])) for name in ("mean", "std")}
    if {len(each) for each in made.values()} != {data["channels"]} or min(made["std"]) <= 0:
        raise ValueError(f"mean {data['mean']}, std {data['std']}")
    return {
        **made,
        "fit": str(data["fit"]),
        "samplewise_center": bool(data.get("samplewise_center", False)),
        "samplewise_std_normalization": bool(data.get("samplewise_std_normalization", False)),
        "crop_frac": float(data.get("crop_frac", 1.0)),
    }


def _has_names_of(
    info: NetworkInfo, tensors: Mapping[str, Tensor], options: Mapping[str, Any]
) -> bool:
    """Return whether weights are called as those of a network are, last layers aside."""
    try:
        with torch.device("meta"):
            network = create_network(
                info.name,
                outputs=2,
                channels=info.channels,
                image_size=info.image_size,
                options=dict(options),
            )
    except NunbitError:
        return False
    heads = {f"{path}.{part}" for path in network_heads(network) for part in ("weight", "bias")}
    return set(network.state_dict()) - heads == set(convert_keys(tensors, network)) - heads


def _own_header(path: Path) -> dict[str, Any] | None:
    """Return what a model file of Nunbit says of itself; None for any other file."""
    try:
        header = read_header(path, kind="model")
        made, task = header["preprocessing"], header["task"]
        whole = all(isinstance(made[name], int) for name in ("image_size", "channels"))
        whole = whole and all(isinstance(name, str) for name in task["classes"])
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
        channels=len(made.preprocessing["mean"]),
        preprocessing=made.preprocessing,
        classes=imagenet_classes() if made.outputs == len(imagenet_classes()) else (),
    )
