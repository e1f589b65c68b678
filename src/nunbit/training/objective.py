"""What training makes smaller: the task's loss, and what options add to it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nunbit.networks import split_auxiliary
from nunbit.tasks import Task
from nunbit.training.distillation import Teacher

__all__ = ["Objective"]


@dataclass(frozen=True)
class Objective:
    """The loss of a batch.

    Args:
        task: Its loss is the first part.
        smoothing: Label smoothing, 0..1.
        class_weights: (K,) float32, mean 1 over the training pictures; or None.
        teacher: A trained network whose answers count as targets, too; or None.
    """

    task: Task
    smoothing: float = 0.0
    class_weights: Tensor | None = None
    teacher: Teacher | None = None

    def __call__(
        self, found: Tensor, images: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return outputs (B, K), the loss that the history tells, and the one to make smaller.

        They differ by auxiliary outputs (GoogLeNet) and by the teacher's part.

        Shape:
            found: What the network returned, in training.
            images: uint8 (B, C, H, W), as the network saw them.
            targets: As the task has them.
        """
        outputs, extra = split_auxiliary(found)
        loss = self._loss(outputs, targets)
        whole = loss
        for weight, other in extra:
            whole = whole + weight * self._loss(other, targets)
        if self.teacher is not None:
            whole = self.teacher.blend(whole, outputs, images)
        return outputs, loss, whole

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.task.loss(
            outputs, targets, smoothing=self.smoothing, class_weights=self.class_weights
        )
