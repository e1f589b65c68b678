"""The public names are one list, and nothing heavy is imported for help."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nunbit

PUBLIC = [
    "Augment",
    "Callback",
    "CheckpointError",
    "DataError",
    "DataOptions",
    "EarlyStopping",
    "History",
    "LRCurve",
    "LoadWeights",
    "MissingExtraError",
    "Model",
    "ModelCheckpoint",
    "ModelFileError",
    "Moment",
    "NunbitError",
    "OptionError",
    "PictureError",
    "PictureSet",
    "Pictures",
    "ProgressPrinter",
    "ReduceLROnPlateau",
    "SetLR",
    "ShapeError",
    "Stop",
    "StorageError",
    "TrainOptions",
    "TrainingError",
    "__version__",
    "create_model",
    "create_model_for",
    "evaluate",
    "find_lr",
    "fit",
    "load",
]

HEAVY = ("torch", "cv2", "numpy", "sklearn", "scipy", "torchmetrics", "jinja2", "uvicorn")


def loaded_by(code: str) -> set[str]:
    """Return which heavy modules are loaded after ``code`` in a fresh interpreter."""
    probe = f"{code}\nimport sys\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()) if done.stdout.strip() else set()


def test_the_public_names_are_frozen() -> None:
    assert sorted(nunbit.__all__) == sorted(PUBLIC)


@pytest.mark.parametrize("name", nunbit.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(nunbit, name) is not None


def test_errors_are_also_what_a_caller_would_catch() -> None:
    pairs = {
        nunbit.OptionError: ValueError,
        nunbit.DataError: ValueError,
        nunbit.PictureError: ValueError,
        nunbit.ShapeError: ValueError,
        nunbit.ModelFileError: ValueError,
        nunbit.CheckpointError: RuntimeError,
        nunbit.TrainingError: RuntimeError,
        nunbit.StorageError: OSError,
        nunbit.MissingExtraError: ImportError,
    }
    for error, builtin in pairs.items():
        assert issubclass(error, nunbit.NunbitError)
        assert issubclass(error, builtin)


def test_a_misspelt_public_name_gets_the_nearest() -> None:
    with pytest.raises(AttributeError, match="Did you mean `create_model`"):
        nunbit.creat_model  # noqa: B018  # the look-up is the test


def test_import_loads_nothing_heavy() -> None:
    assert loaded_by("import nunbit") == set()


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["predict", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    assert loaded_by(f"from nunbit.cli.main import run; run({words!r})") == set()


def test_the_guard_itself_sees_a_heavy_import() -> None:
    assert "torch" in loaded_by("import nunbit; nunbit.Model")


def test_torchvision_and_timm_are_not_needed() -> None:
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torchvision', 'timm'):
            raise ImportError(f'{name} is blocked')
sys.meta_path.insert(0, Block())
import nunbit
for name in nunbit.__all__:
    getattr(nunbit, name)
try:
    import torchvision
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "torchvision is blocked"
