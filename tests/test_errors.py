"""The errors: what a caller can catch, and how near names are found."""

from __future__ import annotations

import pytest

from nunbit import errors
from nunbit.errors import NunbitError, did_you_mean, name_list, nearest

BUILTINS = {
    "CheckpointError": RuntimeError,
    "DataError": ValueError,
    "MissingExtraError": ImportError,
    "ModelFileError": ValueError,
    "OptionError": ValueError,
    "PictureError": ValueError,
    "ShapeError": ValueError,
    "StorageError": OSError,
    "TrainingError": RuntimeError,
}


def test_every_error_is_ours_and_also_what_a_caller_would_catch() -> None:
    ours = {
        name
        for name in errors.__all__
        if isinstance(getattr(errors, name), type) and name != "NunbitError"
    }
    assert ours == set(BUILTINS)
    for name, builtin in BUILTINS.items():
        error = getattr(errors, name)("what happened")
        assert isinstance(error, NunbitError)
        assert isinstance(error, builtin)
        assert str(error) == "what happened"
        assert error.exit_status == 2


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mnits", "mnist"),
        ("MNIST", "mnist"),
        ("fashion mnist", "fashion-mnist"),
        ("dgo", "Dog"),
        ("고양", "고양이"),
        ("zebra", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_found_in_any_case(name: str, near: str | None) -> None:
    known = ["mnist", "fashion-mnist", "Dog", "고양이"]
    assert nearest(name, known) == near
    assert did_you_mean(name, iter(known)) == (f" Did you mean `{near}`?" if near else "")


def test_lists_of_names_are_cut_short() -> None:
    assert name_list(range(3)) == "0, 1, 2"
    assert name_list(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert name_list([]) == ""
