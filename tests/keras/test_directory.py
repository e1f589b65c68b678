"""`flow_from_directory`: which files, which labels, which pixels."""

from __future__ import annotations

import contextlib
import os
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nunbit.errors import NunbitError, PictureError
from nunbit.keras import ImageDataGenerator
from nunbit.keras.reading import INTERPOLATIONS, Budget, PictureCache, PictureReader


def flow(folder, like=None, **how):
    return ImageDataGenerator(like=like).flow_from_directory(folder, **{"shuffle": False, **how})


def test_files_stand_in_keras_order(write_folder, encode_png, paint, capsys, like):
    file = encode_png(paint("x"))
    names = ["b/z.png", "b/10.png", "b/2.png", "b/B.png", "b/sub/1.png", "a/1.JPG", "b/a.tif"]
    folder = write_folder({**dict.fromkeys(names, file), "b/x.txt": b"", "top.png": file})
    (folder / ".hidden").mkdir()
    found = flow(folder, like)
    assert found.class_indices == {".hidden": 0, "a": 1, "b": 2}
    assert found.filenames == [
        *("a/1.JPG", "b/10.png", "b/2.png", "b/B.png", "b/a.tif", "b/z.png", "b/sub/1.png"),
    ]
    assert found.classes.tolist() == found.labels.tolist() == [1, 2, 2, 2, 2, 2, 2]
    assert found.classes.dtype == np.int32
    assert found.filepaths[0] == os.path.join(folder, "a/1.JPG")
    assert (found.samples, found.n, found.num_classes) == (7, 7, 3)
    assert found.image_shape == (256, 256, 3)
    assert capsys.readouterr().out == "Found 7 images belonging to 3 classes.\n"


def test_given_classes_decide_the_numbers(write_folder, like):
    found = flow(write_folder({"a": 2, "b": 1, "c": 1}), like, classes=["c", "a", "none"])
    assert found.class_indices == {"c": 0, "a": 1, "none": 2}
    assert found.filenames == ["c/0.png", "a/0.png", "a/1.png"]
    assert found.classes.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("categorical", [[1, 0], [1, 0], [0, 1]]),
        ("binary", [0, 0, 1]),
        ("sparse", [0, 0, 1]),
    ],
)
def test_labels(write_folder, mode, expected, like):
    folder = write_folder({"a": 2, "b": 1}, channels=3)
    x, y = next(flow(folder, like, class_mode=mode, target_size=(12, 10)))
    assert y.tolist() == expected
    assert y.dtype == x.dtype == np.float32
    assert x.shape == (3, 12, 10, 3)


def test_pixels_are_those_of_the_file(write_folder, paint, like):
    folder = write_folder({"a": 2}, channels=3)
    x = next(flow(folder, like, class_mode=None, target_size=(12, 10)))
    assert (x[1] == paint("a/1.png", channels=3)).all()
    first = ImageDataGenerator(data_format="channels_first", like=like)
    found = first.flow_from_directory(folder, (12, 10), class_mode=None, shuffle=False)
    assert found.image_shape == (3, 12, 10)
    assert (next(found) == np.moveaxis(x, -1, 1)).all()


def test_input_mode_gives_a_copy(write_folder):
    x, y = next(flow(write_folder({"a": 2}), class_mode="input"))
    assert (x == y).all()
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize(("split", "count"), [(0.25, 2), (0.4, 3), (0.5, 4), (0.9, 8)])
def test_split_takes_the_first_files_of_each_class(write_folder, split, count, like):
    folder = write_folder({"a": 9, "b": 3})
    generator = ImageDataGenerator(validation_split=split, like=like)
    parts = {
        subset: generator.flow_from_directory(folder, subset=subset).filenames
        for subset in ("validation", "training")
    }
    of_a = [f"a/{k}.png" for k in range(9)]
    assert [name for name in parts["validation"] if name[0] == "a"] == of_a[:count]
    assert [name for name in parts["training"] if name[0] == "a"] == of_a[count:]
    assert not set(parts["training"]) & set(parts["validation"])
    assert len(parts["training"]) + len(parts["validation"]) == 12


def test_without_a_split_validation_is_empty(write_folder, like):
    folder = write_folder({"a": 3})
    assert flow(folder, like, subset="validation").samples == 0
    assert flow(folder, like, subset="training").samples == 3
    x, y = next(flow(folder, like, subset="validation", target_size=(5, 5)))
    assert (x.shape, y.shape) == ((0, 5, 5, 3), (0, 1))


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ({"color_mode": "cmyk"}, ValueError, "`color_mode` is 'cmyk', expected one of rgb"),
        ({"class_mode": "raw"}, ValueError, "Invalid class_mode: 'raw'; expected one of"),
        ({"subset": "foo"}, ValueError, "Invalid subset name: 'foo'"),
        ({"interpolation": "bicubik"}, ValueError, "Did you mean `bicubic`"),
        ({"target_size": 128}, TypeError, r"`target_size` is 128.*\(256, 256\)"),
        ({"target_size": None}, TypeError, "`target_size` is None"),
    ],
)
def test_mistakes_are_told(write_folder, how, kind, text):
    with pytest.raises(kind, match=text) as caught:
        flow(write_folder({"a": 1}), **how)
    assert isinstance(caught.value, NunbitError)


def test_a_folder_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is no folder\. Expected a folder that has one"):
        flow(tmp_path / "none")


def test_links(write_folder, tmp_path, like):
    folder = write_folder({"a": 1, "b": 1})
    other = write_folder({"x": 2}, root="other")
    (folder / "a" / "more").symlink_to(other / "x")
    (folder / "a" / "loop").symlink_to(folder / "a")
    assert flow(folder, like).samples == 2
    assert flow(folder, like, follow_links=True).filenames == [
        *("a/0.png", "a/more/0.png", "a/more/1.png", "b/0.png")
    ]


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_picture_is_named(write_folder, content, like):
    folder = write_folder({"a/bad.png": content})
    with pytest.raises(PictureError, match=r"a/bad\.png`") as caught:
        next(flow(folder, like))
    assert isinstance(caught.value, OSError)  # as Pillow's UnidentifiedImageError is in Keras
    assert not isinstance(caught.value, FileNotFoundError)


def test_files_are_read_once(write_folder, monkeypatch):
    folder = write_folder({"a": 5})
    batches = flow(folder, target_size=(6, 6), batch_size=2, class_mode=None)
    first = [batches[k] for k in range(3)]
    for path in batches.filepaths:
        os.remove(path)
    for k in range(3):
        assert (batches[k] == first[k]).all()


def test_a_cache_keeps_to_its_budget():
    read = []

    def make(path):
        read.append(path)
        return np.zeros((10, 10, 1), np.uint8)

    cache = PictureCache(make, Budget(250))
    for _ in range(2):
        for name in "abc":
            cache.get(name)
    assert read == ["a", "b", "c", "c"]
    assert len(cache) == 2


def test_caches_share_one_budget_and_give_back_what_they_took():
    def make(path):
        return np.zeros((10, 10, 1), np.uint8)

    budget = Budget(250)
    first, second = PictureCache(make, budget), PictureCache(make, budget)
    first.get("a")
    for name in "ab":
        second.get(name)
    assert (len(first), len(second)) == (1, 1)
    del first
    for name in "abc":
        second.get(name)
    assert len(second) == 2


def test_all_iterators_share_a_third_of_the_memory(write_folder, monkeypatch):
    monkeypatch.setattr("nunbit.keras.reading._shared", Budget())
    monkeypatch.setattr("nunbit.keras.reading.default_budget_bytes", lambda: 3 * 6 * 6 * 3)
    folder = write_folder({"a": 2})
    iterators = [flow(folder, target_size=(6, 6), batch_size=2) for _ in range(2)]
    for batches in iterators:
        next(batches)
    assert [len(batches._cache) for batches in iterators] == [2, 1]
    del iterators[0], batches  # what nobody holds any more is gone at once
    again = flow(folder, target_size=(6, 6), batch_size=2)
    next(again)
    assert len(again._cache) == 2


def test_the_number_in_a_saved_name_is_drawn_after_the_pictures(write_folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    next(flow(write_folder({"a": 1}), seed=2, save_to_dir=str(out), save_prefix="p"))
    rng = np.random.RandomState(2)
    rng.random_sample(2)
    assert [path.name for path in out.iterdir()] == [f"p_0_{rng.randint(10_000_000)}.png"]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("mode", ["rgb", "grayscale"])
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    target=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    keep=st.booleans(),
)
def test_sizes_change_as_in_pillow(tmp_path_factory, interpolation, mode, size, target, keep):
    from PIL import Image

    pixels = np.random.default_rng(size[0]).integers(0, 256, (*size, 3), dtype=np.uint8)
    path = tmp_path_factory.getbasetemp() / f"size-{os.getpid()}.png"
    Image.fromarray(pixels).save(path, compress_level=0)
    ours = PictureReader(target, mode, interpolation, keep, keras_code=False).read(str(path))
    code = PictureReader(target, mode, interpolation, keep, keras_code=True).read(str(path))
    np.testing.assert_array_equal(ours, code)


def test_kept_aspects_are_cut_in_the_middle(tmp_path, like):
    from PIL import Image

    (tmp_path / "a").mkdir()
    Image.fromarray(np.arange(54, dtype=np.uint8).reshape(6, 9)).save(tmp_path / "a" / "0.png")
    how = {"target_size": (3, 3), "color_mode": "grayscale", "class_mode": None}
    squashed = next(flow(tmp_path, like, **how))[0, :, :, 0]
    assert squashed.tolist() == [[10, 13, 16], [28, 31, 34], [46, 49, 52]]
    kept = next(flow(tmp_path, like, **how, keep_aspect_ratio=True))[0, :, :, 0]
    assert kept.tolist() == [[11, 13, 15], [29, 31, 33], [47, 49, 51]]


@pytest.mark.parametrize("how", [{"interpolation": "bilinear"}, {"color_mode": "rgba"}])
def test_pillow_is_asked_for_by_name_where_it_is_missing(write_folder, monkeypatch, how):
    monkeypatch.setitem(sys.modules, "PIL", None)
    folder = write_folder({"a": 1})
    with pytest.raises(ImportError, match="pip install pillow") as caught:
        next(flow(folder, target_size=(5, 5), **how))
    assert isinstance(caught.value, NunbitError)
    assert next(flow(folder, target_size=(5, 5)))[0].shape == (1, 5, 5, 3)


def test_a_file_that_vanishes_is_named(write_folder, like):
    folder = write_folder({"a": 2})
    batches = flow(folder, like)
    (folder / "a" / "1.png").unlink()
    with pytest.raises(PictureError, match=r"a/1\.png`: .*No such file") as caught:
        next(batches)
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX only")
def test_names_that_are_no_utf_8(write_folder, encode_png, paint, like):
    folder = write_folder({"a": 0})
    name = os.path.join(os.fsencode(folder), b"a", b"\xff\xfe.png")
    os.makedirs(os.path.dirname(name))
    with open(name, "wb") as file:
        file.write(encode_png(paint("x")))
    x, _ = next(flow(folder, like, target_size=(12, 10), color_mode="grayscale"))
    assert (x[0, :, :, 0] == paint("x")).all()


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it finds
@given(content=st.binary(max_size=200), like=st.sampled_from([None, "keras-3"]))
def test_any_bytes_are_a_picture_or_a_picture_error(tmp_path_factory, content, like):
    path = tmp_path_factory.getbasetemp() / f"bytes-{os.getpid()}.png"
    reader = PictureReader((4, 4), "rgb", "nearest", False, keras_code=like == "keras-3")
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"P6 2 2 255\n"):
        path.write_bytes(start + content)
        with contextlib.suppress(PictureError):
            assert reader.read(str(path)).shape == (4, 4, 3)
