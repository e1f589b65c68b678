"""Pictures per second into a network: Nunbit, Nunbit's drop-in, Keras, torchvision.

python benchmarks/augmentation.py [--rounds 3]

The 2,000 photographs of cats and dogs in $NUNBIT_DATA at 128x128, batches of 100, the
course's settings: rescale 1/255, shear 0.2 (and 11.5) degrees, zoom 0.2, horizontal flip.
Every competitor has a process of its own, because threads of one library that wait
busily slow down another; the processes run in turns, ``rounds`` times, and each times
three passes after one that is not counted. Keras and TensorFlow, and torchvision where
it can be had, are installed for this script alone:

    make bench-keras
    .venv-bench/bin/pip install --no-deps torchvision==0.28.0    # where it can be had

What a pass is: every picture once, as batches. Keras and the drop-in give float32
scaled to 0..1; Nunbit gives uint8 tensors, which the network scales on its device;
the row "as float32" adds that scaling on the CPU. "Inside fit of a tiny network" waits for
pictures alone; with the course's network TensorFlow's own training is most of it. Of
torchvision every number of workers is measured: the best one counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import torch
from _common import publish, spread

import nunbit
import nunbit.keras
from nunbit.data.batches import Batches
from nunbit.data.options import DataOptions
from nunbit.data.pixels import processors

SIZE, BATCH, PASSES = 128, 100, 3
KERAS = "Keras flow_from_directory"
OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def drain(batches: object, count: int) -> None:
    """Take ``count`` batches from something that can be indexed."""
    for k in range(count):
        batches[k]  # type: ignore[index]


def settings(shear: float) -> dict[str, object]:
    """Return what the course hands to ImageDataGenerator."""
    return {"rescale": 1 / 255, "shear_range": shear, "zoom_range": 0.2, "horizontal_flip": True}


def keras_flow(module: object, folder: Path, shear: float) -> object:
    """Return an iterator over the folder, from Keras or from the drop-in."""
    generator = module.ImageDataGenerator(**settings(shear))  # type: ignore[attr-defined]
    return generator.flow_from_directory(
        str(folder), target_size=(SIZE, SIZE), batch_size=BATCH, class_mode="binary", seed=0
    )


def load(folder: Path, cache: str) -> nunbit.Pictures:
    """Read the folder as ``nunbit train`` does."""
    options = DataOptions(image_size=SIZE, validation=0.0, cache=cache, check="off")  # type: ignore[arg-type]
    return nunbit.load(folder, options=options)


def batches_of(pictures: nunbit.Pictures, shear: float) -> Batches:
    """Return the batches that ``nunbit.fit`` trains on."""
    augment = nunbit.Augment(shear_range=shear, zoom_range=0.2, horizontal_flip=True)

    def move(pictures: Any, ids: np.ndarray, epoch: int, out: np.ndarray) -> None:
        augment.apply(pictures, ids=ids, seed=0, epoch=epoch, out=out)

    targets = torch.from_numpy(pictures.train.labels)
    return Batches(
        pictures.train, targets, batch_size=BATCH, seed=0, move=move, threads=processors()
    )


def tiny_model(module: object) -> object:
    """Return a network that costs next to nothing, so that fit waits for pictures alone."""
    layers = module.layers  # type: ignore[attr-defined]
    model = module.Sequential(  # type: ignore[attr-defined]
        [
            layers.Input((SIZE, SIZE, 3)),
            layers.AveragePooling2D(16),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return model


def course_model(module: object) -> object:
    """Return the course's network for cats and dogs."""
    layers = module.layers  # type: ignore[attr-defined]
    model = module.Sequential([layers.Input((SIZE, SIZE, 3))])  # type: ignore[attr-defined]
    for width in (8, 16, 32, 64):
        model.add(layers.Conv2D(width, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D(2))
    for layer in (layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dropout(0.4)):
        model.add(layer)
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile("adam", "binary_crossentropy")
    return model


def torchvision_loader(folder: Path, shear: float, workers: int) -> Callable[[], None] | None:
    """Return a pass over the folder by torchvision's v2 transforms; None where it is missing."""
    try:
        # Wheels built for CUDA lack their operators beside a CPU torch; transforms need none.
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou) -> Tensor")
        from torchvision.datasets import ImageFolder
        from torchvision.transforms import v2
    except (ImportError, RuntimeError):
        return None
    steps = v2.Compose(
        [
            v2.Resize((SIZE, SIZE)),
            v2.RandomAffine(0, shear=shear, scale=(0.8, 1.2)),
            v2.RandomHorizontalFlip(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    loader = torch.utils.data.DataLoader(
        ImageFolder(str(folder), steps),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda: [None for _ in loader] and None


def prepare(name: str, folder: Path, shear: float) -> Callable[[], None] | None:
    """Return one pass of a competitor; None where it is not installed."""
    count = -(-len(list(folder.glob("*/*.jpg"))) // BATCH)
    if name.startswith("torchvision"):
        return torchvision_loader(folder, shear, int(name.split()[-2]))
    if "inside fit" in name:
        return inside_fit(name, folder, shear)
    if name == KERAS:
        import tensorflow as tf

        theirs = keras_flow(tf.keras.preprocessing.image, folder, shear)
        return lambda: drain(theirs, count)
    if name == "drop-in, first pass from files":
        return lambda: drain(keras_flow(nunbit.keras, folder, shear), count)
    if name == "drop-in, later pass":
        ours = keras_flow(nunbit.keras, folder, shear)
        return lambda: drain(ours, count)
    return of_nunbit(name, folder, shear)


def of_nunbit(name: str, folder: Path, shear: float) -> Callable[[], None]:
    """Return one pass by what ``nunbit.fit`` uses."""

    def first_pass() -> None:
        for _ in batches_of(load(folder, "off"), shear).of_epoch(0):
            pass

    def reopened_pass() -> None:
        for _ in batches_of(load(folder, "auto"), shear).of_epoch(0):
            pass

    if name == "Nunbit, first pass from files":
        return first_pass
    if name == "Nunbit, first pass of the next run":
        return reopened_pass
    epoch, warm = [0], batches_of(load(folder, "auto"), shear)

    def cached_pass() -> None:
        epoch[0] += 1
        for batch in warm.of_epoch(epoch[0]):
            if name.endswith("float32"):
                batch.images.float().mul_(1 / 255)

    return cached_pass


def inside_fit(name: str, folder: Path, shear: float) -> Callable[[], None]:
    """Return one epoch of ``keras.Model.fit``, fed by Keras or by the drop-in."""
    import tensorflow as tf

    import keras

    module = nunbit.keras if name.startswith("drop-in") else tf.keras.preprocessing.image
    flow = keras_flow(module, folder, shear)
    model = tiny_model(keras) if "tiny" in name else course_model(keras)
    return lambda: model.fit(flow, epochs=1, verbose=0) and None  # type: ignore[attr-defined]


COMPETITORS = (
    KERAS,
    "Nunbit, first pass from files",
    "Nunbit, first pass of the next run",
    "Nunbit, pass from the cache",
    "Nunbit, pass from the cache, as float32",
    "drop-in, first pass from files",
    "drop-in, later pass",
    "Keras inside fit of a tiny network",
    "drop-in inside fit of a tiny network",
    "Keras inside fit of the course's network",
    "drop-in inside fit of the course's network",
    *(f"torchvision v2, {workers} workers" for workers in (0, 1, 2, 4)),
)


def measure(name: str, folder: Path, shear: float) -> None:
    """Print the seconds of three passes of one competitor, as JSON; none where it is missing."""
    warnings.simplefilter("ignore")
    run = prepare(name, folder, shear)
    seconds = []
    for k in range(1 + PASSES if run else 0):
        started = time.perf_counter()
        run()  # type: ignore[misc]
        if k:
            seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


def main() -> None:
    """Let every competitor run in turns, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shears", type=float, nargs="*", default=[0.2, 11.5])
    parser.add_argument("--measure", help="used by the script itself")
    given = parser.parse_args()
    folder = Path(os.environ["NUNBIT_DATA"]).resolve() / "cats-dogs" / "train"
    if given.measure:
        measure(given.measure, folder, given.shears[0])
        return
    pictures = len(list(folder.glob("*/*.jpg")))
    rates: dict[tuple[float, str], list[float]] = {}
    for _ in range(given.rounds):
        for shear in given.shears:
            for name in COMPETITORS:
                command = [sys.executable, __file__, "--measure", name, "--shears", str(shear)]
                ran = subprocess.run(command, capture_output=True, text=True)
                if ran.returncode:
                    raise SystemExit(f"{name}: {ran.stderr}")
                said = json.loads(ran.stdout.splitlines()[-1])
                found = [pictures / seconds for seconds in said]
                if found:
                    rates.setdefault((shear, name), []).extend(found)
                    print(f"{shear:5} {name:45} {max(found):8,.0f}", flush=True)
    rows = []
    for (shear, name), values in rates.items():
        figures = spread(values)
        rival = name.replace("drop-in inside", "Keras inside") if "inside" in name else KERAS
        rows.append(
            {
                "shear": shear,
                "what": name,
                "pictures/s": f"{figures['median']:,.0f}",
                "min–max": f"{figures['min']:,.0f}–{figures['max']:,.0f}",
                "× Keras": f"{figures['median'] / spread(rates[shear, rival])['median']:.1f}",
                "n": len(values),
                "figures": figures,
            }
        )
    header = ["shear", "what", "pictures/s", "min–max", "× Keras", "n"]
    publish("augmentation", header, rows, peers=("keras", "tensorflow", "torchvision"))


if __name__ == "__main__":
    main()
