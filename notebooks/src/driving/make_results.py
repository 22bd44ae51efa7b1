"""Long runs of lesson driving.

- `tables`: what a gate can win on the exact table, beside fogs of other kinds: votes by maximum likelihood and by search;
- `gate`, `concatenate`: five networks each, trained with sensor dropout: every subset of sensors in every weather; recall by
  distance; and, for `gate`, a lidar whose calibration is turned, and clocks that are ignored; `vote`: five, with all sensors;
- `no_dropout`: five gated networks trained with all sensors only: what a mask or zeros do to them at the test;
- `confused`: the networks of `gate` once more: what is said of what is there, in each weather;
- `intent`: 300 spoken commands, a third of which fits two things and a third fits none.

`make results driving`: about eight minutes of one processor. `python make_results.py vote` (or others) makes only these.
"""

from __future__ import annotations

import functools
import sys
from itertools import combinations

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from mmcourse import ceilings as info
from mmcourse import datasets, runtime
from mmcourse.authoring.tables import make_tables
from mmcourse.datasets import road
from mmcourse.datasets.road import table
from mmcourse.datasets.scenes import referring, spoken, world
from mmcourse.datasets.scenes.drawing import RGB, box
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.torch.road import BirdView, evaluate, fit, to_tensors

SEEDS = 5
EPOCHS, BATCH, LR, DROPOUT = 6, 32, 6e-3, 0.25
SUBSETS = [names for k in (1, 2, 3) for names in combinations(road.MODALITIES, k)]
ANGLES = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)  # degrees
DISTANCES = (7, 14, 22, 30)  # meters


# ---------------------------------------------------------------- tables
def searched_vote(joint: np.ndarray, seed: int, sweeps: int = 40) -> float:
    """Accuracy of an additive vote found by coordinate search, from a random start: a lower bound of the best."""
    rng = np.random.default_rng(seed)
    sizes = joint.shape[1:]
    votes = [
        np.log(joint.sum(axis=tuple(a for a in range(1, joint.ndim) if a != m + 1)) + 1e-3) for m in range(len(sizes))
    ]
    votes = [v + rng.normal(0, 0.3, v.shape) for v in votes]

    def total() -> np.ndarray:
        summed = np.zeros(joint.shape)
        for m, v in enumerate(votes):
            summed = summed + v.reshape(v.shape[0], *(-1 if a == m else 1 for a in range(len(sizes))))
        return summed

    def accuracy(summed: np.ndarray) -> float:
        return float(np.take_along_axis(joint, summed.argmax(axis=0)[None], axis=0).sum())

    best = accuracy(total())
    for _ in range(sweeps):
        before = best
        for v in votes:
            for index in np.ndindex(v.shape):
                old = v[index]
                for step in rng.normal(0, 1.5, 4):
                    v[index] = old + step
                    if (value := accuracy(total())) > best + 1e-12:
                        best, old = value, v[index]
                v[index] = old
        if best - before < 1e-9:
            break
    return best


def fitted_vote(joint: np.ndarray) -> tuple[float, float]:
    """Accuracy and log loss (nats) of the additive vote of maximum likelihood: no vote has a smaller log loss."""
    code, p = info.additive_design(joint.shape[1:]), joint.reshape(len(joint), -1).T

    def loss(flat):
        g = flat.reshape(code.shape[1], -1)
        log_q = log_softmax(code @ g, axis=1)
        slope = code.T @ (np.exp(log_q) * p.sum(axis=1, keepdims=True) - p)
        return -(p * log_q).sum(), slope.ravel()

    fit = minimize(loss, np.zeros(code.shape[1] * len(joint)), jac=True, method="L-BFGS-B", options={"maxiter": 5000})
    said = (code @ fit.x.reshape(code.shape[1], -1)).argmax(axis=1)
    return float(p[np.arange(len(p)), said].sum()), float(fit.fun)


def make_tables_of_gain() -> dict:
    """What votes and a gate can reach with four kinds of fog."""
    clear = table.sensor_tables(blinded=0, scattered=0)
    blinded = table.sensor_tables(scattered=0)
    kinds = {
        "no fog at all": clear,
        "fog adds noise to the camera": table.evenly_noisy(blinded) * 1.0,
        "fog blinds the camera": blinded,
        "fog of road": table.SENSORS,
    }
    kinds["fog adds noise to the camera"][1:] = clear[1:]
    found = {}
    for name, tables in kinds.items():
        joint = table.joint_table(tables)
        with_weather = joint.reshape(4, 12, 4, 4)  # the camera's vote knows the weather
        accuracy, log_loss = fitted_vote(with_weather)
        posterior = joint / joint.sum(axis=0)
        found[name] = {
            "camera in fog": info.bayes_accuracy(info.marginal(joint[:, [1]] / road.WEATHER[1], [0, 1])),
            "best without weather": info.bayes_accuracy(joint.sum(axis=1)),
            "vote": accuracy,
            "vote, best of ten searches": max(searched_vote(with_weather, seed) for seed in range(10)),
            "all told": info.bayes_accuracy(joint),
            "log loss of the vote": log_loss,
            "log loss, all told": float(-(joint * np.log(posterior)).sum()),
        }
        print(name, found[name], flush=True)
    return found


# ---------------------------------------------------------------- networks
@functools.cache
def splits() -> tuple[dict, dict]:
    """Train and test as tensors."""
    return to_tensors(datasets.load("road", "train")), to_tensors(datasets.load("road", "test"))


@functools.cache
def turned_views() -> dict[str, torch.Tensor]:
    """The lidar's test views with a wrong calibration, and without ego motion between the clocks."""
    test = datasets.load("road", "test")
    points, meta = list(test.column("lidar")), test.meta
    few = [test.column("camera")[0]] * len(test), points, [np.zeros((0, 4), np.float32)] * len(test)
    made = {}
    for angle in ANGLES[1:]:
        views = road.make_views(*few, meta["ego_speed"], meta["yaw_rate"], lidar_yaw=np.radians(angle))
        made[f"{angle:g}"] = torch.from_numpy(views["lidar"]).permute(0, 3, 1, 2)
    views = road.make_views(*few, meta["ego_speed"], meta["yaw_rate"], compensate=False)
    made["clocks"] = torch.from_numpy(views["lidar"]).permute(0, 3, 1, 2)
    return made


def by_weather(right: np.ndarray, there: np.ndarray) -> dict[str, float]:
    """Share of right answers (n, places), over all and in each weather."""
    weather = datasets.load("road", "test").meta["weather"]
    found = {"all": float(right[there].mean())}
    return found | {w: float(right[there & (weather == w)[:, None]].mean()) for w in road.WEATHERS}


def recall(said: np.ndarray, truth: np.ndarray, there: np.ndarray) -> dict[str, list[float]]:
    """Recall of each class by distance (all weathers), and by weather."""
    meta = datasets.load("road", "test").meta
    found = {}
    for kind, name in enumerate(road.CLASSES):
        of_kind = there & (truth == kind)
        rows = []
        for low, high in zip(DISTANCES, DISTANCES[1:], strict=False):
            part = of_kind & (meta["distance"] >= low) & (meta["distance"] < high)
            rows.append(float((said == kind)[part].mean()))
        found[name] = rows
        found[f"{name}, weather"] = [
            float((said == kind)[of_kind & (meta["weather"] == w)[:, None]].mean()) for w in road.WEATHERS
        ]
    return found


def train_network(fusion: str, seed: int, dropout: float) -> BirdView:
    """One network."""
    torch.manual_seed(seed)
    model = BirdView(fusion)
    fit(model, splits()[0], epochs=EPOCHS, batch_size=BATCH, lr=LR, sensor_dropout=dropout, seed=seed)
    return model


def add(found: dict, key: str, value) -> None:
    """One more seed's value."""
    found.setdefault(key, []).append(value)


def make_networks(fusion: str, dropout: float = DROPOUT, seeds: int = SEEDS, subsets: list = SUBSETS) -> dict:
    """Several networks of one kind."""
    _, test = splits()
    truth = test["classes"].numpy()
    there = truth >= 0
    found: dict = {"subsets": {}, "turned": {}}
    for seed in range(seeds):
        model = train_network(fusion, seed, dropout)
        for names in subsets:
            log_p = evaluate(model, test, names)
            add(found["subsets"], " + ".join(names), by_weather(log_p.argmax(axis=-1) == truth, there))
        said = log_p.argmax(axis=-1)  # with all three
        add(found, "recall", recall(said, truth, there))
        add(
            found,
            "log loss",
            float(-np.take_along_axis(log_p, np.maximum(truth, 0)[..., None], axis=-1)[..., 0][there].mean()),
        )
        if dropout == 0:
            blank = {**test, "lidar": torch.zeros_like(test["lidar"])}
            add(found, "lidar zeros", by_weather(evaluate(model, blank).argmax(axis=-1) == truth, there))
        if fusion == "gate" and dropout:
            for name, view in turned_views().items():
                said = evaluate(model, {**test, "lidar": view}).argmax(axis=-1)
                add(found["turned"], name, by_weather(said == truth, there))
        print(fusion, seed, found["subsets"]["camera + lidar + radar"][-1], flush=True)
    found["parameters"] = sum(p.numel() for p in model.parameters())
    found["n"] = int(there.sum())
    return found


def make_confused(seeds: int = SEEDS) -> dict:
    """Places by weather, by what is there (row) and what the network says (column): {weather: [seed][4][4]}."""
    _, test = splits()
    truth = test["classes"].numpy()
    weather = datasets.load("road", "test").meta["weather"]
    found: dict = {w: [] for w in road.WEATHERS}
    for seed in range(seeds):
        said = evaluate(train_network("gate", seed, DROPOUT), test).argmax(axis=-1)
        for w in road.WEATHERS:
            part = (truth >= 0) & (weather == w)[:, None]
            counts = np.zeros((4, 4), int)
            np.add.at(counts, (truth[part], said[part]), 1)
            found[w].append(counts.tolist())
        print("confused", seed, found["fog"][-1], flush=True)
    return found


# ---------------------------------------------------------------- intent
def draw_commands(number: int, seed: int) -> tuple[list, list[str], list[list[int]]]:
    """Scenes of two to four things, a phrase for each, and which things it fits: one, several or none, in turn."""
    rng, scenes, phrases, fits, index = np.random.default_rng(seed), [], [], [], 0
    while len(scenes) < number:
        scene = world.make(seed, index)
        other = world.make(seed + 1, index)
        index += 1
        if len(scene.things) < 2:
            continue
        wanted = len(scenes) % 3
        source = other if wanted == 2 else scene
        looks = [look for thing in source.things for look in referring.looks_of(thing)]
        looks = [look for look in looks if look.shape is not None or look.color is not None]
        good = [look for look in looks if min(sum(map(look.fits, scene.things)), 2) == (1, 2, 0)[wanted]]
        if good:
            phrase = referring.say_look(good[int(rng.integers(len(good)))], rng)
            scenes.append(scene)
            phrases.append(phrase)
            fits.append(referring.fitting(phrase, scene))
    return scenes, phrases, fits


def make_intent(number: int = 300) -> dict:
    """Spoken commands: which thing, or a question back."""
    from mmcourse.torch.detection import Detector
    from mmcourse.torch.speech_to_text import Recognizer

    scenes, phrases, fits = draw_commands(number, 281)
    voices = spoken.full_voices("test")
    waves = [spoken.say(phrase, voices[i % len(voices)]) for i, phrase in enumerate(phrases)]
    heard = Recognizer.from_pretrained("speech_to_text").eval().transcribe(waves)
    detector = Detector.from_pretrained("detection").eval()
    images = np.stack([draw_scene(scene) for scene in scenes])
    found: dict = {"n": number, "heard right": float(np.mean([h == p for h, p in zip(heard, phrases, strict=True)]))}
    for name, texts in (("typed", phrases), ("spoken", heard)):
        boxes, shares = [], []
        for image, text in zip(images, texts, strict=True):
            try:
                one, p = detector.find(image[None], [text])
                boxes.append(one[0].tolist())
                shares.append(float(p[0]))
            except ValueError:
                boxes.append([0, 0, 0, 0])
                shares.append(0.0)
        hit = [nearest(scene, found_box) for scene, found_box in zip(scenes, boxes, strict=True)]
        found[name] = {"share": shares, "thing": hit}
    found["fits"] = fits
    detections = detector.detect(images, threshold=0.3, nms_threshold=0.6)
    listed = [list_things(image, seen) for image, seen in zip(images, detections, strict=True)]
    for name, texts in (("typed", phrases), ("spoken", heard)):
        counted = []
        for scene, text, things, seen in zip(scenes, texts, listed, detections, strict=True):
            try:
                look = referring.parse(text).look
            except ValueError:
                counted.append([-1, -1])  # not understood
                continue
            which = [k for k, thing in enumerate(things) if look.fits(thing)]
            counted.append([len(which), nearest(scene, seen.boxes[which[0]].tolist()) if which else -1])
        found[name]["counted"] = counted
    return found


def list_things(image: np.ndarray, seen) -> list[world.Thing]:
    """What the detector found, with the color of its middle and the size of its box."""
    palette = np.array([RGB[color] for color in world.COLORS])
    found = []
    for label, (left, top, right, bottom) in zip(seen.labels, seen.boxes, strict=True):
        x, y = int((left + right) / 2), int((top + bottom) / 2)
        middle = image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].reshape(-1, 3).mean(axis=0)
        color = int(((palette - middle) ** 2).sum(axis=1).argmin())
        large = int(max(right - left, bottom - top) > 15.5)
        found.append(world.Thing(shape=int(label), color=color, size=large, x=x, y=y, radius=0.0, turn=0))
    return found


def nearest(scene, found_box) -> int:
    """The thing whose box overlaps most."""
    overlaps = []
    for thing in scene.things:
        left, top, right, bottom = box(thing)
        wide = min(right, found_box[2]) - max(left, found_box[0])
        high = min(bottom, found_box[3]) - max(top, found_box[1])
        overlaps.append(max(wide, 0) * max(high, 0))
    return int(np.argmax(overlaps)) if max(overlaps) > 0 else -1


if __name__ == "__main__":
    runtime.setup(threads=1)
    make_tables(
        "driving",
        {
            "tables": make_tables_of_gain,
            "intent": make_intent,
            "gate": lambda: make_networks("gate"),
            "confused": make_confused,
            "vote": lambda: make_networks("vote", subsets=SUBSETS[-1:]),
            "concatenate": lambda: make_networks("concatenate"),
            "no_dropout": lambda: make_networks("gate", dropout=0.0),
        },
        sys.argv[1:],
        packages=("numpy", "torch"),
    )
