"""Augmentation by name, and from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nunbit.augment import PRESETS, Augment, choose_augment
from nunbit.errors import OptionError


def test_auto_is_none_for_grey_and_photo_for_colour() -> None:
    assert choose_augment("auto", channels=1) == ("none", Augment())
    assert choose_augment("auto", channels=3) == ("photo", PRESETS["photo"])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_come_by_name_and_survive_plain_data(name: str) -> None:
    assert choose_augment(name, channels=1) == (name, PRESETS[name])
    assert Augment.from_dict(PRESETS[name].to_dict()) == PRESETS[name]
    assert PRESETS[name].is_identity == (name == "none")


def test_course_is_what_the_course_uses() -> None:
    assert PRESETS["course"] == Augment(shear_range=0.2, zoom_range=0.2, horizontal_flip=True)


def test_digits_and_letters_are_not_mirrored_by_light() -> None:
    assert not PRESETS["light"].horizontal_flip
    assert not PRESETS["light"].vertical_flip


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('rotation_range = 10\nzoom-range = [0.8, 1]\nfill_mode = "wrap"\n')
    expected = Augment(rotation_range=10.0, zoom_range=(0.8, 1), fill_mode="wrap")
    assert choose_augment(str(file), channels=3) == ("mine.toml", expected)


def test_an_unknown_name() -> None:
    with pytest.raises(
        OptionError,
        match=r"unknown augmentation `phoot`. Did you mean `photo`\? Expected `auto`, one of none, "
        r"light, digits, photo, crops, objects, garments, course, any-way-up, trivial, or a TOML "
        r"file with options such as `rotation",
    ):
        choose_augment("phoot", channels=3)
    for text in ("~nobody-of-this-name/a.toml", ".", ""):
        with pytest.raises(OptionError, match="unknown augmentation"):
            choose_augment(text, channels=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rotation_rnge = 10", "mine.toml`: unknown option `rotation_rnge`. Did you mean `rotat"),
        (b"rotation_range = 999", "mine.toml`: `rotation_range` is 999.0, expected 0 <= value <="),
        (b"zoom_range = [1]", "mine.toml`: `zoom_range` is .1,., expected"),
        (
            b'preprocessing_function = "abs"',
            "mine.toml`: `preprocessing_function` is 'abs', expected a function; .*in Python only",
        ),
        (b"rotation_range 10", "mine.toml` is no TOML file: "),
        (b"\xff\xfe\x00", "mine.toml` is no TOML file: "),
    ],
)
def test_a_wrong_file(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(OptionError, match=message):
        choose_augment(str(file), channels=3)


def test_every_option_with_one_letter_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for info in Augment.fields():
        for at in range(len(info.name)):
            changed = f"{info.name[:at]}{'q' if info.name[at] == 'x' else 'x'}{info.name[at + 1 :]}"
            file.write_text(f"{changed} = 0\n")
            with pytest.raises(OptionError, match=rf"unknown option `{changed}`. Did you mean `"):
                choose_augment(str(file), channels=1)


def test_a_file_can_set_everything_but_a_function(tmp_path: Path) -> None:
    full = Augment(
        rotation_range=5.0,
        width_shift_range=(-3.0, 0.0, 3.0),
        height_shift_range=2,
        zoom_range=(0.8, 1.1),
        brightness_range=(0.5, 1.5),
        random_resized_crop=(0.3, 1.0),
        crop_aspect=(0.5, 2.0),
        colour_jitter=(0.4, 0.4, 0.4, 0.1),
        rand_augment=(2, 9),
        erasing_area=(0.1, 0.2),
        mixup=0.2,
        rescale=0.5,
        fill_mode="wrap",
        horizontal_flip=True,
    )
    lines = []
    for name, value in full.to_dict().items():
        if value is not None:
            lines.append(f"{name} = {json.dumps(value)}")
    file = tmp_path / "all.toml"
    file.write_text("\n".join(lines))
    made = choose_augment(str(file), channels=3)[1]
    assert made == full
    assert isinstance(made.height_shift_range, int)
