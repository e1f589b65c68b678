"""What the training loop costs beside a bare PyTorch loop, on a network so small that it shows.

python benchmarks/loop_cost.py [--rounds 7] [--pictures 60000] [--batch 200] [--network mlp]

Both train the same network on the same uint8 pictures in batches of the same size, in the
same precision, with the same optimizer of torch, in one process and in turns. Ours has a
progress bar on a terminal, the three callbacks of Keras, a history and a checkpoint after each
epoch. The bare loop is what somebody writes who wants speed: pixels as one tensor, a
permutation per epoch, batches by index; it counts loss and accuracy, as everybody does.
A second bare loop counts nothing.

* steps: from the first step of an epoch to its last, with the hooks and the bar;
* epochs: from the beginning of an epoch to that of the next, with history, the best model's
  file and the checkpoint, which a bare loop does not write.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
import time
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from _common import publish, spread

import nunbit
from nunbit.training.device import make_plan

EPOCHS = 3
"""Epochs of a turn; the last ones count."""


class Terminal(io.StringIO):
    """Something that the progress bar takes for a terminal."""

    def isatty(self) -> bool:
        return True


class Clock(nunbit.Callback):
    """Notes when an epoch begins; a callback as a user writes one."""

    def on_train_begin(self, moment: nunbit.training.callbacks.Moment) -> None:
        self.times: list[float] = []

    def on_epoch_begin(self, moment: nunbit.training.callbacks.Moment) -> None:
        self.times.append(time.perf_counter())


def make_pictures(count: int, size: int, channels: int) -> nunbit.Pictures:
    """Return random pictures of ten classes, all for training."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    options = nunbit.DataOptions(validation=0.0, check="off", image_size=size)
    return nunbit.load((pixels, np.arange(count) % 10), options=options)


def train_ours(
    name: str, pictures: nunbit.Pictures, options: nunbit.TrainOptions
) -> tuple[float, float]:
    """Return seconds of an epoch's steps, and of a whole epoch."""
    model = nunbit.create_model_for(pictures, network=name, seed=0)
    clock = Clock()
    callbacks = [
        nunbit.EarlyStopping(monitor="loss", patience=50),
        nunbit.ModelCheckpoint(monitor="loss", save_best_only=True),
        nunbit.ReduceLROnPlateau(monitor="loss", patience=50),
        clock,
    ]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(Terminal()):
        history = nunbit.fit(model, pictures, options=options, callbacks=callbacks, out=folder)
    whole = np.diff(clock.times)
    return min(history["seconds"][1:]), float(whole[1:].min())


def train_bare(
    name: str, pictures: nunbit.Pictures, options: nunbit.TrainOptions, *, counts: bool
) -> float:
    """Return seconds of an epoch of the bare loop."""
    model = nunbit.create_model_for(pictures, network=name, seed=0)
    network, made = model.network.train(), model.preprocessing
    plan = make_plan(options, network=network)
    if plan.channels_last:
        network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.lr, weight_decay=0.05, fused=True
    )
    pixels = torch.from_numpy(pictures.train.take(slice(None)))  # uint8 (N, H, W, C)
    targets = torch.from_numpy(pictures.train.labels)
    mean, std = 255 * torch.tensor(made.mean), 255 * torch.tensor(made.std)
    count, size, seconds = len(pixels), options.batch_size, []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        order = torch.randperm(count)
        loss_sum, right = 0.0, 0
        for start in range(0, count, size):
            rows = order[start : start + size]
            images = ((pixels[rows].float() - mean) / std).permute(0, 3, 1, 2)
            wanted = targets[rows]
            with plan.autocast():
                outputs = network(images)
            loss = F.cross_entropy(outputs.float(), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if counts:
                loss_sum += loss.item() * len(rows)
                right += int((outputs.argmax(1) == wanted).sum())
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def main() -> None:
    """Run all in turns; the ratio is that of a turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--network", default="mlp")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    pictures = make_pictures(given.pictures, 28, 1)
    options = nunbit.TrainOptions(
        epochs=EPOCHS, batch_size=given.batch, lr=0.001, schedule="constant", augment="none"
    )
    found: dict[str, list[float]] = {
        "ours, steps": [],
        "ours, epochs": [],
        "bare": [],
        "bare, counts nothing": [],
    }
    for turn in range(given.rounds + 1):
        steps, epochs = train_ours(given.network, pictures, options)
        bare = train_bare(given.network, pictures, options, counts=True)
        silent = train_bare(given.network, pictures, options, counts=False)
        if turn:
            for name, value in zip(found, (steps, epochs, bare, silent), strict=True):
                found[name].append(value)
            print(f"{steps:.3f} {epochs:.3f} {bare:.3f} {silent:.3f}", file=sys.stderr)
    rows = []
    for name, values in found.items():
        figures = spread(values)
        ratios = {
            rival: spread([a / b for a, b in zip(values, found[rival], strict=True)])
            for rival in ("bare", "bare, counts nothing")
        }
        rows.append(
            {
                "loop": name,
                "pictures/s": f"{given.pictures / figures['median']:,.0f}",
                **{
                    f"÷ {rival}": f"{each['median']:.3f} ({each['min']:.3f}–{each['max']:.3f})"
                    for rival, each in ratios.items()
                },
                "n": given.rounds,
                "figures": figures,
                "ratios": ratios,
            }
        )
    header = [key for key in rows[0] if key not in ("figures", "ratios")]
    publish("loop_cost", header, rows)


if __name__ == "__main__":
    main()
