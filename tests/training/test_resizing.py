"""Progressive resizing: which size at which step, what a small picture shows, who refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.training.conftest import Fit, draw_bars

import nunbit
from nunbit.errors import OptionError
from nunbit.training.resizing import Resizing, make_resizing


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> nunbit.Pictures:
    """48 to train on, 12 to validate with; three classes, 24×24 grey."""
    root = tmp_path_factory.mktemp("large")
    return nunbit.load(draw_bars(root, classes="abc", count=20, size=24), validation=0.2)


def made(name: str = "auto", *, size: int = 32, **options: Any) -> Resizing | None:
    model = nunbit.create_model(
        name, classes=3, image_size=size, channels=1, network_options=options.pop("network", None)
    )
    return make_resizing(
        model,
        nunbit.TrainOptions(epochs=4, **options),
        kept=model.preprocessing.image_size,
        steps_per_epoch=10,
    )


def test_sides_grow_in_a_straight_line_to_the_full_size() -> None:
    resizing = made(first_size=12, size=64, growing_frac=0.75)
    assert resizing == Resizing(12, 64, 30)
    assert [resizing.side(step) for step in (0, 5, 10, 15, 20, 25, 29, 30, 39)] == [
        12, 16, 24, 32, 40, 48, 56, 64, 64,
    ]  # fmt: skip


@given(first=st.integers(4, 300), more=st.integers(0, 300), steps=st.integers(0, 500))
def test_sides_never_shrink_nor_leave_their_range(first: int, more: int, steps: int) -> None:
    resizing = Resizing(first, first + more, steps)
    sides = [resizing.side(step) for step in range(steps + 3)]
    assert sides == sorted(sides)
    assert sides[0] == (first if steps else first + more)
    assert sides[steps:] == [first + more] * 3
    assert all(side in (first, first + more) or side % 8 == 0 for side in sides)


def test_without_growing_all_steps_have_the_full_size() -> None:
    resizing = made(first_size=16, growing_frac=0.0)
    assert resizing is not None
    assert [resizing.side(step) for step in (0, 39)] == [32, 32]
    assert made() is None


def test_a_picture_is_shrunk_without_patterns_that_it_has_not() -> None:
    """Stripes that are too fine for the small size vanish, coarse ones stay; so does the mean."""
    rows = torch.arange(64, dtype=torch.float32)
    fine = torch.sin(rows * 2.6).view(1, 1, 64, 1).expand(1, 1, 64, 64)
    coarse = torch.sin(rows * 2 * torch.pi / 16).view(1, 1, 64, 1).expand(1, 1, 64, 64)
    resizing = Resizing(32, 64, 10)
    assert float(resizing.apply(fine, 0).std()) < 0.05 * float(fine.std())
    assert float(resizing.apply(coarse, 0).std()) > 0.9 * float(coarse.std())
    flat = torch.full((2, 3, 64, 64), 0.7)
    assert torch.allclose(resizing.apply(flat, 0), torch.full((2, 3, 32, 32), 0.7), atol=1e-5)
    assert resizing.apply(flat, 10) is flat


def test_the_layout_in_memory_stays() -> None:
    images = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    small = Resizing(40, 64, 10).apply(images, 0)
    assert small.shape == (2, 3, 40, 40)
    assert small.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(small, Resizing(40, 64, 10).apply(images.contiguous(), 0), atol=1e-5)


def test_a_first_size_beyond_the_pictures_is_refused() -> None:
    with pytest.raises(OptionError, match=r"--first-size 48` is larger than the pictures.*32×32"):
        made(first_size=48)
    assert made(first_size=32) == Resizing(32, 32, 30)


@pytest.mark.parametrize(
    "name", ["mlp", "cnn-mnist", "cnn-cats-dogs", "conv1d", "lenet-5", "lenet-5-modern"]
)
def test_networks_of_one_size_say_so_before_the_first_step(name: str) -> None:
    with pytest.raises(OptionError, match=rf"this `{name}` takes 32×32 only: .*such as `auto`"):
        made(name, first_size=24)


def test_auxiliary_classifiers_of_one_size_are_seen_too() -> None:
    """They work in training only: GoogLeNet itself ends in global pooling."""
    with pytest.raises(OptionError, match="this `googlenet` takes 224×224 only"):
        made("googlenet", first_size=112, size=224, network={"width": 0.125})


@pytest.mark.parametrize(
    ("name", "options"),
    [("auto", {}), ("resnet-20", {"width": 4}), ("resnet-18", {"width": 8})],
)
def test_networks_that_pool_over_all_take_any(name: str, options: dict[str, Any]) -> None:
    assert made(name, first_size=8, network=options) == Resizing(8, 32, 30)


def test_the_network_sees_the_sizes_and_learns(bars: nunbit.Pictures, run: Fit) -> None:
    """Validation has the full size throughout."""
    model = nunbit.create_model_for(bars, network="auto")
    seen: list[tuple[bool, int]] = []

    def look(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if not inputs[0].is_meta:  # the check before the first step
            seen.append((module.training, inputs[0].shape[-1]))

    model.network.register_forward_pre_hook(look)
    history = run(
        bars, model=model, first_size=12, growing_frac=0.5, epochs=10, lr=0.03, augment="none",
        batch_size=12,
    )  # fmt: skip
    training = [side for is_training, side in seen if is_training]
    assert training == [12] * 7 + [16] * 13 + [24] * 20
    assert {side for is_training, side in seen if not is_training} == {24}
    assert history["val_accuracy"][-1] > 0.9


def test_an_interrupted_run_goes_on_with_the_same_sizes(
    bars: nunbit.Pictures, run: Fit, tmp_path: Path
) -> None:
    class Halt(nunbit.Callback):
        at: int | None = None

        def on_epoch_begin(self, moment: nunbit.Moment) -> None:
            if moment.epoch == self.at:
                raise RuntimeError("here")

    how: dict[str, Any] = {"first_size": 12, "epochs": 3, "schedule": "constant"}
    models = [nunbit.create_model_for(bars, network="auto") for _ in range(3)]
    run(bars, model=models[0], callbacks=[Halt()], out=tmp_path / "whole", **how)
    halt = Halt()
    halt.at = 1
    with pytest.raises(RuntimeError, match="here"):
        run(bars, model=models[1], callbacks=[halt], out=tmp_path / "part", **how)
    run(bars, model=models[2], callbacks=[Halt()], resume=tmp_path / "part", **how)
    for name, value in models[0].network.state_dict().items():
        assert torch.equal(value, models[2].network.state_dict()[name]), name


def test_single_pictures_are_refused_where_the_small_maps_have_one_cell(
    tmp_path: Path, run: Fit
) -> None:
    """At 32 pixels the last map of resnet-18 is a cell already, at 64 it is 2×2."""
    root = draw_bars(tmp_path / "set", classes="ab", count=4, size=64)
    pictures = nunbit.load(root, validation=0.0)
    how: dict[str, Any] = {"batch_size": 1, "epochs": 1}
    with pytest.raises(OptionError, match="cannot be trained on 1 picture at a time"):
        run(pictures, model=_resnet(pictures), first_size=32, **how)
    assert len(run(pictures, model=_resnet(pictures), **how)["loss"]) == 1


def _resnet(pictures: nunbit.Pictures) -> nunbit.Model:
    return nunbit.create_model_for(pictures, network="resnet-18", network_options={"width": 8})
