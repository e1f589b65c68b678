"""``create_model(weights=...)``: what weights bring along, from a file to answers and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import nunbit
from nunbit.cli.main import run as cli
from nunbit.create import create_model, create_model_for
from nunbit.data.preprocessing import Preprocessing
from nunbit.errors import ModelFileError, OptionError
from nunbit.model import Model
from nunbit.networks import PublishedWeights, create_network, find_weights, open_weights
from nunbit.networks import _published as listed
from nunbit.networks._imagenet import imagenet_classes
from nunbit.storage import save_tensors
from nunbit.training import loop

pytestmark = pytest.mark.usefixtures("one_thread")

Paint = Callable[..., NDArray[np.uint8]]
TINY = {"width": 4}


def trained(outputs: int = 1000, channels: int = 3, **options: Any) -> dict[str, Tensor]:
    """Return weights of a tiny ResNet-18 by our names, with every number moved."""
    network = create_network(
        "resnet-18",
        outputs=outputs,
        channels=channels,
        image_size=224,
        options=TINY | options,
        seed=5,
    )
    with torch.no_grad():
        for each in network.state_dict().values():
            each.add_(torch.rand(each.shape) if each.is_floating_point() else 3)
    return network.state_dict()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedWeights:
    """A tiny ResNet-18, published under the name ``imagenet`` and in the cache already."""
    monkeypatch.setenv("NUNBIT_CACHE", str(tmp_path / "cache"))
    torch.save(trained(), tmp_path / "w.pth")
    data = (tmp_path / "w.pth").read_bytes()
    known = replace(
        find_weights("resnet-18", "imagenet"),
        file=f"resnet18-{hashlib.sha256(data).hexdigest()[:8]}.pth",
        size_bytes=len(data),
        options=TINY,
    )
    monkeypatch.setattr(listed, "_ENTRIES", (known,))
    known.path.parent.mkdir(parents=True)
    known.path.write_bytes(data)
    return known


def test_published_weights_bring_classes_and_preprocessing(published: PublishedWeights) -> None:
    model = create_model("resnet-18", weights="imagenet")
    assert model.classes == imagenet_classes()
    made = model.preprocessing
    assert (made.image_size, made.channels, made.fit, made.crop_frac) == (224, 3, "crop", 0.875)
    assert (made.mean, made.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert model.network_options == TINY
    assert model.facts["weights"] == {
        "name": "imagenet",
        "published_as": "resnet18 IMAGENET1K_V1",
        "file": published.file,
        "sha256": hashlib.sha256(published.path.read_bytes()).hexdigest(),
    }
    expected = torch.load(published.path, weights_only=True)
    found = model.network.state_dict()
    assert all(found[key].equal(value) for key, value in expected.items())


def test_such_a_model_is_saved_and_loaded_whole(
    published: PublishedWeights, tmp_path: Path, paint: Paint
) -> None:
    model = create_model("resnet-18", weights="imagenet", image_size=64)
    again = Model.load(model.save(tmp_path / "m.safetensors"))
    assert again.header() == model.header()
    assert again.preprocessing == model.preprocessing
    assert again.preprocessing.crop_frac == 0.875
    pictures = [paint("a", 90, 120, 3), paint("b", 50, 30, 3)]
    assert again.predict(pictures) == model.predict(pictures)


def test_ones_own_classes_get_a_fresh_last_layer(published: PublishedWeights) -> None:
    model = create_model("resnet-18", weights="imagenet", classes=["cat", "dog"], seed=3)
    given = torch.load(published.path, weights_only=True)
    found = model.network.state_dict()
    assert model.classes == ("cat", "dog")
    assert found["head.weight"].shape == (2, 32)
    assert all(found[key].equal(given[key]) for key in given if not key.startswith("head"))
    fresh = create_model(
        "resnet-18", classes=2, image_size=224, network_options=TINY, seed=3
    ).network.state_dict()
    assert found["head.weight"].equal(fresh["head.weight"]), "from the seed"
    one = create_model("resnet-18", weights="imagenet", classes=["cat", "dog"], head="sigmoid")
    assert one.network.head.out_features == 1


def test_grey_pictures_into_colour_weights(published: PublishedWeights) -> None:
    grey = create_model("resnet-18", weights="imagenet", channels=1)
    given = torch.load(published.path, weights_only=True)["conv1.weight"]
    std = torch.tensor([0.229, 0.224, 0.225])
    expected = (given * (0.226 / std).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(grey.network.conv1.weight.data, expected)
    assert grey.preprocessing.mean == (pytest.approx(0.449),)
    assert grey.preprocessing.std == (pytest.approx(0.226),)


def test_what_is_asked_for_wins(published: PublishedWeights) -> None:
    model = create_model("resnet-18", weights="imagenet", fit="squash", image_size=96)
    assert (model.preprocessing.fit, model.preprocessing.crop_frac) == ("squash", 1.0)
    assert model.preprocessing.image_size == 96
    assert model.preprocessing.mean == (0.485, 0.456, 0.406)
    kept = create_model("resnet-18", weights="imagenet", fit="crop")
    assert kept.preprocessing.crop_frac == 0.875
    with pytest.raises(
        ModelFileError,
        match=r"the same layers as `resnet-18` as it was asked for, in other sizes: .*"
        r"`--network-option NAME=VALUE`, `--image-size N`",
    ):
        create_model("resnet-18", weights="imagenet", network_options={"width": 5})


def test_a_published_file_is_known_by_its_hash_under_any_name(
    published: PublishedWeights, tmp_path: Path
) -> None:
    published.path.rename(tmp_path / "download (1).pth")
    model = create_model("resnet-18", weights=str(tmp_path / "download (1).pth"))
    assert model.classes == imagenet_classes()
    assert model.facts["weights"]["file"] == published.file


def test_a_folder_that_is_called_like_the_weights_is_not_meant(
    published: PublishedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imagenet").mkdir()
    monkeypatch.chdir(tmp_path)
    assert open_weights("resnet-18", "imagenet").facts["file"] == published.file
    with pytest.raises(ModelFileError, match=r"imagenet/model.safetensors` cannot be read"):
        open_weights("resnet-18", tmp_path / "imagenet")
    with pytest.raises(ModelFileError, match=r"imagenet/model.safetensors` cannot be read"):
        open_weights("mlp", "imagenet")


def test_a_changed_file_with_a_published_name_is_refused(
    published: PublishedWeights, tmp_path: Path
) -> None:
    path = tmp_path / published.file
    torch.save(trained(), path)
    with pytest.raises(
        ModelFileError,
        match=rf"is not what its name says: its SHA-256 begins with [0-9a-f]{{8}}, expected "
        rf"{published.hash_prefix}. .* get it again from https://download.pytorch.org/models/",
    ):
        create_model("resnet-18", weights=path)


def test_a_file_of_ones_own_tells_its_number_of_classes(
    published: PublishedWeights, tmp_path: Path
) -> None:
    torch.save({"state_dict": trained(7), "epoch": 3}, tmp_path / "mine.pth")
    model = create_model("resnet-18", weights=tmp_path / "mine.pth")
    assert model.classes == ("0", "1", "2", "3", "4", "5", "6")
    assert model.preprocessing.mean == (0.485, 0.456, 0.406), "as `imagenet` has it"
    assert set(model.facts["weights"]) == {"file", "sha256"}
    named = create_model("resnet-18", weights=tmp_path / "mine.pth", classes=list("abcdefg"))
    assert named.network.head.weight.equal(model.network.head.weight), "7 of them: not fresh"


def test_a_model_file_of_ours_starts_another_model(tmp_path: Path) -> None:
    first = create_model("cnn-mnist", classes=["a", "b"], image_size=12, fit="pad")
    first.preprocessing = replace(first.preprocessing, mean=(0.3,), std=(0.4,))
    first.save(tmp_path / "model.safetensors")
    for place in (tmp_path, tmp_path / "model.safetensors"):
        second = create_model("cnn-mnist", weights=place)
        assert second.classes == ("a", "b")
        assert second.preprocessing == first.preprocessing
    with pytest.raises(
        ModelFileError,
        match=r"another network than `mlp`: they are those of `cnn-mnist`. Make that network",
    ):
        create_model("mlp", weights=tmp_path)


def test_weights_that_cannot_be(published: PublishedWeights, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"has no weights `imagnet`. Did you mean `imagenet`\?"):
        create_model("resnet-18", weights="imagnet")
    with pytest.raises(OptionError, match=r"classes are missing: .* `classes=10`, or `weights=`"):
        create_model("resnet-18")
    with pytest.raises(ModelFileError, match=r"none.pth` cannot be read: No such file"):
        create_model("resnet-18", weights="none.pth")
    headless = {k: v for k, v in trained().items() if not k.startswith("head")}
    torch.save(headless, tmp_path / "body.pth")
    with pytest.raises(OptionError, match=r"body.pth` does not tell for how many classes"):
        create_model("resnet-18", weights=tmp_path / "body.pth")
    assert create_model("resnet-18", weights=tmp_path / "body.pth", classes=3).classes == (
        *("0", "1", "2"),
    )
    with pytest.raises(OptionError, match="`image_size` is 0, expected at least 1"):
        create_model("resnet-18", weights="imagenet", image_size=0)


def test_offline_the_message_says_where_to_put_what(published: PublishedWeights) -> None:
    published.path.unlink()
    with pytest.raises(
        ModelFileError,
        match=rf"NUNBIT_OFFLINE is set.* Get https://download.pytorch.org/models/{published.file} "
        rf"and put it at `{published.path}`",
    ):
        open_weights("resnet-18", "imagenet")


# --- Training -------------------------------------------------------------------------------


def test_a_model_for_pictures_keeps_the_spread_of_its_weights(
    published: PublishedWeights, tmp_path: Path
) -> None:
    pictures = nunbit.load("shapes")
    model = create_model_for(pictures, network="resnet-18", weights="imagenet")
    assert model.classes == pictures.classes
    made = model.preprocessing
    assert replace(made, mean=(), std=()) == replace(pictures.preprocessing, mean=(), std=())
    average = 0.449 if made.channels == 1 else 0.485
    assert made.mean[0] == pytest.approx(average)
    options = nunbit.TrainOptions(epochs=1, device="cpu", precision="float32")
    nunbit.fit(model, pictures, options=options, out=tmp_path / "run", progress=False)
    kept = Model.load(tmp_path / "run")
    assert kept.preprocessing == made, "training leaves mean and spread alone"
    assert kept.facts["weights"]["name"] == "imagenet"


# --- The part that is cut out ---------------------------------------------------------------


def test_crop_keeps_the_middle_share_of_the_shorter_side() -> None:
    rows = np.arange(80, dtype=np.uint8)[:, None] + np.zeros((1, 120), np.uint8)
    columns = np.zeros((80, 1), np.uint8) + np.arange(120, dtype=np.uint8)
    made = Preprocessing(40, 1, "crop", crop_frac=0.5)
    assert made.prepare(rows)[:, 0, 0].tolist() == list(range(20, 60))
    assert made.prepare(columns)[0, :, 0].tolist() == list(range(40, 80))
    assert Preprocessing(40, 1, "crop", crop_frac=0.5).prepare(rows[:40, :40])[[0, -1], 0, 0] == (
        pytest.approx([10, 29], abs=1)
    ), "also where the size fits already"
    assert Preprocessing(1, 1, "crop", crop_frac=0.01).prepare(rows).shape == (1, 1, 1)


def test_the_share_is_that_of_the_usual_resize_and_crop() -> None:
    """The shorter side to 256, then 224 of it: the same square as 0.875 of the shorter side."""
    picture = np.zeros((512, 700, 3), np.uint8)
    picture[32:480, 126:574] = 200  # 448 in the middle: 224 after halving
    made = Preprocessing(224, 3, "crop", crop_frac=224 / 256).prepare(picture)
    assert (made == 200).all()
    assert made.shape == (224, 224, 3)


def test_a_jpeg_is_not_shrunk_below_what_the_cut_needs(encode: Callable[..., bytes]) -> None:
    from PIL import Image

    def shrunk(crop_frac: float, side: int) -> int:
        from nunbit.data import preprocessing

        seen: list[int] = []
        real = preprocessing.decode
        data = encode(Image.new("RGB", (side, side)), "JPEG")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                preprocessing,
                "decode",
                lambda data, *, shrink: seen.append(shrink) or real(data, shrink=shrink),
            )
            Preprocessing(224, 3, "crop", crop_frac=crop_frac).prepare(data)
        return seen[0]

    assert [shrunk(1.0, side) for side in (447, 448, 511, 512)] == [1, 2, 2, 2]
    assert [shrunk(0.875, side) for side in (447, 448, 511, 512)] == [1, 1, 1, 2]
    assert Preprocessing(224, 3, "crop", crop_frac=224 / 232).needed_side == 232


def test_a_share_goes_through_a_file_and_older_files_have_none() -> None:
    made = Preprocessing(224, 3, "crop", crop_frac=0.875)
    assert Preprocessing.from_dict(made.to_dict()) == made
    whole = Preprocessing(224, 3, "crop").to_dict()
    assert "crop_frac" not in whole
    assert Preprocessing.from_dict(whole).crop_frac == 1.0


@pytest.mark.parametrize(("fit", "share"), [("crop", 0), ("crop", 1.1), ("squash", 0.9)])
def test_shares_that_cannot_be(fit: Any, share: float) -> None:
    with pytest.raises(OptionError, match=rf"`crop_frac` is {share} with fit `{fit}`, expected"):
        Preprocessing(8, 1, fit, crop_frac=share)


def test_pictures_cut_otherwise_do_not_share_a_cache(
    write_folder: Callable[..., Path],
) -> None:
    from nunbit.data.cache import Fingerprint
    from nunbit.data.sources.opening import open_source

    table = open_source(write_folder({"cat": 2, "dog": 2}))
    keys = {
        Fingerprint.of(table, Preprocessing(8, 1, "crop", crop_frac=share)).key
        for share in (1.0, 0.875, 0.5)
    }
    assert len(keys) == 3


def test_the_command_trains_from_weights_and_goes_on(
    published: PublishedWeights,
    write_folder: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, run = write_folder({"cat": 6, "dog": 6}, channels=3), tmp_path / "run"
    command = ["train", str(source), "--network", "resnet-18", "--weights", "imagenet"]
    command += ["--network-option", "width=4", "--precision", "float32", "--batch-size", "6"]
    assert cli([*command, "--epochs", "1", "--image-size", "64", "--out", str(run)]) == 0
    model = Model.load(run)
    assert model.facts["weights"]["file"] == published.file
    assert model.preprocessing.mean == (0.485, 0.456, 0.406)
    assert model.preprocessing.image_size == 64
    assert model.classes == ("cat", "dog")
    assert "--weights imagenet" in (run / "report.html").read_text("utf-8")
    capsys.readouterr()
    assert cli([*command[:4], "--weights", "imagnet"]) == 2
    assert "has no weights `imagnet`. Did you mean `imagenet`?" in capsys.readouterr().err


def test_a_run_from_weights_that_was_stopped_goes_on_without_their_file(
    published: PublishedWeights,
    write_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = write_folder({"cat": 6, "dog": 6}, channels=3)
    command = ["train", str(source), "--network", "resnet-18", "--weights", "imagenet"]
    command += ["--image-size", "64", "--epochs", "2", "--batch-size", "6", "--out"]
    assert cli([*command, str(tmp_path / "whole")]) == 0

    end_epoch = loop._end_epoch

    def stop(job: Any, progress: Any, interrupt: Any) -> None:
        end_epoch(job, progress, interrupt)
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_end_epoch", stop)
        assert cli([*command, str(tmp_path / "cut")]) == 130
    published.path.unlink()
    assert cli(["train", "--resume", str(tmp_path / "cut")]) == 0
    whole, cut = Model.load(tmp_path / "whole"), Model.load(tmp_path / "cut")
    assert whole.preprocessing == cut.preprocessing
    weights = cut.network.state_dict()
    assert all(weights[k].equal(v) for k, v in whole.network.state_dict().items())
    assert cut.facts["weights"] == whole.facts["weights"]


def test_weights_bring_the_size_of_pictures_to_the_command(
    published: PublishedWeights, write_folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_folder({"cat": 3, "dog": 3}, channels=3)
    command = ["train", str(source), "--network", "resnet-18", "--weights", "imagenet"]
    assert cli([*command, "--epochs", "1", "--validation", "0", "--out", str(tmp_path / "r")]) == 0
    assert Model.load(tmp_path / "r").preprocessing.image_size == 224


# --- Classes and heads ----------------------------------------------------------------------


def own_run(folder: Path, network: str = "cnn-mnist", **how: Any) -> Model:
    """Write a run's model file with every number moved; return the model as it is loaded."""
    model = create_model(network, **({"classes": ["a", "b"], "image_size": 12} | how))
    with torch.no_grad():
        for each in model.network.parameters():
            each.add_(torch.rand(each.shape, generator=torch.Generator().manual_seed(3)), alpha=0.1)
    model.save(folder / "model.safetensors")
    return Model.load(folder)


def some_pixels(channels: int = 1, side: int = 12) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_a_run_without_classes_is_the_run_itself(head: Any, tmp_path: Path) -> None:
    run = own_run(tmp_path, head=head)
    run.task = replace(run.task, titles={"ko": ("가", "나")})
    run.save(tmp_path / "model.safetensors")
    again = create_model("cnn-mnist", weights=tmp_path)
    assert again.task == run.task
    assert (again.outputs(some_pixels()) == run.outputs(some_pixels())).all()
    assert create_model("cnn-mnist", weights=tmp_path, classes=2).task == run.task
    other = "sigmoid" if head == "softmax" else "softmax"
    with pytest.raises(
        OptionError, match=rf"has the head `{head}`, asked for is `{other}`. Leave `head` out, or"
    ):
        create_model("cnn-mnist", weights=tmp_path, head=other)
    fresh = create_model("cnn-mnist", weights=tmp_path, classes=["a", "b"], head=other, seed=4)
    expected = create_model("cnn-mnist", classes=2, image_size=12, head=other, seed=4)
    assert fresh.network.head.weight.equal(expected.network.head.weight)
    assert fresh.network.dense.weight.equal(run.network.dense.weight)


def test_classes_in_another_order_keep_what_they_learned(tmp_path: Path) -> None:
    run = own_run(tmp_path, classes=["a", "b", "c"])
    run.task = replace(run.task, titles={"ko": ("가", "나", "다")})
    run.save(tmp_path / "model.safetensors")
    turned = create_model("cnn-mnist", weights=tmp_path, classes=["c", "a", "b"])
    assert (turned.outputs(some_pixels()) == run.outputs(some_pixels())[:, [2, 0, 1]]).all()
    assert turned.task.titles == {"ko": ("다", "가", "나")}


def test_two_classes_turned_round_under_one_output(tmp_path: Path) -> None:
    run = own_run(tmp_path, head="sigmoid")
    turned = create_model("cnn-mnist", weights=tmp_path, classes=["b", "a"])
    assert turned.task.head == "sigmoid"
    assert (turned.outputs(some_pixels()) == -run.outputs(some_pixels())).all()
    one, other = run.predict([some_pixels()[0]])[0], turned.predict([some_pixels()[0]])[0]
    assert (one.label, one.top) == (other.label, other.top)


def test_other_names_in_the_same_number_get_a_fresh_last_layer(
    published: PublishedWeights, tmp_path: Path
) -> None:
    own_run(tmp_path, classes=["a", "b", "c"])
    model = create_model("cnn-mnist", weights=tmp_path, classes=["a", "b", "d"], seed=2)
    fresh = create_model("cnn-mnist", classes=3, image_size=12, seed=2).network
    assert model.network.head.weight.equal(fresh.head.weight)
    assert model.network.head.bias.equal(fresh.head.bias)
    thousand = [f"own {k}" for k in range(1000)]
    large = create_model("resnet-18", weights="imagenet", classes=thousand, seed=2).network
    start = create_model(
        "resnet-18", classes=1000, image_size=224, network_options=TINY, seed=2
    ).network
    assert large.head.weight.equal(start.head.weight)
    kept = create_model("resnet-18", weights="imagenet", classes=imagenet_classes()[::-1])
    given = torch.load(published.path, weights_only=True)
    assert kept.network.head.weight.equal(given["head.weight"].flip(0))
    assert create_model("resnet-18", weights="imagenet", classes=1000).classes[0] == "tench"


def test_auxiliary_heads_are_put_in_order_too(tmp_path: Path) -> None:
    options = {"width": 0.125, "auxiliary": True}
    run = own_run(
        tmp_path,
        "googlenet-bn",
        image_size=32,
        classes=["a", "b", "c"],
        network_options=options,
    )
    turned = create_model("googlenet-bn", weights=tmp_path, classes=["b", "c", "a"])
    for path in ("head", "auxiliary1.head", "auxiliary2.head"):
        before, after = (each.network.get_submodule(path) for each in (run, turned))
        assert after.weight.equal(before.weight[[1, 2, 0]])
        assert after.bias.equal(before.bias[[1, 2, 0]])


# --- Another network's, or in other sizes ---------------------------------------------------


def test_a_published_file_of_another_network_says_whose_it_is(
    published: PublishedWeights, tmp_path: Path
) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(published.path.read_bytes())
    for network in ("resnet-50", "vgg-a", "mlp"):
        with pytest.raises(
            ModelFileError,
            match=rf"w.pth` has the weights of another network than `{network}`: they are those of "
            rf"`resnet-18`. Make that network, or give weights of `{network}`",
        ):
            create_model(network, weights=path, classes=2)


def test_a_run_of_another_network_says_whose_it_is(tmp_path: Path) -> None:
    own_run(tmp_path, "mlp", network_options={"width": 9})
    for network in ("alexnet", "resnet-18", "cnn-mnist"):
        with pytest.raises(ModelFileError, match=rf"than `{network}`: they are those of `mlp`"):
            create_model(network, weights=tmp_path)
    own_run(tmp_path, "lenet-5", image_size=32)
    with pytest.raises(ModelFileError, match=r"they are those of `lenet-5`"):
        create_model("mlp", weights=tmp_path, classes=2)


def test_weights_in_other_sizes_say_what_to_pass(tmp_path: Path) -> None:
    own_run(tmp_path, "mlp", network_options={"width": 9})
    words = r"the same layers as `mlp` as it was asked for, in other sizes: .*`hidden.weight` is 9×"
    with pytest.raises(ModelFileError, match=words + ".*Pass the options it was made with"):
        create_model("mlp", weights=tmp_path, image_size=20)
    with pytest.raises(ModelFileError, match=words):
        create_model("mlp", weights=tmp_path, network_options={"width": 8})
    own_run(tmp_path, "auto", image_size=32, network_options={"width": 4})
    with pytest.raises(ModelFileError, match=r"other layers than `auto` as it was asked for: .*Pa"):
        create_model("auto", weights=tmp_path, image_size=128)


def test_options_of_published_weights_are_taken_where_the_file_needs_them(tmp_path: Path) -> None:
    tiny = {"width": 0.125, "dense": 16}
    how = {"outputs": 3, "channels": 3}
    plain = create_network("alexnet-owt", image_size=95, options=tiny, **how)
    pooled = create_network("alexnet-owt", image_size=224, options=tiny | {"pool_to": 6}, **how)
    for name, network in (("plain", plain), ("pooled", pooled)):
        torch.save(network.state_dict(), tmp_path / f"{name}.pth")
    found = [
        create_model(
            "alexnet-owt",
            weights=tmp_path / f"{name}.pth",
            image_size=95,
            classes=3,
            network_options=tiny,
        ).network_options
        for name in ("plain", "pooled")
    ]
    assert found == [tiny, tiny | {"pool_to": 6}]


def test_a_truncated_published_file_is_not_what_its_name_says(
    published: PublishedWeights, tmp_path: Path
) -> None:
    path = tmp_path / published.file
    path.write_bytes(published.path.read_bytes()[:5000])
    with pytest.raises(ModelFileError, match=r"is not what its name says: .* It is truncated, dam"):
        create_model("resnet-18", weights=path)


# --- Normalisation of a run -----------------------------------------------------------------


def test_samplewise_normalisation_goes_with_the_weights(tmp_path: Path) -> None:
    run = own_run(tmp_path, classes=10, image_size=8)
    run.preprocessing = replace(
        run.preprocessing, mean=(0.25,), samplewise_center=True, samplewise_std_normalization=True
    )
    run.save(tmp_path / "model.safetensors")
    pictures = nunbit.load("digits")
    model = create_model_for(pictures, network="cnn-mnist", weights=tmp_path)
    made = model.preprocessing
    assert (made.samplewise_center, made.samplewise_std_normalization) == (True, True)
    assert made.mean == (0.25,)


def test_whitened_pictures_of_a_run(tmp_path: Path) -> None:
    run = own_run(tmp_path, image_size=8)
    run.whitening = torch.rand(64, 64)
    run.save(tmp_path / "model.safetensors")
    again = create_model("cnn-mnist", weights=tmp_path)
    pixels = some_pixels(side=8)
    assert again.whitening is not None
    assert (again.outputs(pixels) == run.outputs(pixels)).all()
    assert Model.load(again.save(tmp_path / "2.safetensors")).whitening is not None
    with pytest.raises(
        OptionError, match=r"were whitened \(ZCA\) at 8×8 with 1 channels, and the matrix fits no"
    ):
        create_model("cnn-mnist", weights=tmp_path, image_size=9)
    with pytest.raises(OptionError, match=r"model.safetensors` were trained on pictures that ZCA"):
        create_model_for(nunbit.load("digits"), network="cnn-mnist", weights=tmp_path)


# --- Values that cannot be ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"weights": 3}, r"`weights` is 3, expected a name such as `imagenet`, the path"),
        ({"weights": ""}, r"`weights` is '', expected a name .* nothing at all for fresh weights"),
        ({"image_size": "32"}, r"`image_size` is '32', expected a whole number"),
        ({"channels": 1.0, "image_size": True}, r"`image_size` is True, .*; `channels` is 1.0, ex"),
        ({"classes": 2.5}, r"classes takes a list of names or a number, got 2.5"),
    ],
)
def test_arguments_of_another_kind(how: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        create_model("mlp", **{"classes": 2, **how})


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessing": {"mean": "x"}},
        {"preprocessing": {"mean": [0.1, 0.2]}},
        {"preprocessing": {"std": [0.0]}},
        {"task": {"titles": [1]}},
        {"task": {"titles": {"ko": 3}}},
    ],
)
def test_a_run_whose_header_makes_no_sense(change: dict[str, Any], tmp_path: Path) -> None:
    run = own_run(tmp_path)
    header = json.loads(json.dumps(run.header()))
    for part, values in change.items():
        header[part].update(values)
    save_tensors(tmp_path / "model.safetensors", run.network.state_dict(), header, kind="model")
    with pytest.raises(ModelFileError, match=r"the header of `.*safetensors` cannot be understood"):
        create_model("cnn-mnist", weights=tmp_path)


def test_a_sigmoid_run_goes_on_learning_with_its_head(
    write_folder: Callable[..., Path], tmp_path: Path
) -> None:
    source = str(write_folder({"cat": 6, "dog": 6}))
    first = ["train", source, "--network", "mlp", "--head", "sigmoid", "--epochs", "1"]
    assert cli([*first, "--out", str(tmp_path / "a")]) == 0
    more = ["train", source, "--network", "mlp", "--weights", str(tmp_path / "a"), "--epochs", "1"]
    assert cli([*more, "--out", str(tmp_path / "b")]) == 0
    assert Model.load(tmp_path / "b").network.head.out_features == 1


def test_classes_in_another_order_are_not_renamed_under_weights(tmp_path: Path) -> None:
    made = create_model("mlp", classes=["cat", "dog"], image_size=8, channels=1)
    path = made.save(tmp_path / "m.safetensors")
    pixels, names = np.zeros((6, 8, 8), np.uint8), ["cat", "dog"] * 3
    pictures = nunbit.load((pixels, names), options=nunbit.DataOptions(check="off", validation=0.0))
    pictures = replace(pictures, table=replace(pictures.table, classes=("dog", "cat")))
    model = create_model("mlp", weights=path)
    with pytest.raises(OptionError, match=r"the weights are for cat, dog in this order, the pic"):
        nunbit.fit(model, pictures, epochs=1, out=tmp_path / "run", progress=False)
