"""Knowledge distillation: a trained network's answers as targets.

A label says cat. A trained network says cat, with some likeness to a dog and none to a
lorry, and that is worth learning: small networks come nearer to large ones, and what
they learn needs no further labels.

Source: Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from nunbit.errors import ModelFileError, OptionError, name_list
from nunbit.model import MODEL_FILE, Model
from nunbit.training.device import Plan
from nunbit.training.options import TrainOptions

__all__ = ["Teacher", "open_teacher"]

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue are of grey, as where pictures are read (ITU-R BT.601)."""


class Teacher:
    """A trained model whose answers a network learns.

    It sees the pictures that the network sees, moved about in the same way, with its own
    normalisation; of another size or other channels, they are made to fit. It never
    changes: its batch norm and dropout are as in prediction.

    Args:
        model: Of the same classes.
        classes: Names of the network's outputs, in order.
        plan: Where and in which numbers it computes: as training does.
        weight: Share of its part in the loss, 0..1.
        temperature: Divides both networks' logits, so that small chances count; > 0.
    """

    def __init__(
        self,
        model: Model,
        *,
        classes: tuple[str, ...],
        plan: Plan,
        weight: float,
        temperature: float,
    ) -> None:
        self.model = model
        self.plan = plan
        self.weight = weight
        self.temperature = temperature
        self.places = [model.classes.index(name) for name in classes]
        """Of each class of the network, among those of the teacher."""
        model.network.to(plan.device).eval().requires_grad_(False)
        if plan.channels_last:
            model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def blend(self, loss: Tensor, outputs: Tensor, images: Tensor) -> Tensor:
        """Return the loss with the teacher's part.

        ``(1 - weight) loss + weight T² KL(teacher, network)``, both at the temperature T;
        the factor keeps the gradient's size the same at every T. The mean is over pictures,
        so that parts of a batch add up.

        Shape:
            loss: float32 scalar, of the labels.
            outputs: (B, K) logits of the network that learns; (B, 1) of a sigmoid head.
            images: uint8 (B, C, H, W).
        """
        wanted, own = self.answers(images), self._chances(outputs)
        apart = F.kl_div(own, wanted, log_target=True, reduction="batchmean")
        return (1 - self.weight) * loss + self.weight * self.temperature**2 * apart

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """Return log-probabilities (B, K) at the temperature, in the network's order of classes.

        Shape:
            images: uint8 (B, C, H, W).
        """
        inputs = self.model.normalise(self._fit(images))
        with self.plan.autocast():
            outputs = self.model.network(inputs)
        return self._chances(outputs)[:, self.places]

    def _fit(self, images: Tensor) -> Tensor:
        """Return pictures of the teacher's size and channels, values in 0..255."""
        wanted = self.model.preprocessing
        if images.shape[1] > wanted.channels:
            weights = torch.tensor(LUMA, device=images.device).view(1, -1, 1, 1)
            images = (images * weights).sum(1, keepdim=True)
        elif images.shape[1] < wanted.channels:
            images = images.expand(-1, wanted.channels, -1, -1)  # a grey picture, in colour
        if images.shape[-1] == wanted.image_size:
            return images
        size = (wanted.image_size, wanted.image_size)
        return F.interpolate(images.float(), size, mode="bilinear", antialias=True)

    def _chances(self, outputs: Tensor) -> Tensor:
        """Return log-probabilities (B, K) at the temperature, also for a sigmoid's one output."""
        logits = outputs.float() / self.temperature
        if logits.shape[1] == 1:
            return torch.cat([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=1)
        return logits.log_softmax(dim=1)

    @property
    def digest(self) -> str:
        """A short text that changes with whatever the teacher's answers depend on.

        It is of weights and preprocessing, not of the file, which may be moved or rewritten.
        """
        found = hashlib.blake2b(digest_size=12)
        header = self.model.header()
        said = ("network", "network_options", "preprocessing", "task")
        found.update(repr([header[name] for name in said]).encode())
        tensors = self.model.network.state_dict()
        if self.model.whitening is not None:
            tensors["whitening"] = self.model.whitening
        for name, value in tensors.items():
            found.update(name.encode())
            found.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return found.hexdigest()


def open_teacher(options: TrainOptions, model: Model, plan: Plan) -> Teacher | None:
    """Return the teacher that the options ask for, or None.

    Args:
        model: The one that learns.
    Raises:
        ModelFileError: The file is missing, damaged or not ours.
        OptionError: The teacher knows other classes, or saw pictures cut in another way.
    """
    if options.teacher is None:
        return None
    where = _name(options.teacher)
    try:
        teacher = Model.load(where)
    except ModelFileError as error:
        raise ModelFileError(f"the teacher: {error} Pass `--teacher RUN` if it moved.") from error
    problems = []
    if set(teacher.classes) != set(model.classes):
        problems.append(
            f"it was trained for {name_list(teacher.classes)}, the network learns "
            f"{name_list(model.classes)}; expected the same classes, in whatever order"
        )
    if teacher.preprocessing.fit != model.preprocessing.fit:
        problems.append(
            f"it was trained on pictures made square by `{teacher.preprocessing.fit}`, these are "
            f"by `{model.preprocessing.fit}`; pass `--fit {teacher.preprocessing.fit}`"
        )
    if problems:
        raise OptionError(
            f"the teacher `{where}` cannot teach this: {'; and '.join(problems)}. Pass "
            "`--teacher RUN` with a run on the same classes and pictures."
        )
    return Teacher(
        teacher,
        classes=model.classes,
        plan=plan,
        weight=options.teacher_weight,
        temperature=options.temperature,
    )


def _name(path: str) -> Path:
    given = Path(path)
    return given / MODEL_FILE if given.is_dir() else given
