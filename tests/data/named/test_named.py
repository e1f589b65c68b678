"""The named sets: those that ship with us, and the readers of those that do not."""

from __future__ import annotations

import gzip
import hashlib
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nunbit.data.decode import decode
from nunbit.data.named import NAMED_SETS, open_named
from nunbit.data.named.idx import read_idx
from nunbit.data.named.shapes import CLASSES, draw_shape
from nunbit.data.options import DataOptions
from nunbit.data.pictures import load
from nunbit.data.pixels import decode_table
from nunbit.data.preprocessing import Preprocessing
from nunbit.errors import DataError

EncodePng = Callable[[NDArray[np.uint8]], bytes]
RealData = Callable[[str], Path]


def idx(values: NDArray[np.uint8]) -> bytes:
    return (
        struct.pack(">HBB", 0, 8, values.ndim)
        + struct.pack(f">{values.ndim}I", *values.shape)
        + values.tobytes()
    )


def write_idx_set(folder: Path, *, packed: bool = False, labels: int = 10) -> dict[str, NDArray]:
    """Write a tiny MNIST of 20 + 10 pictures; return its four arrays by file name."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part, count in (("train", 20), ("t10k", 10)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = (np.arange(count) % labels).astype(np.uint8)
    for name, values in arrays.items():
        data = idx(values)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return arrays


# --- Those that ship with us -----------------------------------------------------


def test_digits_are_the_scans_of_scikit_learn(no_data: Path) -> None:
    from sklearn.datasets import load_digits

    table = open_named("digits")
    bunch = load_digits()
    assert table.labels.tolist() == bunch.target.tolist()
    assert np.array_equal(
        np.stack([table.store.read(i) for i in range(50)]),
        np.floor(bunch.images[:50] * 255 / 16 + 0.5),
    )
    shares = [
        (table.of_split("test").labels == digit).sum() / (table.labels == digit).sum()
        for digit in range(10)
    ]
    assert all(0.2 <= share < 0.21 for share in shares), "every fifth of each class"


def test_shapes_are_functions_of_their_number() -> None:
    for kind in CLASSES:
        first = draw_shape(kind, 7, challenge=False)
        np.random.seed(0)  # global state must not matter
        assert np.array_equal(draw_shape(kind, 7, challenge=False), first)
        assert not np.array_equal(draw_shape(kind, 8, challenge=False), first)
        assert not np.array_equal(draw_shape(kind, 7, challenge=True), first)
    one, other = open_named("shapes"), open_named("shapes")
    assert all(np.array_equal(one.store.read(i), other.store.read(i)) for i in range(len(one)))


def test_shapes_are_pencil_on_paper_that_touch_no_border() -> None:
    table = open_named("shapes")
    for position in range(len(table)):
        picture = np.asarray(table.store.read(position))
        border = np.concatenate([picture[[0, -1]].ravel(), picture[:, [0, -1]].ravel()])
        assert border.min() >= 200, f"{table.store.name(position)} runs off the paper"
        assert (picture < 180).sum() >= 15, f"{table.store.name(position)} is empty"


def test_the_challenge_is_harder_than_the_training_pictures() -> None:
    """What was learnt from tidy shapes by nearest neighbour fails on the challenge."""
    table = open_named("shapes")
    train, test = table.of_split("train"), table.of_split("test")

    def pixels(part: object) -> NDArray[np.float64]:
        return np.stack([table.store.read(int(i)) for i in part.ids]).reshape(len(part), -1) / 255

    there, tidy = pixels(test), pixels(train)

    def accuracy(queries: NDArray, labels: NDArray, *, skip_self: bool) -> float:
        distances = ((queries[:, None] - tidy[None]) ** 2).sum(axis=2)
        if skip_self:
            np.fill_diagonal(distances, np.inf)
        return float((train.labels[distances.argmin(axis=1)] == labels).mean())

    assert accuracy(tidy, train.labels, skip_self=True) > 0.95
    assert accuracy(there, test.labels, skip_self=False) < 0.65


# --- IDX ---------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_sets_are_read(no_data: Path, name: str, *, packed: bool) -> None:
    arrays = write_idx_set(no_data / name, packed=packed)
    table = open_named(name)
    assert table.source == name
    assert table.image_size == 28
    for split, part in (("train", "train"), ("test", "t10k")):
        rows = table.of_split(split)
        assert rows.labels.tolist() == arrays[f"{part}-labels-idx1-ubyte"].tolist()
        for position, picture in zip(rows.ids, arrays[f"{part}-images-idx3-ubyte"], strict=True):
            assert np.array_equal(table.store.read(int(position)), picture)
    assert table.names[:2] + table.names[-1:] == ["train/00000", "train/00001", "test/00009"]
    titles = {"ko": NAMED_SETS[name].classes_ko} if name == "fashion-mnist" else {}
    assert table.titles == titles


def test_idx_files_with_a_dot_in_their_name_are_found(no_data: Path) -> None:
    write_idx_set(no_data / "mnist")
    for file in (no_data / "mnist").iterdir():
        file.rename(file.with_name(file.name.replace("-idx", ".idx")))
    assert len(open_named("mnist")) == 30


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no IDX file of bytes: it starts with , expected 00 00 08"),
        (b"\x89PNG....", "no IDX file of bytes: it starts with 89 50 4e 47, expected 00 00 08"),
        (b"\x00\x00\x0d\x03" + bytes(40), "no IDX file of bytes: it starts with 00 00 0d 03"),
        (idx(np.zeros((3, 2, 2), np.uint8))[:-1], r"27 bytes, its header \(3, 2, 2\) asks for 28"),
        (idx(np.zeros((3, 2, 2), np.uint8)) + b"x", "has 29 bytes, .* It is truncated or damaged"),
        (b"\x00\x00\x08\x03" + bytes(6), "has 10 bytes, .* It is truncated or damaged"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "asks for 79228162458924105385300197391"),
        (gzip.compress(idx(np.zeros((30, 2, 2), np.uint8)))[:-9], "is a damaged gzip file"),
        (b"\x1f\x8b" + b"\x00" * 20, "is a damaged gzip file"),
    ],
    ids=range(9),
)
def test_damaged_idx_files(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "file")
    with pytest.raises(DataError, match="missing` cannot be read: No such file"):
        read_idx(tmp_path / "missing")


def _put(name: str, values: NDArray[np.uint8]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(idx(values))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda folder: (folder / "train-labels-idx1-ubyte").unlink(),
            "has no `train-labels-idx1-ubyte` or `train-labels-idx1-ubyte.gz`. Put it there",
        ),
        (
            _put("train-labels-idx1-ubyte", np.zeros(19, np.uint8)),
            r"holds \(20, 28, 28\) and .* \(19,\); expected \(N, rows, columns\) and \(N,\)",
        ),
        (
            _put("t10k-labels-idx1-ubyte", np.zeros((10, 2), np.uint8)),
            r"holds \(10, 28, 28\) and .* \(10, 2\); expected",
        ),
        (
            _put("t10k-images-idx3-ubyte", np.zeros((10, 27, 28), np.uint8)),
            r"are \(28, 28\) to train on and \(27, 28\) to test on",
        ),
        (
            _put("train-labels-idx1-ubyte", np.full(20, 11, np.uint8)),
            "has labels up to 11, but `mnist` has 10 classes",
        ),
    ],
)
def test_idx_sets_that_do_not_fit_together(
    no_data: Path, harm: Callable[[Path], object], message: str
) -> None:
    write_idx_set(no_data / "mnist")
    harm(no_data / "mnist")
    with pytest.raises(DataError, match=message):
        open_named("mnist")


# --- CIFAR-10 and photographs ------------------------------------------------------


def write_cifar(folder: Path) -> list[tuple[int, NDArray[np.uint8]]]:
    """Write the six official files with two pictures each; return label and pixels."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    made = []
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        data = b""
        for _ in range(2):
            label, pixels = len(made) % 10, rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            data += bytes([label]) + pixels.transpose(2, 0, 1).tobytes()
            made.append((label, pixels))
        (folder / name).write_bytes(data)
    return made


@pytest.mark.parametrize("within", ["", "cifar-10-batches-bin"])
def test_the_official_files_of_cifar10(no_data: Path, within: str) -> None:
    made = write_cifar(no_data / "cifar10" / within)
    table = open_named("cifar10")
    assert table.split.tolist() == ["train"] * 10 + ["test"] * 2
    assert table.labels.tolist() == [label for label, _ in made]
    for position, (_, pixels) in enumerate(made):
        assert np.array_equal(table.store.read(position), pixels)


def test_damaged_files_of_cifar10(no_data: Path) -> None:
    folder = no_data / "cifar10"
    write_cifar(folder)
    whole = (folder / "data_batch_3.bin").read_bytes()
    (folder / "data_batch_3.bin").write_bytes(whole[:-1])
    with pytest.raises(DataError, match="has 6145 bytes, expected a multiple of 3073"):
        open_named("cifar10")
    (folder / "data_batch_3.bin").write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(DataError, match="has labels up to 10, expected 0 to 9"):
        open_named("cifar10")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"has no `data_batch_3.bin`. Put all six official files"):
        open_named("cifar10")


@pytest.mark.parametrize("top", ["", "cats-dogs/"])
@pytest.mark.parametrize("packed", [False, True])
def test_cats_and_dogs_from_a_folder_or_a_zip(
    no_data: Path,
    paint: Callable[..., NDArray[np.uint8]],
    encode_png: EncodePng,
    top: str,
    *,
    packed: bool,
) -> None:
    names = [
        f"{s}/{c}/{c}.{k}.png" for s in ("train", "test") for c in ("dog", "cat") for k in "01"
    ]
    files = {name: encode_png(paint(name)) for name in names}
    if packed:
        with zipfile.ZipFile(no_data / "cats-dogs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(f"{top}{name}", data)
            archive.writestr("__MACOSX/train/cat/._1.png", b"-")
    else:
        for name, data in files.items():
            path = no_data / "cats-dogs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    table = open_named("cats-dogs")
    assert table.classes == ("cat", "dog")
    assert sorted(table.names) == sorted(names)
    for name, label, split, position in zip(
        table.names, table.labels, table.split, table.ids, strict=True
    ):
        assert name.split("/")[:2] == [split, ("cat", "dog")[label]]
        data = table.store.read(int(position))
        assert isinstance(data, bytes)
        assert np.array_equal(decode(data), paint(name))


def test_a_zip_with_nothing_but_a_test_folder_is_no_training_data(
    no_data: Path, paint: Callable[..., NDArray[np.uint8]], encode_png: EncodePng
) -> None:
    with zipfile.ZipFile(no_data / "cats-dogs.zip", "w") as archive:
        for name in ("test/cat/1.png", "test/dog/1.png"):
            archive.writestr(name, encode_png(paint(name)))
    assert open_named("cats-dogs").split.tolist() == ["test", "test"]


def test_other_classes_under_a_known_name(no_data: Path) -> None:
    (no_data / "cats-dogs" / "lion").mkdir(parents=True)
    (no_data / "cats-dogs" / "lion" / "1.png").write_bytes(b"-")
    with pytest.raises(
        DataError, match=r"has the classes lion; the set `cats-dogs` has cat, dog. Point NUNBIT_DA"
    ):
        open_named("cats-dogs")


def test_a_zip_that_is_none(no_data: Path) -> None:
    (no_data / "cifar10.zip").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(DataError, match=r"cannot be read as a zip: .* Fetch it again"):
        open_named("cifar10")


@pytest.mark.parametrize("name", [n for n, s in NAMED_SETS.items() if not s.is_embedded])
def test_a_missing_set_says_where_it_was_looked_for(no_data: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        load(name)
    message = str(caught.value)
    assert message.startswith(f"the set `{name}` is not on this machine; looked in ")
    for place in (
        no_data / name,
        no_data / f"{name}.zip",
        no_data.parent / "no-system" / name,
        no_data.parent / "no-cache" / "datasets" / name,
    ):
        assert f"`{place}`" in message
    assert NAMED_SETS[name].files in message
    assert "set NUNBIT_DATA to the folder that holds" in message


def test_skipping_classes_of_a_named_set(no_data: Path) -> None:
    write_idx_set(no_data / "fashion-mnist")
    whole = open_named("fashion-mnist")
    part = open_named("fashion-mnist", skip_classes=["Coat", "Bag"])
    assert part.classes == tuple(c for c in whole.classes if c not in ("Coat", "Bag"))
    assert len(part.titles["ko"]) == 8
    assert "코트" not in part.titles["ko"]
    of_whole = dict(zip(whole.ids.tolist(), whole.labels.tolist(), strict=True))
    for position, label in zip(part.ids.tolist(), part.labels.tolist(), strict=True):
        assert part.classes[label] == whole.classes[of_whole[position]]
    assert part.notes == ("classes left out as asked: Bag, Coat",)
    with pytest.raises(DataError, match=r"has no such class. Did you mean `Coat`\?"):
        load("fashion-mnist", options=DataOptions(skip_class=("coat",)))


# --- The real pictures ----------------------------------------------------------------


@pytest.mark.data
def test_mnist_is_the_official_one(real_data: RealData) -> None:
    place = real_data("mnist")
    table = open_named("mnist")
    for split, file, start in (
        ("train", "train-images-idx3-ubyte", "ba891046"),
        ("test", "t10k-images-idx3-ubyte", "0fa7898d"),
    ):
        raw = gzip.decompress((place / f"{file}.gz").read_bytes())
        assert hashlib.sha256(raw).hexdigest().startswith(start)
        pixels = np.stack([table.store.read(int(i)) for i in table.of_split(split).ids])
        assert raw[16:] == pixels.tobytes()
    assert np.bincount(table.of_split("train").labels).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]


@pytest.mark.data
def test_fashion_mnist_speaks_korean(real_data: RealData) -> None:
    real_data("fashion-mnist")
    table = open_named("fashion-mnist")
    assert (len(table.of_split("train")), len(table.of_split("test"))) == (60_000, 10_000)
    assert np.bincount(table.labels).tolist() == [7_000] * 10
    course = ["티셔츠", "바지", "스웨터", "드레스", "코트", "샌달", "셔츠", "스니커즈", "가방"]
    assert list(table.titles["ko"]) == [*course, "앵클 부츠"]


@pytest.mark.data
def test_cats_and_dogs_can_all_be_read(real_data: RealData) -> None:
    real_data("cats-dogs")
    table = open_named("cats-dogs")
    for split in ("train", "test"):
        assert np.bincount(table.of_split(split).labels).tolist() == [1_000, 1_000]
    assert all(
        name.split("/")[1] == table.classes[label] and f"/{table.classes[label]}." in name
        for name, label in zip(table.names, table.labels, strict=True)
    )
    pixels, failed = decode_table(
        table.of_split("test"), Preprocessing(16, 3), threads=2, budget_bytes=1 << 30
    )
    assert failed == []
    spread = pixels.reshape(2_000, -1).std(axis=1)
    assert (spread > 2).mean() > 0.99, "pictures, not flat colour"


@pytest.mark.data
def test_cifar10_is_read_from_the_zip(real_data: RealData) -> None:
    assert real_data("cifar10").suffix == ".zip"
    table = open_named("cifar10")
    assert np.bincount(table.of_split("train").labels).tolist() == [5_000] * 10
    assert np.bincount(table.of_split("test").labels).tolist() == [1_000] * 10
    part = table.select(np.arange(0, 60_000, 400))
    pixels, failed = decode_table(part, Preprocessing(32, 3), threads=2, budget_bytes=1 << 30)
    assert failed == []
    with zipfile.ZipFile(real_data("cifar10")) as archive:
        for picture, name in zip(pixels, part.names, strict=True):
            assert np.array_equal(decode(archive.read(name)), picture)
