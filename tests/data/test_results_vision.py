"""Stored figures of lesson vision: what its sentences say holds in them, and one seed comes out again."""

import importlib.util

import numpy as np
import pytest
import torch

from mmcourse.datasets import lesson_dir, results
from mmcourse.evaluate import mean_and_interval


@pytest.fixture(scope="module")
def make():
    path = lesson_dir("vision") / "make_results.py"
    spec = importlib.util.spec_from_file_location("make_results_vision", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return results("vision")


def test_all_tables_are_there_and_their_seconds_add_up(make, stored):
    assert set(make.TABLES) <= set(stored)
    assert stored["seconds"] == sum(stored["seconds_of"][name] for name in make.TABLES)
    assert stored["made_with"].startswith("1 CPU thread")


def test_features_name_crops_that_pixels_and_colors_do_not(stored):
    row = stored["crops"]
    assert np.mean(row["features"]) > 0.8
    assert max(np.mean(row["pixels"]), np.mean(row["mean color"])) < 0.5


def test_lenet_is_two_points_better_than_a_linear_classifier_in_each_seed(stored):
    gains = np.array(stored["lenet"]["accuracy"]) - stored["lenet"]["logistic regression"]
    assert len(gains) == 5 and (gains > 0).all() and round(100 * gains.mean()) == 2


def test_plain_depth_learns_nothing_at_any_rate_and_hes_initialization_seldom_helps(stored):
    depth, rates = stored["depth"], stored["rates"]
    assert all(loss < 1.5 for loss in depth["1 block"]["loss"]) and max(depth["1 block"]["loss"]) > 1.2
    plain = [depth[name]["loss"] for name in ("3 blocks", "10 blocks", "10 blocks, Adam")]
    plain += [rates[f"PyTorch's initialization, {rate}"] for rate in ("0.01", "0.03")]
    assert all(abs(loss - np.log(10)) < 0.005 for losses in plain for loss in losses)
    tried = (
        depth["10 blocks, He's initialization"]["loss"],
        rates["He's initialization, 0.03"],
        rates["He's initialization, 0.01"],
    )
    begun = [(sum(loss is not None and loss < 2.29 for loss in losses), len(losses)) for losses in tried]
    assert begun == [(1, 5), (2, 3), (1, 3)]


def test_degradation_in_each_seed_and_skip_connections_lower_the_training_loss(stored):
    depth = stored["depth"]
    ten, twenty_five = depth["10 blocks, batch norm"], depth["25 blocks, batch norm"]
    assert round(max(ten["loss"]), 2) == 0.40 and round(min(twenty_five["loss"]), 2) == 1.60
    assert max(twenty_five["accuracy"]) < min(ten["accuracy"])
    for blocks in (10, 25):
        with_skip = np.array(depth[f"{blocks} blocks, batch norm, skip"]["loss"])
        assert (with_skip < depth[f"{blocks} blocks, batch norm"]["loss"]).all()
    assert max(depth["10 blocks, batch norm, skip"]["loss"]) < 0.03
    assert sum(loss < 0.1 for loss in depth["25 blocks, batch norm, skip"]["loss"]) == 1
    alone = depth["10 blocks, skip"]["loss"]
    assert alone.count(None) == 1 and any(loss and loss < 1 for loss in alone)
    assert any(loss and abs(loss - np.log(10)) < 0.01 for loss in alone)


def test_the_forgotten_eval_costs_most_with_single_digits(stored):
    row = stored["forgotten"]
    lost = {size: np.array(row["eval"]) - right for size, right in row["train"].items()}
    assert (np.abs(lost["597"]) < 0.02).all() and (np.abs(lost["64"]) < 0.02).all()
    assert (lost["8"] > 0.1).all() and max(row["train"]["1"]) < 0.1


def test_batches_of_four_are_noisy_in_training_mode_and_no_worse_in_use(stored):
    table = stored["batches"]
    lost = {size: np.subtract(table[size]["eval"], table[size]["train"]) for size in ("4", "16", "64")}
    assert (lost["4"] > 0.035).all() and (lost["4"] < 0.06).all()
    assert max(np.abs(lost["16"]).max(), np.abs(lost["64"]).max()) < 0.02
    ranges = [mean_and_interval(table[size]["eval"]) for size in ("4", "16", "64")]
    assert max(mean - interval for mean, interval in ranges) < min(mean for mean, _ in ranges)


def test_skip_connections_help_on_scenes_in_each_seed(stored):
    row = stored["scenes"]
    assert min(row["ResNet"]) > max(row["plain"]) + 0.2
    assert min(row["plain"]) > row["logistic regression"] + 0.2 > row["majority"] + 0.2


def test_mirroring_ruins_left_and_right_and_no_gain_is_shown_elsewhere(stored):
    table = stored["augmentation"]

    def gain(question, change, epochs):
        row = table[question]
        return mean_and_interval(np.subtract(row[change][f"{epochs} epochs"], row["none"][f"{epochs} epochs"]))

    sides = table["left or right?"]
    assert max(max(sides["mirror"][f"{epochs} epochs"]) for epochs in (8, 24)) < sides["majority"] + 0.01
    assert round(np.mean(sides["none"]["24 epochs"]), 2) == 0.95
    mean, interval = gain("left or right?", "shift", 24)
    assert mean + interval < 0
    for change in ("shift", "mirror"):
        mean, interval = gain("which digit?", change, 8)
        assert mean + interval < 0  # a short training makes both look harmful
        for question in ("which digit?", "which color?"):
            mean, interval = gain(question, change, 24)
            assert abs(mean) < interval
        assert np.mean(table["which color?"][change]["8 epochs"]) < table["which color?"]["logistic regression"]
    lost = {question: -gain(question, "mirror", 24)[0] for question in table if question.endswith("?")}
    assert max(lost, key=lost.get) == "left or right?"


def test_pretrained_features_win_near_imagenet_and_standardizing_ruins_them(stored):
    table = stored["pieces"]
    for n in ("1", "3", "10"):
        features = np.mean(table[n]["features"])
        assert features > np.mean(table[n]["untrained features"]) > 1 / 3 + 0.1
        assert max(np.mean(table[n][name]) for name in ("histogram of grays", "pixels")) < 0.4
    assert np.mean(table["10"]["features"]) - np.mean(table["10"]["untrained features"]) > 0.3
    gap = [np.mean(table[n]["features"]) - np.mean(table[n]["features, standardized"]) for n in ("1", "10")]
    assert gap[0] > 0.6 * (np.mean(table["1"]["features"]) - 1 / 3) and round(100 * gap[1]) == 5


def test_with_few_labels_pixels_beat_features_on_xrays(stored):
    table = stored["xrays"]
    gain = {n: mean_and_interval(np.subtract(table[n]["features"], table[n]["pixels"])) for n in ("20", "100", "500")}
    mean, interval = gain["20"]
    assert mean + interval < 0 and round(100 * mean) == -10
    assert all(abs(gain[n][0]) < 0.03 for n in ("100", "500"))
    assert all(np.mean(table[n]["features"]) > np.mean(table[n]["untrained features"]) + 0.1 for n in gain)


def test_fine_tuning_beats_the_probe_and_one_rate_ruins_it_in_longer_training(make, stored):
    table = stored["finetune"]
    few, more = table["20"], table["100"]
    for way in make.WAYS[1:]:
        mean, interval = mean_and_interval(np.subtract(few[way], few["frozen, linear probe"]))
        assert mean - interval > 0 and round(100 * mean) == 6
    for row in (few, more):
        assert len({len(row[way]) for way in make.WAYS}) == 1
    best = {name: np.mean(values) for name, values in few.items() if name != "epochs"}
    assert max(best, key=best.get) == "pixels, logistic regression"
    assert np.mean(more["fine-tuned, one rate"]) < 0.5
    named = ("fine-tuned, small rate below", "pixels, logistic regression", "from scratch")
    assert [round(np.mean(more[name]), 2) for name in named] == [0.82, 0.81, 0.80]


def test_a_confounded_view_is_learned_instead_of_the_disease(stored):
    table = stored["xray_views"]
    (well_standing, sick_standing), (well_lying, sick_lying) = table["counts"]
    assert sick_standing / (well_standing + sick_standing) > sick_lying / (well_lying + sick_lying) + 0.2
    mean = {
        (kind, training, name): np.mean(values)
        for kind in ("features", "pixels")
        for training, row in table[kind].items()
        for name, values in row.items()
    }
    assert min(mean[kind, "confounded", "as in training"] for kind in ("features", "pixels")) > 0.95
    assert mean["features", "confounded", "exchanged"] < 0.2 < mean["pixels", "confounded", "exchanged"] < 0.5
    assert min(mean[kind, "balanced", "exchanged"] for kind in ("features", "pixels")) > 0.7
    assert min(np.mean(view) for view in table["view"].values()) > 0.9


def test_the_view_alone_and_the_auc_within_the_views(stored):
    within, xrays, views = stored["within"], stored["xrays"], stored["xray_views"]
    (well_standing, sick_standing), (well_lying, sick_lying) = views["counts"]
    sick, well = sick_standing + sick_lying, well_standing + well_lying
    assert abs(0.5 + (sick_standing / sick - well_standing / well) / 2 - 0.617) < 1e-9
    mean, interval = mean_and_interval(np.subtract(xrays["20"]["features"], within["view alone"]))
    assert abs(mean) < interval  # the features are not shown to be better than the view
    mean, interval = mean_and_interval(np.subtract(xrays["20"]["pixels"], within["view alone"]))
    assert mean > interval and round(np.mean(within["pixels within views"]["20"]), 2) == 0.74
    lost, interval = mean_and_interval(np.subtract(within["features"]["balanced"], within["features"]["confounded"]))
    assert round(lost, 2) == 0.10 and interval < 0.05
    assert round(np.mean(within["features"]["confounded"]), 2) == 0.67
    for kind in ("features", "pixels"):
        for training, areas in within[kind].items():
            parts = [areas, *(views[kind][training][name] for name in ("as in training", "exchanged"))]
            low, high = np.min(parts, axis=0), np.max(parts, axis=0)
            every = np.array(views[kind][training]["all"])
            assert (low <= every).all() and (every <= high).all()  # a weighted mean of the three


def test_the_frozen_head_had_nearly_finished_learning(stored):
    head, row = stored["keras_head"], stored["keras"]
    assert round(np.mean(head["60 steps, train"]), 2) == 0.94 and min(head["logistic regression, train"]) == 1
    assert round(np.mean(head["logistic regression, test"]), 2) == 0.68
    assert max(head["logistic regression, test"]) < min(row["from scratch"])


def test_the_outline_is_the_clearer_cue_for_pixels_too(stored):
    table = stored["cues"]
    for kind in ("features", "pixels"):
        row = {name: np.mean(values) for name, values in table[kind].items()}
        assert row["named by outline"] > row["named by texture"] + 0.1
        assert row["outline alone"] > row["texture alone"]
    features = table["features"]
    assert 1.7 < np.mean(features["named by outline"]) / np.mean(features["named by texture"]) < 2


def test_the_keras_transfer_fails_in_each_seed(stored):
    row = stored["keras"]
    others = [row[name] for name in ("from scratch", "pretrained, all trained", "logistic regression")]
    assert (np.array(row["pretrained, frozen"]) < np.min(others, axis=0) - 0.2).all()
    means = [np.mean(other) for other in others]
    assert max(means) - min(means) < 0.02


def test_one_seed_comes_out_as_stored(make, stored):
    x, y, test_x, test_y = make.digits()
    torch.manual_seed(0)
    model = make.Deep(3, norm=True, skip=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    make.train(model, x, y, stored["batches"]["epochs"], optimizer, batch_size=64)
    assert abs(make.is_right(model, test_x, test_y).mean() - stored["batches"]["64"]["eval"][0]) < 0.05
