"""Stored figures of lesson fusion: what its sentences say holds in them, and what is called additive adds."""

import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mmcourse.datasets import lesson_dir, mood, results  # noqa: E402


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("fusion") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_fusion", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("fusion")


def test_all_tables_are_there_and_their_seconds_add_up(make, stored):
    assert set(make.TABLES) <= set(stored)
    assert stored["seconds"] == sum(stored["seconds_of"][name] for name in make.TABLES)
    assert stored["made_with"].startswith("1 CPU thread")


def test_every_method_had_the_same_tries_and_the_gap_is_one_of_kind(make, stored):
    methods = stored["curves"]["methods"]
    assert set(methods) == set(make.METHODS)
    sizes = {name: sum(p.numel() for p in method().parameters()) for name, (_, method) in make.METHODS.items()}
    for name, row in methods.items():
        assert row["kind"] == make.METHODS[name][0] and row["size"] == sizes[name]
        assert len(row["validation by rate"]) == len(make.RATES) and len(row["test"]) == make.SEEDS
        assert np.mean(np.array(list(row["seeds right"]), int)) / make.SEEDS == pytest.approx(
            np.mean(row["chosen"]), abs=1e-4
        )
    best = {name: np.mean(row["chosen"]) for name, row in methods.items()}
    top_of_adds = max(best[name] for name in best if methods[name]["kind"] == "adds")
    others = [best[name] for name in best if methods[name]["kind"] == "interacts" and name != "low-rank bilinear"]
    assert top_of_adds < mood.additive_accuracy() - 0.04 and min(others) > top_of_adds + 0.03
    assert best["low-rank bilinear"] < top_of_adds + 0.01


def logits_of(model, xs):
    with torch.no_grad():
        return model(xs)


def test_what_is_called_additive_adds_and_what_interacts_does_not(make):
    """Scores that add have f(a, b) + f(c, d) = f(a, d) + f(c, b) between classes, whatever a, b, c and d are."""
    g = torch.Generator().manual_seed(0)
    a, c = ([torch.randn(1, 16, generator=g) for _ in range(3)] for _ in range(2))
    for name, (kind, method) in make.METHODS.items():
        if name.startswith("stacking") or name == "mean of probabilities":  # log of a mean: its probabilities add
            continue
        torch.manual_seed(0)
        model = method()
        if name == "FiLM":  # starts as a model of one modality
            torch.nn.init.normal_(model.fusion.gamma.weight)
        both = logits_of(model, a) + logits_of(model, c)
        mixed = logits_of(model, [a[0], a[1], c[2]]) + logits_of(model, [c[0], c[1], a[2]])
        gap = both - mixed
        gap = (gap - gap.mean()).abs().max().item()
        assert (gap < 1e-4) == (kind == "adds"), (name, gap)


def test_the_xrays_say_what_the_lesson_says(stored):
    table = stored["xray"]
    assert all(low > 0 for low, _ in table["gain over the picture"].values())
    assert table["early minus late product"][0] < 0 < table["early minus late product"][1]
    assert table["the product in stacking"][0] < 0 < table["the product in stacking"][1]
    assert table["auc"]["the view, read from the picture"] > 0.9
    assert table["interval inside"]["PA"]["picture"][0] > table["interval inside"]["AP"]["picture"][1]


def test_the_ones_help_at_every_rate(stored):
    ones, none = (
        np.array(stored["curves"]["methods"][f"low-rank bilinear{end}"]["validation by rate"])
        for end in (", with 1s", "")
    )
    assert min(ones - none) > 0.05
