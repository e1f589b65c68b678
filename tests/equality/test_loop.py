"""The loop against ten lines of plain PyTorch, and a batch in parts against a whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import nunbit
from nunbit.data.batches import Batches
from nunbit.storage import load_tensors

LR = 0.02
BATCH = 20
"""58 pictures are 20, 19 and 19."""


def train(
    pictures: nunbit.Pictures, out: Path, *, network: str = "mlp", epochs: int = 1, **options: Any
) -> tuple[nunbit.Model, nunbit.History]:
    model = nunbit.create_model_for(pictures, network=network)
    chosen = nunbit.TrainOptions(**{"precision": "float32", "batch_size": BATCH, **options})
    return model, nunbit.fit(
        model, pictures, epochs=epochs, options=chosen, out=out, progress=False
    )


def close(one: nunbit.Model, two: nunbit.Model, *, atol: float = 1e-6) -> bool:
    mine, other = one.network.state_dict(), two.network.state_dict()
    return all(torch.allclose(mine[name], other[name], atol=atol, rtol=1e-4) for name in mine)


def images(pictures: nunbit.PictureSet, positions: Any) -> Tensor:
    return torch.from_numpy(pictures.take(positions).astype(np.float32)).permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize(("network", "smoothing"), [("mlp", 0.0), ("mlp", 0.2), ("auto", 0.0)])
def test_an_epoch_equals_ten_lines_of_pytorch(
    grey: nunbit.Pictures, tmp_path: Path, network: str, smoothing: float
) -> None:
    """Validation is scored without label smoothing, so that runs can be compared."""
    model, history = train(
        grey, tmp_path / "run", network=network, optimizer="sgd", schedule="constant", lr=LR,
        weight_decay=0.0, label_smoothing=smoothing,
    )  # fmt: skip

    plain = nunbit.create_model_for(grey, network=network).network.train()
    mean, std = grey.preprocessing.mean[0], grey.preprocessing.std[0]
    order = Batches(grey.train, torch.zeros(0), batch_size=BATCH, seed=0).order(0)
    optimizer = torch.optim.SGD(plain.parameters(), lr=LR, momentum=0.9, nesterov=True)
    losses, correct = [], 0
    for positions in np.array_split(order, 3):
        targets = torch.from_numpy(grey.train.labels[positions])
        outputs = plain((images(grey.train, positions) - mean) / std)
        loss = F.cross_entropy(outputs, targets, label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.item()] * len(positions)
        correct += int((outputs.argmax(1) == targets).sum())

    assert grey.validation is not None
    plain.eval()
    outputs = plain((images(grey.validation, slice(None)) - mean) / std)
    targets = torch.from_numpy(grey.validation.labels)
    for name, value in plain.state_dict().items():
        assert torch.allclose(model.network.state_dict()[name], value, atol=1e-5), name
    assert history["loss"] == pytest.approx([np.mean(losses)], rel=1e-5)
    assert history["accuracy"] == [correct / len(grey.train)]
    assert history["val_loss"] == pytest.approx(
        [F.cross_entropy(outputs, targets).item()], rel=1e-4
    )
    assert history["val_accuracy"] == [(outputs.argmax(1) == targets).double().mean().item()]


@pytest.mark.parametrize("parts", [2, 3, 20, 100])
def test_a_batch_in_parts_equals_a_whole_one(
    grey: nunbit.Pictures, tmp_path: Path, parts: int
) -> None:
    """Unequal parts too: 20 and 19 pictures in 3."""
    how: dict[str, Any] = {
        "optimizer": "sgd", "lr": LR, "epochs": 2, "clip_norm": 0.5, "label_smoothing": 0.1,
    }  # fmt: skip
    whole, usual = train(grey, tmp_path / "whole", **how)
    model, history = train(grey, tmp_path / "parts", accumulate=parts, **how)
    assert close(model, whole)
    for name in ("loss", "accuracy", "val_loss", "lr"):
        assert history[name] == pytest.approx(usual[name], rel=1e-4), name


@pytest.mark.parametrize("parts", [1, 3])
def test_each_batch_is_one_step(grey: nunbit.Pictures, tmp_path: Path, parts: int) -> None:
    """58 pictures in batches of 20 or less are 3 steps, in however many parts."""
    train(grey, tmp_path / "run", epochs=2, accumulate=parts)
    tensors, _ = load_tensors(tmp_path / "run/checkpoints/last.safetensors", kind="checkpoint")
    steps = {float(value) for name, value in tensors.items() if name.endswith(".step")}
    assert steps == {6.0}


def test_clipping_bounds_the_step(grey: nunbit.Pictures, tmp_path: Path) -> None:
    """Plain gradient descent in one step: its length is learning rate times the norm."""
    fresh = nunbit.create_model_for(grey, network="mlp").network.state_dict()
    for norm in (0.001, 0.1):
        model, _ = train(
            grey, tmp_path / str(norm), batch_size=1000, optimizer="sgd", momentum=0.0,
            schedule="constant", lr=1.0, weight_decay=0.0, clip_norm=norm,
        )  # fmt: skip
        change = [model.network.state_dict()[k] - fresh[k] for k in fresh]
        length = torch.cat([c.flatten() for c in change]).norm().item()
        assert length == pytest.approx(norm, rel=1e-3)


def test_gradients_left_behind_are_not_learnt_from(grey: nunbit.Pictures, tmp_path: Path) -> None:
    clean, _ = train(grey, tmp_path / "clean", lr=LR)
    model = nunbit.create_model_for(grey, network="mlp")
    for weight in model.network.parameters():
        weight.grad = torch.ones_like(weight)
    options = nunbit.TrainOptions(precision="float32", batch_size=BATCH, lr=LR)
    nunbit.fit(model, grey, epochs=1, options=options, out=tmp_path / "run", progress=False)
    assert close(model, clean, atol=0)


def test_training_order_differs_between_epochs_and_validation_is_as_it_lies(
    grey: nunbit.Pictures, tmp_path: Path
) -> None:
    """Seen where it counts: what the network is given."""
    model = nunbit.create_model_for(grey, network="mlp")
    seen: dict[bool, list[Tensor]] = {True: [], False: []}
    model.network.register_forward_pre_hook(
        lambda network, given: seen[network.training].append(given[0].clone())
    )
    nunbit.fit(
        model, grey, epochs=2, augment=nunbit.Augment(rotation_range=90), out=tmp_path / "run",
        options=nunbit.TrainOptions(batch_size=1000), progress=False,
    )  # fmt: skip
    assert grey.validation is not None
    first, second = seen[True]
    assert not torch.equal(first, second)
    mean, std = grey.preprocessing.mean[0], grey.preprocessing.std[0]
    as_they_lie = (images(grey.validation, slice(None)) - mean) / std
    assert len(seen[False]) == 2
    for validated in seen[False]:
        assert torch.allclose(validated, as_they_lie, atol=1e-5)


def test_two_epochs_have_two_orders_of_the_same_pictures(
    grey: nunbit.Pictures, tmp_path: Path
) -> None:
    model = nunbit.create_model_for(grey, network="mlp")
    seen: list[Tensor] = []
    model.network.register_forward_pre_hook(
        lambda network, given: seen.append(given[0].flatten(1)) if network.training else None
    )
    options = nunbit.TrainOptions(batch_size=BATCH)
    nunbit.fit(model, grey, epochs=2, options=options, out=tmp_path / "run", progress=False)
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(dim=0).values, second.sort(dim=0).values)


def test_augmentation_is_another_one_in_each_epoch(grey: nunbit.Pictures, tmp_path: Path) -> None:
    """Not only in another order: pictures that are the same but for it are looked for."""
    model = nunbit.create_model_for(grey, network="mlp")
    seen: list[Tensor] = []
    model.network.register_forward_pre_hook(
        lambda network, given: seen.append(given[0].flatten(1)) if network.training else None
    )
    nunbit.fit(
        model, grey, epochs=2, augment=nunbit.Augment(rotation_range=30), out=tmp_path / "run",
        options=nunbit.TrainOptions(batch_size=1000), progress=False,
    )  # fmt: skip
    first, second = seen
    assert first.shape == second.shape
    assert torch.cdist(first, second).min() > 1e-3
