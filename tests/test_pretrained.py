"""``create_model(weights=...)``: what weights bring along, from a file to answers and back."""

from __future__ import annotations

import hashlib
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
    assert grey.network.conv1.weight.equal(given.sum(1, keepdim=True))
    assert grey.preprocessing.mean == (pytest.approx(0.449),)
    assert grey.preprocessing.std == (pytest.approx(0.226),)


def test_what_is_asked_for_wins(published: PublishedWeights) -> None:
    model = create_model("resnet-18", weights="imagenet", fit="squash", image_size=96)
    assert (model.preprocessing.fit, model.preprocessing.crop_frac) == ("squash", 1.0)
    assert model.preprocessing.image_size == 96
    assert model.preprocessing.mean == (0.485, 0.456, 0.406)
    kept = create_model("resnet-18", weights="imagenet", fit="crop")
    assert kept.preprocessing.crop_frac == 0.875
    with pytest.raises(ModelFileError, match="weights of another network than `resnet-18`"):
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
    with pytest.raises(ModelFileError, match=r"another network than `mlp`: .* are strange to it"):
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

    def stop(job: Any, progress: Any) -> None:
        end_epoch(job, progress)
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
