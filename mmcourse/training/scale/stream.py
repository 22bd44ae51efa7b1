"""Data larger than memory: shards on disk, read in a shuffled order with flat memory, and resumed exactly.

::

    write_tar_shards(samples, folder, per_shard=200)  # WebDataset's format: plain tar files
    stream = ShardStream(TarShards(folder), batch_size=64, buffer=400, seed=0, rank=rank, world=world)
    for batch in stream: ...
    saved = stream.state_dict()  # numbers only; a new stream with `load_state_dict(saved)` goes on from there

A *shard* is a file (or a row group of a Parquet file) that is read from beginning to end. The order of reading is a
function of seed, epoch, process and worker, so that resuming needs no stored order: it is computed again.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch.utils.data

Key = tuple[int, int]  # shard, row
Sample = dict[str, Any]


# ---------------------------------------------------------------- shards on disk
class Shards(Protocol):
    """Something to read one shard after the other."""

    lengths: Sequence[int]

    def read(self, shard: int) -> Iterator[Sample]:
        """The samples of one shard, in its own order."""
        ...


def write_tar_shards(samples: Iterable[Sample], folder: str | Path, per_shard: int) -> list[int]:
    """Write samples as WebDataset does: shard-000000.tar …, files of one sample side by side; returns the lengths.

    A sample has a `key`; integers become `KEY.NAME.cls`-like text, arrays `KEY.NAME.npy`. index.json has the lengths.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lengths: list[int] = []
    file: tarfile.TarFile | None = None
    for number, sample in enumerate(samples):
        if number % per_shard == 0:
            if file:
                file.close()
            file = tarfile.open(folder / f"shard-{len(lengths):06d}.tar", "w")
            lengths.append(0)
        assert file is not None
        for name, value in sample.items():
            if name == "key":
                continue
            if isinstance(value, np.ndarray):
                memory = io.BytesIO()
                np.save(memory, value)
                data, ending = memory.getvalue(), f"{name}.npy"
            else:
                data, ending = str(value).encode(), f"{name}.cls"
            entry = tarfile.TarInfo(f"{sample['key']}.{ending}")
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
        lengths[-1] += 1
    if file:
        file.close()
    (folder / "index.json").write_text(json.dumps(lengths), encoding="utf-8")
    return lengths


class TarShards:
    """The tar files that `write_tar_shards` made; each is read as a stream, sample after sample."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.lengths = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
        self.paths = [self.folder / f"shard-{i:06d}.tar" for i in range(len(self.lengths))]

    def read(self, shard: int) -> Iterator[Sample]:
        """The samples of one file."""
        sample: Sample = {}
        with tarfile.open(self.paths[shard], "r|") as file:  # "|": one pass, nothing is sought
            for entry in file:
                key, name, ending = entry.name.split(".")
                if sample and sample["key"] != key:
                    yield sample
                    sample = {}
                member = file.extractfile(entry)
                assert member is not None
                data = member.read()
                sample["key"] = key
                sample[name] = np.load(io.BytesIO(data)) if ending == "npy" else int(data)
                file.members = []  # type: ignore[attr-defined]  # or tarfile remembers every entry
        if sample:
            yield sample


def write_parquet(samples: Iterable[Sample], path: str | Path, per_group: int) -> None:
    """Write samples to one Parquet file, `per_group` of them in each row group. Arrays become bytes and a shape."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: Any = None
    rows: list[Sample] = []

    def flush() -> None:
        nonlocal writer
        table = pa.Table.from_pylist([_flat(sample) for sample in rows])
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=per_group)
        rows.clear()

    for sample in samples:
        rows.append(sample)
        if len(rows) == per_group:
            flush()
    if rows:
        flush()
    if writer:
        writer.close()


def _flat(sample: Sample) -> Sample:
    row: Sample = {}
    for name, value in sample.items():
        if isinstance(value, np.ndarray):
            row[name] = value.tobytes()
            row[f"{name}.shape"] = list(value.shape)
            row[f"{name}.dtype"] = value.dtype.str
        else:
            row[name] = value
    return row


class ParquetShards:
    """A Parquet file's row groups as shards; the footer of the file says where each begins."""

    def __init__(self, path: str | Path) -> None:
        import pyarrow.parquet as pq

        self.path = Path(path)
        metadata = pq.read_metadata(self.path)
        self.lengths = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def read(self, shard: int) -> Iterator[Sample]:
        """The samples of one row group."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            rows = file.read_row_group(shard, use_threads=False).to_pylist()  # threads hold more, now and then
        for row in rows:
            sample = {name: value for name, value in row.items() if "." not in name}
            for name in [n[: -len(".shape")] for n in row if n.endswith(".shape")]:
                flat = np.frombuffer(row[name], np.dtype(row[f"{name}.dtype"]))
                sample[name] = flat.reshape(row[f"{name}.shape"])
            yield sample


class ArrayShards:
    """Blocks of rows of arrays as shards, such as `np.load(file, mmap_mode="r")`: the system reads what is touched."""

    def __init__(self, arrays: dict[str, np.ndarray], per_shard: int) -> None:
        number = len(next(iter(arrays.values())))
        self.arrays, self.per_shard = arrays, per_shard
        self.lengths = [min(per_shard, number - start) for start in range(0, number, per_shard)]

    def read(self, shard: int) -> Iterator[Sample]:
        """The samples of one block."""
        start = shard * self.per_shard
        for row in range(start, start + self.lengths[shard]):
            yield {"key": f"{row:06d}"} | {name: np.array(array[row]) for name, array in self.arrays.items()}


# ---------------------------------------------------------------- the order of reading
def shards_of(order: Sequence[int], rank: int, world: int, worker: int, workers: int) -> list[int]:
    """The shards of one worker of one process: every shard belongs to exactly one of them."""
    return [int(shard) for shard in order[rank::world][worker::workers]]


def _events(
    lengths: Sequence[int], seed: int, epoch: int, buffer: int, rank: int, world: int, worker: int, workers: int
) -> Iterator[tuple[str, Key]]:
    """What a worker does, one after the other: ("read", key) into the buffer, ("give", key) out of it."""
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths)).tolist()  # the same everywhere
    rng = np.random.default_rng([seed, epoch, rank, worker])
    pool: list[Key] = []

    def pop() -> Key:
        place = int(rng.integers(len(pool)))
        pool[place], pool[-1] = pool[-1], pool[place]
        return pool.pop()

    for shard in shards_of(order, rank, world, worker, workers):
        for row in range(lengths[shard]):
            pool.append((shard, row))
            yield "read", (shard, row)
            if len(pool) > buffer:
                yield "give", pop()
    while pool:
        yield "give", pop()


def read_order(
    lengths: Sequence[int],
    seed: int = 0,
    epoch: int = 0,
    buffer: int = 0,
    rank: int = 0,
    world: int = 1,
    worker: int = 0,
    workers: int = 1,
) -> Iterator[Key]:
    """(shard, row) of the samples in the order in which a worker gives them. Nothing is read for it.

    Parameters
    ----------
    buffer : int
        How many samples wait in memory; one of them, drawn by chance, is given whenever another was read.
    """
    for kind, key in _events(lengths, seed, epoch, buffer, rank, world, worker, workers):
        if kind == "give":
            yield key


def batches_by_worker(batches: int, per_worker: Sequence[int]) -> list[int]:
    """How many of a loader's first `batches` batches came from each worker: in turn, without those that have ended."""
    return _deal(batches, per_worker)[0]


def _deal(batches: int, per_worker: Sequence[int]) -> tuple[list[int], int]:
    """Batches from each worker, and whose turn it is."""
    taken = [0] * len(per_worker)
    worker = 0
    for _ in range(min(batches, sum(per_worker))):
        while taken[worker] == per_worker[worker]:
            worker = (worker + 1) % len(per_worker)
        taken[worker] += 1
        worker = (worker + 1) % len(per_worker)
    return taken, worker


class ShardStream(torch.utils.data.IterableDataset):
    """Batches of samples out of shards: shuffled through a buffer, split by process and worker, resumed exactly.

    Give it to a PyTorch `DataLoader` with `batch_size=None` to read in several worker processes; then
    `state_dict(batches, workers)` takes how many batches the loop has had, since only the loop knows.

    Parameters
    ----------
    shards : TarShards, ParquetShards or ArrayShards
    batch_size : samples in each batch; the last one of each worker may have fewer
    buffer : samples that wait in memory to be shuffled
    seed : with epoch, process and worker, it gives the order
    rank, world : number of this process, and of all
    """

    def __init__(
        self, shards: Shards, batch_size: int, buffer: int = 0, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if world > len(shards.lengths):
            raise ValueError(f"ShardStream: {len(shards.lengths)} shards for {world} processes: some would have none")
        self.shards, self.batch_size, self.buffer, self.seed = shards, batch_size, buffer, seed
        self.rank, self.world = rank, world
        self.epoch = self.start = self.batches = 0
        self.workers = 1  # of the loader that a loaded state was saved with

    def set_epoch(self, epoch: int) -> None:
        """Another epoch, another order."""
        self.epoch, self.start, self.batches = epoch, 0, 0

    def settings(self) -> dict[str, int]:
        """What must be the same when a state is loaded: with other settings, the order is another one."""
        lengths = self.shards.lengths
        return {
            "shards": len(lengths),
            "samples": int(sum(lengths)),
            "batch_size": self.batch_size,
            "buffer": self.buffer,
            "rank": self.rank,
            "world": self.world,
        }

    def state_dict(self, batches: int | None = None, workers: int = 1) -> dict[str, int]:
        """Where the stream is (seed, epoch, how many batches of it were given), and with what settings.

        Parameters
        ----------
        batches : how many the loop has had from a loader with workers; default: what this stream has given
        workers : of that loader
        """
        place = {"seed": self.seed, "epoch": self.epoch, "batches": self.batches if batches is None else batches}
        return {**place, **self.settings(), "workers": workers}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there at the next `iter`.

        Raises
        ------
        ValueError
            The state was saved with other shards, batches, buffer or readers, so that its place means nothing here.
            Another number of loader workers is noticed at the next `iter`.
        """
        for name, mine in self.settings().items():
            _same(name, state[name], mine)
        self.seed, self.epoch, self.start = state["seed"], state["epoch"], state["batches"]
        self.batches, self.workers = self.start, state["workers"]

    def num_batches(self, worker: int = 0, workers: int = 1) -> int:
        """Batches of one worker in an epoch."""
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.shards.lengths)).tolist()
        mine = shards_of(order, self.rank, self.world, worker, workers)
        return -(-sum(self.shards.lengths[shard] for shard in mine) // self.batch_size)

    def __iter__(self) -> Iterator[list[Sample]]:
        worker, workers = _worker()
        if self.start:
            _same("workers", self.workers, workers)
        per_worker = [self.num_batches(w, workers) for w in range(workers)]
        taken, turn = _deal(self.start, per_worker)
        worker = (worker + turn) % workers  # a new loader begins with its worker 0, whoever's turn it was
        skip = taken[worker] * self.batch_size
        batch: list[Sample] = []
        for sample in self._samples(skip, worker, workers):
            batch.append(sample)
            if len(batch) == self.batch_size:
                self.batches += 1
                yield batch
                batch = []
        if batch:
            self.batches += 1
            yield batch

    def _samples(self, skip: int, worker: int, workers: int) -> Iterator[Sample]:
        """Samples from number `skip` on: what lies before is not read, only what waits in the buffer at that moment."""
        held: dict[Key, Sample] = {}
        waiting: dict[Key, None] = {}  # in the buffer while skipping
        reader = _Reader(self.shards)
        given = 0
        lengths = self.shards.lengths
        for kind, key in _events(lengths, self.seed, self.epoch, self.buffer, self.rank, self.world, worker, workers):
            if kind == "read":
                if given < skip:
                    waiting[key] = None
                else:
                    held[key] = reader.get(key)
                continue
            given += 1
            if given <= skip:
                del waiting[key]
                if given == skip:
                    held = {key: reader.get(key) for key in sorted(waiting, key=list(waiting).index)}
            else:
                yield held.pop(key)


class _Reader:
    """One shard open at a time, read forward."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.shard, self.row = -1, 0

    def get(self, key: Key) -> Sample:
        """The sample at this place."""
        if key[0] != self.shard or key[1] < self.row:
            self.shard, self.row, self.open = key[0], 0, self.shards.read(key[0])
        while self.row < key[1]:
            next(self.open)
            self.row += 1
        self.row += 1
        return next(self.open)


def _same(name: str, saved: int, mine: int) -> None:
    if saved != mine:
        raise ValueError(f"ShardStream: the state was saved with {name} {saved}, this stream has {mine}")


def _worker() -> tuple[int, int]:
    """Number of this DataLoader worker, and of all; (0, 1) outside of one."""
    info = torch.utils.data.get_worker_info()
    return (info.id, info.num_workers) if info else (0, 1)
