"""A run that is killed and goes on ends with the very same bits; a full disk leaves the last good checkpoint."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from resume_child import EPOCHS, STEPS
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from torch_toy import TRAIN, VALIDATION, Net, Samples, run

from mmcourse import datasets
from mmcourse.training.torch import checkpoint

CHILD = Path(__file__).with_name("resume_child.py")

# Seeded: four steps anywhere, two checkpoint writes, and one run that is killed three times.
RNG = np.random.default_rng(10)
KILLS = [[("step", int(n))] for n in RNG.choice(np.arange(2, STEPS * EPOCHS + 1), 4, replace=False)]
KILLS += [[("write", int(n))] for n in RNG.integers(2, 12, 2)] + [[("write", 5), ("step", 4), ("write", 2)]]
NAMES = {"-".join(f"{how}{n}" for how, n in kills): kills for kills in KILLS}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Exit codes of all runs, and what came out of each."""
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, str(CHILD), str(folder), json.dumps({"undisturbed": [], **NAMES})]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: (code, folder / name / "result") for name, code in json.loads(done.stdout).items()}, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_killed_and_resumed_is_bit_identical(runs, name):
    results, stderr = runs
    codes, result = results[name]
    assert codes == [-signal.SIGKILL] * len(NAMES[name]) + [0], stderr
    undisturbed, resumed = load_file(results["undisturbed"][1]), load_file(result)
    assert resumed.keys() == undisturbed.keys() and len(resumed) > 60
    assert [name for name in resumed if not torch.equal(resumed[name], undisturbed[name])] == []


class Stop(Exception):
    pass


def stopped(net, after, **options):
    """A run in this process that ends in the given step."""
    calls = []

    def hook(*_):
        calls.append(1)
        if len(calls) > after:
            raise Stop

    handle = net.register_forward_pre_hook(hook)
    with pytest.raises(Stop):
        run(net, **options)
    handle.remove()


@pytest.mark.parametrize("after", [1, 7, 12])
def test_a_loader_that_shuffles_by_the_global_generator(tmp_path, after):
    def loader():
        return DataLoader(Samples(), batch_size=16, shuffle=True)

    whole, history = run(Net(dropout=0.3), loader())
    stopped(Net(dropout=0.3), after, loader=loader(), folder=tmp_path, save_every=1)
    torch.rand(17)  # whatever happens in between
    again, resumed = run(Net(dropout=0.3), loader(), folder=tmp_path, save_every=1, resume=True)
    assert resumed == history and all(map(torch.equal, whole.parameters(), again.parameters()))


def test_without_the_optimizer_it_would_not_be_the_same(tmp_path, monkeypatch):
    whole, _ = run(Net())
    stopped(Net(), 8, folder=tmp_path)
    monkeypatch.setattr(checkpoint, "set_optimizer_tensors", lambda *_: None)
    again, _ = run(Net(), folder=tmp_path, resume=True)
    assert not torch.equal(whole.out.weight, again.out.weight)


def test_logs_of_a_resumed_run_have_each_step_once(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stopped(Net(), 10, folder=tmp_path, save_every=4)
    _, history = run(Net(), folder=tmp_path, save_every=4, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("step/loss")] == list(range(1, 19))
    assert [event.value for event in events.Scalars("epoch/loss")] == pytest.approx([h["loss"] for h in history])


def test_a_finished_run_is_not_run_again(tmp_path):
    net, history = run(Net(), folder=tmp_path)
    again, told = run(Net(seed=4), folder=tmp_path, resume=True)
    assert told == history and torch.equal(net.out.weight, again.out.weight)


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path):
    stopped(Net(), 4, folder=tmp_path, save_every=2)
    good = (tmp_path / "last.safetensors").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, hard))  # a real write fails in the middle
    try:
        with pytest.raises(OSError, match="not written .* is kept. Free some space") as told:
            run(Net(), folder=tmp_path, save_every=2, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told.value.errno == errno.EFBIG and (tmp_path / "last.safetensors").read_bytes() == good
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*.part"))
    whole, again = run(Net())[0], run(Net(), folder=tmp_path, save_every=2, resume=True)[0]
    assert torch.equal(whole.out.weight, again.out.weight)


# ---- a learner's own loader: exact, or refused ---------------------------------------------------------------------
class Augmented(Samples):
    """Adds noise out of `draw()` to each sample."""

    def __init__(self, draw, **attributes):
        super().__init__()
        self.draw = draw
        vars(self).update(attributes)

    def __getitem__(self, i):
        sample = super().__getitem__(i)
        return {**sample, "inputs": {"x": sample["inputs"]["x"] + 0.1 * float(self.draw())}}


def own_loader(kind):
    """A fresh one of each kind, as a new process would make it."""
    generator = torch.Generator().manual_seed(7)
    if kind == "own generator":
        return DataLoader(Samples(), batch_size=16, shuffle=True, generator=generator)
    if kind == "own sampler":
        sampler = torch.utils.data.RandomSampler(Samples(), replacement=True, generator=generator)
        return DataLoader(Samples(), batch_size=16, sampler=sampler)
    if kind == "numpy's global noise":
        np.random.seed(3)
        return DataLoader(Augmented(lambda: np.random.normal()), batch_size=16, shuffle=True, generator=generator)
    if kind == "python's global noise":
        random.seed(3)
        return DataLoader(Augmented(lambda: random.gauss(0, 1)), batch_size=16)
    if kind == "pytorch's global noise":
        return DataLoader(Augmented(lambda: torch.randn(())), batch_size=16, shuffle=True)
    if kind == "noise of its own":
        rng = np.random.default_rng(5)
        return DataLoader(Augmented(rng.normal, rng=rng), batch_size=16, shuffle=True, generator=generator)
    if kind == "noise in a closure":
        rng = np.random.Generator(np.random.MT19937(5))
        return DataLoader(Augmented(lambda: rng.normal()), batch_size=16, shuffle=True)
    if kind == "noise in collate":
        rng = random.Random(5)

        def collate(rows, rng=rng):
            x = torch.stack([row["inputs"]["x"] for row in rows]) + 0.1 * rng.random()
            return {"inputs": {"x": x}, "target": torch.stack([row["target"] for row in rows])}

        return DataLoader(Samples(), batch_size=16, shuffle=True, collate_fn=collate)
    raise ValueError(kind)


KINDS = (
    "own generator", "own sampler", "numpy's global noise", "python's global noise", "pytorch's global noise",
    "noise of its own", "noise in a closure", "noise in collate",
)  # fmt: skip


@pytest.mark.parametrize("after", [4, 6, 9])  # within the first epoch, at its end, within the second
@pytest.mark.parametrize("kind", KINDS)
def test_a_loader_of_ones_own_resumes_bit_by_bit(tmp_path, kind, after):
    torch.manual_seed(0)
    whole, history = run(Net(dropout=0.3), own_loader(kind), folder=tmp_path / "whole")
    torch.manual_seed(0)
    stopped(Net(dropout=0.3), after, loader=own_loader(kind), folder=tmp_path / "cut", save_every=1)
    again, resumed = run(Net(dropout=0.3), own_loader(kind), folder=tmp_path / "cut", save_every=1, resume=True)
    assert resumed == history and all(map(torch.equal, whole.parameters(), again.parameters()))


def hidden_loader():
    """Its generator lies where no search finds it: behind a library's object."""
    rng = np.random.default_rng(5)
    return DataLoader(Augmented(iter(rng.normal, None).__next__), batch_size=16, shuffle=True)


@pytest.mark.parametrize("after", [8, 12])
def test_a_generator_out_of_reach_is_refused(tmp_path, after):
    stopped(Net(dropout=0.3), after, loader=hidden_loader(), folder=tmp_path, save_every=1)
    with pytest.raises(ValueError, match="going on is not exact, because the epoch's first batch"):
        run(Net(dropout=0.3), hidden_loader(), folder=tmp_path, save_every=1, resume=True)


def test_persistent_workers_are_refused_and_warned_of_before(tmp_path):
    def loader():
        return DataLoader(Samples(), batch_size=16, num_workers=1, persistent_workers=True)

    with pytest.warns(UserWarning, match="train_loader: persistent_workers keep random states"):
        run(Net(), loader(), epochs=1, folder=tmp_path)
    with pytest.raises(ValueError, match="persistent_workers=False"):
        run(Net(), loader(), epochs=1, folder=tmp_path, resume=True)


def flipped(batches):
    return [{**b, "target": 2 - b["target"]} for b in batches]


@pytest.mark.parametrize("what", ["train list", "train DataLoader", "validation", "inputs"])
def test_other_data_are_refused(tmp_path, what):
    train, validation = TRAIN, VALIDATION
    if what == "train DataLoader":
        train = DataLoader(Samples(), batch_size=16, shuffle=True)
    stopped(Net(), 8, loader=train, validation=validation, folder=tmp_path, save_every=1)
    if what == "train list":
        train = flipped(TRAIN)
    elif what == "inputs":
        train = [{**TRAIN[0], "inputs": {"x": TRAIN[0]["inputs"]["x"] + 1e-6}}, *TRAIN[1:]]
    elif what == "validation":
        validation = flipped(VALIDATION)
    else:
        samples = Samples()
        samples.y = 2 - samples.y
        train = DataLoader(samples, batch_size=16, shuffle=True)
    with pytest.raises(ValueError, match="the data are not the same|first batch is not the one"):
        run(Net(), train, validation=validation, folder=tmp_path, save_every=1, resume=True)


def test_other_labels_of_our_data_sets_are_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(48, 4)).astype(np.float32)
    labels = np.arange(48) % 3

    def loader(labels):
        ds = datasets.Dataset(
            "toy", "train", classes="abc", labels=labels, columns={"x": x}, meta={},
            preprocess=lambda: {"x": datasets.Column(x, np.arange(48))},
        )  # fmt: skip
        return ds.torch_loader(8, seed=0)

    run(Net(), loader(labels), folder=tmp_path)
    with pytest.raises(ValueError, match="train_loader.checksum: .* the data are not the same"):
        run(Net(), loader((labels + 1) % 3), folder=tmp_path, resume=True)
    assert run(Net(), loader(labels), folder=tmp_path, resume=True)


def test_looking_at_the_loaders_moves_no_generator():
    """What fit reads beforehand (labels, sizes) leaves the order of a learner's generator as in a plain loop."""
    seen = []

    class Watching(Net):
        def forward(self, batch):
            seen.append(batch["inputs"]["x"].clone())
            return super().forward(batch)

    run(Watching(), own_loader("own generator"), epochs=1)
    plain = [batch["inputs"]["x"] for batch in own_loader("own generator")]
    assert all(map(torch.equal, seen, plain)) and len(seen) == len(plain)
