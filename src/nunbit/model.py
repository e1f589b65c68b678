"""``Model``: a network with its preprocessing and its task; the model file.

Everything that uses a network goes through this class, so the pictures meet the
same preprocessing in training, evaluation, prediction and export. The file is a
safetensors file whose header holds all of it; loading takes one call and runs no
code from the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nunbit._version import __version__
from nunbit.augment.statistics import STD_FLOOR
from nunbit.data.batches import to_images
from nunbit.data.preprocessing import Preprocessing
from nunbit.errors import ModelFileError, OptionError, PictureError, name_list
from nunbit.networks import (
    count_parameters,
    create_network,
    layer_table,
    network_heads,
)
from nunbit.storage import UNUSABLE, load_tensors, save_tensors
from nunbit.tasks import Prediction, Task, make_task

__all__ = ["MODEL_FILE", "Model"]

MODEL_FILE = "model.safetensors"
"""Name of the model file within a run folder."""

TTA = ("none", "flip")
"""Kinds of test-time augmentation."""

WHITENING = "preprocessing:zca"
"""Name of the ZCA matrix in the model file; no module of a network can be called so."""

EVALUATION_BATCH, EVALUATION_BYTES = 256, 1 << 20
"""Pictures that are looked at together without training: at most so many, and on a processor so
many bytes: 21 pictures of 128×128 were as quick as 256, in a tenth of the memory."""


class Model:
    """A network, what stands before it, and what its outputs mean.

    Args:
        network: Normalised float (B, C, H, W) to outputs (B, K).
        preprocessing: From a picture file to the network's input.
        task: What the outputs mean.
        network_name: Name in the registry.
        network_options: The network's own options.
        facts: What else the file keeps: scores, number of training pictures.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        preprocessing: Preprocessing,
        task: Task,
        network_name: str,
        network_options: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.network = network
        self.whitening: Tensor | None = None
        """ZCA matrix (H·W·C, H·W·C) float32, applied last; None where there is none."""
        self._tta = "none"
        self.preprocessing = preprocessing
        self.task = task
        self.network_name = network_name
        self.network_options = dict(network_options or {})
        self.facts: dict[str, Any] = dict(facts or {})

    @property
    def tta(self) -> str:
        """Test-time augmentation: ``flip`` takes the mean over a picture and its mirror image.

        Raises:
            OptionError: It is set to something unknown.
        """
        return self._tta

    @tta.setter
    def tta(self, kind: str) -> None:
        if kind not in TTA:
            raise OptionError(f"tta is {kind!r}, expected one of {name_list(TTA)}.")
        self._tta = kind

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what the outputs stand for."""
        return self.task.classes

    @property
    def evaluation_batch(self) -> int:
        """How many pictures :meth:`outputs` should get at a time, so that memory stays small."""
        made = self.preprocessing
        if self.device.type != "cpu":
            return EVALUATION_BATCH
        one_bytes = made.image_size**2 * made.channels
        return max(1, min(EVALUATION_BATCH, EVALUATION_BYTES // one_bytes))

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.network.parameters()).device

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return count_parameters(self.network)

    def normalise(self, images: Tensor) -> Tensor:
        """Turn uint8 pictures into what the network takes, on their device.

        Shape:
            images: uint8 (B, C, H, W), 0..255.
            returns: float32 (B, C, H, W), about zero mean and unit spread.
        """
        made = self.preprocessing
        values = _scale(images, made.mean, made.std)
        own = made.samplewise_std_normalization
        if own or made.samplewise_center:
            values = values - values.mean((1, 2, 3), keepdim=True)
        if own:
            values = values / (values.std((1, 2, 3), correction=0, keepdim=True) + STD_FLOOR)
        if self.whitening is None:
            return values
        if self.whitening.device != values.device:  # it stays there: 67 MB are slow to move
            self.whitening = self.whitening.to(values.device)
        pixels = values.permute(0, 2, 3, 1)  # (B, H, W, C), as the matrix was made
        white = pixels.flatten(1) @ self.whitening
        return white.reshape(pixels.shape).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def outputs(
        self, pixels: Iterable[NDArray[np.uint8]] | NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Return the network's outputs in float32, dropout off, batch norm fixed.

        Shape:
            pixels: uint8 (N, S, S, C), or batches of such.
            returns: float32 (N, K).
        """
        if isinstance(pixels, np.ndarray):
            whole, size = pixels, self.evaluation_batch
            pixels = (whole[start : start + size] for start in range(0, len(whole), size))
        was_training = self.network.training
        self.network.eval()
        try:
            parts = [self._answer(to_images(part).to(self.device)).cpu().numpy() for part in pixels]
        finally:
            self.network.train(was_training)
        return np.concatenate(parts) if parts else np.zeros((0, self.task.outputs), np.float32)

    def _answer(self, images: Tensor) -> Tensor:
        """Return outputs (B, K) float32 for uint8 pictures (B, C, H, W)."""
        found: Tensor = self.network(self.normalise(images)).float()
        if self.tta == "none":
            return found
        mirrored: Tensor = self.network(self.normalise(images.flip(3))).float()
        return (found + mirrored) / 2

    def predict(
        self, pictures: Sequence[str | os.PathLike[str] | NDArray[np.uint8]], *, top: int = 5
    ) -> list[Prediction]:
        """Say what pictures show.

        Args:
            pictures: Paths of files, or uint8 (H, W) or (H, W, 3) RGB pixels.
            top: How many labels to give for each, best first.
        Raises:
            PictureError: A picture cannot be read; the message names it.

        Example:
            >>> import numpy as np
            >>> import nunbit
            >>> classes = ["dark", "bright"]
            >>> model = nunbit.create_model("mlp", classes=classes, image_size=8, channels=1)
            >>> model.predict([np.zeros((20, 30), np.uint8)])[0].label in model.classes
            True
        """
        if isinstance(pictures, (str, bytes, os.PathLike)):
            raise OptionError(f"predict takes a list of pictures, got {pictures!r}: write [...].")
        ready = []
        for position, picture in enumerate(pictures):
            name = f"picture {position}" if isinstance(picture, np.ndarray) else f"`{picture}`"
            try:
                data = picture if isinstance(picture, np.ndarray) else Path(picture).read_bytes()
                ready.append(self.preprocessing.prepare(data))
            except PictureError as error:
                raise PictureError(f"{name} cannot be read: {error}.") from error
            except OSError as error:
                raise PictureError(f"{name} cannot be read: {error.strerror}.") from error
        if not ready:
            return []
        return self.task.predict(torch.from_numpy(self.outputs(np.stack(ready))), top=top)

    def summary(self) -> str:
        """Return the layer table as text: output shape, parameters, multiply-adds."""
        size, channels = self.preprocessing.image_size, self.preprocessing.channels
        rows = layer_table(self.network, channels=channels, image_size=size)
        lines = [
            f"{self.network_name}: {channels}×{size}×{size} → {', '.join(self.classes[:12])}"
            + (" …" if len(self.classes) > 12 else ""),
            f"{'layer':32} {'kind':28} {'output':>14} {'parameters':>12} {'multiply-adds':>15}",
        ]
        for row in rows:
            shape = "×".join(map(str, row.output))
            lines.append(
                f"{row.name:32} {row.kind:28} {shape:>14} {row.parameters:>12,} "
                f"{row.multiply_adds:>15,}"
            )
        total = sum(row.multiply_adds for row in rows)
        lines.append(f"{'total':32} {'':28} {'':>14} {self.parameters:>12,} {total:>15,}")
        return "\n".join(lines)

    def save(
        self, path: str | os.PathLike[str], *, weights: Mapping[str, Tensor] | None = None
    ) -> Path:
        """Write the model file, whole or not at all.

        Args:
            weights: In place of the network's own, of the same names and shapes.
        Raises:
            StorageError: It cannot be written; an older file stays as it was.
            OptionError: The network ends in another number of outputs than the task has.
        """
        target = Path(path)
        self._check_outputs()
        tensors = dict(self.network.state_dict() if weights is None else weights)
        if self.whitening is not None:
            tensors[WHITENING] = self.whitening
        save_tensors(target, tensors, self.header(), kind="model")
        return target

    def _check_outputs(self) -> None:
        """Refuse what could be written, and never be loaded."""
        wanted = self.task.outputs
        layers = dict(self.network.named_modules())
        for place in network_heads(self.network):
            layer = layers.get(place)
            if isinstance(layer, nn.Linear) and layer.out_features != wanted:
                raise OptionError(
                    f"the layer `{place}` of `{self.network_name}` has {layer.out_features} "
                    f"outputs, and the task wants {wanted} ({name_list(self.classes, limit=3)}). "
                    "Give the model the task of its new layer, `model.task = Classification(...)`, "
                    "or make it with `create_model(..., classes=...)`."
                )

    def header(self) -> dict[str, Any]:
        """Return what the file says besides the weights, as plain data."""
        return {
            "nunbit": __version__,
            "network": self.network_name,
            "network_options": self.network_options,
            "preprocessing": self.preprocessing.to_dict(),
            "task": self.task.to_dict(),
            **({} if self.tta == "none" else {"tta": self.tta}),
            "facts": self.facts,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Load a model file, or the one of a run folder.

        Raises:
            ModelFileError: No such file, truncated, not ours, from a newer
                Nunbit, or its weights do not fit its network.
        """
        target = Path(path)
        if target.is_dir():
            target = target / MODEL_FILE
        tensors, header = load_tensors(target, kind="model")
        try:
            preprocessing = Preprocessing.from_dict(header["preprocessing"])
            task = make_task(header["task"])
            network = create_network(
                header["network"],
                outputs=task.outputs,
                channels=preprocessing.channels,
                image_size=preprocessing.image_size,
                options=header["network_options"],
            )
            facts = dict(header.get("facts", {}))
            tta = header.get("tta", "none")
            if tta not in TTA:
                raise ModelFileError(
                    f"`{target}` wants the test-time augmentation `{tta}`, and this Nunbit "
                    f"({__version__}) knows {name_list(TTA)}. Install a newer one."
                )
        except ModelFileError:
            raise
        except UNUSABLE as error:
            raise ModelFileError(
                f"the header of `{target}` cannot be understood ({error}). It was written by "
                f"Nunbit {header.get('nunbit', '?')}; this is {__version__}."
            ) from error
        whitening = tensors.pop(WHITENING, None)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            first = str(error).splitlines()[1:2] or [str(error)]
            raise ModelFileError(
                f"the weights of `{target}` do not fit the network `{header['network']}`: "
                f"{first[0].strip()}"
            ) from error
        model = cls(
            network.eval(),
            preprocessing=preprocessing,
            task=task,
            network_name=header["network"],
            network_options=header["network_options"],
            facts=facts,
        )
        model.whitening, model.tta = whitening, tta
        return model


def _scale(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return float32 pictures (B, C, H, W) less their mean, over their spread.

    Pictures of several channels are gone through line by line of W·C values, as they lie in
    memory: numbers repeated along the innermost three values took six times as long (32
    pictures of 128×128: 2.1 ms, now 0.35 ms). The bits are the same.
    """
    lines = images.permute(0, 2, 3, 1)  # (B, H, W, C)
    if len(mean) == 1 or not lines.is_contiguous():
        shift, scale = _shift_and_scale(mean, std, 1, images.device)
        return (images.float() - shift.view(1, -1, 1, 1)).div_(scale.view(1, -1, 1, 1))
    shift, scale = _shift_and_scale(mean, std, images.shape[3], images.device)
    values = (lines.float().flatten(2) - shift).div_(scale)  # (B, H, W * C)
    return values.view(lines.shape).permute(0, 3, 1, 2)


@lru_cache(maxsize=16)
def _shift_and_scale(
    mean: tuple[float, ...], std: tuple[float, ...], repeats: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return what pixels 0..255 lose and are divided by, each ``repeats`` times over."""
    with torch.inference_mode(False):  # they may first be made where nothing is learnt
        shift = 255 * torch.tensor(mean, device=device)
        scale = 255 * torch.tensor(std, device=device)
        return shift.repeat(repeats), scale.repeat(repeats)
