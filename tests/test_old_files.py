"""Model files of every format ever written stay loadable, and give the answers they gave.

One file per format lies in `tests/files`, made once by the Nunbit of its day and never
made again. A new format adds a file; see `make_file` for how.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import nunbit
from nunbit.storage import FORMAT_VERSION

FILES = Path(__file__).parent / "files"
FORMATS = sorted(int(path.stem.split("-")[2]) for path in FILES.glob("model-format-*.safetensors"))


def pictures() -> list[np.ndarray]:
    """Three pictures that any Nunbit can make again."""
    ramp = np.arange(8 * 10, dtype=np.uint8).reshape(8, 10) * 3
    return [ramp, ramp[::-1].copy(), np.full((5, 5, 3), 200, np.uint8)]


def make_file(number: int) -> None:
    """Write the file of today's format: `python -m tests.test_old_files`."""
    from nunbit.data.preprocessing import Preprocessing
    from nunbit.networks import create_network
    from nunbit.tasks import Classification

    made = Preprocessing(image_size=8, channels=1, fit="pad", mean=(0.31,), std=(0.37,))
    options = {"width": 3}
    network = create_network("auto", outputs=3, channels=1, image_size=8, seed=1, options=options)
    task = Classification(("cat", "dog", "옷"), titles={"ko": ("고양이", "개", "옷")})
    model = nunbit.Model(
        network,
        preprocessing=made,
        task=task,
        network_name="auto",
        network_options=options,
        facts={"trained_on": {"source": "nothing", "images": 0}},
    )
    path = model.save(FILES / f"model-format-{number}.safetensors")
    answers = [[list(pair) for pair in each.top] for each in model.predict(pictures())]
    path.with_suffix(".json").write_text(json.dumps(answers, ensure_ascii=False) + "\n")


def test_every_format_has_its_file() -> None:
    assert list(range(1, FORMAT_VERSION + 1)) == FORMATS


@pytest.mark.parametrize("number", FORMATS)
def test_a_file_of_an_older_format_gives_its_answers(number: int) -> None:
    path = FILES / f"model-format-{number}.safetensors"
    model = nunbit.Model.load(path)
    assert model.preprocessing.fit == "pad"
    assert model.task.to_dict()["titles"] == {"ko": ["고양이", "개", "옷"]}
    expected = json.loads(path.with_suffix(".json").read_text())
    for said, wanted in zip(model.predict(pictures()), expected, strict=True):
        assert [label for label, _ in said.top] == [label for label, _ in wanted]
        assert [p for _, p in said.top] == pytest.approx(
            [p for _, p in wanted], abs=1e-3
        )  # resizing may differ by a grey level


if __name__ == "__main__":
    make_file(int(sys.argv[1]) if len(sys.argv) > 1 else FORMAT_VERSION)
