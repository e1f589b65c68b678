"""Weights that torchvision publishes for our networks: which, where, how good.

Names, scores and preprocessing are those of torchvision 0.29 (BSD-3-Clause), the
enumerations of weights in ``torchvision/models``; the eight digits in a file's name are
the first of its SHA-256. Accuracy is that on ImageNet's 50,000 validation pictures, one
crop each. Sizes are given there in thousandths of a MiB, so they are right to 1 kB.

Not listed: VGG16's ``IMAGENET1K_FEATURES``, whose dense layers are no numbers.

Hosts, in the order in which they are asked: the folder that ``NUNBIT_WEIGHTS_MIRROR``
names, PyTorch's own, and the bucket behind it, which the documentation of ``torch.hub``
names. What arrives has to have the digits of its name, wherever it is from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nunbit.errors import OptionError, did_you_mean
from nunbit.networks._registry import find_network
from nunbit.places import cache_folder

__all__ = ["HOSTS", "MIRROR", "PublishedWeights", "find_weights", "published_weights"]

MIRROR = "NUNBIT_WEIGHTS_MIRROR"
HOSTS = (
    "https://download.pytorch.org/models/",
    "https://s3.amazonaws.com/pytorch/models/",
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
"""What GoogLeNet's weights were made with; torchvision's model turns ImageNet's mean and
spread into these on its first line (``transform_input``)."""


@dataclass(frozen=True)
class PublishedWeights:
    """One file of weights for one of our networks.

    Args:
        network: Our name of the network.
        name: As ``create_model(weights=...)`` takes it.
        published_as: What torchvision calls it.
        file: Its name, with the first digits of its SHA-256.
        size_bytes: How long it is, to 1 kB.
        top1_percent: Accuracy on ImageNet's validation pictures.
        top5_percent: How often the class is among the five likeliest.
        resize: Side to which torchvision brings the shorter side of a picture before it
            cuts ``image_size`` out of its middle, in pixels.
        options: Options of the network that the weights need.
        mean: Of pixels 0..1, per channel.
        std: Of pixels 0..1, per channel.
        image_size: Side of the pictures, in pixels.
        classes: How many; they are ImageNet's.
    """

    network: str
    name: str
    published_as: str
    file: str
    size_bytes: int
    top1_percent: float
    top5_percent: float
    resize: int = 256
    options: Mapping[str, Any] = field(default_factory=dict)
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    image_size: int = 224
    classes: int = 1000

    @property
    def hash_prefix(self) -> str:
        """The first hexadecimal digits of the file's SHA-256."""
        return Path(self.file).stem.rpartition("-")[2]

    @property
    def crop_frac(self) -> float:
        """Share of the shorter side of a picture that the network sees."""
        return self.image_size / self.resize

    @property
    def urls(self) -> tuple[str, ...]:
        """Where to get it, in order; one's own mirror first."""
        own = os.environ.get(MIRROR, "").strip()
        hosts = ((f"{own.rstrip('/')}/",) if own else ()) + HOSTS
        return tuple(f"{host}{self.file}" for host in hosts)

    @property
    def path(self) -> Path:
        """Where it lies once it is here."""
        return cache_folder() / "weights" / self.file

    @property
    def is_cached(self) -> bool:
        """Whether it is here; only whole and checked files are put there."""
        return self.path.is_file()


def _entry(
    network: str, published_as: str, file: str, size_mib: float, scores: tuple[float, float]
) -> PublishedWeights:
    is_second = published_as.endswith("_V2")
    kind = network.partition("-")[0]
    options: dict[str, dict[str, Any]] = {
        "vgg": {"pool_to": 7},
        "alexnet": {"pool_to": 6},
        "googlenet": {"auxiliary": False},  # torchvision says that theirs were not trained
    }
    values = HALF if kind == "googlenet" else None
    return PublishedWeights(
        network=network,
        name="imagenet-v2" if is_second else "imagenet",
        published_as=published_as,
        file=file,
        size_bytes=round(size_mib * 2**20),
        top1_percent=scores[0],
        top5_percent=scores[1],
        resize=232 if is_second else 256,
        options=options.get(kind, {}),
        mean=values or MEAN,
        std=values or STD,
    )


V1, V2 = "IMAGENET1K_V1", "IMAGENET1K_V2"
# network, torchvision's name, file, MiB, accuracy in percent: the first, among the first five
_ENTRIES = tuple(
    _entry(*row)
    for row in (
        ("alexnet-owt", f"alexnet {V1}", "alexnet-owt-7be5be79.pth", 233.087, (56.522, 79.066)),
        ("vgg-a", f"vgg11 {V1}", "vgg11-8a719046.pth", 506.84, (69.02, 88.628)),
        ("vgg-b", f"vgg13 {V1}", "vgg13-19584684.pth", 507.545, (69.928, 89.246)),
        ("vgg-d", f"vgg16 {V1}", "vgg16-397923af.pth", 527.796, (71.592, 90.382)),
        ("vgg-e", f"vgg19 {V1}", "vgg19-dcbb9e9d.pth", 548.051, (72.376, 90.876)),
        ("vgg-a-bn", f"vgg11_bn {V1}", "vgg11_bn-6002323d.pth", 506.881, (70.37, 89.81)),
        ("vgg-b-bn", f"vgg13_bn {V1}", "vgg13_bn-abd245e5.pth", 507.59, (71.586, 90.374)),
        ("vgg-d-bn", f"vgg16_bn {V1}", "vgg16_bn-6c64b313.pth", 527.866, (73.36, 91.516)),
        ("vgg-e-bn", f"vgg19_bn {V1}", "vgg19_bn-c79401a0.pth", 548.143, (74.218, 91.842)),
        ("googlenet-bn", f"googlenet {V1}", "googlenet-1378be20.pth", 49.731, (69.778, 89.53)),
        ("resnet-18", f"resnet18 {V1}", "resnet18-f37072fd.pth", 44.661, (69.758, 89.078)),
        ("resnet-34", f"resnet34 {V1}", "resnet34-b627a593.pth", 83.275, (73.314, 91.42)),
        ("resnet-50", f"resnet50 {V1}", "resnet50-0676ba61.pth", 97.781, (76.13, 92.862)),
        ("resnet-50", f"resnet50 {V2}", "resnet50-11ad3fa6.pth", 97.79, (80.858, 95.434)),
        ("resnet-101", f"resnet101 {V1}", "resnet101-63fe2227.pth", 170.511, (77.374, 93.546)),
        ("resnet-101", f"resnet101 {V2}", "resnet101-cd907fc2.pth", 170.53, (81.886, 95.78)),
        ("resnet-152", f"resnet152 {V1}", "resnet152-394f9c45.pth", 230.434, (78.312, 94.046)),
        ("resnet-152", f"resnet152 {V2}", "resnet152-f82ba261.pth", 230.474, (82.284, 96.002)),
    )
)


def published_weights() -> list[PublishedWeights]:
    """Return all weights that are known by name, network by network."""
    return list(_ENTRIES)


def find_weights(network: str, name: str) -> PublishedWeights:
    """Return the weights of a network by their name.

    Raises:
        OptionError: The network has none, or none of that name.
    """
    own = find_network(network).name
    known = {each.name: each for each in _ENTRIES if each.network == own}
    if name in known:
        return known[name]
    if known:
        raise OptionError(
            f"network `{own}` has no weights `{name}`.{did_you_mean(name, known)} "
            f"It has: {', '.join(known)}; or give the path of a file (.pth, .safetensors)."
        )
    having = list(dict.fromkeys(each.network for each in _ENTRIES))
    raise OptionError(
        f"there are no published weights for the network `{own}`; there are for "
        f"{', '.join(having)}. Give the path of a file (.pth, .safetensors), or train it afresh."
    )
