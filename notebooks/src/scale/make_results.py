"""Long runs of lesson scale.

- `precision`: a small network on `mood` in float32, in bfloat16 by autocast, and in bfloat16 throughout: five seeds, two
  learning rates, test accuracy after 4 and 16 epochs;
- `digits`: the same in float32, but with the weights alone, or Adam's two means alone, rounded to bfloat16 after every
  step; and the share of steps of a single weight that the rounding undoes;
- `compile`: `torch.compile` with its usual backend: what it costs, what it saves, and how often it compiles;
- `keras`: MirroredStrategy on two logical CPUs (`scale_keras.py`);
- `ray`: two actors, and two of which one is killed (`scale_ray.py`).

`make results scale`: about four minutes of one processor. `python make_results.py keras` (or other names) makes only
these tables.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from mmcourse import datasets, runtime
from mmcourse.authoring.tables import make_tables
from mmcourse.training.scale.launch import run_group

HERE = Path(__file__).resolve().parent
SEEDS, EPOCHS = 5, (4, 16)
RATES = (1e-4, 1e-3)
ROUNDED = ("weights", "means")
WAYS = ("float32", "bfloat16 by autocast", "bfloat16 throughout")


# ---------------------------------------------------------------- mixed precision
def make_precision(seeds: int = SEEDS, epochs: tuple[int, ...] = EPOCHS, rates: tuple[float, ...] = RATES) -> dict:
    """Test accuracy by way, rate and epochs, of each seed."""
    sys.path.insert(0, str(datasets.lesson_dir("tune")))
    import tune_search

    train, test = (datasets.load("mood", split) for split in ("train", "test"))
    x, x_test = (torch.from_numpy(v) for v in tune_search.vectors(train, test))
    y, y_test = (torch.from_numpy(ds.labels).long() for ds in (train, test))
    found: dict = {"n_test": len(y_test), "accuracy": {}}
    for rate in rates:
        for way in WAYS:
            rows = [train_once(tune_search, x, y, x_test, y_test, way, rate, seed, epochs) for seed in range(seeds)]
            found["accuracy"][f"{way}, {rate:g}"] = {str(e): [row[k] for row in rows] for k, e in enumerate(epochs)}
    return found


def train_once(tune_search, x, y, x_test, y_test, way, rate, seed, epochs) -> list[float]:
    """Accuracy after each of these numbers of epochs."""
    torch.manual_seed(seed)
    net = tune_search.network(x.shape[1], 64)
    if way == "bfloat16 throughout":
        net, x, x_test = net.bfloat16(), x.bfloat16(), x_test.bfloat16()
    optimizer = torch.optim.AdamW(net.parameters(), rate)
    accuracy = []
    for epoch in range(1, max(epochs) + 1):
        for rows in torch.randperm(len(x)).split(64):
            with torch.autocast("cpu", torch.bfloat16, enabled=way == "bfloat16 by autocast"):
                logits = net(x[rows])
            loss = F.cross_entropy(logits.float(), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch in epochs:
            with torch.no_grad():
                accuracy.append(float((net(x_test).argmax(dim=1) == y_test).float().mean()))
    return accuracy


def make_digits(seeds: int = SEEDS, epochs: tuple[int, ...] = EPOCHS, rates: tuple[float, ...] = RATES) -> dict:
    """Which of the two needs more digits: test accuracy of each seed, and the share of steps that are undone."""
    sys.path.insert(0, str(datasets.lesson_dir("tune")))
    import tune_search

    train, test = (datasets.load("mood", split) for split in ("train", "test"))
    x, x_test = (torch.from_numpy(v) for v in tune_search.vectors(train, test))
    y, y_test = (torch.from_numpy(ds.labels).long() for ds in (train, test))
    found: dict = {"n_test": len(y_test), "accuracy": {}, "undone": {}}
    for rate in rates:
        for part in ROUNDED:
            rows = []
            for seed in range(seeds):
                torch.manual_seed(seed)
                net = tune_search.network(x.shape[1], 64)
                rows.append(train_rounded(net, x, y, x_test, y_test, part, rate, epochs))
            name = f"{part}, {rate:g}"
            found["accuracy"][name] = {str(e): [accuracy[k] for accuracy, _ in rows] for k, e in enumerate(epochs)}
            if part == "weights":
                found["undone"][f"{rate:g}"] = [share for _, share in rows]
    return found


def train_rounded(net, x, y, x_test, y_test, part, rate, epochs) -> tuple[list[float], float]:
    """Accuracy after each of these numbers of epochs; the share of weights' steps that rounding undoes (last epoch)."""
    optimizer = torch.optim.AdamW(net.parameters(), rate)
    weights = list(net.parameters())
    if part == "weights":
        round_all(weights)
    accuracy = []
    for epoch in range(1, max(epochs) + 1):
        undone = moved = 0
        for rows in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            before = [w.detach().clone() for w in weights]
            optimizer.step()
            stepped = [w.detach() != old for w, old in zip(weights, before, strict=True)]
            round_all(
                weights
                if part == "weights"
                else [v for state in optimizer.state.values() for v in (state["exp_avg"], state["exp_avg_sq"])]
            )
            moved += sum(int(s.sum()) for s in stepped)
            undone += sum(int((s & (w == old)).sum()) for s, w, old in zip(stepped, weights, before, strict=True))
        if epoch in epochs:
            with torch.no_grad():
                accuracy.append(float((net(x_test).argmax(dim=1) == y_test).float().mean()))
    return accuracy, undone / moved


@torch.no_grad()
def round_all(values) -> None:
    """To bfloat16's eight significant bits, in place."""
    for value in values:
        value.copy_(value.bfloat16())


# ---------------------------------------------------------------- torch.compile
def make_compile(width: int = 128, layers: int = 4, steps: int = 200) -> dict:
    """Seconds of the first step, milliseconds of later ones, the largest difference in float64."""
    import torch._dynamo

    found: dict = {"batch": 41}
    torch.manual_seed(0)
    model = nn.Sequential(*[m for _ in range(layers) for m in (nn.Linear(width, width), nn.GELU())]).double()
    compiled = torch.compile(model)
    x = torch.randn(64, width, dtype=torch.float64)
    odd = x[: found["batch"]]
    runs, ends, times = {"eager": model, "compiled": compiled}, [], {"eager": [], "compiled": []}
    for name, run in runs.items():
        model.zero_grad()
        begin = time.perf_counter()
        run(odd).square().mean().backward()
        found[name] = {"first step, s": time.perf_counter() - begin}
        ends.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    for _ in range(steps):  # in turn, so that a busy moment hits both
        for name, run in runs.items():
            begin = time.perf_counter()
            run(odd).square().mean().backward()
            times[name].append(time.perf_counter() - begin)
    for name, values in times.items():
        found[name]["later step, ms"] = 1000 * statistics.median(values)
    found["steps"] = steps
    found["largest difference"] = float((ends[0] - ends[1]).abs().max() / ends[0].abs().max())
    sizes = (64, 64, 41, 64, 41, 37)
    counted = []
    torch._dynamo.reset()

    def count(graph, inputs):
        counted.append([tuple(i.shape) for i in inputs if isinstance(i, torch.Tensor)][-1:])
        return graph.forward

    watched = torch.compile(model, backend=count)
    graphs = []
    for size in sizes:
        watched(x[:size])
        graphs.append(len(counted))
    found["batch sizes"], found["graphs so far"] = list(sizes), graphs
    return found


# ---------------------------------------------------------------- other engines
def make_keras() -> dict:
    """What `scale_keras.py` prints."""
    done = run_group([sys.executable, str(HERE / "scale_keras.py")], dict(os.environ), timeout=300)
    return done.result


def make_ray() -> dict:
    """What `scale_ray.py` prints."""
    sys.path.insert(0, str(HERE))
    import scale_train

    with tempfile.TemporaryDirectory() as folder:
        scale_train.save_data(folder, datasets.load("mood", "train").subset(range(297)))
        done = run_group([sys.executable, str(HERE / "scale_ray.py"), folder, "--data"], dict(os.environ), timeout=300)
    return json.loads(json.dumps(done.result))


if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables(
        "scale",
        {
            "ray": make_ray,
            "keras": make_keras,
            "compile": make_compile,
            "precision": make_precision,
            "digits": make_digits,
        },
        sys.argv[1:],
        packages=("numpy", "torch", "keras", "tensorflow", "ray"),
    )
