"""`avdigits`: what its card promises holds, for the shipped voices and, over loopback HTTP, for the real data."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from loopback import serve
from reference import accuracies, card, pooled
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mmcourse.datasets import SPLITS, data_dir, load, public
from mmcourse.datasets.avdigits import voices as avdigits_voices

FOLDER = data_dir() / "avdigits"
REAL_FILES = ("fsdd-1.0.10.tar.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def fingerprint(ds) -> str:
    """One hash of everything in a data set, features included."""
    features, total = ds.features(), hashlib.sha256()
    for i in range(0, len(ds), 97):
        total.update(ds[i]["voice"].tobytes())
    for array in (ds.column("image")[:], ds.labels, ds.meta["clip"], features["image"], features["voice"]):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory):
    """A cache filled by `load` itself from a loopback server; yields options and the server's log."""
    cache = tmp_path_factory.mktemp("cache")
    old = {name: os.environ.get(name) for name in ("MMCOURSE_CACHE", "MMCOURSE_MIRROR", "MMCOURSE_OFFLINE", "no_proxy")}
    with serve(files={name: (real_data / name).read_bytes() for name in REAL_FILES}) as server:
        os.environ |= {"MMCOURSE_CACHE": str(cache), "MMCOURSE_MIRROR": server.url, "no_proxy": "127.0.0.1"}
        os.environ.pop("MMCOURSE_OFFLINE", None)
        yield {"source": "real"}, server
    for name, value in old.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


# ---- what holds for both sources ----------------------------------------------------------------------------------


@pytest.fixture(params=["embedded", "real"])
def source(request):
    if request.param == "real":
        request.getfixturevalue("real")
    return request.param


def test_samples_are_as_promised(source):
    n = 4000 if source == "embedded" else 8000
    ds = load("avdigits", "train", source=source)
    assert (ds.name, len(ds), ds.modalities, ds.sample_rate) == ("avdigits", n, ("image", "voice"), 8000)
    assert ds.classes == tuple("0123456789") and ds.labels.dtype == np.int64
    assert np.bincount(ds.labels).min() > n / 13
    sample = ds[5]
    assert sample["image"].dtype == np.uint8 and sample["image"].shape == (28, 28, 1)
    assert sample["voice"].dtype == np.float32 and sample["voice"].ndim == 1 and np.abs(sample["voice"]).max() <= 1
    batch = next(ds.batches(32, seed=0))
    assert batch["inputs"]["image"].shape == (32, 28, 28, 1) and batch["inputs"]["image"].dtype == np.float32
    assert batch["inputs"]["image"].min() >= 0 and batch["inputs"]["image"].max() <= 1
    assert batch["inputs"]["voice"].dtype == np.float32 and batch["inputs"]["voice"].shape[2] == 32
    assert batch["padding_mask"]["voice"].shape == batch["inputs"]["voice"].shape[:2]
    assert not batch["inputs"]["voice"][~batch["padding_mask"]["voice"]].any()


def test_voice_features_are_standardized_by_training_recordings(source):
    ds = load("avdigits", "train", source=source)
    column = ds.features().columns["voice"]
    frames = np.concatenate([mel[:length] for mel, length in zip(column.store, column.lengths, strict=True)])
    np.testing.assert_allclose(frames.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(frames.std(0), 1, atol=1e-3)


@pytest.mark.parametrize("split_by", ["clip", "speaker"])
def test_splits_share_what_they_should_and_no_more(source, split_by):
    parts = [load("avdigits", split, source=source, split_by=split_by, difficulty="easy") for split in SPLITS]
    spoken = avdigits_voices.read_clips(source).digit
    speakers, clips, pictures = ([set(ds.meta[key]) for ds in parts] for key in ("speaker", "clip", "image_index"))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not clips[a] & clips[b] and not pictures[a] & pictures[b]
        assert (speakers[a] == speakers[b]) if split_by == "clip" else not speakers[a] & speakers[b]
    for ds in parts:
        np.testing.assert_array_equal(spoken[ds.meta["clip"]], ds.labels)
    if source == "real" and split_by == "clip":
        assert set(parts[2].meta["take"]) == set(range(5)), "FSDD's official test part"


def test_same_seed_same_data_in_another_process(source):
    options = f"'avdigits', 'validation', source={source!r}"
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + (
        f"from test_avdigits import fingerprint, load; print(fingerprint(load({options})))"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert there == fingerprint(load("avdigits", "validation", source=source))
    other = load("avdigits", "validation", source=source, seed=1)
    assert not np.array_equal(other.meta["clip"], load("avdigits", "validation", source=source).meta["clip"])


def test_views_give_equal_batches():
    pytest.importorskip("torch")
    ds = load("avdigits", "validation").subset(np.arange(70))
    for ours, theirs in zip(ds.batches(32, seed=3), ds.torch_loader(32, seed=3), strict=True):
        np.testing.assert_array_equal(theirs["inputs"]["image"].permute(0, 2, 3, 1).numpy(), ours["inputs"]["image"])
        np.testing.assert_array_equal(theirs["inputs"]["voice"].numpy(), ours["inputs"]["voice"])
        np.testing.assert_array_equal(theirs["padding_mask"]["voice"].numpy(), ours["padding_mask"]["voice"])
        np.testing.assert_array_equal(theirs["target"].numpy(), ours["target"])


# ---- accuracies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("split_by", "difficulty"), [("speaker", "hard"), ("clip", "hard"), ("speaker", "easy")])
def test_card_tells_the_truth(source, split_by, difficulty):
    stated = card()[source, split_by, difficulty]
    found = accuracies(source=source, split_by=split_by, difficulty=difficulty)
    for name, value in stated.items():
        assert found[name] == pytest.approx(value, abs=0.02), (name, found)
    if (split_by, difficulty) == ("speaker", "hard"):
        assert 0.63 <= found["image"] <= 0.75 and 0.60 <= found["voice"] <= 0.75 and found["product"] >= 0.85


def test_real_speech_is_easy_by_clip_and_hard_by_speaker(real):
    clips = avdigits_voices.read_clips("real")
    x, y = pooled(avdigits_voices.log_mels(clips.waves)), clips.digit

    def score(test: np.ndarray) -> float:
        model = make_pipeline(StandardScaler(), SVC(C=10)).fit(x[~test], y[~test])
        return model.score(x[test], y[test])

    assert score(clips.take < 5) >= 0.97
    assert np.mean([score(clips.speaker == who) for who in np.unique(clips.speaker)]) <= 0.85


# ---- the embedded source ------------------------------------------------------------------------------------------


def test_shipped_voices_match_their_index_and_are_small():
    index = json.loads((FOLDER / "voices" / "voices.json").read_text())
    assert len(index["speakers"]) >= 24
    for entry in index["speakers"].values():
        wave, rate = soundfile.read(FOLDER / "voices" / entry["file"], dtype="int16")
        assert rate == 8000 and hashlib.sha256(wave.astype("<i2").tobytes()).hexdigest() == entry["sha256"]
        takes = {(digit, take) for digit, take, *_ in entry["clips"]}
        assert len(takes) == len(entry["clips"]) >= 30 and entry["clips"][-1][3] == len(wave)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 8e6


def test_no_two_shipped_clips_are_the_same():
    index, seen = json.loads((FOLDER / "voices" / "voices.json").read_text())["speakers"], {}
    for voice, entry in index.items():
        wave, _ = soundfile.read(FOLDER / "voices" / entry["file"], dtype="int16")
        for digit, take, start, stop, *_ in entry["clips"]:
            same = seen.setdefault(wave[start:stop].tobytes(), (voice, digit, take))
            assert same == (voice, digit, take), f"{same} and {(voice, digit, take)} are the same sound"
    assert len(seen) == 36 * 10 * 4


@pytest.fixture(scope="module")
def make():
    """The script that rendered the voices, where it can."""
    version = shutil.which("espeak-ng") and subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True)
    if not version or "1.51" not in version.stdout:
        pytest.skip("espeak-ng 1.51, which rendered the shipped voices, is not installed here")
    spec = importlib.util.spec_from_file_location("make_voices", FOLDER / "make.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def test_voices_can_be_made_again(make):
    wave, rows = make.record(make.SPEAKERS["train"][0], np.random.default_rng(make.SEED))
    index = json.loads((FOLDER / "voices" / "voices.json").read_text())["speakers"][make.SPEAKERS["train"][0]]
    assert rows == index["clips"] and hashlib.sha256(wave.astype("<i2").tobytes()).hexdigest() == index["sha256"]


def test_no_two_voices_have_the_same_audio(make):
    """At one tempo and pitch; takes differ in both, and so hid that espeak-ng ignores the variant of `en-gb`."""
    index = json.loads((FOLDER / "voices" / "voices.json").read_text())["speakers"]
    assert list(index) == [voice for voices in make.SPEAKERS.values() for voice in voices]
    said = {make.speak(voice, "seven", 150, 50).tobytes() for voice in index}
    assert len(said) == len(index)


def test_easy_images_are_the_handwriting_itself(monkeypatch):
    from mmcourse.datasets.avdigits import images as images

    table, digits = images._sklearn_table()
    np.testing.assert_array_equal(table, np.uint8(load_digits().images * 255 / 16))
    np.testing.assert_array_equal(digits, load_digits().target)
    monkeypatch.setattr(images.importlib.util, "find_spec", lambda _: None)  # a scikit-learn that moved its file
    np.testing.assert_array_equal(images._sklearn_table()[0], table)


def test_principal_axes_equal_an_svd():
    from mmcourse.datasets.avdigits.images import principal_axes

    x = load_digits().data.astype(np.float32)
    x -= x.mean(0)
    found, wanted = principal_axes(x, 5), np.linalg.svd(x, full_matrices=False)[2][:5].T
    np.testing.assert_allclose(found @ found.T, wanted @ wanted.T, atol=1e-4)


@pytest.mark.parametrize("argument", ["split", "source", "split_by", "difficulty"])
def test_unknown_choices_are_named(argument):
    with pytest.raises(ValueError, match=f"{argument}: expected .*, got 'wrong'"):
        load("avdigits", **{argument: "wrong"})


# ---- the real source ----------------------------------------------------------------------------------------------


def test_real_data_are_fetched_once_and_whole(real):
    options, server = real
    load("avdigits", "test", **options)
    load("avdigits", "train", **options)
    assert sorted(path for path, *_ in server.log) == sorted(f"/{name}" for name in REAL_FILES)
    assert all(source.present() and source.verify() == [] for source in (public.MNIST, public.FSDD))


def test_command_line_fetches_and_verifies(real, tmp_path):
    cli = [sys.executable, "-c", "from mmcourse.cli import main; main()", "data"]
    environment = {**os.environ, "MMCOURSE_CACHE": str(tmp_path), "COLUMNS": "200"}

    def run(command: str) -> tuple[int, str]:
        done = subprocess.run(
            [*cli, command, "mnist-t10k", "fsdd-1.0.10"], env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    before = len(real[1].log)
    status, text = run("verify")
    assert status == 1 and text.count("not here; run `mmcourse data fetch") == 2
    status, text = run("fetch")
    assert status == 0 and "fsdd-1.0.10: verified in" in text
    status, text = run("verify")
    assert status == 0 and "all 2 files verified" in text and "all 3000 files verified" in text
    (tmp_path / "fsdd-1.0.10" / "7_theo_3.wav").write_bytes(b"damaged")
    status, text = run("verify")
    assert status == 1 and "7_theo_3.wav wrong checksum" in text
    del real[1].log[before:]


def test_damaged_real_data_mend_themselves(real):
    _, server = real
    public.MNIST.fetch()
    images = public.MNIST.folder / "t10k-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:1000])
    assert [problem for problem in public.MNIST.verify() if "t10k-images" in problem]
    before = len(server.log)
    load("avdigits", "test", source="real")
    assert [path for path, *_ in server.log[before:]] == ["/t10k-images-idx3-ubyte.gz"]
    server.log.pop()


def test_without_network_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("MMCOURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("MMCOURSE_OFFLINE", "1")
    with pytest.raises(OSError, match="t10k-images-idx3-ubyte.gz is not in .* and MMCOURSE_OFFLINE is set") as error:
        load("avdigits", source="real")
    assert "\n" not in str(error.value)
