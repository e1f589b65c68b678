"""``timm/NAME`` as a network of ours; skipped where timm is not installed."""

from __future__ import annotations

import builtins
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nunbit.create import create_model
from nunbit.errors import MissingExtraError, ModelFileError, OptionError
from nunbit.model import Model
from nunbit.networks import _timm, create_network, find_network, load_weights, replace_head

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None or importlib.util.find_spec("torchvision") is None,
    reason="timm is not installed",
)
KEEP: list[object] = []
"""What has to live as long as the operators below."""


@pytest.fixture
def timm() -> Iterator[Any]:
    """Import timm also where torchvision's compiled part does not fit this PyTorch."""
    try:
        import timm
    except (AttributeError, RuntimeError):
        operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou) -> Tensor")
        KEEP.append(operators)
        import timm
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield timm
    torch.set_num_threads(before)


def _scale(*std: float) -> torch.Tensor:
    return torch.tensor([sum(std) / 3 / each for each in std]).view(1, 3, 1, 1)


def without_timm(
    monkeypatch: pytest.MonkeyPatch,
    error: Exception = ModuleNotFoundError("No module named 'timm'", name="timm"),  # noqa: B008
) -> None:
    real = builtins.__import__

    def refuse(name: str, *more: Any, **how: Any) -> Any:
        if name == "timm" or name.startswith("timm."):
            raise error
        return real(name, *more, **how)

    monkeypatch.setattr(builtins, "__import__", refuse)
    _timm._timm.cache_clear()


def test_without_timm_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without_timm(monkeypatch)
    for ask in (find_network, lambda name: create_model(name, classes=2)):
        with pytest.raises(MissingExtraError, match=r"begin with `timm/`.* 'nunbit\[timm\]'"):
            ask("timm/resnet18")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist"),
        AttributeError("partially initialized module 'torchvision'"),
        ModuleNotFoundError("No module named 'torchvision'", name="torchvision"),
        ImportError("libc10.so: cannot open shared object file"),
    ],
)
def test_a_timm_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    without_timm(monkeypatch, error)
    with pytest.raises(
        MissingExtraError,
        match=rf"timm is installed, but cannot be imported: {error}\. It needs the torchvision "
        r"that belongs to PyTorch .*pip install -U torchvision",
    ):
        find_network("timm/resnet18")


@needs_timm
@pytest.mark.filterwarnings("ignore")
class TestWithTimm:
    def test_facts(self, timm: Any) -> None:
        info = find_network("timm/mobilenetv3_small_050")
        assert (info.image_size, info.channels) == (224, 3)
        assert info.source == f"timm {timm.__version__}"
        assert info.options == {"dropout": 0.0}
        assert find_network("timm/inception_v3").image_size == 299

    @pytest.mark.parametrize(
        ("name", "side", "stages"),
        [("resnet18", 64, 5), ("mobilenetv3_small_050", 64, 5), ("vit_tiny_patch16_224", 32, 12)],
    )
    def test_outputs_are_those_of_timm(self, timm: Any, name: str, side: int, stages: int) -> None:
        sized = {"img_size": side} if name.startswith("vit") else {}
        theirs = timm.create_model(name, pretrained=False, num_classes=7, **sized).eval()
        ours = create_network(f"timm/{name}", outputs=7, channels=3, image_size=side).eval()
        made = _timm.weights_of(theirs)
        assert made.outputs == 7
        load_weights(ours, made.tensors, name=f"timm/{name}", source="timm")
        images = torch.randn(2, 3, side, side)
        with torch.no_grad():
            expected = theirs(images)
            torch.testing.assert_close(ours(images), expected, rtol=1e-5, atol=1e-5)
            maps = ours.features(images)
            torch.testing.assert_close(ours.classify(maps[-1]), expected, rtol=1e-5, atol=1e-5)
        assert len(maps) == stages
        plain = create_network(f"timm/{name}", outputs=7, channels=3, image_size=side, seed=2)
        load_weights(plain, theirs.state_dict(), name=f"timm/{name}", source="timm's file")
        with torch.no_grad():
            torch.testing.assert_close(plain.eval()(images), expected, rtol=1e-5, atol=1e-5)

    def test_the_seed_decides_the_weights(self, timm: Any) -> None:
        one, two, three = (
            create_network("timm/resnet10t", outputs=2, channels=3, image_size=32, seed=seed)
            for seed in (1, 1, 2)
        )
        pairs = list(zip(one.parameters(), two.parameters(), strict=True))
        assert all(a.equal(b) for a, b in pairs)
        assert not all(
            a.equal(b) for a, b in zip(one.parameters(), three.parameters(), strict=True)
        )

    def test_every_parameter_gets_a_gradient_and_the_head_can_be_replaced(self, timm: Any) -> None:
        network = create_network("timm/resnet18", outputs=4, channels=1, image_size=64)
        with torch.no_grad():
            for each in network.parameters():
                each.add_(torch.randn_like(each), alpha=0.01)
        network(torch.randn(4, 1, 64, 64)).logsumexp(1).sum().backward()
        assert all(each.grad is not None for each in network.parameters())
        replace_head(network, 9)
        assert network(torch.randn(2, 1, 64, 64)).shape == (2, 9)

    def test_a_model_with_timms_weights(
        self, timm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        full = timm.create_model("mobilenetv3_small_050", pretrained=False)
        monkeypatch.setattr(_timm, "published", lambda name: _timm.weights_of(full))
        model = create_model("timm/mobilenetv3_small_050", weights="imagenet")
        made = model.preprocessing
        assert (made.image_size, made.fit, made.crop_frac) == (224, "crop", 0.875)
        assert made.mean == (0.485, 0.456, 0.406)
        assert len(model.classes) == 1000
        assert model.classes[0] == "tench"
        assert model.facts["weights"]["published_as"].startswith("mobilenetv3_small_050")
        picture = np.random.default_rng(0).integers(0, 256, (300, 260, 3), dtype=np.uint8)
        again = Model.load(model.save(tmp_path / "m.safetensors"))
        assert again.predict([picture]) == model.predict([picture])
        grey = create_model(
            "timm/mobilenetv3_small_050", weights="imagenet", channels=1, classes=["a", "b"]
        )
        assert grey.network.head.out_features == 2
        stem = full.conv_stem.weight
        assert grey.network.body.conv_stem.weight.equal(
            (stem * _scale(0.229, 0.224, 0.225)).sum(1, keepdim=True)
        )

    def test_names_and_weights_that_are_not_there(
        self, timm: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(OptionError, match=r"has no network `resnet81`. Near: `timm/resn"):
            find_network("timm/resnet81")
        with pytest.raises(OptionError, match=r"has no weights `imagenet-v2`. Expected `imagenet`"):
            create_model("timm/resnet18", weights="imagenet-v2")
        monkeypatch.setenv("NUNBIT_OFFLINE", "1")
        with pytest.raises(
            ModelFileError, match=r"NUNBIT_OFFLINE is set. .*https://huggingface.co/timm/resnet18"
        ):
            create_model("timm/resnet18", weights="imagenet")
        with pytest.raises(OptionError, match="has no option `drop`"):
            create_network(
                "timm/resnet18", outputs=2, channels=3, image_size=32, options={"drop": 1}
            )
