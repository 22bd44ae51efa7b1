"""The shipped ONNX files answer as the PyTorch model does, for any batch and any padding, and need no PyTorch."""

import hashlib
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from mmcourse import messages, onnx
from mmcourse.datasets import data_dir, load
from mmcourse.datasets.mood import MODALITIES

FOLDER = data_dir() / "models" / "start_here"
SUBSETS = [names for k in (1, 2, 3) for names in itertools.combinations(MODALITIES, k)]


@pytest.fixture(scope="module")
def test_set():
    return load("mood", "test").subset(range(200))


@pytest.fixture(scope="module")
def model():
    return onnx.load_trimodal()


@pytest.fixture(scope="module")
def eager():
    pytest.importorskip("torch")
    from mmcourse.pretrained import load_trimodal
    from mmcourse.training.torch import predict

    trained = load_trimodal()

    def probabilities(data):
        logits = predict(trained, data.torch_loader(batch_size=50)).astype(np.float64)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True)

    return probabilities


def raw(data, i, names=MODALITIES):
    sample = data[i]
    return {name: sample[name] for name in names}


def test_no_framework_is_loaded():
    code = (
        "import sys; from mmcourse import messages, onnx; model = onnx.load_trimodal(); "
        "model.probabilities([{'words': 'What a lovely evening!'}]); "
        "print([name for name in ('torch', 'tensorflow', 'keras', 'jax') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert not done.stderr


@pytest.mark.parametrize("batch_size", [1, 7, 200])
def test_probabilities_are_those_of_pytorch(test_set, model, eager, batch_size):
    ours = np.concatenate([model.probabilities(batch) for batch in test_set.batches(batch_size)])
    assert np.abs(ours - eager(test_set)).max() < 1e-5


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_every_subset_of_modalities(test_set, model, eager, names):
    part = test_set.subset(range(40)).with_missing(pattern=[m for m in MODALITIES if m not in names])
    ours = np.concatenate([model.probabilities(batch) for batch in part.batches(40)])
    assert np.abs(ours - eager(part)).max() < 1e-5


def test_subsets_mixed_in_one_batch_of_raw_messages(test_set, model, eager):
    samples = [raw(test_set, i, SUBSETS[i % 7]) for i in range(70)]
    ours = model.probabilities(samples)
    keep = {m: np.array([m in SUBSETS[i % 7] for i in range(70)]) for m in MODALITIES}
    assert np.abs(ours - eager(test_set.subset(range(70)).with_missing(pattern=keep))).max() < 1e-5
    alone = np.concatenate([model.probabilities([sample]) for sample in samples])
    assert np.abs(ours - alone).max() < 1e-6  # another's length changes nothing


@pytest.mark.parametrize("extra", [1, 2, 5])
def test_what_padding_or_absence_hides_never_matters(test_set, model, extra):
    batch = next(test_set.batches(30))
    before = model.logits(batch)
    arrays = onnx.to_arrays(batch)
    rng = np.random.default_rng(0)
    for name, filler in (("voice", 1e3), ("words", 5)):
        shape = (30, extra, *arrays[name].shape[2:])
        arrays[name] = np.concatenate([arrays[name], np.full(shape, filler, arrays[name].dtype)], axis=1)
        arrays[f"{name}_mask"] = np.concatenate([arrays[f"{name}_mask"], np.zeros((30, extra), bool)], axis=1)
    assert np.abs(model.run(arrays) - before).max() < 1e-5
    arrays["presence"] = np.array([[True, True, False]] * 30)
    without = model.run(arrays)
    arrays["words"] = rng.integers(2, 100, arrays["words"].shape)
    assert np.array_equal(model.run(arrays), without)
    arrays["presence"] = np.array([[False, True, True]] * 30)
    without = model.run(arrays)
    arrays["face"] = np.full_like(arrays["face"], np.nan)
    assert np.array_equal(model.run(arrays), without)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_shortest_inputs(model, batch, frames, words):
    torch = pytest.importorskip("torch")
    from mmcourse.pretrained import load_trimodal

    rng = np.random.default_rng(1)
    face, voice = rng.random((batch, 32, 32, 3), np.float32), rng.normal(size=(batch, frames, 40)).astype(np.float32)
    ids = rng.integers(2, 100, (batch, words))
    given = {
        "inputs": {"face": face, "voice": voice, "words": ids},
        "padding_mask": {"voice": np.ones((batch, frames), bool), "words": np.ones((batch, words), bool)},
        "modality_mask": dict.fromkeys(MODALITIES, np.ones(batch, bool)),
    }
    tensors = {k: {m: torch.from_numpy(v) for m, v in given[k].items()} for k in ("inputs", "padding_mask")}
    tensors["inputs"]["face"] = tensors["inputs"]["face"].permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = load_trimodal()(tensors).numpy()
    assert np.abs(model.logits(given) - expected).max() < 1e-5


def test_raw_messages_become_the_data_sets_own_batch(test_set):
    made = messages.make_batch([raw(test_set, i) for i in range(9)])
    batch = next(test_set.batches(9))
    for key in ("inputs", "padding_mask"):
        for name, value in made[key].items():
            longest = batch[key][name].shape[1]
            assert np.array_equal(value[:, :longest], batch[key][name])
            assert not value[:, longest:].any()


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([], "expected one message or more"),
        ([{"words": "fine"}, {}], "sample 1: expected one or more of face, voice, words, got none"),
        ([{"words": None}], "sample 0: expected one or more"),
        ([{"words": "..."}], "sample 0: words: expected a sentence with at least one English word"),
        ([{"voice": np.zeros(10, np.float32)}], "sample 0: voice: expected 0.1 to 30 seconds"),
        ([{"face": np.zeros((32, 32, 3), np.float32)}], "sample 0: face: expected uint8"),
        ([{"smell": 1}], "sample 0: modality: expected one of"),
    ],
)
def test_errors_say_what_to_give(samples, says):
    with pytest.raises(ValueError, match=says):
        messages.make_batch(samples)


def test_the_shipped_files_are_the_measured_ones():
    figures = json.loads((FOLDER / "onnx.json").read_text(encoding="utf-8"))
    for name in ("model.onnx", "model.int8.onnx"):
        data = (FOLDER / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == figures[name]["sha256"]
        assert len(data) == figures[name]["bytes"]
        assert not any(word in data for word in (b"/home/", b"/work/", b".py", b"site-packages"))
    assert figures["model.onnx"]["accuracy"] == figures["eager accuracy"]


def test_the_int8_file_agrees_almost_always(test_set, model):
    small = onnx.load_trimodal("model.int8.onnx")
    batches = list(test_set.batches(100))
    ours, theirs = (np.concatenate([m.probabilities(b) for b in batches]) for m in (small, model))
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.98
    assert np.abs(ours - theirs).max() < 0.05


def test_no_such_file():
    with pytest.raises(FileNotFoundError, match=r"mmcourse\.export"):
        onnx.load_trimodal("nowhere.onnx")


def test_export_anew_gives_the_same_answers(tmp_path, test_set, model):
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from mmcourse.export import export_trimodal

    path = export_trimodal(tmp_path / "again.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["again.onnx"]  # one file, weights inside
    batch = next(test_set.batches(50))
    assert np.abs(onnx.load_trimodal(path).logits(batch) - model.logits(batch)).max() < 1e-5


def test_float16_files_have_half_the_bytes_and_the_same_answers(tmp_path, test_set, model):
    pytest.importorskip("torch")
    from mmcourse.export import float16_onnx, float16_weights

    batch = next(test_set.batches(50))
    logits, size = model.logits(batch), model.path.stat().st_size
    for make, apart in ((float16_weights, 1e-5), (float16_onnx, 0.01)):
        path = make(model.path, tmp_path / f"{make.__name__}.onnx")
        assert path.stat().st_size < 0.55 * size
        found = onnx.load_trimodal(path).logits(batch)
        assert np.abs(found - logits).max() < apart
        assert (found.argmax(1) == logits.argmax(1)).all()
