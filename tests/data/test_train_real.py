"""Training on real recordings: both modalities beat the better one by ten points; a raw wave beside pixels harms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from loopback import serve

from mmcourse.datasets import load

FILES = ("fsdd-1.0.10.tar.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
SOURCE = Path(__file__).parents[2] / "notebooks" / "src" / "train_pytorch" / "lesson.py"


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory):
    """Train and test split of the real digits, no speaker in both, fetched from a loopback server."""
    with (
        serve(files={name: (real_data / name).read_bytes() for name in FILES}) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("MMCOURSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MMCOURSE_MIRROR", server.url)
        patch.setenv("no_proxy", "127.0.0.1")
        patch.delenv("MMCOURSE_OFFLINE", raising=False)
        return tuple(load("avdigits", split, source="real") for split in ("train", "test"))


@pytest.fixture(scope="module")
def lesson(real):
    """The lesson's own cells that define models and raw arrays, with real digits in place of the shipped ones."""
    cells = [c.partition("\n")[2] for c in re.split(r"^# %%", SOURCE.read_text("utf-8"), flags=re.M)]
    wanted = (
        "import tempfile",
        "def build(",
        "class Sounds",
        "def build_digits",
        "def learn_digits",
        "def raw(",
        "class Flat",
    )
    space: dict = {}
    for start in wanted:
        cell = next(c for c in cells if start in c and not c.startswith(" [markdown]"))
        body = cell.split("\nread =")[0].split("\nknown, new")[0].split("\nmodel =")[0]  # definitions only
        exec(body, space)
        space |= {"digits": real[0], "unseen": real[1]}
    return space


def test_both_beat_the_better_single_one_by_ten_points(lesson, real):
    assert not set(real[0].meta["speaker"]) & set(real[1].meta["speaker"])
    reached = {
        n: lesson["learn_digits"](lesson["build_digits"](*n), *real)
        for n in (("image",), ("voice",), ("image", "voice"))
    }
    single = max(reached["image",], reached["voice",])
    assert reached["image", "voice"] >= single + 0.10, reached


def test_a_raw_wave_beside_pixels_falls_below_pixels_alone(lesson, real):
    known, new = (lesson["raw"](data) for data in real)
    alone, joined = (lesson["flat_accuracy"](known[:n], new[:n]) for n in (1, 2))
    assert joined < alone - 0.05, (alone, joined)
