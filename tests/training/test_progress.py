"""Progress: one plain line an epoch everywhere, a bar besides on a terminal."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

import nunbit
from nunbit.training import progress as module
from nunbit.training.callbacks import Moment
from nunbit.training.header import Fact
from nunbit.training.progress import ProgressPrinter, epoch_line, short_time


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that stands still until it is told to go on."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


LOGS = {"loss": 0.25, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.0625}


def step(printer: ProgressPrinter, clock: Clock, seconds: float, **given: Any) -> None:
    clock.now += seconds
    printer.on_train_batch_end(Moment(logs={"loss": 1.0}, **given))


def test_a_line_has_scores_in_percent_and_losses_in_numbers() -> None:
    line = epoch_line(Moment(epoch=4, epochs=12, lr=0.00123, logs=LOGS))
    assert line == (
        "epoch  5/12  loss 0.2500  accuracy 50.00 %  val_loss 1.0000  val_accuracy  6.25 %  "
        "lr 0.00123"
    )


def test_a_narrow_terminal_gets_what_fits() -> None:
    moment = Moment(epoch=4, epochs=12, lr=0.001, logs=LOGS, images=54_000, seconds=12.3)
    whole = epoch_line(moment, left=200.0)
    assert whole.endswith("lr 0.001  12 s  4,390 pictures/s  3 min 20 s left")
    scores = whole[: whole.index("  lr")]
    assert epoch_line(moment, left=200.0, width=119).endswith(
        "6.25 %  lr 0.001  12 s  3 min 20 s left"
    )
    assert epoch_line(moment, left=200.0, width=86) == scores
    assert epoch_line(moment, left=200.0, width=79) == scores.removeprefix("epoch ")
    assert len(epoch_line(moment, left=200.0, width=79)) <= 79


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599.9, "1 h 0 min"), (90_000, "1 d 1 h")],
)
def test_times_are_said_in_two_units(seconds: float, text: str) -> None:
    assert short_time(seconds) == text


def test_elsewhere_it_is_one_line_an_epoch(run: Any, tiny: nunbit.Pictures) -> None:
    stream = io.StringIO()
    history = run(tiny, epochs=2, callbacks=[ProgressPrinter(stream)])
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    for line, entry in zip(lines, history.epochs, strict=True):
        assert f"val_loss {entry['val_loss']:.4f}" in line
        assert line.endswith(f"{72 / entry['seconds']:,.0f} pictures/s") or entry["seconds"] < 0.05
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_a_terminal_gets_a_bar_that_goes_away(
    run: Any, tiny: nunbit.Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.0)
    stream = Terminal()
    run(tiny, epochs=2, callbacks=[ProgressPrinter(stream)])
    said = stream.getvalue()
    assert re.search(r"\repoch 1/2 ━*─* {2}loss \d\.\d{4} {2}[\d,]+ pictures/s {2}\d+ s left", said)
    assert "\repoch 2/2 " in said
    assert "validating" in said
    assert "\x1b" not in said
    left = said.rsplit("\r", 1)[-1]
    assert left.removeprefix("epoch ").startswith("2/2  loss")
    assert left.endswith("\n")


def test_the_bar_is_wiped_after_an_error(
    run: Any, tiny: nunbit.Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.0)
    stream = Terminal()
    with pytest.raises(nunbit.TrainingError):
        run(tiny, epochs=2, lr=1e30, schedule="constant", callbacks=[ProgressPrinter(stream)])
    assert re.search(r"\r +\r$", stream.getvalue())


def test_speed_and_time_left_are_of_the_whole_run(clock: Clock) -> None:
    stream = Terminal()
    printer = ProgressPrinter(stream)
    where = {"epochs": 4, "steps_per_epoch": 10, "images": 1000}
    printer.on_train_begin(Moment(**where))  # type: ignore[arg-type]
    step(printer, clock, 5.0, step=3, epoch=1, **where)  # the first step of a resumed run
    for number in (4, 5):
        step(printer, clock, 2.0, step=number, epoch=1, **where)
    assert "50 pictures/s  50 s left" in stream.getvalue()
    bar = stream.getvalue().rsplit("\r", 1)[-1]
    assert bar.count("━") / (bar.count("━") + bar.count("─")) == pytest.approx(15 / 40, abs=0.02)
    clock.now += 10.0
    printer.on_epoch_end(Moment(step=10, epoch=1, logs={"loss": 1.0}, **where))  # type: ignore[arg-type]
    assert stream.getvalue().endswith("loss 1.0000  lr 0\n")  # 40 s left are not worth a word


def test_the_bar_fits_the_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (200, 80, 30, 10):
        stream = Terminal()
        printer = ProgressPrinter(stream)
        monkeypatch.setattr(printer, "_width", lambda n=columns: n)
        printer.on_train_begin(Moment())
        for number in range(1, 5):
            step(printer, clock, 1.0, step=number, epochs=10, steps_per_epoch=9, images=10**6)
        assert max(len(text) for text in stream.getvalue().split("\r")) <= columns - 1


def test_a_stream_without_such_signs_gets_plain_ones(clock: Clock) -> None:
    class Ascii(Terminal):
        encoding = "ascii"  # type: ignore[assignment]

        def write(self, text: str) -> int:
            text.encode("ascii")
            return super().write(text)

    stream = Ascii()
    printer = ProgressPrinter(stream, header={"Seen as": [Fact("8×8 grey 고")]})
    printer.on_train_begin(Moment())
    for number in range(1, 5):
        step(printer, clock, 1.0, step=number, steps_per_epoch=10)
    assert "####" in stream.getvalue()
    assert "8x8 grey \\uace0" in stream.getvalue()


def test_many_short_epochs_do_not_flood(clock: Clock) -> None:
    stream = io.StringIO()
    printer = ProgressPrinter(stream)
    printer.on_train_begin(Moment(epochs=1000))
    for epoch in range(1000):
        clock.now += 0.01
        printer.on_epoch_end(Moment(epoch=epoch, epochs=1000, logs={"loss": 1.0}))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "One line in 10 epochs, or more; `history.jsonl` has them all."
    assert [line.split("/")[0].split()[-1] for line in lines[1:4]] == ["1", "10", "20"]
    assert lines[-1].startswith("epoch 1000/1000")
    assert len(lines) == 102


def test_many_long_epochs_have_a_line_each(clock: Clock) -> None:
    stream = io.StringIO()
    printer = ProgressPrinter(stream)
    printer.on_train_begin(Moment(epochs=300))
    for epoch in range(20):
        clock.now += 5.0
        printer.on_epoch_end(Moment(epoch=epoch, epochs=300, logs={"loss": 1.0}))
    assert len(stream.getvalue().splitlines()) == 21


@pytest.mark.parametrize(("waited", "is_said"), [(0.9, True), (0.1, False)])
def test_a_training_that_waits_for_pictures_says_so_once(
    clock: Clock, waited: float, is_said: bool
) -> None:
    stream = io.StringIO()
    printer = ProgressPrinter(stream, advice="Do this.")
    printer.on_train_begin(Moment())
    for number in range(1, 200):
        step(printer, clock, 0.5, step=number, steps_per_epoch=1000, waited=number * waited / 2)
    said = stream.getvalue()
    assert said == (
        "note: 90 % of the time goes into waiting for pictures: they are made more slowly than "
        "they are learnt. Do this.\n" if is_said else ""
    )  # fmt: skip


def test_waiting_is_measured(run: Any, tiny: nunbit.Pictures) -> None:
    class Last(nunbit.Callback):
        waited: list[float]

        def on_train_begin(self, moment: Moment) -> None:
            self.waited = []

        def on_train_batch_end(self, moment: Moment) -> None:
            self.waited.append(moment.waited)

        def on_epoch_end(self, moment: Moment) -> None:
            assert moment.images == 72
            assert 0 < self.waited[-1] < moment.seconds * (moment.epoch + 1) + 1

    last = Last()
    run(tiny, epochs=2, callbacks=[last])
    assert last.waited == sorted(last.waited)
    assert last.waited[0] > 0


def test_progress_goes_to_standard_error(
    tiny: nunbit.Pictures, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model = nunbit.create_model_for(tiny, network="mlp")
    nunbit.fit(model, tiny, epochs=1, out=tmp_path / "run")
    said = capsys.readouterr()
    assert said.out == ""
    *header, epoch = said.err.splitlines()
    names = [line.split()[0] for line in header if not line.startswith(" ")]
    assert names == [
        "Pictures", "Classes", "Seen", "Network", "Training", "Steps", "Augment", "Computed",
        "Threads", "Run",
    ]  # fmt: skip
    assert all(len(line) <= 100 for line in header)
    assert epoch.startswith("epoch 1/1  loss ")


def test_the_loss_of_a_batch_is_read_for_the_bar_only(clock: Clock) -> None:
    """On a GPU reading it waits for the step."""

    class Unread(dict[str, float]):
        def __getitem__(self, name: str) -> float:
            raise AssertionError("read")

    printer = ProgressPrinter(io.StringIO())
    printer.on_train_begin(Moment())
    for number in range(1, 9):
        clock.now += 1
        printer.on_train_batch_end(Moment(step=number, logs=Unread()))
