"""Training on real recordings: both modalities beat the better one by ten points, with few epochs already."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from loopback import serve

from mmcourse.datasets import lesson_dir, load, results

FILES = ("fsdd-1.0.10.tar.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


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
def make():
    path = lesson_dir("train_pytorch") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_train_pytorch_real", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_beat_the_better_single_one_by_ten_points(make, real):
    assert not set(real[0].meta["speaker"]) & set(real[1].meta["speaker"])
    known, new = (make.tensors(ds) for ds in real)
    stored, reached = results("train_pytorch")["real"], {}
    for names in (("image",), ("voice",), ("image", "voice")):
        torch.manual_seed(0)
        model = make.DigitModel(*names)
        make.train(model, known, epochs=3, rate=3e-3)
        reached[names] = make.accuracy(model, new)
        assert reached[names] == pytest.approx(stored[" + ".join(names)]["3 epochs"][0], abs=0.05)
    single = max(reached["image",], reached["voice",])
    assert reached["image", "voice"] >= single + 0.10, reached
