"""``timm/NAME``: every network of PyTorch Image Models is one of ours.

With the extra ``nunbit[timm]``. The body is timm's, without its last layer; the last
layer is ours, so that it is replaced, saved and loaded like any other.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from nunbit.errors import MissingExtraError, ModelFileError, OptionError, name_list
from nunbit.options import Option
from nunbit.transfer import OFFLINE, is_offline

if TYPE_CHECKING:
    from nunbit.networks._registry import NetworkInfo

__all__ = ["PREFIX", "TimmNetwork", "TimmWeights", "published", "timm_info", "weights_of"]

PREFIX = "timm/"
FITS = {"center": "crop", "squash": "squash", "border": "pad"}
"""From timm's ``crop_mode`` to our ``fit``."""


@dataclass(frozen=True)
class TimmWeights:
    """Weights that timm publishes, by our names, and how they want their pictures.

    Args:
        tag: timm's full name of them.
        outputs: Of their last layer; 0 where it is not a dense one.
        image_size: Side of the pictures they were made with, in pixels.
        preprocessing: Fields of ``Preprocessing`` besides size and channels.
    """

    tensors: Mapping[str, Tensor]
    tag: str
    outputs: int
    image_size: int
    preprocessing: Mapping[str, Any]


@cache
def _timm() -> Any:
    try:
        import timm
    except (ImportError, AttributeError, RuntimeError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "timm":
            raise MissingExtraError(
                "networks whose names begin with `timm/` need the package timm. Install it with "
                "`pip install 'nunbit[timm]'`."
            ) from error
        raise MissingExtraError(
            f"timm is installed, but cannot be imported: {error}. It needs the torchvision that "
            f"belongs to PyTorch {torch.__version__}: `pip install -U torchvision`; "
            "https://pytorch.org/get-started lists the pairs."
        ) from error
    return timm


def timm_info(name: str) -> NetworkInfo:
    """Return what is known of ``timm/NAME``.

    Raises:
        MissingExtraError: timm is not installed.
        OptionError: timm has no network of that name; near ones are named.
    """
    from nunbit.networks._registry import NetworkInfo

    timm, model = _timm(), name.removeprefix(PREFIX)
    if not timm.is_model(model):
        known = timm.list_models()
        near = difflib.get_close_matches(model.partition(".")[0], known, n=3, cutoff=0.5)
        hint = f" Near: {name_list(f'`{PREFIX}{each}`' for each in near)}." if near else ""
        raise OptionError(
            f"timm {timm.__version__} has no network `{model}`.{hint} It has {len(known):,}: "
            "`python -c 'import timm; print(timm.list_models())'` lists them."
        )
    config = timm.get_pretrained_cfg(model)
    size = config.input_size[-1] if config is not None else 224
    return NetworkInfo(
        name=name,
        title=f"{model}, from PyTorch Image Models",
        source=f"timm {timm.__version__}",
        image_size=size,
        channels=3,
        lr=0.001,
        fixed={"model": model},
        make=TimmNetwork,
    )


class TimmNetwork(nn.Module):
    """A network of timm before a dense layer of ours.

    Shape:
        input: (B, channels, image_size, image_size), float, normalised.
        output: (B, outputs) logits.
    Args:
        outputs: Width of the last layer.
        channels: Channels of the input.
        image_size: Side of the input in pixels.
        model: timm's name.
    Raises:
        OptionError: timm cannot make it so.
    """

    published_keys: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^(?:fc|classifier|head|head\.fc)\.(weight|bias)$", r"head.\1"),
        (r"^(?!head\.(?:weight|bias)$)", "body."),
    )
    """From timm's names to ours."""

    def __init__(
        self,
        *,
        outputs: int,
        channels: int,
        image_size: int,
        model: str,
        dropout: Annotated[
            float, Option("Share of values dropped before the last layer.", low=0, high=1)
        ] = 0.0,
    ) -> None:
        super().__init__()
        timm = _timm()
        config = timm.get_pretrained_cfg(model)
        how: dict[str, Any] = {"in_chans": channels, "num_classes": 0}
        if config is not None and config.fixed_input_size:
            how["img_size"] = image_size
        try:
            self.body: Any = timm.create_model(model, pretrained=False, **how)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise OptionError(
                f"timm cannot make `{model}` for {channels}×{image_size}×{image_size}: {error}."
            ) from error
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(_width(self.body), outputs)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the maps after each stage, where timm gives them; the last is what comes last.

        A transformer's last one is (B, tokens, C).
        """
        if not hasattr(self.body, "forward_intermediates"):
            return [self.body.forward_features(images)]
        last, maps = self.body.forward_intermediates(images)
        return [*maps[:-1], last]

    def classify(self, maps: Tensor) -> Tensor:
        """Return (B, outputs) from the last of the maps."""
        x = self.body.forward_head(maps)  # (B, width)
        return self.head(self.dropout(x))  # type: ignore[no-any-return]  # modules are untyped

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.body(images)))  # type: ignore[no-any-return]


def _width(body: Any) -> int:
    """Return how many values go into the last layer."""
    return int(getattr(body, "head_hidden_size", None) or body.num_features)


def published(name: str) -> TimmWeights:
    """Return the weights that timm publishes for ``timm/NAME``; timm downloads them.

    Raises:
        MissingExtraError: timm is not installed.
        ModelFileError: They cannot be had.
    """
    timm, model = _timm(), name.removeprefix(PREFIX)
    config = timm.get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise ModelFileError(
            f"timm has no weights for `{model}`. `timm.list_pretrained()` lists those it has."
        )
    if is_offline():
        raise ModelFileError(
            f"the weights of `{name}` are timm's to download, and {OFFLINE} is set. Unset it, or "
            'pass the path of a file: `--weights PATH`, in Python `weights="PATH"` (timm keeps '
            f"them at https://huggingface.co/{config.hf_hub_id or 'timm'})."
        )
    try:
        full = timm.create_model(model, pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelFileError(
            f"timm cannot get the weights of `{name}`: {error}. They are at "
            f"https://huggingface.co/{config.hf_hub_id or 'timm'}; pass the path of the file: "
            '`weights="PATH"`.'
        ) from error
    return weights_of(full)


def weights_of(full: Any) -> TimmWeights:
    """Return the weights of a whole network of timm by our names."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(full)
    classifier = full.get_classifier()
    is_dense = isinstance(classifier, nn.Linear)
    place = next((path for path, each in full.named_modules() if each is classifier), "")
    tensors = {}
    for key, value in full.state_dict().items():
        if is_dense and key.startswith(f"{place}."):
            tensors[f"head.{key.removeprefix(f'{place}.')}"] = value
        elif not key.startswith(f"{place}.") or not place:
            tensors[f"body.{key}"] = value
    fit = FITS.get(config["crop_mode"], "crop")
    known = full.pretrained_cfg
    return TimmWeights(
        tensors,
        tag=".".join(filter(None, (known["architecture"], known.get("tag")))),
        outputs=classifier.out_features if is_dense else 0,
        image_size=config["input_size"][-1],
        preprocessing={
            "fit": fit,
            "crop_frac": float(config["crop_pct"]) if fit == "crop" else 1.0,
            "mean": tuple(map(float, config["mean"])),
            "std": tuple(map(float, config["std"])),
        },
    )
