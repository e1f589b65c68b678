"""Weights with the names and shapes that torchvision publishes, and into which networks they go.

``published_state_dicts.json`` has names and shapes of all 15; the numbers are made here.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nunbit.errors import ModelFileError, OptionError
from nunbit.networks import (
    convert_keys,
    create_network,
    find_network,
    find_weights,
    head_outputs,
    load_weights,
    network_heads,
    network_names,
    published_weights,
)
from nunbit.networks._imagenet import imagenet_classes

FILE = Path(__file__).parents[1] / "files" / "published_state_dicts.json"
RECORDED: dict[str, dict[str, list[int]]] = json.loads(FILE.read_text("utf-8"))["models"]
PUBLISHED = published_weights()
NETWORKS = {each.network: each for each in PUBLISHED}
LIGHT = ("googlenet-bn", "resnet-18")
"""Small enough to be filled with numbers in a quick test."""


def recorded(network: str, device: str = "meta") -> dict[str, Tensor]:
    """Return a published state dict: names and shapes as recorded, seeded numbers."""
    name = NETWORKS[network].published_as.split()[0]
    made = {}
    for key, shape in RECORDED[name].items():
        if device == "meta":
            made[key] = torch.empty(
                shape, device="meta", dtype=torch.float32 if shape else torch.int64
            )
        elif not shape:
            made[key] = torch.tensor(7)
        else:
            generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
            made[key] = torch.rand(shape, generator=generator)
    return made


def make(network: str, *, outputs: int = 1000, channels: int = 3, **how: Any) -> nn.Module:
    options = dict(NETWORKS[network].options) if network in NETWORKS else {}
    return create_network(
        network, outputs=outputs, channels=channels, image_size=224, options=options | how
    )


def ghost(network: str, **how: Any) -> nn.Module:
    """Make a network without numbers: VGG's 138 million take a while."""
    with torch.device("meta"):
        return make(network, **how)


def load(network: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    load_weights(network, tensors, name=name, source="`w.pth`")


# --- The list -------------------------------------------------------------------------------


def test_all_15_are_listed_with_their_facts() -> None:
    assert len(NETWORKS) == 15
    assert {each.published_as.split()[0] for each in PUBLISHED} == set(RECORDED)
    assert [each.network for each in PUBLISHED if each.name == "imagenet-v2"] == [
        "resnet-50",
        "resnet-101",
        "resnet-152",
    ]
    for each in PUBLISHED:
        assert find_network(each.network).name == each.network
        assert each.file.endswith(f"-{each.hash_prefix}.pth")
        assert len(bytes.fromhex(each.hash_prefix)) == 4
        assert each.path.name == each.file
        assert 50 < each.top1_percent < each.top5_percent < 100
        assert [url.rpartition("/")[2] for url in each.urls] == [each.file] * len(each.urls)
        assert len(each.urls) >= 2, "an official place and a mirror"
        assert all(url.startswith("https://") for url in each.urls)
    assert len({each.file for each in PUBLISHED}) == len(PUBLISHED)


def test_some_entries_by_hand() -> None:
    second = find_weights("resnet-50", "imagenet-v2")
    assert (second.file, second.top1_percent) == ("resnet50-11ad3fa6.pth", 80.858)
    assert second.crop_frac == pytest.approx(224 / 232)
    first = find_weights("vgg16", "imagenet")
    assert (first.network, first.file, first.options) == (
        *("vgg-d", "vgg16-397923af.pth"),
        {"pool_to": 7},
    )
    assert (first.crop_frac, first.mean, first.std) == (
        *(0.875, (0.485, 0.456, 0.406)),
        (0.229, 0.224, 0.225),
    )
    assert find_weights("alexnet-owt", "imagenet").options == {"pool_to": 6}
    assert find_weights("googlenet-bn", "imagenet").mean == (0.5, 0.5, 0.5)


def test_weights_that_nobody_knows() -> None:
    with pytest.raises(
        OptionError,
        match=r"`resnet-50` has no weights `imagenet-v3`. Did you mean `imagenet-v2`\? It has: "
        r"imagenet, imagenet-v2; or give the path of a file",
    ):
        find_weights("resnet-50", "imagenet-v3")
    with pytest.raises(
        OptionError, match=r"no published weights for the network `mlp`; there are for alexnet-owt"
    ):
        find_weights("mlp", "imagenet")
    with pytest.raises(OptionError, match="unknown network `resnet-51`"):
        find_weights("resnet-51", "imagenet")


def test_the_classes_of_imagenet() -> None:
    names = imagenet_classes()
    assert len(set(names)) == len(names) == 1000
    assert (names[0], names[207], names[281], names[999]) == (
        *("tench", "golden retriever", "tabby", "toilet tissue"),
    )


# --- Strict loading -------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_published_names_and_shapes_load_strictly(network: str) -> None:
    """Every tensor finds its place, each place its tensor, and none goes elsewhere."""
    module, tensors = ghost(network), recorded(network)
    own, made = module.state_dict(), convert_keys(tensors, module)
    assert {k: v.shape for k, v in made.items()} == {k: v.shape for k, v in own.items()}
    assert sorted(v.shape for v in made.values()) == sorted(
        tensor.shape for name, tensor in tensors.items() if not name.startswith("aux")
    )
    load(module, tensors, network)
    order = [name for name in made if ".shortcut." not in name]
    assert order == [name for name in own if ".shortcut." not in name], "in the same order"
    lacking = dict(tensors)
    gone = next(name for name in tensors if name.endswith(".weight"))
    del lacking[gone]
    lacking["extra.weight"] = torch.empty(3, device="meta")
    with pytest.raises(
        ModelFileError,
        match=rf"1 of {len(own)} are missing \(`.+`\); 1 are strange to it \(`extra.weight`\)\. G",
    ):
        load(module, lacking, network)


@pytest.mark.parametrize("network", LIGHT)
def test_every_number_arrives(network: str) -> None:
    module, tensors = make(network), recorded(network, "cpu")
    load(module, tensors, network)
    found = module.state_dict()
    for name, value in convert_keys(tensors, module).items():
        assert found[name].equal(value), name
    theirs = sum(each.double().sum() for n, each in tensors.items() if not n.startswith("aux"))
    assert sum(each.double().sum() for each in found.values()).item() == pytest.approx(
        theirs.item(), rel=1e-12
    )


def test_auxiliary_classifiers_load_where_the_network_has_them() -> None:
    module = ghost("googlenet-bn", auxiliary=True)
    load(module, recorded("googlenet-bn"), "googlenet-bn")
    assert len(network_heads(module)) == 3
    assert set(convert_keys(recorded("googlenet-bn"), module)) == set(module.state_dict())


def test_old_files_without_counters_load() -> None:
    tensors = {k: v for k, v in recorded("resnet-18").items() if not k.endswith("_tracked")}
    assert len(tensors) == 102
    load(ghost("resnet-18"), tensors, "resnet-18")


def test_our_own_names_load_too() -> None:
    one = make("resnet-18", width=4, outputs=5)
    other = create_network(
        "resnet-18", outputs=5, channels=3, image_size=224, options={"width": 4}, seed=9
    )
    load(other, one.state_dict(), "resnet-18")
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


# --- Other classes, other colours ---------------------------------------------------------------


def test_the_last_layer_is_fresh_for_another_number_of_classes() -> None:
    trained, fresh = make("resnet-18", width=4), make("resnet-18", width=4, outputs=3)
    head = fresh.head.weight.clone()
    with torch.no_grad():
        for each in trained.parameters():
            each.add_(0.25)
    load(fresh, trained.state_dict(), "resnet-18")
    assert fresh.head.weight.equal(head)
    assert head.shape == (3, 32)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps = [net.eval().features(images)[-1] for net in (trained, fresh)]
    assert maps[0].equal(maps[1])
    assert head_outputs(trained.state_dict(), trained) == 1000
    assert head_outputs({}, trained) is None


def test_grey_pictures_meet_the_sum_over_the_colours() -> None:
    colour, grey = make("resnet-18", width=4), make("resnet-18", width=4, channels=1)
    load(grey, colour.state_dict(), "resnet-18")
    pictures = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = colour.eval()(pictures.repeat(1, 3, 1, 1))
        torch.testing.assert_close(grey.eval()(pictures), expected, rtol=1e-4, atol=1e-5)


GREY_SIZES = {"alexnet": 64, "alexnet-owt": 64, "cnn-cats-dogs": 16}
GREY_OPTIONS: dict[str, dict[str, Any]] = {
    **{"auto": {"width": 4}, "mlp": {"width": 8}, "conv1d": {"width": 4}},
    **{name: {"width": 0.125, "dense": 16} for name in ("alexnet", "alexnet-owt")},
    **{name: {"width": 0.125} for name in ("googlenet", "googlenet-bn")},
    **{name: {"width": 2, "dense": 16} for name in network_names() if name.startswith("vgg-")},
    **{name: {"width": 4} for name in network_names() if name.startswith(("resnet-", "plain-"))},
}
DEEP = ("resnet-101", "resnet-152", "resnet-110", "resnet-1202")


def grey_cases() -> list[Any]:
    """Return every registered network, the deepest among the slow tests, and ways to read."""
    cases = [
        pytest.param(name, {}, id=name, marks=[pytest.mark.slow] * (name in DEEP))
        for name in network_names()
        if not name.startswith("airbench")  # its first layer has filters by the colours
    ]
    return [*cases, pytest.param("conv1d", {"read": "pixels"}, id="conv1d pixels")]


@pytest.mark.parametrize(("network", "more"), grey_cases())
def test_every_network_does_with_grey_what_it_did_with_equal_colours(
    network: str, more: dict[str, Any]
) -> None:
    side, options = GREY_SIZES.get(network, 32), GREY_OPTIONS.get(network, {}) | more
    colour, grey = (
        create_network(
            network, outputs=3, channels=channels, image_size=side, seed=channels, options=options
        ).double()
        for channels in (3, 1)
    )
    load(grey, colour.state_dict(), network)
    pictures = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        expected = colour.eval()(pictures.expand(-1, 3, -1, -1))
        found = grey.eval()(pictures)
    assert expected.abs().max() > 0
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=0, atol=1e-7)


def test_colours_are_weighed_by_their_spread() -> None:
    """With one mean for all colours, the other spreads are made up for exactly."""
    colour, grey = make("resnet-18", width=4), make("resnet-18", width=4, channels=1)
    std = torch.tensor([0.2, 0.25, 0.3])
    load_weights(
        grey, colour.state_dict(), name="resnet-18", source="`w.pth`", std=tuple(std.tolist())
    )
    pictures = torch.rand(2, 1, 64, 64) - 0.5
    with torch.no_grad():
        expected = colour.eval()(pictures.expand(-1, 3, -1, -1) / std.view(1, 3, 1, 1))
        found = grey.eval()(pictures / 0.25)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_whole_numbers_are_no_weights() -> None:
    tensors = make("resnet-18", width=4).state_dict()
    tensors["conv1.weight"] = tensors["conv1.weight"].to(torch.int8)
    with pytest.raises(ModelFileError, match=r"1 are no float numbers \(`conv1.weight` is int8\)"):
        load(make("resnet-18", width=4), tensors, "resnet-18")


@pytest.mark.parametrize("network", ["vgg-a", "googlenet-bn", "resnet-50", "alexnet-owt"])
def test_published_weights_fit_grey_networks_with_other_classes(network: str) -> None:
    load(ghost(network, channels=1, outputs=2), recorded(network), network)


def test_grey_weights_do_not_fit_a_colour_network() -> None:
    grey = make("resnet-18", width=4, channels=1)
    with pytest.raises(
        ModelFileError,
        match=r"1 have another shape \(`conv1.weight` is 4×1×7×7, expected 4×3×7×7\)",
    ):
        load(make("resnet-18", width=4), grey.state_dict(), "resnet-18")


# --- Another network's ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "given", "message"),
    [
        ("resnet-18", "resnet-34", r"96 are strange to it \(`conv2_x.2.conv1.weight`, .* 93 more"),
        ("resnet-34", "resnet-18", r"80 of 218 are missing \(`conv2_x.2.conv1.weight`, .* more\)"),
        ("resnet-101", "resnet-50", r"255 of 626 are missing"),
        ("vgg-a", "vgg-d", r"14 of 22 are missing .* 24 are strange to it \(`body.2.weight`"),
        ("googlenet-bn", "resnet-18", r"are missing .*strange to it"),
        ("cnn-mnist", "resnet-18", r"6 of 8 are missing .*; 122 are strange to it \(`conv1.weig"),
    ],
)
def test_weights_of_another_network_say_which_they_are(
    network: str, given: str, message: str
) -> None:
    module = make(network) if network == "cnn-mnist" else ghost(network)
    before = [each.clone() for each in module.parameters()]
    with pytest.raises(ModelFileError, match=message) as caught:
        load(module, recorded(given), network)
    said = str(caught.value)
    assert said.startswith(f"`w.pth` has weights of another network than `{network}`: ")
    assert said.endswith(
        f" They are those of `{given}`: make that network, or give weights of `{network}`."
    )
    if network == "cnn-mnist":
        assert all(a.equal(b) for a, b in zip(before, module.parameters(), strict=True))


def test_weights_of_no_network_that_is_known() -> None:
    with pytest.raises(
        ModelFileError,
        match=r"62 of 62 are missing|strange to it \(`a`\).*Give the file of this network, or",
    ):
        load(ghost("resnet-18"), {"a": torch.empty(1, device="meta")}, "resnet-18")
