"""The object that every data set is: columns, features, batches, missing modalities, and views that agree."""

import hashlib

import numpy as np
import pytest

from mmcourse.datasets import SPLITS, Column, Dataset, IndexedView, LazySequence, data_dir, load, pad

N = 11


def tiny(**changes) -> Dataset:
    """Eleven samples of a picture, a sound that four clips are shared for, and words."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 4, 4, 3), dtype=np.uint8)
    clips = [np.full((t, 2), t, np.float32) for t in (3, 5, 2, 7)]
    clip = rng.integers(0, 4, N)
    ids = [np.arange(2, 2 + t) for t in rng.integers(1, 6, N)]

    def preprocess():
        return {
            "image": Column(images.astype(np.float32) / 255, np.arange(N)),
            "sound": pad(clips, clip),
            "words": pad(ids),
        }

    columns = {"words": [f"line {i}" for i in range(N)], "image": images, "sound": IndexedView(clips, clip)}
    meta = {"clip": clip}
    given = {"classes": "abc", "labels": np.arange(N) % 3, "columns": columns, "meta": meta, "preprocess": preprocess}
    return Dataset("tiny", "train", **{**given, **changes})


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return a.dtype == b.dtype and np.array_equal(a, b)


def to_numpy(value):
    if isinstance(value, dict):
        return {k: to_numpy(v) for k, v in value.items()}
    return value.numpy()


def channels_last(batch, modality):
    """A PyTorch batch as NumPy has it."""
    batch = to_numpy(batch)
    batch["inputs"][modality] = batch["inputs"][modality].transpose(0, 2, 3, 1)
    return batch


def digest(batches) -> str:
    h = hashlib.sha256()
    for batch in batches:
        for array in (*batch["inputs"].values(), *batch["modality_mask"].values(), batch["target"]):
            h.update(np.ascontiguousarray(array))
    return h.hexdigest()


def test_raw_samples():
    ds = tiny()
    assert len(ds) == N and ds.modalities == ("image", "sound", "words") and ds.classes == ("a", "b", "c")
    assert ds[4]["words"] == "line 4" and ds[4]["target"] == 1 and type(ds[4]["target"]) is int
    assert ds[4]["sound"].shape == (ds[4]["sound"][0, 0], 2)
    assert ds[-1]["words"] == f"line {N - 1}"
    with pytest.raises(IndexError):
        ds[N]
    assert repr(ds) == "<tiny/train: 11 samples of image, sound, words>"


def test_columns_gather_without_copying():
    ds = tiny()
    sound = ds.subset([3, 3, 1]).column("sound")
    assert len(sound) == 3 and np.shares_memory(sound[0], sound[1])
    assert list(ds.subset([2, 0]).column("words")) == ["line 2", "line 0"]
    assert ds.column("image").shape == (N, 4, 4, 3)
    with pytest.raises(ValueError, match="image, sound, words"):
        ds.column("smell")


def test_lazy_columns_are_made_once():
    calls = []
    column = LazySequence(lambda: calls.append(1) or np.arange(5), 5)
    assert len(column) == 5 and not calls
    assert column[2] == 2 and list(column[np.array([1, 0])]) == [1, 0] and len(calls) == 1


def test_subsets_of_subsets():
    part = tiny().subset([9, 5, 1]).subset(np.array([True, False, True]))
    assert list(part.column("words")) == ["line 9", "line 1"]
    assert list(part.labels) == [0, 1] and len(part.meta["clip"]) == 2
    assert part.features().batch(np.arange(2))["target"].tolist() == [0, 1]
    with pytest.raises(ValueError, match="mask of shape"):
        part.subset(np.array([True]))
    assert len(part.subset([])) == 0


@pytest.mark.parametrize("indices", [2, [0.9, 1.7], [[1, 2]], ["1"], None, slice(3)])
def test_subset_takes_whole_numbers_only(indices):
    with pytest.raises(ValueError, match="indices: expected"):
        tiny().subset(indices)


def test_batches_pad_and_mask():
    ds = tiny()
    batches = list(ds.batches(4))
    assert [len(b["target"]) for b in batches] == [4, 4, 3]
    for b, start in zip(batches, (0, 4, 8), strict=True):
        assert list(b) == ["inputs", "padding_mask", "modality_mask", "target"]
        inputs = b["inputs"]
        assert list(inputs) == ["image", "sound", "words"] == list(b["modality_mask"])
        assert inputs["image"].dtype == np.float32 and inputs["words"].dtype == np.int64
        assert all(there.shape == (len(b["target"]),) and there.all() for there in b["modality_mask"].values())
        for row in range(len(b["target"])):
            clip = ds[start + row]["sound"]
            mask = b["padding_mask"]["sound"][row]
            assert mask.sum() == len(clip) and np.array_equal(inputs["sound"][row][mask], clip)
            assert (inputs["sound"][row][~mask] == 0).all()
            assert (inputs["words"][row][~b["padding_mask"]["words"][row]] == 0).all()
        assert b["padding_mask"]["sound"].any(axis=0).all()  # no longer than the batch's longest
    fixed = list(ds.batches(4, fixed_length=True))
    assert len({b["inputs"]["sound"].shape[1:] for b in fixed}) == 1
    assert all(
        np.array_equal(b["padding_mask"]["sound"].sum(1), f["padding_mask"]["sound"].sum(1))
        for b, f in zip(batches, fixed, strict=True)
    )


def test_order_depends_on_seed_and_epoch_only():
    ds = tiny()

    def labels(**k):
        return np.concatenate([b["inputs"]["words"].sum(1) * 10 + b["target"] for b in ds.batches(4, **k)]).tolist()

    assert labels(seed=1) == labels(seed=1, epoch=0) != labels(seed=1, epoch=1) != labels(seed=2, epoch=1)
    assert sorted(labels(seed=1)) == sorted(labels()) and digest(ds.batches(3, seed=5)) == digest(
        tiny().batches(3, seed=5)
    )


def there(ds):
    """The modality mask as one array (n, M)."""
    return np.stack(list(ds.modality_mask.values()), axis=1)


def test_missing_by_chance():
    ds = load("mood", "test")
    holed = ds.with_missing(rate=0.4, seed=1)
    assert there(ds).all() and there(holed).any(axis=1).all()
    expected = 0.4 - 0.4**3 / 3  # a third of those that would have lost everything keep this one
    np.testing.assert_allclose((~there(holed)).mean(axis=0), expected, atol=0.04)
    assert np.array_equal(there(holed), there(ds.with_missing(rate=0.4, seed=1)))
    assert not np.array_equal(there(holed), there(ds.with_missing(rate=0.4, seed=2)))


def test_missing_by_pattern():
    ds = tiny().with_missing(pattern=["sound"])
    b = next(ds.batches(5))
    assert [m.any() for m in b["modality_mask"].values()] == [True, False, True]
    assert not b["inputs"]["sound"].any() and not b["padding_mask"]["sound"].any() and b["inputs"]["image"].any()
    assert ds[0]["sound"] is None and ds[0]["image"] is not None
    assert next(tiny().batches(5))["inputs"]["sound"].any()  # what is shared has not been touched
    kept = tiny().with_missing(pattern={"image": np.arange(N) != 3}).subset([3, 4])
    assert there(kept).tolist() == [[False, True, True], [True, True, True]]
    both = tiny().with_missing(pattern="image").with_missing(pattern="words")
    assert there(both).sum() == N


def test_what_is_missing_makes_no_batch_longer():
    """A batch is as long as its longest sequence that is there, in every view; `fixed_length` stays as it was."""
    ds = tiny()
    frames = next(ds.batches(N))["padding_mask"]["sound"].sum(axis=1)
    others = frames < frames.max()
    gone = ds.with_missing(pattern={"sound": others})
    batch = next(gone.batches(N))
    assert batch["inputs"]["sound"].shape[1] == frames[others].max() < frames.max()
    assert np.array_equal(batch["padding_mask"]["sound"].sum(axis=1), np.where(others, frames, 0))
    assert not batch["inputs"]["sound"][~others].any()
    assert next(iter(gone.torch_loader(N)))["inputs"]["sound"].shape[1] == frames[others].max()
    assert next(iter(gone.tf_dataset(N)))[0]["inputs"]["sound"].shape[1] == frames[others].max()
    fixed = next(gone.batches(N, fixed_length=True))["inputs"]["sound"]
    assert fixed.shape == next(ds.batches(N, fixed_length=True))["inputs"]["sound"].shape
    assert np.array_equal(next(ds.batches(N))["padding_mask"]["sound"].sum(axis=1), frames)  # `ds` is as before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 1.0}, "rate"),
        ({"pattern": ["smell"]}, "image, sound, words"),
        ({"pattern": ["image", "sound", "words"]}, "keep at least one"),
        ({"pattern": {"image": np.ones(2, bool)}}, r"pattern\['image'\]: expected bool \(11,\)"),
        ({"pattern": {"image": np.ones(N)}}, "got float64"),
        ({"pattern": {"smell": np.ones(N, bool)}}, "image, sound, words"),
        ({"pattern": np.ones((N, 3), bool)}, "an array without names"),
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
            assert got["inputs"]["image"].shape[1] == 3
            assert same(channels_last(got, "image"), want)
    assert torch.equal(before, torch.random.get_rng_state())
    loader.batch_sampler.set_epoch(1)
    again = next(iter(loader))["target"].numpy()
    assert np.array_equal(again, next(ds.batches(4, seed, 1))["target"])


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("fixed_length", [False, True])
def test_tf_dataset_gives_the_same_batches(seed, fixed_length):
    pytest.importorskip("tensorflow")
    ds = tiny().with_missing(rate=0.3)
    flow = ds.tf_dataset(4, seed=seed, fixed_length=fixed_length)
    assert len(flow) == 3
    for epoch in (0, 1):
        for (x, target), want in zip(flow, ds.batches(4, seed, epoch, fixed_length), strict=True):
            assert same(to_numpy({**x, "target": target}), want)
    _, later = next(iter(ds.tf_dataset(4, seed=seed, epoch=7)))
    assert np.array_equal(later.numpy(), next(ds.batches(4, seed, 7))["target"])


def test_both_frameworks_agree_on_mood():
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    ds = load("mood", "test").subset(np.arange(100))
    for a, (x, target) in zip(ds.torch_loader(32, seed=0), ds.tf_dataset(32, seed=0), strict=True):
        assert same(channels_last(a, "face"), to_numpy({**x, "target": target}))


def test_names_and_splits_are_checked():
    with pytest.raises(ValueError, match="avdigits, .*mood"):
        load("moods")
    for split in ("dev", "Train", ""):
        with pytest.raises(ValueError, match=", ".join(SPLITS)):
            load("mood", split)


def test_data_dir_holds_mood():
    assert (data_dir() / "mood" / "README.md").is_file()


# ---- what a data set refuses ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.9, 1.2, 0, 1], "whole numbers .*float64"),
        ([np.nan, 1, 0, 1], "whole numbers .*float64"),
        ([0.0, 1.0, 0.0, 1.0], "whole numbers .*float64"),
        ([7, 1, 0, 1], "0 ≤ label < 2, .* got 7"),
        ([-1, 1, 0, 1], "0 ≤ label < 2, .* got -1"),
        (np.eye(2)[[0, 1, 0, 1]], "argmax"),
        (["a", "b", "a", "b"], "whole numbers"),
        (1, "one class number per sample"),
        ([None, 1, 0, 1], "whole numbers"),
    ],
)
def test_labels_are_class_numbers(labels, message):
    with pytest.raises(ValueError, match=f"labels: expected .*{message}"):
        toy(labels=labels)


def toy(n=4, **changes):
    x = np.arange(2.0 * n, dtype=np.float32).reshape(n, 2)
    given = {"classes": ("a", "b"), "labels": np.arange(n) % 2, "columns": {"x": x}, "meta": {}}
    if "targets" in changes:
        del given["labels"]
    return Dataset("toy", "train", **{**given, "preprocess": lambda: {"x": Column(x, np.arange(n))}, **changes})


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, bool])
def test_labels_of_any_whole_type(kind):
    ds = toy(labels=np.array([0, 1, 0, 1], kind))
    assert ds.labels.dtype == np.int64 and ds.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": Column(np.zeros((6, 2)), np.arange(6))}, "x: expected 4 rows, one per sample, got 6"),
        ({"x": Column(np.zeros((6, 2)), np.arange(3))}, "x: expected 4 rows, one per sample, got 3"),
        ({"x": Column(np.zeros((3, 2)), np.arange(4))}, "x: expected an index within the 3 elements"),
        ({"x": Column(np.zeros((4, 2)), np.arange(4) - 1)}, "x: expected an index within"),
        ({"x": Column(np.zeros((4, 2)), np.arange(4.0))}, "x: expected an index of whole numbers"),
        ({"x": Column(np.zeros((4, 2)), np.arange(4), np.array([1, 2, 3]))}, "x: expected one whole-number length"),
        ({"x": Column(np.zeros((4, 2)), np.arange(4), np.array([1, 2, 3, 1]))}, "x: expected lengths between 0 and 2"),
        ({}, "preprocess: expected x, got "),
        ({"y": Column(np.zeros((4, 2)), np.arange(4))}, "preprocess: expected x, got y"),
    ],
)
def test_features_belong_to_the_samples(columns, message):
    with pytest.raises(ValueError, match=message):
        next(toy(preprocess=lambda: columns).batches(2))


@pytest.mark.parametrize("order", [{"seed": -1}, {"seed": 1.5}, {"seed": True}, {"epoch": -1}, {"epoch": 0.5}])
def test_seed_and_epoch_are_whole_numbers(order):
    with pytest.raises(ValueError, match=f"{next(iter(order))}: expected a whole number"):
        next(tiny().batches(4, **order))


def test_numpys_numbers_are_taken_and_kept_as_plain_ones():
    pytest.importorskip("torch")
    sampler = tiny().torch_loader(np.int64(4), seed=np.int32(3), epoch=np.int64(1)).batch_sampler
    assert [type(v) for v in (sampler.batch_size, sampler.seed, sampler.epoch)] == [int] * 3


# ---- samples are no live memory --------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "modality"), [("mood", "face"), ("avdigits", "image"), ("scenes", "image")])
def test_a_sample_that_is_changed_changes_nothing_else(name, modality):
    ds = load(name, "test").subset([0, 1])
    before, features = ds[0][modality].copy(), next(ds.batches(1))["inputs"][modality].copy()
    sample = ds[0][modality]
    sample[...] = 7
    assert np.array_equal(ds[0][modality], before)
    next(ds.batches(1))["inputs"][modality][...] = 7
    ds.features()[modality][...] = 7
    assert np.array_equal(next(ds.batches(1))["inputs"][modality], features)


def test_columns_masks_labels_and_facts_are_no_live_memory():
    ds = tiny()
    with pytest.raises(ValueError, match="read-only"):
        ds.column("sound")[0][...] = 7
    ds.column("image")[...] = 7
    ds.labels[...] = 2
    ds.meta["clip"][...] = 9
    ds.modality_mask["image"][...] = False
    ds.targets[...] = 2
    assert same(next(ds.batches(N)), next(tiny().batches(N))) and ds.meta["clip"].max() < 9


# ---- targets of any kind ---------------------------------------------------------------------------------------------
BOXES = [np.arange(4.0 * t).reshape(t, 4) for t in (1, 3, 2, 1)]
KINDS = {
    "regression": np.array([0.5, 1.5, -2.0, 3.0], np.float32),
    "vectors": np.arange(12.0).reshape(4, 3),
    "boxes": BOXES,
    "sequences": [np.array([3, 4]), np.array([5]), np.array([6, 7, 8]), np.array([9])],
    "several": {"box": BOXES, "class": np.array([1, 0, 1, 1]), "mask": np.zeros((4, 5, 5), bool)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_targets_of_any_kind_are_the_same_in_every_view(kind):
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    ds = toy(targets=KINDS[kind])
    want = list(ds.batches(3, seed=1))
    for batch, theirs, (x, target) in zip(want, ds.torch_loader(3, seed=1), ds.tf_dataset(3, seed=1), strict=True):
        assert same(to_numpy(theirs), batch) and same(to_numpy({**x, "target": target}), batch)
    with pytest.raises(AttributeError, match="are not classes"):
        _ = ds.labels
    fixed = list(ds.tf_dataset(3, seed=1, fixed_length=True))
    assert all(same(to_numpy(y), b["target"]) for (_, y), b in zip(fixed, ds.batches(3, 1, 0, True), strict=True))


def test_targets_that_vary_in_length_come_with_their_mask():
    ds = toy(targets=BOXES)
    batch = next(ds.batches(4))
    assert batch["target"]["values"].shape == (4, 3, 4)
    assert batch["target"]["padding_mask"].sum(1).tolist() == [1, 3, 2, 1]
    assert np.array_equal(ds[1]["target"], BOXES[1]) and ds.subset([2]).targets["values"].shape == (1, 2, 4)
    ds[1]["target"][...] = -1
    assert np.array_equal(next(ds.batches(4))["target"]["values"][1], BOXES[1])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0.5, np.nan, 1.0, 2.0], "targets: NaN or infinity in 1 of them, first in number 1"),
        ([np.ones((2, 4)), np.ones((1, 3)), np.ones((1, 4)), np.ones((1, 4))], "differ in length only"),
        (["a", "b", "a", "b"], "targets: expected numbers"),
        (0.5, "one target per sample"),
        ({"box": BOXES, "class": np.array([1, 0])}, "same number of samples in each"),
        ({}, "at least one"),
        (np.zeros(3), "x: expected 3 elements, one per target, got 4"),
        ({"box": [0.5, np.inf, 1.0, 2.0]}, r"targets\['box'\]: NaN or infinity"),
    ],
)
def test_targets_are_checked(targets, message):
    with pytest.raises(ValueError, match=message):
        toy(targets=targets)


def test_labels_or_targets_and_not_both():
    for given in ({"labels": None}, {"labels": [0, 1, 0, 1], "targets": np.zeros(4)}):
        with pytest.raises(ValueError, match="expected one of them"):
            toy(**given)
    with pytest.raises(ValueError, match="no modality can be called 'target'"):
        toy(columns={"target": np.zeros(4)})


def test_a_modality_as_the_target():
    torch = pytest.importorskip("torch")
    ds = tiny().with_target("image")
    assert ds.modalities == ("sound", "words") and "image" not in ds[0]
    assert np.array_equal(ds[3]["target"], tiny()[3]["image"])
    batch, whole = next(ds.batches(4, seed=2)), next(tiny().batches(4, seed=2))
    assert list(batch["inputs"]) == ["sound", "words"] and same(batch["target"], whole["inputs"]["image"])
    theirs = next(iter(ds.torch_loader(4, seed=2)))["target"]
    assert theirs.shape == (4, 3, 4, 4) and torch.equal(theirs, torch.tensor(batch["target"]).permute(0, 3, 1, 2))
    spoken = tiny().with_target("sound")
    assert set(next(spoken.batches(4))["target"]) == {"values", "padding_mask"}
    assert np.array_equal(ds.subset([5]).targets, next(tiny().subset([5]).batches(1))["inputs"]["image"])
    with pytest.raises(ValueError, match="image, sound, words"):
        tiny().with_target("smell")
    with pytest.raises(ValueError, match="the only one"):
        toy().with_target("x")
    with pytest.raises(ValueError, match="1 of 11 samples have no image"):
        tiny().with_missing(pattern={"image": np.arange(N) != 3}).with_target("image")


def test_the_checksum_tells_data_apart():
    ds = tiny()
    whole = ds.features().checksum()
    assert whole == tiny().features().checksum()
    others = [
        ds.subset(np.arange(N)[::-1]),
        ds.with_missing(pattern="sound"),
        tiny(labels=(np.arange(N) + 1) % 3),
        ds.with_target("sound"),
        ds.subset(np.arange(10)),
    ]
    assert len({whole, *(other.features().checksum() for other in others)}) == 6
