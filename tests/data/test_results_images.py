"""Stored figures of lesson images: what its sentences say holds in them, and one seed comes out again."""

import importlib.util

import numpy as np
import pytest

from mmcourse.datasets import lesson_dir, results


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


def test_filters_cost_more_from_smooth_to_jagged_than_back(make, stored):
    table = stored["serving"]
    assert table["num_test"] == 1000 and table["num_train"] == 3000
    for epochs in make.BUDGETS:
        for used in make.SHRINKS:  # in every column the same filter is best
            column = {ours: np.mean(table[f"{ours} → {used}"][f"{epochs} epochs"]) for ours in make.SHRINKS}
            assert max(column, key=column.get) == used
        ends = [np.mean(table[f"{name} → {name}"][f"{epochs} epochs"]) for name in make.SHRINKS]
        assert ends[0] == max(ends)
        lost, interval = table["smooth → picked"][f"{epochs} epochs, lost"]
        assert lost - interval > 0.1
        lost, interval = table["picked → smooth"][f"{epochs} epochs, lost"]
        assert lost - interval < 0
    lost = [table["smooth → picked"][f"{epochs} epochs, lost"][0] for epochs in make.BUDGETS]
    assert [round(100 * value) for value in lost] == [16, 19]


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
        assert mean("which shape?", "half turn") < mean("which shape?", "none") - 0.05
        assert 0.9 < mean("6 or 9?", "half turn") < mean("6 or 9?", "none")


def test_one_seed_comes_out_as_stored(make, stored):
    pictures, _, shapes = make.cut_objects("train", 410)
    test_pictures, _, test_shapes = make.cut_objects("test", 400)
    for name in ("gray", "red channel"):
        look = make.LOOKS[name]
        model = make.train((look(pictures[:1000]), shapes[:1000]), seed=0, epochs=8)
        again = make.accuracy_of(model, (look(test_pictures), test_shapes))
        assert abs(again - stored["shape"][name]["8 epochs"][0]) < 0.05
