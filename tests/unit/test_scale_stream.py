"""Streams of shards: every sample once, flat memory, exact resume; equal to webdataset, and over three formats."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from torch.utils.data import DataLoader

from mmcourse.training.scale import stream


def samples(number):
    rng = np.random.default_rng(0)
    for i in range(number):
        yield {"key": f"{i:06d}", "x": rng.normal(size=(4, 3)).astype(np.float16), "target": i % 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards")
    assert stream.write_tar_shards(samples(230), path, per_shard=25) == [25] * 9 + [5]
    return path


def keys(batches):
    return [sample["key"] for batch in batches for sample in batch]


def test_tar_shards_come_back(folder):
    shards = stream.TarShards(folder)
    found = [sample for shard in range(10) for sample in shards.read(shard)]
    for a, b in zip(found, samples(230), strict=True):
        assert a["key"] == b["key"] and a["target"] == b["target"]
        np.testing.assert_array_equal(a["x"], b["x"])


def test_webdataset_reads_the_same(folder):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed (extra `scale`)")
    shards = stream.TarShards(folder)
    theirs = list(webdataset.WebDataset([str(p) for p in shards.paths], shardshuffle=False).decode())
    ours = [sample for shard in range(10) for sample in shards.read(shard)]
    assert len(theirs) == 230
    for a, b in zip(ours, theirs, strict=True):
        assert a["key"] == b["__key__"] and a["target"] == b["target.cls"]
        np.testing.assert_array_equal(a["x"], b["x.npy"])


def test_three_formats_one_order(folder, tmp_path):
    whole = {"x": np.stack([s["x"] for s in samples(230)]), "target": np.arange(230) % 3}
    np.save(tmp_path / "x.npy", whole["x"])
    mapped = {"x": np.load(tmp_path / "x.npy", mmap_mode="r"), "target": whole["target"]}
    kinds = [stream.TarShards(folder), stream.ArrayShards(mapped, 25)]
    try:
        stream.write_parquet(samples(230), tmp_path / "x.parquet", per_group=25)
        kinds.append(stream.ParquetShards(tmp_path / "x.parquet"))
    except ImportError:
        pytest.skip("pyarrow is not installed (extra `scale`)")
    runs = [[s for batch in stream.ShardStream(k, 16, buffer=40, seed=1) for s in batch] for k in kinds]
    for other in runs[1:]:
        assert [s["key"] for s in other] == [s["key"] for s in runs[0]]
        np.testing.assert_array_equal(np.stack([s["x"] for s in other]), np.stack([s["x"] for s in runs[0]]))
        assert [int(s["target"]) for s in other] == [s["target"] for s in runs[0]]


@pytest.mark.parametrize(("world", "workers"), [(1, 1), (2, 1), (2, 3), (1, 4)])
def test_every_sample_goes_to_one_reader(world, workers):
    lengths = [25] * 9 + [5]
    found = []
    for rank in range(world):
        for worker in range(workers):
            found += stream.read_order(lengths, 3, 1, 20, rank, world, worker, workers)
    assert sorted(found) == [(s, r) for s, n in enumerate(lengths) for r in range(n)]


def test_seed_epoch_and_reader_change_the_order():
    lengths = [10] * 6
    first = list(stream.read_order(lengths, seed=0, epoch=0, buffer=15))
    assert first == list(stream.read_order(lengths, seed=0, epoch=0, buffer=15))
    assert first != list(stream.read_order(lengths, seed=1, epoch=0, buffer=15))
    assert first != list(stream.read_order(lengths, seed=0, epoch=1, buffer=15))
    ranks = [[row for _, row in stream.read_order(lengths, buffer=15, rank=r, world=2)] for r in (0, 1)]
    assert ranks[0] != ranks[1], "each rank shuffles in its own way"


@pytest.mark.parametrize("taken", [0, 1, 6, 14])
@pytest.mark.parametrize("buffer", [0, 30, 1000])
def test_resume_is_exact(folder, taken, buffer):
    reader = stream.ShardStream(stream.TarShards(folder), 16, buffer=buffer, seed=4)
    reader.set_epoch(2)
    running = iter(reader)
    for _ in range(taken):
        next(running)
    state = reader.state_dict()
    rest = keys(running)
    again = stream.ShardStream(stream.TarShards(folder), 16, buffer=buffer)
    again.load_state_dict(state)
    assert keys(again) == rest and len(rest) == 230 - 16 * taken
    assert again.state_dict()["batches"] == 15


def test_resume_reads_only_what_is_needed(folder):
    class Counting(stream.TarShards):
        opened = 0

        def read(self, shard):
            self.opened += 1
            return super().read(shard)

    shards = Counting(folder)
    reader = stream.ShardStream(shards, 16, buffer=20)
    reader.load_state_dict(reader.state_dict(batches=11))
    keys(reader)
    assert shards.opened < 7, "of ten shards, those that were given are not opened again"


def test_resume_with_workers_is_exact(folder):
    def loader(rank, world, state=None, workers=2):
        reader = stream.ShardStream(stream.TarShards(folder), 16, buffer=20, seed=1, rank=rank, world=world)
        if state:
            reader.load_state_dict(state)
        found = [keys([batch]) for batch in DataLoader(reader, batch_size=None, num_workers=workers)]
        return found, reader.state_dict(batches=3, workers=2)

    (first, state), (second, state_1) = loader(0, 2), loader(1, 2)
    assert len(set(sum(first + second, []))) == 230, "two ranks with two workers each read all, once"
    assert loader(0, 2, state)[0] == first[3:] and loader(1, 2, state_1)[0] == second[3:]
    with pytest.raises(ValueError, match="workers 2, this stream has 1"):
        loader(0, 2, state, workers=0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"buffer": 30}, "buffer 20, this stream has 30"),
        ({"batch_size": 8}, "batch_size 16, this stream has 8"),
        ({"rank": 1}, "rank 0, this stream has 1"),
        ({"world": 1}, "world 2, this stream has 1"),
        ({"shards": stream.ArrayShards({"x": np.zeros((231, 1))}, 25)}, "samples 230, this stream has 231"),
        ({"shards": stream.ArrayShards({"x": np.zeros((230, 1))}, 46)}, "shards 10, this stream has 5"),
    ],
)
def test_a_state_of_other_settings_is_refused(folder, other, said):
    options = {"shards": stream.TarShards(folder), "batch_size": 16, "buffer": 20, "rank": 0, "world": 2}
    state = stream.ShardStream(**options).state_dict(batches=2)
    reader = stream.ShardStream(**(options | other))
    with pytest.raises(ValueError, match=said):
        reader.load_state_dict(state)


def test_parquet_is_resumed_exactly_with_flat_memory(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra `scale`)")
    most, whole_pool = [], pa.default_memory_pool()
    pools = [pa.proxy_memory_pool(whole_pool) for _ in range(2)]  # each records the most that it held
    for number, pool in zip((100, 1000), pools, strict=True):
        pa.set_memory_pool(pool)
        big = ({"key": f"{i:06d}", "x": np.zeros(2000)} for i in range(number))
        stream.write_parquet(big, tmp_path / f"{number}.parquet", per_group=50)
        reader = stream.ShardStream(stream.ParquetShards(tmp_path / f"{number}.parquet"), 16, buffer=30, seed=2)
        assert len(set(keys(reader))) == number
        most.append(pool.max_memory())
    pa.set_memory_pool(whole_pool)
    assert 100_000 < most[1] < 1.5 * most[0] and most[1] < 10_000_000, "1,000 samples are 16 MB"
    running = iter(reader)
    for _ in range(9):
        next(running)
    again = stream.ShardStream(stream.ParquetShards(tmp_path / "1000.parquet"), 16, buffer=30)
    again.load_state_dict(reader.state_dict(batches=9))
    assert keys(again) == keys(running)


@pytest.mark.parametrize(
    ("batches", "per_worker", "expected"),
    [(0, [3, 3], [0, 0]), (3, [3, 3], [2, 1]), (5, [1, 9], [1, 4]), (99, [2, 1, 3], [2, 1, 3])],
)
def test_batches_by_worker(batches, per_worker, expected):
    assert stream.batches_by_worker(batches, per_worker) == expected


def test_memory_stays_flat(tmp_path):
    def peak(number):
        folder = tmp_path / str(number)
        big = ({"key": f"{i:06d}", "x": np.zeros(2000)} for i in range(number))
        stream.write_tar_shards(big, folder, per_shard=50)
        reader = stream.ShardStream(stream.TarShards(folder), 10, buffer=30)
        tracemalloc.start()
        count = sum(len(batch) for batch in reader)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == number
        return most

    small, large = peak(100), peak(1000)
    assert large < 1.5 * small and large < 2_000_000, "1,000 samples are 16 MB"


def test_more_processes_than_shards_are_refused(folder):
    with pytest.raises(ValueError, match="10 shards for 11 processes"):
        stream.ShardStream(stream.TarShards(folder), 4, world=11)
