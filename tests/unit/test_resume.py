"""A run that is killed and goes on ends with the very same bits; a full disk leaves the last good checkpoint."""

import errno
import json
import os
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
from test_torch_train import Net, Samples, run
from torch.utils.data import DataLoader

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


def test_without_the_optimiser_it_would_not_be_the_same(tmp_path, monkeypatch):
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
    assert not list(tmp_path.glob("*.part"))
    whole, again = run(Net())[0], run(Net(), folder=tmp_path, save_every=2, resume=True)[0]
    assert torch.equal(whole.out.weight, again.out.weight)
