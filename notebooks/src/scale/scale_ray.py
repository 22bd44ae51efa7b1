"""Lesson scale with Ray: two actors compute the gradient of each step, one of them is killed, the result is the same.

``python scale_ray.py FOLDER`` prints one line of JSON. FOLDER/data.npz is what `scale_train.save_data` wrote. The
network is small and in NumPy, so that an actor starts in a second: any function of (weights, rows) would do.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

BATCH, CLASSES, HIDDEN = 64, 3, 16
RUNS = {"two actors": None, "one killed": 3}  # the step before which an actor is killed


def load_faces(folder):
    """Faces at a quarter of their size, (n, 192) in float64, and labels."""
    with np.load(Path(folder) / "data.npz") as file:
        faces, target = file["inputs_face"].astype(np.float64), file["target"]
    small = faces.reshape(len(faces), 3, 8, 4, 8, 4).mean(axis=(3, 5))
    return small.reshape(len(faces), -1) - 0.5, target


def new_weights():
    """One hidden layer: {name: array}."""
    g = np.random.default_rng(0)
    shapes = {"w1": (192, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, CLASSES), "b2": (CLASSES,)}
    return {name: g.normal(size=shape) * 0.1 for name, shape in shapes.items()}


def gradient_of(weights, x, target):
    """Gradient of the mean cross-entropy, by hand: {name: array}."""
    h = np.tanh(x @ weights["w1"] + weights["b1"])
    logits = h @ weights["w2"] + weights["b2"]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    d = (p - np.eye(CLASSES)[target]) / len(x)
    dh = (d @ weights["w2"].T) * (1 - h**2)
    return {"w1": x.T @ dh, "b1": dh.sum(axis=0), "w2": h.T @ d, "b2": d.sum(axis=0)}


def epoch(n, gradient, combine):
    """One epoch of SGD with momentum: the weights after each step.

    `gradient(step, weights, rows)` gives [(gradients, count), …] of all parts.
    """
    weights = new_weights()
    velocity, history = {name: np.zeros_like(w) for name, w in weights.items()}, []
    for step, start in enumerate(range(0, n, BATCH)):
        parts = gradient(step, weights, np.arange(start, min(start + BATCH, n)))
        for name in weights:
            whole = combine([g[name].ravel() for g, _ in parts], [count for _, count in parts])
            velocity[name] = 0.9 * velocity[name] + whole.reshape(velocity[name].shape)
            weights[name] = weights[name] - 0.3 * velocity[name]
        history.append(dict(weights))
    return history


def by_actors(folder, n, combine, kill_before=None, processes=2):
    """The same epoch with Ray's actors: (weights after each step, how many actors were lost)."""
    import ray

    @ray.remote(num_cpus=1)
    class Worker:
        """Holds the data; computes the gradient of its rows."""

        def __init__(self, folder, here):
            sys.path.insert(0, here)
            import scale_ray

            self.x, self.target = scale_ray.load_faces(folder)

        def gradient(self, weights, rows):
            import scale_ray

            return scale_ray.gradient_of(weights, self.x[rows], self.target[rows]), len(rows)

    here = str(Path(__file__).resolve().parent)
    workers = [Worker.remote(str(folder), here) for _ in range(processes)]
    lost = []

    def gradient(step, weights, rows):
        shares = [rows[k::processes] for k in range(processes)]
        ray.get([w.gradient.remote(weights, rows[:1]) for w in workers], timeout=60)  # all are alive
        if step == kill_before:
            ray.kill(workers[1])
        waiting = [w.gradient.remote(weights, mine) for w, mine in zip(workers, shares, strict=True)]
        found = []
        for k, result in enumerate(waiting):
            try:
                found.append(ray.get(result, timeout=60))
            except ray.exceptions.RayActorError:  # the weights are here, so that a new actor can do the same step
                lost.append(step)
                workers[k] = Worker.remote(str(folder), here)
                found.append(ray.get(workers[k].gradient.remote(weights, shares[k]), timeout=60))
        return found

    history = epoch(n, gradient, combine)
    for worker in workers:
        ray.kill(worker)
    return history, len(lost)


def same_batches(target):
    """Whether Ray Data, on the same rows, gives the same batches in the same order."""
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    batches = ray.data.from_numpy(target).iter_batches(batch_size=BATCH)
    found = [batch["data"].tolist() for batch in batches]
    return found == [target[i : i + BATCH].tolist() for i in range(0, len(target), BATCH)]


def main(folder, runs, with_data=False):
    """Two actors, and two of which one is killed before step 3, against one process."""
    import ray

    from mmcourse.training.scale.batches import combine

    x, target = load_faces(folder)
    one = epoch(len(x), lambda step, weights, rows: [(gradient_of(weights, x[rows], target[rows]), len(rows))], combine)
    begin = time.perf_counter()
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    report = {"ray": ray.__version__, "seconds to start": time.perf_counter() - begin}
    try:
        for name in runs:
            begin = time.perf_counter()
            history, lost = by_actors(folder, len(x), combine, RUNS[name])
            gaps = [max(float(np.abs(a[k] - b[k]).max()) for k in a) for a, b in zip(history, one, strict=True)]
            seconds = time.perf_counter() - begin
            report[name] = {"largest difference by step": gaps, "actors lost": lost, "seconds": seconds}
        if with_data:
            report["same batches"] = same_batches(target)
    finally:
        ray.shutdown()
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [name for name in RUNS if name in sys.argv] or list(RUNS), "--data" in sys.argv)
