"""The object that every data set is: columns, features, batches, missing modalities, and views that agree."""

import hashlib

import numpy as np
import pytest

from mmcourse.datasets import SPLITS, Column, Dataset, Gather, Lazy, data_dir, load, pad

N = 11


def tiny(**changes) -> Dataset:
    """Eleven samples of a picture, a sound that four clips are shared for, and words."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 4, 4, 3), dtype=np.uint8)
    clips = [np.full((t, 2), t, np.float32) for t in (3, 5, 2, 7)]
    clip = rng.integers(0, 4, N)
    ids = [np.arange(2, 2 + t) for t in rng.integers(1, 6, N)]

    def featurise():
        return {
            "image": Column(images.astype(np.float32) / 255, np.arange(N)),
            "sound": pad(clips, clip),
            "words": pad(ids),
        }

    columns = {"words": [f"line {i}" for i in range(N)], "image": images, "sound": Gather(clips, clip)}
    meta = {"clip": clip}
    given = {"classes": "abc", "labels": np.arange(N) % 3, "columns": columns, "meta": meta, "featurise": featurise}
    return Dataset("tiny", "train", **{**given, **changes})


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a.dtype == b.dtype and np.array_equal(a, b)


def to_numpy(value):
    if isinstance(value, dict):
        return {k: to_numpy(v) for k, v in value.items()}
    return value.numpy()


def digest(batches) -> str:
    h = hashlib.sha256()
    for batch in batches:
        for key in ("image", "sound", "words", "label", "present"):
            h.update(np.ascontiguousarray(batch[key]))
    return h.hexdigest()


def test_raw_samples():
    ds = tiny()
    assert len(ds) == N and ds.modalities == ("image", "sound", "words") and ds.classes == ("a", "b", "c")
    assert ds[4]["words"] == "line 4" and ds[4]["label"] == 1
    assert ds[4]["sound"].shape == (ds[4]["sound"][0, 0], 2)
    assert ds[-1]["words"] == f"line {N - 1}"
    with pytest.raises(IndexError):
        ds[N]
    assert repr(ds) == "<tiny/train: 11 samples of image, sound, words>"


def test_columns_gather_without_copying():
    ds = tiny()
    sound = ds.subset([3, 3, 1]).column("sound")
    assert len(sound) == 3 and sound[0] is sound[1]
    assert list(ds.subset([2, 0]).column("words")) == ["line 2", "line 0"]
    assert ds.column("image").shape == (N, 4, 4, 3)
    with pytest.raises(ValueError, match="image, sound, words"):
        ds.column("smell")


def test_lazy_columns_are_made_once():
    calls = []
    column = Lazy(lambda: calls.append(1) or np.arange(5), 5)
    assert len(column) == 5 and not calls
    assert column[2] == 2 and list(column[np.array([1, 0])]) == [1, 0] and len(calls) == 1


def test_subsets_of_subsets():
    part = tiny().subset([9, 5, 1]).subset(np.array([True, False, True]))
    assert list(part.column("words")) == ["line 9", "line 1"]
    assert list(part.labels) == [0, 1] and len(part.meta["clip"]) == 2
    assert part.features().batch(np.arange(2))["label"].tolist() == [0, 1]
    with pytest.raises(ValueError, match="mask of shape"):
        part.subset(np.array([True]))


def test_batches_pad_and_mask():
    ds = tiny()
    batches = list(ds.batches(4))
    assert [len(b["label"]) for b in batches] == [4, 4, 3]
    for b, start in zip(batches, (0, 4, 8), strict=True):
        assert list(b) == ["image", "sound", "words", "padding_mask", "present", "label"]
        assert b["image"].dtype == np.float32 and b["words"].dtype == np.int64 and b["present"].all()
        for row in range(len(b["label"])):
            clip = ds[start + row]["sound"]
            mask = b["padding_mask"]["sound"][row]
            assert mask.sum() == len(clip) and np.array_equal(b["sound"][row][mask], clip)
            assert (b["sound"][row][~mask] == 0).all() and (
                b["words"][row][~b["padding_mask"]["words"][row]] == 0
            ).all()
        assert b["padding_mask"]["sound"].any(axis=0).all()  # no longer than the batch's longest
    fixed = list(ds.batches(4, fixed_length=True))
    assert len({b["sound"].shape[1:] for b in fixed}) == 1
    assert all(
        np.array_equal(b["padding_mask"]["sound"].sum(1), f["padding_mask"]["sound"].sum(1))
        for b, f in zip(batches, fixed, strict=True)
    )


def test_order_depends_on_seed_and_epoch_only():
    ds = tiny()

    def labels(**k):
        return np.concatenate([b["words"].sum(1) * 10 + b["label"] for b in ds.batches(4, **k)]).tolist()

    assert labels(seed=1) == labels(seed=1, epoch=0) != labels(seed=1, epoch=1) != labels(seed=2, epoch=1)
    assert sorted(labels(seed=1)) == sorted(labels()) and digest(ds.batches(3, seed=5)) == digest(
        tiny().batches(3, seed=5)
    )


def test_missing_by_chance():
    ds = load("mood", "test")
    holed = ds.with_missing(rate=0.4, seed=1)
    assert ds.present.all() and holed.present.any(axis=1).all()
    expected = 0.4 - 0.4**3 / 3  # a third of those that would have lost everything keep this one
    np.testing.assert_allclose((~holed.present).mean(axis=0), expected, atol=0.04)
    assert np.array_equal(holed.present, ds.with_missing(rate=0.4, seed=1).present)
    assert not np.array_equal(holed.present, ds.with_missing(rate=0.4, seed=2).present)


def test_missing_by_pattern():
    ds = tiny().with_missing(pattern=["sound"])
    b = next(ds.batches(5))
    assert not b["present"][:, 1].any() and b["present"][:, [0, 2]].all()
    assert not b["sound"].any() and not b["padding_mask"]["sound"].any() and b["image"].any()
    assert ds[0]["sound"] is None and ds[0]["image"] is not None
    assert next(tiny().batches(5))["sound"].any()  # what is shared has not been touched
    own = np.ones((N, 3), bool)
    own[3, 0] = False
    kept = tiny().with_missing(pattern=own).subset([3, 4])
    assert kept.present.tolist() == [[False, True, True], [True, True, True]]
    both = tiny().with_missing(pattern="image").with_missing(pattern="words")
    assert both.present.sum() == N


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.0}, "rate"),
        ({"pattern": ["smell"]}, "image, sound, words"),
        ({"pattern": ["image", "sound", "words"]}, "keep at least one"),
        ({"pattern": np.ones((2, 3), bool)}, r"\(11, 3\)"),
    ],
)
def test_wrong_ways_of_missing(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny().with_missing(**arguments)


@pytest.mark.parametrize("size", [0, -1, 2.5, None])
def test_batch_size_is_checked(size):
    with pytest.raises(ValueError, match="batch_size"):
        next(tiny().batches(size))


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError, match="clip: expected 11 elements"):
        tiny(meta={"clip": np.arange(3)})


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("fixed_length", [False, True])
def test_torch_loader_gives_the_same_batches(seed, fixed_length):
    torch = pytest.importorskip("torch")
    ds = tiny().with_missing(rate=0.3)
    before = torch.random.get_rng_state()
    loader = ds.torch_loader(4, seed=seed, fixed_length=fixed_length)
    assert len(loader) == 3
    for epoch in (0, 1):
        for got, want in zip(loader, ds.batches(4, seed, epoch, fixed_length), strict=True):
            assert got["image"].shape[1] == 3
            got = {**to_numpy(got), "image": got["image"].numpy().transpose(0, 2, 3, 1)}
            assert same(got, want)
    assert torch.equal(before, torch.random.get_rng_state())
    loader.batch_sampler.set_epoch(1)
    again = next(iter(loader))["label"].numpy()
    assert np.array_equal(again, next(ds.batches(4, seed, 1))["label"])


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("fixed_length", [False, True])
def test_tf_dataset_gives_the_same_batches(seed, fixed_length):
    pytest.importorskip("tensorflow")
    ds = tiny().with_missing(rate=0.3)
    flow = ds.tf_dataset(4, seed=seed, fixed_length=fixed_length)
    assert len(flow) == 3
    for epoch in (0, 1):
        for got, want in zip(flow, ds.batches(4, seed, epoch, fixed_length), strict=True):
            assert same(to_numpy(got), want)
    later = next(iter(ds.tf_dataset(4, seed=seed, epoch=7)))
    assert np.array_equal(later["label"].numpy(), next(ds.batches(4, seed, 7))["label"])


def test_both_frameworks_agree_on_mood():
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    ds = load("mood", "test").subset(np.arange(100))
    for a, b in zip(ds.torch_loader(32, seed=0), ds.tf_dataset(32, seed=0), strict=True):
        a = {**to_numpy(a), "face": a["face"].numpy().transpose(0, 2, 3, 1)}
        assert same(a, to_numpy(b))


def test_names_and_splits_are_checked():
    with pytest.raises(ValueError, match="avdigits, mood"):
        load("moods")
    for split in ("dev", "Train", ""):
        with pytest.raises(ValueError, match=", ".join(SPLITS)):
            load("mood", split)


def test_data_dir_holds_mood():
    assert (data_dir() / "mood" / "README.md").is_file()
