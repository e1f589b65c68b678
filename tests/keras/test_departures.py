"""Where Keras' code departs from its documentation: what is done by default, and like it.

The page `docs/keras.md` names one of these tests for each line of its table.
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
from scipy import ndimage

from nunbit.errors import NunbitError
from nunbit.keras import ImageDataGenerator


def place(picture):
    row, column, _ = np.unravel_index(picture.argmax(), picture.shape)
    return row - picture.shape[0] // 2, column - picture.shape[1] // 2


@pytest.mark.parametrize(
    ("option", "like", "axis"),
    [
        ("height_shift_range", None, 0),
        ("width_shift_range", None, 1),
        ("height_shift_range", "keras-3", 1),
        ("width_shift_range", "keras-3", 0),
    ],
)
def test_shift_axes(dot, option, like, axis):
    generator = ImageDataGenerator(**{option: [-2, 2]}, like=like)
    places = [place(generator.random_transform(dot(), seed=seed)) for seed in range(20)]
    assert {each[axis] for each in places} == {-2, 2}
    assert {each[1 - axis] for each in places} == {0}


def test_shift_direction(dot):
    assert place(ImageDataGenerator().apply_transform(dot(), {"tx": 2})) == (-2, 0)
    assert place(ImageDataGenerator().apply_transform(dot(), {"ty": 2})) == (0, -2)
    assert place(ImageDataGenerator(like="keras-3").apply_transform(dot(), {"tx": 2})) == (0, -2)


def test_centre_of_oblong_pictures(noise):
    picture = noise(4, 8, 1).astype(np.float32)
    turned = ImageDataGenerator().apply_transform(picture, {"theta": 180})
    np.testing.assert_allclose(turned, picture[::-1, ::-1], atol=1e-3)
    code = ImageDataGenerator(like="keras-3").apply_transform(picture, {"theta": 180})
    # About (row 3.5, column 1.5): everything right of column 3 is what lies beyond the border.
    np.testing.assert_allclose(code[3, :4, 0], picture[3, 3::-1, 0], atol=1e-3)
    assert np.ptp(code[:, 4:], axis=1).max() < 1e-3


def test_wrap_period():
    row = np.array([1, 2, 3, 4], np.float32).reshape(1, 4, 1)
    by_two = ImageDataGenerator(fill_mode="wrap").apply_transform(row, {"ty": 2})
    assert by_two.ravel().tolist() == [3, 4, 1, 2]
    square = np.repeat(row, 4, axis=0)
    code = ImageDataGenerator(fill_mode="wrap", like="keras-3").apply_transform(square, {"tx": 2})
    assert code[0].ravel().tolist() == [3, 4, 2, 3]


def test_constant_edge():
    row = np.array([4, 8, 8, 4], np.float32).reshape(1, 4, 1)
    half = ImageDataGenerator(fill_mode="constant").apply_transform(row, {"ty": -0.5})
    assert half.ravel().tolist() == [2, 6, 8, 6]
    square = np.repeat(row, 4, axis=0)
    how = {"fill_mode": "constant", "like": "keras-3"}
    code = ImageDataGenerator(**how).apply_transform(square, {"tx": -0.5})
    assert code[0].ravel().tolist() == [0, 6, 8, 6]


def test_constant_loses_an_edge_at_half_a_turn():
    ones = np.ones((32, 32, 1), np.float32)
    assert (
        ImageDataGenerator(fill_mode="constant").apply_transform(ones, {"theta": 180}) > 0.999
    ).all()
    code = ImageDataGenerator(fill_mode="constant", like="keras-3")
    assert 32 <= (code.apply_transform(ones, {"theta": 180}) == 0).sum() <= 34


def test_brightness_of_pictures_from_0_to_1():
    picture = np.array([0.0, 0.2, 0.8], np.float32).reshape(1, 3, 1)
    bright = ImageDataGenerator().apply_transform(picture, {"brightness": 1.5})
    np.testing.assert_allclose(bright.ravel(), [0, 0.3, 1.0], rtol=1e-6)
    code = ImageDataGenerator(like="keras-3").apply_transform(picture, {"brightness": 1.5})
    assert (code == 0).all()


def test_brightness_of_a_set_from_0_to_1_is_decided_once():
    pictures = np.zeros((2, 1, 2, 1), np.float32)
    pictures[0], pictures[1] = 0.4, 200
    batches = ImageDataGenerator(brightness_range=(4, 4)).flow(pictures, shuffle=False)
    assert next(batches)[:, 0, 0, 0].tolist() == [pytest.approx(1.6), 255]
    pictures[0], pictures[1] = 0.4, -0.5  # no pixel is above 1
    batches = ImageDataGenerator(brightness_range=(4, 4)).flow(pictures, shuffle=False)
    assert next(batches)[0, 0, 0, 0] == 1


def test_brightness_whole_numbers():
    picture = np.full((1, 1, 1), 101, np.float32)
    assert ImageDataGenerator().apply_transform(picture, {"brightness": 0.5}).item() == 50.5
    code = ImageDataGenerator(like="keras-3").apply_transform(picture, {"brightness": 0.5})
    assert code.item() == 50


def test_brightness_channels_first(noise):
    picture = noise(3, 6, 5).astype(np.float32)
    how = {"data_format": "channels_first"}
    bright = ImageDataGenerator(**how).apply_transform(picture, {"brightness": 0.5})
    np.testing.assert_allclose(bright, picture / 2)
    with pytest.raises(ValueError, match="Unsupported channel number: 5") as caught:
        ImageDataGenerator(**how, like="keras-3").apply_transform(picture, {"brightness": 0.5})
    assert isinstance(caught.value, NunbitError)


def test_brightness_keeps_alpha(noise, like):
    picture = noise(4, 4, 4).astype(np.float32)
    dark = ImageDataGenerator(like=like).apply_transform(picture, {"brightness": 0.25})
    assert (dark[:, :, 3] == picture[:, :, 3]).all()
    np.testing.assert_allclose(dark[:, :, :3], picture[:, :, :3] / 4, atol=1)


@pytest.mark.parametrize(("like", "moved"), [(None, False), ("keras-3", True)])
def test_validation_is_not_moved(noise, write_folder, like, moved):
    pictures = noise(10, 8, 8, 3).astype(np.float32)
    how = {"rotation_range": 90, "validation_split": 0.5, "rescale": 0.5, "like": like}
    generator = ImageDataGenerator(**how)
    ours = next(generator.flow(pictures, subset="validation", shuffle=False, seed=1))
    assert (np.abs(ours - pictures[:5] / 2).max() > 1) == moved
    training = next(generator.flow(pictures, subset="training", shuffle=False, seed=1))
    assert np.abs(training - pictures[5:] / 2).max() > 1
    folder = write_folder({"cat": 4}, channels=3)
    calm = ImageDataGenerator(rescale=0.5, validation_split=0.5)
    seen = [
        next(each.flow_from_directory(folder, (12, 10), subset="validation", shuffle=False))[0]
        for each in (generator, calm)
    ]
    assert (np.abs(seen[0] - seen[1]).max() > 1) == moved


@pytest.mark.parametrize(("like", "weights"), [(None, [4, 5, 6, 7]), ("keras-3", [0, 1, 2, 3])])
def test_sample_weights_of_a_subset(like, weights):
    generator = ImageDataGenerator(validation_split=0.5, like=like)
    labels = np.arange(8) % 2
    batches = generator.flow(
        np.zeros((8, 1, 1, 1)),
        labels,
        sample_weight=np.arange(8),
        subset="training",
        shuffle=False,
    )
    assert next(batches)[2].tolist() == weights


def test_samplewise_of_a_batch():
    batch = np.stack([np.full((2, 2, 1), 10.0), np.full((2, 2, 1), 30.0)])
    ours = ImageDataGenerator(samplewise_center=True).standardize(batch.copy())
    assert ours.mean(axis=(1, 2, 3)).tolist() == [0, 0]
    code = ImageDataGenerator(samplewise_center=True, like="keras-3").standardize(batch.copy())
    assert code.mean(axis=(1, 2, 3)).tolist() == [-10, 10]


def test_batches_are_centred_picture_by_picture_in_both(noise, like):
    generator = ImageDataGenerator(samplewise_center=True, like=like)
    batch = next(generator.flow(noise(5, 4, 4, 3)))
    np.testing.assert_allclose(batch.mean(axis=(1, 2, 3)), 0, atol=1e-4)


def test_standardize_of_whole_numbers():
    picture = np.full((2, 2, 1), 10, np.uint8)
    assert (ImageDataGenerator(rescale=0.5).standardize(picture) == 5).all()
    assert (picture == 10).all()
    with pytest.raises(TypeError, match="Cannot cast"):
        ImageDataGenerator(rescale=0.5, like="keras-3").standardize(picture)


@pytest.mark.parametrize(("like", "touched"), [(None, False), ("keras-3", True)])
def test_global_numbers(noise, global_state, like, touched):
    generator = ImageDataGenerator(rotation_range=9, like=like)
    actions = (
        lambda: next(generator.flow(noise(4, 4, 4, 1), seed=1)),
        lambda: generator.flow(noise(4, 4, 4, 1), seed=1)[0],
        lambda: generator.get_random_transform((4, 4, 1), seed=1),
        lambda: generator.fit(noise(4, 4, 4, 1), augment=True, seed=1),
    )
    for action in actions:
        np.random.seed(99)
        before = global_state()
        action()
        assert (global_state() != before) == touched


def test_without_a_seed_numbers_come_from_numpy(like, numbered):
    np.random.seed(5)
    first = next(numbered(like=like)).ravel()
    np.random.seed(5)
    assert first.tolist() == next(numbered(like=like)).ravel().tolist()
    assert first.tolist() == np.random.RandomState(5).permutation(10).tolist()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_fit_adds_up_in_64_bits(data_format):
    axis = 3 if data_format == "channels_last" else 1
    shape = [300, 200, 200, 3] if axis == 3 else [300, 3, 200, 200]
    pictures = np.full(shape, 177, np.float32)
    pictures[::2] += 10
    how = {"featurewise_center": True, "featurewise_std_normalization": True}
    ours = ImageDataGenerator(**how, data_format=data_format)
    ours.fit(pictures)
    np.testing.assert_allclose(ours.mean.ravel(), 182, atol=1e-3)
    np.testing.assert_allclose(ours.std.ravel(), 5, atol=1e-3)
    assert ours.mean.dtype == ours.std.dtype == np.float32
    if axis == 3:  # where NumPy adds 12 million numbers one by one to the same three sums
        code = ImageDataGenerator(**how, like="keras-3")
        code.fit(pictures)
        np.testing.assert_array_equal(code.mean, pictures.mean((0, 1, 2), keepdims=True)[0])
        assert abs(code.mean - 182).min() > 1


def test_fit_moves_before_it_rescales():
    pictures = np.full((1, 2, 2, 1), 255, np.float32)
    how = {"featurewise_center": True, "rescale": 1 / 255, "brightness_range": (0.5, 0.5)}
    ours = ImageDataGenerator(**how)
    ours.fit(pictures, augment=True)
    assert ours.mean.item() == pytest.approx(0.5)
    code = ImageDataGenerator(**how, like="keras-3")
    code.fit(pictures, augment=True)
    assert code.mean.item() == 0  # 1.0 becomes 1, and half of it 0


def test_camera_orientation(tmp_path, noise, encode):
    from PIL import Image

    image = Image.fromarray(noise(6, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "0.jpg").write_bytes(encode(image, "jpeg", exif=exif, quality=95))
    (tmp_path / "cat" / "1.jpg").write_bytes(encode(image, "jpeg", quality=95))
    for like, turned in ((None, True), ("keras-3", False)):
        for mode in ("rgb", "rgba", "grayscale"):
            flow = ImageDataGenerator(like=like).flow_from_directory
            x, _ = next(flow(tmp_path, (6, 6), color_mode=mode, shuffle=False))
            expected = np.rot90(x[1], -1) if turned else x[1]
            np.testing.assert_allclose(x[0], expected, atol=1)


def test_transparency(tmp_path, encode):
    from PIL import Image

    (tmp_path / "cat").mkdir()
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    (tmp_path / "cat" / "0.png").write_bytes(encode(image, "png"))
    ours, _ = next(ImageDataGenerator().flow_from_directory(tmp_path, (4, 4)))
    assert (ours == 255).all()
    code, _ = next(ImageDataGenerator(like="keras-3").flow_from_directory(tmp_path, (4, 4)))
    assert code[0, 0, 0].tolist() == [10, 20, 30]
    for like in (None, "keras-3"):
        flow = ImageDataGenerator(like=like).flow_from_directory
        x, _ = next(flow(tmp_path, (4, 4), color_mode="rgba"))
        assert x[0, 0, 0].tolist() == [10, 20, 30, 0]


def test_deep_grey(tmp_path):
    (tmp_path / "cat").mkdir()
    deep = np.array([[0, 257 * 100], [257 * 200, 65_535]], np.uint16)
    (tmp_path / "cat" / "0.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    how = {"target_size": (2, 2), "color_mode": "grayscale"}
    ours, _ = next(ImageDataGenerator().flow_from_directory(tmp_path, **how))
    assert ours[0, :, :, 0].tolist() == [[0, 100], [200, 255]]
    code, _ = next(ImageDataGenerator(like="keras-3").flow_from_directory(tmp_path, **how))
    assert code[0, :, :, 0].tolist() == deep.tolist()


def test_endings_need_a_dot(write_folder, encode_png, paint, like):
    file = encode_png(paint("x"))
    folder = write_folder(
        {"cat/notadotpng": file, "cat/a.PNG": file, "cat/b.gif": b"", "top.png": file}
    )
    found = ImageDataGenerator(like=like).flow_from_directory(folder).filenames
    assert found == (["cat/a.PNG", "cat/notadotpng"] if like else ["cat/a.PNG"])
    table = {"filename": ["cat/notadotpng", "cat/a.PNG"], "class": ["cat", "cat"]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = ImageDataGenerator(like=like).flow_from_dataframe(table, folder)
    assert rows.filenames == (["cat/notadotpng", "cat/a.PNG"] if like else ["cat/a.PNG"])
    assert len(caught) == (0 if like else 1)


def test_tiff_warning(write_folder, paint):
    file = cv2.imencode(".tiff", paint("x"))[1].tobytes()
    folder = write_folder({"cat/a.tiff": file})
    assert ImageDataGenerator().flow_from_directory(folder).samples == 1
    with pytest.warns(UserWarning, match="multiple bands"):
        assert ImageDataGenerator(like="keras-3").flow_from_directory(folder).samples == 1


def test_classes_in_folders_further_down(write_folder):
    folder = write_folder({"b/sub": 2, "c": 1})
    found = ImageDataGenerator().flow_from_directory(folder, classes=["c", "b/sub"])
    assert found.filenames == ["c/0.png", "b/sub/0.png", "b/sub/1.png"]
    assert found.classes.tolist() == [0, 1, 1]
    with pytest.raises(KeyError, match="class `b/sub` lies in another folder"):
        ImageDataGenerator(like="keras-3").flow_from_directory(folder, classes=["c", "b/sub"])


def test_binary_with_three_classes(write_folder):
    folder = write_folder({"a": 1, "b": 1, "c": 1})
    with pytest.raises(ValueError, match=r"takes two classes, .* has 3"):
        ImageDataGenerator().flow_from_directory(folder, class_mode="binary")
    code = ImageDataGenerator(like="keras-3").flow_from_directory(
        folder, (4, 4), class_mode="binary", shuffle=False
    )
    assert next(code)[1].tolist() == [0, 1, 2]


def test_dataframe_arguments(write_folder):
    folder = write_folder({"cat": 1})  # 12 rows, 10 columns
    table = {"filename": ["cat/0.png"], "class": ["cat"]}
    how = {"directory": folder, "target_size": (5, 5), "class_mode": None}

    def read(like, **more):
        return next(ImageDataGenerator(like=like).flow_from_dataframe(table, **how, **more))

    assert (read(None) != read(None, keep_aspect_ratio=True)).any()
    assert (read("keras-3") == read("keras-3", keep_aspect_ratio=True)).all()
    with pytest.raises(ValueError, match=r"no argument `keep_aspect_ration`\. Did you mean"):
        read(None, keep_aspect_ration=True)
    assert read("keras-3", nonsense=1).shape == (1, 5, 5, 3)


def test_negative_positions(numbered):
    assert numbered(batch_size=4, shuffle=False)[-1].ravel().tolist() == [8, 9]
    with pytest.raises(ValueError, match=r"asked for batch -4, expected -3 to 2\."):
        numbered(batch_size=4)[-4]
    with pytest.raises(ValueError, match=r"asked for batch 3, expected 0 to 2\."):
        numbered(batch_size=4, like="keras-3")[3]
    assert numbered(batch_size=4, shuffle=False, like="keras-3")[-1].shape == (0, 1, 1, 1)


def test_lists_of_shifts():
    def drawn(like):
        generator = ImageDataGenerator(width_shift_range=[5], rotation_range=9, like=like)
        return [generator.get_random_transform((9, 9, 1), seed=k) for k in range(20)]

    assert {each["ty"] for each in drawn(None)} == {5}
    assert {each["ty"] for each in drawn("keras-3")} == {-5, 5}
    others = [[each["theta"] for each in drawn(like)] for like in (None, "keras-3")]
    assert others[0] == others[1]  # what else is drawn stays in step


def test_shifts_as_arrays():
    array = np.array([-3, 3])
    drawn = ImageDataGenerator(width_shift_range=array).get_random_transform((9, 9, 1), seed=0)
    assert abs(drawn["ty"]) == 3
    with pytest.raises(ValueError, match=r"Pass `width_shift_range=\[-3, 3\]`"):
        ImageDataGenerator(width_shift_range=array, like="keras-3").get_random_transform((9, 9, 1))


def test_negative_whole_shifts():
    def furthest(like):
        generator = ImageDataGenerator(width_shift_range=-2, like=like)
        return max(abs(generator.get_random_transform((9, 20, 1), seed=k)["ty"]) for k in range(50))

    assert furthest(None) == 1
    assert 30 < furthest("keras-3") <= 40  # taken for a share of the width


def test_zoom_as_a_small_float():
    assert ImageDataGenerator(zoom_range=np.float32(0.5)).zoom_range == [0.5, 1.5]
    with pytest.raises(TypeError, match="`zoom_range` is"):
        ImageDataGenerator(zoom_range=np.float32(0.5), like="keras-3")


def test_bytes_are_interpolated_to_fractions_in_both(noise, like):
    pictures = noise(2, 8, 8, 3)
    flow = ImageDataGenerator(rotation_range=30, like=like).flow
    batch = next(flow(pictures, seed=1))
    assert batch.dtype == np.float32
    assert (batch != np.round(batch)).mean() > 0.5
    assert (batch == next(flow(pictures.astype(np.float32), seed=1))).all()
    alone = ImageDataGenerator(like=like).apply_transform(pictures[0], {"theta": 30})
    assert alone.dtype == np.uint8


def test_higher_orders_are_scipys_in_both(noise, like):
    picture = noise(12, 12, 1).astype(np.float32)
    found = ImageDataGenerator(interpolation_order=3, like=like).apply_transform(
        picture, {"zx": 0.5, "zy": 0.5}
    )[..., 0]
    expected = ndimage.affine_transform(
        picture[..., 0], np.eye(2) / 2, 5.5 / 2, order=3, mode="nearest"
    )
    np.testing.assert_allclose(found, expected, atol=1e-2)
