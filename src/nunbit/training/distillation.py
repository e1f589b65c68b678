"""Knowledge distillation: a trained network's answers as targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nunbit.model import Model
from nunbit.training.options import TrainOptions

__all__ = ["Teacher", "open_teacher"]


class Teacher:
    """A trained model whose answers a network learns.

    Its answers say more than a label: which other classes a picture resembles.

    Args:
        model: Sees the same pictures with its own normalisation.
        weight: Share of its part in the loss, 0..1.
        temperature: Divides both networks' logits, so that small chances count; > 0.
    Source: Hinton et al. 2015, arXiv:1503.02531, section 2; the factor T² included.
    """

    def __init__(self, model: Model, *, weight: float, temperature: float) -> None:
        self.model = model
        self.weight = weight
        self.temperature = temperature
        model.network.eval().requires_grad_(False)

    def blend(self, loss: Tensor, outputs: Tensor, images: Tensor) -> Tensor:
        """Return the loss with the teacher's part.

        Shape:
            loss: float32 scalar, of the labels.
            outputs: (B, K) logits of the network that learns.
            images: uint8 (B, C, H, W).
        """
        with torch.no_grad():
            wanted = self.model.network(self.model.normalise(images))
        own = self._chances(outputs)
        apart = F.kl_div(own, self._chances(wanted), log_target=True, reduction="batchmean")
        return (1 - self.weight) * loss + self.weight * self.temperature**2 * apart

    def _chances(self, outputs: Tensor) -> Tensor:
        """Return log-probabilities (B, K), also for one output."""
        logits = outputs.float() / self.temperature
        if logits.shape[1] == 1:
            return torch.cat([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=1)
        return logits.log_softmax(dim=1)


def open_teacher(options: TrainOptions, model: Model, device: torch.device) -> Teacher | None:
    """Return the teacher that the options ask for, or None."""
    if options.teacher is None:
        return None
    teacher = Model.load(options.teacher)
    teacher.network.to(device)
    return Teacher(teacher, weight=options.teacher_weight, temperature=options.temperature)
