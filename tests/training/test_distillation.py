"""A teacher: the formula; its order of classes, size and channels; what it is refused for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.training.conftest import Fit, draw_bars
from torch import Tensor

import nunbit
from nunbit.errors import CheckpointError, ModelFileError, OptionError
from nunbit.tasks import Classification
from nunbit.training.device import make_plan
from nunbit.training.distillation import Teacher, open_teacher


def model_of(
    *classes: str, head: Any = None, size: int = 8, channels: int = 1, seed: int = 3
) -> Any:
    return nunbit.create_model(
        "mlp", classes=classes, head=head, image_size=size, channels=channels, seed=seed
    )


def opened(tmp_path: Path, teacher: nunbit.Model, student: nunbit.Model, **options: Any) -> Teacher:
    """Write a teacher's file and open it as training does."""
    path = teacher.save(tmp_path / "teacher.safetensors")
    chosen = nunbit.TrainOptions(teacher=str(path), **{"precision": "float32", **options})
    found = open_teacher(chosen, student, make_plan(chosen, network=student.network))
    assert found is not None
    return found


def pictures(count: int = 5, channels: int = 1, size: int = 8) -> Tensor:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def chances(logits: NDArray[Any], temperature: float) -> NDArray[Any]:
    """Return probabilities (B, K) in NumPy, of softmax or of one sigmoid output."""
    z = logits.astype(np.float64) / temperature
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    powers: NDArray[Any] = np.exp(z - z.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("heads", [("softmax", "softmax"), ("sigmoid", "softmax"),
                                   ("softmax", "sigmoid"), ("sigmoid", "sigmoid")])  # fmt: skip
@pytest.mark.parametrize(("weight", "temperature"), [(0.3, 4.0), (1.0, 1.0), (0.0, 2.0)])
def test_the_loss_is_that_of_the_formula(
    tmp_path: Path, heads: tuple[str, str], weight: float, temperature: float
) -> None:
    teacher, student = (model_of("a", "b", head=each, seed=k) for k, each in enumerate(heads))
    found = opened(tmp_path, teacher, student, teacher_weight=weight, temperature=temperature)
    images = pictures()
    own = torch.from_numpy(student.outputs(images.permute(0, 2, 3, 1).numpy()))
    p = chances(teacher.outputs(images.permute(0, 2, 3, 1).numpy()), temperature)
    q = chances(own.numpy(), temperature)
    apart = float((p * np.log(p / q)).sum(1).mean())
    wanted = (1 - weight) * 2.5 + weight * temperature**2 * apart
    loss = found.blend(torch.tensor(2.5), own, images)
    assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_a_network_that_answers_as_its_teacher_has_no_loss(tmp_path: Path) -> None:
    teacher = model_of("a", "b", "c")
    found = opened(tmp_path, teacher, teacher, teacher_weight=1.0)
    images = pictures()
    own = torch.from_numpy(teacher.outputs(images.permute(0, 2, 3, 1).numpy()))
    assert float(found.blend(torch.tensor(7.0), own, images)) == pytest.approx(0, abs=1e-6)


def test_classes_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    teacher, student = model_of("c", "a", "b"), model_of("a", "b", "c")
    found = opened(tmp_path, teacher, student, temperature=1.0)
    p = chances(teacher.outputs(pictures().permute(0, 2, 3, 1).numpy()), 1.0)
    assert np.allclose(found.answers(pictures()).exp().numpy(), p[:, [1, 2, 0]], atol=1e-6)

    two, one = model_of("b", "a", head="sigmoid"), model_of("a", "b", head="sigmoid")
    found = opened(tmp_path, two, one, temperature=1.0)
    p = chances(two.outputs(pictures().permute(0, 2, 3, 1).numpy()), 1.0)
    assert np.allclose(found.answers(pictures()).exp().numpy(), p[:, ::-1], atol=1e-6)


def test_other_classes_and_another_cut_are_refused_together(tmp_path: Path) -> None:
    teacher = nunbit.create_model("mlp", classes=("a", "x"), image_size=8, channels=1, fit="pad")
    with pytest.raises(OptionError) as caught:
        opened(tmp_path, teacher, model_of("a", "b"))
    text = str(caught.value)
    assert "trained for a, x, the network learns a, b; expected the same classes" in text
    assert "made square by `pad`, these are by `squash`; pass `--fit pad`" in text
    assert "--teacher RUN" in text


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.safetensors").write_bytes(b"no")
    options = nunbit.TrainOptions(teacher=str(tmp_path / "no.safetensors"))
    student = model_of("a", "b")
    with pytest.raises(ModelFileError):
        open_teacher(options, student, make_plan(options, network=student.network))
    assert (
        open_teacher(nunbit.TrainOptions(), student, make_plan(options, network=student.network))
        is None
    )


def test_another_size_is_made_to_fit(tmp_path: Path) -> None:
    """Larger pictures of one level are the same pictures."""
    teacher, student = model_of("a", "b", size=12), model_of("a", "b", size=8)
    found = opened(tmp_path, teacher, student, temperature=1.0)
    levels = torch.tensor([0, 90, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    answers = found.answers(levels.expand(3, 1, 8, 8)).exp().numpy()
    same = teacher.outputs(levels.expand(3, 12, 12, 1).numpy())
    assert np.allclose(answers, chances(same, 1.0), atol=1e-5)


@pytest.mark.parametrize(("its", "mine"), [(1, 3), (3, 1)])
def test_other_channels_are_made_to_fit(tmp_path: Path, its: int, mine: int) -> None:
    teacher, student = model_of("a", "b", channels=its), model_of("a", "b", channels=mine)
    found = opened(tmp_path, teacher, student, temperature=1.0)
    images = pictures(channels=mine)
    pixels = images.permute(0, 2, 3, 1).numpy()
    if its == 3:
        seen = np.repeat(pixels, 3, axis=3)
        wanted = chances(teacher.outputs(seen), 1.0)
        assert np.allclose(found.answers(images).exp().numpy(), wanted, atol=1e-6)
    else:
        seen = (pixels @ np.array([0.299, 0.587, 0.114]))[..., None].round().astype(np.uint8)
        wanted = chances(teacher.outputs(seen), 1.0)
        assert np.allclose(found.answers(images).exp().numpy(), wanted, atol=5e-3)


def test_parts_of_a_batch_add_up(tmp_path: Path) -> None:
    teacher, student = model_of("a", "b"), model_of("a", "b", seed=1)
    found = opened(tmp_path, teacher, student, teacher_weight=1.0)
    images = pictures(7)
    own = torch.from_numpy(student.outputs(images.permute(0, 2, 3, 1).numpy()))
    whole = float(found.blend(torch.tensor(0.0), own, images))
    parts = [
        float(found.blend(torch.tensor(0.0), own[part], images[part])) * len(own[part]) / 7
        for part in (slice(0, 3), slice(3, 7))
    ]
    assert sum(parts) == pytest.approx(whole, rel=1e-5)


def test_the_teacher_stays_as_it_is(tiny: nunbit.Pictures, run: Fit, tmp_path: Path) -> None:
    """Batch norm and all: after a training with it, it answers as before."""
    teacher = nunbit.create_model_for(tiny, network="auto")
    student = nunbit.create_model_for(tiny, network="auto", seed=1)
    found = opened(tmp_path, teacher, student)
    before = {name: value.clone() for name, value in found.model.network.state_dict().items()}
    assert not found.model.network.training
    own = student.network(student.normalise(pictures())).requires_grad_()
    found.blend(torch.tensor(1.0), own, pictures()).backward()
    assert all(weight.grad is None for weight in found.model.network.parameters())
    for name, value in found.model.network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_it_computes_in_the_numbers_of_training(tmp_path: Path) -> None:
    teacher, student = model_of("a", "b"), model_of("a", "b", seed=1)
    found = opened(tmp_path, teacher, student, precision="bfloat16")
    seen: list[torch.dtype] = []
    found.model.network.head.register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    assert found.answers(pictures()).dtype == torch.float32
    assert seen == [torch.bfloat16]


def test_the_digest_is_of_what_answers_depend_on(tmp_path: Path) -> None:
    student = model_of("a", "b")
    one = opened(tmp_path, model_of("a", "b"), student).digest
    (tmp_path / "moved").mkdir()
    again = model_of("a", "b")
    again.facts["scores"] = {"accuracy": 0.5}
    assert opened(tmp_path / "moved", again, student).digest == one
    with torch.no_grad():
        next(again.network.parameters()).view(-1)[0] += 1e-3
    assert opened(tmp_path, again, student).digest != one
    other = model_of("a", "b")
    other.task = Classification(("b", "a"))
    assert opened(tmp_path, other, student).digest != one


@pytest.fixture(scope="module")
def taught(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[nunbit.Pictures, nunbit.Pictures, Path]:
    """Pictures, the same with labels at random, and a run that was trained on the first."""
    root = tmp_path_factory.mktemp("taught")
    bars = nunbit.load(draw_bars(root / "bars", classes="abc", count=30), validation=0.2)
    lies = nunbit.load(root / "bars", validation=0.2)
    lies.train.labels[:] = np.random.default_rng(0).integers(0, 3, len(lies.train))
    teacher = nunbit.create_model_for(bars, network="mlp")
    options = nunbit.TrainOptions(epochs=15, batch_size=24, lr=0.003)
    history = nunbit.fit(teacher, bars, options=options, out=root / "run", progress=False)
    assert history["val_accuracy"][-1] > 0.9
    return bars, lies, root / "run"


def test_a_network_learns_from_a_teacher_alone(
    taught: tuple[nunbit.Pictures, nunbit.Pictures, Path], run: Fit, tmp_path: Path
) -> None:
    """The labels are lies; what is right it can only have from the teacher."""
    _, lies, teacher = taught
    how: dict[str, Any] = {"epochs": 15, "lr": 0.003, "augment": "none"}
    alone = run(lies, out=tmp_path / "alone", **how)
    assert alone["val_accuracy"][-1] < 0.8
    history = run(lies, teacher=str(teacher), teacher_weight=1.0, out=tmp_path / "with", **how)
    assert history["val_accuracy"][-1] > 0.9


def test_a_run_goes_on_with_the_same_teacher_only(
    taught: tuple[nunbit.Pictures, nunbit.Pictures, Path], run: Fit, tmp_path: Path
) -> None:
    class Halt(nunbit.Callback):
        at: int | None = None

        def on_epoch_begin(self, moment: nunbit.Moment) -> None:
            if moment.epoch == self.at:
                raise RuntimeError("here")

    bars, _, teacher = taught
    how: dict[str, Any] = {"epochs": 3, "teacher": str(teacher)}
    whole = nunbit.create_model_for(bars, network="mlp")
    run(bars, model=whole, callbacks=[Halt()], out=tmp_path / "whole", **how)
    halt = Halt()
    halt.at = 1
    with pytest.raises(RuntimeError, match="here"):
        run(bars, callbacks=[halt], out=tmp_path / "part", **how)

    other = nunbit.create_model_for(bars, network="mlp", seed=9).save(
        tmp_path / "other.safetensors"
    )
    with pytest.raises(CheckpointError, match="teacher was"):
        run(bars, callbacks=[Halt()], resume=tmp_path / "part", epochs=3, teacher=str(other))
    again = nunbit.create_model_for(bars, network="mlp")
    run(bars, model=again, callbacks=[Halt()], resume=tmp_path / "part", **how)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
