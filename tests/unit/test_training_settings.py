"""One table of settings for both frameworks: what is taken, what is refused, and in which words."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from mmcourse.training import rng
from mmcourse.training.settings import check_settings

GOOD = {
    "num_batches": 10, "has_validation": True, "epochs": 2, "learning_rate": 0.01, "weight_decay": 0.3, "seed": 0,
    "warmup": 0.3, "clip": None, "ema": None, "patience": None, "folder": None, "resume": False, "progress": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("epochs", v) for v in (0, -1, 2.0, "3", None, True, np.float32(2))],
        *[("learning_rate", v) for v in (0, -0.1, np.nan, np.inf, "0.1", None, True, [0.1], 1j)],
        *[("weight_decay", v) for v in (-0.1, np.nan, np.inf, None)],
        *[("seed", v) for v in (-1, 2**32, 1.5, None, True)],
        *[("warmup", v) for v in (100, 1.01, -0.1, np.nan, None, np.int64(5))],
        *[("clip", v) for v in (0, -1.0, np.nan, np.inf, "1")],
        *[("ema", v) for v in (0, 1, 1.0, -0.5, np.nan, 2)],
        *[("patience", v) for v in (-1, 1.5, "2")],
        *[("folder", v) for v in ("", "  ", b"run", 3, Path(__file__), Path(__file__) / "run")],
        *[("resume", v) for v in (1, "yes", None)],
        *[("progress", v) for v in (1, "no", None)],
        *[("save_every", v) for v in (0, -3, 1.5)],
    ],
)
def test_a_setting_that_is_refused_is_named(name, value):
    with pytest.raises(ValueError, match=f"^{name}: expected "):
        check_settings(**{**GOOD, name: value})


def test_warmup_in_steps_gets_its_share_in_the_message():
    with pytest.raises(ValueError, match=r"for 5 of the 20 steps give warmup=0.25"):
        check_settings(**{**GOOD, "warmup": 5})


def test_settings_that_need_another_one():
    with pytest.raises(ValueError, match="^patience: early stopping .* give validation"):
        check_settings(**{**GOOD, "patience": 2, "has_validation": False})
    with pytest.raises(ValueError, match="^resume: there is no folder"):
        check_settings(**{**GOOD, "resume": True})
    with pytest.raises(ValueError, match="^save_every: there is no folder"):
        check_settings(**{**GOOD, "save_every": 3})


@pytest.mark.parametrize(
    ("name", "value", "plain"),
    [
        ("epochs", np.int64(2), 2),
        ("epochs", np.array(2), 2),
        ("epochs", np.uint8(2), 2),
        ("learning_rate", np.float32(0.5), 0.5),
        ("learning_rate", np.logspace(-1, 0, 2)[1], 1.0),
        ("learning_rate", np.longdouble(0.5), 0.5),
        ("learning_rate", 1, 1.0),
        ("seed", np.int32(3), 3),
        ("warmup", 1, 1.0),
        ("warmup", 0, 0.0),
        ("clip", np.float16(0.5), 0.5),
        ("ema", np.float64(0.5), 0.5),
        ("patience", np.int8(0), 0),
        ("resume", np.bool_(False), False),
    ],
)
def test_numpys_numbers_become_plain_ones(name, value, plain):
    found = check_settings(**{**GOOD, name: value})
    assert getattr(found, name) == plain and type(getattr(found, name)) is type(plain)
    json.dumps(found.recorded())


def test_a_folder_below_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_settings(**{**GOOD, "folder": "~/run"}).folder == tmp_path / "run"
    assert not (tmp_path / "run").exists()


# ---- random states ---------------------------------------------------------------------------------------------------
MODULE_GENERATOR = np.random.default_rng(5)


class Noisy:
    def __init__(self):
        self.rng, self.parts = random.Random(3), [{"mt": np.random.RandomState(4)}]

    def __getitem__(self, i):
        return MODULE_GENERATOR.normal() + self.rng.random()


def test_generators_are_found_wherever_a_loader_keeps_them():
    inner = np.random.Generator(np.random.MT19937(7))

    default = np.random.default_rng(8)

    def collate(rows, mine=default):
        return rows, inner, mine

    class Loader:
        dataset, collate_fn = Noisy(), staticmethod(collate)

        def __init__(self):
            self.dataset, self.collate_fn = Noisy(), collate

    found = rng.find_generators(loader=Loader())
    assert {id(g) for g in found.values()} >= {id(MODULE_GENERATOR), id(inner), id(default)}
    assert "loader.dataset.rng" in found and "loader.dataset.parts.0.mt" in found
    assert list(found) == list(rng.find_generators(loader=Loader()))


@pytest.mark.parametrize("bits", ["PCG64", "MT19937", "Philox", "SFC64", "PCG64DXSM"])
def test_states_of_numpy_survive_json(bits):
    generator = np.random.Generator(getattr(np.random, bits)(3))
    generator.integers(10, dtype=np.int32)  # leaves half a number behind
    text = rng.get_state(generator)
    drawn = generator.normal(size=5)
    rng.set_state(generator, text)
    assert np.array_equal(generator.normal(size=5), drawn)


def test_states_of_the_global_generators_survive_json():
    np.random.normal()
    random.gauss(0, 1)
    states = {name: rng.get_state(generator) for name, generator in rng.global_generators().items()}
    drawn = np.random.normal(size=3).tolist(), random.gauss(0, 1), random.random()
    for name, generator in rng.global_generators().items():
        rng.set_state(generator, states[name])
    assert (np.random.normal(size=3).tolist(), random.gauss(0, 1), random.random()) == drawn


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a": 1}', "[3, [1], null]", "[" * 100_000])
def test_what_is_no_state_is_refused(text):
    for generator in (np.random.default_rng(0), np.random.RandomState(0), random.Random(0)):
        with pytest.raises(ValueError):
            rng.set_state(generator, text)
