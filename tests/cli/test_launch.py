"""``--devices``: what is started, and who says what went wrong; tests/distributed starts it."""

from __future__ import annotations

import pytest

from nunbit.cli import _said_once, launch
from nunbit.cli._asked import PARTS
from nunbit.cli._flags import CommonOptions
from nunbit.cli.main import run
from nunbit.cli.train import RunOptions
from nunbit.data.pixels import processors
from nunbit.errors import OptionError, TrainingError
from nunbit.training.notice_board import NoticeBoard
from nunbit.training.ranks import RankLostError, current_ranks


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the second of two on one machine, and reaches no others."""
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_PORT", raising=False)


def test_the_words_are_those_that_were_typed() -> None:
    given = {
        "epochs": 3, "json": True, "devices": 2, "out": "a b", "log": ("mlflow", "wandb"),
        "lr": 1e-5, "save_best_only": False, "skip_class": ("-x",),
    }  # fmt: skip
    words = launch.as_words("pics", given, [*PARTS, RunOptions, CommonOptions])
    assert words == [
        "train", "pics", "--epochs=3", "--json", "--devices=2", "--out=a b", "--log=mlflow",
        "--log=wandb", "--lr=1e-05", "--skip-class=-x",
    ]  # fmt: skip
    assert launch.as_words(None, {"resume": "r"}, [RunOptions]) == ["train", "--resume=r"]


def test_more_devices_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(OptionError, match="`--devices 3`, but this machine has 2 GPUs"):
        launch.launch(3, [], device="auto")
    with pytest.raises(OptionError, match="`--device cuda:1` names one device"):
        launch.launch(2, [], device="cuda:1")


def test_under_torchrun_the_number_must_agree(second_of_two: None) -> None:
    with pytest.raises(OptionError, match="`torchrun` has started 2 processes on this machine"):
        launch.check_started(3)
    launch.check_started(2)


def test_zero_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "digits", "--devices", "0"]) == 2
    assert "devices" in capsys.readouterr().err


def test_ranks_of_a_machine_share_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that it is put back
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(9), raising=False)
    launch.share_threads(2)
    assert launch.os.environ["OMP_NUM_THREADS"] == "4"
    launch.share_threads(3)  # what the user has set stays
    assert launch.os.environ["OMP_NUM_THREADS"] == "4"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert (processors(), processors(shared=False)) == (2, 9)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "40")
    assert processors() == 1


class Board(NoticeBoard):
    """A board with one note, or none."""

    def __init__(self, said: str | None) -> None:
        self.said = said
        self.posted: dict[str, str] = {}

    def post(self, name: str, text: str = "") -> None:
        self.posted[name] = text

    def read(self, name: str) -> str | None:
        return self.said

    def wait_for(self, names: object, *, timeout_s: float) -> dict[str, str]:
        return {} if self.said is None else {"said": self.said}


@pytest.mark.parametrize(
    ("rank", "error", "heard", "said"),
    [
        ("0", OptionError("bad"), None, ["bad"]),
        ("1", OptionError("bad"), "bad", []),
        ("1", OptionError("bad"), None, ["rank 1 of 2: bad"]),
        ("1", OptionError("bad"), "something else", ["rank 1 of 2: bad"]),
        ("1", KeyboardInterrupt("bad"), None, []),
        ("0", KeyboardInterrupt("bad"), None, ["bad"]),
        ("0", RankLostError("bad", speaker=1), None, []),
        ("1", RankLostError("bad", speaker=1), None, ["bad"]),
        ("1", RankLostError("bad", speaker=0), None, []),
    ],
)
def test_who_speaks(
    second_of_two: None,
    monkeypatch: pytest.MonkeyPatch,
    rank: str,
    error: BaseException,
    heard: str | None,
    said: list[str],
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(NoticeBoard, "open", lambda: Board(heard))
    spoken: list[str] = []
    _said_once.say_once("bad", error, spoken.append)
    assert spoken == said


def test_an_environment_that_is_not_torchruns(
    monkeypatch: pytest.MonkeyPatch, second_of_two: None
) -> None:
    monkeypatch.delenv("RANK")
    with pytest.raises(OptionError, match="Start them with `torchrun`, or unset WORLD_SIZE"):
        current_ranks()
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(OptionError, match="WORLD_SIZE='two', expected a number"):
        current_ranks()


def test_ranks_that_do_not_come(monkeypatch: pytest.MonkeyPatch, second_of_two: None) -> None:
    board = Board(None)
    board.come = lambda size, timeout_s: 1  # type: ignore[method-assign]
    monkeypatch.setattr(NoticeBoard, "open", lambda: board)
    with pytest.raises(TrainingError, match=r"not all 2 ranks came within 600 s \(1 are here\)"):
        current_ranks(5)
