"""The moving average against a loop in NumPy; swapping it in and out; runs that use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.conftest import Fit
from torch import Tensor, nn

import nunbit
from nunbit.training.ema import Average


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def move(network: nn.Module, step: int) -> None:
    """Change every weight and every statistic as a step of training would."""
    rng = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=rng))
            else:
                value.add_(1)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_it_is_what_a_loop_in_numpy_says(decay: float) -> None:
    network = small()
    average = Average(network, decay)
    wanted = {name: value.numpy().astype(np.float64) for name, value in state(network).items()}
    for step in range(1, 41):
        move(network, step)
        average.update()
        keep = min(decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            now = value.numpy().astype(np.float64)
            counts = name.endswith("num_batches_tracked")
            wanted[name] = now if counts else keep * wanted[name] + (1 - keep) * now
    assert average.steps == 40
    for name, value in average.weights.items():
        np.testing.assert_allclose(value.numpy(), wanted[name], rtol=1e-4, atol=1e-5)
    assert int(average.weights["1.num_batches_tracked"]) == 40
    assert float(average.weights["1.running_mean"].abs().max()) > 0.1


def test_fresh_weights_are_soon_forgotten() -> None:
    """The documented beginning: 2/11 stay at the first step, half at the eighth."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    average = Average(layer, 0.9999)
    nn.init.zeros_(layer.weight)
    kept = []
    for _ in range(100):
        before = float(average.weights["weight"])
        average.update()
        kept.append(float(average.weights["weight"]) / before)
    assert [kept[k - 1] for k in (1, 8, 80)] == pytest.approx([2 / 11, 0.5, 0.9], rel=1e-4)
    assert float(average.weights["weight"]) < 1e-9


def test_weights_come_back_bit_for_bit() -> None:
    network = small()
    average = Average(network, 0.9)
    for step in range(3):
        move(network, step)
        average.update()
    own = state(network)
    mean = {name: value.clone() for name, value in average.weights.items()}
    with average.in_place():
        for name, value in network.state_dict().items():
            assert torch.equal(value, mean[name]), name
    for name, value in network.state_dict().items():
        assert torch.equal(value, own[name]), name
        assert torch.equal(average.weights[name], mean[name]), name


def test_weights_come_back_after_an_error_and_where_two_layers_share_them() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    average = Average(network, 0.5)
    move(network, 1)
    average.update()
    own = state(network)

    def fail() -> None:
        with average.in_place():
            assert not torch.equal(network[0].weight, own["0.weight"])
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fail()
    for name, value in network.state_dict().items():
        assert torch.equal(value, own[name]), name


def test_weights_keep_their_place_in_memory() -> None:
    """The optimizer holds the tensors themselves."""
    network = small()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    places = [(p.data_ptr(), p.stride()) for p in network.parameters()]
    average = Average(network, 0.9)
    with average.in_place():
        move(network, 1)
    average.put_in()
    assert [(p.data_ptr(), p.stride()) for p in network.parameters()] == places


def test_weights_that_a_callback_loads_begin_it_anew() -> None:
    network = small()
    average = Average(network, 0.9)
    move(network, 1)
    average.update()
    found = state(small())
    average.load(found)
    average.put_in()
    for name, value in network.state_dict().items():
        assert torch.equal(value, found[name]), name


def test_the_average_is_validated_and_kept(tiny: nunbit.Pictures, run: Fit, tmp_path: Path) -> None:
    """The history's last score is that of the model file; training itself is as without it."""
    model = nunbit.create_model_for(tiny, network="auto")
    history = run(tiny, model=model, epochs=3, ema=0.9, lr=0.01)
    assert tiny.validation is not None
    pictures = tiny.validation.take(slice(None))
    targets = model.task.targets(tiny.validation.labels)
    for each in (model, nunbit.Model.load(tmp_path / "run")):
        loss = float(each.task.loss(torch.from_numpy(each.outputs(pictures)), targets))
        assert loss == pytest.approx(history["val_loss"][-1], rel=1e-5)

    plain = nunbit.create_model_for(tiny, network="auto")
    usual = run(tiny, model=plain, epochs=3, lr=0.01, out=tmp_path / "plain")
    assert history["loss"] == usual["loss"]
    assert history["val_loss"] != usual["val_loss"]


def test_batch_norm_of_the_average_suits_its_weights(tiny: nunbit.Pictures, run: Fit) -> None:
    """With the statistics of the last step only, or none, the scores would be those of chance."""
    model = nunbit.create_model_for(tiny, network="auto")
    history = run(tiny, model=model, epochs=12, ema=0.95, lr=0.01, batch_size=12)
    assert history["val_accuracy"][-1] > 0.9
