"""The Keras side of keras_training.py: the course's networks as the course trains them.

It runs in an environment of its own (`make bench-keras`), imports nothing of Nunbit, and prints
one JSON object on its last line. Keras' defaults everywhere; arrays are given to ``fit`` as the
course does, photographs by ``ImageDataGenerator.flow_from_directory``, for `cats-memory-rate`
by ``flow`` on arrays that were read once.

python benchmarks/_keras_side.py WORK --epochs N ...
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

import keras
from keras import layers

SIZE = 128


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes."""
    raw = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(raw, ">i4", raw[3], 4)
    return np.frombuffer(raw, np.uint8, -1, 4 + 4 * raw[3]).reshape(shape)


def mnist(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 pictures 0..1 (N, 28, 28, 1) and one-hot digits, as the course has them."""
    images = read_idx(folder / f"{part}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
    scaled = images.reshape(-1, 28, 28, 1).astype("float32") / 255
    return scaled, keras.utils.to_categorical(labels, 10)


def mnist_model() -> Any:
    """Return the course's network for MNIST: 1,199,882 parameters."""
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def cats_model() -> Any:
    """Return the course's network for cats and dogs: 155,665 parameters."""
    model = keras.Sequential([layers.Input((SIZE, SIZE, 3))])
    for width in (8, 16, 32, 64):
        model.add(layers.Conv2D(width, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D(2))
    for layer in (layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dropout(0.4)):
        model.add(layer)
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def cats_flow(folder: Path, *, training: bool, held: bool = False) -> Any:
    """Return the course's generator of photographs.

    Args:
        held: Read all pictures once, before the first epoch, and hand them on as arrays.
    """
    moves = {"shear_range": 0.2, "zoom_range": 0.2, "horizontal_flip": True} if training else {}
    generator = tf.keras.preprocessing.image.ImageDataGenerator(rescale=1 / 255, **moves)
    if held:
        plain = tf.keras.preprocessing.image.ImageDataGenerator().flow_from_directory(
            str(folder), target_size=(SIZE, SIZE), batch_size=100, class_mode="binary",
            shuffle=False,
        )  # fmt: skip
        batches = [plain[k] for k in range(len(plain))]
        images, labels = (np.concatenate(each) for each in zip(*batches, strict=True))
        return generator.flow(images, labels, batch_size=100, shuffle=training)
    return generator.flow_from_directory(
        str(folder),
        target_size=(SIZE, SIZE),
        batch_size=100,
        class_mode="binary",
        shuffle=training,
    )


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch's training, and the test accuracy after it, which is not timed."""

    def __init__(self, test: Any, *, wanted: float) -> None:
        super().__init__()
        self.test = test
        self.wanted = wanted
        self.seconds: list[float] = []
        self.accuracy: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._began)
        if self.test is None:
            return
        scores = self.model.evaluate(*self.test, verbose=0, return_dict=True)
        self.accuracy.append(float(scores["accuracy"]))
        if self.accuracy[-1] >= self.wanted:
            self.model.stop_training = True


def main() -> None:
    """Do one piece of work and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    works = ["mnist-rate", "mnist-time", "cats-rate", "cats-memory-rate", "cats-time"]
    parser.add_argument("work", choices=works)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--wanted", type=float, default=2.0, help="stop at this test accuracy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--started", type=float, default=time.time(), help="when it was called")
    given = parser.parse_args()
    keras.utils.set_random_seed(given.seed)
    data = Path(os.environ["NUNBIT_DATA"])
    if given.work.startswith("mnist"):
        images, labels = mnist(data / "mnist", "train")
        images, labels = images[: given.pictures], labels[: given.pictures]
        test = mnist(data / "mnist", "t10k") if given.work == "mnist-time" else None
        model, count = mnist_model(), len(images)
        train: tuple[Any, ...] = (images, labels)
        options: dict[str, Any] = {"batch_size": 200}
    else:
        held = given.work == "cats-memory-rate"
        flow = cats_flow(data / "cats-dogs" / "train", training=True, held=held)
        apart = cats_flow(data / "cats-dogs" / "test", training=False)
        test = (apart,) if given.work == "cats-time" else None
        model, count, train, options = cats_model(), flow.n, (flow,), {}
    clock = Clock(test, wanted=given.wanted)
    ready = time.time() - given.started
    model.fit(*train, epochs=given.epochs, verbose=0, callbacks=[clock], **options)
    print(
        json.dumps(
            {
                "start_up": ready,
                "seconds": clock.seconds,
                "accuracy": clock.accuracy,
                "pictures": count,
                "parameters": model.count_params(),
                "versions": {"keras": keras.__version__, "tensorflow": tf.__version__},
            }
        )
    )


if __name__ == "__main__":
    main()
