"""The options of ``load`` that choose, group, fold and leave out pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nunbit.create import create_model, create_model_for
from nunbit.data.options import DataOptions
from nunbit.data.pictures import Pictures, load, read_pictures
from nunbit.data.splits import split_csv
from nunbit.data.table import PictureTable
from nunbit.errors import DataError, OptionError
from nunbit.training.fit import fit

WriteFolder = Callable[..., Path]


def names(pictures: Pictures, split: str) -> set[str]:
    part = getattr(pictures, split)
    return set() if part is None else set(part.names)


@pytest.fixture
def root(write_folder: WriteFolder) -> Path:
    return write_folder({"a": 12, "b": 8})


def test_folds_together_validate_every_picture_once(root: Path) -> None:
    seen: list[str] = []
    for fold in ("1/4", "2/4", "3/4", "4/4"):
        pictures = load(root, options=DataOptions(image_size=8, fold=fold))
        assert len(pictures.train) == 15
        assert not names(pictures, "train") & names(pictures, "validation")
        seen += names(pictures, "validation")
    assert len(seen) == len(set(seen)) == 20


def test_a_fold_wins_over_the_share(root: Path) -> None:
    pictures = load(root, options=DataOptions(image_size=8, fold="1/2", validation=0.0))
    assert len(pictures.validation or []) == 10


def test_position_takes_the_first_of_each_class(root: Path) -> None:
    pictures = load(root, options=DataOptions(image_size=8, split="position", validation=0.25))
    assert names(pictures, "validation") == {"a/0.png", "a/1.png", "a/10.png", "b/0.png", "b/1.png"}


def test_a_run_s_split_is_reused_by_name_with_another_seed(root: Path, tmp_path: Path) -> None:
    first = load(root, options=DataOptions(image_size=8, validation=0.3, seed=1))
    (tmp_path / "split.csv").write_text(split_csv(first.table), encoding="utf-8")
    again = load(root, options=DataOptions(image_size=8, split=str(tmp_path), seed=99))
    assert names(again, "validation") == names(first, "validation")
    assert names(again, "train") == names(first, "train")


def test_pixels_stay_with_their_pictures_where_a_split_file_leaves_some_out(
    root: Path, tmp_path: Path
) -> None:
    whole = load(root, options=DataOptions(image_size=8, validation=0.0))
    file = tmp_path / "mine.csv"
    file.write_text("path,split\nb/3.png,train\na/5.png,train\na/7.png,validation\nb/0.png,train\n")
    part = load(root, options=DataOptions(image_size=8, split=str(file)))
    of_name = dict(zip(whole.train.names, whole.train.take(slice(None)), strict=True))
    for pictures in (part.train, part.validation):
        assert pictures is not None
        for name, pixels in zip(pictures.names, pictures.take(slice(None)), strict=True):
            assert np.array_equal(pixels, of_name[name])
    assert any("left out: 16 pictures not in" in note for note in part.notes)


def test_groups_in_names_never_part(write_folder: WriteFolder) -> None:
    files = {f"{kind}/p{p}_{k}.png": b"" for kind in "ab" for p in range(6) for k in range(3)}
    root = write_folder({"x": 36})
    painted = [path.read_bytes() for path in sorted((root / "x").iterdir())]
    folder = write_folder(dict(zip(files, painted, strict=True)), root="patients")
    for options in (
        DataOptions(image_size=8, group_by=r"(p\d+)_", validation=0.3),
        DataOptions(image_size=8, group_by=r"(p\d+)_", fold="2/3"),
    ):
        pictures = load(folder, options=options)
        sides = [{n.split("/")[1].split("_")[0] for n in names(pictures, s)}
                 for s in ("train", "validation")]  # fmt: skip
        assert sides[0]
        assert sides[1]
        assert not sides[0] & sides[1]


def test_what_is_excluded_is_not_there(root: Path, tmp_path: Path) -> None:
    listed = tmp_path / "leave.csv"
    listed.write_text("path,reason\na/3.png,blurred\nb/1.png,twice\n")
    pictures = load(root, options=DataOptions(image_size=8, exclude=str(listed)))
    every = names(pictures, "train") | names(pictures, "validation")
    assert len(every) == 18
    assert not every & {"a/3.png", "b/1.png"}
    assert any("leave.csv" in note or "excluded" in note or "left out" in note
               for note in pictures.notes)  # fmt: skip


def test_paths_are_kept_so_that_they_mean_the_same_from_anywhere(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leave.csv").write_text("path,reason\na/3.png,blurred\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    first = load("~/pictures", options=DataOptions(image_size=8, exclude="leave.csv"))
    assert first.origin == str(root)
    assert first.options.exclude == str(tmp_path / "leave.csv")
    (tmp_path / "split.csv").write_text(split_csv(first.table), encoding="utf-8")
    second = load("pictures", options=DataOptions(image_size=8, split="~/split.csv"))
    assert second.options.split == str(tmp_path / "split.csv")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for each in (first, second):
        assert names(load(each.origin, options=each.options), "train") == names(each, "train")


def test_pictures_that_are_not_accepted_are_not_opened(root: Path) -> None:
    (root / "a" / "0.png").write_bytes(b"")

    def refuse(table: PictureTable) -> None:
        raise OptionError(f"{len(table)} of kind {table.kind}")

    with pytest.raises(OptionError, match="20 of kind class"):
        read_pictures(root, DataOptions(), accept=refuse)


def test_a_split_file_needs_one_picture_of_a_class_only(root: Path, tmp_path: Path) -> None:
    for path in (root / "b").iterdir():
        if path.name != "0.png":
            path.unlink()
    (tmp_path / "mine.csv").write_text("path,split\na/1.png,train\na/2.png,test\nb/0.png,train\n")
    pictures = load(root, options=DataOptions(image_size=8, split=str(tmp_path / "mine.csv")))
    assert names(pictures, "train") == {"a/1.png", "b/0.png"}


def test_what_a_stream_can_be_checked_for_is_checked(write_folder: WriteFolder) -> None:
    root = write_folder({"train/cat": 12, "train/dog": 12, "val/cat": 2, "val/dog": 2,
                         "test/cat": 2, "test/dog": 2})  # fmt: skip
    (root / "test/cat/1.png").write_bytes((root / "val/cat/0.png").read_bytes())
    pictures = load(root, options=DataOptions(image_size=8, stream=True))
    assert pictures.findings is not None
    assert [item.kind for item in pictures.findings.items] == ["exact-across"]
    (group,) = pictures.findings.items[0].groups
    assert {pictures.findings.name(row) for row in group.rows} == {
        "test/cat/1.png",
        "val/cat/0.png",
    }
    assert "training pictures are streamed, so that they were not searched" in pictures.notes[-1]
    unchecked = load(root, options=DataOptions(image_size=8, stream=True, check="off"))
    assert unchecked.findings is None
    assert unchecked.notes == []


def test_classes_of_a_stream_without_other_splits_are_checked(root: Path) -> None:
    pictures = load(root, options=DataOptions(image_size=8, stream=True, validation=0.0))
    assert pictures.findings is not None
    assert [item.kind for item in pictures.findings.items] == ["tiny-class"]


def test_contradictions_are_said_before_reading(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="contradict"):
        load(tmp_path / "nowhere", options=DataOptions(fold="1/2", split="position"))


def test_a_fold_of_a_source_with_its_own_validation(write_folder: WriteFolder) -> None:
    root = write_folder({"train/a": 4, "train/b": 4, "val/a": 2, "val/b": 2})
    with pytest.raises(DataError, match="has validation pictures of its own"):
        load(root, options=DataOptions(image_size=8, fold="1/2"))


def test_labels_of_other_kinds_are_loaded_and_not_trained(tmp_path: Path, root: Path) -> None:
    table = tmp_path / "many.csv"
    rows = [f"{root}/a/{k}.png,x|y" for k in range(6)] + [f"{root}/b/{k}.png,y" for k in range(6)]
    table.write_text("path,label\n" + "\n".join(rows) + "\n")
    pictures = load(table, options=DataOptions(image_size=8, validation=0.25))
    assert pictures.table.kind == "multi-label"
    assert pictures.train.labels.shape == (9, 2)
    assert pictures.train.labels.sum(axis=0)[1] == 9
    with pytest.raises(OptionError, match="are of the kind multi-label, expected one class per"):
        create_model_for(pictures)
    model = create_model("mlp", classes=2, image_size=8, channels=1)
    with pytest.raises(OptionError, match="multi-label"):
        fit(model, pictures, epochs=1)
