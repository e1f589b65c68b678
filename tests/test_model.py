"""The model and its file: what goes in comes out, and nothing else is ever taken for one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import nunbit
from nunbit.create import create_model, create_model_for
from nunbit.errors import ModelFileError, OptionError, PictureError, ShapeError
from nunbit.model import MODEL_FILE, Model, _scale
from nunbit.networks import replace_head
from nunbit.storage import HEADER_KEY, save_tensors
from nunbit.tasks import Classification

Paint = Callable[..., NDArray[np.uint8]]
CLASSES = ("cat", "dog", "고양이 / 개")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(network: str = "mlp", **how: Any) -> Model:
    return create_model(network, **({"classes": CLASSES, "image_size": 16, "channels": 1} | how))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change our part of a file's header, the rest stays as it is."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    outer = json.loads(raw[8 : 8 + length])
    header = json.loads(outer["__metadata__"][HEADER_KEY])
    change(header)
    outer["__metadata__"][HEADER_KEY] = json.dumps(header)
    text = json.dumps(outer).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


# --- What goes in comes out -----------------------------------------------------------


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("auto", {}),
        ("mlp", {"width": 9}),
        ("cnn-mnist", {"dropout": 0.1}),
        ("cnn-cats-dogs", {}),
        ("resnet-20", {"width": 4}),
        ("vgg-a-bn", {"width": 4, "dense": 8, "pool_to": 2}),
    ],
)
def test_a_saved_model_answers_with_the_same_bits(
    network: str, options: dict[str, Any], head: Any, tmp_path: Path, paint: Paint
) -> None:
    size = 32 if network == "vgg-a-bn" else 20
    model = create_model(
        network,
        classes=("a", "b"),
        image_size=size,
        channels=3,
        head=head,
        seed=4,
        network_options=options,
    )
    model.preprocessing = nunbit.data.preprocessing.Preprocessing(
        size, 3, "pad", (0.1, 0.2, 1 / 3), (0.3,) * 3
    )
    model.task = Classification(("a", "b"), head, {"ko": ("가", "나")})
    model.facts = {"scores": {"accuracy": 0.1 + 0.2}, "trained_on": {"images": 3}}
    with torch.no_grad():
        for each in model.network.state_dict().values():
            each.add_(0.1 * torch.rand(each.shape) if each.is_floating_point() else 3)
    again = Model.load(model.save(tmp_path / "m.safetensors"))
    pixels = np.stack([paint(str(k), size, size, 3) for k in range(300)])
    assert np.isfinite(model.outputs(pixels)).all()
    assert np.array_equal(again.outputs(pixels), model.outputs(pixels))
    assert again.header() == model.header()
    assert again.task == model.task
    assert again.preprocessing == model.preprocessing
    assert again.predict(list(pixels[:5])) == model.predict(list(pixels[:5]))
    again.save(tmp_path / "n.safetensors")
    assert (tmp_path / "n.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


def test_a_run_folder_stands_for_its_model_file(tmp_path: Path, paint: Paint) -> None:
    model = small()
    model.save(tmp_path / MODEL_FILE)
    picture = paint("p", 30, 20)
    assert Model.load(tmp_path).predict([picture]) == model.predict([picture])
    assert Model.load(str(tmp_path / MODEL_FILE)).classes == CLASSES


def test_a_path_a_file_and_its_pixels_get_the_same_answer(
    tmp_path: Path, paint: Paint, encode_png: Callable[[NDArray[np.uint8]], bytes]
) -> None:
    model = small(channels=3, fit="crop")
    picture = paint("p", 31, 44, 3)
    path = tmp_path / "p.png"
    path.write_bytes(encode_png(picture))
    answers = model.predict([path, str(path), picture])
    assert answers[0] == answers[1] == answers[2]
    assert answers[0].probability == answers[0].top[0][1]
    assert sum(p for _, p in answers[0].top) == pytest.approx(1)
    assert [len(each.top) for each in model.predict([picture], top=2)] == [2]
    assert model.predict([]) == []


def test_outputs_are_the_network_on_normalised_pixels(paint: Paint) -> None:
    model = small("auto")
    model.preprocessing = nunbit.data.preprocessing.Preprocessing(16, 1, mean=(0.3,), std=(0.2,))
    model.network.train()
    pixels = np.stack([paint(str(k), 16, 16)[:, :, None] for k in range(300)])
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255 - 0.3) / 0.2
    outputs = model.outputs(pixels)
    assert model.network.training, "left as it was"
    with torch.no_grad():
        slow = model.network.eval()(images.float())
    assert outputs == pytest.approx(slow.numpy(), abs=1e-4)
    parts = (pixels[start : start + 77] for start in range(0, 300, 77))
    assert model.outputs(parts) == pytest.approx(outputs, abs=1e-5)
    assert outputs.dtype == np.float32
    assert model.outputs(pixels[:0]).shape == (0, 3)


def test_normalised_pixels_by_hand() -> None:
    model = small(channels=3)
    model.preprocessing = nunbit.data.preprocessing.Preprocessing(
        16, 3, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25)
    )
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 3, 1, 1)
    expected = [[0, -1, -4], [1, 1, 0], [0.2, -0.6, -3.2]]
    assert model.normalise(images)[:, :, 0, 0].numpy() == pytest.approx(
        np.array(expected), abs=1e-6
    )


def test_an_old_file_stays_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small(seed=1).save(tmp_path / "m.safetensors")
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nunbit.storage.os.fsync", full)
    with pytest.raises(nunbit.StorageError, match=r"disk full: .* is untouched"):
        small(seed=2).save(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["m.safetensors"]
    assert Model.load(path).classes == CLASSES


# --- Making one -------------------------------------------------------------------------


def test_classes_are_names_or_a_number() -> None:
    assert create_model("mlp", classes=3).classes == ("0", "1", "2")
    assert create_model("mlp", classes=["b", "a"]).classes == ("b", "a")
    chosen = create_model("auto", classes=2).preprocessing
    assert (chosen.image_size, chosen.channels) == (128, 3)
    assert create_model("mlp", classes=10).parameters == 407_050


def test_the_seed_decides_the_weights(paint: Paint) -> None:
    pixels = paint("p", 16, 16)[None, :, :, None]
    assert np.array_equal(small(seed=1).outputs(pixels), small(seed=1).outputs(pixels))
    assert not np.array_equal(small(seed=1).outputs(pixels), small(seed=2).outputs(pixels))


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"network": "mpl"}, OptionError, r"unknown network `mpl`. Did you mean `mlp`\?"),
        ({"classes": 1}, OptionError, "at least 2 classes, got 1"),
        ({"classes": "cat"}, OptionError, "takes a list of names or a number, got 'cat'"),
        ({"classes": ["a", "a"]}, OptionError, "class names must differ; given twice: a"),
        ({"image_size": 0}, OptionError, "`image_size` is 0, expected at least 1"),
        ({"channels": 0}, OptionError, "`channels` is 0, expected 1 .* or 3"),
        ({"fit": "cut"}, OptionError, "`fit` is 'cut', expected one of crop, pad, squash"),
        ({"head": "sigmoid"}, OptionError, "separates 2 classes, got 3"),
        ({"network": "cnn-cats-dogs", "image_size": 15}, ShapeError, "at least 16×16 pixels"),
    ],
)
def test_models_that_cannot_be(how: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        small(**how)


def test_a_model_for_given_pictures() -> None:
    pictures = nunbit.load("shapes")
    model = create_model_for(pictures, network="mlp")
    assert model.classes == pictures.classes
    assert model.preprocessing == pictures.preprocessing
    assert isinstance(model.task, Classification)
    assert model.task.titles == {"ko": ("원", "사각형", "삼각형")}


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path, truncated_png: bytes) -> None:
    model = small()
    (tmp_path / "bad.png").write_bytes(truncated_png)
    with pytest.raises(PictureError, match=r"bad.png` cannot be read: damaged or truncated\.$"):
        model.predict([tmp_path / "bad.png"])
    with pytest.raises(PictureError, match=r"`none.png` cannot be read: No such file or dir\w+\.$"):
        model.predict(["none.png"])
    with pytest.raises(PictureError, match=r"^picture 1 cannot be read: pixels are float64 \(4, 4"):
        model.predict([np.zeros((4, 4), np.uint8), np.zeros((4, 4))])
    for lone in ("one.png", Path("one.png")):
        with pytest.raises(OptionError, match=r"takes a list of pictures, got .*one.png.*: write"):
            model.predict(lone)
    with pytest.raises(OptionError, match="`top` is 0, expected at least 1"):
        model.predict([np.zeros((4, 4), np.uint8)], top=0)


def test_the_summary_adds_up() -> None:
    lines = create_model("cnn-mnist", classes=10).summary().splitlines()
    assert lines[0] == "cnn-mnist: 1×28×28 → 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert lines[2].split() == ["body.0", "conv", "3×3", "32×26×26", "320", "194,688"]
    assert lines[-1].split() == ["total", "1,199,882", "11,992,448"]
    parameters = [int(line.split()[-2].replace(",", "")) for line in lines[2:-1]]
    assert sum(parameters) == 1_199_882


# --- Files that are no model --------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return small(image_size=4, classes=("a", "b")).save(tmp_path / "m.safetensors")


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.03, 0.3, 0.6, 0.99, 0.99999])
def test_a_truncated_file(saved: Path, share: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        ModelFileError, match=r"m.safetensors` is truncated: it has .* Copy it agai"
    ):
        Model.load(saved)


def test_a_file_with_more_behind_it(saved: Path) -> None:
    with open(saved, "ab") as file:
        file.write(b"more")
    with pytest.raises(ModelFileError, match=r"m.safetensors` is damaged: "):
        Model.load(saved)


def test_a_checkpoint_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_tensors(path, small().network.state_dict(), small().header(), kind="checkpoint")
    with pytest.raises(ModelFileError, match=r"is a checkpoint file, expected a model file"):
        Model.load(path)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=rf"model file `{tmp_path}/{MODEL_FILE}` cannot be re"):
        Model.load(tmp_path)


def test_a_picture_is_no_model(tmp_path: Path, paint: Paint, encode_png: Any) -> None:
    (tmp_path / "p.png").write_bytes(encode_png(paint("p")))
    with pytest.raises(ModelFileError, match=r"is not a model file of Nunbit"):
        Model.load(tmp_path / "p.png")


def test_a_torch_file_is_not_opened(tmp_path: Path) -> None:
    """It could run code; we only look at its first bytes."""

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "exploded").write_text, ("x",))

    torch.save({"weights": torch.zeros(3), "bomb": Bomb()}, tmp_path / "m.pt")
    with pytest.raises(ModelFileError, match=r"is not a model file of Nunbit"):
        Model.load(tmp_path / "m.pt")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(network="resnet-999"), "unknown network `resnet-999`"),
        (lambda h: h.update(network=["mlp"]), "cannot be understood"),
        (lambda h: h.pop("network"), r"cannot be understood \('network'\). It was written by Nunb"),
        (lambda h: h.update(network_options={"widht": 3}), "no option `widht`.* mean `width`"),
        (lambda h: h.update(network_options={"width": "x"}), "cannot be understood"),
        (lambda h: h.update(network_options={"width": -1}), "cannot be understood"),
        (lambda h: h.update(network_options=[1]), "cannot be understood"),
        (lambda h: h.update(preprocessing=None), "cannot be understood"),
        (lambda h: h["preprocessing"].update(fit="bend"), "`fit` is 'bend'"),
        (lambda h: h["preprocessing"].update(channels=2), "`channels` is 2"),
        (lambda h: h["preprocessing"].update(image_size="large"), "cannot be understood"),
        (lambda h: h["preprocessing"].update(image_size=10**8), "cannot be understood"),
        (lambda h: h.update(task={}), "the task None; this Nunbit knows classification"),
        (lambda h: h.update(task=[]), "cannot be understood"),
        (lambda h: h["task"].update(name="segmentation"), "the task 'segmentation'; this Nunbit"),
        (lambda h: h["task"].update(classes=["a"]), "at least 2 classes"),
        (lambda h: h["task"].update(classes=7), "cannot be understood"),
        (lambda h: h["task"].update(titles=[1]), "cannot be understood"),
        (lambda h: h.update(facts=[1, 2]), "cannot be understood"),
    ],
)
def test_a_header_that_says_something_else(
    saved: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(saved, change)
    with pytest.raises(ModelFileError, match=message):
        Model.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(network="cnn-mnist") or h["preprocessing"].update(image_size=8),
        lambda h: h["preprocessing"].update(image_size=5),
        lambda h: h["task"].update(classes=["a", "b", "c"]),
        lambda h: h.update(network_options={"width": 7}),
    ],
)
def test_weights_of_another_network(
    saved: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(saved, change)
    with pytest.raises(
        ModelFileError, match=r"the weights of `.*` do not fit the network `[\w-]+`"
    ):
        Model.load(saved)


def test_a_newer_model(saved: Path) -> None:
    edit(saved, lambda h: h.update(format=99, nunbit="7.0.0"))
    with pytest.raises(
        ModelFileError, match=r"has format 99 \(written by Nunbit 7.0.0\); this Nun"
    ):
        Model.load(saved)


@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=3)), min_size=1, max_size=3
    ),
    in_head=st.booleans(),
    end=st.one_of(st.none(), st.floats(0, 1)),
)
def test_any_change_of_a_file_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[float, bytes]],
    end: float | None,
    *,
    in_head: bool,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = folder / "fuzz-whole.safetensors"
    if not whole.exists():
        small(image_size=4, classes=("a", "b")).save(whole)
    path = folder / "fuzz.safetensors"
    shutil.copy(whole, path)
    raw = bytearray(path.read_bytes())
    reach = int.from_bytes(raw[:8], "little") if in_head else len(raw) - 4
    for share, new in changes:
        start = int(share * reach)
        raw[start : start + len(new)] = new
    path.write_bytes(raw if end is None else raw[: int(end * len(raw))])
    try:
        model = Model.load(path)
    except ModelFileError as error:
        assert "fuzz.safetensors" in str(error) or "task" in str(error)  # noqa: PT017  # all raised errors are looked at
    else:
        assert len(model.predict([np.zeros((4, 4), np.uint8)])) == 1


# --- Last layers ----------------------------------------------------------------------------


def test_a_new_last_layer_depends_on_its_seed_alone() -> None:
    def layer(seed: int) -> torch.Tensor:
        network = small().network
        replace_head(network, 5, seed=seed)
        return network.head.weight.detach()

    before = torch.get_rng_state()
    one = layer(1)
    assert torch.get_rng_state().equal(before), "the global randomness is as it was"
    torch.manual_seed(99)
    assert layer(1).equal(one)
    assert not layer(2).equal(one)


@pytest.mark.parametrize("outputs", [0, -1, 2.0, "3", True])
def test_last_layers_that_cannot_be(outputs: Any) -> None:
    with pytest.raises(OptionError, match=rf"has at least 1 output, got {outputs!r}\."):
        replace_head(small().network, outputs)


def test_a_network_that_ends_otherwise_than_its_task_is_not_saved(tmp_path: Path) -> None:
    model = small()
    replace_head(model.network, 7)
    with pytest.raises(
        OptionError,
        match=rf"layer `head` of `mlp` has 7 outputs, and the task wants {len(CLASSES)} \(.*"
        r"`model.task = Classification\(...\)`",
    ):
        model.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())
    model.task = Classification(tuple("abcdefg"))
    assert Model.load(model.save(tmp_path / "m.safetensors")).classes == tuple("abcdefg")


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("innermost", [False, True])
def test_scaling_by_lines_has_the_bits_of_the_plain_formula(channels: int, innermost: bool) -> None:
    rng = np.random.default_rng(channels)
    mean, std = (tuple(rng.uniform(0.1, 0.9, channels).tolist()) for _ in range(2))
    shape = (5, 12, 17, channels) if innermost else (5, channels, 12, 17)
    images = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
    if innermost:
        images = images.permute(0, 3, 1, 2)
    shift, spread = (255 * torch.tensor(each).view(1, -1, 1, 1) for each in (mean, std))
    with torch.inference_mode():
        first = _scale(images, mean, std)
    found = _scale(images, mean, std)
    assert torch.equal(found, (images.float() - shift) / spread)
    assert torch.equal(found, first)
    assert found.stride() == images.stride()
    assert not found.is_inference()
