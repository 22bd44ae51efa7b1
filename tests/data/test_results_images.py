"""Stored figures of lesson images: what its sentences say holds in them, and one seed comes out again."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results
from mmcourse.evaluate import mean_and_interval


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("images") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_images", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("images")


def test_all_tables_are_there(make, stored):
    assert set(make.TABLES) <= set(stored)


def test_gray_loses_shapes_at_both_budgets_and_another_single_channel_loses_less(make, stored):
    table = stored["shape"]
    for epochs in make.BUDGETS:
        mean = {name: np.mean(table[name][f"{epochs} epochs"]) for name in make.TASK_LOOKS["shape"]}
        assert mean["gray"] < mean["red channel"] < mean["color"]
        assert mean["gray"] < mean["green channel"] < mean["red channel"] < mean["blue channel"]
        assert all(value > table["majority"] + 0.3 for value in mean.values())
        assert all(mean[name] > table[name]["logistic regression"] + 0.2 for name in mean)
    late = {name: np.mean(table[name]["24 epochs"]) for name in make.TASK_LOOKS["shape"]}
    assert [round(100 * (late["color"] - late[name])) for name in ("gray", "red channel", "blue channel")] == [15, 5, 2]
    for epochs, points in ((8, 6), (24, 3)):
        gray, green = (np.mean(table[name][f"{epochs} epochs"]) for name in ("gray", "green channel"))
        assert round(100 * (green - gray)) == points


def test_another_filter_than_in_training_costs_both_ways_and_more_from_smooth_to_jagged(make, stored):
    """The same digits in use, another training: what the mismatch costs, without how hard these digits are."""
    table = stored["serving"]
    assert table["num_test"] == 1000 and table["num_train"] == 3000

    def runs(trained_on, used, epochs):
        return np.array(table[f"{trained_on} → {used}"][f"{epochs} epochs"])  # (seeds,)

    points, neighbors = {}, []
    for epochs in make.BUDGETS:
        for used in make.SHRINKS:  # in every column the same filter is best
            column = {ours: runs(ours, used, epochs).mean() for ours in make.SHRINKS}
            assert max(column, key=column.get) == used
        lost = {}
        for trained_on, used in (("smooth", "picked"), ("picked", "smooth")):
            lost[trained_on] = runs(used, used, epochs) - runs(trained_on, used, epochs)
            mean, interval = mean_and_interval(lost[trained_on])
            assert mean - interval > 0.02
            points[trained_on, epochs] = round(100 * mean)
        assert (lost["smooth"] > lost["picked"]).all()  # in each seed
        for trained_on, used in (("plain", "picked"), ("picked", "plain")):
            neighbors.append(runs(used, used, epochs).mean() - runs(trained_on, used, epochs).mean())
    assert points == {("smooth", 8): 8, ("smooth", 24): 13, ("picked", 8): 4, ("picked", 24): 8}
    assert (round(100 * min(neighbors), 1), round(100 * max(neighbors), 1)) == (0.3, 2.7)
    every = {(ours, used): runs(ours, used, 24).mean() for ours in make.SHRINKS for used in make.SHRINKS}
    assert max(every, key=every.get) == ("smooth", "smooth")
    named = [every["smooth", "smooth"], every["smooth", "picked"], every["picked", "picked"]]
    assert np.round(named, 3).tolist() == [0.924, 0.734, 0.863]


def test_two_faults_ruin_all_three_photographs_and_some_change_no_first_name(stored):
    table = stored["faults"]
    right = [name for name, _ in table["as it should be"].values()]
    assert right == ["palace", "daisy", "military uniform"]
    kept = {}
    for fault in table.keys() - {"seconds"}:
        names = [name for name, _ in table[fault].values()]
        kept[fault] = sum(name == ours for name, ours in zip(names, right, strict=True))
    assert {fault for fault, count in kept.items() if count == 0} == {"0 to 255", "reshape"}
    assert kept["a quarter turn"] == 1
    assert {kept[fault] for fault in ("nearest", "blue, green, red", "mirrored")} == {3}
    assert {kept[fault] for fault in ("gray", "squeezed, not cropped", "ImageNet's mean, std", "0 to 1")} == {2}


def test_when_color_lies_the_evened_gray_helps_more_than_gray_or_new_hues(make, stored):
    table = stored["trap"]
    for epochs in make.BUDGETS:
        names = ("color", "gray", "new hues", "gray, evened")
        mean = {name: np.mean(table[name][f"{epochs} epochs"]) for name in names}
        assert 1 / 6 < mean["color"] < 0.25 < mean["gray"] < 0.4
        assert 0.45 < mean["new hues"] < 0.65
        assert mean["gray, evened"] > 0.8
    less, interval = table["gray, evened"]["24 epochs, less than color"]
    assert less + interval < -0.5
    assert table["gray, evened"]["logistic regression"] > 0.75
    assert round(stored["shape"]["color"]["logistic regression"], 2) == 0.48  # where color does not lie


def test_evened_contrast_does_not_depend_on_how_bright_the_object_is(make):
    mask = np.zeros((24, 24, 1), bool)
    mask[8:16, 8:16] = True
    pictures = np.stack([np.where(mask, value, 100) for value in (0, 90, 130, 255)]).repeat(3, axis=-1)
    evened = make.even_contrast(pictures.astype(np.uint8))
    assert evened.shape == (4, 24, 24, 1)
    assert (evened == np.where(mask, 255, 0)).all()


def test_a_difference_counts_the_chance_of_seeds_and_of_samples(make):
    g = np.random.default_rng(0)
    first = g.random((5, 400)) < 0.5
    assert make.difference(first, first) == [0, 0]
    mean, interval = make.difference(first, np.ones_like(first))
    assert abs(mean - 0.5) < 0.03 and 0.02 < interval < 0.06
    # every seed gains on the same quarter of the samples: no spread over seeds, yet the samples were drawn by chance
    base = np.zeros((5, 400), bool)
    better = base.copy()
    better[:, :100] = True
    mean, interval = make.difference(base, better)
    assert mean == 0.25 and abs(interval - 1.96 * np.sqrt(0.25 * 0.75 / 399)) < 1e-9


def test_mirrored_copies_help_where_objects_are_few(stored):
    table = stored["mirrors"]
    shown = []
    for n in (60, 120):
        for epochs in (30, 120):
            row = table[f"{n} objects, {epochs} epochs"]
            gain, interval = row["gain"]
            assert gain == pytest.approx(np.mean(row["with mirrored copies"]) - np.mean(row["as they are"]))
            assert np.mean(row["as they are"]) > row["logistic regression"] > row["majority"]
            shown.append(gain - interval > 0)
            if shown[-1]:
                assert 0.03 < gain < 0.06
    assert shown == [False, True, True, True]
    many = stored["changes"]["which shape?"]
    for epochs in ("8 epochs", "24 epochs"):
        assert np.mean(many["mirror"][epochs]) < np.mean(many["none"][epochs])


def test_each_change_spoils_the_questions_that_the_lesson_names(make, stored):
    table = stored["changes"]
    for epochs in make.BUDGETS:

        def mean(question, change, epochs=epochs):
            return np.mean(table[question][change][f"{epochs} epochs"])

        assert max(mean("left or right?", change) for change in ("mirror", "half turn")) < 0.6
        assert min(mean("left or right?", change) for change in ("none", "new hue")) > 0.9
        assert mean("which color?", "new hue") < 0.8 < mean("which color?", "none")
        seeds = [np.array(table["which shape?"][change][f"{epochs} epochs"]) for change in ("half turn", "none")]
        assert (seeds[0] < seeds[1] - 0.05).all()
        assert 0.9 < mean("6 or 9?", "half turn") < mean("6 or 9?", "none")
        assert mean("6 or 9?", "new hue") == mean("6 or 9?", "none")  # gray digits have no hue
    assert [round(mean("which color?", "new hue", epochs), 2) for epochs in make.BUDGETS] == [0.59, 0.74]
    assert [round(mean("6 or 9?", "half turn", epochs), 2) for epochs in make.BUDGETS] == [0.91, 0.97]
    shape = {
        change: [round(100 * (mean("which shape?", "none", e) - mean("which shape?", change, e))) for e in make.BUDGETS]
        for change in ("mirror", "half turn", "new hue")
    }
    assert shape == {"mirror": [3, 1], "half turn": [18, 10], "new hue": [-5, 0]}
    assert table["turned, called by the other name"] == [1.0] * 5


def test_one_seed_comes_out_as_stored(make, stored):
    pictures, _, shapes = make.cut_objects("train", 410)
    test_pictures, _, test_shapes = make.cut_objects("test", 400)
    for name in ("gray", "red channel"):
        look = make.LOOKS[name]
        model = make.train((look(pictures[:1000]), shapes[:1000]), seed=0, epochs=8)
        again = make.accuracy_of(model, (look(test_pictures), test_shapes))
        assert abs(again - stored["shape"][name]["8 epochs"][0]) < 0.05
