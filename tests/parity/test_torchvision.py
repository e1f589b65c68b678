"""Equal weights give equal answers: our networks beside those of torchvision.

torchvision is not needed by Nunbit; where it is missing, these tests are skipped.
"""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import torch

from nunbit.networks import create_network, load_weights, published_weights
from nunbit.networks._imagenet import imagenet_classes


def import_torchvision() -> Any:
    """Import it also where its compiled part does not fit this PyTorch: models need none of it."""
    try:
        import torchvision
    except ImportError:
        pytest.skip("torchvision is not installed")
    except (AttributeError, RuntimeError):
        operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou) -> Tensor")
        KEEP.append(operators)
        try:
            import torchvision
        except (ImportError, AttributeError, RuntimeError) as error:
            pytest.skip(f"torchvision cannot be imported: {error}")
    return torchvision


KEEP: list[object] = []
"""What has to live as long as the operators."""

PUBLISHED = published_weights()
FIRST = [each for each in PUBLISHED if each.name == "imagenet"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("weights", FIRST, ids=lambda each: each.network)
def test_equal_weights_give_equal_outputs(weights: Any) -> None:
    theirs = import_torchvision().models.get_model(weights.published_as.split()[0], weights=None)
    generator = torch.Generator().manual_seed(zlib.crc32(weights.network.encode()))
    with torch.no_grad():
        for name, each in theirs.state_dict().items():
            if name.endswith("running_var"):
                each.uniform_(0.5, 2, generator=generator)
            elif each.ndim == 1:
                each.add_(torch.randn(each.shape, generator=generator), alpha=0.1)
            elif each.ndim > 1:  # torchvision's own start makes GoogLeNet's answers all alike
                each.normal_(0, (2 / each[0].numel()) ** 0.5, generator=generator)
    ours = create_network(
        weights.network,
        outputs=weights.classes,
        channels=3,
        image_size=weights.image_size,
        options=dict(weights.options),
    )
    load_weights(ours, theirs.state_dict(), name=weights.network, source="torchvision")
    for side in (224, 160):  # 160: the dense layers get an averaged map
        images = torch.randn(2, 3, side, side, generator=generator)
        with torch.inference_mode():
            expected, found = theirs.eval()(images), ours.eval()(images)
        scale = expected.abs().max()
        assert scale > 0
        assert (expected[0] - expected[1]).abs().max() > 1e-3 * scale
        torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("weights", PUBLISHED, ids=lambda each: f"{each.network}-{each.name}")
def test_the_list_says_what_torchvision_says(weights: Any) -> None:
    models = import_torchvision().models
    name, kind = weights.published_as.split()
    theirs = models.get_model_weights(name)[kind]
    assert theirs.url.endswith(f"/{weights.file}")
    assert list(theirs.meta["_metrics"]["ImageNet-1K"].values()) == [
        weights.top1_percent,
        weights.top5_percent,
    ]
    assert weights.size_bytes == pytest.approx(theirs.meta["_file_size"] * 2**20, abs=600)
    assert tuple(theirs.meta["categories"]) == imagenet_classes()
    made = theirs.transforms()
    assert (made.crop_size, made.resize_size) == ([weights.image_size], [weights.resize])
    if weights.network != "googlenet-bn":  # theirs changes mean and spread inside
        assert (tuple(made.mean), tuple(made.std)) == (weights.mean, weights.std)
