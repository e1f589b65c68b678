"""`flow`: what comes out, in which order, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from nunbit.errors import NunbitError
from nunbit.keras import ImageDataGenerator


def test_forms_of_a_batch(noise):
    x, y, w = noise(5, 4, 4, 3), np.arange(5), np.arange(5) / 10
    flow = ImageDataGenerator().flow
    alone = next(flow(x, shuffle=False))
    assert alone.dtype == np.float32
    assert (alone == x).all()
    pair = next(flow(x, y, shuffle=False, batch_size=2))
    assert (pair[0] == x[:2]).all()
    assert pair[1].tolist() == [0, 1]
    three = next(flow(x, y, sample_weight=w, shuffle=False))
    assert three[2].tolist() == w.tolist()
    assert isinstance(next(flow(x, sample_weight=w)), np.ndarray)


def test_extra_inputs_pass_through(noise):
    x, y = noise(5, 4, 4, 3), list("abcde")
    one, two = np.arange(5), np.arange(10).reshape(5, 2)
    flow = ImageDataGenerator(rescale=2).flow
    inputs, labels = next(flow((x, one), y, shuffle=False))
    assert (inputs[0] == x * 2.0).all()
    assert inputs[1].tolist() == [0, 1, 2, 3, 4]
    assert labels.tolist() == y
    inputs = next(flow((x, [one, two]), seed=3))
    assert (inputs[2][:, 0] == inputs[1] * 2).all()
    assert inputs[1].tolist() != one.tolist()
    assert (inputs[0] == x[inputs[1]] * 2.0).all()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"x": np.zeros((3, 2, 2))}, r"rank 4, received shape \(3, 2, 2\)"),
        ({"x": np.zeros((3, 2, 2, 1)), "y": [1, 2]}, "`x` has 3 pictures, `y` has 2"),
        (
            {"x": np.zeros((3, 2, 2, 1)), "y": [1] * 3, "sample_weight": [1]},
            "`sample_weight` has 1",
        ),
        ({"x": (np.zeros((3, 2, 2, 1)), np.zeros(4))}, "extra input 1 has 4"),
        ({"x": [np.zeros((2, 2, 1))] * 3}, "`x` is a list of 3"),
        ({"x": np.zeros((4, 2, 2, 1)), "subset": "foo"}, "Invalid subset name: 'foo'; expected"),
        (
            {"x": np.zeros((4, 2, 2, 1)), "y": [0, 0, 1, 1], "subset": "training"},
            "different number of classes",
        ),
        ({"x": np.zeros((4, 2, 2, 1)), "batch_size": "5"}, "`batch_size` should be a whole .*'5'"),
        ({"x": np.zeros((4, 2, 2, 1)), "batch_size": -1}, "whole number. Received: -1"),
        ({"x": np.zeros((4, 2, 2, 1)), "seed": 1.5}, "`seed` should be a whole number or None"),
    ],
)
def test_mistakes_are_told(arguments, text):
    with pytest.raises(ValueError, match=text) as caught:
        ImageDataGenerator(validation_split=0.5).flow(**arguments)
    assert isinstance(caught.value, NunbitError)


def test_odd_numbers_of_channels_only_warn():
    with pytest.warns(UserWarning, match="expected\n?.*1, 3 or 4 of them"):
        batches = ImageDataGenerator(rotation_range=9).flow(np.ones((2, 3, 3, 5)))
    assert (next(batches) == 1).all()


def test_subsets_are_the_first_part_and_the_rest():
    x = np.arange(10.0).reshape(10, 1, 1, 1)
    generator = ImageDataGenerator(validation_split=0.25)
    parts = {}
    for subset in ("training", "validation"):
        batches = generator.flow(
            (x, x.ravel()), x.ravel(), ignore_class_split=True, subset=subset, shuffle=False
        )
        (pictures, extra), labels = next(batches)
        assert pictures.ravel().tolist() == extra.tolist() == labels.tolist()
        parts[subset] = labels.tolist()
    assert parts == {"training": [2, 3, 4, 5, 6, 7, 8, 9], "validation": [0, 1]}
    with pytest.raises(ValueError, match="ignore_class_split=True"):
        generator.flow(x, x.ravel(), subset="training")


@pytest.mark.parametrize("subset", ["training", "validation"])
def test_a_subset_needs_a_split(subset, like):
    flow = ImageDataGenerator(like=like).flow
    x, y = np.zeros((4, 1, 1, 1)), [0, 1, 0, 1]
    with pytest.raises(ValueError, match=r"different number of classes .*Pass `validation_split`"):
        flow(x, y, subset=subset)
    assert flow(x, y, subset="training", ignore_class_split=True).n == 4


def test_the_pictures_are_made_numbers_once(noise):
    pictures = noise(6, 4, 4, 3)
    batches = ImageDataGenerator(brightness_range=(0.5, 2)).flow(pictures, seed=1)
    first = next(batches)
    assert batches.x is batches.x
    assert batches.x.dtype == np.float32
    assert (batches.x == pictures).all()
    batches = ImageDataGenerator(brightness_range=(0.5, 2)).flow(pictures, seed=1)
    assert batches.x.shape == pictures.shape
    assert (next(batches) == first).all()


def test_the_last_batch_is_short_and_epochs_go_on(numbered):
    batches = numbered(batch_size=4, shuffle=False)
    assert len(batches) == batches.num_batches == 3
    assert [len(next(batches)) for _ in range(7)] == [4, 4, 2, 4, 4, 2, 4]
    assert batches.total_batches_seen == 7
    assert iter(batches) is batches
    with pytest.raises(ValueError, match="asked for batch 3, expected 0 to 2"):
        batches[3]


def test_reset_begins_again(numbered):
    batches = numbered(batch_size=4, shuffle=False)
    next(batches)
    assert batches.batch_index == 1
    batches.reset()
    assert next(batches).ravel().tolist() == [0, 1, 2, 3]


def test_an_order_stands_until_the_epoch_ends(numbered):
    batches = numbered(batch_size=10, seed=3)
    first, again = batches[0].ravel().tolist(), batches[0].ravel().tolist()
    assert first == again == batches.index_array.tolist()
    batches.on_epoch_end()
    assert batches[0].ravel().tolist() != first
    assert sorted(first) == list(range(10))


def test_nothing_gives_empty_batches():
    flow = ImageDataGenerator().flow
    batches = flow(np.zeros((0, 3, 3, 1)))
    assert len(batches) == 0
    assert next(batches).shape == (0, 3, 3, 1)
    none = flow(np.zeros((2, 3, 3, 1)), batch_size=0)
    assert len(none) == 0
    assert next(none).shape == (0, 3, 3, 1)


def test_two_iterators_with_one_seed_stay_in_step(noise, like):
    pictures = noise(12, 6, 6, 1).astype(np.float32)
    how = {"rotation_range": 40, "zoom_range": 0.3, "horizontal_flip": True, "like": like}
    pair = [ImageDataGenerator(**how).flow(pictures, batch_size=5, seed=8) for _ in range(2)]
    for _ in range(5):
        one, two = next(pair[0]), next(pair[1])
        np.testing.assert_array_equal(one, two)


def test_threads_that_ask_at_the_same_time_get_what_one_would(noise):
    pictures = noise(64, 6, 6, 1).astype(np.float32)
    generator = ImageDataGenerator(rotation_range=90)

    def rows(batches):
        return sorted(batch.tobytes() for batch in batches)

    alone = generator.flow(pictures, batch_size=4, seed=1)
    together = generator.flow(pictures, batch_size=4, seed=1)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: next(together), range(16)))
    assert rows(found) == rows(next(alone) for _ in range(16))


def test_what_the_caller_holds_is_not_changed(noise, like):
    for kind in (np.uint8, np.float32):
        pictures = noise(3, 4, 4, 3).astype(kind)
        generator = ImageDataGenerator(
            rescale=3,
            samplewise_center=True,
            preprocessing_function=lambda x: np.add(x, 1, out=x),
            like=like,
        )
        batch = next(generator.flow(pictures, shuffle=False))
        assert (pictures == noise(3, 4, 4, 3)).all()
        expected = (pictures.astype(np.float32) + 1) * 3
        np.testing.assert_allclose(
            batch, expected - expected.mean(axis=(1, 2, 3), keepdims=True), atol=1e-3
        )


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8"])
def test_batches_have_the_type_asked_for(noise, dtype):
    pictures = noise(3, 4, 4, 3)
    batch = next(ImageDataGenerator(dtype=dtype).flow(pictures, shuffle=False))
    assert batch.dtype == dtype
    assert (batch == pictures).all()


def test_preprocessing_gets_single_pictures_in_order(noise):
    seen = []

    def note(picture):
        seen.append((type(picture), picture.shape, picture.dtype, picture[0, 0, 0]))
        return picture / 2

    pictures = noise(6, 4, 5, 3)
    batch = next(
        ImageDataGenerator(preprocessing_function=note, rescale=4).flow(pictures, shuffle=False)
    )
    assert [each[:3] for each in seen] == [(np.ndarray, (4, 5, 3), np.float32)] * 6
    assert [each[3] for each in seen] == pictures[:, 0, 0, 0].tolist()
    assert (batch == pictures * 2.0).all()


def test_channels_first(noise):
    pictures = noise(4, 3, 6, 5)
    how = {"rotation_range": 30, "horizontal_flip": True}
    first = ImageDataGenerator(**how, data_format="channels_first").flow(pictures, seed=2)
    last = ImageDataGenerator(**how).flow(np.moveaxis(pictures, 1, -1), seed=2)
    batch = next(first)
    assert batch.shape == (4, 3, 6, 5)
    np.testing.assert_array_equal(batch, np.moveaxis(next(last), -1, 1))


def test_an_option_changed_later_counts(noise):
    generator = ImageDataGenerator(rescale=2)
    batches = generator.flow(noise(2, 3, 3, 1), shuffle=False)
    generator.rescale = 3
    assert (next(batches) == noise(2, 3, 3, 1) * 3.0).all()


def test_what_goes_wrong_in_a_thread_is_told(noise):
    def fail(picture):
        raise ZeroDivisionError("by me")

    batches = ImageDataGenerator(preprocessing_function=fail).flow(noise(40, 3, 3, 1))
    with pytest.raises(ZeroDivisionError, match="by me"):
        next(batches)


@pytest.mark.parametrize("save_format", ["png", "jpeg", "bmp"])
def test_pictures_are_saved_stretched(tmp_path, noise, save_format):
    import cv2

    pictures = np.stack([np.full((4, 4, 3), 7), np.full((4, 4, 3), 9)]).astype(np.float32)
    pictures[1, 0] = 5
    generator = ImageDataGenerator()
    how = {"save_to_dir": tmp_path, "save_prefix": "a", "save_format": save_format}
    next(generator.flow(pictures, shuffle=False, seed=4, **how))
    names = sorted(path.name for path in tmp_path.iterdir())
    rng = np.random.RandomState(4)
    rng.random_sample(4)  # two flips each
    assert names == [f"a_{k}_{rng.randint(10_000)}.{save_format}" for k in range(2)]
    black, two = (cv2.imread(str(tmp_path / name)) for name in names)
    assert (black == 0).all()
    assert two[0].max() <= 30
    assert two[2].min() >= 225


def test_saving_needs_a_folder_a_format_and_channels(tmp_path, noise):
    flow = ImageDataGenerator().flow
    with pytest.raises(FileNotFoundError, match=r"`save_to_dir` is .*mkdir -p") as caught:
        next(flow(noise(1, 2, 2, 3), save_to_dir=tmp_path / "none"))
    assert isinstance(caught.value, NunbitError)
    with pytest.raises(ValueError, match="`save_format` is 'pngg'"):
        next(flow(noise(1, 2, 2, 3), save_to_dir=tmp_path, save_format="pngg"))
    with pytest.warns(UserWarning, match="expected"):
        batches = flow(noise(1, 2, 2, 2), save_to_dir=tmp_path)
    with pytest.raises(ValueError, match="pictures of 2 channels cannot be saved"):
        next(batches)
