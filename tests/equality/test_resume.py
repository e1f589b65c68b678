"""A run that was interrupted anywhere and resumed equals one that was not, bit for bit.

What is compared is everything in the run folder apart from clocks: weights, optimizer,
callbacks, best weights, history, options, split, and the files that callbacks wrote.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nunbit
from nunbit.storage import load_tensors, save_tensors
from nunbit.training.callbacks import Callback, Moment

EPOCHS = 4
STEPS = 3

Contents = Callable[[Path], dict[str, Any]]


class Interrupts(Callback):
    """Presses Ctrl-C after the steps and epochs it is told; keeps no state."""

    def __init__(self) -> None:
        self.at: set[tuple[str, int, int]] = set()

    def on_train_batch_end(self, moment: Moment) -> None:
        self.press("step", moment)

    def on_validation_begin(self, moment: Moment) -> None:
        self.press("validation", moment)

    def on_epoch_end(self, moment: Moment) -> None:
        self.press("epoch", moment)

    def press(self, what: str, moment: Moment) -> None:
        if (what, moment.epoch, moment.step) in self.at:
            signal.raise_signal(signal.SIGINT)


def copy_run(folder: Path | None, to: Path) -> None:
    """Copy what lies there while a thread may be writing; what it replaces may vanish."""
    assert folder is not None
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".*", "epoch-*"))


class Copies(Callback):
    """Copies the run folder before an epoch: what ``kill -9`` within it would leave."""

    def __init__(self, to: Path) -> None:
        self.to = to

    def on_epoch_begin(self, moment: Moment) -> None:
        copy_run(moment.folder, self.to / str(moment.epoch))


class Case:
    """One way to train, with everything made anew for each call, as a new process would."""

    def __init__(
        self,
        pictures: nunbit.Pictures,
        network: str = "mlp",
        *,
        callbacks: Callable[[], list[Callback]] = list,
        augment: nunbit.Augment | None = None,
        **options: Any,
    ) -> None:
        self.pictures, self.network, self.augment = pictures, network, augment
        self.callbacks = callbacks
        batch_size = -(-len(pictures.train) // STEPS)
        self.options = nunbit.TrainOptions(epochs=EPOCHS, batch_size=batch_size, **options)

    def fit(
        self, *, at: Any = (), extra: tuple[Callback, ...] = (), **where: Path
    ) -> nunbit.History:
        presses = Interrupts()
        presses.at = set(at)
        return nunbit.fit(
            nunbit.create_model_for(self.pictures, network=self.network, seed=5),
            self.pictures,
            options=self.options,
            augment=self.augment,
            callbacks=[*self.callbacks(), *extra, presses],
            progress=False,
            **where,
        )


def keras_three() -> list[Callback]:
    """Make the three of Keras, with a patience that lets them act within four epochs."""
    return [
        nunbit.ModelCheckpoint(monitor="val_accuracy", save_best_only=True),
        nunbit.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10),
        # Upside down, so that the best weights are early ones and must be kept.
        nunbit.EarlyStopping(patience=9, mode="max", restore_best_weights=True),
    ]


def early_best() -> list[Callback]:
    """Make an early stop that ends with the average's weights of an early epoch."""
    return [nunbit.EarlyStopping(patience=9, mode="max", restore_best_weights=True)]


def teacher_of(pictures: nunbit.Pictures) -> str:
    """Return a model file with the answers of an untrained network: some answers."""
    path = Path(pictures.origin).parent / "teacher.safetensors"
    nunbit.create_model_for(pictures, network="mlp", seed=99).save(path)
    return str(path)


def unlike() -> list[Callback]:
    """Make one of each callback again, as users set them: other scores, cooldown, each epoch."""
    return [
        nunbit.ModelCheckpoint("{epoch}.safetensors", monitor="loss"),
        nunbit.ReduceLROnPlateau("accuracy", factor=0.1, patience=1, min_delta=1, cooldown=2),
        nunbit.EarlyStopping("accuracy", patience=2, min_delta=9, start_from_epoch=1),
    ]


Augment = nunbit.Augment

CASES: dict[str, Callable[[Any, Any], Case]] = {
    # Optimizers, each with a schedule.
    "adamw, one-cycle": lambda grey, colour: Case(grey),
    "adam, cosine": lambda grey, colour: Case(grey, optimizer="adam", schedule="cosine"),
    "sgd, step": lambda grey, colour: Case(
        grey, optimizer="sgd", schedule="step", step_epochs=1, clip_norm=0.5
    ),
    "sgd without momentum, linear": lambda grey, colour: Case(
        grey, optimizer="sgd", momentum=0.0, schedule="linear", warmup_epochs=1.5
    ),
    "muon, restarts": lambda grey, colour: Case(
        grey, "cnn-mnist", optimizer="muon", schedule="restarts", restart_epochs=1
    ),
    # Callbacks.
    "callbacks": lambda grey, colour: Case(grey, schedule="constant", callbacks=keras_three),
    "callbacks set otherwise": lambda grey, colour: Case(
        grey, schedule="constant", callbacks=unlike
    ),
    "callbacks of the options": lambda grey, colour: Case(
        grey, schedule="constant", plateau_patience=1, patience=3, save_best_only=True, lr=0.05
    ),
    # What a loss is made of.
    "dropout": lambda grey, colour: Case(grey, "cnn-mnist", label_smoothing=0.1),
    "class weights": lambda grey, colour: Case(grey, balance="weights"),
    "classes drawn": lambda grey, colour: Case(grey, balance="sampling"),
    "teacher": lambda grey, colour: Case(grey, teacher=teacher_of(grey), temperature=2.0),
    # Averages of weights and pictures that grow.
    "average": lambda grey, colour: Case(grey, "auto", ema=0.9, callbacks=early_best),
    "growing pictures": lambda grey, colour: Case(grey, "auto", first_size=4),
    # Augmentation, by its groups: geometry, cuts, tone, patches, policies, mixing, statistics.
    "moved, batch norm": lambda grey, colour: Case(
        colour, "auto", optimizer="sgd",
        augment=Augment(
            rotation_range=30, width_shift_range=1.0, shear_range=5, zoom_range=0.2,
            horizontal_flip=True,
        ),
    ),
    "cut": lambda grey, colour: Case(
        colour, augment=Augment(random_resized_crop=(0.5, 1.0), crop_padding=1)
    ),
    "standardised": lambda grey, colour: Case(
        grey, augment=Augment(featurewise_std_normalization=True, zca_whitening=True)
    ),
    "toned": lambda grey, colour: Case(
        colour, augment=Augment(
            brightness_range=(0.7, 1.3), channel_shift_range=30.0,
            colour_jitter=(0.2, 0.2, 0.2, 0.1),
        ),
    ),
    "patched": lambda grey, colour: Case(grey, augment=Augment(random_erasing=0.5, cutout=3)),
    "by policy": lambda grey, colour: Case(colour, augment=Augment(rand_augment=(2, 9))),
    "mixed with others": lambda grey, colour: Case(
        colour, augment=Augment(trivial_augment=True, mixup=0.4, cutmix=1.0), accumulate=2,
    ),
    "streamed": lambda grey, colour: Case(
        nunbit.load(
            colour.origin,
            options=nunbit.DataOptions(validation=0.2, stream=True, shuffle_buffer=10),
        ),
        augment=Augment(horizontal_flip=True, mixup=0.4),
    ),
    # How it is computed.
    "batch norm, accumulated": lambda grey, colour: Case(grey, "auto", accumulate=3),
    "bfloat16": lambda grey, colour: Case(grey, "cnn-mnist", precision="bfloat16"),
}  # fmt: skip


def test_every_choice_of_optimizer_schedule_and_balance_has_a_case(grey: Any, colour: Any) -> None:
    """A test of the table: what is added to the options is missed here."""
    made = [make(grey, colour).options for make in CASES.values()]
    for name in ("optimizer", "schedule", "balance"):
        choices = {i.name: i for i in nunbit.TrainOptions.fields()}[name].choices
        assert {getattr(options, name) for options in made} == set(choices), name


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, grey: Any, colour: Any) -> Case:
    return CASES[request.param](grey, colour)


@pytest.fixture(scope="module")
def whole(
    case: Case, contents: Contents, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a run leaves that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    case.fit(out=out)
    return contents(out)


def interrupt_and_resume(case: Case, run: Path, cuts: list[tuple[str, int, int]]) -> nunbit.History:
    """Press Ctrl-C at each cut in turn, resume after each."""
    where = {"out": run}
    for cut in cuts:
        with pytest.raises(KeyboardInterrupt):
            case.fit(at=[cut], **where)
        where = {"resume": run}
    return case.fit(**where)


def test_two_runs_are_the_same_run(
    case: Case, whole: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    case.fit(out=tmp_path / "run")
    assert contents(tmp_path / "run") == whole


def test_two_epochs_and_two_more_are_four(
    case: Case, whole: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    history = interrupt_and_resume(case, run, [("epoch", 1, STEPS)])
    assert contents(run) == whole
    assert len(history.epochs) == EPOCHS


def test_an_interruption_in_the_middle_of_an_epoch_changes_nothing(
    case: Case, whole: dict[str, Any], contents: Contents, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    interrupt_and_resume(case, run, [("step", 0, 2), ("step", 2, 1), ("step", 2, STEPS)])
    assert contents(run) == whole


ALL_CUTS = [
    (what, epoch, step)
    for epoch in range(EPOCHS)
    for what, step in [
        *(("step", step) for step in range(1, STEPS + 1)),
        ("validation", STEPS),
        ("epoch", STEPS),
    ]
]


@pytest.fixture(scope="module")
def three(
    grey: nunbit.Pictures, contents: Contents, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Case, dict[str, Any]]:
    """Return a case with Keras' three callbacks and an average, and what it leaves."""
    case = Case(grey, schedule="constant", callbacks=keras_three, ema=0.9)
    out = tmp_path_factory.mktemp("three") / "run"
    case.fit(out=out)
    return case, contents(out)


@pytest.mark.parametrize("cut", ALL_CUTS, ids=str)
def test_an_interruption_at_every_single_place_changes_nothing(
    three: tuple[Case, dict[str, Any]],
    contents: Contents,
    tmp_path: Path,
    cut: tuple[str, int, int],
) -> None:
    case, whole = three
    interrupt_and_resume(case, tmp_path / "run", [cut])
    assert contents(tmp_path / "run") == whole


def test_a_run_interrupted_after_each_step_changes_nothing(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path
) -> None:
    case = Case(grey, "cnn-mnist", callbacks=lambda: [nunbit.EarlyStopping(patience=9)])
    case.fit(out=tmp_path / "whole")
    interrupt_and_resume(case, tmp_path / "run", [cut for cut in ALL_CUTS if cut[0] != "epoch"])
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


@pytest.mark.parametrize("epoch", range(EPOCHS))
def test_what_a_kill_leaves_can_be_resumed_to_the_same_end(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path, epoch: int
) -> None:
    """Also where the first epoch was not over."""
    case = Case(grey, schedule="constant", callbacks=keras_three)
    case.fit(out=tmp_path / "whole", extra=(Copies(tmp_path),))
    left = tmp_path / str(epoch)
    assert not (left / "model.safetensors").exists()
    nothing = Copies(tmp_path / "again")
    case.fit(resume=left, extra=(nothing,))
    assert contents(left) == contents(tmp_path / "whole")


def test_a_run_killed_after_its_last_epoch_still_gets_its_model(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path
) -> None:
    class CopiesAtTheEnd(Callback):
        def on_train_end(self, moment: Moment) -> None:
            if not (tmp_path / "left").exists():
                copy_run(moment.folder, tmp_path / "left")

    case = Case(grey, schedule="constant", callbacks=keras_three)
    case.fit(out=tmp_path / "whole", extra=(CopiesAtTheEnd(),))
    assert not (tmp_path / "left" / "model.safetensors").exists()
    history = case.fit(resume=tmp_path / "left", extra=(CopiesAtTheEnd(),))
    assert len(history.epochs) == EPOCHS
    assert contents(tmp_path / "left") == contents(tmp_path / "whole")


def test_a_stop_asked_for_in_mid_epoch_survives_an_interruption(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path
) -> None:
    """The epoch that was asked to be the last one is ended after the resume."""

    class Stops(Callback):
        def on_train_batch_end(self, moment: Moment) -> nunbit.Stop | None:
            return nunbit.Stop("enough") if (moment.epoch, moment.step) == (1, 1) else None

    case = Case(grey, callbacks=lambda: [Stops()])
    case.fit(out=tmp_path / "whole")
    history = interrupt_and_resume(case, tmp_path / "run", [("step", 1, 2)])
    assert (len(history.epochs), history.stop_reason) == (2, "enough")
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_an_interrupted_run_can_be_resumed_with_the_same_objects(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path
) -> None:
    """In one notebook: the interrupted model holds its best weights, not its last ones."""
    options = nunbit.TrainOptions(epochs=4, batch_size=19)
    found = []
    for name, cut in (("whole", set()), ("run", {("step", 2, 1)})):
        model = nunbit.create_model_for(grey, network="mlp")
        presses = Interrupts()
        presses.at = cut
        callbacks = [
            nunbit.EarlyStopping(patience=9, mode="max", restore_best_weights=True),
            presses,
        ]
        how: dict[str, Any] = {"options": options, "callbacks": callbacks, "progress": False}
        try:
            nunbit.fit(model, grey, out=tmp_path / name, **how)
        except KeyboardInterrupt:
            presses.at = set()
            nunbit.fit(model, grey, resume=tmp_path / name, **how)
        found.append(contents(tmp_path / name))
    assert found[0] == found[1]


def test_seconds_of_the_parts_add_up(grey: nunbit.Pictures, tmp_path: Path) -> None:
    case = Case(grey)
    run = tmp_path / "run"
    history = interrupt_and_resume(case, run, [("step", 1, 2), ("epoch", 2, STEPS)])
    assert history.seconds == pytest.approx(sum(history["seconds"]), abs=0.005)
    assert all(seconds > 0 for seconds in history["seconds"])
    assert history.images_per_second == pytest.approx(
        EPOCHS * len(grey.train) / history.seconds, rel=0.2
    )


def test_the_comparison_sees_a_single_bit(
    grey: nunbit.Pictures, contents: Contents, tmp_path: Path
) -> None:
    """A test of all tests above."""
    Case(grey).fit(out=tmp_path / "run")
    before = contents(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    tensors, header = load_tensors(path, kind="checkpoint")
    next(iter(tensors.values())).view(-1).view(torch.uint8)[-1] ^= 1
    save_tensors(path, tensors, header, kind="checkpoint")
    after = contents(tmp_path / "run")
    assert [name for name in before if before[name] != after[name]] != []
    assert len({name.partition(":")[0] for name in before}) == 5
    assert np.isfinite(before["history.jsonl"][0]["val_loss"])
